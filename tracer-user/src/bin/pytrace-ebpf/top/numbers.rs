//! Numbers of calls.

use std::collections::BTreeMap;

use super::feed::{Event, Row};

/// Numbers of some calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub calls: u64,
    pub errors: u64,
    pub unobserved: u64,
    pub total_ns: u64,
    /// Of all calls since the beginning.
    pub max_ns: u64,
    pub bytes: u64,
    /// Calls by the end of their bucket, nanoseconds.
    pub histogram: BTreeMap<u64, u64>,
}

impl Numbers {
    pub fn of(row: &Row) -> Self {
        let buckets = row.histogram.iter();
        Self {
            calls: row.calls,
            errors: row.errors,
            unobserved: row.unobserved,
            total_ns: row.total_ns,
            max_ns: row.max_ns,
            bytes: row.bytes,
            histogram: buckets.map(|(end, n)| (end.unwrap_or(u64::MAX), *n)).collect(),
        }
    }

    pub fn join(&mut self, other: &Self) {
        let add = |to: &mut u64, n: u64| *to = to.saturating_add(n);
        add(&mut self.calls, other.calls);
        add(&mut self.errors, other.errors);
        add(&mut self.unobserved, other.unobserved);
        add(&mut self.total_ns, other.total_ns);
        add(&mut self.bytes, other.bytes);
        self.max_ns = self.max_ns.max(other.max_ns);
        for (end, n) in &other.histogram {
            add(self.histogram.entry(*end).or_default(), *n);
        }
    }

    /// Adds one.
    pub fn add(&mut self, event: &Event) {
        self.calls += 1;
        self.errors += u64::from(event.outcome == "raise");
        if let Some(ns) = event.duration_ns {
            self.total_ns = self.total_ns.saturating_add(ns);
            self.max_ns = self.max_ns.max(ns);
            let end = (ns + 1).checked_next_power_of_two().unwrap_or(u64::MAX);
            *self.histogram.entry(end).or_default() += 1;
        } else {
            self.unobserved += 1;
        }
    }

    /// Calls that ended, so far as is known.
    pub fn ended(&self) -> u64 {
        self.histogram.values().fold(0, |all, n| all.saturating_add(*n))
    }

    /// Mean duration, nanoseconds.
    pub fn mean_ns(&self) -> Option<u64> {
        self.total_ns.checked_div(self.ended())
    }

    /// What `share` of the calls took less than; `u64::MAX`: more than the longest bucket.
    pub fn below_ns(&self, share: f64) -> Option<u64> {
        let wanted = (self.ended() as f64 * share).ceil() as u64;
        let mut seen = 0u64;
        let buckets = self.histogram.iter();
        let mut reached = buckets.filter(|(_, n)| {
            seen = seen.saturating_add(**n);
            seen >= wanted
        });
        reached.next().map(|(end, _)| *end)
    }
}
