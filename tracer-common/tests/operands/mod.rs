//! The operands of specialised bytecodes, reads of globals, and exceptions, on hand-made frames and thread states.

use tracer_common::{
    cookie::{Convention, Packed, Register, SelfKind, SiteCookie},
    encode::{as_call, new_exception, operands, read},
    guard::{Read, Source},
    target::{ABSENT, FEATURE_PYTHON2, Target},
};

use crate::image::{Image, target};

const UNREADABLE: u64 = 1 << 63;
const EXTENDED_ARG: u64 = 69;

/// A frame of code with so many names, at an instruction with that argument, behind that opcode.
fn frame(image: &mut Image, names: u64, before: u64, argument: u64) -> u64 {
    let mut tuple = vec![0, 0, names];
    tuple.extend((0..names).map(|n| 0x9000 + n));
    let tuple = image.place(&tuple);
    let code = image.place(&[0, 0, 0, 0, tuple]);
    let instruction = image.place(&[before << 48, 60 | argument << 8]) + 8;
    let mut words = [0; 16];
    (words[0], words[7]) = (code | 1, instruction);
    image.place(&words)
}

#[test]
fn operands_are_taken_from_the_top_of_the_value_stack() {
    let mut image = Image::default();
    let (mut target, names) = (target(), 5);
    target.offsets.co_names = 32;
    target.extended_arg = EXTENDED_ARG * 0x0101_0101;
    let frame = frame(&mut image, names, 0, 3);
    let end = image.place(&[0x100, 0x208 | 1, 0x300 | 3]) + 24;
    let of = |convention: Convention, end| {
        let [object, key, value, ..] = operands(&target, &mut image.memory(), convention as u8, end, frame);
        [object, key, value]
    };
    assert_eq!(of(Convention::StackAttribute, end), [0x300, 0x9003, 0x208]);
    assert_eq!(of(Convention::StackItem, end), [0x208, 0x300, 0x100]);
    assert_eq!(of(Convention::StackAppend, end), [0x208, 0x300, 0]);
    assert_eq!(of(Convention::StackItem, 0), [UNREADABLE; 3]);
}

#[test]
fn a_name_that_is_not_certain_is_none() {
    let name = |names, before, argument| {
        let mut image = Image::default();
        let mut target = target();
        target.offsets.co_names = 32;
        // Each byte counts.
        target.extended_arg = EXTENDED_ARG * 0x0101_0101 + 0x0302_0100;
        let frame = frame(&mut image, names, before, argument);
        let convention = Convention::StackAttribute as u8;
        operands(&target, &mut image.memory(), convention, 0, frame)[1]
    };
    assert_eq!(name(256, EXTENDED_ARG, 255), 0x90ff);
    assert_eq!(name(300, 0, 255), 0x90ff);
    assert_eq!(name(300, EXTENDED_ARG, 1), UNREADABLE);
    for other in 1..4 {
        assert_eq!(name(300, EXTENDED_ARG + other, 1), UNREADABLE);
    }
    assert_eq!(name(300, EXTENDED_ARG + 4, 1), 0x9001);
    // There are not so many names that it could be one.
    assert_eq!(name(300, EXTENDED_ARG | 1 << 8, 1), UNREADABLE);
    assert_eq!(name(300, EXTENDED_ARG | 1 << 8, 44), 0x902c);
    assert_eq!(name(300, EXTENDED_ARG | 2 << 8, 1), 0x9001);
    assert_eq!(name(3, 0, 3), UNREADABLE);
    // A version without the offset.
    let mut image = Image::default();
    let frame = frame(&mut image, 3, 0, 1);
    let convention = Convention::StackAttribute as u8;
    assert_eq!(
        operands(&target(), &mut image.memory(), convention, 0, frame)[1],
        UNREADABLE
    );
}

/// The cookie of a place where a read is sure.
fn place(source: Source, shifted: bool) -> Packed {
    let read = Read {
        source,
        condition: 5,
        shifted,
    };
    let cookie = SiteCookie {
        self_kind: SelfKind::Module,
        ..SiteCookie::plain(read.pack().unwrap(), Convention::StackAttribute)
    };
    Packed(cookie.pack())
}

#[test]
fn what_is_read_is_in_a_register_or_beside_one() {
    let mut image = Image::default();
    let mut target = target();
    target.offsets.co_names = 32;
    target.extended_arg = EXTENDED_ARG * 0x0101_0101;
    let frame = frame(&mut image, 5, 0, 3);
    let words = image.place(&[0x100, 0x208, 0x300 | 1]);
    let of = |image: &Image, source, shifted, register| {
        let [object, name, value, ..] = read(
            &target,
            &mut image.memory(),
            place(source, shifted),
            register,
            frame,
        );
        [object, name, value]
    };
    let register = Source::Register(Register::R15);
    assert_eq!(of(&image, register, false, 0x800 | 1), [0, 0x9003, 0x800]);
    // The lowest bit is no part of the index.
    assert_eq!(of(&image, register, true, 0x800), [0, 0x9001, 0x800]);
    let beside = |words| Source::Memory(Register::Rax, words);
    assert_eq!(of(&image, beside(2), true, words), [0, 0x9001, 0x300]);
    assert_eq!(of(&image, beside(-1), true, words + 8), [0, 0x9001, 0x100]);
    assert_eq!(of(&image, beside(0), true, 0xdead_0000)[2], UNREADABLE);
}

#[test]
fn the_name_that_is_read_is_told_by_the_instruction_of_each_version() {
    let place = |shifted| place(Source::Register(Register::Rax), shifted);
    let mut target = target();
    target.extended_arg = EXTENDED_ARG * 0x0101_0101;
    target.offsets.co_names = 32;
    // With a bit less for the index an `EXTENDED_ARG` is needed sooner.
    let mut image = Image::default();
    let many = frame(&mut image, 200, EXTENDED_ARG, 100);
    let of = |shifted| read(&target, &mut image.memory(), place(shifted), 0x800, many)[1];
    assert_eq!([of(false), of(true)], [0x9064, UNREADABLE]);
    // Up to 3.10 the bytecode is in a `bytes` object, and the frame counts: the `EXTENDED_ARG`, if there is one.
    let o = &mut target.offsets;
    (o.frame_lasti, o.frame_code, o.co_code, o.co_names, o.ob_sval) = (8, 0, 8, 16, 16);
    let of = |target: &Target, names: u64, instruction: u64| {
        let mut image = Image::default();
        let mut tuple = vec![0, 0, names];
        tuple.extend((0..names).map(|n| 0x9000 + n));
        let tuple = image.place(&tuple);
        let bytes = image.place(&[0, 0, instruction << 32]);
        let code = image.place(&[0, bytes, tuple]);
        let frame = image.place(&[code, 4]);
        read(target, &mut image.memory(), place(false), 0x800, frame)[1]
    };
    const LOAD: u64 = 116;
    assert_eq!(of(&target, 5, LOAD | 4 << 8), 0x9004);
    assert_eq!(of(&target, 300, LOAD | 4 << 8), 0x9004);
    let extended = |by: u64, opcode: u64| EXTENDED_ARG | by << 8 | opcode << 16 | 4 << 24;
    assert_eq!(of(&target, 300, extended(1, LOAD)), 0x9104);
    assert_eq!(of(&target, 300, extended(0, EXTENDED_ARG)), UNREADABLE);
    assert_eq!(of(&target, 300, extended(2, LOAD)), UNREADABLE);
    // Python 2 has two bytes.
    target.features = FEATURE_PYTHON2;
    assert_eq!(of(&target, 300, LOAD | 260 << 8), 0x9104);
    assert_eq!(of(&target, 5, LOAD | 260 << 8), UNREADABLE);
}

#[test]
fn operands_are_read_like_arguments() {
    for convention in Convention::ALL {
        let expected = match convention {
            Convention::StackAttribute | Convention::StackItem => Convention::KeyValue,
            Convention::StackAppend => Convention::O,
            other => other,
        };
        assert_eq!(as_call(convention as u8), expected as u8);
    }
}

#[test]
fn an_exception_is_new_as_long_as_it_has_no_traceback() {
    let mut image = Image::default();
    let mut target = target();
    target.offsets.current_exception = 16;
    let of = |target: &_, image: &Image, tstate| new_exception(target, &mut image.memory(), tstate, 0);
    // An object that has its traceback itself (3.12+).
    target.offsets.exception_traceback = 32;
    let (new, known) = (image.place(&[0; 6]), image.place(&[0, 0, 0, 0, 0x7000, 0]));
    let mut with = |exception| image.place(&[0, 0, exception]);
    let (first, later, lost) = (with(new), with(known), with(0xdead_0000));
    assert_eq!(of(&target, &image, first), Some([0, new, 0, 0, 0]));
    assert_eq!(of(&target, &image, later), None);
    assert_eq!(of(&target, &image, lost), None);
    // Type, value and traceback of the thread.
    (target.offsets.curexc_type, target.offsets.curexc_traceback) = (8, 24);
    let first = image.place(&[0, 0x100, 0x200, 0]);
    let later = image.place(&[0, 0x100, 0x200, 0x300]);
    assert_eq!(of(&target, &image, first), Some([0, 0x100, 0x200, 0, 0]));
    assert_eq!(of(&target, &image, later), None);
    assert_eq!(of(&target, &image, 0xdead_0000), None);
    raised_again(target, image, later);
}

/// The instruction of the frame tells, whatever the version calls it.
fn raised_again(mut target: Target, mut image: Image, tstate: u64) {
    const RAISE: u64 = 130;
    target.raise_varargs = RAISE;
    let of = |target: &_, image: &Image, frame| new_exception(target, &mut image.memory(), tstate, frame);
    let again = Some([0, 0x100, 0x200, 0, 0]);
    (target.offsets.frame_lasti, target.offsets.frame_instr) = (ABSENT, 8);
    let (raises, calls) = (image.place(&[RAISE]), image.place(&[131]));
    let (raises, calls) = (image.place(&[0, raises]), image.place(&[0, calls]));
    assert_eq!(of(&target, &image, raises), again);
    assert_eq!(of(&target, &image, calls), None);
    // The bytecode is in a `bytes` object, and the frame counts: bytes, or in 3.10 code units.
    let o = &mut target.offsets;
    (o.frame_lasti, o.frame_code, o.co_code, o.ob_sval) = (8, 0, 8, 16);
    let bytes = image.place(&[0, 0, RAISE << 32]);
    let code = image.place(&[0, bytes]);
    for (state, lasti, expected) in [
        (ABSENT, 4, again),
        (ABSENT, 2, None),
        (12, 2, again),
        (12, 4, None),
    ] {
        target.offsets.frame_state = state;
        let frame = image.place(&[code, lasti]);
        assert_eq!(of(&target, &image, frame), expected, "{state} {lasti}");
    }
}
