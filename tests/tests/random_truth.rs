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

/// Of `PyMethodDef`s, as the tool names them.
const METHOD_TABLE_CONVENTIONS: [&str; 7] = [
    "NoArgs",
    "O",
    "VarArgs",
    "VarArgsKeywords",
    "FastCall",
    "FastCallKeywords",
    "Method",
];

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
        // A random text may look like one with a password.
        let mut args = vec!["-e", "none", "--show-secrets"];
        for name in names.as_array().expect("the functions it calls") {
            args.extend(["-f", name.as_str().expect("a name")]);
        }
        assert_conventions(&program, &args);
        let tracer = Tracer::attach_for(&program, &args, CALL_SITES);
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

/// Fails unless the functions that `args` names are of every calling convention that functions in method
/// tables of the process have.
fn assert_conventions(program: &Program, args: &[&str]) {
    let functions = tests::functions(program);
    let in_tables =
        |(_, convention): &&(String, String)| METHOD_TABLE_CONVENTIONS.contains(&convention.as_str());
    let there: BTreeSet<&str> = functions
        .iter()
        .filter(in_tables)
        .map(|(_, convention)| convention.as_str())
        .collect();
    let called: BTreeSet<&str> = functions
        .iter()
        .filter(in_tables)
        .filter(|(name, _)| args.contains(&name.as_str()))
        .map(|(_, convention)| convention.as_str())
        .collect();
    assert_eq!(called, there);
}

/// How many mixtures of arguments there were: each has a function of its own name to call from.
fn mixtures(calls: &[Value]) -> usize {
    let names: BTreeSet<&str> = calls
        .iter()
        .filter_map(|call| call["stack"][0]["function"].as_str())
        .collect();
    names.len()
}
