//! `run`: the program is traced from its first line, and does not notice.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use tests::{Folder, Run, binary, interpreters, program, without};

/// Each way to start `opens.py`, and where from.
fn starts(python: &Path, folder: &Folder) -> Vec<(&'static str, Vec<String>)> {
    let python = python.display().to_string();
    let source = program("opens.py");
    let text = fs::read_to_string(&source).expect("the program");
    fs::write(folder.path().join("opens_module.py"), &text).expect("a module");
    fs::create_dir_all(folder.path().join("opens_folder")).expect("a folder");
    fs::write(folder.path().join("opens_folder/__main__.py"), &text).expect("a program");
    fs::write(folder.file("script.txt"), format!("#!{python}\n{text}")).expect("a script");
    let script = folder.copy_of(&folder.file("script.txt"), "script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("it can be run");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    vec![
        ("a file", words(&[&python, &source])),
        ("-c", words(&[&python, "-c", &text])),
        ("-m", words(&[&python, "-m", "opens_module"])),
        ("a folder", words(&[&python, "opens_folder"])),
        (
            "standard input",
            words(&["sh", "-c", &format!("exec {python} < {source}")]),
        ),
        ("a script", words(&[&folder.text("script")])),
        (
            "a chain",
            words(&["sh", "-c", &format!("X=1; exec env Y=2 {python} {source}")]),
        ),
    ]
}

/// How the name of the program's file ends.
fn file_of(way: &str) -> &'static str {
    match way {
        "-c" => "<string>",
        "-m" => "opens_module.py",
        "a folder" => "__main__.py",
        "standard input" => "<stdin>",
        "a script" => "script",
        _ => "opens.py",
    }
}

#[test]
fn code_that_is_gone_has_its_names() {
    const COUNT: usize = 2000;
    for python in interpreters() {
        let (script, count) = (program("short_lived_code.py"), COUNT.to_string());
        let command = [python.as_os_str(), script.as_ref(), count.as_ref()];
        let ran = Run::start(&["-e", "file.stat", "--stack", "3"], &command).wait();
        assert!(ran.status.success(), "{}", ran.stderr);
        let calls = ran.events.iter().filter(|event| event["args"] == json!(["/"]));
        let stacks: Vec<&Value> = calls.map(|call| &call["stack"]).collect();
        assert_eq!(stacks.len(), COUNT);
        for (n, stack) in stacks.into_iter().enumerate() {
            let (file, first) = (format!("/generated/file-{n}.py"), n % 7 + 1);
            let expected = json!([
                {"function": format!("inner{n}"), "file": file, "line": first + 1},
                {"function": "<module>", "file": file, "line": first + 2},
                {"function": "<module>", "file": script, "line": 8},
            ]);
            assert_eq!(*stack, expected);
        }
    }
}

#[test]
fn of_short_programs_everything_has_its_name() {
    for python in interpreters() {
        let folder = Folder::new("short");
        let (script, path) = (program("short_lived.py"), folder.text(""));
        let command = [python.as_os_str(), script.as_ref(), path.as_ref()];
        let ran = Run::start(&["--follow", "-e", "file"], &command).wait();
        assert!(ran.status.success(), "{}", ran.stderr);
        let said = tests::parse(&ran.output[0]);
        let writes = ran.calls_of("posix.write");
        let of_fd = |call: &&Value| json!([call["pid"], call["target"]["fd"], call["target"]["path"]]);
        let mut seen: Vec<Value> = writes.iter().map(of_fd).collect();
        // The child's come when the daemon has seen that there is a child.
        seen.sort_by_key(|call| call[0].as_u64() != said[0][0].as_u64());
        assert_eq!(json!(seen), said, "{}", python.display());
        for event in &ran.events {
            let target = &event["target"];
            let named = target["path"].is_string() || event["effect"] == "file.open";
            assert!(target["fd"].is_null() || named, "{event}");
            assert!(!event.to_string().contains("\"?\""), "{event}");
        }
    }
}

#[test]
fn nothing_is_missed_whatever_way_it_starts() {
    for python in interpreters() {
        let folder = Folder::new("starts");
        for (way, command) in starts(&python, &folder) {
            let ran = Run::start_in(folder.path(), &["-e", "file"], &command).wait();
            assert_eq!(ran.status.code(), Some(7), "{way}: {}", ran.stderr);
            assert_eq!(ran.output, ["opened"], "{way}");
            let opens: Vec<_> = ran
                .calls_of("posix.open")
                .into_iter()
                .filter(|call| call["args"][0] == "/dev/null")
                .collect();
            let [open] = opens[..] else {
                panic!("{way}: {} opens\n{}", opens.len(), ran.stderr);
            };
            let result = open["result"].as_i64().expect("a descriptor");
            assert!(result > 2);
            let frame = &open["stack"][0];
            let line = if way == "a script" { 6 } else { 5 };
            assert_eq!(
                (&frame["function"], &frame["line"]),
                (&json!("<module>"), &json!(line)),
                "{way}"
            );
            let file = frame["file"].as_str().expect("a file");
            assert!(file.ends_with(file_of(way)), "{way}: {file}");
            let known = without(
                open,
                &[
                    "id",
                    "pid",
                    "tid",
                    "time_ns",
                    "duration_ns",
                    "stack",
                    "result",
                    "target",
                ],
            );
            assert_eq!(
                known,
                json!({
                    "type": "call", "parent": null, "function": "posix.open", "effect": "file.open",
                    "args": ["/dev/null", 1], "kwargs": {}, "outcome": "return",
                }),
                "{way}"
            );
            assert_eq!(ran.happened("exit").len(), 1, "{way}");
        }
    }
}

#[test]
fn it_ends_as_the_program_ends() {
    for python in interpreters() {
        for (code, expected) in [
            ("pass", 0),
            ("import sys; sys.exit(3)", 3),
            ("import os; os.kill(os.getpid(), 9)", 128 + 9),
            ("import os; os.kill(os.getpid(), 15)", 128 + 15),
        ] {
            let ran = Run::start(&[], &[python.as_os_str(), "-c".as_ref(), code.as_ref()]).wait();
            assert_eq!(ran.status.code(), Some(expected), "{code}: {}", ran.stderr);
        }
    }
}

#[test]
fn what_cannot_be_started_is_said_in_one_line() {
    if interpreters().is_empty() {
        return;
    }
    for (args, code) in [
        (&["run", "--", "/no/such/program"][..], 1),
        (&["run", "--", "no-such-program-here"][..], 1),
        (&["run", "-e", "flie", "--", "true"][..], 2),
        (&["run", "--pid", "1", "--", "true"][..], 2),
        (&["run"][..], 2),
    ] {
        let output = tests::command(binary())
            .args(args)
            .output()
            .expect("the tool runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        if code == 1 {
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
        }
    }
    // No Python: it runs all the same.
    let ran = Run::start(&[], &["sh", "-c", "echo hello; exit 4"]).wait();
    assert_eq!(
        (ran.status.code(), ran.output),
        (Some(4), vec!["hello".to_owned()])
    );
    assert!(ran.stderr.contains("no Python began"), "{}", ran.stderr);
}

#[test]
fn signals_reach_the_program() {
    for python in interpreters() {
        let command = [python.as_os_str(), program("signalled.py").as_ref()].map(ToOwned::to_owned);
        let mut run = Run::start(&["-e", "process"], &command);
        assert_eq!(run.line().as_deref(), Some("ready"));
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1] {
            kill(run.pid(), signal).expect("the tool lives");
            assert_eq!(run.line(), Some(format!("signal {}", signal as i32)));
        }
        let ran = run.wait();
        assert_eq!(ran.status.code(), Some(5), "{}", ran.stderr);
    }
}

#[test]
fn it_may_stop_tracing_before_the_program_ends() {
    for python in interpreters() {
        let code = "import os, sys\nfor n in range(50): os.stat('/')\nsys.stdin.readline()\nprint('end')";
        let command = [python.as_os_str(), "-c".as_ref(), code.as_ref()];
        let mut run = Run::start(&["-e", "file.stat", "--max-events", "3"], &command);
        run.tell("go on");
        let ran = run.wait();
        assert_eq!(ran.output, ["end"]);
        assert!(ran.status.success());
        assert_eq!(ran.summary["events"], 3);
    }
}

#[test]
fn a_killed_tool_leaves_no_stopped_program() {
    for python in interpreters() {
        for imports in 1..=4 {
            // Every import stops it for a moment, which is where it is most of the time.
            let script = program("late.py");
            let command = [python.as_os_str(), script.as_ref(), "loop".as_ref(), "8".as_ref()];
            let mut run = Run::start(&["-e", "file"], &command);
            let name = run.line().expect("the module's name");
            for _ in 0..imports {
                assert_eq!(run.line().as_deref(), Some("imported"), "{name}");
            }
            run.kill_tool();
            for _ in imports..8 {
                assert_eq!(run.line().as_deref(), Some("imported"), "it was left stopped");
            }
            assert_eq!(run.line(), None);
        }
    }
}
