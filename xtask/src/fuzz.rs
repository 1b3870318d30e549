//! `cargo xtask fuzz`: feeds what reads memory, files and records with what nobody would have thought of.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail};

use crate::shell;

/// The version that this was tried with.
const CARGO_FUZZ: &str = "0.13.2";
/// Seconds that one input may take; the slowest takes a tenth of it.
const TIMEOUT: u32 = 20;
/// MiB of memory.
const MEMORY: u32 = 4096;
/// Where inputs are that the fuzzer found, and those that crash.
const FOUND: &str = "target/fuzz";

/// Targets of `tracer-user/fuzz/Cargo.toml`, and how many bytes an input may have.
const TARGETS: [(&str, u32); 5] = [
    ("sites", 32 * 1024),
    ("walk", 4 * 1024),
    ("lines", 16 * 1024),
    ("records", 32 * 1024),
    ("recording", 32 * 1024),
];

/// What became of one target.
struct Outcome {
    runs: u64,
    crashed: bool,
}

/// Runs each target, or the one with that name, for that many seconds. An error where one of them crashed.
pub fn run(seconds: u32, only: Option<&str>) -> anyhow::Result<()> {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    if let Some(only) = only
        && !TARGETS.iter().any(|(name, _)| wanted(name))
    {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        bail!("there is no target {only}; there are {names}");
    }
    install()?;
    let mut lines = Vec::new();
    let mut crashes = 0;
    for (name, max_len) in TARGETS.into_iter().filter(|(name, _)| wanted(name)) {
        shell::run(cargo_fuzz("build").arg(name))?;
        let begin = Instant::now();
        let Outcome { runs, crashed } = fuzz(name, max_len, seconds)?;
        crashes += u32::from(crashed);
        lines.push(format!(
            "fuzz: {name}: {runs} runs, {} seconds, {} crashes",
            begin.elapsed().as_secs(),
            u32::from(crashed)
        ));
    }
    for line in lines {
        println!("{line}");
    }
    if crashes != 0 {
        bail!(
            "inputs that crash are under {}",
            shell::root().join(FOUND).display()
        );
    }
    Ok(())
}

/// Installs cargo-fuzz, if it is not there.
fn install() -> anyhow::Result<()> {
    let there = shell::cargo(&["fuzz", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if there.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("fuzz: installing cargo-fuzz {CARGO_FUZZ} with cargo (about a minute)");
    shell::run(&mut shell::cargo(&[
        "install",
        "cargo-fuzz",
        "--version",
        CARGO_FUZZ,
        "--locked",
    ]))
    .context("installing cargo-fuzz")
}

fn cargo_fuzz(verb: &str) -> Command {
    let mut command = shell::cargo(&["fuzz", verb, "--fuzz-dir", "tracer-user/fuzz"]);
    // The flags by which code tells the fuzzer where it goes are not stable, whatever the toolchain.
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Runs one target until the time is over or it crashes.
fn fuzz(name: &str, max_len: u32, seconds: u32) -> anyhow::Result<Outcome> {
    let folder = shell::root().join(FOUND).join(name);
    let found = folder.join("corpus");
    fs::create_dir_all(&found)?;
    let seeds = shell::root().join("tracer-user/fuzz/corpus").join(name);
    let mut command = cargo_fuzz("run");
    // What is found goes into the first folder.
    command.arg(name).args([&found, &seeds]).arg("--");
    command
        .arg(format!("-artifact_prefix={}/", folder.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={max_len}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg("-print_final_stats=1");
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let mut runs = 0;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            eprintln!("{line}");
            if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
                runs = number.trim().parse().unwrap_or(0);
            }
        }
    }
    let crashed = !child.wait()?.success();
    Ok(Outcome { runs, crashed })
}
