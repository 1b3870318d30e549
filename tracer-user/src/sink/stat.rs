//! Calls added up by function and calling line: a table, or one JSON object a row.

use std::{cmp::Reverse, collections::HashMap, io::Write as _, sync::Arc};

use tracer_common::aggregate::{Aggregate, BUCKETS};

use super::{
    Began, Period, ProcessChange, Sink, Summary,
    escape::{json_text, plain},
    json::{Json, frames},
    text::{duration, place},
};
use crate::event::{
    call::{CallEvent, TypeNames},
    sum::{Sum, below_ns},
};

/// By which the rows are sorted, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Time,
    Calls,
    Errors,
    Max,
    Bytes,
}

/// Prints sums.
#[derive(Debug)]
pub struct Stat {
    json: bool,
    order: Order,
    /// Rows of one table at most; the others are counted together, so that the table adds up.
    top: usize,
    /// Rows are of one process each.
    by_process: bool,
}

/// What is said of calls whose place is not known.
const NOWHERE: &[u8] = b"?";

impl Stat {
    pub fn new(json: bool, order: Order, top: usize, by_process: bool) -> Self {
        Self {
            json,
            order,
            top,
            by_process,
        }
    }

    fn sorted(&self, sums: &[Sum]) -> Vec<Sum> {
        let mut rows = joined(sums, self.by_process);
        rows.sort_by_cached_key(|row| {
            let calls = &row.calls;
            let first = match self.order {
                Order::Time => calls.total_ns,
                Order::Calls => calls.calls,
                Order::Errors => calls.errors,
                Order::Max => calls.max_ns,
                Order::Bytes => calls.bytes,
            };
            (
                Reverse((first, calls.total_ns, calls.calls)),
                Arc::clone(&row.function),
            )
        });
        rows
    }

    fn table(&self, sums: &[Sum], out: &mut Vec<u8>) {
        let rows = self.sorted(sums);
        push!(
            out,
            "{:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}  function, from\n",
            "calls",
            "errors",
            "total",
            "mean",
            "p99",
            "max",
            "bytes"
        );
        for row in rows.iter().take(self.top) {
            numbers(&row.calls, out);
            plain(&row.function, out);
            out.extend_from_slice(b"  ");
            match &row.place {
                Some(frame) => place(Some(frame), out),
                None => out.extend_from_slice(NOWHERE),
            }
            if let Some(pid) = row.pid {
                push!(out, " [{pid}]");
            }
            let unobserved = row.unobserved();
            if unobserved != 0 {
                push!(out, " ({unobserved} without an end, not timed)");
            }
            if row.calls.unsized_calls != 0 {
                push!(out, " (bytes of {} calls not known)", row.calls.unsized_calls);
            }
            out.push(b'\n');
        }
        if rows.len() > self.top {
            let mut rest = Aggregate::default();
            for row in rows.iter().skip(self.top) {
                rest.join(&row.calls);
            }
            numbers(&rest, out);
            push!(out, "({} rows more)\n", rows.len() - self.top);
        }
    }
}

impl Sink for Stat {
    fn header(&mut self, began: &Began<'_>, out: &mut Vec<u8>) {
        if self.json {
            Json.header(began, out);
        }
    }

    fn call(&mut self, _: &CallEvent<'_>, _: &mut TypeNames<'_>, _: &mut Vec<u8>) {}

    fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>) {
        if self.json {
            Json.process(pid, change, time_ns, out);
        }
    }

    fn loss(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>) {
        if self.json {
            Json.loss(count, since_ns, out);
        }
    }

    fn sums(&mut self, sums: &[Sum], period: Period, out: &mut Vec<u8>) {
        if self.json {
            for row in self.sorted(sums).iter().take(self.top) {
                json(row, period, out);
            }
            push!(
                out,
                "{{\"type\":\"period\",\"from_ns\":{},\"to_ns\":{},\"whole\":{}}}\n",
                period.from_ns,
                period.to_ns,
                period.is_whole
            );
            return;
        }
        if !period.is_whole {
            let seconds = period.to_ns.saturating_sub(period.from_ns) as f64 / 1e9;
            push!(out, "in {seconds:.1}s:\n");
        }
        self.table(sums, out);
        if !period.is_whole {
            out.push(b'\n');
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        if self.json {
            Json.summary(summary, out);
        }
    }
}

/// What tells rows apart: the process, the function, and the file, code and line that calls it.
type Key = (Option<u32>, Arc<str>, String, String, Option<u32>);

/// Joins what comes from one line, of one process or of all.
fn joined(sums: &[Sum], by_process: bool) -> Vec<Sum> {
    let mut found: HashMap<Key, usize> = HashMap::new();
    let mut rows: Vec<Sum> = Vec::new();
    for sum in sums {
        let code = sum.place.as_ref().and_then(|place| place.code.as_ref());
        let pid = sum.pid.filter(|_| by_process);
        let key = (
            pid,
            Arc::clone(&sum.function),
            code.map(|code| code.file.clone()).unwrap_or_default(),
            code.map(|code| code.function.clone()).unwrap_or_default(),
            sum.place.as_ref().and_then(|place| place.line),
        );
        match found.get(&key) {
            Some(row) => rows[*row].calls.join(&sum.calls),
            None => {
                found.insert(key, rows.len());
                rows.push(Sum { pid, ..sum.clone() });
            }
        }
    }
    rows
}

/// The columns of numbers.
fn numbers(calls: &Aggregate, out: &mut Vec<u8>) {
    let or_nothing = |n: u64| if n == 0 { String::new() } else { n.to_string() };
    let time = |ns: u64| {
        let mut text = Vec::new();
        duration(ns, &mut text);
        String::from_utf8(text).unwrap_or_default()
    };
    let timed = |ns: u64| if calls.ended == 0 { String::new() } else { time(ns) };
    let p99 = below_ns(calls, 0.99)
        .map(|ns| format!("<{}", time(ns)))
        .unwrap_or_default();
    push!(
        out,
        "{:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}  ",
        calls.calls,
        or_nothing(calls.errors),
        timed(calls.total_ns),
        timed(calls.total_ns / calls.ended.max(1)),
        p99,
        timed(calls.max_ns),
        or_nothing(calls.bytes),
    );
}

/// One row.
fn json(row: &Sum, period: Period, out: &mut Vec<u8>) {
    let calls = &row.calls;
    out.extend_from_slice(b"{\"type\":\"stat\",");
    if let Some(pid) = row.pid {
        push!(out, "\"pid\":{pid},");
    }
    out.extend_from_slice(b"\"function\":");
    json_text(&row.function, out);
    push!(out, ",\"effect\":\"{}\",\"stack\":", row.effect);
    frames(row.place.as_slice(), out);
    push!(
        out,
        ",\"calls\":{},\"errors\":{},\"unobserved\":{},\"total_ns\":{},\"max_ns\":{},\"bytes\":{},\"unsized\":{},\"histogram\":[",
        calls.calls,
        calls.errors,
        row.unobserved(),
        calls.total_ns,
        calls.max_ns,
        calls.bytes,
        calls.unsized_calls,
    );
    let mut comma = "";
    for (bucket, count) in calls
        .histogram
        .iter()
        .enumerate()
        .filter(|(_, count)| **count != 0)
    {
        // The last bucket has no end.
        match bucket {
            _ if bucket == BUCKETS - 1 => push!(out, "{comma}[null,{count}]"),
            _ => push!(out, "{comma}[{},{count}]", 1u64 << bucket),
        }
        comma = ",";
    }
    push!(
        out,
        "],\"from_ns\":{},\"to_ns\":{},\"whole\":{}}}\n",
        period.from_ns,
        period.to_ns,
        period.is_whole
    );
}
