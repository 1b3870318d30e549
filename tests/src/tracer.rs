//! The tool, attached to a program.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::Program;

/// In the last line and in no other.
const SUMMARY: &str = "\"type\":\"summary\"";

/// The binary under test.
pub fn binary() -> PathBuf {
    env::var_os("PYTRACE_BIN")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/release/pytrace-ebpf"))
}

/// The functions that the tool finds in a process, each with its calling convention.
pub fn functions(program: &Program) -> Vec<(String, String)> {
    let output = crate::command(binary())
        .args(["functions", "--pid", &program.pid().to_string()])
        .output()
        .expect("the tool starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let listed = String::from_utf8_lossy(&output.stdout);
    let columns = |line: &str| {
        let mut columns = line.split_whitespace().map(str::to_owned);
        // Name, effect, convention.
        Some((columns.next()?, columns.nth(1)?))
    };
    listed.lines().filter_map(columns).collect()
}

/// A tracer that is attached. Detached when dropped.
pub struct Tracer {
    child: Child,
    /// Reads all along, so that the tool never waits for us.
    output: Option<JoinHandle<Vec<String>>>,
    pub header: Value,
}

/// What a tracer printed.
#[derive(Debug)]
pub struct Trace {
    pub header: Value,
    /// Everything between header and summary.
    pub events: Vec<Value>,
    pub summary: Value,
    pub stderr: String,
}

impl Trace {
    /// The version of the traced Python.
    pub fn python(&self) -> &str {
        self.header["targets"][0]["python"]
            .as_str()
            .expect("the header names it")
    }

    /// Is it a Python 2?
    pub fn is_python2(&self) -> bool {
        self.python().starts_with("2.")
    }
}

impl Tracer {
    /// Attaches to a program; returns when the probes are in.
    pub fn attach(program: &Program, args: &[&str]) -> Self {
        Self::attach_for(program, args, "")
    }

    /// As [`Self::attach`]; of the events, only the lines with this text in them are kept.
    pub fn attach_for(program: &Program, args: &[&str], text: &'static str) -> Self {
        Self::begin(crate::command(binary()), program, args, text)
    }

    /// `stat`, attached to a program. `links`: by programs for entries and returns, as on kernels without session programs.
    pub fn stat(program: &Program, links: bool, args: &[&str]) -> Self {
        let mut tool = crate::command(binary());
        if links {
            tool.env("PYTRACE_PROBES", "links");
        }
        tool.arg("stat");
        Self::begin(tool, program, args, "")
    }

    /// As [`Self::attach`], by programs for entries and returns, as on kernels without session programs.
    pub fn attach_by_links(program: &Program, args: &[&str]) -> Self {
        let mut tool = crate::command(binary());
        tool.env("PYTRACE_PROBES", "links");
        Self::begin(tool, program, args, "")
    }

    /// As [`Self::attach`], with probes as on kernels that have no `uprobe_multi` links.
    pub fn attach_by_events(program: &Program, args: &[&str]) -> Self {
        let mut tool = crate::command(binary());
        tool.env("PYTRACE_PROBES", "events");
        Self::begin(tool, program, args, "")
    }

    fn begin(mut tool: Command, program: &Program, args: &[&str], text: &'static str) -> Self {
        let mut child = tool
            .args(["--pid", &program.pid().to_string(), "--format", "json"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        let mut output = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let Some(Ok(header)) = output.next() else {
            let mut stderr = String::new();
            let _ = child
                .stderr
                .take()
                .expect("stderr is piped")
                .read_to_string(&mut stderr);
            panic!("no header; {stderr}");
        };
        let header: Value = serde_json::from_str(&header).expect("the header is JSON");
        assert_eq!(header["type"], "header");
        assert_eq!(header["v"], 1);
        let output = thread::spawn(move || {
            let lines = output.map(|line| line.expect("text"));
            lines
                .filter(|line| line.contains(text) || line.contains(SUMMARY))
                .collect()
        });
        Self {
            child,
            output: Some(output),
            header,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Ends it by a signal and collects what it printed.
    pub fn stop_by(self, signal: Signal) -> Trace {
        kill(self.pid(), signal).expect("the tracer lives");
        self.wait()
    }

    /// As Ctrl-C does.
    pub fn stop(self) -> Trace {
        self.stop_by(Signal::SIGINT)
    }

    /// Kills it, which leaves it no time to detach.
    pub fn kill(mut self) {
        self.child.kill().expect("the tracer can be killed");
        self.child.wait().expect("the tracer can be waited for");
    }

    /// Waits until it ends by itself; it must succeed.
    pub fn wait(mut self) -> Trace {
        let output = self.output.take().expect("it is waited for once");
        let lines = output.join().expect("the output is text");
        let mut events: Vec<Value> = lines.iter().map(|line| crate::parse(line)).collect();
        let mut stderr = String::new();
        let _ = self
            .child
            .stderr
            .take()
            .expect("stderr is piped")
            .read_to_string(&mut stderr);
        let status = self.child.wait().expect("the tracer can be waited for");
        assert!(status.success(), "{status}: {stderr}");
        let summary = events.pop().expect("there is a summary");
        assert_eq!(summary["type"], "summary");
        Trace {
            header: std::mem::take(&mut self.header),
            events,
            summary,
            stderr,
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Nobody reads its output any more, so it could not end by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
