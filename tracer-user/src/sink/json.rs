//! One JSON object a line.

use std::io::Write as _;

use super::{
    Began, ProcessChange, Sink, Summary,
    escape::{json_str, json_text},
    json_value::{exception_args, list, object, text_of, value},
};
use crate::decode::{
    attribution::{Attribution, Task},
    value::Value,
};
use crate::event::{
    call::{CallEvent, Frame, Outcome, Raised, Run, TypeNames},
    target::TargetValue,
};

/// The JSON format, version 1.
#[derive(Debug, Default)]
pub struct Json;

impl Sink for Json {
    fn header(&mut self, began: &Began<'_>, out: &mut Vec<u8>) {
        let mut header = serde_json::json!({
            "type": "header",
            "v": 1,
            "tool": concat!("pytrace-ebpf ", env!("CARGO_PKG_VERSION")),
            "targets": began.targets,
        });
        if let Some(rate) = began.sample {
            header["sample"] = rate.into();
        }
        push!(out, "{header}\n");
    }

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
        let kind = match (call.meta.operands, &call.run) {
            (Some(_), _) => "bytecode",
            (None, Some(_)) => "function",
            (None, None) => "call",
        };
        push!(out, "{{\"type\":\"{kind}\",\"id\":{},\"parent\":", call.id);
        match call.parent {
            Some(parent) => push!(out, "{parent}"),
            None => out.extend_from_slice(b"null"),
        }
        push!(
            out,
            ",\"pid\":{},\"tid\":{},\"time_ns\":{},\"duration_ns\":",
            call.pid,
            call.tid,
            call.time_ns
        );
        match call.duration_ns {
            Some(duration) => push!(out, "{duration}"),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(match call.meta.operands {
            Some(_) => &b",\"op\":"[..],
            None => &b",\"function\":"[..],
        });
        json_text(call.function, out);
        out.extend_from_slice(b",\"effect\":");
        json_text(call.effect, out);
        arguments(call, names, out);
        outcome(&call.outcome, names, out);
        if let Some(run) = &call.run {
            about_run(run, out);
        }
        stack(&call.stack, out);
        target(call, names, out);
        attribution(&call.arguments.attribution, names, out);
        chosen(call, out);
        out.extend_from_slice(b"}\n");
    }

    fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>) {
        let mut line = match change {
            ProcessChange::Exit => serde_json::json!({}),
            ProcessChange::Fork { parent } => serde_json::json!({"parent": parent}),
            ProcessChange::Exec { executable, parent } => {
                serde_json::json!({"executable": executable, "parent": parent})
            }
            ProcessChange::Load {
                files,
                functions,
                gap_ns,
            } => {
                serde_json::json!({"files": files, "functions": functions, "gap_ns": gap_ns})
            }
            ProcessChange::Shed {
                function,
                cost_ppm,
                budget_ppm,
            } => {
                serde_json::json!({"function": function, "cost": share(*cost_ppm), "budget": share(*budget_ppm)})
            }
            ProcessChange::Window {
                function,
                from_ns,
                calls,
                unseen_ns,
                stays,
            } => serde_json::json!({
                "function": function, "from_ns": from_ns, "calls": calls, "unseen_ns": unseen_ns, "stays": stays,
            }),
            ProcessChange::Cost {
                cost_ppm,
                budget_ppm,
                shed,
            } => serde_json::json!({"cost": share(*cost_ppm), "budget": share(*budget_ppm), "shed": shed}),
        };
        line["type"] = "process".into();
        line["event"] = change.name().into();
        line["pid"] = pid.into();
        line["time_ns"] = time_ns.into();
        push!(out, "{line}\n");
    }

    fn loss(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>) {
        push!(
            out,
            "{{\"type\":\"loss\",\"count\":{count},\"since_ns\":{since_ns},\"site\":null}}\n"
        );
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        push!(out, "{}\n", summary_of(summary));
    }
}

/// Of one processor.
fn share(ppm: u64) -> f64 {
    ppm as f64 / 1e6
}

/// The object of the last line.
pub(super) fn summary_of(summary: &Summary) -> serde_json::Value {
    let counters = |c: &tracer_common::counters::SiteCounters| {
        serde_json::json!({
            "hits": c.hits, "delivered": c.delivered, "dropped": c.dropped, "filtered": c.filtered,
            "return_hits": c.return_hits, "return_delivered": c.return_delivered,
            "return_dropped": c.return_dropped, "return_filtered": c.return_filtered,
            "truncated": c.truncated, "faults": c.faults, "skipped": c.skipped, "return_skipped": c.return_skipped,
        })
    };
    let sites: Vec<_> = summary
        .sites
        .iter()
        .map(|site| {
            let mut entry = counters(&site.counters);
            entry["function"] = site.function.as_str().into();
            entry
        })
        .collect();
    let mut line = counters(&summary.totals);
    line["type"] = "summary".into();
    line["events"] = summary.events.into();
    line["lost"] = summary.lost.into();
    line["lost_returns"] = summary.lost_returns.into();
    line["inner"] = summary.inner.into();
    line["sites"] = sites.into();
    if !summary.budgets.is_empty() {
        line["budgets"] = serde_json::json!(summary.budgets);
    }
    if summary.cut {
        line["cut"] = true.into();
    }
    line
}

/// Appends `,"weight":128`, where it is not 1, and `,"late":true`.
pub(crate) fn chosen(call: &CallEvent<'_>, out: &mut Vec<u8>) {
    if call.weight != 1 {
        push!(out, ",\"weight\":{}", call.weight);
    }
    if call.late {
        out.extend_from_slice(b",\"late\":true");
    }
}

/// Appends `,"greenlet":{…},"task":{…},"trace":{…}`, where there are such, and what could not be found out.
pub(super) fn attribution(attribution: &Attribution<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    if let Some(greenlet) = &attribution.greenlet {
        out.extend_from_slice(b",\"greenlet\":");
        value(greenlet, names, out);
    }
    if let Some(found) = &attribution.task {
        out.extend_from_slice(b",\"task\":");
        task(found, names, out);
    }
    if let Some(span) = attribution.span {
        push!(
            out,
            ",\"trace\":{{\"trace_id\":\"{:032x}\",\"span_id\":\"{:016x}\"}}",
            span.trace_id,
            span.span_id
        );
    }
    if attribution.unknown {
        out.extend_from_slice(b",\"unattributed\":true");
    }
}

/// Appends `{"name":"Task-1","coroutine":"main","id":"0x7f3c"}`. Texts that were cut are VALUEs.
pub(crate) fn task(task: &Task<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    match &task.name {
        Value::Null => {}
        Value::Int(_) => {
            out.extend_from_slice(b"\"name\":");
            json_text(&task.name().unwrap_or_default(), out);
            out.push(b',');
        }
        name => {
            out.extend_from_slice(b"\"name\":");
            value(name, names, out);
            out.push(b',');
        }
    }
    match &task.coroutine {
        Value::Null => {}
        // Not one of CPython's: its type is all that is known.
        Value::Object { ty, .. } => {
            out.extend_from_slice(b"\"coroutine\":");
            json_text(&names.of(*ty), out);
            out.push(b',');
        }
        coroutine => {
            out.extend_from_slice(b"\"coroutine\":");
            value(coroutine, names, out);
            out.push(b',');
        }
    }
    push!(out, "\"id\":\"{:#x}\"}}", task.id);
}

/// Appends what else is known of a run of a Python function.
fn about_run(run: &Run, out: &mut Vec<u8>) {
    if run.resumed {
        out.extend_from_slice(b",\"resumed\":true");
    }
    if run.thrown {
        out.extend_from_slice(b",\"thrown\":true");
    }
    if let Some(first) = run.first {
        push!(out, ",\"first\":{first}");
    }
    out.extend_from_slice(b",\"file\":");
    json_text(&run.file, out);
    push!(out, ",\"line\":{}", run.line);
}

/// Appends `,"self":…,"args":…,"kwargs":…`, the arguments of a Python function by their names, or the operands of a bytecode by their names.
pub(crate) fn arguments(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    let arguments = &call.arguments;
    if call.meta.operands.is_some() {
        for (key, operand) in call.operands() {
            push!(out, ",\"{key}\":");
            value(operand, names, out);
        }
        if arguments.cut {
            out.extend_from_slice(b",\"cut\":true");
        }
        return;
    }
    if call.run.is_some() {
        out.extend_from_slice(b",\"args\":");
        keywords(&arguments.kwargs, names, out);
        if arguments.kwargs.len() as u64 != arguments.kwargs_len {
            push!(out, ",\"args_len\":{}", arguments.kwargs_len);
        }
        if arguments.cut {
            out.extend_from_slice(b",\"cut\":true");
        }
        return;
    }
    if let Some(self_) = &arguments.self_ {
        out.extend_from_slice(b",\"self\":");
        value(self_, names, out);
    }
    out.extend_from_slice(b",\"args\":");
    list(&arguments.args, names, out);
    if arguments.args.len() as u64 != arguments.args_len {
        push!(out, ",\"args_len\":{}", arguments.args_len);
    }
    out.extend_from_slice(b",\"kwargs\":");
    keywords(&arguments.kwargs, names, out);
    if arguments.kwargs.len() as u64 != arguments.kwargs_len {
        push!(out, ",\"kwargs_len\":{}", arguments.kwargs_len);
    }
    if let Some((_, filled)) = &arguments.filled {
        out.extend_from_slice(b",\"filled\":");
        value(filled, names, out);
    }
    if arguments.cut {
        out.extend_from_slice(b",\"cut\":true");
    }
}

/// Appends `{"name":VALUE,…}`.
pub(super) fn keywords(kwargs: &[(Value<'_>, Value<'_>)], names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (key, argument)) in kwargs.iter().enumerate() {
        if i != 0 {
            out.push(b',');
        }
        keyword(key, out);
        out.push(b':');
        value(argument, names, out);
    }
    out.push(b'}');
}

/// The name of a keyword argument: a string, or of a subclass of it.
fn keyword(key: &Value<'_>, out: &mut Vec<u8>) {
    match key {
        Value::Str(text) => json_str(text.code_points(), out),
        Value::Subclass { value, .. } => keyword(value, out),
        _ => json_text(&text_of(key), out),
    }
}

/// Appends `,"outcome":…` and what belongs to it.
pub(super) fn outcome(outcome: &Outcome<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match outcome {
        Outcome::Returned(result) => {
            out.extend_from_slice(b",\"outcome\":\"return\",\"result\":");
            value(result, names, out);
        }
        Outcome::Yielded(result) => {
            out.extend_from_slice(b",\"outcome\":\"yield\",\"result\":");
            value(result, names, out);
        }
        Outcome::Raised(raised) => {
            out.extend_from_slice(b",\"outcome\":\"raise\",\"exception\":");
            exception(raised, names, out);
        }
        Outcome::Unobserved(why) => {
            out.extend_from_slice(b",\"outcome\":\"unobserved\",\"why\":");
            json_text(why, out);
        }
    }
}

/// Appends an exception as a VALUE.
pub(super) fn exception(raised: &Raised<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match raised.ty {
        Some(ty) => object(&names.of(ty), raised.id, out),
        None => object("?", None, out),
    }
    exception_args(&raised.args, names, out);
    out.push(b'}');
}

/// Appends `,"stack":[…]`.
pub(super) fn stack(stack: &[Frame], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"stack\":");
    frames(stack, out);
}

/// Appends `[{"function":…,"file":…,"line":…},…]`.
pub(super) fn frames(frames: &[Frame], out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, frame) in frames.iter().enumerate() {
        if i != 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"function\":");
        json_text(frame.code.as_ref().map_or("?", |code| &code.function), out);
        out.extend_from_slice(b",\"file\":");
        json_text(frame.code.as_ref().map_or("?", |code| &code.file), out);
        out.extend_from_slice(b",\"line\":");
        match frame.line {
            Some(line) => push!(out, "{line}}}"),
            None => out.extend_from_slice(b"null}"),
        }
    }
    out.push(b']');
}

/// Appends `,"target":{…}`, if there is one.
pub(crate) fn target(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    if call.target_parts().next().is_some() {
        out.extend_from_slice(b",\"target\":");
        target_object(call, names, out);
    }
}

/// Appends `{"fd":3,…}`: the parts of the target.
pub(crate) fn target_object(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (key, part)) in call.target_parts().enumerate() {
        if i != 0 {
            out.push(b',');
        }
        json_text(key, out);
        out.push(b':');
        match part {
            TargetValue::Value(found) => value(found, names, out),
            TargetValue::Text(text) => json_text(&text, out),
            TargetValue::Number(number) => push!(out, "{number}"),
        }
    }
    out.push(b'}');
}
