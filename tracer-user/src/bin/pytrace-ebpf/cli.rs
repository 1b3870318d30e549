//! The command line.

mod agent;
mod budget;
mod profile;
mod stat;
mod top;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tracer_common::limits::{MAX_DEPTH, MAX_FRAMES, MAX_ITEMS, MAX_STR};
use tracer_user::process::StartedWith;

pub use agent::AgentArgs;
pub use budget::Share;
pub use profile::{Mode, ProfileArgs, ProfileFormat};
pub use stat::{Stat, StatArgs};
pub use top::TopArgs;

use crate::{output::is_parquet, page::ReportArgs, query::QueryArgs};

/// What to begin with, for `--help` and the man page: what it does, the command.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "What a running process does, until Ctrl-C",
        "sudo pytrace-ebpf --pid 1234",
    ),
    ("Only what fails", "sudo pytrace-ebpf --pid 1234 --errors"),
    (
        "Files and sockets, with callers, as JSON in a file",
        "sudo pytrace-ebpf --pid 1234 -e file,net --stack 3 --format json -o calls.json",
    ),
    (
        "A program from its first line",
        "sudo pytrace-ebpf run -- python3 app.py",
    ),
    (
        "What it does most, and where, on the terminal",
        "sudo pytrace-ebpf top --pid 1234",
    ),
    (
        "A flame graph of ten seconds on the processor",
        "sudo pytrace-ebpf profile --pid 1234 --duration 10 -o profile.svg",
    ),
    (
        "Record now, look later",
        "sudo pytrace-ebpf --pid 1234 -o calls.pytrace; pytrace-ebpf replay calls.pytrace --min-duration 5ms",
    ),
    (
        "Who touched a file, from which line, how often",
        "pytrace-ebpf query who-touched --on calls.pytrace -p path='/etc/*'",
    ),
    (
        "A recording as a page for a browser",
        "pytrace-ebpf report calls.pytrace -o report.html",
    ),
];

/// Bytes of a ring buffer, as given: the kernel wants a power of two, and a record must have room.
fn ring_bytes(text: &str) -> Result<u32, String> {
    const RANGE: std::ops::RangeInclusive<u64> = 256 << 10..=1024 << 20;
    let (number, shift) = match text.strip_suffix(['K', 'k']) {
        Some(number) => (number, 10),
        None => (text, 20),
    };
    let bytes = number
        .parse::<u32>()
        .ok()
        .map(|number| u64::from(number) << shift);
    bytes
        .filter(|bytes| RANGE.contains(bytes) && bytes.is_power_of_two())
        .and_then(|bytes| u32::try_from(bytes).ok())
        .ok_or_else(|| "a power of two from 256K to 1024 (megabytes)".to_owned())
}

/// The examples as `--help` shows them.
fn examples() -> String {
    let lines = EXAMPLES
        .iter()
        .map(|(what, how)| format!("  # {what}\n  {how}\n"));
    format!("Examples:\n{}", lines.collect::<String>())
}

const TEMPLATE: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";
pub const VALUES: &str = "How much is captured";
pub const WHICH: &str = "Which calls are shown";
pub const OUTPUT: &str = "How they are shown";
pub const END: &str = "When it stops";

/// strace for Python: attaches to a running CPython process and prints its side effects.
///
/// No restart, no injected code: the kernel copies the arguments and results of the C functions
/// through which Python changes the world, at the moment of each call.
#[derive(Debug, Parser)]
#[command(name = "pytrace-ebpf", version, args_conflicts_with_subcommands = true)]
#[command(help_template = TEMPLATE, before_help = examples())]
#[command(
    after_help = "Exit codes: 0 traced as asked; 1 could not trace (one line says why); 2 wrong usage."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub trace: TraceArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a program under trace, from the first line of its own code
    Run {
        #[command(flatten)]
        trace: Box<TraceArgs>,
        /// The program and its arguments
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// Where a program spends its time: Python stacks on processors, or in calls that wait
    Profile(Box<ProfileArgs>),
    /// Traces the Python processes of a machine by policies, and sends what they do to a collector
    Agent(AgentArgs),
    /// Traces what the agent says
    #[command(hide = true)]
    Tracer {
        #[arg(short, long, action = ArgAction::Count)]
        verbose: u8,
    },
    /// Lets stopped processes go on when the tracer is killed
    #[command(hide = true)]
    Guard { tracer: u32 },
    /// Stays in the tracer's process group (started by the guard)
    #[command(hide = true)]
    Member,
    /// Becomes a program when it is told to
    #[command(hide = true)]
    Begin {
        gate: i32,
        /// What the tool itself was started with
        started: StartedWith,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Calls added up in the kernel, by function and calling line: no events and no values, cheaper than these
    Stat(Box<StatArgs>),
    /// What processes do now, on the terminal: call sites, effects, errors, latency; one call site with its latest values
    Top(Box<TopArgs>),
    /// What can be traced in a process: name, effect, calling convention, file, probe cost
    Functions {
        /// Process to look at
        #[arg(long, value_name = "PID")]
        pid: u32,
        /// Only functions whose name matches
        glob: Option<String>,
    },
    /// The catalogue of effects
    Effects {
        /// As the reference page, docs/effects.md
        #[arg(long, hide = true)]
        markdown: bool,
    },
    /// Print a recording again, with any filter and format
    Replay(ReplayArgs),
    /// One HTML page of a recording: effects over time, call sites, calls, files and peers, flamegraph, loss
    Report(ReportArgs),
    /// Effects that one recording has and another has not, by function, target and call site
    Diff(DiffArgs),
    /// Questions about effects, of a recording, of the agent's spool, or of a fleet in ClickHouse: who touched this file, what is new
    Query(Box<QueryArgs>),
    /// Tests for pytest from a recording: a function is called as it was, and the world answers as it did
    Testgen(TestgenArgs),
    /// What this kernel and a process allow, what not, and the remedy
    Doctor {
        /// Process to look at
        #[arg(long, value_name = "PID")]
        pid: Option<u32>,
        /// For people; or one JSON object
        #[arg(long, value_enum, default_value_t = DoctorFormat::Text)]
        format: DoctorFormat,
    },
    /// Completions for a shell: `pytrace-ebpf completions bash > /etc/bash_completion.d/pytrace-ebpf`
    Completions { shell: Shell },
    /// The manual page, or that of a command: `pytrace-ebpf man | man -l -`
    Man { command: Option<String> },
}

/// `doctor --format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DoctorFormat {
    Text,
    Json,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

/// Options of tracing.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Process to attach to; repeatable
    #[arg(long = "pid", value_name = "PID")]
    pub pids: Vec<u32>,
    /// Effects or groups, comma separated; `!x` takes x out, `all` (but for `memory.load_global`), `none`
    #[arg(
        short,
        long,
        value_name = "LIST",
        default_value = "world",
        allow_hyphen_values = true, help_heading = WHICH)]
    pub effects: String,
    /// Trace these C functions too, whatever their effect; repeatable
    #[arg(short, long = "function", value_name = "GLOB", help_heading = WHICH)]
    pub functions: Vec<String>,
    /// Calls of Python functions too: `app.Shop.save`, `app.*`, or of files, `shop/*.py`; repeatable. While this is on,
    /// every call of a Python function costs the program some microseconds, also of those that do not match
    #[arg(long, value_name = "GLOB", help_heading = WHICH)]
    pub calls: Vec<String>,
    /// Of a function that is called more often than this in a second about so many calls, chosen by chance, each with the number that it stands for
    /// (`x128`); all that raise. Of others, and of Python functions by --calls, every call. Exact counts are in the summary
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=1_000_000), conflicts_with = "summary", help_heading = WHICH)]
    pub sample: Option<u32>,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Python frames per event, innermost first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_FRAMES)), help_heading = VALUES)]
    pub stack: u32,
    /// Bytes of a string captured
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_STR)), help_heading = VALUES)]
    pub max_str: u32,
    /// Items of a container captured
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_ITEMS)), help_heading = VALUES)]
    pub max_items: u32,
    /// Levels of nested containers captured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_DEPTH)), help_heading = VALUES)]
    pub max_depth: u32,
    /// Stop after this time: `10`, `500ms`, `1m`
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = END)]
    pub duration: Option<Duration>,
    /// Children of traced processes too
    #[arg(long, help_heading = WHICH)]
    pub follow: bool,
    /// Megabytes of the ring buffer between kernel and daemon, or kilobytes: 256K; a power of two
    #[arg(long, value_name = "MB", default_value = "16", value_parser = ring_bytes, help_heading = VALUES)]
    pub ring: u32,
    /// What tracing may cost each process, of one processor: `1%`, `0.2%`. Functions that cost more are seen for moments only; which, when
    /// and for how long is said
    #[arg(long, value_name = "SHARE", conflicts_with = "calls", help_heading = END)]
    pub budget: Option<Share>,
    /// Attach programs that do nothing: what a bare probe costs
    #[arg(long, hide = true)]
    pub empty: bool,
    /// Diagnostics of the tool itself; twice for more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A recording, made with `-o FILE.pytrace`
    pub file: PathBuf,
    #[command(flatten)]
    pub recorded: RecordedArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `testgen`.
#[derive(Debug, Args)]
pub struct TestgenArgs {
    /// A recording, made with `--calls GLOB -e world,time,random,memory -o FILE.pytrace`
    pub file: PathBuf,
    /// The function to call, `module.qualname`
    #[arg(long, value_name = "NAME")]
    pub function: String,
    /// Write there (created 0600); otherwise to standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Different calls made into tests at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub max_tests: usize,
    /// Passwords, tokens and keys as they are; tests that need them are skipped otherwise
    #[arg(long)]
    pub show_secrets: bool,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A recording
    pub a: PathBuf,
    /// The recording to compare it with
    pub b: PathBuf,
    #[command(flatten)]
    pub filters: FilterArgs,
}

/// Options of printing, for live events and recordings alike.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// One line a call, as strace does; one JSON object a line; for ui.perfetto.dev; for OpenTelemetry; a Parquet table
    #[arg(long, value_enum, default_value_t = Format::Text, help_heading = OUTPUT)]
    pub format: Format,
    /// Write there (created 0600); `x.pytrace`: a recording for `replay`; `x.parquet`: what `replay` makes of one
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub shown: ShownArgs,
    /// In text, behind the Python function: the asyncio task and the OpenTelemetry span of the call, `[Task-3]`
    #[arg(long = "tasks", help_heading = OUTPUT)]
    pub show_tasks: bool,
    /// No events: a table at the end (calls, errors, total and mean time, by function)
    #[arg(short = 'c', long, help_heading = OUTPUT)]
    pub summary: bool,
    /// Colours in text
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Colour::Auto, help_heading = OUTPUT)]
    pub color: Colour,
    /// Whole lines on a terminal too, where they are cut at its width otherwise
    #[arg(long, help_heading = OUTPUT)]
    pub wide: bool,
    /// It is `stat`.
    #[arg(skip)]
    pub stat: Option<Stat>,
}

/// Which calls are shown, and what of them, wherever they are.
#[derive(Clone, Debug, Default, Args)]
pub struct ShownArgs {
    /// Stop after this many events
    #[arg(long, value_name = "N", help_heading = END)]
    pub max_events: Option<u64>,
    /// Only calls that raised
    #[arg(long, help_heading = WHICH)]
    pub errors: bool,
    /// Only calls at least that long: `5ms`, `100us`, `1s`
    #[arg(long, value_name = "TIME", value_parser = seconds, help_heading = WHICH)]
    pub min_duration: Option<Duration>,
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Passwords, tokens and keys as they are; they are masked otherwise
    #[arg(long, help_heading = VALUES)]
    pub show_secrets: bool,
    /// Also the traced calls that happen inside another traced call's work
    #[arg(long, help_heading = WHICH)]
    pub nested: bool,
}

/// What of a recording is taken.
#[derive(Debug, Args)]
pub struct RecordedArgs {
    /// Only these of the recorded effects, as if nothing else had been traced
    #[arg(short, long, value_name = "LIST", allow_hyphen_values = true, help_heading = WHICH)]
    pub effects: Option<String>,
    /// These recorded functions too; without `-e`, only these; repeatable
    #[arg(short, long = "function", value_name = "GLOB", help_heading = WHICH)]
    pub functions: Vec<String>,
    /// Python frames per event, at most as many as were recorded
    #[arg(long, value_name = "N", help_heading = VALUES)]
    pub stack: Option<u32>,
}

/// Which calls, by who makes them and by what they act on. Several of one option: one has to match. Several
/// options: each has to.
#[derive(Clone, Debug, Default, Args)]
pub struct FilterArgs {
    /// Only calls made from this Python code: a file (`app/*.py`, `/srv/**`: whole, or its end from a `/` on) or a
    /// function (`Shop.save*`; up to Python 3.10 without its class); repeatable.
    /// With --stack N: any of the N frames. The values of calls from elsewhere are not copied
    #[arg(help_heading = WHICH, long = "in", value_name = "GLOB")]
    pub code: Vec<String>,
    /// Only calls on this path (`*.log`, `/etc/**`); repeatable. Spares output, not the program
    #[arg(help_heading = WHICH, long = "path", value_name = "GLOB")]
    pub paths: Vec<String>,
    /// Only calls to this peer (`10.0.0.*`, `*:5432`); repeatable. Spares output, not the program
    #[arg(help_heading = WHICH, long = "peer", value_name = "GLOB")]
    pub peers: Vec<String>,
    /// Only calls of asyncio tasks of this name (`Task-3`, `load-*`); repeatable. Spares output, not the program
    #[arg(help_heading = WHICH, long = "task", value_name = "GLOB")]
    pub tasks: Vec<String>,
    /// Only calls of this thread: its id, or a glob of its name (`comm`; that of `threading` from Python 3.14 on);
    /// repeatable. The values of others' calls are not copied
    #[arg(help_heading = WHICH, long = "thread", value_name = "TID|GLOB")]
    pub threads: Vec<String>,
}

impl OutputArgs {
    /// Everything is shown; secrets as they are, or masked.
    pub fn of_secrets(shown: bool) -> Self {
        Self {
            format: Format::Json,
            output: None,
            shown: ShownArgs {
                show_secrets: shown,
                ..ShownArgs::default()
            },
            show_tasks: false,
            summary: false,
            color: Colour::Never,
            wide: true,
            stat: None,
        }
    }

    /// `--format`, or what the name of the file asks for.
    pub fn format(&self) -> Format {
        match is_parquet(self.output.as_deref()) {
            true => Format::Parquet,
            false => self.format,
        }
    }
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    /// Chrome trace events: opens in ui.perfetto.dev and chrome://tracing
    Chrome,
    /// OpenTelemetry logs, as OTLP/JSON
    Otlp,
    /// Apache Parquet, one row a call; by `replay` only
    Parquet,
}

/// A time: a number of seconds, or a number with `us`, `ms`, `s`, `m`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "s" => 1.0,
        "us" => 1e-6,
        "ms" => 1e-3,
        "m" => 60.0,
        unit => return Err(format!("`{unit}` is not a unit of time; use us, ms, s or m")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("`{text}` is not a time"))?;
    Duration::try_from_secs_f64(number * factor).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_take_units() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(seconds("2m"), Ok(Duration::from_secs(120)));
        assert!(seconds("-1").is_err());
        assert!(seconds("1h").is_err());
    }

    #[test]
    fn ring_buffers_are_powers_of_two() {
        assert_eq!(ring_bytes("256K"), Ok(256 << 10));
        assert_eq!(ring_bytes("16"), Ok(16 << 20));
        assert_eq!(ring_bytes("1024"), Ok(1024 << 20));
        for wrong in ["", "K", "128K", "3", "2048", "99999999999", "1M"] {
            assert!(ring_bytes(wrong).is_err(), "{wrong}");
        }
    }
}
