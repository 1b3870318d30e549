//! The encoder on recorded memory: hand-made objects laid out as CPython 3.12 lays them out.

mod host;

use std::collections::BTreeMap;

use tracer_common::{
    encode::{Cursor, Memory, Progress, STACK_MAX, Slot, begin_entry, begin_return, innermost_frame, step},
    limits::{MAX_STR, RECORD_MAX},
    target::{CaptureLimits, FEATURE_LONG_TAG, KnownObjects, Offsets, Target},
    wire::{FLAG_CUT, FLAG_FRAME_FAULT, RecordHeader, Tag, value_word},
};

/// Memory made of pieces; everything else is unmapped.
#[derive(Default)]
struct Image {
    pieces: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

impl Image {
    /// Puts words somewhere; their address.
    fn place(&mut self, words: &[u64]) -> u64 {
        self.next += 0x1000;
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.pieces.insert(self.next, bytes);
        self.next
    }

    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let (start, piece) = self.pieces.range(..=address).next_back()?;
        piece.get((address - start) as usize..)?.get(..len)
    }

    fn memory(&self) -> impl Memory + '_ {
        host::ByRead(|address, out: &mut [u8]| {
            let bytes = self.bytes(address, out.len());
            if let Some(bytes) = bytes {
                out.copy_from_slice(bytes);
            }
            bytes.is_some()
        })
    }
}

const NONE: u64 = 0x10;
const LONG: u64 = 0x20;
const LIST: u64 = 0x30;
const UNICODE: u64 = 0x40;
const DICT: u64 = 0x50;
const SET: u64 = 0x60;

fn target() -> Target {
    let offsets = Offsets::from_lookup(|key| {
        Some(match key {
            "PyObject.ob_type" => 8,
            "PyVarObject.ob_size" | "PyLongObject.size_or_tag" => 16,
            "PyLongObject.ob_digit" | "PyListObject.ob_item" => 24,
            "PyTupleObject.ob_item" => 24,
            "PyASCIIObject.length" => 16,
            "PyASCIIObject.state" => 32,
            "PyASCIIObject.state.kind" => 2,
            "setentry.key" | "PyDictValues.values" => 0,
            "sizeof.PyASCIIObject" => 40,
            "PyDictObject.ma_used" => 16,
            "PyDictObject.ma_keys" => 32,
            "PyDictObject.ma_values" => 40,
            "PyDictKeysObject.dk_log2_index_bytes" => 9,
            "PyDictKeysObject.dk_kind" => 10,
            "PyDictKeysObject.dk_nentries" => 24,
            "PyDictKeysObject.dk_indices" => 32,
            "PyBytesObject.ob_sval" => 32,
            "PyThreadState.cframe" => 56,
            "_PyCFrame.current_frame" => 0,
            "_PyInterpreterFrame.code" => 0,
            "_PyInterpreterFrame.instr" => 56,
            "_PyInterpreterFrame.owner" => 70,
            "_PyInterpreterFrame.previous" => 8,
            "PyCodeObject.co_code_adaptive" => 192,
            "PyCodeObject.co_filename" => 112,
            "PyCodeObject.co_firstlineno" => 68,
            "PyCodeObject.co_linetable" => 136,
            "PyCodeObject.co_qualname" => 128,
            "PySetObject.used" => 24,
            "PySetObject.mask" => 32,
            "PySetObject.table" => 40,
            _ => return None,
        })
    });
    Target {
        pidns_dev: 0,
        pidns_ino: 0,
        tstate_current: 0,
        interpreters_head: 0,
        known: KnownObjects {
            none: NONE,
            long_type: LONG,
            list_type: LIST,
            unicode_type: UNICODE,
            dict_type: DICT,
            set_type: SET,
            ..KnownObjects::default()
        },
        limits: CaptureLimits {
            max_str: 10,
            max_items: 3,
            max_depth: 2,
            stack: 0,
        },
        features: FEATURE_LONG_TAG,
        unicode_width: 0,
        offsets,
        _padding: Default::default(),
    }
}

fn new_slot() -> Box<Slot> {
    let mut slot = Box::<Slot>::default();
    slot.reset();
    slot
}

/// The words after the header that encoding one object gives.
fn encoded(image: &Image, object: u64) -> (Vec<u64>, u32) {
    let mut slot = new_slot();
    slot.push(Cursor::pointers(object, 0, 1, 0));
    run(image, &mut slot)
}

fn run(image: &Image, slot: &mut Slot) -> (Vec<u64>, u32) {
    host::run(slot, &target(), &mut image.memory(), |_| ());
    let len = slot.finish(RecordHeader::default()) as usize;
    (slot.words[RecordHeader::SIZE / 8..len / 8].to_vec(), slot.flags)
}

fn int(image: &mut Image, value: u32) -> u64 {
    image.place(&[1, LONG, if value == 0 { 1 } else { 8 }, u64::from(value)])
}

fn ascii(image: &mut Image, text: &str) -> u64 {
    let mut words = vec![1, UNICODE, text.len() as u64, 0, 1 << 2 | 1 << 5 | 1 << 6];
    let mut data = text.as_bytes().to_vec();
    data.resize(data.len().next_multiple_of(8), 0xee);
    words.extend(
        data.chunks_exact(8)
            .map(|c| u64::from_le_bytes(c.try_into().unwrap())),
    );
    image.place(&words)
}

fn list(image: &mut Image, items: &[u64]) -> u64 {
    let vector = image.place(items);
    image.place(&[1, LIST, items.len() as u64, vector])
}

fn word(tag: Tag) -> u64 {
    value_word(tag, 0, 0)
}

#[test]
fn small_and_negative_ints_are_numbers() {
    let mut image = Image::default();
    let seven = int(&mut image, 7);
    assert_eq!(encoded(&image, seven).0, [word(Tag::Int64), 7]);
    // Two digits, sign bits 2: -(1 + 2 * 2**30).
    let big = image.place(&[1, LONG, 2 << 3 | 2, 1 | 2 << 32]);
    assert_eq!(
        encoded(&image, big).0,
        [word(Tag::Int64), -(1i64 + (2 << 30)) as u64]
    );
}

#[test]
fn strings_are_cut_at_the_limit_and_padded_with_zeros() {
    let mut image = Image::default();
    let text = ascii(&mut image, "hello wonderful world");
    let (words, flags) = encoded(&image, text);
    let tail = u64::from_le_bytes(*b"nd\0\0\0\0\0\0");
    let head = u64::from_le_bytes(*b"hello wo");
    assert_eq!(words, [value_word(Tag::Str, 1, 10), 21, head, tail]);
    assert_eq!(flags, 0);
}

#[test]
fn containers_keep_their_totals_beyond_item_and_depth_limits() {
    let mut image = Image::default();
    let items: Vec<u64> = (0..5).map(|n| int(&mut image, n)).collect();
    let inner = list(&mut image, &items);
    let middle = list(&mut image, &[inner]);
    let outer = list(&mut image, &[middle, NONE]);
    let (words, _) = encoded(&image, outer);
    assert_eq!(
        words,
        [
            word(Tag::List),
            2,
            outer,
            word(Tag::List),
            1,
            middle,
            // Two levels deep: only the total is kept.
            word(Tag::List),
            5,
            inner,
            word(Tag::End),
            word(Tag::End),
            word(Tag::None),
            word(Tag::End),
        ]
    );
    let (words, _) = encoded(&image, inner);
    assert_eq!(words[..3], [word(Tag::List), 5, inner]);
    assert_eq!(
        words[3..],
        [
            word(Tag::Int64),
            0,
            word(Tag::Int64),
            1,
            word(Tag::Int64),
            2,
            word(Tag::End)
        ]
    );
}

#[test]
fn deleted_entries_of_dicts_and_sets_are_passed_over() {
    let mut image = Image::default();
    let (a, b, one) = (ascii(&mut image, "a"), ascii(&mut image, "b"), int(&mut image, 1));
    // dk_log2_index_bytes 3, dk_kind 1 (unicode), 3 entries used of which the first is deleted.
    let keys = image.place(&[1, 3 << 8 | 1 << 16, 0, 3, 0, a, 0, b, one, a, NONE]);
    let dict = image.place(&[1, DICT, 2, 0, keys, 0]);
    let (words, _) = encoded(&image, dict);
    let name = |c: u8| [value_word(Tag::Str, 1, 1), 1, u64::from(c)];
    let mut expected = vec![word(Tag::Dict), 2, dict];
    expected.extend(name(b'b'));
    expected.extend([word(Tag::Int64), 1]);
    expected.extend(name(b'a'));
    expected.extend([word(Tag::None), word(Tag::End)]);
    assert_eq!(words, expected);

    let table = image.place(&[0, 0, one, 7, NONE, u64::MAX, a, 9]);
    let set = image.place(&[1, SET, 0, 2, 3, table]);
    let (words, _) = encoded(&image, set);
    let mut expected = vec![word(Tag::Set), 2, set, word(Tag::Int64), 1];
    expected.extend(name(b'a'));
    expected.push(word(Tag::End));
    assert_eq!(words, expected);
}

#[test]
fn unreadable_memory_is_marked_and_the_rest_goes_on() {
    let mut image = Image::default();
    let one = int(&mut image, 1);
    let items = list(&mut image, &[0xdead_0000_0000, one]);
    let (words, _) = encoded(&image, items);
    assert_eq!(
        words[3..],
        [
            word(Tag::Unreadable),
            0xdead_0000_0000,
            word(Tag::Int64),
            1,
            word(Tag::End)
        ]
    );
}

#[test]
fn a_record_that_runs_full_is_marked_cut() {
    let mut image = Image::default();
    let one = int(&mut image, 1);
    let items = image.place(&vec![one; 20_000]);
    let mut slot = new_slot();
    slot.push(Cursor::sequence(items, 20_000, 0).ended());
    let (words, flags) = run(&image, &mut slot);
    assert_eq!(flags & FLAG_CUT, FLAG_CUT);
    assert!(words.len() * 8 < RECORD_MAX);
}

#[test]
fn vectorcall_arguments_and_keywords_are_told_apart() {
    use tracer_common::cookie::{Convention, SelfKind};
    let mut image = Image::default();
    let (one, two, key) = (int(&mut image, 1), int(&mut image, 2), ascii(&mut image, "k"));
    let vector = image.place(&[one, two]);
    let kwnames = image.place(&[1, 0, 1, key]);
    let mut slot = new_slot();
    let arguments = [NONE, vector, 1 | 1 << 63, kwnames, 0];
    let convention = Convention::FastCallKeywords as u8;
    begin_entry(
        &mut slot,
        &target(),
        &mut image.memory(),
        convention,
        SelfKind::Bound as u8,
        arguments,
        0,
    );
    let (words, _) = run(&image, &mut slot);
    let expected = [
        word(Tag::Self_),
        word(Tag::None),
        word(Tag::Args),
        1,
        word(Tag::Int64),
        1,
        word(Tag::End),
        word(Tag::Kwargs),
        1,
        value_word(Tag::Str, 1, 1),
        1,
        u64::from(b'k'),
        word(Tag::Int64),
        2,
        word(Tag::End),
    ];
    assert_eq!(words, expected);
}

#[test]
fn none_and_an_exception_are_never_confused() {
    let image = Image::default();
    let mut slot = new_slot();
    begin_return(&mut slot, &target(), &mut image.memory(), 0, NONE, 0);
    assert_eq!(run(&image, &mut slot).0, [word(Tag::Result), word(Tag::None)]);
    let mut slot = new_slot();
    begin_return(&mut slot, &target(), &mut image.memory(), 0, 0, 0);
    assert_eq!(
        run(&image, &mut slot).0,
        [word(Tag::Raised), word(Tag::Null), word(Tag::Null)]
    );
}

/// What is recorded of the arguments of a slot's function, between [`Tag::Args`] and the last [`Tag::End`].
fn slot_arguments(convention: tracer_common::cookie::Convention, arguments: [u64; 4]) -> Vec<u64> {
    let image = Image::default();
    let mut slot = new_slot();
    let [first, second, third, fourth] = arguments;
    begin_entry(
        &mut slot,
        &target(),
        &mut image.memory(),
        convention as u8,
        tracer_common::cookie::SelfKind::Module as u8,
        [NONE, first, second, third, fourth],
        0,
    );
    let (mut words, flags) = run(&image, &mut slot);
    assert_eq!(flags, 0);
    assert_eq!(words.pop(), Some(word(Tag::End)));
    assert_eq!(words.remove(0), word(Tag::Args));
    words
}

#[test]
fn a_slot_without_a_value_has_an_argument_less() {
    use tracer_common::cookie::Convention;
    let (none, number) = (word(Tag::None), word(Tag::Int64));
    let both = slot_arguments(Convention::KeyValue, [NONE, NONE, 7, 7]);
    assert_eq!(both, [2, none, none]);
    assert_eq!(slot_arguments(Convention::KeyValue, [NONE, 0, 7, 7]), [1, none]);
    let minus_one = u64::MAX;
    let index = slot_arguments(Convention::Index, [minus_one, 7, 7, 7]);
    assert_eq!(index, [1, number, minus_one]);
    let set = slot_arguments(Convention::IndexValue, [3, NONE, 7, 7]);
    assert_eq!(set, [2, number, 3, none]);
    assert_eq!(
        slot_arguments(Convention::IndexValue, [3, 0, 7, 7]),
        [1, number, 3]
    );
    let slice = [number, 1, number, 2];
    assert_eq!(
        slot_arguments(Convention::Slice, [1, 2, 7, 7]),
        [&[2], &slice[..]].concat()
    );
    let set = slot_arguments(Convention::SliceValue, [1, 2, NONE, 7]);
    assert_eq!(set, [&[3], &slice[..], &[none]].concat());
    let deleted = slot_arguments(Convention::SliceValue, [1, 2, 0, 7]);
    assert_eq!(deleted, [&[2], &slice[..]].concat());
}

#[test]
fn a_comparison_has_its_operator_as_last_argument() {
    use tracer_common::cookie::Convention;
    // A C int: the upper half of the register is not its.
    let words = slot_arguments(Convention::Compare, [NONE, 0xffff_ffff_0000_0002, 7, 7]);
    assert_eq!(words, [2, word(Tag::None), word(Tag::Int64), 2]);
}

#[test]
fn c_numbers_are_results_by_their_kind() {
    use tracer_common::cookie::ReturnKind;
    let result = |kind: ReturnKind, value: u64| {
        let image = Image::default();
        let mut slot = new_slot();
        begin_return(&mut slot, &target(), &mut image.memory(), kind as u8, value, 0);
        run(&image, &mut slot).0
    };
    let returned = |words: &[u64]| [&[word(Tag::Result)], words].concat();
    let raised = [word(Tag::Raised), word(Tag::Null), word(Tag::Null)];
    assert_eq!(result(ReturnKind::Status, 0), returned(&[word(Tag::None)]));
    assert_eq!(result(ReturnKind::Status, 0xffff_ffff), raised);
    assert_eq!(result(ReturnKind::Truth, 0), returned(&[word(Tag::False)]));
    assert_eq!(result(ReturnKind::Truth, 1), returned(&[word(Tag::True)]));
    assert_eq!(result(ReturnKind::Truth, 0xffff_ffff), raised);
    assert_eq!(result(ReturnKind::Size, 5), returned(&[word(Tag::Int64), 5]));
    let minus_two = u64::MAX - 1;
    assert_eq!(
        result(ReturnKind::Size, minus_two),
        returned(&[word(Tag::Int64), minus_two])
    );
    assert_eq!(result(ReturnKind::Size, u64::MAX), raised);
}

#[test]
fn an_iterator_without_an_exception_is_exhausted() {
    use tracer_common::cookie::ReturnKind;
    let mut image = Image::default();
    let mut target = target();
    target.offsets.current_exception = 8;
    target.known.stop_iteration = NONE;
    let (quiet, raising) = (image.place(&[0, 0]), image.place(&[0, NONE]));
    let outcome = |tstate: u64| {
        let mut slot = new_slot();
        begin_return(
            &mut slot,
            &target,
            &mut image.memory(),
            ReturnKind::Iterator as u8,
            0,
            tstate,
        );
        run(&image, &mut slot).0
    };
    let (none, null) = (word(Tag::None), word(Tag::Null));
    assert_eq!(outcome(quiet), [word(Tag::Raised), none, null]);
    assert_eq!(outcome(raising), [word(Tag::Raised), null, none]);
    assert_eq!(outcome(0), [word(Tag::Raised), null, null]);
}

#[test]
fn a_string_takes_no_more_than_the_room_that_is_left() {
    let mut image = Image::default();
    let text = ascii(&mut image, &"x".repeat(MAX_STR as usize));
    let mut target = target();
    target.limits.max_str = MAX_STR;
    let mut slot = new_slot();
    slot.push(Cursor::pointers(text, text, 2, 0));
    slot.push(Cursor::pointers(text, text, 2, 0));
    host::run(&mut slot, &target, &mut image.memory(), |_| ());
    assert!(slot.finish(RecordHeader::default()) as usize <= RECORD_MAX);
    assert_eq!(slot.flags, FLAG_CUT);
    let first = RecordHeader::SIZE / 8;
    let captured = |at: usize| (slot.words[at] >> 32) as usize;
    assert_eq!(
        slot.words[first..first + 2],
        [value_word(Tag::Str, 1, MAX_STR), u64::from(MAX_STR)]
    );
    let second = first + 2 + MAX_STR as usize / 8;
    assert!(captured(second) < MAX_STR as usize);
    assert_eq!(slot.words[second + 1], u64::from(MAX_STR));
    assert_eq!(slot.len as usize, second + 2 + captured(second) / 8);
}

#[test]
fn an_object_without_a_type_is_unreadable() {
    let mut image = Image::default();
    let object = image.place(&[1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encoded(&image, object).0, [word(Tag::Unreadable), object]);
}

#[test]
fn a_machine_that_is_done_stays_done() {
    let mut slot = new_slot();
    let before = slot.len;
    assert_eq!(
        step(&mut slot, &target(), &mut Image::default().memory()),
        Progress::Done
    );
    assert_eq!((slot.len, slot.flags), (before, 0));
}

#[test]
fn a_cursor_too_many_marks_the_record_cut() {
    let mut slot = new_slot();
    for _ in 0..STACK_MAX {
        assert!(slot.push(Cursor::pointers(NONE, 0, 1, 0)));
    }
    assert_eq!(slot.flags, 0);
    assert!(!slot.push(Cursor::pointers(NONE, 0, 1, 0)));
    assert_eq!((slot.depth as usize, slot.flags), (STACK_MAX, FLAG_CUT));
}

#[test]
fn the_innermost_frame_hangs_on_the_thread_state() {
    let mut image = Image::default();
    let cframe = image.place(&[0x7000]);
    let thread_state = |image: &mut Image, cframe| image.place(&[0, 0, 0, 0, 0, 0, 0, cframe]);
    let running = thread_state(&mut image, cframe);
    let idle = thread_state(&mut image, 0);
    let damaged = thread_state(&mut image, 0xdead_0000);
    let frame = |tstate| {
        let mut slot = new_slot();
        let frame = innermost_frame(&mut slot, &target(), &mut image.memory(), tstate);
        (frame, slot.flags)
    };
    assert_eq!(frame(running), (0x7000, 0));
    assert_eq!(frame(idle), (0, 0));
    assert_eq!(frame(0), (0, 0));
    assert_eq!(frame(damaged), (0, FLAG_FRAME_FAULT));
    assert_eq!(frame(0xdead_0000), (0, FLAG_FRAME_FAULT));
}

/// A code object with a line table of one word; the instructions are where it ends.
fn code(image: &mut Image, first_line: u64) -> u64 {
    let table = image.place(&[1, 0, 1, 0, 0x80, 0]);
    let mut words = [0; 24];
    words[8] = first_line << 32;
    words[14] = 0xf11e;
    words[16] = 0x9a4e;
    words[17] = table;
    image.place(&words)
}

/// A frame, `bytes` into its code.
fn frame(image: &mut Image, code: u64, previous: u64, bytes: u64, owner: u64) -> u64 {
    let mut words = [0; 16];
    (words[0], words[1]) = (code, previous);
    words[7] = code + 192 + bytes;
    words[8] = owner << 48;
    image.place(&words)
}

/// The code and the last word of each frame that is recorded, and the flags.
fn frames(image: &Image, innermost: u64, most: u32) -> (Vec<(u64, u64)>, u32) {
    let mut target = target();
    target.limits.stack = most;
    let mut slot = new_slot();
    begin_entry(&mut slot, &target, &mut image.memory(), 0, 0, [0; 5], innermost);
    host::run(&mut slot, &target, &mut image.memory(), |_| ());
    slot.finish(RecordHeader::default());
    let first = RecordHeader::SIZE / 8;
    let words = &slot.words[first..first + 3 * slot.frames as usize];
    let arguments = &slot.words[first + words.len()..slot.len as usize];
    assert_eq!(arguments, [word(Tag::Args), 0, word(Tag::End)]);
    let frames = words.chunks(3).map(|frame| (frame[0], frame[2])).collect();
    (frames, slot.flags)
}

#[test]
fn frames_of_c_code_are_passed_over_and_the_limit_kept() {
    const OWNED_BY_THREAD: u64 = 0;
    const OWNED_BY_CSTACK: u64 = 3;
    let mut image = Image::default();
    let (outer_code, inner_code) = (code(&mut image, 1), code(&mut image, 20));
    let outer = frame(&mut image, outer_code, 0, 6, OWNED_BY_THREAD);
    let c = frame(&mut image, 0xdead_0000, outer, 0, OWNED_BY_CSTACK);
    let inner = frame(&mut image, inner_code, c, 10, OWNED_BY_THREAD);
    let (of_inner, of_outer) = ((inner_code, 10 | 20 << 32), (outer_code, 6 | 1 << 32));
    assert_eq!(frames(&image, inner, 5), (vec![of_inner, of_outer], 0));
    assert_eq!(frames(&image, inner, 1), (vec![of_inner], 0));
    assert_eq!(frames(&image, inner, 0), (vec![], 0));
    assert_eq!(frames(&image, 0, 5), (vec![], 0));
}

#[test]
fn a_frame_that_cannot_be_read_ends_the_stack_and_is_marked() {
    let mut image = Image::default();
    let (good_code, lost_code) = (code(&mut image, 1), 0xdead_0000);
    // Only code and previous frame can be read of it, not who owns it.
    let short = image.place(&[good_code, 0]);
    let lost = frame(&mut image, lost_code, 0, 0, 0);
    for end in [short, lost, 0xbad_0000] {
        let good = frame(&mut image, good_code, end, 2, 0);
        let seen = frames(&image, good, 5);
        assert_eq!(seen, (vec![(good_code, 2 | 1 << 32)], FLAG_FRAME_FAULT));
    }
}
