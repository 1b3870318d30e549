//! The sink of a trace for the agent: log records in frames ([`super::orders`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use tracer_user::{
    event::call::{CallEvent, Outcome, TypeNames},
    export::{
        record::{Records, Values},
        redact::{Redaction, Settings},
    },
    sink::{Began, ProcessChange, Sink, Summary},
};

use super::orders::{Effect, Said, push_record, push_said};

/// What of which process's events leaves the host, and how many there were.
#[derive(Clone, Default)]
pub struct Rules(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    values: HashMap<u32, Values>,
    /// By whether values leave.
    full: Arc<Records>,
    none: Arc<Records>,
    /// Calls and errors by process and effect.
    counts: HashMap<(u32, &'static str), (u64, u64)>,
}

impl Rules {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of a process.
    pub fn set(&self, pid: u32, values: Values) {
        self.state().values.insert(pid, values);
    }

    fn forget(&self, pid: u32) {
        self.state().values.remove(&pid);
    }

    /// What is hidden of all from now on. What cannot be hidden so hides everything: no value leaves, and the error is the agent's to
    /// see.
    pub fn redact(&self, settings: &Settings) {
        let records = |values| match Redaction::new(settings) {
            Ok(redaction) => Arc::new(Records::new(values, redaction)),
            Err(error) => {
                log::error!("no values are sent: {error}");
                Arc::new(Records::default())
            }
        };
        let mut state = self.state();
        state.full = records(Values::Full);
        state.none = records(Values::None);
    }

    fn count(&self, call: &CallEvent<'_>) {
        let mut state = self.state();
        let (calls, errors) = state.counts.entry((call.pid, call.effect)).or_default();
        *calls += call.weight;
        *errors += if matches!(call.outcome, Outcome::Raised(_)) {
            call.weight
        } else {
            0
        };
    }

    /// What was counted since the last time.
    pub fn take_counts(&self) -> Vec<Effect> {
        let counts = std::mem::take(&mut self.state().counts);
        let effect = |((pid, effect), (calls, errors)): ((u32, &str), (u64, u64))| Effect {
            pid,
            effect: effect.to_owned(),
            calls,
            errors,
        };
        counts.into_iter().map(effect).collect()
    }

    fn of(&self, pid: u32) -> Arc<Records> {
        let state = self.state();
        match state.values.get(&pid) {
            Some(Values::Full) => Arc::clone(&state.full),
            Some(Values::None) | None => Arc::clone(&state.none),
        }
    }
}

/// The sink.
pub struct Feed {
    rules: Rules,
}

impl Feed {
    pub fn new(rules: Rules) -> Self {
        Self { rules }
    }
}

fn push(pid: u32, record: &LogRecord, out: &mut Vec<u8>) {
    // There is always room in a vector.
    let encode = |out: &mut Vec<u8>| record.encode(out).unwrap_or_default();
    push_record(pid, record.time_unix_nano, encode, out);
}

impl Sink for Feed {
    fn header(&mut self, _: &Began<'_>, out: &mut Vec<u8>) {
        push_said(&Said::Ready, out);
    }

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
        self.rules.count(call);
        let record = self.rules.of(call.pid).call(call, names);
        push(call.pid, &record, out);
    }

    fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>) {
        let record = self.rules.of(pid).process(pid, change, time_ns);
        push(pid, &record, out);
        if matches!(change, ProcessChange::Exit | ProcessChange::Exec { .. }) {
            self.rules.forget(pid);
            push_said(&Said::Ended { pid }, out);
        }
    }

    fn loss(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>) {
        let record = self.rules.of(0).loss(count, since_ns);
        push(0, &record, out);
    }

    fn summary(&mut self, _: &Summary, _: &mut Vec<u8>) {}
}
