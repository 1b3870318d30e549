//! Chrome's trace events ("Trace Event Format", JSON array form), which <https://ui.perfetto.dev> and `chrome://tracing`
//! open: calls are slices of their thread. Readers do not ask for the closing bracket, so a file that ends early opens too.

use std::{collections::HashSet, io::Write as _};

use super::{
    Began, ProcessChange, Sink, Summary,
    escape::json_text,
    json::{arguments, attribution, chosen, outcome, stack, target},
};
use crate::{
    catalogue::effects::group_of,
    event::call::{CallEvent, TypeNames},
};

/// Threads that are remembered as named; beyond it they may be named again, which does no harm.
const MAX_THREADS: usize = 64 * 1024;
const NS_PER_US: u64 = 1_000;

/// The Chrome format. Times are microseconds since the machine was started: Unix times would lose their nanoseconds
/// where readers keep numbers as doubles.
pub struct Chrome {
    epoch_ns: u64,
    named: HashSet<(u32, u32)>,
    /// Something was written after the opening bracket.
    comma: bool,
}

impl Chrome {
    /// `epoch_ns`: Unix time at which the machine's monotonic clock was 0.
    pub fn new(epoch_ns: u64) -> Self {
        Self {
            epoch_ns,
            named: HashSet::new(),
            comma: false,
        }
    }

    /// Appends what separates this event from the one before.
    fn next(&mut self, out: &mut Vec<u8>) {
        if self.comma {
            out.extend_from_slice(b",\n");
        }
        self.comma = true;
    }

    fn name(&mut self, what: &str, pid: u32, tid: u32, name: &str, out: &mut Vec<u8>) {
        self.next(out);
        push!(
            out,
            "{{\"ph\":\"M\",\"name\":\"{what}\",\"pid\":{pid},\"tid\":{tid},\"args\":{{\"name\":"
        );
        json_text(name, out);
        out.extend_from_slice(b"}}");
    }

    fn name_thread(&mut self, pid: u32, tid: u32, out: &mut Vec<u8>) {
        if self.named.len() >= MAX_THREADS {
            self.named.clear();
        }
        if self.named.insert((pid, tid)) {
            let name = if pid == tid { "main thread" } else { "thread" };
            self.name("thread_name", pid, tid, name, out);
        }
    }

    /// Appends `"ts":…`: microseconds.
    fn time(&self, time_ns: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"ts\":");
        microseconds(time_ns.saturating_sub(self.epoch_ns), out);
    }

    /// Appends an event that has no length; `scope`: `g` for all, `p` for the process.
    fn instant(&mut self, name: &str, scope: char, pid: u32, time_ns: u64, out: &mut Vec<u8>) {
        self.next(out);
        push!(out, "{{\"ph\":\"i\",\"s\":\"{scope}\",\"name\":");
        json_text(name, out);
        push!(out, ",\"pid\":{pid},\"tid\":{pid},");
        self.time(time_ns, out);
        out.push(b'}');
    }
}

fn microseconds(ns: u64, out: &mut Vec<u8>) {
    push!(out, "{}.{:03}", ns / NS_PER_US, ns % NS_PER_US);
}

impl Sink for Chrome {
    fn header(&mut self, began: &Began<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"[\n");
        for target in began.targets {
            let name = format!("{} (Python {})", target.executable, target.python);
            self.name("process_name", target.pid, target.pid, &name, out);
        }
    }

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
        self.name_thread(call.pid, call.tid, out);
        self.next(out);
        match call.duration_ns {
            Some(ns) => {
                out.extend_from_slice(b"{\"ph\":\"X\",\"dur\":");
                microseconds(ns, out);
            }
            None => out.extend_from_slice(b"{\"ph\":\"i\",\"s\":\"t\""),
        }
        out.extend_from_slice(b",\"name\":");
        json_text(call.function, out);
        out.extend_from_slice(b",\"cat\":");
        json_text(group_of(call.effect), out);
        push!(out, ",\"pid\":{},\"tid\":{},", call.pid, call.tid);
        self.time(call.time_ns, out);
        push!(out, ",\"args\":{{\"id\":{}", call.id);
        if let Some(parent) = call.parent {
            push!(out, ",\"parent\":{parent}");
        }
        out.extend_from_slice(b",\"effect\":");
        json_text(call.effect, out);
        arguments(call, names, out);
        outcome(&call.outcome, names, out);
        stack(&call.stack, out);
        target(call, names, out);
        attribution(&call.arguments.attribution, names, out);
        chosen(call, out);
        out.extend_from_slice(b"}}");
    }

    fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>) {
        self.instant(change.name(), 'p', pid, time_ns, out);
    }

    fn loss(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>) {
        let name = format!("{count} records lost from here on");
        self.instant(&name, 'g', 0, since_ns, out);
    }

    fn summary(&mut self, _: &Summary, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\n]\n");
    }
}
