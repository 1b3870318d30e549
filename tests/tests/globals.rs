//! Reads of globals, against what the program found by looking itself.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tests::{Program, Tracer, interpreters, tool, version};

/// By function, in its order: threads read at the same time.
type Reads<'v> = BTreeMap<&'v str, Vec<Value>>;

fn by_function<'v>(reads: impl Iterator<Item = (&'v Value, Value)>) -> Reads<'v> {
    let mut all = Reads::new();
    for (function, read) in reads {
        all.entry(function.as_str().expect("a name"))
            .or_default()
            .push(read);
    }
    all
}

/// What an event says: name, value, line. Python 2 has a name of its own for the builtins.
fn told(event: &Value) -> (&Value, Value) {
    let frame = &event["stack"][0];
    let mut value = event["value"].clone();
    for kind in ["function", "type"] {
        if let Some(name) = value[kind].as_str() {
            value[kind] = name.replace("__builtin__.", "builtins.").into();
        }
    }
    assert_eq!(event["op"], "LOAD_GLOBAL", "{event}");
    assert_eq!(event["effect"], "memory.load_global", "{event}");
    assert_eq!(event["why"], "a read that finds nothing is not shown", "{event}");
    let name = event["name"].clone();
    (
        &frame["function"],
        vec![name, value, frame["line"].clone()].into(),
    )
}

/// From 3.11 on a name behind an `EXTENDED_ARG` is not told for certain.
fn is_unknown(read: &Value) -> bool {
    read[0]["unreadable"].is_string()
}

fn is_same(read: &Value, truth: &Value) -> bool {
    let is_one_of_many = || truth[0].as_str().is_some_and(|name| name.starts_with('n'));
    let same_name = read[0] == truth[0] || is_unknown(read) && is_one_of_many();
    // A list has its address besides.
    let value = match &read[1] {
        Value::Object(object) if object.contains_key("list") => &object["list"],
        value => value,
    };
    same_name && *value == truth[1] && read[2] == truth[2]
}

fn assert_every_read_is_seen_once(python: &Path) {
    let mut program = Program::start(python, "globals.py");
    // The first round begins with code that never ran.
    let tracer = Tracer::attach(&program, &["-e", "memory.load_global", "--in", "act_*"]);
    let rounds = ["go", "go", "settrace", "go"];
    let truth: Vec<Value> = rounds.iter().flat_map(|line| program.run_with(line)).collect();
    let trace = tracer.stop();
    let truth = by_function(truth.iter().filter_map(Value::as_array).flatten().map(|read| {
        (
            &read[2],
            vec![read[0].clone(), read[1].clone(), read[3].clone()].into(),
        )
    }));
    let events = trace.events.iter().filter(|event| event["type"] == "bytecode");
    let seen = by_function(events.map(told));
    let mut counts = [0, 0];
    for (function, truth) in &truth {
        let seen = seen.get(function).map_or(&[][..], Vec::as_slice);
        for (n, (read, truth)) in seen.iter().zip(truth).enumerate() {
            assert!(
                is_same(read, truth),
                "{}: {function} {n}: {read}, not {truth}",
                python.display()
            );
        }
        assert_eq!(seen.len(), truth.len(), "{}: {function}", python.display());
        counts[0] += seen.len();
        counts[1] += seen.iter().filter(|read| is_unknown(read)).count();
    }
    assert_eq!(seen.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>());
    assert_eq!(trace.summary["lost"], 0);
    let [all, unknown] = counts;
    // An argument has a bit besides the index there, and the code 300 names.
    let is_told = ["2.7.", "3.6.", "3.7.", "3.8.", "3.9.", "3.10."];
    let is_told = is_told.iter().any(|version| trace.python().starts_with(version));
    let expected = if is_told {
        0
    } else {
        truth["act_many"].len() * (300 - 128) / 300
    };
    assert_eq!(unknown, expected, "{}", python.display());
    println!("{}: {all} reads, {unknown} of unknown name", version(python));
    assert!(program.end(), "the program went on as if nothing was");
}

/// Whether a build can show them at all.
fn is_traced(python: &Path) -> bool {
    let program = Program::start(python, "idle.py");
    let printed = tool(&["functions", "--pid", &program.pid().to_string(), "LOAD_GLOBAL"]);
    let refused = printed.stdout.contains("refused");
    // Without computed gotos there are no handlers.
    assert_eq!(
        refused,
        printed.stdout.contains("built without computed gotos"),
        "{}: {}",
        python.display(),
        printed.stdout
    );
    assert!(refused || printed.stdout.contains("memory.load_global"));
    !refused
}

#[test]
fn every_read_of_a_global_is_seen_once_whatever_form_the_bytecode_has() {
    for python in interpreters().iter().filter(|python| is_traced(python)) {
        assert_every_read_is_seen_once(python);
    }
}

#[test]
fn reads_of_globals_have_to_be_asked_for_by_name() {
    for python in interpreters().iter().filter(|python| is_traced(python)) {
        let mut program = Program::start(python, "globals.py");
        let tracer = Tracer::attach(&program, &["-e", "all", "--in", "act_*"]);
        program.run();
        let trace = tracer.stop();
        let ops: Vec<_> = trace
            .events
            .iter()
            .filter_map(|event| event["op"].as_str())
            .collect();
        assert!(ops.contains(&"STORE_GLOBAL"), "{}", python.display());
        assert!(!ops.contains(&"LOAD_GLOBAL"), "{}", python.display());
        assert!(program.end(), "the program went on as if nothing was");
    }
}
