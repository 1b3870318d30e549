//! What names a code object.

use super::{
    Memory, Slot, at,
    kind::Kind,
    slot::Window,
    text,
    value::{OBJECT_WORDS, Object},
};
use crate::{
    fingerprint::mix,
    target::{FEATURE_PYTHON2, Target},
};

/// Stands for a code object of a process in the memory of those that were sent: where two share one, the second
/// is named later, as if it had not been sent.
#[inline(always)]
pub fn code_key(process: u32, frame: [u64; 3]) -> u64 {
    mix(mix(frame[1], frame[0]), process as u64)
}

/// Strings of a code record.
pub const CODE_STRINGS: u32 = 3;

/// Begins a code record ([`crate::wire::KIND_CODE`]) of a frame's code object. Its strings follow; the machine that
/// encodes values is not needed for them, and the verifier would have to walk through all of it once more.
#[inline(always)]
pub fn begin_code(slot: &mut Slot, frame: [u64; 3]) {
    slot.whole = 1;
    for word in frame {
        slot.push_word(word);
    }
    slot.frames = 1;
}

/// Writes string `part` of a code object: its file, its name, its line table. `None` if it cannot be read, or is
/// something else than CPython's compiler puts there.
#[inline(always)]
pub fn code_string<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    code: u64,
    part: u32,
) -> Option<()> {
    let o = &target.offsets;
    let offset = match part {
        0 => o.co_filename,
        1 => o.co_qualname,
        _ => o.co_linetable,
    };
    let (kind, expected) = if part == CODE_STRINGS - 1 || target.features & FEATURE_PYTHON2 != 0 {
        (Kind::Bytes, target.known.bytes_type)
    } else {
        (Kind::Str, target.known.unicode_type)
    };
    let address = memory.pointer(at(code, offset))?;
    let object = Object {
        address,
        window: Window::read::<OBJECT_WORDS, _>(slot, memory, address),
    };
    if object.word(slot, memory, o.ob_type)? != expected {
        return None;
    }
    text::encode(slot, target, memory, object, kind)
}
