//! `cargo xtask bench`: what tracing costs. Medians of several rounds; what is compared is
//! measured in turn in the same run, because the machine's speed drifts.

mod agent;
mod budgeted;
mod page;
mod profiled;
mod service;
mod table;
mod top;

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, bail};

use crate::{build, shell};
use table::{Figure, Table};

/// Rounds of each measurement.
const ROUNDS: usize = 7;
/// Calls in one round.
const CALLS: u32 = 100_000;
/// Calls of the run that must be free of loss.
const MANY_CALLS: u32 = 2_000_000;
/// Threads that are alive at once.
const THREADS: u32 = 1000;
/// A C function of two arguments whose probe sits on an emulated instruction; by the name it has on
/// every version.
const FUNCTION: &str = "operator.is_";

/// A part of the bench: what it measured with one interpreter.
type Part = fn(&PathBuf) -> anyhow::Result<Vec<Figure>>;

const PARTS: [(&str, Part); 12] = [
    ("price", price),
    ("prices", more_prices),
    ("calls", python_calls),
    ("profile", profiled::part),
    ("budget", budgeted::part),
    ("top", top::part),
    ("agent", agent::part),
    ("start", start),
    ("attach", attach),
    ("first", first_event),
    ("speed", keeps_up),
    ("memory", takes_memory),
];

/// Measures, and prints one table. `only`: with these versions of Python; empty: with one of each kind. `page`: results are also
/// written to `docs`. `part`: only that of [`PARTS`].
pub fn run(only: &[String], part: Option<&str>, page: bool) -> anyhow::Result<()> {
    if !shell::is_root() {
        bail!("the benchmarks attach probes; run `sudo -E cargo xtask bench`");
    }
    let parts: Vec<Part> = PARTS
        .iter()
        .filter(|(name, _)| part.is_none_or(|only| only == *name))
        .map(|(_, part)| *part)
        .collect();
    if parts.is_empty() {
        bail!(
            "there is no such part: {}",
            PARTS.map(|(name, _)| name).join(", ")
        );
    }
    let rows = match part {
        None => service::run()?,
        Some(_) => Vec::new(),
    };
    let mut table = Table::default();
    for python in interpreters() {
        let version = version(&python)?;
        if !only.is_empty() && !only.iter().any(|only| version.starts_with(only.as_str())) {
            continue;
        }
        println!("== {}", python.display());
        let mut figures = Vec::new();
        for part in &parts {
            for figure in part(&python)? {
                println!("{}: {}", figure.what, figure.value);
                figures.push(figure);
            }
        }
        table.add(version, figures);
    }
    println!("\n{}", table.markdown());
    if page {
        page::write(&rows, &table)?;
    }
    Ok(())
}

/// As `python --version` says.
fn version(python: &PathBuf) -> anyhow::Result<String> {
    let said = Command::new(python).arg("--version").output()?;
    // Python 2 says it on standard error.
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let version = text.split_whitespace().nth(1).context("no version")?;
    Ok(version.to_owned())
}

fn interpreters() -> Vec<PathBuf> {
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".pyenv/versions");
    let mut found = vec![PathBuf::from("/usr/bin/python3")];
    // One of each kind of object layout.
    found.extend(
        ["2.7.18", "3.8.18", "3.10.13", "3.12.1", "3.13.0"]
            .map(|version| home.join(version).join("bin/python")),
    );
    found.retain(|path| path.exists());
    found
}

/// The Python program that makes the calls.
struct Calls {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Calls {
    fn start(python: &PathBuf) -> anyhow::Result<Self> {
        Self::of(python, FUNCTION)
    }

    fn of(python: &PathBuf, function: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(python)
            .arg(shell::root().join("xtask/bench/calls.py"))
            .arg(function)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("no stdin")?;
        let mut output = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        output.next().context("the program did not start")??;
        Ok(Self { child, input, output })
    }

    /// Nanoseconds a call.
    fn run(&mut self, count: u32) -> anyhow::Result<f64> {
        writeln!(self.input, "{count}")?;
        Ok(self.output.next().context("the program ended")??.parse()?)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The tool, attached.
struct Tracer {
    child: Child,
    messages: Lines<BufReader<ChildStderr>>,
}

impl Tracer {
    fn start(pid: u32, args: &[&str]) -> anyhow::Result<Self> {
        Self::of(
            Command::new(build::binary()).args(["--pid", &pid.to_string(), "-v"]),
            args,
        )
    }

    fn of(command: &mut Command, args: &[&str]) -> anyhow::Result<Self> {
        let mut child = command
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let messages = BufReader::new(child.stderr.take().context("no stderr")?).lines();
        let mut tracer = Self { child, messages };
        tracer.message(": attached to ")?;
        Ok(tracer)
    }

    /// The next message that contains `part`.
    fn message(&mut self, part: &str) -> anyhow::Result<String> {
        for line in &mut self.messages {
            let line = line?;
            if line.contains(part) {
                return Ok(line);
            }
        }
        bail!("the tracer did not say `{part}`")
    }

    /// Detaches; its summary line.
    fn stop(self) -> anyhow::Result<String> {
        self.stop_saying(" lost (hits ")
    }

    /// Detaches; the line in which that is.
    fn stop_saying(mut self, part: &str) -> anyhow::Result<String> {
        shell::run(Command::new("kill").args(["-INT", &self.child.id().to_string()]))?;
        let summary = self.message(part)?;
        self.child.wait()?;
        Ok(summary)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Entry and return with two arguments and the Python line, against a bare pair of empty probes.
fn price(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let mut calls = Calls::start(python)?;
    let pid = calls.child.id();
    let only = ["-e", "none", "-f", FUNCTION];
    let (mut bare, mut full, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    let (mut summed, mut summed_ratio) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let untraced = calls.run(CALLS)?;
        let tracer = Tracer::start(pid, &[&only[..], &["--empty"]].concat())?;
        let empty = calls.run(CALLS)? - untraced;
        tracer.stop()?;
        // As `stat` does.
        let tracer = Tracer::start(pid, &[&only[..], &["-c"]].concat())?;
        let sums = calls.run(CALLS)? - untraced;
        tracer.stop()?;
        summed.push(sums);
        summed_ratio.push(sums / empty);
        let tracer = Tracer::start(pid, &[&only[..], &["--format", "json"]].concat())?;
        let traced = calls.run(CALLS)? - untraced;
        tracer.stop()?;
        bare.push(empty);
        full.push(traced);
        ratio.push(traced / empty);
    }
    Ok(vec![
        Figure::new("a call under empty probes", nanoseconds(bare), ""),
        Figure::new("a call, traced", nanoseconds(full), ""),
        Figure::new("times the empty pair", times(ratio), "2.2"),
        Figure::new("a call, added up (`stat`)", nanoseconds(summed), ""),
        Figure::new("added up: times the empty pair", times(summed_ratio), "1.6"),
    ])
}

fn nanoseconds(values: Vec<f64>) -> String {
    format!("{:.0} ns", median(values))
}

fn times(values: Vec<f64>) -> String {
    format!("{:.2}", median(values))
}

/// What of a call costs how much, against the same call traced without it.
fn more_prices(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let (stack, hidden) = (["--stack", "10"], ["--in", "no/such/file.py"]);
    // A descriptor's file is looked up for functions that the catalogue says are about one.
    for (what, function, with) in [
        ("a filtered call", FUNCTION, &hidden[..]),
        ("a call with ten frames (two are there)", FUNCTION, &stack[..]),
        ("a call on a descriptor", "posix.write", &[]),
        // Where it begins only: its bare pair is one probe.
        ("an attribute set (bytecode)", "STORE_ATTR", &[]),
        ("a global read (bytecode)", "LOAD_GLOBAL", &[]),
    ] {
        let mut calls = Calls::of(python, function)?;
        let pid = calls.child.id();
        let (mut with_it, mut ratio) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let untraced = calls.run(CALLS)?;
            let only = ["-e", "none", "-f", function, "--format", "json"];
            let tracer = Tracer::start(pid, &[&only[..], &["--empty"]].concat())?;
            let bare = calls.run(CALLS)? - untraced;
            tracer.stop()?;
            let tracer = Tracer::start(pid, &[&only[..], with].concat())?;
            let traced = calls.run(CALLS)? - untraced;
            tracer.stop()?;
            with_it.push(traced);
            ratio.push(traced / bare);
        }
        let value = format!(
            "{}, {} times its empty probes",
            nanoseconds(with_it),
            times(ratio)
        );
        figures.push(Figure::new(what, value, ""));
    }
    Ok(figures)
}

/// A call of a Python function, traced, not asked for, and under tracers inside of the process.
fn python_calls(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let mut calls = Calls::of(python, "python")?;
    let pid = calls.child.id();
    let wanted = ["-e", "none", "--calls", "calls.py", "--format", "json"];
    let unwanted = ["-e", "none", "--calls", "no/such/file.py", "--format", "json"];
    let (mut bare, mut full, mut other, mut ratio) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let untraced = calls.run(CALLS)?;
        let mut with = |args: &[&str]| -> anyhow::Result<f64> {
            let tracer = Tracer::start(pid, args)?;
            let taken = calls.run(CALLS)? - untraced;
            tracer.stop()?;
            Ok(taken)
        };
        bare.push(with(&[&wanted[..], &["--empty"]].concat())?);
        full.push(with(&wanted)?);
        other.push(with(&unwanted)?);
        ratio.push(full[full.len() - 1] / bare[bare.len() - 1]);
    }
    let mut figures = vec![
        Figure::new(
            "a call of a Python function under empty probes",
            nanoseconds(bare),
            "",
        ),
        Figure::new("the same by --calls", nanoseconds(full), ""),
        Figure::new("times the empty probes", times(ratio), "2.5"),
        Figure::new("one that --calls does not name", nanoseconds(other), ""),
    ];
    for tracer in ["setprofile", "monitoring"] {
        // Versions before 3.12 have no `sys.monitoring`.
        let Ok(mut inside) = Calls::of(python, &format!("python+{tracer}")) else {
            continue;
        };
        let mut taken = Vec::new();
        for _ in 0..ROUNDS {
            let untraced = calls.run(CALLS)?;
            taken.push(inside.run(CALLS)? - untraced);
        }
        figures.push(Figure::new(
            format!("the same by sys.{tracer}, inside of the process"),
            nanoseconds(taken),
            "",
        ));
    }
    Ok(figures)
}

/// A program that does nothing, with and without the tool.
fn start(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let time = |command: &mut Command| -> anyhow::Result<f64> {
        let before = Instant::now();
        let output = command.output()?;
        anyhow::ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(before.elapsed().as_secs_f64() * 1e3)
    };
    let (mut alone, mut traced) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(time(Command::new(python).args(["-c", "pass"]))?);
        let mut run = Command::new(build::binary());
        traced.push(time(run.args(["run", "--"]).arg(python).args(["-c", "pass"]))?);
    }
    Ok(vec![
        Figure::new("a program that does nothing", time_of(alone), ""),
        Figure::new("the same under `run`", time_of(traced), ""),
    ])
}

fn time_of(values: Vec<f64>) -> String {
    format!("{:.0} ms", median(values))
}

/// Attaching to and detaching from every function there is.
fn attach(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let calls = Calls::start(python)?;
    let (mut attached, mut detached) = (Vec::new(), Vec::new());
    let mut sites = String::new();
    for _ in 0..ROUNDS {
        let mut child = Command::new(build::binary())
            .args([
                "--pid",
                &calls.child.id().to_string(),
                "-v",
                "-e",
                "all",
                "-f",
                "*",
            ])
            .args(["--duration", "0.05"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        for line in BufReader::new(child.stderr.take().context("no stderr")?).lines() {
            let line = line?;
            if let Some((_, time)) = line.split_once(": attached in ") {
                attached.push(milliseconds(time)?);
            } else if let Some((_, time)) = line.split_once(": detached in ") {
                detached.push(milliseconds(time)?);
            } else if let Some((_, rest)) = line.split_once("): ")
                && let Some((count, _)) = rest.split_once(" functions;")
            {
                sites = count.to_owned();
            }
        }
        child.wait()?;
    }
    let output = Command::new(build::binary())
        .args(["functions", "--pid", &calls.child.id().to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (emulated, stepped) = (
        text.matches(" emulated ").count(),
        text.matches(" single-stepped ").count(),
    );
    let share = 100.0 * emulated as f64 / (emulated + stepped) as f64;
    Ok(vec![
        Figure::new("functions, all there are", sites, ""),
        Figure::new("attaching to them", time_of(attached), "200 ms for 1,000"),
        Figure::new("detaching", time_of(detached), "300 ms for 1,000"),
        Figure::new(
            "of them on emulated instructions",
            format!("{share:.1} %"),
            "88 %",
        ),
    ])
}

/// A duration as `{:?}` writes it.
fn milliseconds(text: &str) -> anyhow::Result<f64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "s" => 1e3,
        "ms" => 1.0,
        _ => 1e-3,
    };
    Ok(digits.parse::<f64>()? * factor)
}

/// From starting the tool to the first event.
fn first_event(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let mut calls = Calls::start(python)?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut child = Command::new(build::binary())
            .args([
                "--pid",
                &calls.child.id().to_string(),
                "-e",
                "all",
                "--format",
                "json",
                "--max-events",
                "1",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        lines.next().context("no header")??;
        // The program reads the clock before and after its loop.
        calls.run(1)?;
        lines.next().context("no event")??;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        child.wait()?;
    }
    Ok(vec![Figure::new(
        "from start to first event",
        time_of(times),
        "500 ms",
    )])
}

/// One thread calling as fast as it can.
fn keeps_up(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut calls = Calls::start(python)?;
    for format in ["json", "text"] {
        let pid = calls.child.id();
        let args = ["-e", "none", "-f", FUNCTION, "--format", format];
        let before = seconds_of_children()?;
        Tracer::start(pid, &args)?.stop()?;
        let idle = seconds_of_children()? - before;
        let before = seconds_of_children()?;
        let tracer = Tracer::start(pid, &args)?;
        let ns = calls.run(MANY_CALLS)?;
        let peak = memory(tracer.child.id(), "VmHWM")?;
        let summary = tracer.stop()?;
        let busy = seconds_of_children()? - before - idle;
        let lost = summary
            .split(" events, ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let mut add = |what: &str, value: String, target| {
            figures.push(Figure::new(
                format!("full speed, {format}: {what}"),
                value,
                target,
            ));
        };
        add(
            "calls a second",
            format!("{:.0}", 1e9 / ns),
            "700,000, or the program's own",
        );
        add("lost", lost.unwrap_or("?").to_owned(), "0");
        add("peak memory", format!("{peak} MiB"), "64 MiB");
        add(
            "the tool's processor time a call",
            format!("{:.2} us", busy * 1e6 / f64::from(MANY_CALLS)),
            "1 us",
        );
    }
    Ok(figures)
}

/// Processor time of the processes that were waited for (`cutime`, `cstime`: proc_pid_stat(5)).
fn seconds_of_children() -> anyhow::Result<f64> {
    /// `USER_HZ` on x86-64.
    const TICKS: f64 = 100.0;
    const CUTIME: usize = 13;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").context("no name in /proc/self/stat")?;
    let times: Vec<f64> = fields
        .split(' ')
        .skip(CUTIME)
        .take(2)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    Ok(times.iter().sum::<f64>() / TICKS)
}

/// MiB of memory, by a field of `/proc/PID/status`.
fn memory(pid: u32, field: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(field));
    let digits: String = line
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    Ok(digits.parse::<u64>().unwrap_or(0) / 1024)
}

/// Memory of the tool by functions and by threads.
fn takes_memory(python: &PathBuf) -> anyhow::Result<Vec<Figure>> {
    let calls = Calls::start(python)?;
    let sets: [(&str, &[&str]); 3] = [
        ("one function", &["-e", "none", "-f", FUNCTION]),
        ("world", &[]),
        ("every function", &["-e", "all", "-f", "*"]),
    ];
    let mut figures = Vec::new();
    let mut add = |of: &str, mib: u64| {
        figures.push(Figure::new(format!("memory, {of}"), format!("{mib} MiB"), ""));
    };
    for (name, args) in sets {
        let tracer = Tracer::start(calls.child.id(), args)?;
        add(name, memory(tracer.child.id(), "VmRSS")?);
        tracer.stop()?;
    }
    let mut threads = Command::new(python)
        .arg(shell::root().join("xtask/bench/threads.py"))
        .arg(THREADS.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(threads.stdout.take().context("no stdout")?).lines();
    output.next().context("the program did not start")??;
    let tracer = Tracer::start(threads.id(), &["-e", "none", "-f", FUNCTION])?;
    let mut input = threads.stdin.take().context("no stdin")?;
    writeln!(input, "go")?;
    output.next().context("the program ended")??;
    add(
        &format!("one function, {THREADS} threads"),
        memory(tracer.child.id(), "VmRSS")?,
    );
    tracer.stop()?;
    drop(input);
    threads.wait()?;
    Ok(figures)
}
