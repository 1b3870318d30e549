//! Exceptions as they are raised, against `sys.settrace` in a second process of the same program.

use std::path::Path;

use serde_json::Value;
use tests::{Program, Tracer, interpreters, version};

/// Type, args, function, file's name and line of an event.
fn told(event: &Value) -> Value {
    let frame = &event["stack"][0];
    let file = frame["file"].as_str().unwrap_or_default();
    Value::from(vec![
        event["exception"]["object"].clone(),
        event["exception"]["args"].clone(),
        frame["function"].clone(),
        file.rsplit('/').next().into(),
        frame["line"].clone(),
    ])
}

fn assert_seen_as_by_settrace(python: &Path) {
    let mut untraced = Program::start_with(python, "raising.py", &[("TRUTH", "1")]);
    let truth = untraced.run();
    let truth = truth[0].as_array().expect("a list");
    let mut program = Program::start(python, "raising.py");
    let tracer = Tracer::attach(&program, &["-e", "exception"]);
    program.run();
    let trace = tracer.stop();
    let raised: Vec<&Value> = trace
        .events
        .iter()
        .filter(|event| event["effect"] == "exception.raised")
        .collect();
    for (event, truth) in raised.iter().zip(truth) {
        assert_eq!(event["outcome"], "raise");
        let mut told = told(event);
        // The import system's own are about addresses.
        if told[3]
            .as_str()
            .is_some_and(|file| file.starts_with("<frozen importlib"))
        {
            told[1] = truth[1].clone();
        }
        assert_eq!(told, *truth, "{}: {event}", python.display());
    }
    assert_eq!(raised.len(), truth.len(), "{}", python.display());
    assert_eq!(trace.summary["lost"], 0);
    println!("{}: {} exceptions", version(python), raised.len());
    assert!(program.end() && untraced.end());
}

#[test]
fn every_exception_is_seen_where_it_is_raised() {
    for python in interpreters() {
        assert_seen_as_by_settrace(&python);
    }
}
