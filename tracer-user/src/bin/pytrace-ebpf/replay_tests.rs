//! A replay prints what a live trace of the same records prints, byte for byte.

use std::{sync::Arc, time::Duration};

use tracer_common::{
    cookie::{Convention, ReturnKind, SelfKind},
    handle::HandleKind,
    wire::{FrameRecord, KIND_ENTRY, KIND_RETURN, Tag, TypeRef, value_word},
};
use tracer_user::{
    decode::{
        linetable::LineFormat,
        names::{Code, Names},
    },
    recording::{Recorder, block::BlockWriter},
    sink::{ProcessChange, TargetInfo},
};

use super::*;
use crate::cli::{Colour, Format, ShownArgs};

/// Names by address.
struct Process;

impl Names for Process {
    fn type_name(&mut self, target: u16, of: TypeRef) -> Option<Arc<str>> {
        Some(format!("app.T{target}_{}", of.address).into())
    }

    fn module_name(&mut self, _: u16, _: u64, _: u64) -> Option<Arc<str>> {
        None
    }

    fn code(&mut self, _: u16, frame: &FrameRecord) -> Option<Arc<Code>> {
        // Code object 3 is gone before anybody asks.
        (frame.code != 3).then(|| {
            Arc::new(Code {
                function: format!("f{}", frame.code),
                file: "/srv/app.py".into(),
                first_line: 10,
                linetable: vec![],
                line_format: LineFormat::Signed,
            })
        })
    }
}

fn site(function: &str, effect: &'static str) -> SiteMeta {
    SiteMeta {
        function: function.into(),
        module_len: function.find('.').expect("a module"),
        aliases: Arc::new([]),
        effect,
        wanted: true,
        deletion: None,
        convention: Convention::FastCall,
        self_kind: SelfKind::Bound,
        return_kind: ReturnKind::Object,
        named: false,
        no_return: None,
        handle: HandleKind::None,
        operands: None,
        run: None,
        target: &[],
    }
}

const PRINT: u32 = 0;
const WRITE: u32 = 1;
pub(super) const OPEN: u32 = 2;

fn sites() -> Vec<SiteMeta> {
    vec![
        site("builtins.print", "console.print"),
        site("_io.FileIO.write", "file.write"),
        site("_io.open", "file.open"),
    ]
}

pub(super) fn record(kind: u8, site: u32, time_ns: u64, sp: u64, values: &[u64]) -> Record {
    let code = time_ns % 4;
    let frames = [code, 500 + code, 0, code, 600 + code, u64::MAX];
    let mut words = vec![0, u64::from(site) | 7 << 32, time_ns, sp, 2 << 32];
    words.extend(frames);
    words.extend(values);
    words[0] = u64::from(kind) | (words.len() as u64 * 8) << 32;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    Record::parse(bytes.into()).expect("a record")
}

pub(super) fn entry(site: u32, time_ns: u64, sp: u64) -> Record {
    let values = [
        value_word(Tag::Self_, 0, 0),
        value_word(Tag::Object, 0, 0),
        time_ns % 3,
        9,
        0xabc,
        value_word(Tag::Args, 0, 0),
        1,
        value_word(Tag::Int64, 0, 0),
        time_ns,
        value_word(Tag::End, 0, 0),
    ];
    record(KIND_ENTRY, site, time_ns, sp, &values)
}

pub(super) fn leave(site: u32, time_ns: u64, sp: u64, raises: bool) -> Record {
    let none = [value_word(Tag::Result, 0, 0), value_word(Tag::None, 0, 0)];
    let error = [
        value_word(Tag::Raised, 0, 0),
        value_word(Tag::Null, 0, 0),
        value_word(Tag::Exception, 0, 0),
        2,
        9,
        0xdef,
        value_word(Tag::Tuple, 0, 0),
        0,
        0,
        value_word(Tag::End, 0, 0),
        value_word(Tag::End, 0, 0),
    ];
    let values: &[u64] = if raises { &error } else { &none };
    record(KIND_RETURN, site, time_ns, sp + 8, values)
}

/// Prints that write, an open that raises, and one that does not come back.
fn records() -> Vec<Record> {
    let mut records = Vec::new();
    for n in 0..20 {
        let time = n * 1000;
        records.push(entry(PRINT, time, 900));
        records.push(entry(WRITE, time + 1, 800));
        records.push(leave(WRITE, time + 20 + n, 800, false));
        records.push(leave(PRINT, time + 300, 900, false));
        records.push(entry(OPEN, time + 400, 900));
        records.push(leave(OPEN, time + 500, 900, true));
    }
    records.push(entry(OPEN, 30_000, 900));
    records
}

fn targets() -> Vec<TargetInfo> {
    vec![TargetInfo {
        pid: 42,
        python: "3.9.1".into(),
        executable: "/usr/bin/python3".into(),
        functions: 3,
        unseen: None,
        budget: None,
    }]
}

fn counters() -> Vec<SiteCounters> {
    let counters = |hits| SiteCounters {
        hits,
        delivered: hits,
        ..SiteCounters::default()
    };
    vec![counters(20), counters(20), counters(21)]
}

pub(super) fn options() -> OutputArgs {
    OutputArgs {
        format: Format::Json,
        output: None,
        shown: ShownArgs::default(),
        summary: false,
        color: Colour::Auto,
        wide: false,
        show_tasks: false,
        stat: None,
    }
}

pub(super) const EPOCH: u64 = 1_700_000_000_000_000_000;

/// What a live trace prints of the records of these sites, with these options.
fn live(options: &OutputArgs, sites: Vec<SiteMeta>, seen: &[u32]) -> String {
    let mut out = Vec::new();
    let sites: Arc<[SiteMeta]> = sites.into();
    let mut pairing = Pairing::new(options.shown.nested);
    let sink = sink_for(options, EPOCH, false);
    let names = Process;
    let mut reporter = Reporter::new(names, options, sink, EPOCH).expect("globs");
    reporter.set_sites(Arc::clone(&sites));
    reporter.set_pid(0, targets()[0].pid);
    reporter.header(&targets(), &mut out);
    for record in records() {
        if seen.contains(&record.header.site) {
            pairing.feed(record, &sites, &mut |call| reporter.call(&call, &mut out));
        }
    }
    reporter.lost(2, 5, &mut out);
    pairing.finish(Some(0), PROCESS_ENDED, &mut |call| reporter.call(&call, &mut out));
    reporter.process(targets()[0].pid, &ProcessChange::Exit, 77, &mut out);
    let mut counters = counters();
    for (counters, site) in counters.iter_mut().zip(0..) {
        if !seen.contains(&site) {
            *counters = SiteCounters::default();
        }
    }
    reporter.summary(&counters, pairing.counts().inner, None, Vec::new(), &mut out);
    String::from_utf8(out).expect("text")
}

/// What stands before the first record.
pub(super) fn begin(header: item::Header, items: &mut Vec<u8>) {
    Recorder::header(header, items);
    for (index, info) in targets().into_iter().enumerate() {
        Recorder::target(index as u16, info, false, items);
    }
    Recorder::sites(&sites(), items);
    Recorder::start(items);
}

/// A recording of the same, made with these options.
fn recorded(options: &OutputArgs) -> Vec<u8> {
    let mut items = Vec::new();
    let header = item::Header {
        tool: String::new(),
        epoch_ns: EPOCH,
        limits: tracer_common::target::CaptureLimits::default().into(),
        filter: crate::session::filter(options),
        sample: None,
    };
    begin(header, &mut items);
    let mut recorder = Recorder::default();
    let mut names = Process;
    for record in records() {
        recorder.record(&record, &mut names, &mut items);
    }
    Recorder::loss(2, 5, &mut items);
    let gone = item::Gone {
        target: 0,
        replaced: false,
    };
    recorder.gone(gone, &mut items);
    Recorder::process(targets()[0].pid, &ProcessChange::Exit, 77, &mut items);
    Recorder::end(&counters(), &mut items);
    let mut file = Vec::new();
    BlockWriter::new(&mut file)
        .and_then(|mut writer| writer.write(&items))
        .expect("memory can be written");
    file
}

pub(super) fn replayed(file: &[u8], narrow: Narrow, options: &OutputArgs) -> String {
    let reader = Reader::open(file).expect("a recording");
    let sink = sink_for(options, EPOCH, false);
    let mut printed = Vec::new();
    let played = Play::new(reader, narrow, options, sink)
        .expect("globs")
        .run(&mut |chunk| {
            printed.extend(chunk);
            true
        })
        .expect("it can be read");
    assert_eq!(played.torn, None);
    String::from_utf8(printed).expect("text")
}

/// Options, by a change of the defaults.
fn with(change: impl FnOnce(&mut OutputArgs)) -> OutputArgs {
    let mut options = options();
    change(&mut options);
    options
}

fn variants() -> Vec<OutputArgs> {
    vec![
        options(),
        with(|options| options.shown.errors = true),
        with(|options| options.shown.nested = true),
        with(|options| options.shown.min_duration = Some(Duration::from_nanos(120))),
        with(|options| options.shown.max_events = Some(7)),
        with(|options| options.format = Format::Text),
        with(|options| options.format = Format::Chrome),
        with(|options| options.format = Format::Otlp),
    ]
}

#[test]
fn options_of_a_replay_print_what_they_print_live() {
    let file = recorded(&options());
    for options in variants() {
        let expected = live(&options, sites(), &[PRINT, WRITE, OPEN]);
        assert_eq!(
            replayed(&file, Narrow::default(), &options),
            expected,
            "{options:?}"
        );
    }
}

#[test]
fn options_of_a_recording_hold_for_its_replay() {
    for options in variants() {
        let expected = live(&options, sites(), &[PRINT, WRITE, OPEN]);
        let format = with(|plain| plain.format = options.format);
        let printed = replayed(&recorded(&options), Narrow::default(), &format);
        assert_eq!(printed, expected, "{options:?}");
    }
}

#[test]
fn a_replay_of_some_effects_is_a_trace_of_those() {
    let file = recorded(&options());
    let narrow = Narrow {
        effects: Some(Selection::parse("file").expect("a list")),
        functions: None,
    };
    let printed = replayed(&file, narrow, &options());
    assert_eq!(printed, live(&options(), sites(), &[WRITE, OPEN]));
    assert!(printed.contains("_io.FileIO.write"));

    let narrow = Narrow {
        effects: None,
        functions: Some(Functions::parse(&["*.write"]).expect("globs")),
    };
    let printed = replayed(&file, narrow, &options());
    assert_eq!(printed, live(&options(), sites(), &[WRITE]));
}

#[test]
fn a_cut_recording_says_that_it_is_cut() {
    let file = recorded(&options());
    let mut items = Vec::new();
    let header = Reader::open(&file[..]).expect("a recording").header().clone();
    begin(header, &mut items);
    let mut recorder = Recorder::default();
    for record in records() {
        recorder.record(&record, &mut Process, &mut items);
    }
    let mut cut = Vec::new();
    BlockWriter::new(&mut cut)
        .and_then(|mut writer| writer.write(&items))
        .expect("memory can be written");
    let offset = cut.len() as u64;
    cut.extend([1, 2, 3]);
    let mut printed = Vec::new();
    let options = options();
    let sink = sink_for(&options, EPOCH, false);
    let played = Play::new(
        Reader::open(&cut[..]).expect("a recording"),
        Narrow::default(),
        &options,
        sink,
    )
    .expect("globs")
    .run(&mut |chunk| {
        printed.extend(chunk);
        true
    })
    .expect("it can be read");
    assert_eq!(played.torn, Some(Torn { offset, bytes: 3 }));
    let printed = String::from_utf8(printed).expect("text");
    let lines: Vec<&str> = printed.lines().collect();
    assert!(
        lines[41].contains("\"why\":\"the recording ends\""),
        "{}",
        lines[41]
    );
    let summary = lines[42];
    assert!(
        summary.contains("\"cut\":true") && summary.contains("\"hits\":61"),
        "{summary}"
    );
    assert_eq!(lines.len(), 43);
}

/// What the kernel counted is a number; what a recording says it counted may be any.
#[test]
fn counters_without_a_sum_are_as_large_as_can_be() {
    let most = SiteCounters {
        hits: u64::MAX,
        delivered: u64::MAX,
        dropped: u64::MAX,
        filtered: u64::MAX,
        return_dropped: u64::MAX,
        truncated: u64::MAX,
        faults: u64::MAX,
        ..SiteCounters::default()
    };
    let mut items = Vec::new();
    let header = item::Header {
        tool: String::new(),
        epoch_ns: u64::MAX,
        limits: tracer_common::target::CaptureLimits::default().into(),
        filter: item::Filter::default(),
        sample: None,
    };
    begin(header, &mut items);
    Recorder::loss(u64::MAX, 5, &mut items);
    Recorder::loss(u64::MAX, 5, &mut items);
    Recorder::end(&[most; 3], &mut items);
    let mut file = Vec::new();
    BlockWriter::new(&mut file)
        .and_then(|mut writer| writer.write(&items))
        .expect("memory can be written");
    let printed = replayed(&file, Narrow::default(), &options());
    assert!(printed.contains(&format!("\"hits\":{}", u64::MAX)), "{printed}");
}
