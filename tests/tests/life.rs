//! Coming and going: the target must not notice, and nothing may be left behind.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::{Folder, Program, Tracer, assert_no_breakpoints, binary, breakpoints_go, calls, interpreters};

/// No event has it.
const SUMMARY_ONLY: &str = "\"type\":\"none\"";

#[test]
fn attaching_and_detaching_under_load_changes_nothing() {
    for python in interpreters() {
        let mut program = Program::start(&python, "busy.py");
        for round in 0..10 {
            let signal = if round % 2 == 0 {
                Signal::SIGINT
            } else {
                Signal::SIGTERM
            };
            let tracer = Tracer::attach(&program, &["-e", "none", "-f", "*operator.*"]);
            program.goes_on();
            let trace = tracer.stop_by(signal);
            assert!(trace.summary["hits"].as_u64() > Some(0));
            program.goes_on();
        }
        assert_no_breakpoints(program.pid());
        program.tell("end");
        assert!(program.end());
    }
}

#[test]
fn python_functions_and_bytecodes_traced_under_load_give_what_they_gave() {
    for python in interpreters() {
        let mut program = Program::start(&python, "busy.py");
        for _ in 0..2 {
            let options = ["-e", "memory,exception", "--calls", "busy.py"];
            let tracer = Tracer::attach_for(&program, &options, SUMMARY_ONLY);
            program.goes_on();
            let trace = tracer.stop();
            let counted = |field: &str| trace.summary[field].as_u64().expect("a number");
            assert!(counted("hits") > 0);
            assert_eq!(
                counted("hits"),
                counted("delivered") + counted("dropped") + counted("filtered")
            );
            program.goes_on();
        }
        assert_no_breakpoints(program.pid());
        program.tell("end");
        assert!(program.end());
    }
}

#[test]
fn a_killed_tracer_leaves_no_breakpoint() {
    for python in interpreters() {
        let mut program = Program::start(&python, "busy.py");
        for _ in 0..3 {
            let options = ["-e", "all", "-f", "*operator.*", "--calls", "*"];
            let tracer = Tracer::attach_for(&program, &options, SUMMARY_ONLY);
            program.goes_on();
            tracer.kill();
            breakpoints_go(program.pid());
            program.goes_on();
        }
        program.tell("end");
        assert!(program.end());
    }
}

#[test]
fn the_tracer_ends_with_its_target() {
    for python in interpreters() {
        for killed in [false, true] {
            let mut program = Program::start(&python, "nested.py");
            let pid = program.pid();
            let tracer = Tracer::attach(&program, &[]);
            program.run();
            if killed {
                program.kill();
            } else {
                assert!(program.end());
            }
            let trace = tracer.wait();
            let exit = trace
                .events
                .iter()
                .find(|event| event["type"] == "process")
                .expect("an exit");
            assert_eq!(
                (&exit["event"], &exit["pid"]),
                (&Value::from("exit"), &Value::from(pid))
            );
            assert!(
                calls(&trace.events)
                    .iter()
                    .any(|call| call["effect"] == "console.print")
            );
        }
    }
}

#[test]
fn limits_and_files_are_kept() {
    let folder = std::env::temp_dir().join(format!("pytrace-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    for python in interpreters() {
        let program = Program::start(&python, "busy.py");
        let only = ["-e", "none", "-f", "*operator.is_"];
        let trace = Tracer::attach(&program, &[&only[..], &["--max-events", "5"]].concat()).wait();
        assert_eq!(calls(&trace.events).len(), 5);
        let trace = Tracer::attach(&program, &[&only[..], &["--duration", "0.1"]].concat()).wait();
        assert!(!calls(&trace.events).is_empty());
        let trace = Tracer::attach(
            &program,
            &[&only[..], &["--errors", "--max-events", "3"]].concat(),
        )
        .wait();
        assert!(calls(&trace.events).iter().all(|call| call["outcome"] == "raise"));
        let file = folder.join("out.txt");
        let status = tests::command(binary())
            .args(["--pid", &program.pid().to_string(), "--max-events", "2", "-o"])
            .arg(&file)
            .args(only)
            .stderr(Stdio::null())
            .status()
            .expect("the tool runs");
        assert!(status.success());
        let mode = std::fs::metadata(&file)
            .expect("the file is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).expect("the file is text");
        assert_eq!(text.lines().count(), 2, "{text}");
        let line = text.lines().next().unwrap_or_default();
        assert!(
            line.contains(" busy.py:") && line.contains("operator.is_("),
            "{line}"
        );
        std::fs::remove_file(&file).expect("the file can be removed");
    }
    let _ = std::fs::remove_dir_all(folder);
}

/// Exit code and standard error of the tool.
fn fails(args: &[&str]) -> (Option<i32>, String) {
    let output = tests::command(binary())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the tool runs");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn what_cannot_be_traced_is_said_in_one_line() {
    let mut child = tests::command("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("cat runs");
    let not_python = child.id().to_string();
    for (pid, part) in [("999999999", "no process"), (not_python.as_str(), "Python")] {
        let (code, stderr) = fails(&["--pid", pid]);
        assert_eq!(code, Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.to_lowercase().contains(&part.to_lowercase()), "{stderr}");
    }
    child.kill().expect("cat can be killed");
    child.wait().expect("cat can be waited for");
    for python in interpreters().into_iter().take(1) {
        let program = Program::start(&python, "busy.py");
        let pid = program.pid().to_string();
        for args in [
            vec!["--pid", &pid, "-e", "flie"],
            vec![],
            vec!["--pid", &pid, "--no-such-option"],
            vec!["--pid", "x"],
        ] {
            assert_eq!(fails(&args).0, Some(2), "{args:?}");
        }
        let (code, stderr) = fails(&["--pid", &pid, "-e", "none", "-f", "no.such.function"]);
        assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
    }
}

#[test]
fn a_table_counts_the_calls_the_program_made() {
    for python in interpreters() {
        let mut program = Program::start(&python, "count.py");
        let only = ["-e", "none", "-f", "*operator.is_", "-c"];
        let tracer = Tracer::attach(&program, &only);
        program.run();
        let trace = tracer.stop();
        assert_eq!(trace.events.len(), 1, "{:?}", trace.events);
        let total = &trace.events[0];
        assert_eq!(
            (&total["type"], &total["errors"]),
            (&Value::from("total"), &Value::from(0))
        );
        let calls = total["calls"].as_u64().expect("a count");
        assert_eq!(calls + trace.summary["lost"].as_u64().expect("a count"), 20_000);
        assert!(
            total["function"]
                .as_str()
                .is_some_and(|name| name.ends_with("operator.is_"))
        );
        assert!(total["max_ns"].as_u64() <= total["total_ns"].as_u64());
        assert!(program.end());
    }
}

#[test]
fn a_program_that_only_looks_like_python_is_refused_with_a_reason() {
    if interpreters().is_empty() {
        return;
    }
    let folder = Folder::new("refused");
    for (name, reason) in [
        ("python3", "no mapped file has its symbols (a static build"),
        ("snake", "no CPython"),
    ] {
        let program = folder.copy_of(Path::new("/bin/cat"), name);
        let mut child = tests::command(&program)
            .stdin(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (code, stderr) = fails(&["--pid", &child.id().to_string()]);
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
        assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains(reason), "{stderr}");
    }
}
