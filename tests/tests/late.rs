//! Modules that are imported when the probes are already in.

use serde_json::json;
use tests::{Folder, Program, Run, Tracer, assert_no_breakpoints, calls, interpreters, program};

#[test]
fn nothing_is_missed_of_a_module_imported_later() {
    for python in interpreters() {
        let script = program("late.py");
        let command = [python.as_os_str(), script.as_ref(), "once".as_ref()];
        let ran = Run::start(&["-e", "none", "-f", "*zlib.crc32"], &command).wait();
        assert!(ran.status.success(), "{}", ran.stderr);
        let calls = ran.calls_of("zlib.crc32");
        assert_eq!(calls.len(), 1, "{}", ran.stderr);
        let is_python2 = ran.header["targets"][0]["python"]
            .as_str()
            .is_some_and(|version| version.starts_with("2."));
        let first = if is_python2 {
            json!("first")
        } else {
            json!({"bytes": "Zmlyc3Q="})
        };
        assert_eq!(calls[0]["args"], json!([first]));
        // Some interpreters have imported it by themselves.
        let loads = ran.happened("load");
        assert_eq!(loads.len(), usize::from(ran.output == ["new"]), "{loads:?}");
        for load in loads {
            assert_eq!(load["gap_ns"], 0, "it waited");
            assert!(load["functions"].as_u64() > Some(0));
        }
    }
}

#[test]
fn attached_to_a_process_the_gap_is_told() {
    for python in interpreters() {
        let mut program = Program::start(&python, "late_calls.py");
        // `abs` is there from the start, so that there is something to trace.
        let args = [
            "-e",
            "none",
            "-f",
            "*zlib.crc32",
            "-f",
            "*.abs",
            "--max-events",
            "3",
        ];
        let tracer = Tracer::attach(&program, &args);
        program.tell("import");
        let is_new = program.line() == "new";
        let trace = tracer.wait();
        assert!(
            calls(&trace.events)
                .iter()
                .any(|call| call["function"] == "zlib.crc32")
        );
        let load = trace.events.iter().find(|event| event["event"] == "load");
        if is_new {
            let load = load.expect("it was told");
            let gap = load["gap_ns"].as_u64().expect("a number");
            println!("GAP: {} us, Python {}", gap / 1000, trace.python());
            assert!(gap > 0);
        }
        program.tell("end");
        assert!(program.end());
    }
}

/// Its probes are where they were, in the same files: what is known of its memory is wrong from then on.
#[test]
fn a_process_that_runs_another_program_is_not_read_as_the_one_before() {
    for python in interpreters() {
        let folder = Folder::new("become");
        let mut program = Program::start_of(&python, "worker.py", &[&folder.text("")]);
        let tracer = Tracer::attach(&program, &["-e", "world"]);
        program.run_with(&format!("work {} 2", folder.text("before")));
        program.tell("become");
        assert_eq!(program.line(), "ready");
        program.run_with(&format!("work {} 2", folder.text("after")));
        // It ends by itself: nothing is left to trace.
        let trace = tracer.wait();
        let called = calls(&trace.events);
        let opened: Vec<&str> = called
            .iter()
            .filter(|call| call["function"] == "posix.open")
            .filter_map(|call| call["target"]["path"].as_str())
            .filter(|path| path.starts_with(&folder.text("")))
            .collect();
        assert_eq!(opened, [folder.text("before-0"), folder.text("before-1")]);
        let last = trace.events.last().expect("there are events");
        assert_eq!(
            (&last["type"], &last["event"]),
            (&json!("process"), &json!("exec")),
            "{last}"
        );
        assert!(trace.stderr.contains("runs another program"), "{}", trace.stderr);
        assert_no_breakpoints(program.pid());
        assert!(program.end());
    }
}
