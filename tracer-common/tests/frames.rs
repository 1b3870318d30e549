//! The encoder on hand-made Python frames, and what hangs on them.

mod host;
mod image;
mod operands;

use image::{Image, new_slot, target};
use tracer_common::{
    encode::{begin_entry, innermost_frame, is_current, place, read_thread},
    wire::{FLAG_FRAME_FAULT, RecordHeader, Tag, value_word},
};

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
    let empty = image.place(&[1, 0, 0, 0, 0, 0, 0, 0]);
    let mut words = [0; 24];
    words[8] = first_line << 32;
    words[14] = empty;
    words[16] = empty;
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
    assert_eq!(
        arguments,
        [value_word(Tag::Args, 0, 0), 0, value_word(Tag::End, 0, 0)]
    );
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

#[test]
fn a_place_is_code_and_instruction_of_the_innermost_frame_of_python_code() {
    let mut image = Image::default();
    let (code_a, code_b) = (code(&mut image, 1), code(&mut image, 20));
    let caller = frame(&mut image, code_a, 0, 6, 0);
    let c = frame(&mut image, 0xdead_0000, caller, 0, 3);
    let later = frame(&mut image, code_a, 0, 8, 0);
    let other = frame(&mut image, code_b, caller, 6, 0);
    let lost = frame(&mut image, 0xdead_0000, caller, 6, 0);
    let at = |frame| place(&mut new_slot(), &target(), &mut image.memory(), frame);
    assert_eq!(at(caller)[1], 6);
    assert_eq!(at(c), at(caller), "what stands for C code is passed over");
    assert_eq!(at(later), [at(caller)[0], 8]);
    assert_eq!(at(other)[1], 6);
    assert_ne!(at(other)[0], at(caller)[0]);
    for nowhere in [0, lost, 0xbad_0000] {
        assert_eq!(at(nowhere), [0; 2]);
    }
}

#[test]
fn a_thread_state_is_read_at_once_and_is_what_it_is_field_by_field() {
    let mut image = Image::default();
    let cframe = image.place(&[0x7000]);
    let mut words = [0; 40];
    (words[3], words[7], words[18]) = (1 << 4, cframe, 77);
    let tstate = image.place(&words);
    // The same, but less can be read than is read at once.
    let short = image.place(&words[..20]);
    let mut target = target();
    let o = &mut target.offsets;
    (o.tstate_status, o.tstate_active_bit, o.tstate_native_thread_id) = (24, 4, 144);
    for (state, is_there) in [(tstate, true), (short, false)] {
        let mut slot = new_slot();
        read_thread(&mut slot, &mut image.memory(), state);
        assert_eq!(slot.thread == state, is_there);
        for tid in [77, 78] {
            let current = is_current(&slot, &target, &mut image.memory(), state, tid);
            assert_eq!(current, tid == 77);
        }
        let frame = innermost_frame(&mut slot, &target, &mut image.memory(), state);
        assert_eq!((frame, slot.flags), (0x7000, 0));
    }
    // What is written already stays.
    let mut slot = new_slot();
    slot.push_word(5);
    let before = slot.words[..40].to_vec();
    read_thread(&mut slot, &mut image.memory(), tstate);
    assert_eq!((slot.thread, &slot.words[..40]), (0, &before[..]));
}
