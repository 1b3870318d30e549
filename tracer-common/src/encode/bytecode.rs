//! The operands of a specialised bytecode, where its last check is.

use super::{Memory, at};
use crate::{
    cookie::{COOKIE_REGISTERS, Convention},
    target::{ABSENT, Target},
};

/// `_PyStackRef` tag bits (3.14+); objects are aligned to 8 bytes at least.
const TAG_BITS: u64 = 7;
/// Names that an instruction can tell apart without an `EXTENDED_ARG` before it.
const SHORT: u64 = 256;
/// Bytes of an instruction, and of a cache entry.
const UNIT: u64 = 2;

/// What [`super::begin_entry`] takes for a call of `f(object, key, value)`, or of `f(object, item)`. `end`: of the value
/// stack, 0: unknown; `frame`: the frame that runs. What cannot be found is an address that cannot be read.
#[inline(always)]
pub fn operands<M: Memory>(
    target: &Target,
    memory: &mut M,
    convention: u8,
    end: u64,
    frame: u64,
) -> [u64; COOKIE_REGISTERS] {
    let words = memory.words::<3>(end.wrapping_sub(24)).unwrap_or([UNREADABLE; 3]);
    let [third, second, first] = words.map(|word| word & !TAG_BITS);
    if convention == Convention::StackAttribute as u8 {
        let name = attribute(target, memory, frame).unwrap_or(UNREADABLE);
        [first, name, second, 0, 0]
    } else if convention == Convention::StackItem as u8 {
        [second, first, third, 0, 0]
    } else {
        [second, first, 0, 0, 0]
    }
}

/// The kernel's half of the address space: no program can have anything there.
const UNREADABLE: u64 = 1 << 63;

/// The convention by which [`super::begin_entry`] reads what a site of this convention has: its own, or, of operands,
/// that of a call. Without a branch: the verifier would go both ways through all that follows.
#[inline(always)]
pub const fn as_call(convention: u8) -> u8 {
    (AS_CALL >> (4 * (convention as u32 & 15)) & 15) as u8
}

/// By convention, 4 bits each.
const AS_CALL: u64 = {
    let mut all = 0;
    let mut n = 0;
    while n < Convention::ALL.len() {
        let as_call = match Convention::ALL[n] {
            Convention::StackAttribute | Convention::StackItem => Convention::KeyValue,
            Convention::StackAppend => Convention::O,
            other => other,
        };
        all |= (as_call as u64) << (4 * n);
        n += 1;
    }
    all
};

/// The name that the frame's instruction has. `None` where it cannot be told: behind an `EXTENDED_ARG`, or what may be
/// one, in a code object with many names.
#[inline(always)]
fn attribute<M: Memory>(target: &Target, memory: &mut M, frame: u64) -> Option<u64> {
    let o = &target.offsets;
    if o.co_names == ABSENT {
        return None;
    }
    let code = memory.field(frame, o.frame_code)? & !TAG_BITS;
    let names = memory.field(code, o.co_names)?;
    let count = memory.field(names, o.ob_size)?;
    let instruction = memory.field(frame, o.frame_instr)?;
    if count > SHORT {
        // It may also be a cache entry of the instruction before.
        let before = memory.u8(instruction.wrapping_sub(UNIT))?;
        if target.may_extend(before) {
            return None;
        }
    }
    let index = memory.u8(instruction.wrapping_add(1))? as u64;
    if index >= count {
        return None;
    }
    memory.pointer(at(names, o.tuple_ob_item).wrapping_add(index * 8))
}
