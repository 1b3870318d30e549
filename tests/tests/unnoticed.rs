//! `run`: a program begins as it would without the tool, whatever that was started with, and does not see the signals by
//! which the tool makes it wait.

use std::process::Stdio;

use tests::{Folder, Run, binary, interpreters, program};

/// Starts `command` from `begins_as.py`; what it prints, and its exit code.
fn started(python: &str, as_what: &str, command: &[&str]) -> (String, Option<i32>) {
    let folder = Folder::new("begins");
    let output = std::fs::File::create(folder.file("output")).expect("a file");
    let mut child = tests::command(python)
        .args([&program("begins_as.py"), as_what])
        .args(command)
        .stdin(Stdio::null())
        .stdout(output)
        .spawn()
        .expect("the interpreter starts");
    let status = child.wait().expect("it can be waited for");
    let printed = std::fs::read_to_string(folder.file("output")).expect("text");
    // Each has an output of its own.
    (printed.replace(&folder.text("output"), "OUTPUT"), status.code())
}

#[test]
fn a_program_begins_as_without_the_tool() {
    let tool = binary().display().to_string();
    for python in interpreters() {
        let python = python.display().to_string();
        let script = program("begun.py");
        // Python ignores SIGPIPE whatever it was started with; another program shows what that was.
        let signals = ["/bin/grep", "SigIgn", "/proc/self/status"];
        for command in [&[python.as_str(), &script][..], &signals] {
            for as_what in ["usual", "closed", "pipe"] {
                let folder = Folder::new("events");
                let events = folder.text("events");
                let traced = [&tool, "run", "--follow", "-e", "all", "-o", &events, "--"];
                let expected = started(&python, as_what, command);
                assert!(!expected.0.is_empty() && expected.1 == Some(0), "{expected:?}");
                let traced = started(&python, as_what, &[&traced[..], command].concat());
                assert_eq!(traced, expected, "{python} {as_what}");
            }
        }
    }
}

#[test]
fn a_program_that_looks_at_sigcont_sees_none() {
    for python in interpreters() {
        let script = program("continued.py");
        let command = [python.as_os_str(), script.as_ref()];
        let ran = Run::start(&["--follow", "-e", "file"], &command).wait();
        assert!(ran.status.success(), "{}", ran.stderr);
        assert_eq!(
            ran.output,
            ["handled 0, in a child 0", "pending 0"],
            "{}",
            python.display()
        );
    }
}

#[test]
fn a_shell_with_job_control_waits_for_its_jobs() {
    for python in interpreters() {
        let job = format!("{} -c 'import os; os._exit(7)'", python.display());
        let command = ["bash", "-c", &format!("set -m; {job}; echo $?")];
        let ran = Run::start(&["--follow", "-e", "file"], &command).wait();
        assert_eq!(ran.output, ["7"], "{}", ran.stderr);
        assert!(ran.status.success());
    }
}
