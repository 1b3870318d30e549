//! The options of `profile`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, ValueEnum};
use tracer_common::sample::SAMPLE_FRAMES;

use super::{END, OUTPUT, ring_bytes, seconds};

/// Options of `profile`.
#[derive(Debug, Args)]
pub struct ProfileArgs {
    /// Process to attach to; repeatable
    #[arg(
        long = "pid",
        value_name = "PID",
        required_unless_present = "command",
        conflicts_with = "command"
    )]
    pub pids: Vec<u32>,
    /// What counts: time on processors, by samples; time in traced calls, which stand for waiting (less the samples inside of them);
    /// or both
    #[arg(long, value_enum, default_value_t = Mode::On)]
    pub mode: Mode,
    /// Samples a second on each processor
    #[arg(long, value_name = "HZ", default_value_t = 99, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,
    /// Python frames of a stack, innermost first; what is further out is shown as `[more frames]`
    #[arg(long, value_name = "N", default_value_t = SAMPLE_FRAMES, value_parser = clap::value_parser!(u32).range(1..=i64::from(SAMPLE_FRAMES)))]
    pub depth: u32,
    /// With --mode off or both: these effects or groups are what is waited in
    #[arg(short, long, value_name = "LIST", default_value = crate::profile::WAITS, allow_hyphen_values = true)]
    pub effects: String,
    /// Children too
    #[arg(long)]
    pub follow: bool,
    /// How it is written; otherwise by the name of the file: `.svg`, `.speedscope.json`, `.pb.gz`, else folded stacks
    #[arg(long, value_enum, help_heading = OUTPUT)]
    pub format: Option<ProfileFormat>,
    /// Write there (created 0600)
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,
    /// Lines of one function apart, also where a format has no place for them
    #[arg(long, help_heading = OUTPUT)]
    pub lines: bool,
    /// Threads apart
    #[arg(long, help_heading = OUTPUT)]
    pub threads: bool,
    /// Stop after this time: `10`, `500ms`, `1m`
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = END)]
    pub duration: Option<Duration>,
    /// Megabytes of the ring buffer between kernel and daemon, or kilobytes: 256K; a power of two
    #[arg(long, value_name = "MB", default_value = "16", value_parser = ring_bytes)]
    pub ring: u32,
    /// Diagnostics of the tool itself; twice for more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// A program to start, and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// `profile --mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Time on processors
    On,
    /// Time in traced calls
    Off,
    Both,
}

/// `profile --format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileFormat {
    /// A line a stack: frames with `;` between them, outermost first, and microseconds
    Folded,
    /// A flame graph (SVG)
    Flamegraph,
    /// For www.speedscope.app
    Speedscope,
    /// For `go tool pprof`
    Pprof,
}
