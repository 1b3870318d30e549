//! Programs in a container by docker's default filter of system calls, which knows some of those that the kernel makes for probes and
//! refuses the others: they do what they do untraced, and all of it is seen, outcomes too.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Program, Run, Tracer, calls, interpreters, program, version, without_ids};

/// `hard.py`'s cases.
const CASES: [&str; 2] = ["in_docker", "in_older_docker"];
/// What each round of its work calls once.
const TRACED: [&str; 8] = [
    "-e",
    "none",
    "-f",
    "posix.read",
    "-f",
    "*.sorted",
    "-f",
    "posix.unlink",
];
/// Rounds: in threads, and two of the first thread; and one in a child.
const ROUNDS: usize = 7;
const IN_CHILD: usize = 1;

/// What it writes: it got what it should, untraced and traced.
fn rightly(python: &Path) -> [&'static str; 2] {
    let two = version(python).starts_with("Python 2");
    let first = if two {
        "[u'what is written', [3, 2, 1], False, 2] True 2 1"
    } else {
        "['what is written', [3, 2, 1], False, 2] True 2 1"
    };
    [first, "another program"]
}

/// Each of those calls ended before the tool as it did in the program.
fn assert_seen(events: &[Value], rounds: usize, what: &str) {
    let of = |name: &str| -> Vec<Value> {
        let named = |call: &Value| {
            let function = call["function"].as_str().unwrap_or_default();
            // Modules that are imported do as well.
            function.ends_with(name) && call["stack"][0]["function"] == "work"
        };
        let mut calls: Vec<Value> = calls(events).into_iter().filter(named).collect();
        calls.iter_mut().for_each(without_ids);
        calls
    };
    let all = |calls: Vec<Value>, right: &dyn Fn(&Value) -> bool| {
        assert_eq!(calls.len(), rounds, "{what}: {calls:?}");
        calls
            .iter()
            .for_each(|call| assert!(right(call), "{what}: {call}"));
    };
    let (text, bytes) = (json!("what is written"), json!({"bytes": "d2hhdCBpcyB3cml0dGVu"}));
    all(of("posix.read"), &|call| {
        call["outcome"] == "return" && (call["result"] == text || call["result"] == bytes)
    });
    all(of(".sorted"), &|call| {
        call["outcome"] == "return" && call["result"] == json!({"list": [3, 2, 1]})
    });
    all(of("posix.unlink"), &|call| {
        call["outcome"] == "raise" && call["exception"]["args"][0] == 2
    });
}

#[test]
fn a_program_in_docker_is_attached_to() {
    for python in interpreters() {
        for case in CASES {
            let mut program = Program::start_case(&python, "hard.py", case);
            let tracer = Tracer::attach(&program, &TRACED);
            program.tell("go");
            assert_eq!([program.line(), program.line()], rightly(&python), "{case}");
            assert!(program.end(), "{case}: it ended as if nothing was");
            let trace = tracer.wait();
            assert_seen(&trace.events, ROUNDS, &format!("{} {case}", version(&python)));
        }
    }
}

#[test]
fn a_program_is_begun_that_goes_into_docker() {
    for python in interpreters() {
        for case in CASES {
            let path = python.to_string_lossy();
            let mut run = Run::start(
                &[&TRACED[..], &["--follow"]].concat(),
                &[&*path, &program("hard.py"), case],
            );
            assert_eq!(run.line().as_deref(), Some("ready"));
            run.tell("go");
            let ran = run.wait();
            assert_eq!(ran.output, rightly(&python), "{case}: {}", ran.stderr);
            assert!(ran.status.success(), "{case}: {}", ran.stderr);
            let what = format!("{} {case}", version(&python));
            assert_seen(&ran.events, ROUNDS + IN_CHILD, &what);
        }
    }
}
