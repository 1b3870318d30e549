//! Python frames: which code object, which instruction.

use super::{Cursor, Memory, Slot};
use crate::{fingerprint, target::Target, wire::FLAG_FRAME_FAULT};

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
    let Some(previous) = memory.pointer(frame + target.offsets.frame_previous as u64) else {
        next.left = 0;
        slot.flags |= FLAG_FRAME_FAULT;
        return;
    };
    next.at = previous;
    if target.owner_cstack != u8::MAX as u32 {
        let owner = memory.u8(frame + target.offsets.frame_owner as u64);
        if owner.is_none_or(|owner| owner as u32 == target.owner_cstack) {
            return;
        }
    }
    match describe(target, memory, frame) {
        Some(words) => {
            slot.cursor(top).left = cursor.left - 1;
            slot.push_word(words[0]);
            slot.push_word(words[1]);
            slot.push_word(words[2]);
            slot.frames += 1;
        }
        None => {
            slot.cursor(top).left = 0;
            slot.flags |= FLAG_FRAME_FAULT;
        }
    }
}

/// The three words of a `FrameRecord`.
#[inline(always)]
fn describe<M: Memory>(target: &Target, memory: &mut M, frame: u64) -> Option<[u64; 3]> {
    let o = &target.offsets;
    let code = memory.pointer(frame + o.frame_code as u64)?;
    let instr = memory.pointer(frame + o.frame_instr as u64)?;
    let filename = memory.pointer(code + o.co_filename as u64)?;
    let qualname = memory.pointer(code + o.co_qualname as u64)?;
    let linetable = memory.pointer(code + o.co_linetable as u64)?;
    let first_line = memory.u32(code + o.co_firstlineno as u64)?;
    let size = memory.pointer(linetable + o.ob_size as u64)?;
    let start = memory.words::<2>(linetable + o.ob_sval as u64)?;
    let fingerprint = fingerprint::code_object([filename, qualname, linetable], first_line, size, start);
    let instruction = instr.wrapping_sub(code + o.co_code_adaptive as u64) as u32;
    Some([code, fingerprint, instruction as u64 | (first_line as u64) << 32])
}
