//! A web service (HTTP, SQLite, a log file) under the tool and under its peers: requests a second, one after the other over one
//! connection, against the same service without any.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::Context as _;

use super::{Tracer, median};
use crate::{build, setup, shell, venv::Venv};

/// Requests before it is measured.
const WARM_UP: u32 = 200;
/// Requests in one measurement.
const REQUESTS: u32 = 1000;
const ROUNDS: usize = 5;
/// What is installed beside the standard library.
const PACKAGES: &str = "viztracer\nhunter\npy-spy\n";
const VERSION: &str = "3.12";

/// What looks at the service.
#[derive(Clone, Copy)]
enum Who {
    /// The tool, with these options.
    Tool(&'static [&'static str]),
    /// What `service.py` calls it, in the process.
    Inside(&'static str),
    /// A program of its own with these arguments; the process id comes last.
    Outside(&'static [&'static str]),
}

/// Who is measured, and what each of them tells.
const PEERS: [(&str, Who, &str); 11] = [
    (
        "pytrace-ebpf (world)",
        Who::Tool(&["--format", "json"]),
        "calls with values, results, lines",
    ),
    (
        "pytrace-ebpf -e all",
        Who::Tool(&["-e", "all", "--format", "json"]),
        "the same of every effect",
    ),
    (
        "pytrace-ebpf profile",
        Who::Outside(&["pytrace-ebpf", "profile", "-o", "/dev/null", "--pid"]),
        "samples of stacks, 99 a second",
    ),
    (
        "py-spy record",
        Who::Outside(&[
            "py-spy",
            "record",
            "-d",
            "600",
            "-f",
            "raw",
            "-o",
            "/dev/null",
            "-p",
        ]),
        "samples of stacks, 100 a second",
    ),
    ("viztracer", Who::Inside("viztracer"), "calls, no values"),
    (
        "viztracer, arguments",
        Who::Inside("viztracer-args"),
        "Python calls with arguments and results as text",
    ),
    (
        "sys.setprofile",
        Who::Inside("setprofile"),
        "C functions and lines, no values",
    ),
    (
        "sys.monitoring",
        Who::Inside("monitoring"),
        "C functions and their first argument",
    ),
    (
        "strace -f, files and network",
        Who::Outside(&[
            "strace",
            "-f",
            "-q",
            "-o",
            "/dev/null",
            "-e",
            "trace=%file,%network",
            "-p",
        ]),
        "some system calls",
    ),
    (
        "strace -f",
        Who::Outside(&["strace", "-f", "-q", "-o", "/dev/null", "-p"]),
        "system calls",
    ),
    (
        "hunter",
        Who::Inside("hunter"),
        "Python calls with arguments as text",
    ),
];

/// One line of the result.
pub struct Row {
    pub who: &'static str,
    pub tells: &'static str,
    /// Median.
    pub requests: f64,
    /// Median of the shares of the untraced service's in the same round.
    pub share: f64,
}

/// Measures all of them. Empty, and said so, where there is no such Python.
pub fn run() -> anyhow::Result<Vec<Row>> {
    if setup::debian() {
        setup::packages(&["strace"])?;
    }
    let venv = Venv {
        folder: "bench".into(),
        version: VERSION.into(),
        packages: PACKAGES.into(),
    };
    let Some(python) = venv.python()? else {
        return Ok(Vec::new());
    };
    let mut shares = vec![Vec::new(); PEERS.len()];
    let mut requests = vec![Vec::new(); PEERS.len()];
    let mut untraced = Vec::new();
    for _ in 0..ROUNDS {
        for (n, (_, who, _)) in PEERS.into_iter().enumerate() {
            let alone = measure(&python, None)?;
            let watched = measure(&python, Some(who))?;
            untraced.push(alone);
            requests[n].push(watched);
            shares[n].push(watched / alone);
        }
    }
    let mut rows = vec![Row {
        who: "untraced",
        tells: "",
        requests: median(untraced),
        share: 1.0,
    }];
    for ((who, _, tells), (requests, shares)) in PEERS.into_iter().zip(requests.into_iter().zip(shares)) {
        rows.push(Row {
            who,
            tells,
            requests: median(requests),
            share: median(shares),
        });
    }
    println!("== service");
    for row in &rows {
        println!(
            "{:30} {:6.0} requests a second, {:.2} of untraced",
            row.who, row.requests, row.share
        );
    }
    Ok(rows)
}

/// Requests a second.
fn measure(python: &Path, who: Option<Who>) -> anyhow::Result<f64> {
    let folder = shell::root().join("target/bench-service");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let inside = match who {
        Some(Who::Inside(tracer)) => tracer,
        _ => "none",
    };
    let script = |name: &str| shell::root().join("xtask/bench").join(name);
    let mut service = Ended(
        Command::new(python)
            .arg(script("service.py"))
            .arg(&folder)
            .arg(inside)
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let mut said = BufReader::new(service.0.stdout.take().context("no stdout")?).lines();
    let port = said.next().context("the service did not start")??;
    let mut load = Load::start(python, &script("load.py"), &port)?;
    load.run(WARM_UP)?;
    let pid = service.0.id();
    match who {
        Some(Who::Tool(args)) => {
            let tracer = Tracer::start(pid, args)?;
            load.run(WARM_UP)?;
            let rate = load.run(REQUESTS)?;
            tracer.stop()?;
            Ok(rate)
        }
        Some(Who::Outside(args)) => {
            let program = match args[0] {
                "py-spy" => python.with_file_name("py-spy"),
                "pytrace-ebpf" => build::binary(),
                other => PathBuf::from(other),
            };
            let mut tracer = Command::new(program)
                .args(&args[1..])
                .arg(pid.to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            // They are at it when a few hundred requests are over.
            load.run(2 * WARM_UP)?;
            let rate = load.run(REQUESTS)?;
            shell::run(Command::new("kill").args(["-INT", &tracer.id().to_string()]))?;
            tracer.wait()?;
            Ok(rate)
        }
        _ => load.run(REQUESTS),
    }
}

/// A process that ends with its owner.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who asks.
struct Load {
    _child: Ended,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Load {
    fn start(python: &Path, script: &Path, port: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(python)
            .arg(script)
            .arg(port)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("no stdin")?;
        let output = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        Ok(Self {
            _child: Ended(child),
            input,
            output,
        })
    }

    fn run(&mut self, requests: u32) -> anyhow::Result<f64> {
        writeln!(self.input, "{requests}")?;
        let line = self.output.next().context("the requests ended")??;
        Ok(line.parse()?)
    }
}
