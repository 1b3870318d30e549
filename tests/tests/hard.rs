//! Programs that are hard to trace do what they do untraced: they begin others, fork, end anyhow, are signalled, confined, stopped.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{Attached, Folder, assert_no_breakpoints, binary, command, interpreters, program, version};

/// One of `hard.py`'s cases, which waits to be told to go on.
struct Hard {
    child: Child,
    output: BufReader<ChildStdout>,
    /// The interpreter, where it is not the child itself.
    inner: Option<u32>,
}

/// What it wrote, and how it ended.
type Outcome = (String, Option<i32>, Option<i32>);

impl Hard {
    fn start(python: &Path, case: &str) -> Self {
        Self::of(command(python), case)
    }

    /// `command` begins an interpreter.
    fn of(mut command: Command, case: &str) -> Self {
        let mut child = command
            .args([program("hard.py").as_str(), case])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("text");
        assert_eq!(line, "ready\n", "{case}");
        Self {
            child,
            output,
            inner: None,
        }
    }

    /// Finds the interpreter below what was started.
    fn find_inner(mut self) -> Self {
        let mut pid = self.child.id();
        while let Some(child) = child_of(pid) {
            pid = child;
        }
        self.inner = Some(pid);
        self
    }

    fn pid(&self) -> u32 {
        self.inner.unwrap_or(self.child.id())
    }

    fn go_on(&mut self) {
        let mut input = self.child.stdin.take().expect("once");
        writeln!(input, "go").expect("it lives");
    }

    fn end(mut self) -> Outcome {
        let mut wrote = String::new();
        self.output.read_to_string(&mut wrote).expect("text");
        let status = self.child.wait().expect("it can be waited for");
        (wrote, status.code(), status.signal())
    }
}

impl Drop for Hard {
    fn drop(&mut self) {
        if let Some(inner) = self.inner {
            let _ = kill(Pid::from_raw(inner as i32), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Everything the tool knows, and functions inside which Python code runs.
const TRACED: [&str; 8] = [
    "-e",
    "all",
    "-f",
    "builtins.sorted",
    "-f",
    "builtins.max",
    "--format",
    "json",
];

fn pids(programs: &[Hard]) -> Vec<u32> {
    programs.iter().map(Hard::pid).collect()
}

fn attach(programs: &[Hard]) -> Attached {
    Attached::attach(&pids(programs), &TRACED, Stdio::null())
}

/// The case, on every interpreter.
fn all(case: &str) -> Vec<Hard> {
    let start = |python: &PathBuf| Hard::start(python, case);
    interpreters().iter().map(start).collect()
}

/// One tool for all; none where there are none.
fn attach_to(programs: &[Hard]) -> Option<Attached> {
    (!programs.is_empty()).then(|| attach(programs))
}

/// Something was traced.
fn assert_hits(said: &str) {
    assert!(said.contains("(hits ") && !said.contains("(hits 0 "), "{said}");
}

/// How they all end, traced by one tool or by none.
fn outcomes(mut programs: Vec<Hard>, traced: bool) -> Vec<Outcome> {
    let tool = if traced { attach_to(&programs) } else { None };
    programs.iter_mut().for_each(Hard::go_on);
    let ended = programs.into_iter().map(Hard::end).collect();
    if let Some(tool) = tool {
        assert_hits(&tool.wait());
    }
    ended
}

fn assert_same_as_untraced(case: &str) {
    assert_eq!(outcomes(all(case), true), outcomes(all(case), false), "{case}");
}

macro_rules! same_as_untraced {
    ($($name:ident: $case:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            assert_same_as_untraced($case);
        })+
    };
}

same_as_untraced! {
    files_memory_and_signal_masks_are_as_they_were: "works",
    another_program_is_begun: "executes",
    children_are_forked_and_not_traced: "forks",
    threads_come_and_go: "threads",
    recursion_deeper_than_return_probes_nest: "recurses",
    signals_come_inside_of_what_is_traced: "signalled",
    a_program_ends_without_cleaning_up: "exits",
    a_program_crashes: "crashes",
    a_filter_of_system_calls_kills: "killed_by_filter",
    a_filter_of_system_calls_refuses: "refused_by_filter",
    it_is_another_users: "another_user",
    dockers_filter_of_system_calls: "in_docker",
    an_older_dockers_filter_of_system_calls: "in_older_docker",
}

/// All on one processor, where one goes on while another's probe waits for a page: neither writes over what the other is at.
#[test]
fn probes_that_wait_for_pages_beside_each_other() {
    let mut programs = all("waits_for_pages");
    let Some(tool) = attach_to(&programs) else { return };
    programs.iter_mut().for_each(Hard::go_on);
    for one in programs {
        let (wrote, code, signal) = one.end();
        assert_eq!((wrote.as_str(), code, signal), ("819200\n", Some(0), None));
    }
    let said = tool.wait();
    assert_hits(&said);
    assert!(said.contains(" 0 lost"), "{said}");
}

/// All interpreters at once, each begun by what `begin` says, traced by one tool and by none.
fn assert_same_in(what: &str, begin: impl Fn(&Path) -> Command) {
    let all = || -> Vec<Hard> {
        let start = |python: &PathBuf| Hard::of(begin(python), "works").find_inner();
        interpreters().iter().map(start).collect()
    };
    assert_eq!(outcomes(all(), true), outcomes(all(), false), "{what}");
}

#[test]
fn a_program_in_namespaces_of_its_own() {
    assert_same_in("namespaces", |python| {
        let mut unshare = command("unshare");
        unshare.args([
            "--user",
            "--map-root-user",
            "--pid",
            "--mount",
            "--mount-proc",
            "--fork",
        ]);
        unshare.arg(python);
        unshare
    });
}

#[test]
fn a_program_in_another_root() {
    let root = Folder::new("root");
    assert_same_in("chroot", |python| {
        let mut unshare = command("unshare");
        unshare.args([
            "--mount",
            "sh",
            "-c",
            "mount --rbind / \"$0\" && exec chroot \"$0\" \"$@\"",
        ]);
        unshare.arg(root.text("")).arg(python);
        unshare
    });
}

/// The libpython of an interpreter, if it has one.
fn library_of(pid: u32) -> Option<PathBuf> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths.find(|path| path.contains("/libpython")).map(PathBuf::from)
}

#[test]
fn a_library_that_is_deleted_or_replaced_on_disk() {
    let mut tried = 0;
    for python in interpreters() {
        let mut plain = Hard::start(&python, "exits");
        let library = library_of(plain.pid());
        plain.go_on();
        let expected = plain.end();
        let Some(library) = library else { continue };
        for replaced in [false, true] {
            let folder = Folder::new("library");
            let copy = folder.copy_of(&library, &library.file_name().expect("a name").to_string_lossy());
            let mut begin = command(&python);
            begin.env("LD_LIBRARY_PATH", folder.text(""));
            let mut traced = [Hard::of(begin, "exits")];
            if library_of(traced[0].pid()) != Some(copy.clone()) {
                println!("{} takes its own libpython always", version(&python));
                continue;
            }
            fs::remove_file(&copy).expect("it can be removed");
            if replaced {
                fs::write(&copy, "something else").expect("it can be written");
            }
            let tool = attach(&traced);
            traced[0].go_on();
            let [traced] = traced;
            assert_eq!(traced.end(), expected, "{}, {replaced}", version(&python));
            assert_hits(&tool.wait());
            tried += 1;
        }
    }
    println!("libraries deleted or replaced: {tried}");
    if tried == 0 {
        println!("SKIPPED: no interpreter here takes another libpython");
    }
}

#[test]
fn stopped_programs_are_attached_to_and_stay_stopped() {
    let mut programs = all("exits");
    let pids: Vec<Pid> = programs
        .iter()
        .map(|one| Pid::from_raw(one.pid() as i32))
        .collect();
    pids.iter()
        .for_each(|pid| kill(*pid, Signal::SIGSTOP).expect("it lives"));
    let Some(tool) = attach_to(&programs) else { return };
    programs.iter_mut().for_each(Hard::go_on);
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        assert!(status.contains("State:\tT"), "{status}");
        kill(pid, Signal::SIGCONT).expect("it lives");
    }
    for one in programs {
        assert_eq!(one.end().1, Some(3));
    }
    assert_hits(&tool.wait());
}

#[test]
fn programs_that_a_debugger_traces_too() {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    if there.is_err() {
        println!("SKIPPED: strace is not here");
        return;
    }
    let mut programs = all("exits");
    if programs.is_empty() {
        return;
    }
    let mut debugger = command("strace");
    debugger.args(["-f", "-o", "/dev/null"]).stderr(Stdio::piped());
    for one in &programs {
        debugger.args(["-p", &one.pid().to_string()]);
    }
    let mut debugger = debugger.spawn().expect("strace starts");
    let mut stderr = BufReader::new(debugger.stderr.take().expect("stderr is piped"));
    for _ in &programs {
        let mut line = String::new();
        stderr.read_line(&mut line).expect("text");
        assert!(line.contains("attached"), "{line}");
    }
    let tool = attach(&programs);
    programs.iter_mut().for_each(Hard::go_on);
    for one in programs {
        assert_eq!(one.end().1, Some(3));
    }
    assert_hits(&tool.wait());
    assert!(debugger.wait().expect("strace ends with them").success());
}

/// Ends while the tool looks at it, or attaches: either it was traced, or one line says that it ended.
#[test]
fn a_program_that_ends_while_the_tool_attaches() {
    for (n, python) in (0..).zip(interpreters()) {
        let mut traced = 0;
        for moment in [n % 6, (n + 3) % 6] {
            let mut one = Hard::start(&python, "exits");
            let tool = command(binary())
                .args(["--pid", &one.pid().to_string(), "-e", "all"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the tool starts");
            // The time is what the test varies; it waits for nothing.
            std::thread::sleep(std::time::Duration::from_millis(120 * moment));
            one.go_on();
            assert_eq!(one.end().1, Some(3));
            let output = tool.wait_with_output().expect("it ends");
            let said = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                Some(0) => traced += 1,
                Some(1) => assert_eq!(said.lines().count(), 1, "{said}"),
                other => panic!("{other:?}: {said}"),
            }
        }
        println!("{}: {traced} of 2 were traced", version(&python));
    }
}

#[test]
fn tools_that_trace_the_same_programs() {
    let mut programs = all("threads");
    let Some(first) = attach_to(&programs) else { return };
    let second = attach(&programs);
    let third = attach(&programs);
    // One that goes takes nothing from the others.
    second.stop();
    programs.iter_mut().for_each(Hard::go_on);
    for one in programs {
        assert_eq!(one.end().1, Some(0));
    }
    let hits = |said: &str| -> String {
        let hits = said
            .split("(hits ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        hits.expect("a count").to_owned()
    };
    assert_eq!(hits(&first.wait()), hits(&third.wait()));
}

/// A disk that is full, a reader that goes away, a reader that does not read: the programs do not notice.
#[test]
fn an_output_that_cannot_be_written() {
    for way in ["full", "closed", "slow"] {
        let mut programs = all("threads");
        if programs.is_empty() {
            return;
        }
        let stdout = match way {
            "full" => fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .expect("it opens")
                .into(),
            _ => Stdio::piped(),
        };
        let mut tool = Attached::start(
            &pids(&programs),
            &[&TRACED[..], &["--ring", "1"]].concat(),
            stdout,
        );
        let line = tool.line().to_owned();
        assert!(line.contains("attached to") || way == "full", "{line}");
        let unread = tool.take_output().filter(|_| way == "slow");
        programs.iter_mut().for_each(Hard::go_on);
        for one in programs {
            let (wrote, code, _) = one.end();
            assert_eq!(code, Some(0), "{way}: {wrote}");
        }
        drop(unread);
        let (status, said) = tool.end();
        println!("{way}: {status} {}", said.lines().last().unwrap_or_default());
        match way {
            "full" => {
                assert_eq!(status.code(), Some(1), "{said}");
                assert!(said.contains("No space left"), "{said}");
            }
            "slow" => assert!(said.contains(" dropped ") && !said.contains(" 0 lost"), "{said}"),
            _ => assert!(status.success(), "{said}"),
        }
    }
}

#[test]
fn no_breakpoint_is_left() {
    let programs = all("exits");
    if let Some(tool) = attach_to(&programs) {
        tool.stop();
    }
    programs.iter().for_each(|one| assert_no_breakpoints(one.pid()));
}
