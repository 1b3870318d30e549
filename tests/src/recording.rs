//! Recordings: made by the tool, printed again by it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, ChildStderr, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Program, Trace, binary, parse};

/// A tracer that records. Killed when dropped.
pub struct Recording {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Recording {
    /// Attaches to a program; returns when the probes are in.
    pub fn of(program: &Program, file: &Path, args: &[&str]) -> Self {
        let mut child = crate::command(binary())
            .args(["--pid", &program.pid().to_string(), "-o"])
            .arg(file)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut said = String::new();
        while !said.contains("attached to") {
            assert_ne!(stderr.read_line(&mut said).expect("text"), 0, "{said}");
        }
        Self { child, stderr }
    }

    /// Ends it as Ctrl-C does; it must succeed. What it said at the end.
    pub fn stop(mut self) -> String {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).expect("the tracer lives");
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("text");
        let status = self.child.wait().expect("the tracer can be waited for");
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// Kills it, which leaves it no time to write anything.
    pub fn kill(mut self) {
        self.child.kill().expect("the tracer can be killed");
        self.child.wait().expect("the tracer can be waited for");
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command of the tool printed.
#[derive(Debug)]
pub struct Printed {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the tool to its end.
pub fn tool(args: &[&str]) -> Printed {
    let output = crate::command(binary())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the tool runs");
    Printed {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Replays a recording as JSON; it must succeed.
pub fn replay(file: &Path, args: &[&str]) -> Trace {
    let file = file.to_str().expect("a path that is text");
    let printed = tool(&[&["replay", file, "--format", "json"], args].concat());
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let mut lines: Vec<_> = printed.stdout.lines().map(parse).collect();
    let summary = lines.pop().expect("a summary");
    let header = lines.remove(0);
    assert_eq!(
        (&header["type"], &summary["type"]),
        (&"header".into(), &"summary".into())
    );
    Trace {
        header,
        events: lines,
        summary,
        stderr: printed.stderr,
    }
}
