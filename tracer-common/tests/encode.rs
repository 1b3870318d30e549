//! The encoder on hand-made objects.

mod code;
mod host;
mod image;
mod sizes;

use image::{DICT, Image, LIST, LONG, NONE, SET, UNICODE, new_slot, target};
use tracer_common::{
    cookie::Convention,
    encode::{
        Cursor, Progress, STACK_MAX, Slot, begin_entry, begin_filled, begin_handle, begin_return, positional,
        step,
    },
    handle::HandleKind,
    limits::{MAX_STR, RECORD_MAX},
    wire::{FLAG_CUT, RecordHeader, Tag, value_word},
};

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

#[test]
fn a_buffer_comes_after_the_result() {
    let mut image = Image::default();
    let (count, buffer) = (int(&mut image, 5), int(&mut image, 6));
    let mut slot = new_slot();
    begin_filled(&mut slot, 1, buffer);
    begin_return(&mut slot, &target(), &mut image.memory(), 0, count, 0);
    let result = [word(Tag::Result), word(Tag::Int64), 5];
    let filled = [word(Tag::Filled), 1, word(Tag::Int64), 6];
    assert_eq!(run(&image, &mut slot).0, [result.as_slice(), &filled].concat());
}

#[test]
fn a_positional_argument_is_found_by_every_convention() {
    let mut image = Image::default();
    let vector = image.place(&[11, 22]);
    let tuple = image.place(&[1, 0, 2, 11, 22]);
    let find = |convention: Convention, arguments, position| {
        positional(
            &target(),
            &mut image.memory(),
            convention as u8,
            arguments,
            position,
        )
    };
    assert_eq!(find(Convention::O, [0, 11, 0, 0, 0], 0), 11);
    assert_eq!(find(Convention::O, [0, 11, 0, 0, 0], 1), 0);
    assert_eq!(find(Convention::NoArgs, [0, 11, 0, 0, 0], 0), 0);
    for (position, expected) in [(0, 11), (1, 22), (2, 0)] {
        for convention in [Convention::VarArgs, Convention::VarArgsKeywords] {
            assert_eq!(find(convention, [0, tuple, 0, 0, 0], position), expected);
            assert_eq!(find(convention, [0, 8, 0, 0, 0], position), 0, "unreadable");
        }
        // `PY_VECTORCALL_ARGUMENTS_OFFSET` is set.
        let count = 2 | 1 << 63;
        for convention in [Convention::FastCall, Convention::FastCallKeywords] {
            assert_eq!(find(convention, [0, vector, count, 0, 0], position), expected);
        }
        assert_eq!(
            find(Convention::Method, [0, 0, vector, count, 0], position),
            expected
        );
    }
}

/// What is recorded of the arguments of a slot's function, between [`Tag::Args`] and the last [`Tag::End`].
fn slot_arguments(convention: Convention, arguments: [u64; 4]) -> Vec<u64> {
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
fn a_string_of_characters_of_no_width_is_unreadable() {
    let mut image = Image::default();
    // `state`: three bytes a character, compact, ASCII.
    let text = image.place(&[1, UNICODE, 2, 0, 3 << 2 | 1 << 5 | 1 << 6, 0x6261, 0, 0]);
    assert_eq!(encoded(&image, text).0, [word(Tag::Unreadable), text]);
}

/// The descriptor of a call, and the words before what the kernel knows of it.
fn handle(
    image: &Image,
    kind: HandleKind,
    convention: Convention,
    arguments: [u64; 5],
) -> (Option<u32>, Vec<u64>) {
    let mut slot = new_slot();
    let (target, memory) = (target(), &mut image.memory());
    let before = slot.len as usize;
    let fd = begin_handle(
        &mut slot,
        &target,
        memory,
        kind as u8,
        convention as u8,
        arguments,
    );
    (fd, slot.words[before..slot.len as usize].to_vec())
}

#[test]
fn a_descriptor_is_found_where_its_object_has_it() {
    const FILE: u64 = 0x1100;
    let mut image = Image::default();
    let none = Convention::NoArgs;
    let closed = u64::from(u32::MAX);
    let file = image.place(&[1, FILE, 7 | 1 << 32]);
    let buffer = image.place(&[1, 0x2200, file]);
    let text = image.place(&[1, 0x3300, 1, 8192, buffer]);
    let unbuffered = image.place(&[1, 0x3300, 1, 8192, file]);
    let weak = image.place(&[1, 0x4400, file]);
    let ssl = image.place(&[1, 0x5500, weak]);
    let of = |kind, object| handle(&image, kind, none, [object, 0, 0, 0, 0]);
    let own = vec![value_word(Tag::Handle, 0, 7), 0, 0];
    assert_eq!(of(HandleKind::Own, file), (Some(7), own));
    for (kind, object) in [
        (HandleKind::Raw, buffer),
        (HandleKind::Text, text),
        (HandleKind::Text, unbuffered),
        (HandleKind::Weak, ssl),
    ] {
        let (fd, words) = of(kind, object);
        assert_eq!((fd, words.len(), words[1]), (Some(7), 3, FILE), "{kind:?}");
    }
    assert_eq!(of(HandleKind::Raw, 0), (None, vec![]));
    assert_eq!(of(HandleKind::None, 8).0, None);
    let closed = image.place(&[1, FILE, closed]);
    assert_eq!(
        handle(&image, HandleKind::Own, none, [closed, 0, 0, 0, 0]),
        (None, vec![])
    );
}

#[test]
fn a_descriptor_may_be_the_first_argument() {
    let mut image = Image::default();
    let five = int(&mut image, 5);
    let zero = int(&mut image, 0);
    let large = image.place(&[1, LONG, 2 << 3, 1 | 2 << 32]);
    let negative = image.place(&[1, LONG, 1 << 3 | 2, 5]);
    let vector = image.place(&[five, zero]);
    let text = ascii(&mut image, "5");
    let of = |convention, first, second| {
        handle(&image, HandleKind::Argument, convention, [0, first, second, 0, 0]).0
    };
    assert_eq!(of(Convention::O, five, 0), Some(5));
    assert_eq!(of(Convention::O, zero, 0), Some(0));
    for other in [large, negative, text, 0] {
        assert_eq!(of(Convention::O, other, 0), None);
    }
    for convention in [Convention::FastCall, Convention::FastCallKeywords] {
        assert_eq!(of(convention, vector, 2), Some(5));
        assert_eq!(of(convention, vector, 0), None);
    }
    assert_eq!(of(Convention::KeyValue, five, 0), None);
}
