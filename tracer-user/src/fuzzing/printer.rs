//! Calls on their way to every format, as `replay` takes them; and what must hold of each format, whatever the call was.

use std::sync::{Arc, OnceLock};

use serde::de::IgnoredAny;
use tracer_common::wire::FrameRecord;

use crate::{
    decode::{linetable::Lines, names::Names, pair::Call, value::activation},
    event::{
        SiteMeta,
        acted::ActedOn,
        call::{Frame, TypeNames},
        shaping::{self, Shaping},
    },
    sink::{self, Began, ProcessChange, Sink, Summary, TargetInfo},
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
    /// A page in which nothing but itself is markup.
    BePage,
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
            (Must::BePage, Box::new(sink::page::Page::default())),
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
            sink.header(
                &Began {
                    targets,
                    sample: None,
                },
                out,
            );
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

    /// Prints a call.
    pub(crate) fn call(&mut self, call: &Call, sites: &[SiteMeta], names: &mut dyn Names) {
        let header = call.entry.header;
        let Some(meta) = sites.get(header.site as usize) else {
            return;
        };
        let run = activation(call.entry.values());
        let stack = call.entry.frames().skip(usize::from(run.is_some()));
        let shaping = Shaping {
            meta,
            pid: header.target.into(),
            time_ns: header.time_ns,
            ended: shaping::outcome(call, meta.operands),
            stack: stack
                .map(|frame| frame_of(header.target, &frame, names))
                .collect(),
            function: run.map(|run| shaping::function(call, &run, names)),
            show_secrets: self.show_secrets,
        };
        let mut names = TypeNames {
            names,
            target: header.target,
        };
        shaping.event(call, &mut names, |event, names| {
            if self.acted.matches(event) {
                for (_, sink, out) in &mut self.sinks {
                    sink.call(event, names, out);
                }
                self.events += 1;
            }
        });
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
                Must::BePage => assert_page(out),
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

/// Marks that begin markup in a page without calls.
static OF_ITSELF: OnceLock<usize> = OnceLock::new();

fn assert_page(out: &[u8]) {
    assert_plain(out);
    let marks = |page: &[u8]| page.iter().filter(|byte| **byte == b'<').count();
    let of_itself = OF_ITSELF.get_or_init(|| {
        let mut empty = Vec::new();
        sink::page::Page::default().summary(&Summary::default(), &mut empty);
        marks(&empty)
    });
    assert_eq!(marks(out), *of_itself, "a browser would obey it");
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

fn frame_of(target: u16, frame: &FrameRecord, names: &mut dyn Names) -> Frame {
    let code = names.code(target, frame);
    let line = code.as_ref().and_then(|code: &Arc<_>| {
        Lines::decode(code.line_format, &code.linetable, code.first_line).at(frame.instruction)
    });
    Frame { code, line }
}
