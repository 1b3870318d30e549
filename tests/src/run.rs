//! The tool, started with a program.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;

use crate::Folder;

/// A program of `tests/programs`.
pub fn program(name: &str) -> String {
    format!("{}/programs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// `pytrace-ebpf run`, running. Events go to a file. What it started is ended, by its process group, when dropped.
pub struct Run {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    folder: Folder,
    /// The program has ended.
    ended: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    /// What the program wrote that was not read yet.
    pub output: Vec<String>,
    pub header: Value,
    pub events: Vec<Value>,
    pub summary: Value,
    pub stderr: String,
}

impl Run {
    /// Starts `command` under the tool.
    pub fn start<S: AsRef<OsStr>>(args: &[&str], command: &[S]) -> Self {
        Self::start_in(Path::new("/"), args, command)
    }

    /// The same, in that folder.
    pub fn start_in<S: AsRef<OsStr>>(at: &Path, args: &[&str], command: &[S]) -> Self {
        let folder = Folder::new("run");
        let mut child = crate::command(crate::binary())
            .args(["run", "--format", "json", "-o", &folder.text("events")])
            .args(args)
            .arg("--")
            .args(command)
            .current_dir(at)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Self {
            child,
            input,
            output,
            folder,
            ended: false,
        }
    }

    /// The tool's process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// The next line of the program; `None`: it, and whoever else had its output, has ended.
    pub fn line(&mut self) -> Option<String> {
        let line = self.output.next().map(|line| line.expect("text"));
        self.ended = line.is_none();
        line
    }

    /// Sends the program a line.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("stdin is open"), "{line}").expect("the program lives");
    }

    /// Kills the tool; the program may go on.
    pub fn kill_tool(&mut self) {
        self.child.kill().expect("the tool can be killed");
        self.child.wait().expect("the tool can be waited for");
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Ran {
        self.input.take();
        let mut output = Vec::new();
        while let Some(line) = self.line() {
            output.push(line);
        }
        let mut stderr = String::new();
        let pipe = self.child.stderr.take();
        let _ = pipe.expect("stderr is piped").read_to_string(&mut stderr);
        let status = self.child.wait().expect("the tool can be waited for");
        let text = fs::read_to_string(self.folder.text("events")).unwrap_or_default();
        let mut events: Vec<Value> = text.lines().map(crate::parse).collect();
        assert!(events.len() >= 2, "no header and summary: {status} {stderr}");
        let header = events.remove(0);
        let summary = events.pop().unwrap_or_default();
        assert_eq!(
            (&header["type"], &summary["type"]),
            (&"header".into(), &"summary".into())
        );
        assert_eq!(summary["lost"], 0, "{summary}");
        let number = |key: &str| summary[key].as_u64().expect("a number");
        assert_eq!(
            number("hits"),
            number("delivered") + number("filtered") + number("skipped"),
            "{summary}"
        );
        Ran {
            status,
            output,
            header,
            events,
            summary,
            stderr,
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.ended {
            let _ = killpg(self.pid(), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ran {
    /// The calls of one function.
    pub fn calls_of(&self, function: &str) -> Vec<&Value> {
        let calls = self.events.iter();
        calls.filter(|event| event["function"] == function).collect()
    }

    /// What happened to processes: `(event, pid)`.
    pub fn happened(&self, event: &str) -> Vec<&Value> {
        let events = self.events.iter();
        events
            .filter(|line| line["type"] == "process" && line["event"] == event)
            .collect()
    }
}
