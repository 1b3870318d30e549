//! What `top` takes of a processor while a program is busy.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Figure, service::Ended};
use crate::{build, shell};

/// Until it has attached and drawn, and how long it is then watched.
const BEGINS: Duration = Duration::from_secs(3);
const WATCHED: Duration = Duration::from_secs(10);

/// `top` of a program that makes 10,000 calls a second.
pub fn part(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let program = Command::new(python)
        .arg(shell::root().join("xtask/bench/paced.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut program = Ended(program);
    let mut ask = program.0.stdin.take().context("no stdin")?;
    let mut says = BufReader::new(program.0.stdout.take().context("no stdout")?).lines();
    says.next().context("the program did not start")??;
    let mut calls = || -> anyhow::Result<u64> {
        ask.write_all(b"\n")?;
        Ok(says.next().context("the program ended")??.parse()?)
    };
    // A terminal that nobody looks at.
    let top = format!(
        "exec {} top -e none -f posix.getpid --pid {}",
        build::binary().display(),
        program.0.id()
    );
    let script = Command::new("script")
        .args(["-qefc", &top, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("script (util-linux)")?;
    let script = Ended(script);
    thread::sleep(BEGINS);
    let tools = below(script.0.id());
    anyhow::ensure!(tools.len() >= 2, "`top` did not start");
    let (began, before, spent) = (Instant::now(), calls()?, time_of(&tools)?);
    thread::sleep(WATCHED);
    let (after, more) = (calls()?, time_of(&tools)?);
    let seconds = began.elapsed().as_secs_f64();
    shell::run(Command::new("kill").arg(tools[0].to_string()))?;
    while fs::exists(format!("/proc/{}", tools[0]))? {
        thread::sleep(Duration::from_millis(50));
    }
    let share = (more - spent) as f64 / 1e9 / seconds;
    Ok(vec![Figure::new(
        format!(
            "`top` of {:.0} calls a second takes of a processor",
            (after - before) as f64 / seconds
        ),
        format!("{:.2} %", 100.0 * share),
        "3 %",
    )])
}

/// The processes below one, outermost first.
fn below(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children
        .flat_map(|child: u32| [vec![child], below(child)].concat())
        .collect()
}

/// Nanoseconds that all their threads were on a processor.
pub fn time_of(pids: &[u32]) -> anyhow::Result<u64> {
    let mut all = 0;
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            all += text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        }
    }
    Ok(all)
}
