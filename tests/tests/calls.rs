//! Calls of Python functions (`--calls`), against `sys.settrace` or `sys.monitoring` in a second process of the same program.

use std::{collections::HashMap, fs, path::Path};

use serde_json::Value;
use tests::{Program, Trace, Tracer, interpreters, programs, version, without_ids};

const CALLS: [&str; 4] = ["--calls", "calls.py", "--calls", "calls_async.py"];

/// Of each thread, in the order in which they began, what the trace says of the runs that began after that of `runs`: as
/// `calls.py` writes them down.
fn runs(trace: &Trace) -> Vec<Vec<Value>> {
    let mut events: Vec<&Value> = trace
        .events
        .iter()
        .filter(|event| event["type"] == "function")
        .collect();
    events.sort_by_key(|event| event["id"].as_u64());
    let first = events.iter().position(|event| name(event) == "runs");
    let mut threads: Vec<(u64, Vec<Value>)> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    for event in &events[first.expect("a call of runs")..] {
        let tid = event["tid"].as_u64().expect("a thread");
        let thread = match threads.iter().position(|(of, _)| *of == tid) {
            Some(known) => known,
            None => {
                threads.push((tid, Vec::new()));
                threads.len() - 1
            }
        };
        let thread = &mut threads[thread].1;
        let around = event["parent"]
            .as_u64()
            .and_then(|parent| places.get(&parent))
            .copied();
        if around.is_none() && !thread.is_empty() {
            // What the program does when all is done.
            continue;
        }
        places.insert(event["id"].as_u64().expect("an id"), thread.len());
        let begins = match (event["resumed"] == true, event["thrown"] == true) {
            (_, true) => "thrown",
            (true, false) => "resumed",
            (false, false) => "begun",
        };
        let value = match &event["outcome"] {
            outcome if outcome == "raise" => event["exception"].clone(),
            outcome if outcome == "unobserved" => event["why"].clone(),
            _ => event["result"].clone(),
        };
        let mut run = Value::from(vec![
            name(event).into(),
            event["line"].clone(),
            begins.into(),
            event["args"].clone(),
            event["outcome"].clone(),
            value,
            thread.len().into(),
            around.map_or(Value::Null, Value::from),
        ]);
        without_ids(&mut run);
        thread.push(run);
    }
    threads.into_iter().map(|(_, runs)| runs).collect()
}

/// `co_name`.
fn name(event: &Value) -> &str {
    let function = event["function"].as_str().expect("a name");
    function.rsplit('.').next().unwrap_or(function)
}

/// Takes out of both what only one of them knows.
fn forgive(seen: &mut Value, truth: &mut Value) {
    // `sys.settrace` does not tell whether something is thrown into a generator, nor which exception goes on behind a `finally`.
    if truth[2] == "resumed" && seen[2] == "thrown" {
        seen[2] = "resumed".into();
    }
    if truth[4] == "raise" && truth[5].is_null() {
        seen[5] = Value::Null;
    }
}

/// Whether a run is one of those that `calls.py` makes to write down what happens, if it does: they stand before `first`, and
/// what it compiles is short.
fn is_of_truth(run: &Value, first: u64) -> bool {
    const COMPILED: u64 = 5;
    let line = run["line"].as_u64().unwrap_or(0);
    run["file"]
        .as_str()
        .is_some_and(|file| file.ends_with("calls.py"))
        && (COMPILED..first).contains(&line)
}

/// The first line of `calls.py` that is called for its own sake.
fn first_line() -> u64 {
    let text = fs::read_to_string(programs().join("calls.py")).expect("the program");
    let before = text.lines().position(|line| line.starts_with("# From here on"));
    before.expect("a line that says so") as u64
}

fn assert_same_runs(python: &Path, mut trace: Trace, truth: &Value) {
    let first = first_line();
    trace.events.retain(|event| !is_of_truth(event, first));
    let threads = runs(&trace);
    let truths = truth.as_array().expect("a list");
    assert_eq!(threads.len(), truths.len(), "{}: threads", python.display());
    let mut all = 0;
    for (seen, truth) in threads.into_iter().zip(truths) {
        let truth = truth.as_array().expect("a list");
        for (seen, truth) in seen.iter().zip(truth) {
            let (mut seen, mut truth) = (seen.clone(), truth.clone());
            without_ids(&mut truth);
            forgive(&mut seen, &mut truth);
            assert_eq!(seen, truth, "{}", python.display());
        }
        assert_eq!(seen.len(), truth.len(), "{}", python.display());
        all += seen.len();
    }
    assert_eq!(trace.summary["lost"], 0);
    println!("{}: {all} runs", version(python));
}

fn attach(program: &Program) -> Tracer {
    Tracer::attach(
        program,
        &[&["-e", "none", "--max-depth", "4"], &CALLS[..]].concat(),
    )
}

#[test]
fn every_run_of_a_python_function_is_seen() {
    for python in interpreters() {
        let mut untraced = Program::start_with(&python, "calls.py", &[("TRUTH", "1")]);
        let truth = untraced.run();
        let mut program = Program::start(&python, "calls.py");
        let tracer = attach(&program);
        program.run();
        assert_same_runs(&python, tracer.stop(), &truth[0]);
        assert!(program.end() && untraced.end());
    }
}

/// Then the interpreter runs instrumented bytecodes, or its loop is another one.
#[test]
fn runs_are_seen_in_a_program_that_is_traced_from_inside() {
    for python in interpreters() {
        let mut program = Program::start_with(&python, "calls.py", &[("TRUTH", "1"), ("ROUNDS", "1")]);
        let tracer = attach(&program);
        let truth = program.run();
        assert_same_runs(&python, tracer.stop(), &truth[0]);
        assert!(program.end());
    }
}
