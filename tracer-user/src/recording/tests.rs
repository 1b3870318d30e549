//! Recordings of made-up traces, whole, cut and damaged.

use std::sync::Arc;

use bytes::Bytes;
use tracer_common::{
    cookie::{Convention, ReturnKind, SelfKind},
    counters::SiteCounters,
    handle::HandleKind,
    wire::{FrameRecord, KIND_ENTRY, RecordHeader, Tag, TypeRef, value_word},
};

use super::{
    Happened, Reader, RecordedNames, Recorder, RecordingError, VERSION,
    block::BlockWriter,
    item::{Filter, Gone, Header, Limits},
};
use crate::{
    bytecode::Operands,
    catalogue::effects::{From, TargetPart},
    decode::{
        linetable::LineFormat,
        names::{Code, Names},
        pair::Lost,
        record::Record,
        value::activation,
    },
    event::{Deletion, SiteMeta},
    sink::{ProcessChange, TargetInfo},
};

/// Types are named by their address; type 13 has no name.
struct Process;

fn code(address: u64) -> Code {
    Code {
        function: format!("f{address}"),
        file: "/srv/äpp\n.py".into(),
        first_line: 7,
        linetable: vec![0, 255, 128, address as u8],
        line_format: LineFormat::Locations,
    }
}

impl Names for Process {
    fn type_name(&mut self, target: u16, of: TypeRef) -> Option<Arc<str>> {
        (of.address != 13).then(|| format!("app.T{target}_{}", of.address).into())
    }

    fn module_name(&mut self, _: u16, module: u64, dict: u64) -> Option<Arc<str>> {
        Some(format!("module{module}_{dict}").into())
    }

    fn code(&mut self, _: u16, frame: &FrameRecord) -> Option<Arc<Code>> {
        Some(Arc::new(code(frame.code)))
    }
}

fn site() -> SiteMeta {
    SiteMeta {
        function: "posix.open".into(),
        module_len: 5,
        aliases: Arc::new(["nt.open".into(), "os.open".into()]),
        effect: "file.open",
        wanted: true,
        deletion: Some(Deletion {
            effect: "file.delete",
            wanted: false,
        }),
        convention: Convention::SliceValue,
        self_kind: SelfKind::Type,
        return_kind: ReturnKind::Size,
        named: true,
        no_return: Some("a reason"),
        handle: HandleKind::Text,
        operands: Some(Operands::Item),
        run: None,
        target: &[
            TargetPart {
                key: "path",
                from: From::Argument {
                    position: 3,
                    name: "path",
                },
            },
            TargetPart {
                key: "fd",
                from: From::Result,
            },
        ],
    }
}

fn header() -> Header {
    Header {
        tool: "pytrace-ebpf 0".into(),
        epoch_ns: u64::MAX - 1,
        limits: Limits {
            max_str: 1,
            max_items: 2,
            max_depth: 3,
            stack: 4,
        },
        filter: Filter {
            errors: true,
            max_events: Some(5),
            ..Filter::default()
        },
        sample: Some(100),
    }
}

fn targets() -> Vec<TargetInfo> {
    vec![TargetInfo {
        pid: 42,
        python: "3.12.1".into(),
        executable: "/usr/bin/python3".into(),
        functions: 1,
        unseen: Some("some".into()),
        budget: None,
    }]
}

/// An entry record with a frame of that code object, on an object of that type and a module of Python 2.
fn record(number: u64) -> Record {
    let mut words = vec![0, 0, number, 0, 1 << 32, number % 5, 9, 0];
    words.extend([value_word(Tag::Self_, 0, 0), value_word(Tag::Object, 0, 0)]);
    words.extend([10 + number % 5, 77, 88]);
    words.extend([value_word(Tag::Args, 0, 0), 1, value_word(Tag::Module, 0, 0), 5]);
    words.extend([value_word(Tag::Int64, 0, 0), 6, 0, 0]);
    words[0] = u64::from(KIND_ENTRY) | (words.len() as u64 * 8) << 32;
    let bytes: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
    Record::parse(bytes.into()).expect("a record")
}

/// What stands before the first record.
fn begin(out: &mut Vec<u8>) {
    Recorder::header(header(), out);
    for (index, info) in targets().into_iter().enumerate() {
        Recorder::target(index as u16, info, true, out);
    }
    Recorder::sites(&[site()], out);
    Recorder::start(out);
}

/// Items of a whole recording.
pub(crate) fn items(records: u64) -> Vec<u8> {
    let mut out = Vec::new();
    begin(&mut out);
    let mut recorder = Recorder::default();
    for number in 0..records {
        recorder.record(&record(number), &mut Process, &mut out);
    }
    Recorder::loss(3, 4, &mut out);
    Recorder::process(1, &ProcessChange::Exit, 99, &mut out);
    let counters = SiteCounters {
        hits: records,
        faults: 2,
        ..SiteCounters::default()
    };
    Recorder::end(&[counters], &mut out);
    out
}

/// A file, written in `chunks` of whole items.
fn file(chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = BlockWriter::new(&mut bytes).expect("memory can be written");
    for chunk in chunks {
        writer.write(chunk).expect("memory can be written");
    }
    bytes
}

/// What happened, as text; names that are known at each record with it.
fn read(bytes: &[u8]) -> Result<Vec<String>, RecordingError> {
    let mut reader = Reader::open(bytes)?;
    let mut names = RecordedNames::default();
    let mut read = Vec::new();
    while let Some(happened) = reader.next_event(&mut names)? {
        read.push(match happened {
            Happened::Record(record) => described(&record, &mut names),
            happened => format!("{happened:?}"),
        });
    }
    Ok(read)
}

fn described(record: &Record, names: &mut dyn Names) -> String {
    let header: RecordHeader = record.header;
    let frame = record.frames().next().unwrap_or_default();
    let ty = TypeRef {
        address: 10 + header.time_ns % 5,
        fingerprint: 77,
    };
    format!(
        "{} {:?} {:?} {:?}",
        header.time_ns,
        names.code(0, &frame),
        names.type_name(0, ty),
        names.module_name(0, 5, 6)
    )
}

fn expected(records: u64) -> Vec<String> {
    let mut expected: Vec<String> = (0..records)
        .map(|number| described(&record(number), &mut Process))
        .collect();
    expected.push("Loss(Loss { count: 3, since_ns: 4 })".into());
    expected.push("Process(ProcessItem { pid: 1, time_ns: 99, change: Exit })".into());
    let counters = SiteCounters {
        hits: records,
        faults: 2,
        ..SiteCounters::default()
    };
    expected.push(format!("End({:?})", vec![counters]));
    expected
}

#[test]
fn what_was_recorded_is_read() {
    let bytes = file(&[&items(100)]);
    let reader = Reader::open(&bytes[..]).expect("a recording");
    assert_eq!(format!("{:?}", reader.header()), format!("{:?}", header()));
    let infos: Vec<_> = reader.targets().iter().map(|target| &target.info).collect();
    assert_eq!(format!("{infos:?}"), format!("{:?}", targets()));
    assert_eq!(format!("{:?}", reader.sites()), format!("{:?}", [site()]));
    assert_eq!(read(&bytes).expect("a recording"), expected(100));
}

#[test]
fn runs_of_python_functions_have_their_names() {
    let mut out = Vec::new();
    begin(&mut out);
    let mut recorder = Recorder::default();
    // A frame of a code object, then what a run begins with.
    let mut words = vec![0, 0, 1, 0, 1 << 32, 3, 9, 0];
    words.extend([value_word(Tag::Activation, 0, 4), 0x10, 0, 0x50, 0x60]);
    words[0] = u64::from(KIND_ENTRY) | (words.len() as u64 * 8) << 32;
    let bytes: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
    let record = Record::parse(bytes.into()).expect("a record");
    for _ in 0..2 {
        recorder.record(&record, &mut Process, &mut out);
    }
    let bytes = file(&[&out]);
    let mut reader = Reader::open(&bytes[..]).expect("a recording");
    assert!(reader.targets()[0].switches);
    let mut names = RecordedNames::default();
    let run = activation(record.values()).expect("a run");
    let frame = record.frames().next().expect("a frame");
    let expected = Process.function(0, &frame, &run);
    assert!(expected.is_some());
    while let Some(Happened::Record(_)) = reader.next_event(&mut names).expect("a recording") {
        assert_eq!(names.function(0, &frame, &run), expected);
    }
    names.remove(0);
    assert_eq!(names.function(0, &frame, &run), None);
}

#[test]
fn processes_and_sites_come_and_go() {
    let mut out = Vec::new();
    begin(&mut out);
    let mut recorder = Recorder::default();
    recorder.record(&record(0), &mut Process, &mut out);
    let gone = Gone {
        target: 0,
        replaced: true,
    };
    recorder.gone(gone, &mut out);
    let probed = SiteMeta {
        no_return: None,
        ..site()
    };
    Recorder::sites(&[site(), probed], &mut out);
    Recorder::target(0, targets().remove(0), false, &mut out);
    Recorder::spared(vec![2, 7], "why", &mut out);
    let lost = Lost {
        target: 0,
        sites: vec![1],
        before_ns: 3,
    };
    Recorder::lost_calls(lost.clone(), &mut out);
    Recorder::given_up(lost.clone(), &mut out);
    // The index stands for another process: its names are written anew.
    recorder.record(&record(5), &mut Process, &mut out);
    let bytes = file(&[&out]);
    let mut reader = Reader::open(&bytes[..]).expect("a recording");
    let mut names = RecordedNames::default();
    let mut seen = Vec::new();
    while let Some(happened) = reader.next_event(&mut names).expect("a recording") {
        seen.push(match happened {
            Happened::Record(record) => described(&record, &mut names),
            Happened::Sites => format!("{} sites", reader.sites().len()),
            Happened::Target(target) => format!("{} is {}", target.index, target.info.pid),
            happened => format!("{happened:?}"),
        });
    }
    let expected = [
        described(&record(0), &mut Process),
        "Gone(Gone { target: 0, replaced: true })".into(),
        "2 sites".into(),
        "3 sites".into(),
        format!("0 is {}", targets()[0].pid),
        "3 sites".into(),
        format!("Lost({lost:?})"),
        format!("GivenUp({lost:?})"),
        described(&record(5), &mut Process),
        format!("Torn(Torn {{ offset: {}, bytes: 0 }})", bytes.len()),
    ];
    assert_eq!(seen, expected);
    let spared: Vec<_> = reader.sites().iter().map(|site| site.no_return).collect();
    assert_eq!(spared, [site().no_return, site().no_return, Some("why")]);
}

#[test]
fn large_chunks_become_several_blocks() {
    let items = items(20_000);
    assert_eq!(read(&file(&[&items])).expect("a recording"), expected(20_000));
    let whole = file(&[&items]);
    assert!(
        whole.len() * 8 < items.len(),
        "{} of {}",
        whole.len(),
        items.len()
    );
}

#[test]
fn names_are_written_once() {
    // The nameless type is asked for again, in vain.
    let more = items(20).len() - items(10).len();
    assert_eq!(more, 10 * (4 + record(0).bytes().len()));
}

#[test]
fn a_file_cut_anywhere_is_read_up_to_there() {
    let mut start = Vec::new();
    begin(&mut start);
    let mut recorder = Recorder::default();
    let mut chunks = vec![start];
    for number in 0..4 {
        let mut chunk = Vec::new();
        recorder.record(&record(number), &mut Process, &mut chunk);
        chunks.push(chunk);
    }
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    let ends: Vec<usize> = (1..=5).map(|n| file(&chunks[..n]).len()).collect();
    let whole = file(&chunks);
    for len in 0..=whole.len() {
        let read = read(&whole[..len]);
        let blocks = ends.iter().filter(|end| **end <= len).count();
        if blocks == 0 {
            assert!(
                matches!(read, Err(RecordingError::NotARecording | RecordingError::Empty)),
                "{len}"
            );
            continue;
        }
        let offset = ends[blocks - 1];
        let mut events = expected(4)[..blocks - 1].to_vec();
        events.push(format!(
            "Torn(Torn {{ offset: {offset}, bytes: {} }})",
            len - offset
        ));
        assert_eq!(read.expect("a recording"), events, "{len}");
    }
}

#[test]
fn another_version_is_refused() {
    let mut bytes = file(&[&items(1)]);
    bytes[8] = VERSION as u8 + 1;
    let error = read(&bytes).expect_err("another version");
    assert!(
        error.to_string().starts_with("it has version 3 of the format"),
        "{error}"
    );
    bytes[0] = b'P';
    assert!(matches!(read(&bytes), Err(RecordingError::NotARecording)));
}

/// Every bit that changes is noticed: by the checksum, or since the file is then cut.
#[test]
fn a_flipped_bit_is_found() {
    let items = items(5);
    let bytes = file(&[&items[..0], &items]);
    for at in 16..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            match read(&damaged) {
                Err(RecordingError::Block { offset: 16, .. } | RecordingError::Empty) => {}
                other => panic!("byte {at} bit {bit}: {other:?}"),
            }
        }
    }
}

/// Items that are damaged although the checksum fits: as somebody may make them who means harm.
#[test]
fn damaged_items_are_read_without_a_panic() {
    let items = items(5);
    let mut refused = 0;
    for at in 0..items.len() {
        for byte in [0, 1, 0x7f, 0xff, items[at] ^ 1, items[at] ^ 0x80] {
            let mut damaged = items.clone();
            damaged[at] = byte;
            let mut bytes = Vec::new();
            // As one block, whatever its items claim to be.
            BlockWriter::new(&mut bytes)
                .and_then(|mut writer| writer.block(&damaged))
                .expect("memory can be written");
            if let Err(error) = read(&bytes) {
                refused += 1;
                let place = error.to_string().contains("the block at offset 16");
                assert!(place || matches!(error, RecordingError::Empty), "{error}");
            }
        }
    }
    assert!(refused > items.len());
}

#[test]
fn a_block_that_claims_too_much_is_refused_before_it_is_read() {
    let mut bytes = file(&[]);
    bytes.extend([0xff; 12]);
    assert!(matches!(
        read(&bytes),
        Err(RecordingError::Block { offset: 16, .. })
    ));
}

#[test]
fn what_stands_in_the_wrong_place_is_refused() {
    let mut start = Vec::new();
    begin(&mut start);
    for chunks in [[&start[..], &start], [&items(1)[..0], &items(1)[start.len()..]]] {
        assert!(matches!(
            read(&file(&chunks)),
            Err(RecordingError::Item { offset: 16.., .. })
        ));
    }
    let bytes = Bytes::from(file(&[&start]));
    assert_eq!(
        read(&bytes).expect("a recording"),
        [format!("Torn(Torn {{ offset: {}, bytes: 0 }})", bytes.len())]
    );
}
