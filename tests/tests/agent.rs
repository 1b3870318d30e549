//! `pytrace-ebpf agent`: finds processes, traces them by policies, and sends what they do to a collector.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};
use tests::{
    Agent, Collector, Folder, LogRecord, Program, agent_config, assert_no_breakpoints, breakpoints_go,
    interpreters, packaged, tool, version,
};

/// One after the other: each agent looks at all processes of the machine, and whether those of another test are there decides who
/// shares probes.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a worker that has the folder in its command line.
fn worker(python: &Path, folder: &Folder, environment: &[(&str, &str)]) -> Program {
    Program::start_all(python, "worker.py", &[&folder.text("")], environment)
}

fn otlp(collector: &Collector) -> String {
    format!(
        "[otlp]\nendpoint = \"{}\"\nprotocol = \"http/protobuf\"\n",
        collector.url()
    )
}

/// A policy for the workers of a folder.
fn policy(folder: &Folder, rest: &str) -> String {
    format!(
        "[[policy]]\nmatch = {{ command = [\"*worker.py {}*\"] }}\n{rest}\n",
        folder.text("")
    )
}

/// The files that were opened in the folder, by process, each as often as it was.
fn opened(records: &[LogRecord], folder: &Folder) -> BTreeMap<(u32, String), usize> {
    let inside = folder.text("");
    let mut opened = BTreeMap::new();
    for record in records
        .iter()
        .filter(|record| record.get("pytrace.function") == "posix.open")
    {
        if let Some(name) = record.get("file.path").strip_prefix(&inside) {
            assert_eq!(
                record.get("process.pid"),
                record.of("process.pid"),
                "{record:?} of {records:#?}"
            );
            let pid = record.of("process.pid").parse().expect("a number");
            *opened.entry((pid, name.to_owned())).or_default() += 1;
        }
    }
    opened
}

/// What a worker was told to open.
fn expected(pid: u32, name: &str, times: usize) -> impl Iterator<Item = ((u32, String), usize)> {
    (0..times).map(move |n| ((pid, format!("{name}-{n}")), 1))
}

fn work(program: &mut Program, folder: &Folder, name: &str, times: usize) {
    program.run_with(&format!("work {} {times}", folder.text(name)));
}

#[test]
fn processes_of_all_versions_are_found_and_what_they_do_is_sent() {
    let _alone = alone();
    let all = interpreters();
    if all.is_empty() {
        return;
    }
    let (folder, collector) = (Folder::new("agent"), Collector::start());
    let named = [("OTEL_SERVICE_NAME", "there")];
    let mut programs: Vec<Program> = all.iter().map(|python| worker(python, &folder, &named)).collect();
    let text = agent_config(
        &folder,
        &(otlp(&collector) + &policy(&folder, "service = 'not this'")),
    );
    let mut agent = Agent::start(&folder, &text);
    let pids: Vec<u32> = programs.iter().map(Program::pid).collect();
    agent.until_traced(&pids);
    // Those that come later are noticed as they begin.
    programs.extend(all.iter().map(|python| worker(python, &folder, &[])));
    let later: Vec<u32> = programs[all.len()..].iter().map(Program::pid).collect();
    agent.until_traced(&later);
    let mut wanted = BTreeMap::new();
    for program in &mut programs {
        work(program, &folder, "file", 5);
        program.run_with(&format!("fail {}", folder.text("nothing")));
        wanted.extend(expected(program.pid(), "file", 5));
        wanted.insert((program.pid(), "nothing".to_owned()), 1);
    }
    let records = collector.until(|records| opened(records, &folder) == wanted);
    for record in &records {
        let pid: u32 = record.of("process.pid").parse().unwrap_or(0);
        let Some(at) = programs.iter().position(|program| program.pid() == pid) else {
            continue;
        };
        let python = format!("Python {}", record.of("process.runtime.version"));
        assert_eq!(
            python.trim_end_matches('+'),
            version(&all[at % all.len()]).trim_end_matches('+')
        );
        let service = if at < all.len() { "there" } else { "not this" };
        assert_eq!(record.of("service.name"), service);
        // Values stay, unless a policy lets them out.
        for key in ["pytrace.call", "pytrace.result", "exception.message"] {
            assert_eq!(record.get(key), "", "{record:?}");
        }
        if record.get("file.path").ends_with("nothing") {
            assert_eq!(record.get("pytrace.outcome"), "raise");
            assert!(!record.body.contains("nothing"), "{record:?}");
        }
        assert_eq!(
            record.get("pytrace.function").is_empty(),
            record.get("code.line.number").is_empty()
        );
    }
    let uids: BTreeSet<&str> = records
        .iter()
        .map(|record| record.get("log.record.uid"))
        .collect();
    assert_eq!(uids.len(), records.len(), "each record has a name of its own");
    assert_eq!(agent.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(agent.get("/else").0, 404);
    agent.stop();
    // The same, added up.
    let mut added: BTreeMap<String, i64> = BTreeMap::new();
    for point in collector.points() {
        if point.metric == "pytrace.calls" && point.attributes["pytrace.function"] == "posix.open" {
            *added.entry(point.resource["process.pid"].clone()).or_default() += point.count;
        }
    }
    let mut came: BTreeMap<String, i64> = BTreeMap::new();
    for record in collector.records() {
        if record.get("pytrace.function") == "posix.open" {
            *came.entry(record.of("process.pid").to_owned()).or_default() += 1;
        }
    }
    assert_eq!(added, came);
    pids.iter()
        .chain(&later)
        .for_each(|pid| assert_no_breakpoints(*pid));
    programs.into_iter().for_each(|program| assert!(program.end()));
}

#[test]
fn children_and_other_programs_are_noticed() {
    let _alone = alone();
    for python in interpreters() {
        let (folder, collector) = (Folder::new("agent"), Collector::start());
        let mut program = worker(&python, &folder, &[]);
        let pid = program.pid();
        let text = agent_config(&folder, &(otlp(&collector) + &policy(&folder, "")));
        let mut agent = Agent::start(&folder, &text);
        agent.until_traced(&[pid]);
        mkfifo(&folder.file("child-gate"), Mode::S_IRWXU).expect("a pipe");
        program.tell(&format!("fork {}", folder.text("child")));
        let child: u32 = program.line().parse().expect("its id");
        agent.until_traced(&[child]);
        OpenOptions::new()
            .write(true)
            .open(folder.file("child-gate"))
            .expect("it is read");
        program.run_with(&format!("wait {child}"));
        // The same process, another program.
        program.tell("become");
        assert_eq!(program.line(), "ready");
        agent.until_traced(&[pid]);
        work(&mut program, &folder, "became", 3);
        let wanted = expected(child, "child", 3)
            .chain(expected(pid, "became", 3))
            .collect();
        collector.until(|records| opened(records, &folder) == wanted);
        agent.stop();
        assert_no_breakpoints(pid);
        assert!(program.end());
    }
}

#[test]
fn policies_decide_and_are_read_again() {
    let _alone = alone();
    let Some(python) = interpreters().pop() else {
        return;
    };
    let (folder, collector) = (Folder::new("agent"), Collector::start());
    let mut traced = worker(&python, &folder, &[("OTEL_SERVICE_NAME", "one")]);
    let mut other = worker(&python, &folder, &[("OTEL_SERVICE_NAME", "two")]);
    let of = |services: &str, values: &str| {
        otlp(&collector)
            + &format!(
                "[[policy]]\nmatch = {{ service = [{services}], command = [\"*{}*\"] }}\nvalues = \"{values}\"\n",
                folder.text("")
            )
    };
    let config = agent_config(&folder, "");
    let mut agent = Agent::start(&folder, &(config.clone() + &of("'one'", "none")));
    agent.until_traced(&[traced.pid()]);
    work(&mut traced, &folder, "a", 2);
    work(&mut other, &folder, "b", 2);
    let mut wanted: BTreeMap<_, _> = expected(traced.pid(), "a", 2).collect();
    collector.until(|records| opened(records, &folder) == wanted);
    // A wrong one is said with its line, and changes nothing.
    agent.reload(&(config.clone() + "[budget]\nproces = \"1%\"\n"));
    let said = agent.until_says("agent.toml:");
    assert!(
        said.contains("unknown field `proces`, expected `process` or `host`")
            && said.contains("stays in force"),
        "{said}"
    );
    work(&mut traced, &folder, "c", 2);
    wanted.extend(expected(traced.pid(), "c", 2));
    collector.until(|records| opened(records, &folder) == wanted);
    agent.reload(&(config + &of("'two'", "full")));
    agent.until_traced(&[other.pid()]);
    work(&mut other, &folder, "d", 2);
    work(&mut traced, &folder, "e", 2);
    wanted.extend(expected(other.pid(), "d", 2));
    let records = collector.until(|records| opened(records, &folder) == wanted);
    let full = records
        .iter()
        .filter(|record| record.get("file.path").contains("/d-"));
    let calls: Vec<&str> = full.map(|record| record.get("pytrace.call")).collect();
    assert!(calls.iter().all(|call| call.contains("/d-")), "{calls:?}");
    let metrics = agent.get("/metrics").1;
    assert!(
        metrics.contains("pytrace_config_loads_total{result=\"error\"} 1"),
        "{metrics}"
    );
    agent.stop();
    // What was told of the process that is not traced any more came before that.
    assert_eq!(opened(&collector.records(), &folder), wanted);
}

/// Links of the tracer.
fn links(agent: &Agent) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", agent.tracer())).expect("it lives");
    let is_link =
        |path: PathBuf| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("bpf_link"));
    descriptors
        .flatten()
        .filter(|entry| is_link(entry.path()))
        .count()
}

#[test]
fn processes_that_have_one_interpreter_share_their_probes() {
    let _alone = alone();
    const MANY: usize = 12;
    let debian = Path::new("/usr/bin/python3");
    if interpreters().is_empty() || !debian.exists() {
        return;
    }
    let (folder, collector) = (Folder::new("agent"), Collector::start());
    // Its own file: no other process here has it.
    let python = folder.copy_of(&debian.canonicalize().expect("it is there"), "python");
    let start = || worker(&python, &folder, &[("PYTHONHOME", "/usr")]);
    let mut programs = vec![start()];
    let text = agent_config(&folder, &(otlp(&collector) + &policy(&folder, "")));
    let mut agent = Agent::start(&folder, &text);
    agent.until_traced(&[programs[0].pid()]);
    let alone = links(&agent);
    programs.extend((1..MANY).map(|_| start()));
    // The first is traced twice: its probes are shared from the fourth on.
    let pids: Vec<u32> = programs.iter().map(Program::pid).collect();
    agent.until_traced(&pids);
    let wanted: BTreeMap<_, _> = programs
        .iter_mut()
        .flat_map(|program| {
            work(program, &folder, "file", 50);
            expected(program.pid(), "file", 50)
        })
        .collect();
    collector.until(|records| opened(records, &folder) == wanted);
    assert!(
        links(&agent) < 2 * alone + MANY,
        "{} links of one, {} of {MANY}",
        alone,
        links(&agent)
    );
    // One goes, the others are seen as before.
    let gone = programs.remove(5);
    assert!(gone.end());
    let more: BTreeMap<_, _> = programs
        .iter_mut()
        .flat_map(|program| {
            work(program, &folder, "more", 5);
            expected(program.pid(), "more", 5)
        })
        .collect();
    let wanted: BTreeMap<_, _> = wanted.into_iter().chain(more).collect();
    collector.until(|records| opened(records, &folder) == wanted);
    agent.stop();
    programs
        .iter()
        .for_each(|program| assert_no_breakpoints(program.pid()));
    programs.into_iter().for_each(|program| assert!(program.end()));
}

/// Has a program take a copy of the library that the interpreter is in: no other process of this machine has that file, so none of those decides
/// whether probes are shared.
fn own_library(python: &Path, folder: &Folder) -> String {
    let find = "print([line.split()[-1] for line in open('/proc/self/maps') if 'libpython' in line][0])";
    let output = tests::command(python)
        .args(["-c", find])
        .output()
        .expect("it starts");
    let library = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let name = library.file_name().expect("the interpreter is in a library");
    folder.copy_of(&library, &name.to_string_lossy());
    folder.text("")
}

#[test]
fn those_that_come_to_switch_stacks_share_no_returns() {
    let _alone = alone();
    const MANY: usize = 6;
    for python in packaged() {
        let (folder, collector) = (Folder::new("agent"), Collector::start());
        let library = own_library(&python, &folder);
        let own = [("LD_LIBRARY_PATH", library.as_str())];
        let mut programs: Vec<Program> = (0..MANY).map(|_| worker(&python, &folder, &own)).collect();
        let text = agent_config(&folder, &(otlp(&collector) + &policy(&folder, "")));
        let mut agent = Agent::start(&folder, &text);
        let pids: Vec<u32> = programs.iter().map(Program::pid).collect();
        agent.until_traced(&pids);
        let shared = links(&agent);
        // One switches: all get probes of their own. Then all do, and share those that are apart from all return probes.
        let mut wanted = BTreeMap::new();
        let mut own = 0;
        for (round, switching) in [("first", 0..1), ("second", 1..MANY)] {
            for program in &mut programs[switching] {
                program.run_with(&format!("switch {}", folder.text(round)));
            }
            agent.until_traced(&pids);
            if round == "first" {
                own = links(&agent);
            }
            let after = format!("after-{round}");
            for program in &mut programs {
                work(program, &folder, &after, 20);
                wanted.extend(expected(program.pid(), &after, 20));
            }
        }
        let is_after = |((_, name), _): &(&(u32, String), &usize)| name.starts_with("after-");
        let records = collector.until(|records| {
            let opened = opened(records, &folder);
            opened.iter().filter(is_after).eq(&wanted)
        });
        let apart = links(&agent);
        assert!(shared < own && apart < own, "{shared} links, {own}, {apart}");
        agent.stop();
        // Of what was done while probes moved some may not have been seen.
        for ((_, name), times) in opened(&records, &folder) {
            assert_eq!(times, 1, "{name}");
        }
        pids.iter().for_each(|pid| assert_no_breakpoints(*pid));
        programs
            .into_iter()
            .for_each(|program| assert!(program.end(), "it was harmed"));
    }
}

#[test]
fn what_comes_while_the_collector_is_away_is_sent_later() {
    let _alone = alone();
    let Some(python) = interpreters().pop() else {
        return;
    };
    let (folder, collector) = (Folder::new("agent"), Collector::start());
    let mut program = worker(&python, &folder, &[]);
    let text = agent_config(&folder, &(otlp(&collector) + &policy(&folder, "")));
    let mut agent = Agent::start(&folder, &text);
    agent.until_traced(&[program.pid()]);
    collector.away(true);
    work(&mut program, &folder, "away", 20);
    collector.until_refused(1);
    assert!(opened(&collector.records(), &folder).is_empty());
    // It ends, is started again, and still has it; until then it can be asked on this machine.
    agent.stop();
    let glob = format!("path={}*", folder.text("away"));
    let asked = tool(&[
        "query",
        "who-touched",
        "--on",
        &folder.text("state/spool.sqlite"),
        "--format",
        "json",
        "-p",
        &glob,
        "--limit",
        "100",
    ]);
    assert_eq!(asked.code, Some(0), "{}", asked.stderr);
    assert!(
        (20..=40).contains(&asked.stdout.lines().count()),
        "{}",
        asked.stdout
    );
    let mut agent = Agent::start(&folder, &text);
    agent.until_traced(&[program.pid()]);
    collector.away(false);
    work(&mut program, &folder, "back", 5);
    let pid = program.pid();
    let wanted: BTreeMap<_, _> = expected(pid, "away", 20)
        .chain(expected(pid, "back", 5))
        .collect();
    let records = collector.until(|records| opened(records, &folder) == wanted);
    let uids: BTreeSet<&str> = records
        .iter()
        .map(|record| record.get("log.record.uid"))
        .collect();
    assert_eq!(uids.len(), records.len());
    agent.stop();
    for (path, mode) in [("state", 0o700), ("state/spool.sqlite", 0o600)] {
        use std::os::unix::fs::PermissionsExt as _;
        let found = fs::metadata(folder.file(path))
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }
}

#[test]
fn whoever_is_killed_harms_nobody() {
    let _alone = alone();
    let Some(python) = interpreters().pop() else {
        return;
    };
    let (folder, collector) = (Folder::new("agent"), Collector::start());
    let mut programs: Vec<Program> = (0..5).map(|_| worker(&python, &folder, &[])).collect();
    let pids: Vec<u32> = programs.iter().map(Program::pid).collect();
    let text = agent_config(&folder, &(otlp(&collector) + &policy(&folder, "")));
    let mut agent = Agent::start(&folder, &text);
    agent.until_traced(&pids);
    // The tracer: another one takes its place.
    kill(Pid::from_raw(agent.tracer() as i32), Signal::SIGKILL).expect("it lives");
    agent.until_says("the tracer has ended");
    agent.until_traced(&pids);
    let mut wanted = BTreeMap::new();
    for program in &mut programs {
        work(program, &folder, "file", 5);
        wanted.extend(expected(program.pid(), "file", 5));
    }
    collector.until(|records| opened(records, &folder) == wanted);
    // The agent: its tracer ends by itself.
    agent.kill();
    pids.iter().for_each(|pid| breakpoints_go(*pid));
    programs.into_iter().for_each(|program| assert!(program.end()));
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line() {
    let folder = Folder::new("agent");
    fs::write(
        folder.file("agent.toml"),
        "[agent]\n\n[[policy]]\neffects = \"fil\"\n",
    )
    .expect("it can be written");
    let output = tests::command(tests::binary())
        .args(["agent", "--check", "--config", &folder.text("agent.toml")])
        .output()
        .expect("the tool starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("agent.toml:4: ") && said.lines().count() == 1,
        "{said}"
    );
}
