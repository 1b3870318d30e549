//! `cargo xtask test`: everything CI checks, in the order in which it fails fastest.

use std::{
    collections::BTreeSet,
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail};

use crate::{bpf_toolchain, build, coverage, dist, drivers, engines, layouts, pythons, real, rotel, shell};

/// What the test runners said.
pub struct Tally {
    started: Instant,
    pub passed: u64,
    pub failed: u64,
    skipped: u64,
    interpreters: BTreeSet<String>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            passed: 0,
            failed: 0,
            skipped: 0,
            interpreters: BTreeSet::new(),
        }
    }
}

/// Runs everything; the last line is the count of tests.
pub fn run() -> anyhow::Result<()> {
    let mut tally = Tally::default();
    tally.step("format", &mut shell::cargo(&["fmt", "--all", "--check"]))?;
    tally.step(
        "clippy",
        &mut shell::cargo(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--exclude",
            "tracer-ebpf",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    tally.lint_bpf()?;
    tally.chore("layouts", || layouts::run(true))?;
    tally.begin("release build");
    build::release()?;
    tally.step(
        "verifier load",
        shell::as_root(&build::binary().to_string_lossy()).arg("doctor"),
    )?;
    tally.tests("unit tests", shell::cargo(&["test", "--quiet", "--no-fail-fast"]))?;
    if coverage::tools().is_some() {
        tally.chore("coverage", coverage::run)?;
    } else {
        println!("SKIPPED: coverage: its tools are not here");
        tally.skipped += 1;
    }
    tally.tests("end-to-end tests", e2e_command(None)?)?;
    tally.finish()
}

/// Runs only the end-to-end tests whose names contain `filter`.
pub fn e2e(filter: Option<&str>) -> anyhow::Result<()> {
    build::release()?;
    let mut tally = Tally::default();
    tally.tests("end-to-end tests", e2e_command(filter)?)?;
    tally.finish()
}

fn e2e_command(filter: Option<&str>) -> anyhow::Result<Command> {
    let mut command = if shell::is_root() {
        shell::cargo(&[])
    } else {
        let mut command = shell::as_root("env");
        command.current_dir(shell::root());
        command.arg(format!("PATH={}", env::var("PATH").unwrap_or_default()));
        command.arg(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
    };
    command.args(["test", "--package", "tests", "--no-fail-fast", "--"]);
    // What ran is printed by the tests themselves.
    command.args(["--nocapture"]).args(filter);
    command.env("PYTRACE_BIN", build::binary());
    if let Some(python) = drivers::python() {
        command.env("PYTRACE_DRIVERS", python);
    }
    if let Some(python) = rotel::python() {
        command.env("PYTRACE_ROTEL", python);
    }
    if let Some(python) = engines::python() {
        command.env("PYTRACE_ENGINES", python);
    }
    if let Some(server) = engines::clickhouse() {
        command.env("PYTRACE_CLICKHOUSE", server);
    }
    if let Some(python) = dist::python() {
        command.env("PYTRACE_CHARTS", python);
    }
    real::servers()?;
    command.env("PYTRACE_REAL", real::pythons()?);
    Ok(command)
}

impl Tally {
    /// Says what comes, and how long it was since the start: where the time goes.
    fn begin(&self, name: &str) {
        println!(
            "== {name} ({} s since the start)",
            self.started.elapsed().as_secs()
        );
    }

    fn step(&mut self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        self.begin(name);
        let status = command
            .status()
            .with_context(|| format!("cannot run {command:?}"))?;
        if status.success() {
            self.passed += 1;
            Ok(())
        } else {
            self.failed += 1;
            self.print();
            bail!("{name} failed")
        }
    }

    /// The BPF crate has its own compiler, and needs that compiler's linter.
    fn lint_bpf(&mut self) -> anyhow::Result<()> {
        let toolchain = bpf_toolchain::find().map_err(|what| anyhow::anyhow!(what))?;
        let driver = PathBuf::from("/usr/bin/clippy-driver");
        if !matches!(toolchain.compiler, bpf_toolchain::Compiler::Prebuilt(_)) || !driver.exists() {
            println!("SKIPPED: clippy of the BPF crate: its compiler has no clippy-driver here");
            self.skipped += 1;
            return Ok(());
        }
        let mut command = toolchain.cargo(&shell::root(), "check", &shell::root().join("target/bpf-clippy"));
        command
            .env("RUSTC_WORKSPACE_WRAPPER", driver)
            .env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__");
        self.step("clippy of the BPF crate", &mut command)
    }

    /// A chore of this program that checks something.
    fn chore(&mut self, name: &str, chore: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.begin(name);
        chore().inspect_err(|_| {
            self.failed += 1;
            self.print();
        })?;
        self.passed += 1;
        Ok(())
    }

    fn tests(&mut self, name: &str, mut command: Command) -> anyhow::Result<()> {
        self.begin(name);
        let before = self.failed;
        let succeeded = shell::run_seeing(command.stdin(Stdio::null()), |line| self.line(line))?;
        if !succeeded && self.failed == before {
            self.failed += 1;
        }
        Ok(())
    }

    /// Takes in a line that a test runner, or a test, printed.
    pub fn line(&mut self, line: &str) {
        if let Some(counts) = line.trim_start().strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.skipped += count(counts, "ignored");
        }
        // The test runner may have started the line with the test's own name.
        if let Some(at) = line.find("INTERPRETER: ") {
            self.interpreters
                .insert(line[at + "INTERPRETER: ".len()..].to_owned());
        }
        if line.contains("SKIPPED: ") {
            self.skipped += 1;
            self.passed = self.passed.saturating_sub(1);
        }
    }

    fn print(&self) {
        println!("{}", self.counts());
    }

    /// `N passed, N failed, N skipped`
    pub fn counts(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }

    /// Counts those of these interpreters on which no test ran as failures, and says so.
    pub fn must_have_run(&mut self, interpreters: &[PathBuf]) {
        for path in interpreters {
            let path = path.to_string_lossy();
            if !self
                .interpreters
                .iter()
                .any(|ran| ran.split(' ').next() == Some(&path))
            {
                println!("interpreter {path} is installed, but no end-to-end test ran on it");
                self.failed += 1;
            }
        }
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        println!("kernel: {}", kernel.trim());
        for interpreter in &self.interpreters {
            println!("interpreter: {interpreter}");
        }
        self.must_have_run(&pythons::all());
        self.print();
        if self.failed > 0 {
            bail!("tests failed");
        }
        Ok(())
    }
}

/// `N` of `N passed; M failed; …`.
fn count(counts: &str, what: &str) -> u64 {
    let words: Vec<&str> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    words
        .windows(2)
        .find(|pair| pair[1] == what)
        .and_then(|pair| pair[0].parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_runners_line() {
        let line = "ok. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(
            [
                count(line, "passed"),
                count(line, "failed"),
                count(line, "ignored")
            ],
            [12, 3, 1]
        );
    }
}
