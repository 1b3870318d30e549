//! `run` on a terminal: Ctrl-C is the program's, and the tool waits for what it makes of it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use nix::pty::openpty;
use tests::{Folder, binary, interpreters, parse, program};

#[test]
fn ctrl_c_is_for_the_program() {
    for python in interpreters() {
        let folder = Folder::new("terminal");
        let pty = openpty(None, None).expect("a terminal");
        let slave = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        // The program's own way to end is the tool's, and the session's.
        let mut child = tests::command("setsid")
            // Whoever starts the tests in the background has them ignored, and all that they start.
            .args(["--ctty", "--wait", "env", "--default-signal=HUP,INT,QUIT"])
            .arg(binary())
            .args([
                "run",
                "--format",
                "json",
                "-e",
                "file.stat",
                "-o",
                &folder.text("events"),
                "--",
            ])
            .arg(&python)
            .arg(program("interrupted.py"))
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .expect("setsid starts");
        let mut master = File::from(pty.master);
        drop(pty.slave);
        let mut lines = BufReader::new(master.try_clone().expect("a descriptor")).lines();
        // Reading fails when the last one has closed the terminal.
        let mut line = || {
            lines
                .next()
                .and_then(Result::ok)
                .map(|line| line.trim_end().to_owned())
        };
        assert_eq!(line().as_deref(), Some("tty True"));
        assert_eq!(line().as_deref(), Some("ready"));
        master.write_all(b"\x03").expect("the terminal takes Ctrl-C");
        let rest: Vec<String> = std::iter::from_fn(line).collect();
        assert!(
            rest.first().is_some_and(|line| line.ends_with("interrupted")),
            "{rest:?}"
        );
        assert_eq!(child.wait().expect("it ends").code(), Some(9), "{rest:?}");
        let events = std::fs::read_to_string(folder.text("events")).expect("events");
        let last = parse(events.lines().last().expect("a summary"));
        assert_eq!((&last["type"], &last["lost"]), (&"summary".into(), &0.into()));
        let stats = events
            .lines()
            .map(parse)
            .filter(|event| event["args"] == serde_json::json!(["/"]) && event["stack"][0]["line"] == 12);
        assert_eq!(stats.count(), 1, "what it does after Ctrl-C is seen");
    }
}
