//! The end of the way of calls and samples: a profile, which is written when tracing ends.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::{Options, Profile, Thread, Wait, flamegraph, folded, pprof, speedscope};
use crate::{
    event::call::{CallEvent, Outcome, TypeNames},
    sink::{Began, ProcessChange, Sink, Summary},
};

/// How a profile is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Folded,
    Flamegraph,
    Speedscope,
    Pprof,
}

/// A profile in the making, shared by who takes samples and who writes it.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Profile>>);

impl Shared {
    pub fn new(options: Options) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_nanos() as u64);
        Self(Arc::new(Mutex::new(Profile::new(options, now))))
    }

    pub fn lock(&self) -> MutexGuard<'_, Profile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(..)")
    }
}

/// Takes calls into a profile, and writes it at the end.
#[derive(Debug)]
pub struct Profiler {
    profile: Shared,
    format: Format,
    began: Instant,
    title: String,
    /// Why calls have no end when tracing ends: until then they waited.
    still: &'static str,
    /// `CLOCK_MONOTONIC` 0 as Unix time, nanoseconds: samples have the one, events the other.
    epoch_ns: u64,
}

impl Profiler {
    /// `still`: why a call has no end when tracing ends before it.
    pub fn new(profile: Shared, format: Format, still: &'static str, epoch_ns: u64) -> Self {
        Self {
            profile,
            format,
            began: Instant::now(),
            title: "pytrace-ebpf".to_owned(),
            still,
            epoch_ns,
        }
    }
}

impl Sink for Profiler {
    fn header(&mut self, began: &Began<'_>, _: &mut Vec<u8>) {
        for target in began.targets {
            self.title = format!("{} (Python {})", target.executable, target.python);
        }
        self.began = Instant::now();
    }

    fn call(&mut self, call: &CallEvent<'_>, _: &mut TypeNames<'_>, _: &mut Vec<u8>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_nanos() as u64);
        let mut profile = self.profile.lock();
        let took = match (&call.outcome, call.duration_ns) {
            (_, Some(ns)) => ns,
            (Outcome::Unobserved(why), None) if *why == self.still => now.saturating_sub(call.time_ns),
            _ => {
                profile.counts.unobserved += 1;
                return;
            }
        };
        let of = Thread {
            target: call.target,
            pid: call.pid,
            tid: call.tid,
        };
        let began_ns = call.time_ns.saturating_sub(self.epoch_ns);
        let wait = Wait {
            function: call.function,
            began_ns,
            ended_ns: began_ns.saturating_add(took),
            outermost: call.parent.is_none(),
        };
        profile.wait(of, &wait, &call.stack);
    }

    fn process(&mut self, _: u32, _: &ProcessChange, _: u64, _: &mut Vec<u8>) {}

    fn loss(&mut self, _: u64, _: u64, _: &mut Vec<u8>) {}

    fn summary(&mut self, _: &Summary, out: &mut Vec<u8>) {
        let mut profile = self.profile.lock();
        profile.duration = self.began.elapsed();
        let written = match self.format {
            Format::Folded => {
                folded::write(&profile, out);
                Ok(())
            }
            Format::Flamegraph => flamegraph::write(&profile, &self.title, out),
            Format::Speedscope => {
                speedscope::write(&profile, &self.title, out).map_err(std::io::Error::other)
            }
            Format::Pprof => pprof::write(&profile, out),
        };
        if let Err(error) = written {
            log::error!("the profile cannot be written: {error}");
        }
    }
}
