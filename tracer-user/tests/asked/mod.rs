//! A Python process to look at, and to ask.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;

/// A Python process that answers when asked, killed when dropped.
pub struct Python {
    pub child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Python {
    /// `None`, after saying so, where that interpreter is not installed.
    pub fn start(program: &Path, arguments: &[&str]) -> Option<Self> {
        if !program.exists() {
            eprintln!("skipped: no {}", program.display());
            return None;
        }
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut python = Self { child, stdin, stdout };
        assert_eq!(python.line(), "ready");
        Some(python)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends an empty line, and reads the answer.
    pub fn ask<A: DeserializeOwned>(&mut self) -> A {
        self.stdin.write_all(b"\n").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
