//! The tool itself, started as a program of its own.

use std::{
    ffi::OsString,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    time::timeout,
};

/// How long a tracer may take to detach before it is left to itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tracer.
pub struct Tracer {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    /// Both have ended.
    ended: [bool; 2],
}

/// What a tracer says.
pub enum Said {
    Out(String),
    Err(String),
    /// Nothing more.
    End,
}

impl Tracer {
    pub fn start(args: &[OsString]) -> anyhow::Result<Self> {
        let tool = std::env::current_exe().context("the tool itself")?;
        let mut child = Command::new(tool)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the tracer")?;
        let stdout = child.stdout.take().context("its output")?;
        let stderr = child.stderr.take().context("its messages")?;
        Ok(Self {
            child,
            stdout: BufReader::new(stdout).lines(),
            stderr: BufReader::new(stderr).lines(),
            ended: [false; 2],
        })
    }

    /// The next line, of either. May be dropped and called again.
    pub async fn next(&mut self) -> Said {
        loop {
            if self.ended == [true; 2] {
                return Said::End;
            }
            let (line, from, said): (_, _, fn(String) -> Said) = tokio::select! {
                line = self.stdout.next_line(), if !self.ended[0] => (line, 0, Said::Out),
                line = self.stderr.next_line(), if !self.ended[1] => (line, 1, Said::Err),
            };
            match line {
                Ok(Some(line)) => return said(line),
                Ok(None) | Err(_) => self.ended[from] = true,
            }
        }
    }

    /// Tells it to detach; it takes its probes out by itself.
    pub fn stop(&self) {
        if let Some(pid) = self.child.id() {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGINT);
        }
    }

    /// Takes what it still says, until it has ended; how it ended.
    pub async fn end(mut self, mut err: impl FnMut(String)) -> Option<ExitStatus> {
        self.stop();
        let rest = async {
            loop {
                match self.next().await {
                    Said::Out(_) => {}
                    Said::Err(line) => err(line),
                    Said::End => return self.child.wait().await.ok(),
                }
            }
        };
        timeout(PATIENCE, rest).await.ok().flatten()
    }
}
