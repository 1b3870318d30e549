//! Python frames: which code object, which instruction.

use super::{Cursor, Memory, Slot, slot::Window};
use crate::{fingerprint, target::Target, wire::FLAG_FRAME_FAULT};

/// Words of a frame up to and with `owner`.
const FRAME_WORDS: usize = 10;
/// Words of a code object from `co_firstlineno` to `co_linetable`.
const CODE_WORDS: usize = 10;
/// Words of a `bytes` object from `ob_size` to its 16th byte.
const TABLE_WORDS: usize = 4;

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
    if target.owner_cstack != u8::MAX as u32 {
        let owner = window.u8(slot, memory, o.frame_owner);
        if owner.is_none_or(|owner| owner as u32 == target.owner_cstack) {
            return;
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
    let code = frame.word(slot, memory, o.frame_code)?;
    let instr = frame.word(slot, memory, o.frame_instr)?;
    // The fields wanted of a code object lie close together.
    let start = o.co_firstlineno & !7;
    let window = Window::read::<CODE_WORDS, _>(slot, memory, code + start as u64);
    let first_line = window.u32(slot, memory, o.co_firstlineno - start)?;
    let filename = window.word(slot, memory, o.co_filename.wrapping_sub(start))?;
    let qualname = window.word(slot, memory, o.co_qualname.wrapping_sub(start))?;
    let linetable = window.word(slot, memory, o.co_linetable.wrapping_sub(start))?;
    let window = Window::read::<TABLE_WORDS, _>(slot, memory, linetable + o.ob_size as u64);
    let size = window.word(slot, memory, 0)?;
    let first = window.word(slot, memory, o.ob_sval - o.ob_size)?;
    let second = window.word(slot, memory, o.ob_sval - o.ob_size + 8)?;
    let fingerprint =
        fingerprint::code_object([filename, qualname, linetable], first_line, size, [first, second]);
    let instruction = instr.wrapping_sub(code + o.co_code_adaptive as u64) as u32;
    Some([code, fingerprint, instruction as u64 | (first_line as u64) << 32])
}
