//! A Python program of `tests/programs`.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde_json::Value;

/// The folder `tests/programs`.
pub fn programs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// What such a program (`busy.py`) says when it is asked: how far it is. All its results must have been right.
pub fn rightly(line: &str) -> u64 {
    let (count, wrong) = line.split_once(' ').expect("two numbers");
    assert_eq!(wrong, "0", "what is traced gave another result");
    count.parse().expect("a number")
}

/// A running program. Ended, by pid, when dropped.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts `name` and waits until it says it is ready.
    pub fn start(python: &Path, name: &str) -> Self {
        Self::start_with(python, name, &[])
    }

    /// As [`Self::start`], with more in the environment.
    pub fn start_with(python: &Path, name: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_as(python, name, &[], environment)
    }

    /// Starts `name` with one argument (`hard.py CASE`).
    pub fn start_case(python: &Path, name: &str, case: &str) -> Self {
        Self::start_as(python, name, &[case], &[])
    }

    /// Starts `real/NAME`, which finds the modules of `tests/programs` too, with arguments.
    pub fn real(python: &Path, name: &str, args: &[&str]) -> Self {
        let programs = programs().display().to_string();
        Self::start_as(
            python,
            &format!("real/{name}"),
            args,
            &[("PYTHONPATH", &programs)],
        )
    }

    /// As [`Self::start`], with arguments.
    pub fn start_of(python: &Path, name: &str, args: &[&str]) -> Self {
        Self::start_as(python, name, args, &[])
    }

    /// As [`Self::start`], with arguments, and with more in the environment.
    pub fn start_all(python: &Path, name: &str, args: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_as(python, name, args, environment)
    }

    fn start_as(python: &Path, name: &str, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = crate::command(python)
            .arg(programs().join(name))
            .args(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the interpreter starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut program = Self { child, input, output };
        assert_eq!(program.line(), "ready");
        program
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line.
    pub fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("stdin is open");
        // At once: the program may end when it has read the first part.
        if let Err(error) = input.write_all(format!("{line}\n").as_bytes()) {
            panic!("the program has ended: {:?}, {error}", self.child.wait());
        }
    }

    /// The next line it prints.
    pub fn line(&mut self) -> String {
        self.output
            .next()
            .expect("the program lives")
            .expect("the program prints text")
    }

    /// The next line it prints, which is JSON.
    pub fn value(&mut self) -> Value {
        crate::parse(&self.line())
    }

    /// Lets it work; what it prints until it is done.
    pub fn run(&mut self) -> Vec<Value> {
        self.run_with("go")
    }

    /// Gives it a line to work on; what it prints until it is done.
    pub fn run_with(&mut self, line: &str) -> Vec<Value> {
        self.tell(line);
        let mut printed = Vec::new();
        loop {
            let line = self.line();
            if line == "done" {
                return printed;
            }
            printed.push(crate::parse(&line));
        }
    }

    /// Asks one that works without pause (`busy.py`) how far it is: [`rightly`].
    pub fn progress(&mut self) -> u64 {
        self.tell("count");
        rightly(&self.line())
    }

    /// Waits until it has done more.
    pub fn goes_on(&mut self) {
        let before = self.progress();
        while self.progress() == before {}
    }

    /// Lets it end by itself; whether it succeeded.
    pub fn end(mut self) -> bool {
        self.input.take();
        self.child
            .wait()
            .expect("the program can be waited for")
            .success()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().expect("the program can be killed");
        self.child.wait().expect("the program can be waited for");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
