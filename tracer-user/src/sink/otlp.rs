//! OpenTelemetry log records as OTLP/JSON, one `LogsData` message a line, as its File Exporter writes them
//! (opentelemetry-proto, `logs/v1/logs.proto`). Attributes have the names of the semantic conventions where there are
//! any (`process.*`, `thread.id`, `code.*`, `exception.*`); others begin with `pytrace.`.

use std::{collections::HashMap, io::Write as _};

use super::{Began, ProcessChange, Sink, Summary, escape::json_text, json, json_value, repr, text::act};
use crate::event::call::{CallEvent, ExceptionArgs, Outcome, Raised, TypeNames};

/// `SEVERITY_NUMBER_INFO`.
const INFO: (u8, &str) = (9, "INFO");
/// `SEVERITY_NUMBER_WARN`: a call raised, or something is missing.
const WARN: (u8, &str) = (13, "WARN");

/// The OTLP format.
#[derive(Debug, Default)]
pub struct Otlp {
    /// The `resource` of each traced process, as JSON.
    resources: HashMap<u32, Vec<u8>>,
}

impl Otlp {
    /// Appends a line up to the record's attributes.
    fn open(&self, pid: Option<u32>, event: &str, time_ns: u64, severity: (u8, &str), out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"resourceLogs\":[{\"resource\":{");
        if let Some(resource) = pid.and_then(|pid| self.resources.get(&pid)) {
            out.extend_from_slice(resource);
        }
        push!(
            out,
            "}},\"scopeLogs\":[{{\"scope\":{{\"name\":\"pytrace-ebpf\",\"version\":\"{}\"}},\"logRecords\":[{{",
            env!("CARGO_PKG_VERSION")
        );
        let (number, text) = severity;
        push!(
            out,
            "\"timeUnixNano\":\"{time_ns}\",\"severityNumber\":{number},\"severityText\":\"{text}\",\"eventName\":\"{event}\""
        );
    }
}

/// Appends the end of a line.
fn close(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}]}]}]}\n");
}

/// Appends `"attributes":[…]`.
struct Attributes<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Attributes<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.extend_from_slice(b"\"attributes\":[");
        Self { out, first: true }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        push!(self.out, "{{\"key\":\"{key}\",\"value\":{{");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.extend_from_slice(b"\"stringValue\":");
        json_text(value, self.out);
        self.out.extend_from_slice(b"}}");
    }

    /// 64-bit numbers are strings in the JSON form of protobuf.
    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        push!(self.out, "\"intValue\":\"{value}\"}}}}");
    }

    /// What `write` writes.
    fn written(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let mut text = Vec::new();
        write(&mut text);
        self.text(key, &String::from_utf8_lossy(&text));
    }

    fn close(self) {
        self.out.push(b']');
    }
}

impl Sink for Otlp {
    fn header(&mut self, began: &Began<'_>, _: &mut Vec<u8>) {
        for target in began.targets {
            let mut resource = Vec::new();
            let mut attributes = Attributes::open(&mut resource);
            attributes.number("process.pid", target.pid.into());
            attributes.text("process.executable.path", &target.executable);
            attributes.text("process.runtime.name", "cpython");
            attributes.text("process.runtime.version", &target.python);
            attributes.close();
            self.resources.insert(target.pid, resource);
        }
    }

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
        let severity = match &call.outcome {
            Outcome::Returned(_) | Outcome::Yielded(_) => INFO,
            Outcome::Raised(_) | Outcome::Unobserved(_) => WARN,
        };
        self.open(Some(call.pid), "pytrace.call", call.time_ns, severity, out);
        if let Some(span) = call.arguments.attribution.span {
            push!(
                out,
                ",\"traceId\":\"{:032x}\",\"spanId\":\"{:016x}\"",
                span.trace_id,
                span.span_id
            );
        }
        let mut body = Vec::new();
        act(call, names, &mut body);
        out.extend_from_slice(b",\"body\":{\"stringValue\":");
        json_text(&String::from_utf8_lossy(&body), out);
        out.extend_from_slice(b"},");
        let mut attributes = Attributes::open(out);
        attributes.number("process.pid", call.pid.into());
        attributes.number("thread.id", call.tid.into());
        place(call, &mut attributes);
        what(call, names, &mut attributes);
        task(call, names, &mut attributes);
        attributes.close();
        close(out);
    }

    fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>) {
        let name = format!("pytrace.process.{}", change.name());
        self.open(Some(pid), &name, time_ns, INFO, out);
        out.push(b',');
        let mut attributes = Attributes::open(out);
        attributes.number("process.pid", pid.into());
        match change {
            ProcessChange::Fork { parent } => attributes.number("process.parent_pid", (*parent).into()),
            ProcessChange::Exec { executable, .. } => {
                attributes.text("process.executable.path", executable);
            }
            ProcessChange::Shed { function, .. } => attributes.text("pytrace.function", function),
            ProcessChange::Window {
                function,
                calls,
                unseen_ns,
                ..
            } => {
                attributes.text("pytrace.function", function);
                attributes.number("pytrace.calls", *calls);
                attributes.number("pytrace.unseen_ns", *unseen_ns);
            }
            ProcessChange::Cost { cost_ppm, .. } => attributes.number("pytrace.cost_ppm", *cost_ppm),
            ProcessChange::Exit | ProcessChange::Load { .. } => {}
        }
        attributes.close();
        close(out);
    }

    fn loss(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>) {
        self.open(None, "pytrace.loss", since_ns, WARN, out);
        out.push(b',');
        let mut attributes = Attributes::open(out);
        attributes.number("pytrace.lost", count);
        attributes.close();
        close(out);
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        // 0: no time is known.
        self.open(
            None,
            "pytrace.summary",
            0,
            if summary.lost == 0 { INFO } else { WARN },
            out,
        );
        out.push(b',');
        let mut attributes = Attributes::open(out);
        attributes.number("pytrace.events", summary.events);
        attributes.number("pytrace.lost", summary.lost);
        attributes.close();
        close(out);
    }
}

/// The Python frame that made the call.
fn place(call: &CallEvent<'_>, attributes: &mut Attributes<'_>) {
    let Some(frame) = call.stack.first() else { return };
    if let Some(code) = &frame.code {
        attributes.text("code.function.name", &code.function);
        attributes.text("code.file.path", &code.file);
    }
    if let Some(line) = frame.line {
        attributes.number("code.line.number", line.into());
    }
}

/// The greenlet and the asyncio task that made it.
fn task(call: &CallEvent<'_>, names: &mut TypeNames<'_>, attributes: &mut Attributes<'_>) {
    if let Some(greenlet) = &call.arguments.attribution.greenlet {
        attributes.written("pytrace.greenlet", |out| json_value::value(greenlet, names, out));
    }
    if let Some(task) = &call.arguments.attribution.task {
        attributes.written("pytrace.task", |out| json::task(task, names, out));
    }
}

/// The call itself. Values are JSON, as in the JSON format.
fn what(call: &CallEvent<'_>, names: &mut TypeNames<'_>, attributes: &mut Attributes<'_>) {
    attributes.text("pytrace.function", call.function);
    attributes.text("pytrace.effect", call.effect);
    attributes.number("pytrace.id", call.id);
    if let Some(parent) = call.parent {
        attributes.number("pytrace.parent", parent);
    }
    if let Some(ns) = call.duration_ns {
        attributes.number("pytrace.duration_ns", ns);
    }
    if call.weight != 1 {
        attributes.number("pytrace.weight", call.weight);
    }
    if call.late {
        attributes.number("pytrace.late", 1);
    }
    attributes.written("pytrace.call", |out| {
        out.push(b'{');
        let start = out.len();
        json::arguments(call, names, out);
        json::target(call, names, out);
        // Of a bytecode there may be nothing.
        if out.get(start) == Some(&b',') {
            out.remove(start);
        }
        out.push(b'}');
    });
    match &call.outcome {
        Outcome::Returned(result) | Outcome::Yielded(result) => {
            attributes.written("pytrace.result", |out| json_value::value(result, names, out));
        }
        Outcome::Raised(raised) => exception(raised, names, attributes),
        Outcome::Unobserved(why) => attributes.text("pytrace.unobserved", why),
    }
}

/// The type without `builtins.`, as OpenTelemetry's own instrumentation of Python names it; the message is what `str`
/// would give for an exception that does not define its own: the only argument, or all of them.
fn exception(raised: &Raised<'_>, names: &mut TypeNames<'_>, attributes: &mut Attributes<'_>) {
    if let Some(ty) = raised.ty {
        attributes.text("exception.type", repr::short(&names.of(ty)));
    }
    let ExceptionArgs::Items(items, len) = &raised.args else {
        return;
    };
    match (items.as_slice(), len) {
        ([], 0) => {}
        ([only], 1) => match only.text() {
            Some(text) => attributes.text("exception.message", &text),
            None => attributes.written("exception.message", |out| repr::value(only, names, out)),
        },
        _ => attributes.written("exception.message", |out| repr::raised(&raised.args, names, out)),
    }
}
