//! Calls of Python functions (`--calls`), against `sys.settrace` or `sys.monitoring` in a second process of the same program.

use std::{collections::HashMap, path::Path};

use serde_json::Value;
use tests::{Program, Trace, Tracer, interpreters, version, without_ids};

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
        let around = event["parent"].as_u64().and_then(|parent| places.get(&parent));
        let mut run = Value::from(vec![
            name(event).into(),
            event["line"].clone(),
            begins.into(),
            event["args"].clone(),
            event["outcome"].clone(),
            value,
            thread.len().into(),
            around.map_or(Value::Null, |place| (*place).into()),
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

fn assert_all_seen(python: &Path, environment: &[(&str, &str)]) {
    let truth_too: Vec<(&str, &str)> = environment.iter().copied().chain([("TRUTH", "1")]).collect();
    let mut untraced = Program::start_with(python, "calls.py", &truth_too);
    let truth = untraced.run();
    let mut program = Program::start_with(python, "calls.py", environment);
    let tracer = Tracer::attach(
        &program,
        &[&["-e", "none", "--max-depth", "4"], &CALLS[..]].concat(),
    );
    program.run();
    let trace = tracer.stop();
    let threads = runs(&trace);
    let truths = truth[0].as_array().expect("a list");
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
    assert!(program.end() && untraced.end());
}

#[test]
fn every_run_of_a_python_function_is_seen() {
    for python in interpreters() {
        assert_all_seen(&python, &[]);
    }
}
