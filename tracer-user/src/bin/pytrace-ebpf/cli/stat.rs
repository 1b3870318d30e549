//! The options of `stat`, and what of a trace is only added up.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, ValueEnum};
use tracer_user::{attach::Nested, sink::stat::Order};

use super::{Format, OutputArgs, Share, TraceArgs, seconds};
use crate::output::is_recording;

/// Which calls are added up.
#[derive(Debug, Args)]
pub struct AddedArgs {
    /// Effects or groups, comma separated; `!x` takes x out, `all`, `none`
    #[arg(
        short,
        long,
        value_name = "LIST",
        default_value = "world",
        allow_hyphen_values = true
    )]
    pub effects: String,
    /// These C functions too, whatever their effect; repeatable
    #[arg(short, long = "function", value_name = "GLOB")]
    pub functions: Vec<String>,
    /// Also calls that happen inside another traced call's work
    #[arg(long)]
    pub nested: bool,
    /// Children of traced processes too
    #[arg(long)]
    pub follow: bool,
    /// What adding up may cost each process, of one processor: `1%`. Functions that cost more are seen for moments only
    #[arg(long, value_name = "SHARE")]
    pub budget: Option<Share>,
}

/// Options of `stat`.
#[derive(Debug, Args)]
pub struct StatArgs {
    /// Process to attach to; repeatable
    #[arg(long = "pid", value_name = "PID")]
    pub pids: Vec<u32>,
    #[command(flatten)]
    pub added: AddedArgs,
    /// Stop after this time: `10`, `500ms`, `1m`
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// A table of what came since the last one, each time that has passed, and one of all at the end
    #[arg(short, long, value_name = "TIME", value_parser = interval)]
    pub interval: Option<Duration>,
    /// By which the rows are sorted
    #[arg(long, value_name = "COLUMN", value_enum, default_value_t = Sort::Time)]
    pub sort: Sort,
    /// Rows of a table at most; the others are shown as one
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub top: usize,
    /// Rows of each process apart
    #[arg(long)]
    pub by_process: bool,
    /// A table; or one JSON object a row
    #[arg(long, value_enum, default_value_t = StatFormat::Text)]
    pub format: StatFormat,
    /// Write there (created 0600)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Diagnostics of the tool itself; twice for more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// A program to start, and its arguments, in place of --pid
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Looking at all sums costs the tool some milliseconds.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);

/// A time between tables.
pub fn interval(text: &str) -> Result<Duration, String> {
    let interval = seconds(text)?;
    match interval < LEAST_INTERVAL {
        true => Err(format!("at least {LEAST_INTERVAL:?}")),
        false => Ok(interval),
    }
}

/// `stat --sort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    Time,
    Calls,
    Errors,
    Max,
    Bytes,
}

/// `stat --format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatFormat {
    Text,
    Json,
}

/// How `stat` prints.
#[derive(Clone, Debug)]
pub struct Stat {
    pub order: Order,
    pub top: usize,
    pub by_process: bool,
    pub interval: Option<Duration>,
}

impl StatArgs {
    /// The options of a trace that does it.
    pub fn trace(&self) -> TraceArgs {
        let mut output = OutputArgs::of_secrets(false);
        output.format = match self.format {
            StatFormat::Text => Format::Text,
            StatFormat::Json => Format::Json,
        };
        output.output.clone_from(&self.output);
        output.shown.nested = self.added.nested;
        output.stat = Some(Stat {
            order: match self.sort {
                Sort::Time => Order::Time,
                Sort::Calls => Order::Calls,
                Sort::Errors => Order::Errors,
                Sort::Max => Order::Max,
                Sort::Bytes => Order::Bytes,
            },
            top: self.top,
            by_process: self.by_process,
            interval: self.interval,
        });
        TraceArgs {
            pids: self.pids.clone(),
            effects: self.added.effects.clone(),
            functions: self.added.functions.clone(),
            calls: Vec::new(),
            output,
            stack: 1,
            max_str: 0,
            max_items: 0,
            max_depth: 0,
            sample: None,
            duration: self.duration,
            follow: self.added.follow,
            ring: 1 << 20,
            budget: self.added.budget,
            empty: false,
            verbose: self.verbose,
        }
    }
}

impl TraceArgs {
    /// Whether calls are only added up, so that no record of them has to leave the kernel: nobody asks for a value, for
    /// single calls, or for what only their records tell.
    pub fn sums(&self) -> Option<Nested> {
        let shown = &self.output.shown;
        let f = &shown.filters;
        let filters = [&f.code, &f.paths, &f.peers, &f.threads, &f.tasks];
        let all = self.calls.is_empty()
            && filters.iter().all(|filter| filter.is_empty())
            && !shown.errors
            && shown.min_duration.is_none()
            && shown.max_events.is_none()
            && !is_recording(self.output.output.as_deref());
        let summary = self.output.summary && all;
        (self.output.stat.is_some() || summary).then_some(Nested(shown.nested))
    }
}
