//! What a program pays that calls a traced function as fast as it can, under a budget: seen from outside, by the time that the kernel
//! gives it for the same work.

use std::{path::PathBuf, process::Command};

use super::{Calls, FUNCTION, Figure, Tracer, median, profiled};
use crate::build;

const BUDGET: &str = "1%";
const ROUNDS: usize = 5;
/// Calls that take a fraction of a second, and how often they are made: untraced, some seconds in all.
const CALLS: u32 = 8_000_000;
const TIMES: usize = 48;
/// Of these, before the cost counts: more than a second.
const FIRST: usize = 10;

/// `--budget 1%`, from the second second on.
pub fn part(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let mut calls = Calls::start(python)?;
    let pid = calls.child.id().to_string();
    let mut more = Vec::new();
    let mut rate = Vec::new();
    for _ in 0..ROUNDS {
        let alone = work(&mut calls, TIMES)?;
        let tracer = Tracer::of(
            Command::new(build::binary()).args(["--pid", &pid, "-e", "none", "-f", &format!("*{FUNCTION}")]),
            &["--budget", BUDGET, "-o", "/dev/null"],
        )?;
        work(&mut calls, FIRST)?;
        let traced = work(&mut calls, TIMES)?;
        tracer.stop_saying(" events, ")?;
        more.push(100.0 * (traced / alone - 1.0));
        rate.push(1e9 * TIMES as f64 * f64::from(CALLS) / alone / 1e6);
    }
    Ok(vec![Figure::new(
        format!(
            "under `--budget {BUDGET}`, a program that calls a traced function all the time takes more of a processor by"
        ),
        format!(
            "{:.1} %, at {:.0} million calls a second",
            median(more),
            median(rate)
        ),
        "1.5 %",
    )])
}

/// Nanoseconds on a processor.
fn work(calls: &mut Calls, times: usize) -> anyhow::Result<f64> {
    (0..times).map(|_| profiled::run(calls, CALLS)).sum()
}
