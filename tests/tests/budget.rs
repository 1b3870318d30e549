//! `--budget`: what is too dear is seen for moments only, and that is said; all else is seen, once.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;
use tests::{Folder, Program, Recording, Trace, Tracer, interpreters, replay, version};

/// Of a processor. Larger than anybody would give: the tests are short, and a process pays for the time until it is looked at first.
const BUDGET: f64 = 0.1;
/// How long the program works.
const SECONDS: &str = "2";
/// What may be paid here, where other tests and the tool share the processors, and what was paid too much is paid back later than a test
/// ends; the bench says how well a budget is kept. Without one it would be 0.6 and more.
const MOST: f64 = 0.3;

const TRACED: [&str; 11] = [
    "-e",
    "none",
    "-f",
    "posix.getppid",
    "-f",
    "math.*",
    "-f",
    "posix.s*",
    "-f",
    "posix.read",
    "--budget=10%",
];

/// One of each kind of thread state and calling convention; what is tried with these does not differ more.
fn some_interpreters() -> Vec<PathBuf> {
    let all = interpreters();
    let kinds = ["Python 2.7", "Python 3.8", "Python 3.11.2", "Python 3.13"];
    let some: Vec<PathBuf> = all
        .iter()
        .filter(|python| kinds.iter().any(|kind| version(python).starts_with(kind)))
        .cloned()
        .collect();
    if some.is_empty() { all } else { some }
}

/// `links`: as on kernels without session programs.
fn attach(program: &Program, links: bool, args: &[&str]) -> Tracer {
    if links {
        Tracer::attach_by_links(program, args)
    } else {
        Tracer::attach(program, args)
    }
}

fn changes<'t>(trace: &'t Trace, of: &'t str) -> impl Iterator<Item = &'t Value> {
    let events = trace.events.iter();
    events.filter(move |event| event["type"] == "process" && event["event"] == of)
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// The calls that the program notes, by function: their first arguments.
fn noted(truth: &Value) -> BTreeMap<String, Vec<u64>> {
    let mut noted: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for call in truth["rare"].as_array().expect("calls") {
        let function = call[0].as_str().expect("a name");
        noted
            .entry(function.to_owned())
            .or_default()
            .push(number(&call[1]));
    }
    noted
}

/// The same of what was seen.
fn seen(trace: &Trace, functions: &BTreeMap<String, Vec<u64>>) -> BTreeMap<String, Vec<u64>> {
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in trace.events.iter().filter(|event| event["type"] == "call") {
        let function = event["function"].as_str().expect("a name");
        if functions.contains_key(function) {
            let argument = &event["args"][0];
            let number = argument.as_str().and_then(|text| text.parse().ok());
            // Others are not of the program's own making.
            if let Some(number) = number.or_else(|| argument.as_f64().map(|number| number as u64)) {
                seen.entry(function.to_owned()).or_default().push(number);
            }
        }
    }
    seen
}

/// The sums of the whole trace are what the program notes.
fn assert_sums(trace: &Trace, truth: &Value) {
    for (function, calls) in noted(truth) {
        let rows = trace.events.iter().filter(|row| {
            let file = row["stack"][0]["file"].as_str().unwrap_or_default();
            let is_own = file.ends_with("budgeted.py");
            row["type"] == "stat" && row["whole"] == true && row["function"] == *function && is_own
        });
        let counted: u64 = rows.map(|row| number(&row["calls"])).sum();
        assert_eq!(counted, calls.len() as u64, "{function}: {}", trace.python());
    }
}

/// What tracing the process cost.
fn assert_kept(trace: &Trace, dear: &str) {
    let budget = &trace.summary["budgets"][0];
    assert_eq!(budget["budget"], BUDGET);
    let cost = budget["cost"].as_f64().expect("a share");
    assert!(cost <= MOST, "{budget}");
    let shed = budget["shed"].as_array().expect("functions");
    assert_eq!(shed.len(), 1, "{budget}");
    assert_eq!(shed[0]["function"], dear);
    let share = shed[0]["seen"].as_f64().expect("a share");
    assert!(share > 0.0 && share < 0.9, "{budget}");
}

fn assert_the_dear_one_goes_and_others_are_all_seen(links: bool) {
    let pythons = if links {
        some_interpreters()
    } else {
        interpreters()
    };
    for python in pythons {
        let mut program = Program::start_of(&python, "budgeted.py", &[SECONDS]);
        let tracer = attach(&program, links, &TRACED);
        assert_eq!(tracer.header["targets"][0]["budget"], BUDGET);
        let truth = program.run().remove(0);
        let trace = tracer.stop();
        assert_kept(&trace, "posix.getppid");
        let noted = noted(&truth);
        assert!(noted.len() == 6 && noted.values().all(|calls| calls.len() > 3));
        // Each once, though their probes moved from one link to another meanwhile.
        assert_eq!(seen(&trace, &noted), noted, "{}", python.display());
        let hot = trace
            .events
            .iter()
            .filter(|event| event["function"] == "posix.getppid" && event["type"] == "call");
        let (hot, all) = (hot.count() as u64, number(&truth["calls"]));
        assert!(hot > 0 && hot < all, "{hot} of {all}");
        let shed: Vec<&Value> = changes(&trace, "shed").collect();
        assert!(!shed.is_empty() && shed[0]["function"] == "posix.getppid");
        assert!(shed[0]["cost"].as_f64() > shed[0]["budget"].as_f64());
        let windows: Vec<&Value> = changes(&trace, "window").collect();
        assert!(!windows.is_empty(), "{:?}", trace.summary["budgets"]);
        let in_windows: u64 = windows.iter().map(|window| number(&window["calls"])).sum();
        assert!(in_windows <= hot, "{in_windows} of {hot}");
        for window in windows {
            assert!(
                window["from_ns"].as_u64() <= window["time_ns"].as_u64() && number(&window["unseen_ns"]) > 0,
                "{window}"
            );
        }
        // It waited while probes moved.
        let mut reads = trace
            .events
            .iter()
            .filter(|event| event["function"] == "posix.read");
        let read = reads.next().expect("the read");
        let gave_up = read["outcome"] == "unobserved"
            && read["why"] == "its return probe was taken out to keep the budget";
        assert!(read["outcome"] == "return" || gave_up, "{read}");
        assert!(reads.next().is_none());
        let s = &trace.summary;
        assert_eq!(s["lost"], 0);
        assert_eq!(
            number(&s["hits"]),
            number(&s["delivered"]) + number(&s["dropped"]) + number(&s["filtered"])
        );
        assert!(program.end());
    }
}

#[test]
fn the_dear_one_goes_and_others_are_all_seen() {
    assert_the_dear_one_goes_and_others_are_all_seen(false);
}

#[test]
fn so_they_are_without_session_programs() {
    assert_the_dear_one_goes_and_others_are_all_seen(true);
}

/// Each of these is one act, in which others' calls would be left out: one whose end is not seen must hide nothing.
fn assert_an_act_that_goes_hides_no_other(links: bool) {
    let acts = ["-e", "file", "--budget=10%"];
    for python in some_interpreters() {
        let mut program = Program::start_of(&python, "budgeted.py", &[SECONDS, "acts"]);
        let tracer = attach(&program, links, &acts);
        let truth = program.run().remove(0);
        let trace = tracer.stop();
        assert_kept(&trace, "posix.stat");
        assert_eq!(
            seen(&trace, &noted(&truth)),
            noted(&truth),
            "{}",
            python.display()
        );
        let tracer = Tracer::stat(&program, links, &[&acts[..], &["--top", "1000"]].concat());
        let truth = program.run().remove(0);
        let trace = tracer.stop();
        assert_kept(&trace, "posix.stat");
        assert_sums(&trace, &truth);
        assert!(program.end());
    }
}

#[test]
fn an_act_that_goes_hides_no_other() {
    assert_an_act_that_goes_hides_no_other(false);
}

#[test]
fn nor_does_it_without_session_programs() {
    assert_an_act_that_goes_hides_no_other(true);
}

/// A recording is paired again, and has to say which calls have lost their ends.
#[test]
fn so_it_is_in_a_recording() {
    for python in some_interpreters() {
        let folder = Folder::new("budget");
        let file = folder.file("acts.pytrace");
        let mut program = Program::start_of(&python, "budgeted.py", &[SECONDS, "acts"]);
        let recording = Recording::of(&program, &file, &["-e", "file", "--budget=10%"]);
        let truth = program.run().remove(0);
        recording.stop();
        let trace = replay(&file, &[]);
        assert_eq!(
            seen(&trace, &noted(&truth)),
            noted(&truth),
            "{}",
            python.display()
        );
        assert!(changes(&trace, "shed").count() > 0 && changes(&trace, "window").count() > 0);
        assert!(program.end());
    }
}

#[test]
fn sums_of_others_are_whole() {
    for python in some_interpreters() {
        let mut program = Program::start_of(&python, "budgeted.py", &[SECONDS]);
        let args = [&TRACED[..], &["--interval", "200ms", "--top", "1000"]].concat();
        let tracer = Tracer::stat(&program, false, &args);
        let truth = program.run().remove(0);
        let trace = tracer.stop();
        assert_kept(&trace, "posix.getppid");
        assert_sums(&trace, &truth);
        let costs: Vec<&Value> = changes(&trace, "cost").collect();
        assert!(costs.len() > 2, "{costs:?}");
        assert!(
            costs
                .iter()
                .any(|cost| cost["shed"] == serde_json::json!(["posix.getppid"]))
        );
        assert!(program.end());
    }
}

#[test]
fn what_is_cheap_again_is_seen_again() {
    for python in some_interpreters() {
        let mut program = Program::start_of(&python, "budgeted.py", &[SECONDS, "calm"]);
        let tracer = Tracer::attach(&program, &TRACED);
        let truth = program.run().remove(0);
        let trace = tracer.stop();
        let stays = changes(&trace, "window").find(|window| window["stays"] == true);
        let since = number(&stays.expect("it stays")["time_ns"]);
        // A moment later by the program's clock: what it noted is the time after the call.
        let after = |time: u64| time > since + 10_000_000;
        let calls = trace.events.iter();
        let calls = calls.filter(|event| event["function"] == "posix.getppid" && event["type"] == "call");
        let seen = calls.filter(|event| after(number(&event["time_ns"]))).count();
        let noted = &noted(&truth)["posix.getppid"];
        let noted = noted.iter().filter(|time| after(**time)).count();
        assert!(noted > 100, "{noted}");
        // One may be at the edge.
        assert!(seen.abs_diff(noted) <= 1, "{}: {seen} {noted}", python.display());
        assert!(program.end());
    }
}

/// Each has more sites than a hundredth of those there may be.
#[test]
fn children_that_come_after_each_other_are_all_seen() {
    let python = interpreters().pop().expect("an interpreter");
    let mut program = Program::start_of(&python, "budgeted.py", &[SECONDS, "family"]);
    let tracer = Tracer::attach(&program, &["-e", "world", "--budget=50%", "--follow"]);
    let sites = number(&tracer.header["targets"][0]["functions"]);
    assert!(sites * 101 > 16_384, "{sites}");
    let truth = program.run().remove(0);
    let trace = tracer.stop();
    let noted = noted(&truth);
    let mut seen = seen(&trace, &noted);
    seen.values_mut().for_each(|calls| calls.sort_unstable());
    assert_eq!(seen, noted, "{}", trace.stderr);
    assert!(program.end());
}

#[test]
fn each_process_has_an_account_of_its_own() {
    for python in some_interpreters() {
        let mut program = Program::start_of(&python, "budgeted.py", &[SECONDS, "forks"]);
        let tracer = Tracer::attach(&program, &[&TRACED[..], &["--follow"]].concat());
        let child = number(&program.run().remove(0)["child"]);
        let trace = tracer.stop();
        let budgets = trace.summary["budgets"].as_array().expect("accounts");
        let pids: Vec<u64> = budgets.iter().map(|budget| number(&budget["pid"])).collect();
        let mut expected = [child, u64::from(program.pid())];
        expected.sort_unstable();
        assert_eq!(pids, expected);
        for budget in budgets {
            assert!(budget["cost"].as_f64() <= Some(MOST), "{budget}");
            assert_eq!(budget["shed"][0]["function"], "posix.getppid", "{budget}");
        }
        assert!(program.end());
    }
}
