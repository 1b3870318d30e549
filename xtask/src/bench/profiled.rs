//! What samples cost a program that is busy: by the time that the kernel gives it, and by the kernel's account of the program that takes them.

use std::{fs, path::PathBuf, process::Command, time::Instant};

use anyhow::Context as _;

use super::{Calls, Figure, Tracer, median};
use crate::build;

/// Calls in one round: about a second.
const CALLS: u32 = 8_000_000;
const ROUNDS: usize = 9;
/// "1": the kernel keeps account of BPF programs (Documentation/admin-guide/sysctl/kernel.rst).
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// `BPF_PROG_TYPE_PERF_EVENT`, as `fdinfo` writes it.
const KIND: &str = "prog_type:\t7";

/// `profile` at 99 Hz.
pub fn part(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let _statistics = Statistics::begin()?;
    let mut calls = Calls::of(python, "python")?;
    let pid = calls.child.id().to_string();
    let (mut more, mut shares, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let alone = run(&mut calls, CALLS)?;
        let tracer = Tracer::of(
            Command::new(build::binary()).args(["profile", "--pid", &pid]),
            &["-o", "/dev/null"],
        )?;
        let began = Instant::now();
        let before = account(tracer.child.id())?;
        let profiled = run(&mut calls, CALLS)?;
        let after = account(tracer.child.id())?;
        let taken = began.elapsed().as_nanos() as f64;
        let summary = tracer.stop_saying(" samples at ")?;
        let samples = summary
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse::<f64>().ok());
        let spent = (after - before) as f64;
        more.push(100.0 * (profiled / alone - 1.0));
        shares.push(100.0 * spent / taken);
        each.push(spent / samples.context("no number of samples")? / 1e3);
    }
    Ok(vec![
        Figure::new(
            "under `profile` at 99 Hz, a Python program takes more of a processor by",
            format!("{:.1} %", median(more)),
            "1 %",
        ),
        Figure::new(
            "of that time, what takes samples",
            format!("{:.2} %", median(shares)),
            "1 %",
        ),
        Figure::new("a sample", format!("{:.1} us", median(each)), ""),
    ])
}

/// Nanoseconds on a processor that the calls take: what else the machine does is not in them.
pub(super) fn run(calls: &mut Calls, count: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{}/schedstat", calls.child.id());
    let spent = || -> anyhow::Result<f64> {
        let text = fs::read_to_string(&path)?;
        Ok(text.split(' ').next().context("no time")?.parse()?)
    };
    let before = spent()?;
    calls.run(count)?;
    Ok(spent()? - before)
}

/// Nanoseconds that the sampling program of a process has run.
fn account(pid: u32) -> anyhow::Result<u64> {
    let folder = format!("/proc/{pid}/fdinfo");
    for entry in fs::read_dir(&folder)?.flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if text.contains(KIND) {
            let time = text.lines().find_map(|line| line.strip_prefix("run_time_ns:\t"));
            return Ok(time.context("the kernel keeps no account")?.trim().parse()?);
        }
    }
    anyhow::bail!("{folder} has no program that takes samples")
}

/// The kernel keeps account until this is dropped.
struct Statistics(String);

impl Statistics {
    fn begin() -> anyhow::Result<Self> {
        let before = Self(fs::read_to_string(STATISTICS)?);
        fs::write(STATISTICS, "1")?;
        Ok(before)
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let _ = fs::write(STATISTICS, self.0.trim());
    }
}
