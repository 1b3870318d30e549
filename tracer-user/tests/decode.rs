//! The decoder on made-up records and line tables: what is cut short or damaged is read as far as it goes.

use bytes::Bytes;
use tracer_common::limits::MAX_INT_DIGITS;
use tracer_common::wire::{KIND_ENTRY, RecordHeader, Tag, TypeRef, value_word};
use tracer_user::decode::{
    attribution::Attribution,
    linetable::{LineFormat, Lines},
    record::{Record, RecordError},
    value::{Arguments, BytesKind, Ending, SequenceKind, Text, Value, arguments, ending, filled},
};

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn word(tag: Tag) -> u64 {
    value_word(tag, 0, 0)
}

/// The value of a return record's words after `Result`.
fn result(words: &[u64]) -> Vec<u8> {
    bytes(&[&[word(Tag::Result)], words].concat())
}

fn returned(record: &[u8]) -> Value<'_> {
    match ending(record) {
        Some(Ending::Returned(value)) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_bytes_of_a_record_are_kept() {
    let words = [u64::from(KIND_ENTRY) | 48 << 32, 0, 0, 0, 0, word(Tag::Args)];
    let whole = Bytes::from(bytes(&words));
    let record = Record::parse(whole.clone()).expect("a record");
    assert_eq!(record.bytes(), &whole);
    assert_eq!(record.values(), &whole[RecordHeader::SIZE..]);
    // It says that it is longer than it is.
    let shorter = whole.slice(..RecordHeader::SIZE);
    assert_eq!(Record::parse(shorter).err(), Some(RecordError::Length(40)));
}

#[test]
fn a_record_that_is_cut_gives_what_is_there() {
    let list = [word(Tag::List), 9, 0x1000, word(Tag::Int64), 7];
    let record = result(&list);
    let items = |items| Value::Sequence {
        kind: SequenceKind::List,
        items,
        len: 9,
        id: 0x1000,
    };
    assert_eq!(returned(&record), items(vec![Value::Int(7)]));
    // The number itself is missing.
    assert_eq!(returned(&record[..record.len() - 8]), items(vec![]));
    let record = result(&[
        word(Tag::Dict),
        2,
        0x2000,
        word(Tag::None),
        word(Tag::True),
        word(Tag::False),
    ]);
    let dict = Value::Dict {
        pairs: vec![(Value::None, Value::Bool(true))],
        len: 2,
        id: 0x2000,
    };
    assert_eq!(returned(&record), dict);
    assert_eq!(returned(&result(&[])), Value::Cut);
    let subclass = Value::Subclass {
        ty: TypeRef {
            address: 1,
            fingerprint: 2,
        },
        value: Box::new(Value::Cut),
        id: 3,
    };
    assert_eq!(returned(&result(&[word(Tag::Subclass), 1, 2, 3])), subclass);
    assert_eq!(returned(&result(&[word(Tag::Cut), 0x3000])), Value::Cut);
    let raised = bytes(&[word(Tag::Raised)]);
    let cut = Ending::Raised {
        ty: Value::Cut,
        value: Value::Cut,
    };
    assert_eq!(ending(&raised), Some(cut));
}

/// A buffer of 16 bytes, of which 8 were captured, behind a result.
fn with_buffer(of_result: &[u64], tag: Tag) -> Vec<u8> {
    let buffer = [
        word(Tag::Filled),
        1,
        value_word(tag, 0, 8),
        16,
        u64::from_le_bytes(*b"abcdefgh"),
    ];
    result(&[of_result, &buffer].concat())
}

#[test]
fn of_a_buffer_there_is_what_the_result_says() {
    let int = |count: i64| with_buffer(&[word(Tag::Int64), count as u64], Tag::ByteArray);
    let bytes = |data, len| Some((1, Value::Bytes(BytesKind::ByteArray, data, len)));
    assert_eq!(filled(&int(3)), bytes(b"abc", 3));
    assert_eq!(filled(&int(0)), bytes(b"", 0));
    assert_eq!(filled(&int(12)), bytes(b"abcdefgh", 12));
    // No such count can be: nothing is said.
    assert_eq!(filled(&int(17)), None);
    assert_eq!(filled(&int(-1)), None);
    assert_eq!(filled(&with_buffer(&[word(Tag::None)], Tag::ByteArray)), None);
    let pair = [
        word(Tag::Tuple),
        2,
        0,
        word(Tag::Int64),
        2,
        word(Tag::None),
        word(Tag::End),
    ];
    let view = Some((1, Value::Bytes(BytesKind::MemoryView, &b"ab"[..], 2)));
    assert_eq!(filled(&with_buffer(&pair, Tag::MemoryView)), view);
    // Cut, or no buffer at all.
    assert_eq!(filled(&int(3)[..16]), None);
    assert_eq!(filled(&int(3)[..32]), None);
    assert_eq!(filled(&result(&[word(Tag::None), word(Tag::None)])), None);
    assert_eq!(filled(&result(&[])), None);
    assert_eq!(filled(&[]), None);
    let none = [word(Tag::Int64), 1, word(Tag::Filled), 0, word(Tag::None)];
    assert_eq!(filled(&result(&none)), None);
    let raised = self::bytes(&[word(Tag::Raised), word(Tag::Null), word(Tag::Null)]);
    assert_eq!(filled(&raised), None);
}

#[test]
fn what_is_no_record_has_no_outcome_and_no_arguments() {
    assert_eq!(ending(&[]), None);
    assert_eq!(ending(&bytes(&[word(Tag::Int64), 7])), None);
    assert_eq!(ending(&bytes(&[0xff])), None);
    assert_eq!(arguments(&bytes(&[word(Tag::None)])), Arguments::default());
    // A tag where a value should be, and a number that is no tag.
    assert_eq!(returned(&result(&[word(Tag::Args)])), Value::Cut);
    assert_eq!(returned(&result(&[u64::from(Tag::COUNT)])), Value::Cut);
    let claims_too_much = result(&[value_word(Tag::Bytes, 1, u32::MAX), 5, 0]);
    assert_eq!(returned(&claims_too_much), Value::Cut);
    let too_many_digits = result(&[value_word(Tag::BigInt, 0, u32::MAX), 5, 0]);
    assert_eq!(returned(&too_many_digits), Value::Cut);
}

#[test]
fn arguments_are_read_with_their_totals() {
    let record = bytes(&[
        word(Tag::Self_),
        word(Tag::None),
        word(Tag::Args),
        5,
        word(Tag::True),
        word(Tag::End),
        word(Tag::Kwargs),
        1,
        word(Tag::Unreadable),
        0x10,
        word(Tag::Unreadable),
        0x18,
        word(Tag::End),
    ]);
    let expected = Arguments {
        self_: Some(Value::None),
        args: vec![Value::Bool(true)],
        args_len: 5,
        kwargs: vec![(Value::Unreadable(0x10), Value::Unreadable(0x18))],
        kwargs_len: 1,
        filled: None,
        handle: None,
        peer_name: None,
        attribution: Attribution::default(),
        cut: false,
    };
    assert_eq!(arguments(&record), expected);
    assert_eq!(
        arguments(&record[..8]),
        Arguments {
            self_: Some(Value::Cut),
            ..Arguments::default()
        }
    );
}

/// The name of a Unix socket's other end, as the kernel has it.
/// The kernel half writes keywords once, or twice where some are in cells; a recording may say anything.
#[test]
fn totals_that_have_no_sum_are_as_large_as_can_be() {
    let kwargs = [word(Tag::Kwargs), u64::MAX, word(Tag::End)];
    let values = bytes(&[kwargs, kwargs].concat());
    assert_eq!(arguments(&values).kwargs_len, u64::MAX);
}

#[test]
fn an_int_with_more_digits_than_are_captured_is_none() {
    let int = |digits: u32| {
        let mut words = vec![value_word(Tag::BigInt, 0, digits), 1000];
        words.resize(2 + digits.div_ceil(2) as usize, 1 << 32 | 1);
        result(&words)
    };
    let captured = int(MAX_INT_DIGITS);
    assert!(matches!(returned(&captured), Value::BigInt { digits: 1000, .. }));
    assert_eq!(returned(&int(MAX_INT_DIGITS + 1)), Value::Cut);
}

#[test]
fn the_other_end_of_a_unix_socket_has_a_name() {
    let named = |name: &[u8]| {
        let mut data = [0; 112];
        data[..name.len()].copy_from_slice(name);
        let mut words = vec![value_word(Tag::PeerName, 0, name.len() as u32)];
        words.extend(
            data.chunks_exact(8)
                .map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes"))),
        );
        let record = bytes(&words);
        arguments(&record).peer_name.map(<[u8]>::to_vec)
    };
    assert_eq!(named(b"/run/x.sock\0").as_deref(), Some(&b"/run/x.sock"[..]));
    assert_eq!(named(b"\0x\0").as_deref(), Some(&b"\0x\0"[..]));
    let longest = [b'/'; 108];
    assert_eq!(named(&longest).as_deref(), Some(&longest[..]));
    let cut = bytes(&[value_word(Tag::PeerName, 0, 3), 0]);
    assert_eq!(arguments(&cut).peer_name, None);
    let too_long = bytes(&[[value_word(Tag::PeerName, 0, 113)].as_slice(), &[1; 14]].concat());
    assert_eq!(arguments(&too_long).peer_name, None);
}

#[test]
fn nesting_beyond_all_measure_ends_the_record() {
    let levels = [word(Tag::Slice)].repeat(1000);
    let record = result(&levels);
    let mut value = returned(&record);
    let mut depth = 0;
    while let Value::Slice(mut items) = value {
        depth += 1;
        match items.pop() {
            Some(item) => value = item,
            None => break,
        }
        assert_eq!(items, []);
    }
    assert_eq!(depth, 65);
}

#[test]
fn only_strings_have_a_text() {
    let text = |data| {
        Value::Str(Text {
            width: 2,
            data,
            len: 2,
            unicode: false,
        })
    };
    // A lone surrogate is no character.
    assert_eq!(
        text(b"\x01\x26\x00\xd8").text().as_deref(),
        Some("\u{2601}\u{fffd}")
    );
    let python2 = Value::Bytes(BytesKind::Str, b"name", 4);
    assert_eq!(python2.text().as_deref(), Some("name"));
    let subclass = Value::Subclass {
        ty: TypeRef::default(),
        value: Box::new(python2),
        id: 1,
    };
    assert_eq!(subclass.text().as_deref(), Some("name"));
    assert_eq!(Value::Bytes(BytesKind::Bytes, b"name", 4).text(), None);
    assert_eq!(Value::None.text(), None);
}

/// The lines of instructions, by what a frame record has of them.
fn lines<const N: usize>(format: LineFormat, table: &[u8], at: [i32; N]) -> [Option<u32>; N] {
    let lines = Lines::decode(format, table, 10);
    at.map(|instruction| lines.at(instruction))
}

#[test]
fn increments_of_python_2_are_never_negative() {
    // Six bytes of line 10, then 50 more; then line 266 by way of 255 and 1.
    let table = [6, 1, 50, 255, 0, 0];
    let found = lines(LineFormat::Unsigned, &table, [-1, 0, 5, 6, 55, 56, 9000]);
    assert_eq!(found, [10, 10, 10, 11, 11, 266, 266].map(Some));
}

#[test]
fn increments_of_3_6_to_3_9_may_lead_back() {
    // Byte 6 is on line 11, 50 on line 12, 350 on line 317 (in steps of 127 at most), 361 on line 318, then it
    // goes back to line 316.
    let table = [6, 1, 44, 1, 255, 0, 45, 127, 0, 127, 0, 51, 11, 1, 4, 254];
    let found = lines(LineFormat::Signed, &table, [0, 6, 50, 349, 350, 361, 365]);
    assert_eq!(found, [10, 11, 12, 12, 317, 318, 316].map(Some));
}

#[test]
fn ranges_of_3_10_count_in_code_units_and_may_have_no_line() {
    // Four bytes of line 11, two of none, six of line 9; an entry of no bytes moves the line.
    let table = [4, 1, 2, 128, 0, 254, 6, 0];
    let found = lines(LineFormat::Ranges, &table, [-1, 0, 1, 2, 3, 5, 6]);
    assert_eq!(
        found,
        [Some(10), Some(11), Some(11), None, Some(9), Some(9), None]
    );
}

#[test]
fn locations_of_3_11_are_written_in_five_ways() {
    let entry = |code: u8, units: u8| 0x80 | code << 3 | (units - 1);
    let table = [
        &[entry(0, 2), 0x11][..],
        &[entry(11, 1), 4, 8],
        &[entry(15, 1)],
        // +100 lines: 200 in two pieces of 6 bits. Then an end line and two columns.
        &[entry(14, 1), 0x40 | 8, 3, 0, 1, 1],
        // -3 lines.
        &[entry(13, 8), 7],
    ]
    .concat();
    let found = lines(LineFormat::Locations, &table, [-2, 0, 2, 4, 6, 8, 10, 24, 26]);
    let expected = [10, 10, 10, 11, 0, 111, 108, 108, 0].map(|line| (line != 0).then_some(line));
    assert_eq!(found, expected);
}

#[test]
fn a_damaged_line_table_is_good_up_to_the_damage() {
    let entry = |code: u8| 0x80 | code << 3;
    for cut in [&[entry(14), 0x40][..], &[entry(13)], &[entry(10), 1], &[entry(3)]] {
        let table = [&[entry(10), 0, 0][..], cut].concat();
        assert_eq!(lines(LineFormat::Locations, &table, [0, 2]), [Some(10), None]);
    }
    // A varint that never fits, and a line before the first.
    let endless = [&[entry(13)][..], &[0x40; 20], &[1]].concat();
    assert_eq!(lines(LineFormat::Locations, &endless, [0]), [Some(10)]);
    assert_eq!(lines(LineFormat::Signed, &[0, 240, 2], [0]), [None]);
}
