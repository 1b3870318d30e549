//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use tracer_common::limits::{MAX_DEPTH, MAX_FRAMES, MAX_ITEMS, MAX_STR};
use tracer_user::sink::look::{Colour, Look, Stream};

const EXAMPLES: &str = "\
Examples:
  sudo pytrace-ebpf --pid 1234                       what a running program does to the world
  sudo pytrace-ebpf --pid 1234 -e file,net --errors  failed calls on files and the network
  sudo pytrace-ebpf --pid 1234 -c --duration 10      a table after ten seconds
  sudo pytrace-ebpf run -- python3 app.py            a program from its first line on
  sudo pytrace-ebpf --pid 1234 -o calls.pytrace      a recording,
  pytrace-ebpf replay calls.pytrace -e db            to be looked at later
  sudo pytrace-ebpf --pid 1234 --format json -o calls.json
  sudo pytrace-ebpf --pid 1234 -e none -f 'zlib.*'   any C function by name";

const EXIT_CODES: &str = "\
Exit codes: 0 traced as asked; 1 could not trace (one line says why); 2 wrong usage; `run`: that of the program.";

/// strace for Python: attaches to a running CPython process and prints its side effects.
///
/// No restart, no injected code: the kernel copies the arguments and results of the C functions
/// through which Python changes the world, at the moment of each call.
#[derive(Debug, Parser)]
#[command(name = "pytrace-ebpf", version, args_conflicts_with_subcommands = true)]
#[command(before_help = EXAMPLES, after_help = EXIT_CODES)]
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
        /// A table, or one JSON object
        #[arg(long, value_enum, default_value_t = DoctorFormat::Text)]
        format: DoctorFormat,
    },
    /// What a shell completes this command with: `source <(pytrace-ebpf completions bash)`
    Completions { shell: clap_complete::Shell },
    /// The manual page: `pytrace-ebpf man | man -l -`
    Man,
}

/// Headings of `--help`.
const WHAT: &str = "What is traced";
const SHOWN: &str = "What is shown";
const CAPTURED: &str = "What is captured";
const END: &str = "When it ends";

/// Options of tracing.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Process to attach to; repeatable
    #[arg(help_heading = WHAT, long = "pid", value_name = "PID")]
    pub pids: Vec<u32>,
    /// Effects or groups, comma separated; `!x` takes x out, `all`, `none`
    #[arg(help_heading = WHAT,
        short,
        long,
        value_name = "LIST",
        default_value = "world",
        allow_hyphen_values = true
    )]
    pub effects: String,
    /// Trace these C functions too, whatever their effect; repeatable
    #[arg(help_heading = WHAT, short, long = "function", value_name = "GLOB")]
    pub functions: Vec<String>,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Python frames per event, innermost first
    #[arg(help_heading = CAPTURED, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_FRAMES)))]
    pub stack: u32,
    /// Bytes of a string captured
    #[arg(help_heading = CAPTURED, long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_STR)))]
    pub max_str: u32,
    /// Items of a container captured
    #[arg(help_heading = CAPTURED, long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_ITEMS)))]
    pub max_items: u32,
    /// Levels of nested containers captured
    #[arg(help_heading = CAPTURED, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_DEPTH)))]
    pub max_depth: u32,
    /// Stop after this time: `10`, `500ms`, `1m`
    #[arg(help_heading = END, long, value_name = "SECS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Children of traced processes too
    #[arg(help_heading = WHAT, long)]
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
    #[command(flatten)]
    pub filters: FilterArgs,
}

/// Options of printing, for live events and recordings alike.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// One line a call, as strace does; one JSON object a line; for ui.perfetto.dev; for OpenTelemetry
    #[arg(help_heading = SHOWN, long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write there (created 0600); `x.pytrace`: a recording for `replay`
    #[arg(help_heading = SHOWN, short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Stop after this many events
    #[arg(help_heading = END, long, value_name = "N")]
    pub max_events: Option<u64>,
    /// Only calls that raised
    #[arg(help_heading = SHOWN, long)]
    pub errors: bool,
    /// Only calls at least that long: `5ms`, `100us`, `1s`
    #[arg(help_heading = SHOWN, long, value_name = "TIME", value_parser = seconds)]
    pub min_duration: Option<Duration>,
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Passwords, tokens and keys as they are; they are masked otherwise
    #[arg(help_heading = SHOWN, long)]
    pub show_secrets: bool,
    /// Colours: on a terminal, unless NO_COLOR is set
    #[arg(help_heading = SHOWN, long, value_enum, value_name = "WHEN", default_value_t = ColorWhen::Auto)]
    pub color: ColorWhen,
    /// Lines as long as they are, also on a terminal
    #[arg(help_heading = SHOWN, long)]
    pub wide: bool,
    /// No events: a table at the end (calls, errors, total and mean time, by function)
    #[arg(help_heading = SHOWN, short = 'c', long)]
    pub summary: bool,
    /// Also the traced calls that happen inside another traced call's work
    #[arg(help_heading = SHOWN, long)]
    pub nested: bool,
}

/// Which calls, by who makes them and by what they act on. Several of one option: one has to match. Several
/// options: each has to.
#[derive(Clone, Debug, Default, Args)]
pub struct FilterArgs {
    /// Only calls made from this Python code: a file (`app/*.py`, `/srv/**`: whole, or its end from a `/` on) or a
    /// function (`Shop.save*`; up to Python 3.10 without its class); repeatable.
    /// With --stack N: any of the N frames. Calls from elsewhere cost the program no copy
    #[arg(help_heading = SHOWN, long = "in", value_name = "GLOB")]
    pub code: Vec<String>,
    /// Only calls on this path (`*.log`, `/etc/**`); repeatable. Spares output, not the program
    #[arg(help_heading = SHOWN, long = "path", value_name = "GLOB")]
    pub paths: Vec<String>,
    /// Only calls to this peer (`10.0.0.*`, `*:5432`); repeatable. Spares output, not the program
    #[arg(help_heading = SHOWN, long = "peer", value_name = "GLOB")]
    pub peers: Vec<String>,
    /// Only calls of this thread: its id, or a glob of its name (`comm`; that of `threading` from Python 3.14 on);
    /// repeatable. Calls of others cost the program no copy
    #[arg(help_heading = SHOWN, long = "thread", value_name = "TID|GLOB")]
    pub threads: Vec<String>,
}

impl OutputArgs {
    /// How text looks that goes to that stream, or to `-o`.
    pub fn look(&self, stream: Stream) -> Look {
        let colour = match self.color {
            ColorWhen::Auto => Colour::Auto,
            ColorWhen::Always => Colour::Always,
            ColorWhen::Never => Colour::Never,
        };
        Look::new(self.output.is_none().then_some(stream), colour, self.wide)
    }
}

/// `doctor --format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DoctorFormat {
    Text,
    Json,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    Auto,
    Always,
    Never,
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
