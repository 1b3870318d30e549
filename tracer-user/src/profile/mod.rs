//! Where a program spends its time: equal Python stacks, added up. On a processor, by samples; off it, by how long traced
//! calls took, less the samples inside of them.

pub mod flamegraph;
pub mod folded;
mod frames;
pub mod pprof;
pub mod sink;
pub mod speedscope;
mod stacks;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tracer_common::wire::{FLAG_CUT, FLAG_FRAME_FAULT, FLAG_NO_TSTATE};

use crate::event::call::Frame;
pub use frames::{Frames, Named};
use stacks::{Samples, Stacks};

/// What is asked of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Samples a second on each processor; 0: none are taken.
    pub rate: u32,
    /// Time in traced calls counts.
    pub waits: bool,
    /// Frames of a stack at most.
    pub depth: usize,
    /// Lines of one function are told apart where a format has one name a frame.
    pub lines: bool,
    /// Threads are told apart.
    pub threads: bool,
}

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thread {
    /// Index of the process, as records have it.
    pub target: u16,
    pub pid: u32,
    pub tid: u32,
}

/// A call that a thread may have waited in.
#[derive(Clone, Copy, Debug)]
pub struct Wait<'a> {
    pub function: &'a str,
    /// Both in the time of samples, nanoseconds.
    pub began_ns: u64,
    pub ended_ns: u64,
    /// No other call that is counted is around it.
    pub outermost: bool,
}

/// What was seen at a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Samples on a processor.
    pub samples: u64,
    /// Nanoseconds in traced calls; below 0 where the samples inside of them stand for more.
    pub waited_ns: i64,
}

/// What the last line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples that came.
    pub samples: u64,
    /// Of them, those of which not even one frame, or not all, could be read.
    pub unreadable: u64,
    /// Those with more frames than were asked for.
    pub cut: u64,
    /// Those of threads that ran no Python code.
    pub native: u64,
    /// Samples that were lost.
    pub lost: u64,
    /// Calls that may have waited.
    pub calls: u64,
    /// Calls whose end was not seen, so that they have no time.
    pub unobserved: u64,
}

/// The profile.
#[derive(Debug)]
pub struct Profile {
    pub options: Options,
    pub counts: Counts,
    frames: Frames,
    stacks: Stacks,
    /// Samples that a call in progress may have had inside of it.
    recent: HashMap<(u16, u32), Samples>,
    names: HashMap<u32, String>,
    /// How long it took, once it is over.
    pub duration: Duration,
    /// Unix time of its beginning, nanoseconds.
    pub began_ns: u64,
}

impl Profile {
    pub fn new(options: Options, began_ns: u64) -> Self {
        Self {
            options,
            counts: Counts::default(),
            frames: Frames::default(),
            stacks: Stacks::default(),
            recent: HashMap::new(),
            names: HashMap::new(),
            duration: Duration::ZERO,
            began_ns,
        }
    }

    /// Nanoseconds that a sample stands for.
    pub fn period_ns(&self) -> u64 {
        match self.options.rate {
            0 => 0,
            rate => 1_000_000_000 / u64::from(rate),
        }
    }

    /// Takes in where a thread was on a processor, innermost frame first; `flags` of the record.
    pub fn sample(&mut self, of: Thread, time_ns: u64, stack: &[Frame], flags: u32) {
        self.counts.samples += 1;
        let faulty = flags & FLAG_FRAME_FAULT != 0;
        self.counts.unreadable += u64::from(faulty);
        self.counts.cut += u64::from(flags & FLAG_CUT != 0);
        let mut ids = Vec::with_capacity(stack.len() + 1);
        if faulty {
            ids.push(self.frames.special(frames::UNREADABLE));
        } else if flags & FLAG_CUT != 0 {
            ids.push(self.frames.special(frames::MORE));
        } else if flags & FLAG_NO_TSTATE != 0 || stack.is_empty() {
            self.counts.native += 1;
            ids.push(self.frames.special(frames::NATIVE));
        }
        self.outermost_first(stack, &mut ids);
        let weight = Weight {
            samples: 1,
            waited_ns: 0,
        };
        self.add(of, ids, weight);
        if self.options.waits {
            Samples::add(&mut self.recent, (of.target, of.tid), time_ns);
        }
    }

    /// Takes in a call that may have waited, with the frames that it was made from, innermost first.
    pub fn wait(&mut self, of: Thread, wait: &Wait<'_>, stack: &[Frame]) {
        self.counts.calls += 1;
        let mut ids = Vec::with_capacity(stack.len() + 2);
        let shown = &stack[..stack.len().min(self.options.depth)];
        if shown.len() < stack.len() {
            ids.push(self.frames.special(frames::MORE));
        }
        self.outermost_first(shown, &mut ids);
        ids.push(self.frames.waiting(wait.function));
        let thread = (of.target, of.tid);
        let inside = Samples::between(&mut self.recent, thread, wait);
        let spent = inside.saturating_mul(self.period_ns());
        let took = wait.ended_ns.saturating_sub(wait.began_ns);
        let weight = Weight {
            samples: 0,
            waited_ns: signed(took).saturating_sub(signed(spent)),
        };
        self.add(of, ids, weight);
    }

    /// Notes the name of a thread, the first time that it is given.
    pub fn name_thread(&mut self, tid: u32, name: impl FnOnce() -> Option<String>) {
        if self.options.threads && self.names.len() < stacks::MAX_STACKS && !self.names.contains_key(&tid) {
            self.names.insert(tid, name().unwrap_or_default());
        }
    }

    /// All stacks with their weights, outermost frame first; in a fixed order.
    pub fn stacks(&self) -> Vec<(Thread, &[u32], Weight)> {
        self.stacks.sorted()
    }

    /// The frames that [`Self::stacks`] has the numbers of.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// What stands before a thread's frames, where processes or threads are told apart.
    pub fn roots(&self, of: Thread, pids: &BTreeSet<u32>) -> Vec<String> {
        let process = (pids.len() > 1).then(|| format!("process {}", of.pid));
        let thread = self.options.threads.then(|| {
            let name = self.names.get(&of.tid).map_or("", String::as_str);
            format!("thread {} {name}", of.tid).trim_end().to_owned()
        });
        process.into_iter().chain(thread).collect()
    }

    /// The processes that there are stacks of.
    pub fn pids(&self) -> BTreeSet<u32> {
        self.stacks.threads().map(|thread| thread.pid).collect()
    }

    /// Nanoseconds of a weight: both parts.
    pub fn time_ns(&self, weight: Weight) -> u64 {
        let on = weight.samples.saturating_mul(self.period_ns());
        on.saturating_add(waited_ns(weight))
    }

    /// One line for standard error.
    pub fn line(&self) -> String {
        let counts = &self.counts;
        let mut parts = Vec::new();
        if self.options.rate != 0 {
            parts.push(format!(
                "{} samples at {} Hz, {} lost, {} unreadable, {} cut, {} outside of Python",
                counts.samples, self.options.rate, counts.lost, counts.unreadable, counts.cut, counts.native
            ));
        }
        if self.options.waits {
            parts.push(format!(
                "{} calls, {} of them unobserved",
                counts.calls + counts.unobserved,
                counts.unobserved
            ));
        }
        if self.stacks.is_full() || self.frames.is_full() {
            parts.push("too many different stacks: some are counted together".to_owned());
        }
        format!("pytrace-ebpf: {}", parts.join("; "))
    }

    fn outermost_first(&mut self, stack: &[Frame], ids: &mut Vec<u32>) {
        for frame in stack.iter().rev() {
            ids.push(self.frames.of(frame));
        }
    }

    fn add(&mut self, mut of: Thread, ids: Vec<u32>, weight: Weight) {
        if !self.options.threads {
            of.tid = 0;
        }
        let others = || self.frames.special(frames::OTHERS);
        self.stacks.add(of, ids, weight, others);
    }
}

/// Nanoseconds off the processor: where samples stand for more than the calls took, none.
pub fn waited_ns(weight: Weight) -> u64 {
    u64::try_from(weight.waited_ns).unwrap_or(0)
}

fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
