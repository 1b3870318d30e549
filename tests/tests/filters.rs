//! Filters: what is shown is what the program did there, and all else is counted as filtered.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Folder, Program, Recording, Trace, Tracer, calls, interpreters, replay, tool};

/// `COUNTS` of `places.py`, each three times: in a function, in a method, and in what that calls.
const FILES: [(&str, usize); 3] = [
    ("/srv/app/orders.py", 40),
    ("/srv/app/db/rows.py", 30),
    ("/usr/lib/other.py", 20),
];
const ALL: usize = 3 * (40 + 30 + 20);

/// Traces `operator.is_` and what encloses it in `places.py`.
fn traced<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["-e", "none", "-f", "*operator.is_"], more].concat()
}

fn number(trace: &Trace, field: &str) -> usize {
    trace.summary[field].as_u64().expect("a count") as usize
}

/// Entries and returns add up, and nothing was lost or seen only in part.
fn assert_whole(trace: &Trace, hits: usize, shown: usize) {
    // Of calls that are left out at their entry, returns are probed on kernels before 6.13 only.
    let return_hits = number(trace, "return_hits");
    assert!((shown..=hits).contains(&return_hits), "{}", trace.stderr);
    for (kind, hits) in [("", hits), ("return_", return_hits)] {
        let count = |field: &str| number(trace, &format!("{kind}{field}"));
        assert_eq!(count("hits"), hits, "{}", trace.stderr);
        assert_eq!(
            (count("delivered"), count("dropped"), count("filtered")),
            (shown, 0, hits - shown),
            "{kind} {}",
            trace.stderr
        );
    }
    let calls = calls(&trace.events);
    assert_eq!((calls.len(), number(trace, "inner")), (shown, 0));
    assert!(calls.iter().all(|call| call["outcome"] != "unobserved"));
}

fn of_file(trace: &Trace, file: &str) -> usize {
    let calls = calls(&trace.events);
    let is_there = |call: &&Value| call["stack"][0]["file"] == file;
    calls.iter().filter(is_there).count()
}

/// Runs the program's usual work under these filters.
fn work(python: &Path, filters: &[&str]) -> Trace {
    let mut program = Program::start(python, "places.py");
    let tracer = Tracer::attach(&program, &traced(filters));
    program.run();
    let trace = tracer.stop();
    assert!(program.end());
    trace
}

#[test]
fn calls_from_some_files_are_those_the_program_made_there() {
    for python in interpreters() {
        let trace = work(&python, &["--in", "app/*.py"]);
        assert_whole(&trace, ALL, 3 * 40);
        assert_eq!(of_file(&trace, FILES[0].0), 3 * 40);
        let trace = work(&python, &["--in", "app/**", "--in", "nowhere.py"]);
        assert_whole(&trace, ALL, 3 * 70);
        assert!(
            trace.stderr.contains("`--in nowhere.py` matched nothing"),
            "{}",
            trace.stderr
        );
        for (file, count) in FILES {
            assert_whole(&work(&python, &["--in", file]), ALL, 3 * count);
        }
    }
}

#[test]
fn calls_from_some_functions_are_those_the_program_made_there() {
    for python in interpreters() {
        // The class is part of a function's name from 3.11 on.
        let trace = work(&python, &["--in", "*save"]);
        assert_whole(&trace, ALL, 40 + 30 + 20);
        // Of two frames either may match: `inner` is called by `save`.
        let trace = work(&python, &["--in", "*save", "--stack", "2"]);
        assert_whole(&trace, ALL, 2 * (40 + 30 + 20));
    }
}

#[test]
fn calls_inside_of_filtered_calls_are_events_of_their_own() {
    for python in interpreters() {
        let run = |filters: &[&str]| {
            let mut program = Program::start(&python, "places.py");
            let all = [&["-f", "builtins.sorted"], filters].concat();
            let tracer = Tracer::attach(&program, &traced(&all));
            program.run_with("callback 50");
            let trace = tracer.stop();
            assert!(program.end());
            trace
        };
        // `sorted` is called by the third file, and calls `is_` by way of the first.
        let inner = run(&["--in", "orders.py"]);
        assert_whole(&inner, 100, 50);
        assert!(calls(&inner.events).iter().all(|call| call["parent"].is_null()));
        let outer = run(&["--in", "other.py"]);
        assert_whole(&outer, 100, 50);
        let both = run(&["--in", "other.py", "--in", "orders.py"]);
        assert_whole(&both, 100, 100);
        for pair in calls(&both.events).chunks(2) {
            assert_eq!(pair[1]["parent"], pair[0]["id"]);
        }
    }
}

#[test]
fn code_at_the_address_of_freed_code_inherits_neither_its_name_nor_its_verdict() {
    const CALLS: usize = 4000;
    for python in interpreters() {
        for filters in [&["--in", "mine/*"][..], &[]] {
            let mut program = Program::start(&python, "places.py");
            let tracer = Tracer::attach(&program, &traced(filters));
            program.run_with(&format!("spin {CALLS}"));
            let trace = tracer.stop();
            let shown = calls(&trace.events);
            // What is gone before it has a name is shown; what has one is no other's.
            for call in &shown {
                let file = call["stack"][0]["file"].as_str().expect("a file");
                let kind = call["args"][1].as_str().expect("a text");
                assert!(file == "?" || file.starts_with(&format!("/x/{kind}/")), "{call}");
                let filtered = file.starts_with("/x/they/") && !filters.is_empty();
                assert!(!filtered, "{call}");
            }
            let of = |kind: &str| shown.iter().filter(|call| call["args"][1] == kind).count();
            assert_eq!(of("mine"), CALLS / 2);
            assert_whole(&trace, CALLS, CALLS / 2 + of("they"));
            assert!(program.end());
        }
    }
}

#[test]
fn threads_are_known_by_name_and_by_number() {
    for python in interpreters() {
        let mut program = Program::start(&python, "places.py");
        let tracer = Tracer::attach(
            &program,
            &traced(&["--thread", "worker-[13]", "--thread", "nobody"]),
        );
        let ids = program.run_with("threads 5 50").remove(0);
        program.run();
        let trace = tracer.stop();
        assert_whole(&trace, 250 + ALL, 100);
        for call in calls(&trace.events) {
            let name = format!("worker-{}", call["args"][1]);
            assert_eq!(
                (&ids[&name], name == "worker-1" || name == "worker-3"),
                (&call["tid"], true)
            );
        }
        assert!(
            trace.stderr.contains("`--thread nobody` matched nothing"),
            "{}",
            trace.stderr
        );
        let main = program.pid().to_string();
        let tracer = Tracer::attach(&program, &traced(&["--thread", &main, "--in", "other.py"]));
        program.run_with("threads 2 50");
        program.run();
        assert_whole(&tracer.stop(), 100 + ALL, 3 * 20);
        assert!(program.end());
    }
}

#[test]
fn paths_narrow_what_is_shown_and_are_counted() {
    for python in interpreters() {
        let mut program = Program::start(&python, "places.py");
        let only = [
            "-e", "none", "-f", "*open", "--path", "no*.txt", "--path", "*.png",
        ];
        let tracer = Tracer::attach(&program, &only);
        program.run_with("open 30");
        let trace = tracer.stop();
        let shown = calls(&trace.events);
        assert_eq!(shown.len(), 20, "{}", trace.stderr);
        let path = |call: &Value| call["target"]["path"].as_str().map(str::to_owned);
        assert!(
            shown
                .iter()
                .all(|call| path(call).is_some_and(|path| path.ends_with(".txt")))
        );
        assert_eq!(
            number(&trace, "filtered"),
            number(&trace, "hits") - 20 - number(&trace, "inner")
        );
        assert!(
            trace.stderr.contains("`--path *.png` matched nothing"),
            "{}",
            trace.stderr
        );
        assert!(program.end());
    }
}

#[test]
fn a_recording_is_filtered_as_a_live_trace_is() {
    let folder = Folder::new("filters");
    for python in interpreters() {
        let file = folder.file("a.pytrace");
        let record = |filters: &[&str]| {
            let mut program = Program::start(&python, "places.py");
            let recording = Recording::of(&program, &file, &traced(filters));
            program.run_with("threads 3 20 stay");
            program.run();
            let said = recording.stop();
            assert!(program.end());
            said
        };
        record(&[]);
        for (filters, shown) in [
            (vec!["--in", "app/*.py"], 3 * 40),
            (vec!["--thread", "worker-2"], 20),
            (vec!["--in", "app/*.py", "--thread", "worker-2"], 0),
        ] {
            assert_whole(&replay(&file, &filters), ALL + 60, shown);
        }
        // What was left out of it stays out, and is counted as it was.
        record(&["--in", "/srv/**"]);
        assert_whole(&replay(&file, &[]), ALL + 60, 3 * 70);
        assert_whole(&replay(&file, &["--in", "rows.py"]), ALL + 60, 3 * 30);
        assert_eq!(of_file(&replay(&file, &["--in", "rows.py"]), FILES[1].0), 3 * 30);
    }
}

#[test]
fn a_filter_that_cannot_be_is_wrong_usage() {
    for python in interpreters().into_iter().take(1) {
        let program = Program::start(&python, "places.py");
        let pid = program.pid().to_string();
        for (filters, said) in [
            (vec!["--in", "a[b"], "`a[b` is not a glob"),
            (vec!["--path", ""], "it is empty"),
            (vec!["--in", "a", "--stack", "0"], "give --stack 1 or more"),
            (
                vec!["--thread", "999999999"],
                "no traced process has such a thread",
            ),
        ] {
            let printed = tool(&[&["--pid", &pid], &filters[..]].concat());
            assert_eq!(printed.code, Some(2), "{filters:?}: {}", printed.stderr);
            assert!(printed.stderr.contains(said), "{}", printed.stderr);
            assert_eq!(printed.stderr.lines().count(), 1, "{}", printed.stderr);
        }
        let printed = tool(&["run", "--thread", "1", "--", "python3", "-c", "pass"]);
        assert_eq!(printed.code, Some(2), "{}", printed.stderr);
    }
}

#[test]
fn sixty_four_frames_are_shown_of_deep_recursion() {
    for python in interpreters() {
        let mut program = Program::start(&python, "places.py");
        let tracer = Tracer::attach(&program, &traced(&["--stack", "64"]));
        program.run_with("deep 100");
        let trace = tracer.stop();
        let calls = calls(&trace.events);
        assert_eq!(calls.len(), 1);
        let stack = calls[0]["stack"].as_array().expect("a stack");
        assert_eq!(stack.len(), 64);
        assert!(stack.iter().all(|frame| frame["function"] == "deep"), "{stack:?}");
        assert_eq!(calls[0]["args"], json!([0, "deep"]));
        assert!(program.end());
    }
}
