//! The tool, attached to many programs at once.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStderr, ChildStdout, ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{binary, command};

/// One tool that traces them all. Ended when dropped.
pub struct Attached {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it said so far.
    said: String,
}

impl Attached {
    /// Starts it for processes.
    pub fn start(pids: &[u32], args: &[&str], stdout: impl Into<Stdio>) -> Self {
        let pids: Vec<String> = pids.iter().map(|pid| format!("--pid={pid}")).collect();
        let pids: Vec<&str> = pids.iter().map(String::as_str).collect();
        Self::spawn(&[&pids[..], args].concat(), stdout)
    }

    /// Starts it with a command, and returns when it is attached to so many programs.
    pub fn command(args: &[&str], programs: usize) -> Self {
        let mut tool = Self::spawn(args, Stdio::null());
        tool.await_attached(programs);
        tool
    }

    fn spawn(args: &[&str], stdout: impl Into<Stdio>) -> Self {
        let mut child = command(binary())
            .args(args)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        Self {
            stderr: BufReader::new(child.stderr.take().expect("stderr is piped")),
            child,
            said: String::new(),
        }
    }

    /// Starts it and returns when the probes are in.
    pub fn attach(pids: &[u32], args: &[&str], stdout: impl Into<Stdio>) -> Self {
        let mut tool = Self::start(pids, args, stdout);
        tool.await_attached(pids.len());
        tool
    }

    fn await_attached(&mut self, programs: usize) {
        let mut attached = 0;
        while attached < programs {
            let line = self.line().to_owned();
            assert_ne!(line, "", "the tool ended: {}", self.said);
            attached += usize::from(line.contains("attached to"));
        }
    }

    /// The next line on its standard error; empty at the end.
    pub fn line(&mut self) -> &str {
        let before = self.said.len();
        self.stderr.read_line(&mut self.said).expect("text");
        &self.said[before..]
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, where that is piped; once.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// It ends by itself, after the last of its programs; how, and all it said.
    pub fn end(mut self) -> (ExitStatus, String) {
        self.stderr.read_to_string(&mut self.said).expect("text");
        let status = self.child.wait().expect("it can be waited for");
        (status, std::mem::take(&mut self.said))
    }

    /// As [`Self::end`]; it must succeed.
    pub fn wait(self) -> String {
        let (status, said) = self.end();
        assert!(status.success(), "{status}: {said}");
        said
    }

    /// Ends it as Ctrl-C does; it must succeed.
    pub fn stop(self) -> String {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).expect("it lives");
        self.wait()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
