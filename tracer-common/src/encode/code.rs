//! What names a code object.

use super::{Cursor, Slot, at};
use crate::{fingerprint::mix, target::Target};

/// Stands for a code object of a process in the memory of those that were sent: where two share one, the second
/// is named later, as if it had not been sent.
#[inline(always)]
pub fn code_key(process: u32, frame: [u64; 3]) -> u64 {
    mix(mix(frame[1], frame[0]), process as u64)
}

/// Prepares a code record ([`crate::wire::KIND_CODE`]) of a frame's code object.
#[inline(always)]
pub fn begin_code(slot: &mut Slot, target: &Target, frame: [u64; 3]) {
    let o = &target.offsets;
    slot.whole = 1;
    for word in frame {
        slot.push_word(word);
    }
    slot.frames = 1;
    slot.push(Cursor::sequence(at(frame[0], o.co_linetable), 1, 0));
    slot.push(Cursor::sequence(at(frame[0], o.co_qualname), 1, 0));
    slot.push(Cursor::sequence(at(frame[0], o.co_filename), 1, 0));
}
