//! One line a call, as strace does.

use std::{borrow::Cow, io::Write as _};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Began, ProcessChange, Sink, Summary,
    escape::{plain, repr_str},
    json_value::text_of,
    repr,
};
use crate::{
    bytecode::Operands,
    decode::{
        attribution::Attribution,
        value::{Arguments, Value},
    },
    event::{
        call::{CallEvent, Frame, Outcome, TypeNames},
        handle::{NamedHandle, Part, Peer, peer_of},
    },
};

const NS_PER_S: u64 = 1_000_000_000;

/// The text format, in local time.
pub struct Text {
    zone: TimeZone,
    /// The second whose `HH:MM:SS` is in `clock`.
    second: u64,
    clock: String,
    /// Say behind the Python function which task and span it belongs to.
    attributed: bool,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            zone: TimeZone::system(),
            second: u64::MAX,
            clock: String::new(),
            attributed: false,
        }
    }
}

/// Millionths as a text.
pub(super) struct Percent(pub u64);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Two digits behind the point, or as many as there are.
        let percent = (self.0 as f64 / 1e2).round() / 1e2;
        write!(f, "{percent}%")
    }
}

impl Text {
    /// With the greenlet, the asyncio task and the OpenTelemetry span of each call, or without.
    pub fn attributed(self, attributed: bool) -> Self {
        Self { attributed, ..self }
    }

    /// Times in UTC, wherever this runs.
    pub fn utc() -> Self {
        Self {
            zone: TimeZone::UTC,
            ..Self::default()
        }
    }
}

impl Sink for Text {
    fn header(&mut self, _: &Began<'_>, _: &mut Vec<u8>) {}

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
        self.start(call, out);
        place(call.stack.first(), out);
        self.attribution(call, out);
        out.extend_from_slice(b"  ");
        act(call, names, out);
        length(call, out);
        chosen(call, out);
        out.push(b'\n');
        for frame in call.stack.iter().skip(1) {
            out.extend_from_slice(b"    from ");
            place(Some(frame), out);
            out.push(b'\n');
        }
    }

    fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>) {
        self.time(time_ns, out);
        match change {
            ProcessChange::Exit => push!(out, " {pid} +++ exited +++\n"),
            ProcessChange::Fork { parent } => push!(out, " {pid} +++ forked from {parent} +++\n"),
            ProcessChange::Exec { executable, .. } => {
                push!(out, " {pid} +++ runs ");
                plain(executable, out);
                out.extend_from_slice(b" +++\n");
            }
            ProcessChange::Load {
                files,
                functions,
                gap_ns,
            } => {
                push!(out, " {pid} +++ {functions} functions more");
                for (i, file) in files.iter().enumerate() {
                    out.extend_from_slice(if i == 0 { b", of " } else { b", " });
                    plain(file.rsplit('/').next().unwrap_or(file), out);
                }
                if *gap_ns != 0 {
                    out.extend_from_slice(b"; not seen for ");
                    duration(*gap_ns, out);
                }
                out.extend_from_slice(b" +++\n");
            }
            ProcessChange::Shed {
                function,
                cost_ppm,
                budget_ppm,
            } => {
                push!(out, " {pid} +++ from here on only moments are seen of ");
                plain(function, out);
                let (cost, budget) = (Percent(*cost_ppm), Percent(*budget_ppm));
                push!(
                    out,
                    ": it cost {cost} of a processor, the budget is {budget} +++\n"
                );
            }
            ProcessChange::Window {
                function,
                calls,
                unseen_ns,
                stays,
                ..
            } => {
                push!(out, " {pid} +++ {calls} calls of ");
                plain(function, out);
                out.extend_from_slice(b" were seen, and none for ");
                duration(*unseen_ns, out);
                out.extend_from_slice(if *stays {
                    b" before; it is seen again +++\n"
                } else {
                    b" before +++\n"
                });
            }
            ProcessChange::Cost {
                cost_ppm, budget_ppm, ..
            } => {
                let (cost, budget) = (Percent(*cost_ppm), Percent(*budget_ppm));
                push!(
                    out,
                    " {pid} +++ tracing costs {cost} of a processor, the budget is {budget} +++\n"
                );
            }
        }
    }

    fn loss(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>) {
        self.time(since_ns, out);
        push!(
            out,
            " +++ {count} records lost since then: the ring buffer was full +++\n"
        );
    }

    fn summary(&mut self, _: &Summary, _: &mut Vec<u8>) {}
}

impl Text {
    /// Appends `12:01:07.412345 1234/1240 `.
    pub(super) fn start(&mut self, call: &CallEvent<'_>, out: &mut Vec<u8>) {
        self.time(call.time_ns, out);
        push!(out, " {}/{} ", call.pid, call.tid);
    }

    /// Appends ` [greenlet 0x7f3c]`, ` [Task-3]`, ` [Task-3 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7]`; a task without a name goes by its coroutine.
    pub(super) fn attribution(&self, call: &CallEvent<'_>, out: &mut Vec<u8>) {
        let attribution = &call.arguments.attribution;
        let Attribution {
            task, span, unknown, ..
        } = attribution;
        let greenlet = attribution.greenlet_id();
        if !self.attributed || greenlet.is_none() && task.is_none() && span.is_none() && !unknown {
            return;
        }
        let mut parts: Vec<String> = greenlet
            .map(|id| format!("greenlet {id:#x}"))
            .into_iter()
            .collect();
        if let Some(task) = task {
            let name = task.name().or_else(|| task.coroutine.text());
            parts.push(name.unwrap_or_else(|| format!("task {:#x}", task.id)));
        }
        parts.extend(span.map(|span| span.to_string()));
        parts.extend(unknown.then(|| "?".to_owned()));
        out.extend_from_slice(b" [");
        plain(&parts.join(" "), out);
        out.push(b']');
    }

    fn time(&mut self, ns: u64, out: &mut Vec<u8>) {
        let second = ns / NS_PER_S;
        if second != self.second {
            self.second = second;
            self.clock = match Timestamp::from_second(second as i64) {
                Ok(time) => time.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string(),
                Err(_) => "--:--:--".into(),
            };
        }
        push!(out, "{}.{:06}", self.clock, ns % NS_PER_S / 1000);
    }
}

/// Appends the call and its outcome: `open('/x', 'a') = <_io.TextIOWrapper 0x7f3c>`.
pub(crate) fn act(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    function(call, out);
    arguments(call, names, out);
    outcome(call, names, out);
}

/// Appends ` = 3`, ` raised OSError(2)` or ` = ? (why)`.
pub(super) fn outcome(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match &call.outcome {
        Outcome::Returned(result) => {
            out.extend_from_slice(b" = ");
            repr::value(result, names, out);
        }
        Outcome::Yielded(result) => {
            out.extend_from_slice(b" yields ");
            repr::value(result, names, out);
        }
        Outcome::Raised(raised) => {
            // A `raise` says so itself.
            out.extend_from_slice(match call.meta.operands {
                Some(_) => &b" "[..],
                None => &b" raised "[..],
            });
            match raised.ty {
                Some(ty) => plain(repr::last_part(&names.of(ty)), out),
                None => out.push(b'?'),
            }
            repr::raised(&raised.args, names, out);
        }
        // Of a bytecode never more is known.
        Outcome::Unobserved(_) if call.meta.operands.is_some() => {}
        Outcome::Unobserved(why) => {
            out.extend_from_slice(b" = ? (");
            plain(why, out);
            out.push(b')');
        }
    }
}

/// Appends ` <41us>`; nothing where the end was not seen.
pub(super) fn length(call: &CallEvent<'_>, out: &mut Vec<u8>) {
    if let Some(ns) = call.duration_ns {
        out.extend_from_slice(b" <");
        duration(ns, out);
        out.push(b'>');
    }
}

/// Appends ` x128`: the calls that this one stands for, where it was chosen by chance; ` late` where it was not, and raised.
pub(super) fn chosen(call: &CallEvent<'_>, out: &mut Vec<u8>) {
    if call.weight != 1 {
        push!(out, " x{}", call.weight);
    }
    if call.late {
        out.extend_from_slice(b" late");
    }
}

/// `app.py:88 save`, `-` without a Python frame.
pub(super) fn place(frame: Option<&Frame>, out: &mut Vec<u8>) {
    place_in(frame, |file| file.rsplit('/').next().unwrap_or(file), out);
}

fn place_in(frame: Option<&Frame>, shown: impl Fn(&str) -> &str, out: &mut Vec<u8>) {
    let Some(frame) = frame else { return out.push(b'-') };
    let Some(code) = &frame.code else {
        return out.push(b'?');
    };
    plain(shown(&code.file), out);
    match frame.line {
        Some(line) => push!(out, ":{line} "),
        None => out.extend_from_slice(b":? "),
    }
    plain(&code.function, out);
}

/// Appends `path='/tmp/x'`: the parts of the event's target; nothing where it has none.
pub fn target(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    let mut comma = Separator(false);
    for part in call.meta.target {
        if let Some(value) = call.part(part.from) {
            comma.next(out);
            plain(part.key, out);
            out.push(b'=');
            match peer_of(part.key, value) {
                Some(peer) => plain(&peer, out),
                None => repr::value(value, names, out),
            }
        }
    }
    // Not the descriptor: what it is called differs from run to run.
    for (key, text) in call.handle.iter().flat_map(NamedHandle::parts) {
        let Part::Text(text) = text else { continue };
        comma.next(out);
        push!(out, "{key}=");
        repr_str(text.chars().map(u32::from), out);
    }
}

/// Appends `/srv/app.py:88 save`, `-` without a Python frame.
pub fn full_place(frame: Option<&Frame>, out: &mut Vec<u8>) {
    place_in(frame, |file| file, out);
}

/// Methods without their module, builtins and `open` bare, the rest in full.
pub(crate) fn function(call: &CallEvent<'_>, out: &mut Vec<u8>) {
    let bare =
        call.qualname().contains('.') || matches!(call.module(), "builtins" | "__builtin__" | "_io" | "io");
    plain(if bare { call.qualname() } else { call.function }, out);
}

/// The positional arguments; in place of a buffer that the call filled, what it put there.
fn as_filled<'c, 'a>(arguments: &'c Arguments<'a>) -> Cow<'c, [Value<'a>]> {
    let Some((position, filled)) = &arguments.filled else {
        return Cow::Borrowed(&arguments.args);
    };
    let mut args = arguments.args.clone();
    if let Some(buffer) = args.get_mut(*position) {
        buffer.clone_from(filled);
    }
    Cow::Owned(args)
}

/// Appends `(self, 1, key=2)`.
pub(super) fn arguments(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    let arguments = &call.arguments;
    if let Some(kind) = call.meta.operands {
        return operands(kind, arguments, names, out);
    }
    let mut comma = Separator(false);
    out.push(b'(');
    if let Some(self_) = &arguments.self_ {
        comma.next(out);
        match &call.handle {
            Some(handle) if handle.of_self => handle_repr(handle, out),
            _ => repr::value(self_, names, out),
        }
    }
    if let Some(run) = call.run.as_ref().filter(|run| run.resumed) {
        comma.next(out);
        out.extend_from_slice(if run.thrown { b"<thrown" } else { b"<resumed" });
        match run.first {
            Some(first) => push!(out, " #{first}>"),
            None => out.push(b'>'),
        }
    }
    if arguments.args_len != 0 {
        comma.next(out);
        repr::list(&as_filled(arguments), arguments.args_len, names, out);
    }
    for (key, value) in &arguments.kwargs {
        comma.next(out);
        plain(&text_of(key), out);
        out.push(b'=');
        repr::value(value, names, out);
    }
    if arguments.kwargs.len() as u64 != arguments.kwargs_len || arguments.cut {
        comma.next(out);
        out.extend_from_slice(b"...");
    }
    out.push(b')');
}

/// Appends ` <app.Order 0x7f3c>.total = 3`, ` {…}['k']`, ` count = 1` or ` 'text'`.
fn operands(kind: Operands, arguments: &Arguments<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    let mut given = arguments.args.iter();
    out.push(b' ');
    match kind {
        Operands::Newline | Operands::Exception => {
            out.pop();
            return;
        }
        Operands::Print | Operands::Exec => {}
        Operands::Import => {
            plain(&given.next().map_or("?".into(), text_of), out);
            if let Some(from) = given.next().filter(|from| !matches!(from, Value::None)) {
                out.extend_from_slice(b" from ");
                repr::value(from, names, out);
            }
            return;
        }
        Operands::Global | Operands::Read => plain(&given.next().map_or("?".into(), text_of), out),
        Operands::Attribute | Operands::Item | Operands::Append | Operands::Slice => {
            match &arguments.self_ {
                Some(object) => repr::value(object, names, out),
                None => out.push(b'?'),
            }
            match (kind, given.next()) {
                (Operands::Attribute, Some(name)) => {
                    out.push(b'.');
                    plain(&text_of(name), out);
                }
                (Operands::Slice, Some(start)) => {
                    out.push(b'[');
                    bound(start, 0, names, out);
                    out.push(b':');
                    if let Some(stop) = given.next() {
                        bound(stop, i64::MAX, names, out);
                    }
                    out.push(b']');
                }
                (Operands::Append, Some(item)) => {
                    out.extend_from_slice(b" += ");
                    repr::value(item, names, out);
                }
                (_, Some(key)) => {
                    out.push(b'[');
                    repr::value(key, names, out);
                    out.push(b']');
                }
                (_, None) => out.extend_from_slice(b" ..."),
            }
        }
    }
    if let Some(value) = given.next() {
        if !matches!(kind, Operands::Print | Operands::Exec) {
            out.extend_from_slice(b" = ");
        }
        repr::value(value, names, out);
    }
}

/// An end of a slice, unless it is the one that the interpreter takes where none is given.
fn bound(value: &Value<'_>, default: i64, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    if !matches!(value, Value::Int(n) | Value::Long(n) if *n == default) {
        repr::value(value, names, out);
    }
}

/// `<socket fd=7 127.0.0.1:5432>`, `<file '/var/log/x.log'>`, `<file fd=5>`.
fn handle_repr(handle: &NamedHandle, out: &mut Vec<u8>) {
    out.extend_from_slice(if handle.is_socket { b"<socket " } else { b"<file " });
    match (&handle.path, &handle.peer) {
        (Some(path), _) => repr_str(path.chars().map(u32::from), out),
        (None, Some(Peer::Internet(peer))) => push!(out, "fd={} {peer}", handle.fd),
        (None, Some(Peer::Unix(name))) => {
            push!(out, "fd={} ", handle.fd);
            repr_str(name.chars().map(u32::from), out);
        }
        (None, None) => push!(out, "fd={}", handle.fd),
    }
    out.push(b'>');
}

/// Writes `, ` from the second time on.
struct Separator(bool);

impl Separator {
    fn next(&mut self, out: &mut Vec<u8>) {
        if self.0 {
            out.extend_from_slice(b", ");
        }
        self.0 = true;
    }
}

/// `41us`, `1.2ms`, `3.45s`.
pub fn duration(ns: u64, out: &mut Vec<u8>) {
    match ns {
        0..1_000 => push!(out, "{ns}ns"),
        1_000..1_000_000 => push!(out, "{}us", ns / 1_000),
        1_000_000..NS_PER_S => push!(out, "{:.1}ms", ns as f64 / 1e6),
        _ => push!(out, "{:.2}s", ns as f64 / 1e9),
    }
}
