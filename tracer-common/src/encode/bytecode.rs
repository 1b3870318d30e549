//! The operands of a specialised bytecode, where its last check is, and of a read of a global, where it is sure.

use super::{Memory, at};
use crate::{
    cookie::{COOKIE_REGISTERS, Convention, Packed},
    guard,
    target::{ABSENT, FEATURE_PYTHON2, Target},
};

/// `_PyStackRef` tag bits (3.14+); objects are aligned to 8 bytes at least.
const TAG_BITS: u64 = 7;
/// Arguments that an instruction can have without an `EXTENDED_ARG` before it.
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
        let name = name(target, memory, frame, 0).unwrap_or(UNREADABLE);
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

/// The same of a read of a global: its name and the value. `register`: what the cookie's first register holds.
#[inline(always)]
pub fn read<M: Memory>(
    target: &Target,
    memory: &mut M,
    cookie: Packed,
    register: u64,
    frame: u64,
) -> [u64; COOKIE_REGISTERS] {
    let value = match guard::read_from(cookie, register) {
        Some(address) => memory.pointer(address).unwrap_or(UNREADABLE),
        None => register,
    };
    let name = name(target, memory, frame, guard::read_shift(cookie)).unwrap_or(UNREADABLE);
    [0, name, value & !TAG_BITS, 0, 0]
}

/// Address of the instruction that a frame runs. Up to 3.10 that is an `EXTENDED_ARG` if it has one.
#[inline(always)]
pub(super) fn instruction<M: Memory>(target: &Target, memory: &mut M, frame: u64) -> Option<u64> {
    let o = &target.offsets;
    if o.frame_lasti == ABSENT {
        return memory.field(frame, o.frame_instr);
    }
    let code = memory.field(frame, o.frame_code)?;
    let bytes = memory.field(code, o.co_code)?;
    let mut lasti = memory.u32(at(frame, o.frame_lasti))? as u64;
    // 3.10 counts code units (Include/cpython/frameobject.h).
    if o.frame_state != ABSENT {
        lasti *= 2;
    }
    Some(at(bytes, o.ob_sval).wrapping_add(lasti))
}

/// The name that the frame's instruction has; its argument has `shift` bits below the index. `None` where it cannot be
/// told: see [`argument`].
#[inline(always)]
fn name<M: Memory>(target: &Target, memory: &mut M, frame: u64, shift: u32) -> Option<u64> {
    let o = &target.offsets;
    if o.co_names == ABSENT {
        return None;
    }
    let code = memory.field(frame, o.frame_code)? & !TAG_BITS;
    let names = memory.field(code, o.co_names)?;
    let count = memory.field(names, o.ob_size)?;
    let instruction = instruction(target, memory, frame)?;
    let index = argument(target, memory, instruction, count << shift)? >> shift;
    if index >= count {
        return None;
    }
    memory.pointer(at(names, o.tuple_ob_item).wrapping_add(index * 8))
}

/// The argument of a frame's instruction, which is less than `all`: it may need an `EXTENDED_ARG`. From 3.11 on that is before the
/// instruction, but what looks like it may also be something else, as a cache entry: then it is `None`, unless the argument would be
/// too large with it.
#[inline(always)]
fn argument<M: Memory>(target: &Target, memory: &mut M, instruction: u64, all: u64) -> Option<u64> {
    let is_long = all > SHORT;
    let argument = memory.u8(instruction.wrapping_add(1))? as u64;
    if target.offsets.frame_lasti == ABSENT {
        let before = instruction.wrapping_sub(UNIT);
        if !is_long || !target.may_extend(memory.u8(before)?) {
            return Some(argument);
        }
        let high = memory.u8(before.wrapping_add(1))? as u64;
        return (high << 8 | argument >= all).then_some(argument);
    }
    let extends = is_long && target.may_extend(memory.u8(instruction)?);
    if target.features & FEATURE_PYTHON2 != 0 {
        // Two bytes (Python/ceval.c, `NEXTARG`, 2.7), so no program has more names.
        let high = memory.u8(instruction.wrapping_add(2))? as u64;
        return (!extends).then_some(argument | high << 8);
    }
    if !extends {
        return Some(argument);
    }
    let next = instruction.wrapping_add(UNIT);
    let low = memory.u8(next.wrapping_add(1))? as u64;
    let is_last = !target.may_extend(memory.u8(next)?);
    is_last.then_some(argument << 8 | low)
}
