//! From calls to printed events: times, names, filters, counts.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracer_common::{counters::SiteCounters, wire::FrameRecord};
use tracer_user::{
    cpython::names::ProcessNames,
    decode::{
        linetable::Lines,
        names::{Code, Names},
        pair::{Call, End, Pairing},
        record::Record,
        value::activation,
    },
    event::{
        SiteMeta,
        acted::ActedOn,
        call::{Frame, Outcome, TypeNames},
        judge::Tally,
        shaping::{self, Shaping},
        sum::Sum,
    },
    profile::{Profile, Thread},
    sink::{
        self, Began, Period, ProcessBudget, ProcessChange, Sink, SiteSummary, Summary, TargetInfo,
        escape::plainly,
    },
};

use crate::{
    Usage,
    cli::{Format, OutputArgs},
    screen,
};

/// Code objects whose lines are kept decoded.
const MAX_CODES: usize = 16 * 1024;

/// Target, address and fingerprint of a code object.
type CodeKey = (u16, u64, u64);
/// A code object that could be named, and its lines.
type Named = (Arc<Code>, Arc<Lines>);

/// Which events are shown.
#[derive(Clone, Copy, Debug)]
struct Filter {
    errors: bool,
    min_duration: Option<Duration>,
    max_events: Option<u64>,
}

/// The sink that the options ask for. `to_stderr`: events go there where no file is named.
pub fn sink_for(options: &OutputArgs, epoch_ns: u64, to_stderr: bool) -> Box<dyn Sink> {
    match options.format() {
        format if let Some(stat) = &options.stat => Box::new(sink::stat::Stat::new(
            format == Format::Json,
            stat.order,
            stat.top,
            stat.by_process,
        )),
        format if options.summary => Box::new(sink::totals::Totals::new(format == Format::Json)),
        Format::Text => screen::text(options, to_stderr),
        Format::Json => Box::new(sink::json::Json),
        Format::Chrome => Box::new(sink::chrome::Chrome::new(epoch_ns)),
        Format::Otlp => Box::new(sink::otlp::Otlp::default()),
        Format::Parquet => Box::new(sink::parquet::Parquet::default()),
    }
}

/// Prints calls into a buffer.
pub struct Reporter<N> {
    sites: Arc<[SiteMeta]>,
    pids: Vec<u32>,
    names: N,
    sink: Box<dyn Sink>,
    filter: Filter,
    show_secrets: bool,
    codes: HashMap<CodeKey, Option<Named>>,
    /// Unix time of `CLOCK_MONOTONIC` 0, nanoseconds.
    epoch_ns: u64,
    /// `--sample`.
    sample: Option<u32>,
    /// `--path`, `--peer` and `--task`; those of a recording too.
    acted: Vec<ActedOn>,
    /// Calls that a filter was against.
    filtered: Tally,
    /// Frames shown of those that a record has.
    stack: usize,
    events: u64,
}

impl<N: Names> Reporter<N> {
    /// `sink`: see [`sink_for`]; `epoch_ns`: see [`epoch_ns`].
    pub fn new(names: N, options: &OutputArgs, sink: Box<dyn Sink>, epoch_ns: u64) -> Result<Self, Usage> {
        let filter = Filter {
            errors: options.shown.errors,
            min_duration: options.shown.min_duration,
            max_events: options.shown.max_events,
        };
        let filters = &options.shown.filters;
        Ok(Self {
            acted: vec![ActedOn::new(&filters.paths, &filters.peers, &filters.tasks)?],
            filtered: Tally::default(),
            sites: Arc::new([]),
            pids: Vec::new(),
            names,
            sink,
            filter,
            show_secrets: options.shown.show_secrets,
            codes: HashMap::new(),
            epoch_ns,
            sample: None,
            stack: usize::MAX,
            events: 0,
        })
    }

    /// Of functions that are called more often than that in a second, only some calls come.
    pub fn sampled(self, sample: Option<u32>) -> Self {
        Self { sample, ..self }
    }

    /// That rate.
    pub fn rate(&self) -> Option<u32> {
        self.sample
    }

    /// Shows the innermost frames only.
    pub fn limit_stack(&mut self, frames: u32) {
        self.stack = frames as usize;
    }

    /// Shows of all that only what acts on this.
    pub fn narrow(&mut self, acted: ActedOn) {
        self.acted.push(acted);
    }

    /// Events written.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Where the names come from.
    pub fn names(&mut self) -> &mut N {
        &mut self.names
    }

    /// Writes the header.
    pub fn header(&mut self, targets: &[TargetInfo], out: &mut Vec<u8>) {
        let sample = self.sample;
        self.sink.header(&Began { targets, sample }, out);
    }

    /// Whether `--max-events` is reached.
    pub fn is_full(&self) -> bool {
        self.filter.max_events.is_some_and(|most| self.events >= most)
    }

    /// Writes one call, unless a filter is against it.
    pub fn call(&mut self, call: &Call, out: &mut Vec<u8>) {
        if self.is_full() {
            return;
        }
        if !self.shown(call, out) {
            self.filtered.at(call.entry.header.site).entries += 1;
            if let End::Seen(leave) = &call.end {
                // The end of a run of a Python function is a site of its own.
                let of_run = activation(leave.values()).is_some();
                let filtered = self.filtered.at(leave.header.site);
                filtered.entries += u64::from(of_run);
                filtered.returns += u64::from(!of_run);
            }
        }
    }

    /// Writes it, if the filters are for it.
    fn shown(&mut self, call: &Call, out: &mut Vec<u8>) -> bool {
        let header = call.entry.header;
        let operands = self
            .sites
            .get(header.site as usize)
            .and_then(|meta| meta.operands);
        let ended = shaping::outcome(call, operands);
        let (outcome, duration) = &ended;
        if self.filter.errors && !matches!(outcome, Outcome::Raised(_)) {
            return false;
        }
        if let Some(least) = self.filter.min_duration
            && duration.is_none_or(|ns| u128::from(ns) < least.as_nanos())
        {
            return false;
        }
        let run = activation(call.entry.values());
        // The first frame of a run is its own.
        let callers = usize::from(run.is_some());
        let stack = call
            .entry
            .frames()
            .skip(callers)
            .take(self.stack)
            .map(|frame| self.frame(header.target, &frame))
            .collect();
        let sites = Arc::clone(&self.sites);
        let Some(meta) = sites.get(header.site as usize) else {
            return false;
        };
        let shaping = Shaping {
            meta,
            pid: self.pids.get(header.target as usize).copied().unwrap_or(0),
            time_ns: self.epoch_ns.saturating_add(header.time_ns),
            ended,
            stack,
            function: run.map(|run| shaping::function(call, &run, &mut self.names)),
            show_secrets: self.show_secrets,
        };
        let mut names = TypeNames {
            names: &mut self.names,
            target: header.target,
        };
        let shown = shaping.event(call, &mut names, |event, names| {
            // All are asked, so that each knows what it ever matched.
            let acted = self.acted.iter_mut();
            let matches = acted.fold(true, |all, acted| acted.matches(event) & all);
            if matches {
                self.sink.call(event, names, out);
            }
            matches
        });
        let shown = shown == Some(true);
        self.events += u64::from(shown);
        shown
    }

    /// Takes a sample into a profile.
    pub fn sample(&mut self, record: &Record, profile: &mut Profile) {
        let header = record.header;
        let stack: Vec<Frame> = record
            .frames()
            .map(|frame| self.frame(header.target, &frame))
            .collect();
        let of = Thread {
            target: header.target,
            pid: self.pids.get(header.target as usize).copied().unwrap_or(0),
            tid: header.tid,
        };
        profile.name_thread(of.tid, || {
            let name = self.names.thread_name(of.target, of.tid)?;
            Some(plainly(&name).into_owned())
        });
        profile.sample(of, header.time_ns, &stack, header.flags);
    }

    /// Names a frame.
    pub fn frame(&mut self, target: u16, frame: &FrameRecord) -> Frame {
        let key = (target, frame.code, frame.fingerprint);
        if !self.codes.contains_key(&key) {
            if self.codes.len() >= MAX_CODES {
                self.codes.clear();
            }
            let found = self.names.code(target, frame).map(|code| {
                let lines = Arc::new(Lines::decode(code.line_format, &code.linetable, code.first_line));
                (code, lines)
            });
            self.codes.insert(key, found);
        }
        match self.codes.get(&key) {
            Some(Some((code, lines))) => Frame {
                line: lines.at(frame.instruction),
                code: Some(Arc::clone(code)),
            },
            _ => Frame {
                code: None,
                line: None,
            },
        }
    }

    /// The sites as they are now.
    pub fn set_sites(&mut self, sites: Arc<[SiteMeta]>) {
        self.sites = sites;
    }

    /// A target index stands for that process from now on.
    pub fn set_pid(&mut self, target: u16, pid: u32) {
        let at = usize::from(target);
        if self.pids.len() <= at {
            self.pids.resize(at + 1, 0);
        }
        self.pids[at] = pid;
    }

    /// The process that an index stands for.
    pub fn pid(&self, target: u16) -> Option<u32> {
        self.pids
            .get(usize::from(target))
            .copied()
            .filter(|pid| *pid != 0)
    }

    /// No record of that index comes any more: it may stand for another process.
    pub fn forget(&mut self, target: u16) {
        self.codes.retain(|(of, ..), _| *of != target);
    }

    /// Ends all calls of one target (or of all) that are still in progress, and writes them.
    pub fn unobserved(
        &mut self,
        pairing: &mut Pairing,
        target: Option<u16>,
        why: &'static str,
        out: &mut Vec<u8>,
    ) {
        pairing.finish(target, why, &mut |call| self.call(&call, out));
    }

    /// Writes calls that were added up.
    pub fn sums(&mut self, sums: &[Sum], period: Period, out: &mut Vec<u8>) {
        if period.is_whole {
            self.events += sums.iter().map(|sum| sum.calls.calls).sum::<u64>();
        }
        self.sink.sums(sums, period, out);
    }

    /// Writes that something happened to a process, at that Unix time.
    pub fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>) {
        self.sink.process(pid, change, time_ns, out);
    }

    /// Writes that records were lost.
    pub fn lost(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>) {
        self.sink.loss(count, since_ns, out);
    }

    /// Writes the summary; also returns it. `cut`: the trace's end is not known; so many records had been lost.
    pub fn summary(
        &mut self,
        counters: &[SiteCounters],
        inner: u64,
        cut: Option<u64>,
        budgets: Vec<ProcessBudget>,
        out: &mut Vec<u8>,
    ) -> Summary {
        let mut summary = Summary {
            events: self.events,
            inner,
            cut: cut.is_some(),
            budgets,
            unmatched: self.acted.iter().flat_map(ActedOn::unmatched).collect(),
            ..Summary::default()
        };
        let mut counters = counters.to_vec();
        self.filtered.settle(&mut counters);
        for (site, c) in self.sites.iter().zip(&counters) {
            add(&mut summary.totals, c);
            if c.skipped != 0 || !c.is_whole() {
                summary.sites.push(SiteSummary {
                    function: site.function.to_string(),
                    counters: *c,
                });
            }
        }
        let lost = SiteCounters {
            hits: cut.unwrap_or(0),
            dropped: cut.unwrap_or(0),
            ..SiteCounters::default()
        };
        add(&mut summary.totals, &lost);
        summary.lost = summary.totals.dropped;
        summary.lost_returns = summary.totals.return_dropped;
        self.sink.summary(&summary, out);
        summary
    }
}

impl Reporter<ProcessNames> {
    /// Takes in the path of a file.
    pub fn learn_path(&mut self, record: &Record) {
        self.names.learn_path(record);
    }

    /// Takes in the names of a code object; the frame that has it.
    pub fn learn(&mut self, record: &Record) -> Option<FrameRecord> {
        let frame = self.names.learn(record)?;
        // It may have been looked for in vain.
        self.codes
            .remove(&(record.header.target, frame.code, frame.fingerprint));
        Some(frame)
    }
}

/// Adds up; those of a recording may be anything.
fn add(to: &mut SiteCounters, c: &SiteCounters) {
    let add = |to: &mut u64, n: u64| *to = to.saturating_add(n);
    add(&mut to.hits, c.hits);
    add(&mut to.delivered, c.delivered);
    add(&mut to.dropped, c.dropped);
    add(&mut to.filtered, c.filtered);
    add(&mut to.return_hits, c.return_hits);
    add(&mut to.return_delivered, c.return_delivered);
    add(&mut to.return_dropped, c.return_dropped);
    add(&mut to.return_filtered, c.return_filtered);
    add(&mut to.truncated, c.truncated);
    add(&mut to.faults, c.faults);
    add(&mut to.skipped, c.skipped);
    add(&mut to.return_skipped, c.return_skipped);
}

/// Unix time, nanoseconds.
pub fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// Unix time of `CLOCK_MONOTONIC` 0, nanoseconds. It moves when the clock is set.
pub fn epoch_ns() -> u64 {
    now_ns().saturating_sub(monotonic_ns())
}

/// `CLOCK_MONOTONIC`, nanoseconds: the time of records.
pub fn monotonic_ns() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    })
}

/// Prints the summary on standard error.
pub fn print_summary(summary: &Summary) {
    eprintln!("{}", summary.line());
    for filter in &summary.unmatched {
        crate::logging::say!("`{filter}` matched nothing");
    }
    for of in &summary.budgets {
        let percent = |share: f64| (share * 1e4).round() / 1e2;
        let (budget, cost) = (percent(of.budget), percent(of.cost));
        crate::logging::say!(
            "tracing {} cost {cost}% of a processor, the budget was {budget}%",
            of.pid
        );
        for shed in &of.shed {
            crate::logging::say!(
                "  {} was seen {}% of the time, in {} windows",
                shed.function,
                percent(shed.seen),
                shed.windows
            );
        }
    }
    for site in &summary.sites {
        let c = &site.counters;
        if c.skipped != 0 {
            let filtered = match c.filtered {
                0 => String::new(),
                n => format!(", {n} left out or part of others"),
            };
            crate::logging::say!(
                "  {}: {} calls: {} shown, {} skipped{filtered}",
                site.function,
                c.hits,
                c.delivered,
                c.skipped
            );
        }
        if c.is_whole() {
            continue;
        }
        crate::logging::say!(
            "  {}: hits {} delivered {} dropped {} filtered {}; returns {} dropped {}; cut {}, unreadable {}",
            site.function,
            c.hits,
            c.delivered,
            c.dropped,
            c.filtered,
            c.return_hits,
            c.return_dropped,
            c.truncated,
            c.faults
        );
    }
}
