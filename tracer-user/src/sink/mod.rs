//! Where events go: text for people, JSON for programs. A sink appends to a buffer; who owns the
//! buffer writes it out.

/// Appends formatted text to a byte buffer, which cannot fail.
macro_rules! push {
    ($out:expr, $($format:tt)*) => {{
        let _ = write!($out, $($format)*);
    }};
}

pub mod chrome;
pub mod escape;
pub mod json;
pub(crate) mod json_value;
pub mod nothing;
pub mod number;
pub mod otlp;
pub mod page;
pub mod parquet;
pub(crate) mod plain_text;
pub mod repr;
pub mod stat;
pub mod terminal;
pub mod text;
pub mod totals;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tracer_common::counters::SiteCounters;

use crate::event::{
    call::{CallEvent, TypeNames},
    sum::Sum,
};

/// One traced process, for the header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetInfo {
    pub pid: u32,
    pub python: String,
    pub executable: String,
    /// Functions probed.
    pub functions: usize,
    /// What of it cannot be seen, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Cow<'static, str>>,
    /// What tracing it may cost, of one processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
}

/// What happened at one site, for the summary.
#[derive(Clone, Debug)]
pub struct SiteSummary {
    pub function: String,
    pub counters: SiteCounters,
}

/// The end of a trace.
/// What tracing a process cost, where that had a budget. Shares are of one processor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProcessBudget {
    pub pid: u32,
    pub budget: f64,
    pub cost: f64,
    /// Functions that were not seen all the time.
    pub shed: Vec<ShedFunction>,
}

/// A function whose probes went to keep the budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShedFunction {
    pub function: String,
    /// How often they went, and how often they were back for a moment.
    pub sheds: u64,
    pub windows: u64,
    /// Share of the time in which they were there.
    pub seen: f64,
}

#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Events written.
    pub events: u64,
    /// Entry records lost.
    pub lost: u64,
    /// Return records lost: their calls show as unobserved.
    pub lost_returns: u64,
    /// Calls that are part of another event.
    pub inner: u64,
    /// How the trace ended is not known; counters are those of the events that are.
    pub cut: bool,
    /// Filters that matched nothing, as they were given.
    pub unmatched: Vec<String>,
    /// Totals over all sites.
    pub totals: SiteCounters,
    /// Sites where anything was lost, cut or unreadable, or calls were skipped.
    pub sites: Vec<SiteSummary>,
    /// Of each process that had one.
    pub budgets: Vec<ProcessBudget>,
}

impl Summary {
    /// One line for standard error.
    pub fn line(&self) -> String {
        let t = &self.totals;
        let skipped = match t.skipped {
            0 => String::new(),
            skipped => format!(" + skipped {skipped}"),
        };
        format!(
            "pytrace-ebpf: {} events, {} lost (hits {} = delivered {} + dropped {} + filtered {}{skipped})",
            self.events, self.lost, t.hits, t.delivered, t.dropped, t.filtered
        )
    }
}

/// Something that happens to a traced process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessChange {
    Exit,
    /// It is a new process; what it does is traced.
    Fork {
        parent: u32,
    },
    /// It runs another program from now on. `parent`: the process it was forked from, if it is a child
    /// that is followed.
    Exec {
        executable: String,
        parent: Option<u32>,
    },
    /// Extension modules brought functions that are traced now.
    Load {
        /// The files that were looked into for the first time.
        files: Vec<String>,
        functions: usize,
        /// From the end of the import to the probes, nanoseconds; calls of these functions in that time
        /// were not seen. 0: the process waited.
        gap_ns: u64,
    },
    /// A function is not seen any more but for moments: it cost too much (`--budget`). Costs are millionths of one processor.
    Shed {
        function: String,
        cost_ppm: u64,
        budget_ppm: u64,
    },
    /// It was seen for a moment, which ends here.
    Window {
        function: String,
        /// When it began, Unix time.
        from_ns: u64,
        calls: u64,
        /// How long it had not been seen before.
        unseen_ns: u64,
        /// It is cheap now, and seen from now on.
        stays: bool,
    },
    /// What tracing the process cost since this was last said, and the functions that are not seen now.
    Cost {
        cost_ppm: u64,
        budget_ppm: u64,
        shed: Vec<String>,
    },
}

impl ProcessChange {
    /// As the formats call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Fork { .. } => "fork",
            Self::Exec { .. } => "exec",
            Self::Load { .. } => "load",
            Self::Shed { .. } => "shed",
            Self::Window { .. } => "window",
            Self::Cost { .. } => "cost",
        }
    }
}

/// When calls were added up, Unix time in nanoseconds, and whether it is the whole trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from_ns: u64,
    pub to_ns: u64,
    pub is_whole: bool,
}

/// What a trace begins with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Began<'a> {
    pub targets: &'a [TargetInfo],
    /// Of functions that are called more often than that in a second only some calls come, each with what it stands for
    /// ([`CallEvent::weight`]).
    pub sample: Option<u32>,
}

/// A format.
pub trait Sink: Send {
    /// Probes are in.
    fn header(&mut self, began: &Began<'_>, out: &mut Vec<u8>);
    /// A call.
    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>);
    /// A change of a traced process.
    fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>);
    /// Records were lost since a time.
    fn loss(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>);
    /// Calls that were added up in a period, not given as calls.
    fn sums(&mut self, _: &[Sum], _: Period, _: &mut Vec<u8>) {}
    /// The end.
    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>);
}
