//! Entry and return records become calls.
//!
//! The two records of a call are known by the stack pointer: a function returns with the stack
//! pointer 8 bytes (the return address) above what it was at entry. A C stack grows down, so an
//! entry above a pending call's stack pointer tells that the pending call has ended. One at the same stack
//! pointer may be a function that the pending call ended with a jump to: then both return at once.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tracer_common::{
    activation::{RUN_RESUMED, RUN_YIELDED, Role},
    wire::{FLAG_SPARED, FrameRecord, KIND_ENTRY},
};

use super::{
    record::Record,
    value::{Activation, activation},
};
use crate::bytecode::Operands;
use crate::event::SiteMeta;

/// Calls in progress on one thread at most; beyond that the oldest is given up.
const MAX_PENDING: usize = 4096;

/// Bytes the `call` instruction pushes.
const RETURN_ADDRESS: u64 = 8;

/// Bytes that handlers put on the stack at most.
const HANDLERS: u64 = 4096;

/// Functions that yielded and may go on, at most.
const MAX_SUSPENDED: usize = 256 * 1024;

/// Threads whose latest bytecode is known at most.
const MAX_THREADS: usize = 64 * 1024;

/// Times that probes were taken out, not yet known to be out, at most.
const MAX_LOST: usize = 1024;

const NOT_RECORDED: &str = "its return was not recorded";

/// Of functions in which Python code may run, where that may switch C stacks.
pub const STACK_SWITCHES: &str = "greenlet is loaded: a return probe could crash the process";

/// Calls of some sites that began before a time: their probes were taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub target: u16,
    pub sites: Vec<u32>,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub before_ns: u64,
}

impl Lost {
    fn has(&self, entry: &Record) -> bool {
        let header = entry.header;
        header.target == self.target && header.time_ns < self.before_ns && self.sites.contains(&header.site)
    }
}

/// A call that has ended, or of which no more will be seen.
#[derive(Debug)]
pub struct Call {
    /// Grows in the order of entry; from 1.
    pub id: u64,
    /// The shown call this one runs inside.
    pub parent: Option<u64>,
    pub entry: Record,
    pub end: End,
    /// Of a Python function that goes on: the run that began it, where that was seen.
    pub first: Option<u64>,
}

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// The return record.
    Seen(Record),
    /// Why there is none.
    Unobserved(&'static str),
}

/// What pairing counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls shown inside no event of their own, because another call shows the act.
    pub inner: u64,
    /// Returns of calls entered before the probes were in, or whose entry record was lost.
    pub orphans: u64,
}

struct Pending {
    id: u64,
    parent: Option<u64>,
    shown: bool,
    sp: u64,
    /// Another function was entered at the same stack pointer, by a jump if all is well.
    jumped: bool,
    entry: Record,
    /// It is a run of a Python function.
    run: Option<PendingRun>,
}

/// What more is known of a run of a Python function.
struct PendingRun {
    /// Address of its frame, by which it is known.
    frame: u64,
    /// The eval function runs no other frame in that call of it (up to 3.10).
    has_call: bool,
    first: Option<u64>,
    /// C stacks are switched in the process: what comes at another stack pointer says nothing.
    switches: bool,
}

/// A bytecode that was seen. Its end is not: what happens below its stack pointer while the same instruction
/// of the same frame runs is its own work.
struct Bytecode {
    id: u64,
    shown: bool,
    is_one_act: bool,
    sp: u64,
    frame: FrameRecord,
}

impl Bytecode {
    /// Whether a call is its work. `caller`: which of the record's frames makes the call.
    fn does(&self, entry: &Record, caller: usize) -> bool {
        entry.header.sp < self.sp && entry.frames().nth(caller).as_ref() == Some(&self.frame)
    }
}

impl Pending {
    /// Is over, by an entry there of that site?
    fn is_over(&self, sp: u64, site: u32) -> bool {
        match &self.run {
            None => self.sp < sp || self.sp == sp && self.entry.header.site == site,
            Some(run) if run.switches => false,
            Some(run) if run.has_call => self.sp < sp || self.sp == sp && self.entry.header.site == site,
            // Handlers differ in what they put on the stack; a call of the eval function is far from the next.
            Some(_) => self.sp.saturating_add(HANDLERS) < sp,
        }
    }

    /// Whether it may have a call inside that is entered at a stack pointer. Of two C functions at the same one, only the next
    /// record tells whether the first one jumped or its return is missing: so it has nothing inside.
    fn is_around(&self, sp: u64) -> bool {
        self.run.is_some() || self.sp != sp
    }

    fn is_run_of(&self, frame: u64) -> bool {
        self.run.as_ref().is_some_and(|run| run.frame == frame)
    }
}

/// Pairs records, fed in ring buffer order.
pub struct Pairing {
    nested: bool,
    last_id: u64,
    threads: HashMap<(u16, u32), Vec<Pending>>,
    /// The latest bytecode of each thread.
    bytecodes: HashMap<(u16, u32), Bytecode>,
    /// By target and frame: functions that yielded, and the run that began each.
    suspended: HashMap<(u16, u64), u64>,
    /// Targets in which C stacks are switched.
    switching: HashSet<u16>,
    /// Calls that may have ended unseen.
    lost: Vec<Lost>,
    counts: Counts,
}

impl Pairing {
    /// `nested`: show the traced calls inside traced calls too.
    pub fn new(nested: bool) -> Self {
        Self {
            nested,
            last_id: 0,
            threads: HashMap::new(),
            bytecodes: HashMap::new(),
            suspended: HashMap::new(),
            switching: HashSet::new(),
            lost: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Counts so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a record; gives the calls that are over by it.
    pub fn feed(&mut self, record: Record, sites: &[SiteMeta], out: &mut impl FnMut(Call)) {
        let Some(meta) = sites.get(record.header.site as usize) else {
            return;
        };
        let run = meta.run.and_then(|_| activation(record.values()));
        match (record.header.kind, run) {
            (KIND_ENTRY, run) => self.entry(record, run.as_ref(), meta, sites, out),
            (_, Some(run)) => self.leave_run(record, &run, out),
            (_, None) => self.leave(record, out),
        }
    }

    /// From now on C stacks are switched in a target (greenlet), or no more.
    pub fn switches(&mut self, target: u16, switches: bool) {
        if switches {
            self.switching.insert(target);
        } else {
            self.switching.remove(&target);
        }
    }

    fn pending_run(&self, entry: &Record, run: &Activation, role: Option<Role>) -> PendingRun {
        let target = entry.header.target;
        let goes_on = run.flags & RUN_RESUMED != 0;
        PendingRun {
            frame: run.frame,
            has_call: role == Some(Role::Eval),
            first: goes_on
                .then(|| self.suspended.get(&(target, run.frame)).copied())
                .flatten(),
            switches: self.switching.contains(&target),
        }
    }

    fn entry(
        &mut self,
        entry: Record,
        run: Option<&Activation>,
        meta: &SiteMeta,
        sites: &[SiteMeta],
        out: &mut impl FnMut(Call),
    ) {
        let sp = entry.header.sp;
        // The kernel half is the first to see it come.
        let spared = entry.header.flags & FLAG_SPARED != 0;
        if spared {
            self.switching.insert(entry.header.target);
        }
        let no_return = meta.no_return.or(spared.then_some(STACK_SWITCHES));
        let pending_run = run.map(|run| self.pending_run(&entry, run, meta.run));
        let stack = self
            .threads
            .entry((entry.header.target, entry.header.tid))
            .or_default();
        // What jumped elsewhere returns right after what it jumped to.
        let late = stack.iter().rposition(|pending| !pending.jumped);
        let late = late.map_or(0, |last| last + 1);
        let ended = stack.iter().position(|pending| {
            let again = run.is_some_and(|run| pending.is_run_of(run.frame));
            again || pending.is_over(sp, entry.header.site)
        });
        let first = late.min(ended.unwrap_or(stack.len()));
        for pending in stack.drain(first..).rev() {
            over(pending, End::Unobserved(NOT_RECORDED), out);
        }
        if let Some(top) = stack.last_mut() {
            let functions = top.run.is_none() && run.is_none();
            top.jumped = functions && top.sp == sp && no_return.is_none();
        }
        if stack.len() >= MAX_PENDING {
            over(stack.remove(0), End::Unobserved(NOT_RECORDED), out);
        }
        let site_of = |pending: &Pending| sites.get(pending.entry.header.site as usize);
        let lost = &self.lost;
        let is_lost = |pending: &&Pending| lost.iter().any(|lost| lost.has(&pending.entry));
        let around = || {
            let around = stack.iter().rev().filter(|pending| pending.is_around(sp));
            around.filter(|pending| !is_lost(pending))
        };
        let inside = around().any(|pending| site_of(pending).is_some_and(SiteMeta::is_one_act));
        let thread = (entry.header.target, entry.header.tid);
        // The same bytecode again is that instruction run anew, perhaps by a handler with a larger C frame.
        let caller = usize::from(run.is_some());
        let bytecode = self
            .bytecodes
            .get(&thread)
            .filter(|bytecode| meta.operands.is_none() && bytecode.does(&entry, caller));
        let inside = inside || bytecode.is_some_and(|bytecode| bytecode.is_one_act);
        let shown = self.nested || meta.named || !inside;
        self.last_id += 1;
        // Where C stacks are switched, what began last may be elsewhere: only what it was called from is sure.
        let surely = |pending: &&Pending| match (&pending_run, run) {
            (Some(of), Some(run)) if of.switches => run.previous != 0 && pending.is_run_of(run.previous),
            _ => match (&pending.run, pending.entry.frames().next()) {
                (Some(of), Some(runs)) if of.switches => entry
                    .frames()
                    .next()
                    .is_some_and(|frame| (frame.code, frame.fingerprint) == (runs.code, runs.fingerprint)),
                _ => true,
            },
        };
        let mut shown_around = around().filter(|pending| pending.shown).filter(surely);
        let nearest = shown_around.next();
        let parent = match bytecode.filter(|bytecode| bytecode.shown) {
            // What is deeper than the bytecode came after it.
            Some(bytecode) if nearest.is_none_or(|nearest| bytecode.sp <= nearest.sp) => Some(bytecode.id),
            _ => nearest.map(|nearest| nearest.id),
        };
        if meta.operands.is_some_and(Operands::may_call) {
            if self.bytecodes.len() >= MAX_THREADS {
                self.bytecodes.clear();
            }
            match entry.frames().next() {
                Some(frame) => {
                    let bytecode = Bytecode {
                        id: self.last_id,
                        shown,
                        is_one_act: meta.is_one_act(),
                        sp,
                        frame,
                    };
                    self.bytecodes.insert(thread, bytecode);
                }
                None => drop(self.bytecodes.remove(&thread)),
            }
        }
        let pending = Pending {
            id: self.last_id,
            parent,
            shown,
            sp,
            jumped: false,
            entry,
            run: pending_run,
        };
        if !shown {
            self.counts.inner += 1;
        }
        match no_return {
            Some(why) => over(pending, End::Unobserved(why), out),
            None => stack.push(pending),
        }
    }

    fn leave(&mut self, leave: Record, out: &mut impl FnMut(Call)) {
        let header = leave.header;
        let Some(stack) = self.threads.get_mut(&(header.target, header.tid)) else {
            self.counts.orphans += 1;
            return;
        };
        let sp = header.sp.wrapping_sub(RETURN_ADDRESS);
        let found = stack
            .iter()
            .rposition(|pending| pending.sp == sp && pending.entry.header.site == header.site);
        let Some(found) = found else {
            self.counts.orphans += 1;
            return;
        };
        for pending in stack.drain(found + 1..).rev() {
            over(pending, End::Unobserved(NOT_RECORDED), out);
        }
        if let Some(pending) = stack.pop() {
            over(pending, End::Seen(leave), out);
        }
    }

    /// A run of a Python function ends.
    fn leave_run(&mut self, leave: Record, run: &Activation, out: &mut impl FnMut(Call)) {
        let header = leave.header;
        let stack = self.threads.get_mut(&(header.target, header.tid));
        let found = stack.and_then(|stack| {
            let found = stack.iter().rposition(|pending| pending.is_run_of(run.frame))?;
            Some((stack, found))
        });
        let Some((stack, found)) = found else {
            self.counts.orphans += 1;
            return;
        };
        if !self.switching.contains(&header.target) {
            for pending in stack.drain(found + 1..).rev() {
                over(pending, End::Unobserved(NOT_RECORDED), out);
            }
        }
        let pending = stack.remove(found);
        let key = (header.target, run.frame);
        if run.flags & RUN_YIELDED != 0 {
            if self.suspended.len() >= MAX_SUSPENDED {
                self.suspended.clear();
            }
            let began = match &pending.run {
                Some(run) if is_resumed(&pending.entry) => run.first,
                _ => Some(pending.id),
            };
            if let Some(began) = began {
                self.suspended.insert(key, began);
            }
        } else {
            self.suspended.remove(&key);
        }
        over(pending, End::Seen(leave), out);
    }

    /// The ends of these calls may not be seen any more: what comes from now on is not inside of them.
    pub fn loses(&mut self, lost: Lost) {
        if self.lost.len() >= MAX_LOST {
            self.lost.remove(0);
        }
        self.lost.push(lost);
    }

    /// Ends those of them that are still in progress; after the last record that may end one.
    pub fn give_up(&mut self, calls: &Lost, why: &'static str, out: &mut impl FnMut(Call)) {
        self.lost.retain(|lost| lost != calls);
        for stack in self.threads.values_mut() {
            let lost = stack.extract_if(.., |pending| calls.has(&pending.entry));
            for pending in lost {
                over(pending, End::Unobserved(why), out);
            }
        }
    }

    /// Ends all calls of one target (or of all) that are still in progress.
    pub fn finish(&mut self, target: Option<u16>, why: &'static str, out: &mut impl FnMut(Call)) {
        let mut left: Vec<Pending> = Vec::new();
        self.threads.retain(|(of, _), stack| {
            let ends = target.is_none_or(|target| target == *of);
            if ends {
                left.append(stack);
            }
            !ends
        });
        self.bytecodes
            .retain(|(of, _), _| target.is_some_and(|target| target != *of));
        self.suspended
            .retain(|(of, _), _| target.is_some_and(|target| target != *of));
        left.sort_by_key(|pending| pending.id);
        for pending in left {
            over(pending, End::Unobserved(why), out);
        }
    }
}

/// Whether a run goes on behind a `yield`.
fn is_resumed(entry: &Record) -> bool {
    activation(entry.values()).is_some_and(|run| run.flags & RUN_RESUMED != 0)
}

fn over(pending: Pending, end: End, out: &mut impl FnMut(Call)) {
    if pending.shown {
        out(Call {
            id: pending.id,
            parent: pending.parent,
            first: pending.run.and_then(|run| run.first),
            entry: pending.entry,
            end,
        });
    }
}

#[cfg(test)]
#[path = "pair_tests.rs"]
mod tests;
