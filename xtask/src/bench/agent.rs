//! What the agent takes, and what it costs one of many processes.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Figure, service::Ended, top::time_of};
use crate::{build, shell};
use anyhow::Context as _;

/// Processes at once.
const MANY: [usize; 4] = [1, 10, 100, 200];
/// How long it is watched while nothing happens, after what was looked over is forgotten.
const SETTLES: Duration = Duration::from_secs(3);
const WATCHED: Duration = Duration::from_secs(10);

/// One of the traced programs.
struct Program {
    child: Ended,
    ask: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(python: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(python)
            .arg(shell::root().join("xtask/bench/opens.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = child.stdin.take().context("no stdin")?;
        let mut says = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        says.next().context("the program did not start")??;
        Ok(Self {
            child: Ended(child),
            ask,
            says,
        })
    }

    /// Nanoseconds of one open and close.
    fn nanoseconds(&mut self) -> anyhow::Result<f64> {
        self.ask.write_all(b"\n")?;
        Ok(self.says.next().context("the program ended")??.parse()?)
    }
}

/// Of 1, 10, 100 and 200 processes that do nothing but what one of them is told.
#[expect(clippy::ptr_arg, reason = "as all parts are called")]
pub fn part(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut of_one = None;
    for many in MANY {
        let programs = (0..many).map(|_| Program::start(python));
        let mut programs = programs.collect::<anyhow::Result<Vec<_>>>()?;
        let bare = programs[0].nanoseconds()?;
        let state = std::env::temp_dir().join(format!("pytrace-bench-agent-{}", std::process::id()));
        fs::create_dir_all(&state)?;
        let config = state.join("agent.toml");
        let text = "[http]\nlisten = \"off\"\n[budget]\nprocess = \"100%\"\nhost = \"100%\"\n\
                    [[policy]]\nmatch = { command = [\"*bench/opens.py\"] }\n";
        fs::write(&config, text)?;
        let began = Instant::now();
        let mut agent = Command::new(build::binary())
            .args(["agent", "--config"])
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(agent.stderr.take().context("no stderr")?).lines();
        let agent = Ended(agent);
        let mut traced = BTreeSet::new();
        while traced.len() < many {
            let line = said.next().context("the agent ended")??;
            let pid = line
                .split_once("traces process ")
                .map(|(_, rest)| rest.split(' ').next());
            traced.extend(pid.flatten().and_then(|pid| pid.parse::<u32>().ok()));
        }
        let ready = began.elapsed();
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.0.id()))?;
        let tracer: u32 = children.split_whitespace().next().context("no tracer")?.parse()?;
        let both = [agent.0.id(), tracer];
        thread::sleep(SETTLES);
        let (began, spent) = (Instant::now(), time_of(&both)?);
        thread::sleep(WATCHED);
        let idle = (time_of(&both)? - spent) as f64 / 1e9 / began.elapsed().as_secs_f64();
        let memory = (resident(both[0])? + resident(both[1])?) as f64 / 1024.0;
        let cost = programs[0].nanoseconds()? - bare;
        let one = *of_one.get_or_insert(cost);
        let ended = Instant::now();
        shell::run(Command::new("kill").arg(both[0].to_string()))?;
        // It says what it has to say, and ends.
        said.by_ref().for_each(drop);
        let detached = ended.elapsed();
        fs::remove_dir_all(&state)?;
        drop((
            agent,
            programs
                .into_iter()
                .map(|program| program.child)
                .collect::<Vec<_>>(),
        ));
        figures.push(Figure::new(
            format!("the agent and its tracer take, of {many} processes that do nothing"),
            format!("{memory:.0} MiB, {:.2} % of a processor", 100.0 * idle),
            if many == 200 { "150 MiB" } else { "" },
        ));
        figures.push(Figure::new(
            format!("an open and close of a file costs one of {many} processes"),
            format!(
                "{:.1} us, {:.2} times what it costs a single one",
                cost / 1e3,
                cost / one
            ),
            "",
        ));
        figures.push(Figure::new(
            format!("the agent needs to trace {many} processes, and to let them go"),
            format!("{:.1} s, {:.1} s", ready.as_secs_f64(), detached.as_secs_f64()),
            "",
        ));
    }
    Ok(figures)
}

/// Kibibytes (`VmRSS` of proc_pid_status(5)).
fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no memory")?.parse()?)
}
