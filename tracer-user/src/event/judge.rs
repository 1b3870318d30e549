//! Calls that are left out by where they are made: `--in` and `--thread`. The kernel half leaves most of them out
//! by itself, once it was told; what it delivers is judged here, before it is paired, as if it had never come.

use std::collections::{HashMap, HashSet};

use tracer_common::{
    counters::SiteCounters,
    filter::{CodeKey, FILTER_CODE, FILTER_THREAD},
    wire::{FLAG_FRAME_FAULT, FLAG_NEW_THREAD, FLAG_NO_TSTATE, FrameRecord, KIND_ENTRY},
};

use super::pattern::{BadGlob, Patterns};
use crate::decode::{names::Names, record::Record, value::activation};

/// Verdicts remembered of code objects and of threads, and calls in progress that are left out, at most. Beyond
/// it they are forgotten, and judged anew.
const MAX_KNOWN: usize = 64 * 1024;

/// Target, thread, stack pointer at entry, site.
type CallKey = (u16, u32, u64, u32);

/// Who knows threads, and takes the verdicts to the kernel.
pub trait Court {
    /// The name of a thread at its latest call: 16 bytes, zeros behind it. `None`: the kernel half did not
    /// look at threads.
    fn thread_name(&mut self, target: u16, tid: u32) -> Option<[u64; 2]>;
    /// What was judged of a thread, as long as it has that name.
    fn judge_thread(&mut self, target: u16, tid: u32, name: [u64; 2], shown: bool);
    /// Calls from this code object are left out.
    fn hide_code(&mut self, key: CodeKey);
    /// The target index is to stand for another process.
    fn forget(&mut self, codes: &[CodeKey], threads: &[(u16, u32)]);
}

/// Nobody: a recording is replayed.
pub struct NoCourt;

impl Court for NoCourt {
    fn thread_name(&mut self, _: u16, _: u32) -> Option<[u64; 2]> {
        None
    }
    fn judge_thread(&mut self, _: u16, _: u32, _: [u64; 2], _: bool) {}
    fn hide_code(&mut self, _: CodeKey) {}
    fn forget(&mut self, _: &[CodeKey], _: &[(u16, u32)]) {}
}

/// Entries and returns left out at one site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    pub entries: u64,
    pub returns: u64,
}

impl Filtered {
    /// Counts as filtered what the kernel half counted as delivered.
    pub fn settle(self, counters: &mut SiteCounters) {
        let entries = self.entries.min(counters.delivered);
        counters.delivered -= entries;
        counters.filtered = counters.filtered.saturating_add(entries);
        let returns = self.returns.min(counters.return_delivered);
        counters.return_delivered -= returns;
        counters.return_filtered = counters.return_filtered.saturating_add(returns);
    }
}

/// Counts what is left out, by site.
#[derive(Clone, Debug, Default)]
pub struct Tally(Vec<Filtered>);

impl Tally {
    /// The site's counts.
    pub fn at(&mut self, site: u32) -> &mut Filtered {
        let at = site as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, Filtered::default());
        }
        &mut self.0[at]
    }

    /// See [`Filtered::settle`].
    pub fn settle(&self, counters: &mut [SiteCounters]) {
        for (filtered, counters) in self.0.iter().zip(counters) {
            filtered.settle(counters);
        }
    }
}

/// Judges records.
#[derive(Debug, Default)]
pub struct Judge {
    code: Patterns,
    threads: Patterns,
    /// Some of them are not ids.
    by_name: bool,
    /// Frames looked at.
    stack: usize,
    /// By code object: shown?
    codes: HashMap<CodeKey, bool>,
    /// By target and thread: shown?
    known_threads: HashMap<(u16, u32), bool>,
    /// In progress and left out.
    calls: HashSet<CallKey>,
    tally: Tally,
}

impl Judge {
    /// `code`: globs of files and functions; `threads`: thread ids and globs of names. `stack`: as many frames
    /// are looked at, innermost first.
    ///
    /// # Errors
    ///
    /// The first glob that is none.
    pub fn new(code: &[String], threads: &[String], stack: u32) -> Result<Self, BadGlob> {
        Ok(Self {
            code: Patterns::parse(code)?,
            by_name: threads.iter().any(|thread| thread.parse::<u32>().is_err()),
            threads: Patterns::parse(threads)?,
            stack: stack as usize,
            ..Self::default()
        })
    }

    /// What the kernel half is to look at: `FILTER_*`.
    pub fn filters(&self) -> u64 {
        let code = if self.code.is_empty() { 0 } else { FILTER_CODE };
        let thread = if self.threads.is_empty() { 0 } else { FILTER_THREAD };
        code | thread
    }

    /// Whether a record is to be used. What is left out is counted.
    pub fn keeps(&mut self, record: &Record, names: &mut dyn Names, court: &mut dyn Court) -> bool {
        if self.code.is_empty() && self.threads.is_empty() {
            return true;
        }
        let header = &record.header;
        if let Some(run) = activation(record.values()) {
            return self.keeps_run(record, run.frame, names, court);
        }
        if header.kind != KIND_ENTRY {
            // 8 bytes: the return address.
            let key = (header.target, header.tid, header.sp.wrapping_sub(8), header.site);
            let hidden = self.calls.remove(&key);
            self.tally.at(header.site).returns += u64::from(hidden);
            return !hidden;
        }
        let key = (header.target, header.tid, header.sp, header.site);
        self.begins(record, key, 0, names, court)
    }

    /// The same of a run of a Python function, which is made by the frame behind its own.
    fn keeps_run(
        &mut self,
        record: &Record,
        frame: u64,
        names: &mut dyn Names,
        court: &mut dyn Court,
    ) -> bool {
        let header = &record.header;
        // No site has that number.
        let key = (header.target, header.tid, frame, u32::MAX);
        if header.kind != KIND_ENTRY {
            let hidden = self.calls.remove(&key);
            self.tally.at(header.site).entries += u64::from(hidden);
            return !hidden;
        }
        self.begins(record, key, 1, names, court)
    }

    /// Whether what begins is shown; if not, its end is not either. `caller`: which frame does the calling.
    fn begins(
        &mut self,
        record: &Record,
        key: CallKey,
        caller: usize,
        names: &mut dyn Names,
        court: &mut dyn Court,
    ) -> bool {
        if self.thread_shown(record, names, court) && self.code_shown(record, caller, names, court) {
            self.calls.remove(&key);
            return true;
        }
        self.tally.at(record.header.site).entries += 1;
        if self.calls.len() >= MAX_KNOWN {
            self.calls.clear();
        }
        self.calls.insert(key);
        false
    }

    /// A thread without a name is shown, unless only ids were asked for: what is left out is known to be another.
    fn thread_shown(&mut self, record: &Record, names: &mut dyn Names, court: &mut dyn Court) -> bool {
        if self.threads.is_empty() {
            return true;
        }
        let (target, tid) = (record.header.target, record.header.tid);
        let is_new = record.header.flags & FLAG_NEW_THREAD != 0;
        if let Some(shown) = self.known_threads.get(&(target, tid)).filter(|_| !is_new) {
            return *shown;
        }
        let by_id = self.threads.is(&tid.to_string());
        let at_call = court.thread_name(target, tid);
        let name = match at_call {
            Some(name) => Some(text(name).into()),
            None => names.thread_name(target, tid),
        };
        let shown = match name {
            Some(name) => self.threads.name(&name) | by_id,
            None => by_id || self.by_name,
        };
        if self.known_threads.len() >= MAX_KNOWN {
            self.known_threads.clear();
        }
        self.known_threads.insert((target, tid), shown);
        if let Some(name) = at_call {
            court.judge_thread(target, tid, name, shown);
        }
        shown
    }

    /// Frames without a name are shown, as above. `first`: that does the calling.
    fn code_shown(
        &mut self,
        record: &Record,
        first: usize,
        names: &mut dyn Names,
        court: &mut dyn Court,
    ) -> bool {
        if self.code.is_empty() {
            return true;
        }
        let unknown = record.header.flags & (FLAG_FRAME_FAULT | FLAG_NO_TSTATE) != 0;
        let target = record.header.target;
        let mut shown = false;
        for frame in record.frames().skip(first).take(self.stack) {
            shown |= self.frame_shown(target, &frame, names, court);
        }
        shown || unknown
    }

    fn frame_shown(
        &mut self,
        target: u16,
        frame: &FrameRecord,
        names: &mut dyn Names,
        court: &mut dyn Court,
    ) -> bool {
        let key = [target.into(), frame.code, frame.fingerprint];
        let known = self.codes.get(&key).copied();
        let shown = known.unwrap_or_else(|| {
            let Some(code) = names.code(target, frame) else {
                return true;
            };
            let shown = self.code.path(&code.file) | self.code.name(&code.function);
            if self.codes.len() >= MAX_KNOWN {
                self.codes.clear();
            }
            self.codes.insert(key, shown);
            shown
        });
        if !shown {
            // Also where it was said before: the kernel may have forgotten.
            court.hide_code(key);
        }
        shown
    }

    /// No record of that target index comes any more: it may stand for another process.
    pub fn forget(&mut self, target: u16, court: &mut dyn Court) {
        let codes: Vec<CodeKey> = self
            .codes
            .extract_if(|key, _| key[0] == u64::from(target))
            .map(|(key, _)| key)
            .collect();
        let threads: Vec<(u16, u32)> = self
            .known_threads
            .extract_if(|key, _| key.0 == target)
            .map(|(key, _)| key)
            .collect();
        self.calls.retain(|key| key.0 != target);
        court.forget(&codes, &threads);
    }

    /// What was left out.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Options that matched nothing.
    pub fn unmatched(&self) -> Vec<String> {
        let code = self.code.unmatched().map(|glob| format!("--in {glob}"));
        let threads = self.threads.unmatched().map(|glob| format!("--thread {glob}"));
        code.chain(threads).collect()
    }
}

/// The text of a thread's name.
fn text(name: [u64; 2]) -> String {
    let bytes: Vec<u8> = name.iter().flat_map(|word| word.to_le_bytes()).collect();
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}
