//! Events as OpenTelemetry log records (opentelemetry-proto, `logs/v1/logs.proto`).
//!
//! Attributes have the names of the semantic conventions where there are any (`process.*`, `thread.id`, `code.*`,
//! `exception.*`, `error.type`, `file.path`, `network.peer.*`, `server.*`, `db.query.text`); others begin with `pytrace.`. The event's name
//! is an attribute too (`event.name`): collectors and stores drop the field.

use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};

use super::{
    attributes::{Attributes, lossy, text_value},
    redact::{RedactedNames, Redaction},
    target,
};
use crate::{
    event::{
        call::{CallEvent, ExceptionArgs, Frame, Outcome, Raised, TypeNames},
        mask,
        sum::Sum,
    },
    sink::{
        Period, ProcessChange, Summary,
        escape::{plain, plainly},
        json, json_value,
        plain_text::plain_text,
        repr, text,
    },
};

/// How much of the values of a program its records show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// Arguments, results, messages of exceptions, SQL texts: as they were captured.
    Full,
    /// None of them: the function, how it ended, and the names of what it acted on (paths, peers, names of variables).
    #[default]
    None,
}

/// Makes records.
#[derive(Debug, Default)]
pub struct Records {
    values: Values,
    redaction: Redaction,
}

impl Records {
    pub fn new(values: Values, redaction: Redaction) -> Self {
        Self { values, redaction }
    }

    /// What is hidden, and in how many texts that was.
    pub fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// A call.
    pub fn call(&self, call: &CallEvent<'_>, names: &mut TypeNames<'_>) -> LogRecord {
        let is_secret = mask::is_masked(call);
        if self.redaction.is_empty() {
            return self.of_call(call, is_secret, names);
        }
        let function = self.redaction.text(call.function);
        let mut call = CallEvent {
            function: &function,
            // Of another name the parts are not known.
            module_len: if function == call.function {
                call.module_len
            } else {
                0
            },
            ..call.clone()
        };
        self.redaction.arguments(&mut call.arguments);
        self.redaction.outcome(&mut call.outcome);
        if let Some(handle) = &mut call.handle {
            self.redaction.handle(handle);
        }
        let mut redacted = RedactedNames {
            names: &mut *names.names,
            redaction: &self.redaction,
        };
        let mut names = TypeNames {
            names: &mut redacted,
            target: names.target,
        };
        self.of_call(&call, is_secret, &mut names)
    }

    /// A call whose texts are redacted, but for those of its stack.
    fn of_call(&self, call: &CallEvent<'_>, is_secret: bool, names: &mut TypeNames<'_>) -> LogRecord {
        let mut to = self.begin("pytrace.call");
        to.number("process.pid", call.pid);
        to.number("thread.id", call.tid);
        place(&call.stack, &mut to);
        about(call, &mut to);
        if is_secret {
            to.flag("pytrace.secret");
        }
        target::set(call, self.values, names, &mut to);
        if self.values == Values::Full {
            to.written("pytrace.call", |out| arguments(call, names, out));
        }
        self.outcome(&call.outcome, names, &mut to);
        self.belongs_to(call, names, &mut to);
        let body = match self.values {
            Values::Full => {
                let mut body = Vec::new();
                text::act(call, names, &mut body);
                lossy(body)
            }
            Values::None => short_act(call, names),
        };
        let mut record = finish(to, "pytrace.call", call.time_ns, severity(&call.outcome), body);
        if let Some(span) = call.arguments.attribution.span {
            record.trace_id = span.trace_id.to_be_bytes().to_vec();
            record.span_id = span.span_id.to_be_bytes().to_vec();
        }
        record
    }

    fn begin(&self, event: &str) -> Attributes<'_> {
        let mut to = Attributes::new(&self.redaction);
        to.own("event.name", event);
        to
    }

    fn outcome(&self, outcome: &Outcome<'_>, names: &mut TypeNames<'_>, to: &mut Attributes<'_>) {
        let name = match outcome {
            Outcome::Returned(_) => "return",
            Outcome::Yielded(_) => "yield",
            Outcome::Raised(_) => "raise",
            Outcome::Unobserved(_) => "unobserved",
        };
        to.own("pytrace.outcome", name);
        match outcome {
            Outcome::Returned(result) | Outcome::Yielded(result) if self.values == Values::Full => {
                to.written("pytrace.result", |out| json_value::value(result, names, out));
            }
            Outcome::Returned(_) | Outcome::Yielded(_) => {}
            Outcome::Raised(raised) => self.exception(raised, names, to),
            Outcome::Unobserved(why) => to.own("pytrace.unobserved", *why),
        }
    }

    /// The type without `builtins.`, as OpenTelemetry's own instrumentation of Python names it; the message is what `str`
    /// would give for an exception that does not define its own: the only argument, or all of them.
    fn exception(&self, raised: &Raised<'_>, names: &mut TypeNames<'_>, to: &mut Attributes<'_>) {
        if let Some(ty) = raised.ty {
            let name = names.of(ty);
            to.own("exception.type", repr::short(&name));
            to.own("error.type", repr::short(&name));
        }
        let ExceptionArgs::Items(items, len) = &raised.args else {
            return;
        };
        if self.values == Values::None {
            return;
        }
        match (items.as_slice(), len) {
            ([], 0) => {}
            ([only], 1) => match plain_text(only) {
                Some(text) => to.own("exception.message", text),
                None => to.written("exception.message", |out| repr::value(only, names, out)),
            },
            _ => to.written("exception.message", |out| repr::raised(&raised.args, names, out)),
        }
    }

    /// The greenlet and the asyncio task that made the call.
    fn belongs_to(&self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, to: &mut Attributes<'_>) {
        let attribution = &call.arguments.attribution;
        if let Some(greenlet) = &attribution.greenlet {
            to.written("pytrace.greenlet", |out| json_value::value(greenlet, names, out));
        }
        if let Some(task) = &attribution.task {
            to.written("pytrace.task", |out| json::task(task, names, out));
        }
        if attribution.unknown {
            to.flag("pytrace.unattributed");
        }
    }

    /// Something that happened to a process.
    pub fn process(&self, pid: u32, change: &ProcessChange, time_ns: u64) -> LogRecord {
        let event = format!("pytrace.process.{}", change.name());
        let mut to = self.begin(&event);
        to.number("process.pid", pid);
        let body = self.changed(change, &mut to);
        finish(to, &event, time_ns, Severity::Info, body)
    }

    /// Sets what there is to say of it; a sentence.
    fn changed(&self, change: &ProcessChange, to: &mut Attributes<'_>) -> String {
        let shown = |text: &str| plainly(&self.redaction.text(text)).into_owned();
        match change {
            ProcessChange::Exit => "exited".to_owned(),
            ProcessChange::Fork { parent } => {
                to.number("process.parent_pid", *parent);
                format!("forked from {parent}")
            }
            ProcessChange::Exec { executable, .. } => {
                to.text("process.executable.path", executable);
                format!("runs {}", shown(executable))
            }
            ProcessChange::Load {
                files,
                functions,
                gap_ns,
            } => {
                to.number("pytrace.functions", *functions);
                to.number("pytrace.gap_ns", *gap_ns);
                let files: Vec<String> = files.iter().map(|file| shown(file)).collect();
                format!("{functions} functions more, of {}", files.join(", "))
            }
            ProcessChange::Shed {
                function, cost_ppm, ..
            } => {
                to.text("pytrace.function", function);
                to.number("pytrace.cost_ppm", *cost_ppm);
                format!("from here on only moments are seen of {}", shown(function))
            }
            ProcessChange::Window {
                function,
                calls,
                unseen_ns,
                ..
            } => {
                to.text("pytrace.function", function);
                to.number("pytrace.calls", *calls);
                to.number("pytrace.unseen_ns", *unseen_ns);
                format!(
                    "{calls} calls of {} were seen, and none for a time before",
                    shown(function)
                )
            }
            ProcessChange::Cost { cost_ppm, .. } => {
                to.number("pytrace.cost_ppm", *cost_ppm);
                format!("tracing costs {cost_ppm} millionths of a processor")
            }
        }
    }

    /// Records were lost since a time.
    pub fn loss(&self, count: u64, since_ns: u64) -> LogRecord {
        let mut to = self.begin("pytrace.loss");
        to.number("pytrace.lost", count);
        let body = format!("{count} records were lost");
        finish(to, "pytrace.loss", since_ns, Severity::Warn, body)
    }

    /// The end of a trace. Its time is not known.
    pub fn summary(&self, summary: &Summary) -> LogRecord {
        let mut to = self.begin("pytrace.summary");
        to.number("pytrace.events", summary.events);
        to.number("pytrace.lost", summary.lost);
        let severity = match summary.lost {
            0 => Severity::Info,
            _ => Severity::Warn,
        };
        let body = format!("{} events, {} lost", summary.events, summary.lost);
        finish(to, "pytrace.summary", 0, severity, body)
    }

    /// Calls of one function from one place that were added up.
    pub fn sum(&self, sum: &Sum, period: Period) -> LogRecord {
        let mut to = self.begin("pytrace.sum");
        if let Some(pid) = sum.pid {
            to.number("process.pid", pid);
        }
        place(sum.place.as_slice(), &mut to);
        to.text("pytrace.function", &sum.function);
        to.own("pytrace.effect", sum.effect);
        to.number("pytrace.calls", sum.calls.calls);
        to.number("pytrace.errors", sum.calls.errors);
        to.number("pytrace.ended", sum.calls.ended);
        to.number("pytrace.duration_ns", sum.calls.total_ns);
        to.number("pytrace.max_ns", sum.calls.max_ns);
        to.number("pytrace.from_ns", period.from_ns);
        let function = self.redaction.text(&sum.function);
        let body = format!("{} calls of {}", sum.calls.calls, plainly(&function));
        finish(to, "pytrace.sum", period.to_ns, Severity::Info, body)
    }
}

/// How grave a record is.
#[derive(Clone, Copy)]
enum Severity {
    Info,
    /// A call raised, or something is missing.
    Warn,
}

fn severity(outcome: &Outcome<'_>) -> Severity {
    match outcome {
        Outcome::Returned(_) | Outcome::Yielded(_) => Severity::Info,
        Outcome::Raised(_) | Outcome::Unobserved(_) => Severity::Warn,
    }
}

fn finish(to: Attributes<'_>, event: &str, time_ns: u64, severity: Severity, body: String) -> LogRecord {
    let (number, text) = match severity {
        Severity::Info => (SeverityNumber::Info, "INFO"),
        Severity::Warn => (SeverityNumber::Warn, "WARN"),
    };
    LogRecord {
        time_unix_nano: time_ns,
        severity_number: number.into(),
        severity_text: text.to_owned(),
        body: Some(text_value(body)),
        attributes: to.finish(),
        event_name: event.to_owned(),
        ..LogRecord::default()
    }
}

/// The Python frame that made the call, and, where more are known, all of them as Python writes them: the innermost last.
fn place(stack: &[Frame], to: &mut Attributes<'_>) {
    let Some(frame) = stack.first() else { return };
    if let Some(code) = &frame.code {
        to.text("code.function.name", &code.function);
        to.text("code.file.path", &code.file);
    }
    if let Some(line) = frame.line {
        to.number("code.line.number", line);
    }
    if stack.len() > 1 {
        let lines: Vec<String> = stack.iter().rev().map(|frame| stack_line(frame, to)).collect();
        to.own("code.stacktrace", lines.join("\n"));
    }
}

/// `  File "/srv/app.py", line 88, in save`
fn stack_line(frame: &Frame, to: &Attributes<'_>) -> String {
    let (file, function) = match &frame.code {
        Some(code) => (to.hidden(&code.file), to.hidden(&code.function)),
        None => ("?".into(), "?".into()),
    };
    let line = frame.line.map_or("?".to_owned(), |line| line.to_string());
    format!(
        "  File \"{}\", line {line}, in {}",
        plainly(&file),
        plainly(&function)
    )
}

/// The call itself, without any value.
fn about(call: &CallEvent<'_>, to: &mut Attributes<'_>) {
    // Redacted already.
    to.own("pytrace.function", call.function);
    to.own("pytrace.effect", call.effect);
    to.number("pytrace.id", call.id);
    if let Some(parent) = call.parent {
        to.number("pytrace.parent", parent);
    }
    if let Some(ns) = call.duration_ns {
        to.number("pytrace.duration_ns", ns);
    }
    if call.weight != 1 {
        to.number("pytrace.weight", call.weight);
    }
    if call.late {
        to.number("pytrace.late", 1);
    }
}

/// Appends arguments and target as an object of JSON, as in the JSON format.
fn arguments(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    json::arguments(call, names, out);
    json::target(call, names, out);
    // Of a bytecode there may be nothing.
    if out.get(start) == Some(&b',') {
        out.remove(start);
    }
    out.push(b'}');
}

/// The function and how it ended: `posix.unlink raised FileNotFoundError`.
fn short_act(call: &CallEvent<'_>, names: &mut TypeNames<'_>) -> String {
    let mut body = Vec::new();
    text::function(call, &mut body);
    match &call.outcome {
        Outcome::Returned(_) => body.extend_from_slice(b" returned"),
        Outcome::Yielded(_) => body.extend_from_slice(b" yielded"),
        Outcome::Raised(raised) => {
            body.extend_from_slice(b" raised ");
            match raised.ty {
                Some(ty) => plain(repr::last_part(&names.of(ty)), &mut body),
                None => body.push(b'?'),
            }
        }
        // Of a bytecode never more is known.
        Outcome::Unobserved(_) if call.meta.operands.is_some() => {}
        Outcome::Unobserved(why) => {
            body.extend_from_slice(b": ");
            plain(why, &mut body);
        }
    }
    lossy(body)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
