//! No events, but a table at the end: how often each function was called, how often it raised, and how
//! long it took.

use std::{collections::HashMap, io::Write as _};

use super::{Began, Period, ProcessChange, Sink, Summary, escape::plain};
use crate::event::{
    call::{CallEvent, Outcome, TypeNames},
    sum::Sum,
};

/// Functions counted apart, at most; the calls of more are counted together.
const MAX_ROWS: usize = 16 * 1024;
/// What those are counted as.
const OTHERS: &str = "(other functions)";
const NS_PER_US: f64 = 1e3;
const NS_PER_S: f64 = 1e9;

/// The calls of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    /// Some calls stand for others too: calls and times are estimates.
    estimated: bool,
    calls: u64,
    errors: u64,
    /// Calls whose end was not seen: they have no time.
    unobserved: u64,
    total_ns: u64,
    max_ns: u64,
}

impl Row {
    fn mean_ns(&self) -> f64 {
        match self.calls - self.unobserved {
            0 => 0.0,
            timed => self.total_ns as f64 / timed as f64,
        }
    }
}

/// Counts calls by function; prints a table for people, or one JSON object a line.
#[derive(Debug)]
pub struct Totals {
    json: bool,
    rows: HashMap<String, Row>,
}

impl Totals {
    /// `json`: not a table, but objects of type `total`, between a header and a summary like those of
    /// the JSON format.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            rows: HashMap::new(),
        }
    }

    fn row(&mut self, function: &str) -> &mut Row {
        let known = self.rows.contains_key(function);
        let name = if known || self.rows.len() < MAX_ROWS {
            function
        } else {
            OTHERS
        };
        self.rows.entry(name.to_owned()).or_default()
    }

    /// The rows, those that took longest first.
    fn sorted(&self) -> Vec<(&str, Row)> {
        let mut rows: Vec<(&str, Row)> = self
            .rows
            .iter()
            .map(|(name, row)| (name.as_str(), *row))
            .collect();
        rows.sort_by(|(a, x), (b, y)| (y.total_ns, y.calls, a).cmp(&(x.total_ns, x.calls, b)));
        rows
    }
}

impl Sink for Totals {
    fn header(&mut self, began: &Began<'_>, out: &mut Vec<u8>) {
        if self.json {
            super::json::Json.header(began, out);
        }
    }

    fn call(&mut self, call: &CallEvent<'_>, _: &mut TypeNames<'_>, _: &mut Vec<u8>) {
        let row = self.row(call.function);
        row.estimated |= call.weight != 1;
        row.calls = row.calls.saturating_add(call.weight);
        row.errors += u64::from(matches!(call.outcome, Outcome::Raised(_)));
        match call.duration_ns {
            Some(ns) => {
                row.total_ns = row.total_ns.saturating_add(ns.saturating_mul(call.weight));
                row.max_ns = row.max_ns.max(ns);
            }
            None => row.unobserved = row.unobserved.saturating_add(call.weight),
        }
    }

    fn process(&mut self, _: u32, _: &ProcessChange, _: u64, _: &mut Vec<u8>) {}

    fn loss(&mut self, _: u64, _: u64, _: &mut Vec<u8>) {}

    fn sums(&mut self, sums: &[Sum], period: Period, _: &mut Vec<u8>) {
        if !period.is_whole {
            return;
        }
        for sum in sums {
            let unobserved = sum.unobserved();
            let row = self.row(&sum.function);
            row.calls += sum.calls.calls;
            row.errors += sum.calls.errors;
            row.unobserved += unobserved;
            row.total_ns = row.total_ns.saturating_add(sum.calls.total_ns);
            row.max_ns = row.max_ns.max(sum.calls.max_ns);
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        if self.json {
            for (function, row) in self.sorted() {
                let mut line = serde_json::json!({
                    "type": "total", "function": function, "calls": row.calls, "errors": row.errors,
                    "unobserved": row.unobserved, "total_ns": row.total_ns, "max_ns": row.max_ns,
                });
                if row.estimated {
                    line["estimated"] = true.into();
                }
                push!(out, "{line}\n");
            }
            super::json::Json.summary(summary, out);
        } else {
            self.table(out);
        }
    }
}

impl Totals {
    fn table(&self, out: &mut Vec<u8>) {
        let all: f64 = self.rows.values().map(|row| row.total_ns as f64).sum();
        push!(
            out,
            "% time     seconds   usecs/call   usecs max      calls     errors  function\n"
        );
        for (function, row) in self.sorted() {
            push!(
                out,
                "{:6.2} {:11.6} {:12.1} {:11.1} {:>10} {:>10}  ",
                100.0 * row.total_ns as f64 / all.max(1.0),
                row.total_ns as f64 / NS_PER_S,
                row.mean_ns() / NS_PER_US,
                row.max_ns as f64 / NS_PER_US,
                match row.estimated {
                    true => format!("~{}", row.calls),
                    false => row.calls.to_string(),
                },
                if row.errors == 0 {
                    String::new()
                } else {
                    row.errors.to_string()
                },
            );
            plain(function, out);
            if row.unobserved != 0 {
                push!(out, " ({} without an end, not timed)", row.unobserved);
            }
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals() -> Totals {
        let mut totals = Totals::new(false);
        *totals.row("posix.stat") = Row {
            estimated: true,
            calls: 4,
            errors: 1,
            unobserved: 1,
            total_ns: 6_000,
            max_ns: 3_000,
        };
        *totals.row("builtins.\x1bprint") = Row {
            calls: 1,
            total_ns: 18_000,
            max_ns: 18_000,
            ..Row::default()
        };
        totals
    }

    #[test]
    fn the_table_tells_time_by_function() {
        let mut out = Vec::new();
        totals().summary(&Summary::default(), &mut out);
        let expected = "\
% time     seconds   usecs/call   usecs max      calls     errors  function
 75.00    0.000018         18.0        18.0          1             builtins.\\u{1b}print
 25.00    0.000006          2.0         3.0         ~4          1  posix.stat (1 without an end, not timed)
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn rows_are_bounded() {
        let mut totals = Totals::new(true);
        for n in 0..MAX_ROWS + 10 {
            totals.row(&format!("f{n}")).calls += 1;
        }
        assert_eq!(totals.rows.len(), MAX_ROWS + 1);
        assert_eq!(totals.rows[OTHERS].calls, 10);
    }
}
