//! Random calls with random values, against what the program wrote down of them.

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tests::{Program, Tracer, calls, compare, interpreters};

/// Calls made on each interpreter.
const CALLS: usize = 2500;
/// The file name of the code that makes the calls under test.
const CALL_SITES: &str = "call sites";

/// `PYTRACE_SEED`, or another seed each time.
fn seed() -> u32 {
    match std::env::var("PYTRACE_SEED") {
        Ok(seed) => seed.parse().expect("PYTRACE_SEED is a number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.subsec_nanos()),
    }
}

#[test]
fn random_calls_are_shown_as_they_were_made() {
    let seed = seed();
    println!("PYTRACE_SEED={seed}");
    for python in interpreters() {
        // The order of sets and, in old versions, dicts depends on the hash seed.
        let mut program = Program::start_with(
            &python,
            "random_calls.py",
            &[("PYTHONHASHSEED", &seed.to_string())],
        );
        let names = program.value();
        let mut args = vec!["-e", "none"];
        for name in names.as_array().expect("the functions it calls") {
            args.extend(["-f", name.as_str().expect("a name")]);
        }
        let tracer = Tracer::attach(&program, &args);
        let truth = program.run_with(&format!("{seed} {CALLS}"));
        let trace = tracer.stop();
        let calls: Vec<Value> = calls(&trace.events)
            .into_iter()
            .filter(|call| call["stack"][0]["file"] == CALL_SITES)
            .collect();
        let tally = compare(&calls, &truth);
        println!("TRUTH: {} seed={seed} {tally}", trace.python());
        tally.assert_agrees();
        assert_eq!(tally.calls, CALLS);
        assert_eq!(trace.summary["lost"], 0);
        assert_eq!(mixtures(&calls), if trace.is_python2() { 16 } else { 17 });
        assert!(program.end(), "the program went on as if nothing was");
    }
}

/// How many mixtures of arguments there were: each has a function of its own name to call from.
fn mixtures(calls: &[Value]) -> usize {
    let names: BTreeSet<&str> = calls
        .iter()
        .filter_map(|call| call["stack"][0]["function"].as_str())
        .collect();
    names.len()
}
