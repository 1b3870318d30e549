//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use tracer_common::limits::{MAX_DEPTH, MAX_FRAMES, MAX_ITEMS, MAX_STR};

/// strace for Python: attaches to a running CPython process and prints its side effects.
///
/// No restart, no injected code: the kernel copies the arguments and results of the C functions
/// through which Python changes the world, at the moment of each call.
#[derive(Debug, Parser)]
#[command(name = "pytrace-ebpf", version, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Examples:\n  sudo pytrace-ebpf --pid 1234\n  sudo pytrace-ebpf run -- python3 app.py\n  sudo pytrace-ebpf --pid 1234 -e file,net --stack 3\n  sudo pytrace-ebpf --pid 1234 -e none -f 'zlib.*' --format json -o calls.json\n\nExit codes: 0 traced as asked; 1 could not trace (one line says why); 2 wrong usage."
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
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
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
    /// Effects that one recording has and another has not, by function, target and call site
    Diff(DiffArgs),
    /// What this kernel and a process allow, what not, and the remedy
    Doctor {
        /// Process to look at
        #[arg(long, value_name = "PID")]
        pid: Option<u32>,
    },
}

/// Options of tracing.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Process to attach to; repeatable
    #[arg(long = "pid", value_name = "PID")]
    pub pids: Vec<u32>,
    /// Effects or groups, comma separated; `!x` takes x out, `all`, `none`
    #[arg(
        short,
        long,
        value_name = "LIST",
        default_value = "world",
        allow_hyphen_values = true
    )]
    pub effects: String,
    /// Trace these C functions too, whatever their effect; repeatable
    #[arg(short, long = "function", value_name = "GLOB")]
    pub functions: Vec<String>,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Python frames per event, innermost first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_FRAMES)))]
    pub stack: u32,
    /// Bytes of a string captured
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_STR)))]
    pub max_str: u32,
    /// Items of a container captured
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_ITEMS)))]
    pub max_items: u32,
    /// Levels of nested containers captured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_DEPTH)))]
    pub max_depth: u32,
    /// Stop after this time: `10`, `500ms`, `1m`
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Children of traced processes too
    #[arg(long)]
    pub follow: bool,
    /// Megabytes of the ring buffer between kernel and daemon
    #[arg(long, value_name = "MB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub ring: u32,
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
    /// Only these of the recorded effects, as if nothing else had been traced
    #[arg(short, long, value_name = "LIST", allow_hyphen_values = true)]
    pub effects: Option<String>,
    /// These recorded functions too; without `-e`, only these; repeatable
    #[arg(short, long = "function", value_name = "GLOB")]
    pub functions: Vec<String>,
    /// Python frames per event, at most as many as were recorded
    #[arg(long, value_name = "N")]
    pub stack: Option<u32>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A recording
    pub a: PathBuf,
    /// The recording to compare it with
    pub b: PathBuf,
}

/// Options of printing, for live events and recordings alike.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// One line a call, as strace does; one JSON object a line; for ui.perfetto.dev; for OpenTelemetry
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write there (created 0600); `x.pytrace`: a recording for `replay`
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Stop after this many events
    #[arg(long, value_name = "N")]
    pub max_events: Option<u64>,
    /// Only calls that raised
    #[arg(long)]
    pub errors: bool,
    /// Only calls at least that long: `5ms`, `100us`, `1s`
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub min_duration: Option<Duration>,
    /// Passwords, tokens and keys as they are; they are masked otherwise
    #[arg(long)]
    pub show_secrets: bool,
    /// No events: a table at the end (calls, errors, total and mean time, by function)
    #[arg(short = 'c', long)]
    pub summary: bool,
    /// Also the traced calls that happen inside another traced call's work
    #[arg(long)]
    pub nested: bool,
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
}

/// A time: a number of seconds, or a number with `us`, `ms`, `s`, `m`.
fn seconds(text: &str) -> Result<Duration, String> {
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
}
