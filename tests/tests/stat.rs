//! Calls added up in the kernel: what the program itself counted, by function and line.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use tests::{Folder, Program, Recording, Tracer, interpreters, replay, tool};

/// What `sums.py` knows of: sockets and files, and a function that is counted inside of others.
const TRACED: [&str; 4] = ["-e", "file,net", "-f", "*builtin*.max"];

/// Time between tables.
const INTERVAL: Duration = Duration::from_millis(50);

/// Calls, errors, calls without an end, bytes.
type Counts = [u64; 4];

fn count(value: &Value) -> u64 {
    value.as_u64().expect("a count")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// By function and line, as the program says.
fn truth(program: &mut Program) -> BTreeMap<(String, u64), Counts> {
    let printed = program.run();
    let rows = printed[0].as_array().expect("rows").iter();
    rows.map(|row| {
        let counts = [2, 3, 4, 5].map(|i| count(&row[i]));
        ((text(&row[0]), count(&row[1])), counts)
    })
    .collect()
}

/// The rows of functions that the program counts, of its own lines.
fn sums(events: &[Value], truth: &BTreeMap<(String, u64), Counts>) -> BTreeMap<(String, u64), Counts> {
    let mut found = BTreeMap::new();
    for row in events.iter().filter(|event| event["type"] == "stat") {
        let place = &row["stack"][0];
        let is_own = place["file"]
            .as_str()
            .is_some_and(|file| file.ends_with("sums.py"));
        let function = text(&row["function"]);
        if !is_own || !truth.keys().any(|(known, _)| *known == function) {
            continue;
        }
        let histogram = row["histogram"].as_array().expect("buckets").iter();
        let timed: u64 = histogram.map(|bucket| count(&bucket[1])).sum();
        assert_eq!(timed, count(&row["calls"]) - count(&row["unobserved"]), "{row}");
        assert!(count(&row["max_ns"]) <= count(&row["total_ns"]), "{row}");
        assert_eq!(count(&row["unsized"]), 0, "{row}");
        let counts = ["calls", "errors", "unobserved", "bytes"].map(|field| count(&row[field]));
        let again = found.insert((function, count(&place["line"])), counts);
        assert_eq!(again, None, "a line is a row: {row}");
    }
    found
}

fn assert_sums_are_what_the_program_counted(links: bool) {
    for python in interpreters() {
        let mut program = Program::start(&python, "sums.py");
        let tracer = Tracer::stat(&program, links, &[&TRACED[..], &["--top", "1000"]].concat());
        let truth = truth(&mut program);
        let trace = tracer.stop();
        assert_eq!(sums(&trace.events, &truth), truth, "{}", python.display());
        let rows = trace.events.iter().filter(|event| event["type"] == "stat");
        let calls: u64 = rows.map(|row| count(&row["calls"])).sum();
        assert_eq!(count(&trace.summary["events"]), calls);
        assert_eq!(trace.summary["lost"], 0);
        assert!(program.end());
    }
}

#[test]
fn sums_are_what_the_program_counted() {
    assert_sums_are_what_the_program_counted(false);
}

#[test]
fn so_they_are_without_session_programs() {
    assert_sums_are_what_the_program_counted(true);
}

#[test]
fn a_table_each_interval_adds_up_to_the_one_of_all() {
    for python in interpreters() {
        let mut program = Program::start(&python, "sums.py");
        let mut args = TRACED.to_vec();
        let interval = format!("{}ms", INTERVAL.as_millis());
        args.extend(["--top", "1000", "--interval", &interval]);
        let tracer = Tracer::stat(&program, false, &args);
        let begun = Instant::now();
        while begun.elapsed() < 6 * INTERVAL {
            program.run();
        }
        let trace = tracer.stop();
        let mut parts: BTreeMap<(String, String), i64> = BTreeMap::new();
        let mut ends: Vec<(u64, u64)> = Vec::new();
        for row in trace.events.iter().filter(|event| event["type"] == "stat") {
            let whole = row["whole"] == true;
            // What came after the last interval is in the sum of all only.
            let key = (text(&row["function"]), row["stack"].to_string());
            let calls = count(&row["calls"]) as i64;
            *parts.entry(key).or_default() += if whole { calls } else { -calls };
            if !whole {
                ends.push((count(&row["from_ns"]), count(&row["to_ns"])));
            }
        }
        assert!(parts.values().all(|left| *left >= 0), "{parts:?}");
        ends.dedup();
        assert!(ends.len() > 1, "{ends:?}");
        assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ends:?}");
        assert!(program.end());
    }
}

#[test]
fn the_table_of_a_trace_counts_the_same() {
    for python in interpreters() {
        let mut program = Program::start(&python, "sums.py");
        let tracer = Tracer::attach(&program, &[&TRACED[..], &["-c"]].concat());
        let truth = truth(&mut program);
        let trace = tracer.stop();
        for function in truth.keys().map(|(function, _)| function) {
            let rows = truth.iter().filter(|((of, _), _)| of == function);
            let (calls, errors) = rows.fold((0, 0), |(calls, errors), (_, row)| {
                (calls + row[0], errors + row[1])
            });
            let total = trace
                .events
                .iter()
                .find(|event| event["function"] == function.as_str());
            let total = total.expect("a row");
            let counted = [&total["calls"], &total["errors"]].map(count);
            // Files are opened by others too, of sockets and `max` the program knows all.
            let all = ["_socket.", "builtins.max", "__builtin__.max"];
            if all.iter().any(|known| function.starts_with(known)) {
                assert_eq!(counted, [calls, errors], "{total}");
            }
            assert!(
                counted[0] >= calls && counted[1] >= errors,
                "{total} {calls} {errors}"
            );
        }
        assert!(program.end());
    }
}

#[test]
fn a_recording_is_made_of_calls_also_where_a_table_is_asked_for() {
    for python in interpreters() {
        let folder = Folder::new("sums");
        let file = folder.file("x.pytrace");
        let mut program = Program::start(&python, "sums.py");
        let recording = Recording::of(&program, &file, &[&TRACED[..], &["-c"]].concat());
        let truth = truth(&mut program);
        recording.stop();
        let sent = truth
            .iter()
            .filter(|((function, _), _)| function == "_socket.socket.sendall");
        let sent: u64 = sent.map(|(_, counts)| counts[0]).sum();
        let replayed = replay(&file, &[]);
        let calls = replayed
            .events
            .iter()
            .filter(|call| call["function"] == "_socket.socket.sendall");
        assert_eq!(calls.count() as u64, sent);
        assert!(program.end());
    }
}

#[test]
fn what_stat_cannot_write_is_refused() {
    for name in ["x.pytrace", "x.parquet"] {
        let printed = tool(&["stat", "-o", name, "--", "true"]);
        assert_eq!(printed.code, Some(2), "{}", printed.stderr);
        assert_eq!(printed.stderr.lines().count(), 1, "{}", printed.stderr);
    }
    let printed = tool(&["stat", "--interval", "0", "--", "true"]);
    assert_eq!(printed.code, Some(2), "{}", printed.stderr);
}
