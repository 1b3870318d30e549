//! A recording of some calls says what each stands for, in every format.

use serde_json::Value;
use tracer_common::wire::FLAG_LATE;
use tracer_user::recording::{Recorder, block::BlockWriter, item::Item};

use super::{
    tests::{EPOCH, OPEN, begin, entry, leave, options, replayed},
    *,
};

/// The same record, of a call that was chosen as one of 2^`shift`, or was not.
fn chosen(record: &Record, shift: u64, flags: u32) -> Record {
    let mut bytes = record.bytes().to_vec();
    bytes[32..36].copy_from_slice(&flags.to_le_bytes());
    bytes[38..40].copy_from_slice(&(shift as u16).to_le_bytes());
    Record::parse(bytes.into()).expect("a record")
}

/// One that stands for 128, one of 128 that raises, one that was not chosen and raises, one without an end, and one that says
/// nonsense.
fn recorded() -> Vec<u8> {
    let records = [
        chosen(&entry(OPEN, 1_000, 900), 7, 0),
        leave(OPEN, 3_000, 900, false),
        chosen(&entry(OPEN, 4_000, 900), 7, 0),
        leave(OPEN, 5_000, 900, true),
        chosen(&entry(OPEN, 6_000, 900), 0, FLAG_LATE),
        leave(OPEN, 7_000, 900, true),
        chosen(&entry(OPEN, 8_000, 900), 5, 0),
        chosen(&entry(OPEN, 9_000, 900), 0xffff, 0),
        leave(OPEN, 9_001, 900, false),
    ];
    let header = item::Header {
        tool: String::new(),
        epoch_ns: EPOCH,
        limits: tracer_common::target::CaptureLimits::default().into(),
        filter: item::Filter::default(),
        sample: Some(100),
    };
    let mut items = Vec::new();
    begin(header, &mut items);
    for record in records {
        Item::Record(record.bytes().clone()).append(&mut items);
    }
    let counters = SiteCounters {
        hits: 1000,
        delivered: 5,
        skipped: 995,
        return_hits: 999,
        return_delivered: 4,
        return_skipped: 995,
        ..SiteCounters::default()
    };
    let none = SiteCounters::default();
    Recorder::end(&[none, none, counters], &mut items);
    let mut file = Vec::new();
    BlockWriter::new(&mut file)
        .and_then(|mut writer| writer.write(&items))
        .expect("memory can be written");
    file
}

fn lines(options: &OutputArgs) -> Vec<String> {
    let printed = replayed(&recorded(), Narrow::default(), options);
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn json_has_the_weights_and_the_counters() {
    let lines: Vec<Value> = lines(&options())
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines[0]["sample"], 100);
    let calls = || lines.iter().filter(|line| line["type"] == "call");
    let told: Vec<_> = calls().map(|call| [&call["weight"], &call["late"]]).collect();
    let (none, late) = (Value::Null, Value::Bool(true));
    let [many, few, most] = [128, 32, 1 << 30].map(Value::from);
    let expected = [
        [&many, &none],
        [&none, &none],
        [&none, &late],
        [&few, &none],
        [&most, &none],
    ];
    assert_eq!(told, expected);
    let summary = lines.last().expect("a summary");
    assert_eq!((&summary["skipped"], &summary["lost"]), (&995.into(), &0.into()));
    assert_eq!(summary["sites"][0]["skipped"], 995);
}

#[test]
fn text_marks_them() {
    let lines = lines(&OutputArgs {
        format: Format::Text,
        ..options()
    });
    let ends: Vec<&str> = lines
        .iter()
        .filter_map(|line| Some(line.rsplit_once(['>', ')'])?.1))
        .collect();
    assert_eq!(ends, [" x128", "", " late", " x32", " x1073741824"], "{lines:#?}");
}

#[test]
fn a_table_of_them_is_an_estimate() {
    let lines = lines(&OutputArgs {
        format: Format::Text,
        summary: true,
        ..options()
    });
    let calls = 128 + 1 + 1 + 32 + (1 << 30);
    assert!(lines[1].contains(&format!(" ~{calls} ")), "{lines:?}");
    assert!(
        lines[1].ends_with("_io.open (32 without an end, not timed)"),
        "{lines:?}"
    );
}
