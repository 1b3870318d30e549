//! Python frames: which code object, which instruction.

use super::{Cursor, Memory, Slot, at, slot::Window};
use crate::{
    fingerprint::{self, SEED, TEXT_WORDS, Text, mix},
    target::{ABSENT, Offsets, Target},
    wire::FLAG_FRAME_FAULT,
};

/// Words of a frame up to and with `owner` (`f_lasti` in `PyFrameObject`).
const FRAME_WORDS: usize = 16;
/// Words of a code object from `co_firstlineno` to `co_linetable`, whichever comes first.
const CODE_WORDS: usize = 12;
/// From this value of `_PyInterpreterFrame.owner` on a frame stands for C code: `FRAME_OWNED_BY_CSTACK`
/// (3.12, 3.13), `FRAME_OWNED_BY_INTERPRETER` (3.14+, pycore_interpframe_structs.h).
const OWNED_BY_C: u8 = 3;
/// `_PyStackRef` tag bits (3.14+); objects are aligned to 8 bytes at least.
const TAG_BITS: u64 = 7;
/// Words of a `bytes` object from `ob_size` to its 16th byte.
const TABLE_WORDS: usize = 4;
/// Frames for C code that [`place`] passes over at most.
const MAX_PASSED: u32 = 4;

/// Encodes the frame at the cursor and moves the cursor to its caller.
#[inline(always)]
pub fn encode<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, cursor: &Cursor, top: u32) {
    let frame = cursor.at;
    let next = slot.cursor(top);
    next.limit = cursor.limit - 1;
    if frame == 0 {
        next.left = 0;
        return;
    }
    let window = Window::read::<FRAME_WORDS, _>(slot, memory, frame);
    let o = &target.offsets;
    let Some(previous) = window.word(slot, memory, o.frame_previous) else {
        next_left(slot, top, 0);
        slot.flags |= FLAG_FRAME_FAULT;
        return;
    };
    slot.cursor(top).at = previous;
    if o.frame_owner != ABSENT {
        match window.u8(slot, memory, o.frame_owner) {
            Some(owner) if owner >= OWNED_BY_C => return,
            Some(_) => {}
            None => {
                next_left(slot, top, 0);
                slot.flags |= FLAG_FRAME_FAULT;
                return;
            }
        }
    }
    match describe(slot, target, memory, window) {
        Some(words) => {
            next_left(slot, top, cursor.left - 1);
            slot.push_word(words[0]);
            slot.push_word(words[1]);
            slot.push_word(words[2]);
            slot.frames += 1;
        }
        None => {
            next_left(slot, top, 0);
            slot.flags |= FLAG_FRAME_FAULT;
        }
    }
}

#[inline(always)]
fn next_left(slot: &mut Slot, top: u32, left: u64) {
    slot.cursor(top).left = left;
}

/// The three words of a `FrameRecord`.
#[inline(always)]
fn describe<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, frame: Window) -> Option<[u64; 3]> {
    let o = &target.offsets;
    let code = frame.word(slot, memory, o.frame_code)? & !TAG_BITS;
    let instruction = instruction(slot, o, memory, frame, code)?;
    // The fields wanted of a code object lie close together.
    let start = first_field(o);
    let window = Window::read::<CODE_WORDS, _>(slot, memory, at(code, start));
    let first_line = window.u32(slot, memory, o.co_firstlineno - start)?;
    let filename = window.word(slot, memory, o.co_filename - start)?;
    let qualname = window.word(slot, memory, o.co_qualname - start)?;
    let linetable = window.word(slot, memory, o.co_linetable - start)?;
    let names = [text(slot, o, memory, filename), text(slot, o, memory, qualname)];
    if names[0] == 0 || names[1] == 0 {
        return None;
    }
    let window = Window::read::<TABLE_WORDS, _>(slot, memory, at(linetable, o.ob_size));
    let size = window.word(slot, memory, 0)?;
    let first = window.word(slot, memory, o.ob_sval - o.ob_size)?;
    let second = window.word(slot, memory, o.ob_sval - o.ob_size + 8)?;
    let fingerprint = fingerprint::code_object(
        [filename, qualname, linetable],
        names,
        first_line,
        size,
        [first, second],
    );
    Some([code, fingerprint, instruction as u64 | (first_line as u64) << 32])
}

/// [`Text::fingerprint`] of a string; 0 if it cannot be read. A function of its own has a stack of its own.
#[inline(never)]
fn text<M: Memory>(slot: &mut Slot, o: &Offsets, memory: &mut M, address: u64) -> u64 {
    fingerprint_of(slot, o, memory, address).unwrap_or(0)
}

#[inline(always)]
fn fingerprint_of<M: Memory>(slot: &mut Slot, o: &Offsets, memory: &mut M, address: u64) -> Option<u64> {
    let window = Window::read::<TEXT_WORDS, _>(slot, memory, address);
    let text = Text::new(o, |offset| window.word(slot, memory, offset))?;
    if !window.is_there() && !memory.start(&mut slot.window, text.head() as u32, address) {
        return None;
    }
    let tail = match text.tail() {
        Some(offset) => memory.words::<2>(address.wrapping_add(offset))?,
        None => [0, 0],
    };
    Some(text.fingerprint(&slot.window, tail))
}

/// The place in Python code where a thread is, told apart from others by few reads: address and pointers of the code object, mixed,
/// and the instruction as in a `FrameRecord`. `frame`: the thread's innermost one. Zeros: there is none, or it cannot be read.
#[inline(always)]
pub fn place<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, frame: u64) -> [u64; 2] {
    let o = &target.offsets;
    let mut frame = frame;
    let mut passed = 0;
    while passed < MAX_PASSED && frame != 0 {
        let window = Window::read::<FRAME_WORDS, _>(slot, memory, frame);
        if o.frame_owner == ABSENT {
            return place_in(slot, target, memory, window).unwrap_or([0; 2]);
        }
        match window.u8(slot, memory, o.frame_owner) {
            Some(owner) if owner < OWNED_BY_C => {
                return place_in(slot, target, memory, window).unwrap_or([0; 2]);
            }
            _ => frame = window.word(slot, memory, o.frame_previous).unwrap_or(0),
        }
        passed += 1;
    }
    [0; 2]
}

#[inline(always)]
fn place_in<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, frame: Window) -> Option<[u64; 2]> {
    let o = &target.offsets;
    let code = frame.word(slot, memory, o.frame_code)? & !TAG_BITS;
    let instruction = instruction(slot, o, memory, frame, code)?;
    let start = first_field(o);
    let window = Window::read::<CODE_WORDS, _>(slot, memory, at(code, start));
    let mut key = mix(SEED, code);
    key = mix(key, window.u32(slot, memory, o.co_firstlineno - start)? as u64);
    key = mix(key, window.word(slot, memory, o.co_filename - start)?);
    key = mix(key, window.word(slot, memory, o.co_qualname - start)?);
    key = mix(key, window.word(slot, memory, o.co_linetable - start)?);
    Some([key, instruction as u64])
}

/// The word of a code object where the fields that are read begin.
#[inline(always)]
fn first_field(o: &Offsets) -> u16 {
    let first = if o.co_firstlineno < o.co_filename {
        o.co_firstlineno
    } else {
        o.co_filename
    };
    first & !7
}

/// What `FrameRecord::instruction` says: bytes from the code's first instruction, or `f_lasti`.
#[inline(always)]
fn instruction<M: Memory>(
    slot: &mut Slot,
    o: &Offsets,
    memory: &mut M,
    frame: Window,
    code: u64,
) -> Option<u32> {
    if o.frame_lasti != ABSENT {
        return frame.u32(slot, memory, o.frame_lasti);
    }
    let instr = frame.word(slot, memory, o.frame_instr)?;
    let mut first = at(code, o.co_code_adaptive);
    if o.frame_tlbc_index != ABSENT {
        let index = frame.u32(slot, memory, o.frame_tlbc_index)?;
        // Entry 0 is the code object's own; `_PyCodeArray` is a size and the entries (Include/cpython/code.h).
        if index != 0 {
            let array = memory.field(code, o.co_tlbc)?;
            first = memory.pointer(array.wrapping_add(8 + 8 * index as u64))?;
        }
    }
    Some(instr.wrapping_sub(first) as u32)
}
