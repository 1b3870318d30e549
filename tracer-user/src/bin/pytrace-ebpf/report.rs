//! From calls to printed events: times, names, filters, counts.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracer_common::{
    counters::SiteCounters,
    wire::{FLAG_CUT, FrameRecord},
};
use tracer_user::{
    cpython::{Interpreter, names::ProcessNames},
    decode::{
        linetable::Lines,
        names::{Code, Names},
        pair::{Call, End},
        record::Record,
        value::{Ending, Value, arguments, ending},
    },
    event::{
        SiteMeta,
        call::{CallEvent, Frame, Outcome, Raised, TypeNames},
    },
    process::Process,
    sink::{ProcessChange, Sink, SiteSummary, Summary, TargetInfo, totals::Totals},
};

use crate::cli::{Format, OutputArgs};

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

/// Prints calls into a buffer.
pub struct Reporter<N> {
    sites: Arc<[SiteMeta]>,
    pids: Vec<u32>,
    names: N,
    sink: Box<dyn Sink>,
    filter: Filter,
    codes: HashMap<CodeKey, Option<Named>>,
    /// Unix time of `CLOCK_MONOTONIC` 0, nanoseconds.
    epoch_ns: u64,
    events: u64,
}

impl<N: Names> Reporter<N> {
    pub fn new(names: N, options: &OutputArgs) -> Self {
        let sink: Box<dyn Sink> = match options.format {
            format if options.summary => Box::new(Totals::new(format == Format::Json)),
            Format::Text => Box::new(tracer_user::sink::text::Text::default()),
            Format::Json => Box::new(tracer_user::sink::json::Json),
        };
        let filter = Filter {
            errors: options.errors,
            min_duration: options.min_duration,
            max_events: options.max_events,
        };
        Self {
            sites: Arc::new([]),
            pids: Vec::new(),
            names,
            sink,
            filter,
            codes: HashMap::new(),
            epoch_ns: epoch_ns(),
            events: 0,
        }
    }

    /// Writes the header.
    pub fn header(&mut self, targets: &[TargetInfo], out: &mut Vec<u8>) {
        self.sink.header(targets, out);
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
        let header = call.entry.header;
        let (outcome, duration) = match &call.end {
            End::Unobserved(why) => (Outcome::Unobserved(why), None),
            End::Seen(leave) => (
                outcome(leave),
                Some(leave.header.time_ns.saturating_sub(header.time_ns)),
            ),
        };
        if self.filter.errors && !matches!(outcome, Outcome::Raised(_)) {
            return;
        }
        if let Some(least) = self.filter.min_duration
            && duration.is_none_or(|ns| u128::from(ns) < least.as_nanos())
        {
            return;
        }
        let stack = call
            .entry
            .frames()
            .map(|frame| self.frame(header.target, &frame))
            .collect();
        let Some(meta) = self.sites.get(header.site as usize) else {
            return;
        };
        let mut arguments = arguments(call.entry.values());
        arguments.cut = header.flags & FLAG_CUT != 0;
        let mut names = TypeNames {
            names: &mut self.names,
            target: header.target,
        };
        let name = meta.name_call(&mut arguments, &mut names);
        if !name.wanted {
            return;
        }
        let outcome = match outcome {
            Outcome::Raised(raised) => Outcome::Raised(raised.without_file_name(&mut names)),
            other => other,
        };
        let event = CallEvent {
            function: &name.function,
            module_len: name.module_len,
            effect: name.effect,
            id: call.id,
            parent: call.parent,
            target: header.target,
            pid: self.pids.get(header.target as usize).copied().unwrap_or(0),
            tid: header.tid,
            time_ns: self.epoch_ns.saturating_add(header.time_ns),
            duration_ns: duration,
            meta,
            arguments,
            outcome,
            stack,
        };
        self.sink.call(&event, &mut names, out);
        self.events += 1;
    }

    fn frame(&mut self, target: u16, frame: &FrameRecord) -> Frame {
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

    /// Writes that something happened to a process.
    pub fn process(&mut self, pid: u32, change: &ProcessChange, out: &mut Vec<u8>) {
        self.sink.process(pid, change, now_ns(), out);
    }

    /// Writes that records were lost.
    pub fn lost(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>) {
        self.sink.loss(count, since_ns, out);
    }

    /// Writes the summary; also returns it.
    pub fn summary(&mut self, counters: &[SiteCounters], inner: u64, out: &mut Vec<u8>) -> Summary {
        let mut summary = Summary {
            events: self.events,
            inner,
            ..Summary::default()
        };
        for (site, c) in self.sites.iter().zip(counters) {
            add(&mut summary.totals, c);
            let whole = c.dropped + c.return_dropped + c.truncated + c.faults == 0
                && c.hits == c.delivered + c.filtered;
            if !whole {
                summary.sites.push(SiteSummary {
                    function: site.function.to_string(),
                    counters: *c,
                });
            }
        }
        summary.lost = summary.totals.dropped;
        summary.lost_returns = summary.totals.return_dropped;
        self.sink.summary(&summary, out);
        summary
    }
}

impl Reporter<ProcessNames> {
    /// A process is traced under this index from now on.
    pub fn add_target(&mut self, index: u16, process: Arc<Process>, interpreter: Arc<Interpreter>) {
        let at = usize::from(index);
        if self.pids.len() <= at {
            self.pids.resize(at + 1, 0);
        }
        self.pids[at] = process.pid();
        self.names.insert(index, process, interpreter);
    }

    /// No record of it will come any more: the index may stand for another process.
    pub fn remove_target(&mut self, index: u16) {
        self.names.remove(index);
        self.codes.retain(|(target, ..), _| *target != index);
    }
}

fn outcome(leave: &Record) -> Outcome<'_> {
    match ending(leave.values()) {
        Some(Ending::Returned(value)) => Outcome::Returned(value),
        Some(Ending::Raised { ty, value }) => Outcome::Raised(Raised::new(ty, value)),
        None => Outcome::Returned(Value::Cut),
    }
}

fn add(to: &mut SiteCounters, c: &SiteCounters) {
    to.hits += c.hits;
    to.delivered += c.delivered;
    to.dropped += c.dropped;
    to.filtered += c.filtered;
    to.return_hits += c.return_hits;
    to.return_delivered += c.return_delivered;
    to.return_dropped += c.return_dropped;
    to.return_filtered += c.return_filtered;
    to.truncated += c.truncated;
    to.faults += c.faults;
}

/// Unix time, nanoseconds.
pub fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

fn epoch_ns() -> u64 {
    let monotonic = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    });
    now_ns().saturating_sub(monotonic)
}
