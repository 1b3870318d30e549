//! Calls inside calls, on many threads, in several interpreters of a process, and in progress when tracing
//! begins or ends.

use serde_json::{Value, json};
use tests::{Program, Tracer, assert_same, calls, interpreters};

/// Functions that call back, and those that are called back, in `nesting.py`.
const NESTING: [&str; 13] = [
    "*operator.truth",
    "*operator.eq",
    "*operator.lt",
    "_functools.reduce",
    "_io._IOBase.__enter__",
    "_io._IOBase.__exit__",
    "builtins.sorted",
    "builtins.max",
    "builtins.dict.get",
    "builtins.dict.pop",
    "builtins.list.pop",
    "builtins.list.index",
    "builtins.list.append",
];
/// Return probes that the kernel follows inside each other on one thread (`MAX_URETPROBE_DEPTH`,
/// include/linux/uprobes.h).
const MOST_RETURNS: usize = 64;

/// Attaches for these functions and nothing else.
fn attach(program: &Program, functions: &[&str]) -> Tracer {
    let mut args = vec!["-e", "none"];
    for function in functions {
        args.extend(["-f", function]);
    }
    Tracer::attach(program, &args)
}

/// The calls that the program wrote down: it makes them from these functions.
fn own_calls(events: &[Value]) -> Vec<Value> {
    let own = |call: &Value| {
        let frame = &call["stack"][0];
        let function = frame["function"].as_str().unwrap_or_default();
        let file = frame["file"].as_str().unwrap_or_default();
        ["call", "within", "site", "c_inside_c.<locals>.site"].contains(&function)
            || file.starts_with("made up")
    };
    calls(events).into_iter().filter(own).collect()
}

#[test]
fn calls_inside_calls_have_them_as_parents() {
    for python in interpreters() {
        let mut program = Program::start(&python, "nesting.py");
        let tracer = attach(&program, &NESTING);
        let truth = program.run();
        let trace = tracer.stop();
        assert_same(&own_calls(&trace.events), &truth);
        assert_eq!(trace.summary["lost"], 0);
        assert!(program.end());
    }
}

#[test]
fn a_thousand_calls_deep_no_outcome_is_made_up() {
    for python in interpreters() {
        let mut program = Program::start(&python, "recursion.py");
        let tracer = attach(&program, &["builtins.sorted", "*operator.truth"]);
        let depth = program.run()[0].as_u64().expect("a number") as usize;
        let trace = tracer.stop();
        println!("{} calls inside each other on {}", depth, trace.python());
        let mut calls = calls(&trace.events);
        let after = calls.pop().expect("a call after all");
        assert_eq!(
            (&after["args"], &after["parent"]),
            (&json!(["after"]), &Value::Null)
        );
        assert_eq!(
            (&after["outcome"], &after["result"]),
            (&json!("return"), &json!(true))
        );
        assert_eq!(calls.len(), depth, "{}", python.display());
        for (n, call) in calls.iter().enumerate() {
            let parent = n
                .checked_sub(1)
                .map_or(Value::Null, |outer| calls[outer]["id"].clone());
            assert_eq!(call["parent"], parent);
            assert_eq!(call["args"][0]["list"], json!([n]));
            if n < MOST_RETURNS {
                assert_eq!(
                    (&call["outcome"], &call["result"]["list"]),
                    (&json!("return"), &json!([n]))
                );
            } else {
                assert_eq!(call["outcome"], "unobserved", "{call}");
                assert_eq!(call["why"], "its return was not recorded");
            }
        }
        assert_eq!(trace.summary["lost"], 0);
        assert!(program.end());
    }
}

#[test]
fn calls_in_progress_at_either_end_are_not_mistaken() {
    for python in interpreters() {
        let mut program = Program::start(&python, "in_progress.py");
        let tracer = attach(&program, &["builtins.sorted", "*operator.truth"]);
        program.tell("go on");
        assert_eq!(program.line(), "inside");
        let trace = tracer.stop();
        let calls = calls(&trace.events);
        let brief = |call: &Value| {
            (
                call["args"][0].clone(),
                call["outcome"].clone(),
                call["parent"].clone(),
            )
        };
        let second = &calls[2];
        let expected = [
            (json!("inside the first"), json!("return"), Value::Null),
            (json!("between"), json!("return"), Value::Null),
            (second["args"][0].clone(), json!("unobserved"), Value::Null),
            (json!("inside the second"), json!("return"), second["id"].clone()),
        ];
        assert_eq!(calls.iter().map(brief).collect::<Vec<_>>(), expected);
        assert_eq!(second["args"][0]["list"], json!(["second"]));
        assert_eq!(second["why"], "tracing ended");
        program.tell("go on");
        assert_eq!(program.line(), "done");
        assert!(program.end(), "the program got its results");
    }
}

#[test]
fn calls_of_all_interpreters_of_a_process_are_seen() {
    for python in interpreters() {
        let mut program = Program::start(&python, "subinterpreters.py");
        let others = program.value();
        if others == 0 {
            println!("SKIPPED: {} makes no other interpreters", python.display());
        }
        let tracer = attach(&program, &["builtins.sorted", "*operator.truth"]);
        let truth = program.run();
        let trace = tracer.stop();
        // Each interpreter counts its own calls: compare one after the other.
        let events = own_calls(&trace.events);
        let mut rest = &events[..];
        for truth in truth.chunk_by(|_, next| next["n"] != 0) {
            let (these, others) = rest.split_at(truth.len().min(rest.len()));
            assert_same(these, truth);
            rest = others;
        }
        assert!(rest.is_empty(), "{rest:?}");
        assert!(program.end());
    }
}

#[test]
fn events_of_threads_are_not_mixed_up() {
    for python in interpreters() {
        let mut program = Program::start(&python, "threads.py");
        let tracer = attach(&program, &["builtins.sorted", "*operator.is_"]);
        let ids = program.run().remove(0);
        let trace = tracer.stop();
        let calls = calls(&trace.events);
        for (number, tid) in ids.as_object().expect("thread ids by number") {
            let of_thread: Vec<&Value> = calls.iter().filter(|call| call["tid"] == *tid).collect();
            assert_eq!(of_thread.len(), 200);
            for (i, pair) in of_thread.chunks(2).enumerate() {
                let number: u32 = number.parse().expect("a number");
                let (outer, inner) = (pair[0], pair[1]);
                assert_eq!(outer["args"][0]["list"], json!([{"tuple": [number, i]}]));
                assert_eq!(outer["result"]["list"], json!([{"tuple": [number, i]}]));
                assert_eq!(inner["args"], json!([number, i]));
                assert_eq!(inner["parent"], outer["id"]);
                assert_eq!(inner["result"].is_boolean(), true);
            }
        }
        assert_eq!(trace.summary["lost"], 0);
        assert!(program.end());
    }
}
