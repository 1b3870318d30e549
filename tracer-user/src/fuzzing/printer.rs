//! Calls on their way to every format, as `replay` takes them; and what must hold of each format, whatever the call was.

use std::sync::Arc;

use serde::de::IgnoredAny;
use tracer_common::{
    activation::{RUN_RESUMED, RUN_THROWN, RUN_YIELDED},
    wire::{FLAG_CUT, FrameRecord},
};

use crate::{
    bytecode::Operands,
    decode::{
        linetable::Lines,
        names::Names,
        pair::{Call, End},
        record::Record,
        value::{Ending, Value, activation, arguments, ending, filled},
    },
    event::{
        SiteMeta,
        acted::ActedOn,
        call::{CallEvent, Frame, Outcome, Raised, Run, TypeNames},
        handle::NamedHandle,
        mask,
        naming::CallName,
        runs::full_name,
    },
    sink::{self, ProcessChange, Sink, Summary, TargetInfo},
};

/// Bytes that a format makes of one input at most: a byte is `\\u0000` in JSON, and more in JSON that is text in JSON.
const MOST: usize = 64 * 1024 * 1024;

/// What a format's output has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Must {
    /// Lines without control characters.
    BePlain,
    /// JSON, a value a line.
    BeLines,
    /// One JSON value.
    BeJson,
    /// Anything.
    End,
}

/// All formats.
pub(crate) struct Printer {
    sinks: Vec<(Must, Box<dyn Sink>, Vec<u8>)>,
    show_secrets: bool,
    pub acted: ActedOn,
    pub events: u64,
}

impl Printer {
    /// `parquet`: that too, which takes ten times as long as all the others.
    pub(crate) fn new(show_secrets: bool, parquet: bool) -> Self {
        let mut sinks: Vec<(Must, Box<dyn Sink>)> = vec![
            (Must::BePlain, Box::new(sink::text::Text::utc())),
            (Must::BeLines, Box::new(sink::json::Json)),
            (Must::BeJson, Box::new(sink::chrome::Chrome::new(7))),
            (Must::BeLines, Box::new(sink::otlp::Otlp::default())),
            (Must::BePlain, Box::new(sink::totals::Totals::new(false))),
            (Must::BeLines, Box::new(sink::totals::Totals::new(true))),
        ];
        if parquet {
            sinks.push((Must::End, Box::new(sink::parquet::Parquet::default())));
        }
        Self {
            sinks: sinks
                .into_iter()
                .map(|(must, sink)| (must, sink, Vec::new()))
                .collect(),
            show_secrets,
            acted: ActedOn::default(),
            events: 0,
        }
    }

    pub(crate) fn header(&mut self, targets: &[TargetInfo]) {
        for (_, sink, out) in &mut self.sinks {
            sink.header(targets, out);
        }
    }

    pub(crate) fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64) {
        for (_, sink, out) in &mut self.sinks {
            sink.process(pid, change, time_ns, out);
        }
    }

    pub(crate) fn loss(&mut self, count: u64, since_ns: u64) {
        for (_, sink, out) in &mut self.sinks {
            sink.loss(count, since_ns, out);
        }
    }

    /// Prints a call; what is done with it is what `bin/pytrace-ebpf/report.rs` does.
    pub(crate) fn call(&mut self, call: &Call, sites: &[SiteMeta], names: &mut dyn Names) {
        let header = call.entry.header;
        let Some(meta) = sites.get(header.site as usize) else {
            return;
        };
        let (outcome, duration_ns) = match &call.end {
            End::Unobserved(_) if meta.operands == Some(Operands::Exception) => {
                let raised = Raised::of_operands(arguments(call.entry.values()).args);
                (Outcome::Raised(raised), None)
            }
            End::Unobserved(why) => (Outcome::Unobserved(why), None),
            End::Seen(leave) => (
                outcome(leave),
                Some(leave.header.time_ns.saturating_sub(header.time_ns)),
            ),
        };
        let run = activation(call.entry.values());
        let first = call.entry.frames().next();
        let stack = call.entry.frames().skip(usize::from(run.is_some()));
        let stack = stack
            .map(|frame| frame_of(header.target, &frame, names))
            .collect();
        let function = run.as_ref().map(|run| {
            let name = first.and_then(|frame| names.function(header.target, &frame, run));
            let (module, qualname) = name.map_or_else(Default::default, |name| {
                (name.module.clone(), name.qualname.clone())
            });
            let run = Run {
                resumed: run.flags & RUN_RESUMED != 0,
                thrown: run.flags & RUN_THROWN != 0,
                first: call.first,
                file: "?".into(),
                line: first.map_or(0, |frame| frame.first_line),
            };
            (module, qualname, run)
        });
        let mut arguments = arguments(call.entry.values());
        arguments.cut = header.flags & FLAG_CUT != 0;
        let mut names = TypeNames {
            names,
            target: header.target,
        };
        if let End::Seen(leave) = &call.end {
            arguments.filled = filled(leave.values());
        }
        let name = match &function {
            Some((module, qualname, _)) => CallName {
                function: full_name(module, qualname).into(),
                module_len: module.len(),
                effect: meta.effect,
                wanted: meta.wanted,
            },
            None => meta.name_call(&mut arguments, &mut names),
        };
        if !name.wanted || !meta.is_act(&arguments) {
            return;
        }
        let mut outcome = match outcome {
            Outcome::Raised(raised) => Outcome::Raised(raised.without_file_name(&mut names)),
            other => other,
        };
        let handle = NamedHandle::new(&arguments, meta.handle, &mut names);
        if !self.show_secrets {
            mask::call(&name.function, name.effect, &mut arguments, &mut outcome);
            if let Some(operands) = meta.operands {
                mask::stored(operands, &mut arguments);
            }
        }
        let event = CallEvent {
            function: &name.function,
            module_len: name.module_len,
            effect: name.effect,
            id: call.id,
            parent: call.parent,
            target: header.target,
            pid: header.target.into(),
            tid: header.tid,
            time_ns: header.time_ns,
            duration_ns,
            meta,
            arguments,
            outcome,
            stack,
            handle,
            run: function.map(|(_, _, run)| run),
        };
        if !self.acted.matches(&event) {
            return;
        }
        for (_, sink, out) in &mut self.sinks {
            sink.call(&event, &mut names, out);
        }
        self.events += 1;
    }

    /// Ends all formats, and looks whether each is what it must be.
    pub(crate) fn finish(mut self, mut summary: Summary) {
        summary.events = self.events;
        for (must, sink, out) in &mut self.sinks {
            sink.summary(&summary, out);
            assert!(out.len() < MOST, "{} bytes", out.len());
            match must {
                Must::BePlain => assert_plain(out),
                Must::BeLines => out.split(|byte| *byte == b'\n').for_each(assert_json),
                Must::BeJson => assert_json(out),
                Must::End => {}
            }
        }
    }
}

fn assert_plain(out: &[u8]) {
    let text = std::str::from_utf8(out).expect("text is UTF-8");
    let bad = text.chars().find(|c| *c != '\n' && c.is_control());
    assert_eq!(bad, None, "a terminal would obey it: {text:?}");
}

fn assert_json(out: &[u8]) {
    let text = std::str::from_utf8(out).expect("JSON is UTF-8");
    // Lone surrogates are JSON, but not to every reader.
    if !text.trim().is_empty() && !text.contains("\\ud") {
        let read: Result<IgnoredAny, _> = serde_json::from_str(text);
        assert!(
            read.is_ok(),
            "{}: {text:?}",
            read.err().map_or_else(String::new, |e| e.to_string())
        );
    }
}

fn outcome(leave: &Record) -> Outcome<'_> {
    let yields = activation(leave.values()).is_some_and(|run| run.flags & RUN_YIELDED != 0);
    match ending(leave.values()) {
        Some(Ending::Returned(value)) if yields => Outcome::Yielded(value),
        Some(Ending::Returned(value)) => Outcome::Returned(value),
        Some(Ending::Raised { ty, value }) => Outcome::Raised(Raised::new(ty, value)),
        None => Outcome::Returned(Value::Cut),
    }
}

fn frame_of(target: u16, frame: &FrameRecord, names: &mut dyn Names) -> Frame {
    let code = names.code(target, frame);
    let line = code.as_ref().and_then(|code: &Arc<_>| {
        Lines::decode(code.line_format, &code.linetable, code.first_line).at(frame.instruction)
    });
    Frame { code, line }
}
