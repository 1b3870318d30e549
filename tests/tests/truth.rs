//! Whole events against what the traced program wrote down itself.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{
    Program, Trace, Tracer, assert_beginning, assert_no_breakpoints, assert_same, calls, interpreters, known,
    own_calls, truth_functions,
};

/// Compares all calls that a program makes by `truth.call`.
fn traced(program: &str) {
    for python in interpreters() {
        let mut program = Program::start(&python, program);
        let tracer = Tracer::attach(&program, &truth_functions());
        let truth = program.run();
        let trace = tracer.stop();
        let calls = own_calls(&trace.events);
        assert_same(&calls, &truth);
        assert_eq!(trace.summary["lost"], 0);
        assert_eq!(trace.summary["faults"], 0);
        assert!(program.end(), "the program went on as if nothing was");
    }
}

#[test]
fn values_are_those_at_the_moment_of_the_call() {
    traced("values.py");
}

#[test]
fn probes_by_perf_events_see_the_same() {
    let expedited = || std::fs::read_to_string("/sys/kernel/rcu_expedited").expect("it can be read");
    let before = expedited();
    // Taking each of them out takes a tenth of a second: a few interpreters are enough.
    for python in interpreters().into_iter().take(3) {
        let mut program = Program::start(&python, "values.py");
        let tracer = Tracer::attach_by_events(&program, &truth_functions());
        let truth = program.run();
        let trace = tracer.stop();
        assert_same(&own_calls(&trace.events), &truth);
        assert_eq!(trace.summary["lost"], 0);
        assert_no_breakpoints(program.pid());
        assert!(program.end(), "the program went on as if nothing was");
    }
    // A process of its own may still be closing what the tool left behind.
    let deadline = Instant::now() + Duration::from_secs(60);
    while expedited() != before {
        assert!(
            Instant::now() < deadline,
            "the kernel hurries no longer than it was asked to"
        );
    }
}

#[test]
fn one_object_has_one_id_and_an_id_is_good_as_long_as_its_object() {
    for python in interpreters() {
        let mut program = Program::start(&python, "identity.py");
        let functions = [
            "-e",
            "none",
            "-f",
            "*operator.truth",
            "-f",
            "*operator.is_",
            "-f",
            "*dict.get",
        ];
        let tracer = Tracer::attach(&program, &functions);
        let truth = program.run();
        let trace = tracer.stop();
        let calls = own_calls(&trace.events);
        assert_same(&calls, &truth);
        let id = &calls[0]["args"][0]["id"];
        let others = [
            &calls[1]["args"][0]["dict"][0][1],
            &calls[1]["args"][1],
            &calls[2]["result"],
            &calls[3]["args"][0]["tuple"][0],
            &calls[3]["args"][0]["tuple"][1],
            &calls[3]["args"][1]["list"][0]["dict"][0][1],
        ];
        for other in others {
            assert_eq!(&other["id"], id);
            assert_eq!(other["list"], json!([1, 2]), "as it was at that call");
        }
        assert!(program.end());
    }
}

#[test]
fn of_values_beyond_all_limits_the_beginning_is_shown() {
    for python in interpreters() {
        let mut program = Program::start(&python, "beyond.py");
        let functions = [
            "-e",
            "none",
            "-f",
            "*operator.truth",
            "-f",
            "*operator.is_",
            "-f",
            "*dict.update",
        ];
        let tracer = Tracer::attach(&program, &functions);
        let truth = program.run();
        let trace = tracer.stop();
        let calls = own_calls(&trace.events);
        assert_eq!(calls.len(), truth.len());
        for (event, truth) in calls.iter().zip(&truth) {
            let (event, truth) = known(event, truth);
            assert_beginning(&event, &truth);
        }
        assert!(trace.summary["truncated"].as_u64() > Some(0), "and it is counted");
        assert_eq!(trace.summary["lost"], 0);
        assert!(program.end());
    }
}

#[test]
fn results_and_exceptions_are_told_apart() {
    traced("outcomes.py");
}

#[test]
fn every_call_has_the_line_it_stands_on() {
    for python in interpreters() {
        let mut program = Program::start(&python, "lines.py");
        let tracer = Tracer::attach(&program, &["-e", "none", "-f", "posix.getppid", "--stack", "5"]);
        let expected = program.run().remove(0);
        let trace = tracer.stop();
        let mut frames: Vec<Value> = calls(&trace.events)
            .iter()
            .map(|call| call["stack"].clone())
            .collect();
        let evaluated = frames.pop().expect("the last call is the one in eval");
        let lines: Vec<Value> = frames.iter().map(|stack| stack[0]["line"].clone()).collect();
        // The program lists its marks from top to bottom; calls come in that order too.
        assert_eq!(json!(lines), expected, "{}", python.display());
        // The code object of an eval() may be gone before it can be named; then nothing is made up.
        let name = &evaluated[0]["function"];
        assert!(
            name == "<module>" || (name == "?" && evaluated[0]["line"].is_null()),
            "{evaluated}"
        );
        let functions: Vec<&Value> = frames.iter().map(|stack| &stack[0]["function"]).collect();
        // Frames have qualified names from 3.11 on.
        assert!(functions[2] == "nested.<locals>.inner" || functions[2] == "inner");
        assert_eq!(frames[2][1]["function"], "nested");
        assert_eq!(frames[2][2]["function"], "<module>");
        assert!(program.end());
    }
}

#[test]
fn counters_agree_with_the_programs_own_count() {
    for python in interpreters() {
        for ring in ["1", "16"] {
            let mut program = Program::start(&python, "count.py");
            let tracer = Tracer::attach(&program, &["-e", "none", "-f", "*operator.is_", "--ring", ring]);
            program.run();
            let trace = tracer.stop();
            let n = |field: &str| trace.summary[field].as_u64().expect("a counter");
            assert_eq!(n("hits"), 20_000);
            assert_eq!(n("hits"), n("delivered") + n("dropped") + n("filtered"));
            assert_eq!(
                n("return_hits"),
                n("return_delivered") + n("return_dropped") + n("return_filtered")
            );
            assert_eq!(n("lost"), n("dropped"));
            assert_eq!(calls(&trace.events).len() as u64, n("delivered"));
            assert!(program.end());
        }
    }
}

#[test]
fn a_call_inside_a_call_has_it_as_parent() {
    for python in interpreters() {
        let mut program = Program::start(&python, "nested.py");
        let tracer = Tracer::attach(&program, &["--nested"]);
        program.run();
        let trace = tracer.stop();
        let calls = calls(&trace.events);
        let print = calls
            .iter()
            .find(|call| call["args"] == json!(["inner"]))
            .expect("print is seen");
        let write = calls
            .iter()
            .find(|call| call["function"] == "posix.write")
            .expect("write is seen");
        assert_eq!(print["function"], json!(builtin(&trace, "print")));
        assert_eq!(write["args"][1], bytes(&trace, "inner", "aW5uZXI="));
        assert_eq!(print["parent"], Value::Null);
        assert_eq!(write["parent"], print["id"]);
        assert!(
            ["File.write", "write"].contains(&write["stack"][0]["function"].as_str().unwrap_or_default())
        );
        assert!(program.end());
    }
}

/// The name of a builtin function in that version.
fn builtin(trace: &Trace, name: &str) -> String {
    let module = if trace.is_python2() {
        "__builtin__"
    } else {
        "builtins"
    };
    format!("{module}.{name}")
}

/// ASCII bytes, which are Python 2's strings.
fn bytes(trace: &Trace, text: &str, base64: &str) -> Value {
    if trace.is_python2() {
        json!(text)
    } else {
        json!({ "bytes": base64 })
    }
}

#[test]
fn a_default_trace_shows_each_act_once() {
    for python in interpreters() {
        let mut program = Program::start(&python, "effects.py");
        let tracer = Tracer::attach(&program, &[]);
        program.run();
        let trace = tracer.stop();
        let seen = |effect: &str, args: Value| {
            let calls = calls(&trace.events);
            let of: Vec<_> = calls
                .into_iter()
                .filter(|call| call["effect"] == effect && (args.is_null() || call["args"] == args))
                .collect();
            assert_eq!(of.len(), 1, "{effect} {args}: {of:?}");
            of[0].clone()
        };
        let opened = seen(
            "file.open",
            json!([seen("file.rename", Value::Null)["args"][0], "w"]),
        );
        assert_eq!(opened["target"]["path"], opened["args"][0]);
        let write = seen("file.write", json!(["hello"]));
        assert_eq!(write["self"]["object"], "_io.TextIOWrapper");
        assert_eq!(
            seen("net.send", json!([bytes(&trace, "ping", "cGluZw==")]))["result"],
            4
        );
        assert_eq!(
            seen("net.recv", json!([16]))["result"],
            bytes(&trace, "ping", "cGluZw==")
        );
        let insert = json!(["insert into t values (?)", {"tuple": [1]}]);
        assert_eq!(
            seen("db.execute", insert)["target"]["sql"],
            "insert into t values (?)"
        );
        seen("db.commit", Value::Null);
        seen("env.set", Value::Null);
        assert_eq!(seen("process.spawn", json!(["true"]))["result"], 0);
        assert_eq!(seen("console.print", json!(["printed"]))["result"], Value::Null);
        assert_eq!(trace.summary["lost"], 0);
        assert!(program.end());
    }
}
