//! Which Python functions are wanted (`--calls`). The daemon judges each code object once, by names that it is the first
//! to know, and tells the kernel half; what comes meanwhile of others is left out here, as if it had never come.

use std::collections::{HashMap, HashSet};

use tracer_common::wire::KIND_ENTRY;

use super::{
    judge::Tally,
    pattern::{BadGlob, Patterns},
};
use crate::decode::{
    names::Names,
    record::Record,
    value::{Activation, activation},
};

/// Verdicts remembered, and runs in progress that are left out, at most. Beyond it they are forgotten.
const MAX_KNOWN: usize = 64 * 1024;

/// Who takes the verdicts to the kernel.
pub trait RunCourt {
    /// Whether runs of a code object are wanted. `key`: [`Activation::key`].
    fn judge_run(&mut self, target: u16, key: u64, wanted: bool);
}

/// Judges the runs of Python functions.
#[derive(Debug, Default)]
pub struct RunJudge {
    calls: Patterns,
    /// Target, address and fingerprint of a code object: wanted?
    known: HashMap<(u16, u64, u64), bool>,
    /// Target, thread and frame of runs in progress that are left out.
    hidden: HashSet<(u16, u32, u64)>,
    tally: Tally,
}

impl RunJudge {
    /// `calls`: globs of `module.qualname`, or of files.
    ///
    /// # Errors
    ///
    /// The first glob that is none.
    pub fn new(calls: &[String]) -> Result<Self, BadGlob> {
        Ok(Self {
            calls: Patterns::parse(calls)?,
            ..Self::default()
        })
    }

    /// Whether runs are traced at all.
    pub fn is_asked(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether a record is to be used: that of a wanted run, or of anything else. What is left out is counted.
    pub fn keeps(&mut self, record: &Record, names: &mut dyn Names, court: &mut dyn RunCourt) -> bool {
        let Some(run) = activation(record.values()) else {
            return true;
        };
        let header = &record.header;
        let key = (header.target, header.tid, run.frame);
        if header.kind != KIND_ENTRY {
            let hidden = self.hidden.remove(&key);
            self.tally.at(header.site).entries += u64::from(hidden);
            return !hidden;
        }
        if self.is_wanted(record, &run, names, court) {
            self.hidden.remove(&key);
            return true;
        }
        self.tally.at(header.site).entries += 1;
        if self.hidden.len() >= MAX_KNOWN {
            self.hidden.clear();
        }
        self.hidden.insert(key);
        false
    }

    fn is_wanted(
        &mut self,
        record: &Record,
        run: &Activation,
        names: &mut dyn Names,
        court: &mut dyn RunCourt,
    ) -> bool {
        let target = record.header.target;
        // What cannot be named is not known to be another.
        let Some(frame) = record.frames().next() else {
            return true;
        };
        let key = (target, frame.code, frame.fingerprint);
        let wanted = match self.known.get(&key) {
            Some(wanted) => *wanted,
            None => {
                let Some(name) = names.function(target, &frame, run) else {
                    return true;
                };
                let file = names.code(target, &frame).map(|code| code.file.clone());
                let full = full_name(&name.module, &name.qualname);
                let wanted = self.calls.name(&full) | file.is_some_and(|file| self.calls.path(&file));
                if self.known.len() >= MAX_KNOWN {
                    self.known.clear();
                }
                self.known.insert(key, wanted);
                wanted
            }
        };
        // Also where it was said before: the kernel may have forgotten.
        court.judge_run(target, run.key, wanted);
        wanted
    }

    /// No record of that target index comes any more: it may stand for another process.
    pub fn forget(&mut self, target: u16) {
        self.known.retain(|(of, ..), _| *of != target);
        self.hidden.retain(|(of, ..)| *of != target);
    }

    /// What was left out.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Options that matched nothing.
    pub fn unmatched(&self) -> Vec<String> {
        let calls = self.calls.unmatched();
        calls.map(|glob| format!("--calls {glob}")).collect()
    }
}

/// `module.qualname`.
pub fn full_name(module: &str, qualname: &str) -> String {
    match module {
        "" => qualname.to_owned(),
        module => format!("{module}.{qualname}"),
    }
}
