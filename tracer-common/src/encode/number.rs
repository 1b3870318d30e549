//! Numbers.

use super::{
    Memory, Slot, at,
    kind::Kind,
    text::data,
    value::{Object, python2},
};
use crate::{
    limits::MAX_INT_DIGITS,
    target::{FEATURE_LONG_TAG, Target},
    wire::{Tag, value_word},
};

/// Bits of one `digit` of an int (`PyLong_SHIFT` of every 64-bit build).
const DIGIT_BITS: u32 = 30;
const DIGIT: u64 = (1 << DIGIT_BITS) - 1;

/// Numbers of a fixed size.
#[inline(always)]
pub fn fixed<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    object: Object,
    kind: Kind,
) -> Option<()> {
    let o = &target.offsets;
    match kind {
        Kind::Int | Kind::Float => {
            let (tag, field) = if kind as u32 == Kind::Int as u32 {
                (Tag::Int64, o.int_ival)
            } else {
                (Tag::Float, o.ob_fval)
            };
            let value = object.word(slot, memory, field)?;
            slot.push_tag(tag);
            slot.push_word(value);
        }
        Kind::Complex => {
            let real = object.word(slot, memory, o.cval)?;
            let imag = object.word(slot, memory, o.cval + 8)?;
            slot.push_tag(Tag::Complex);
            slot.push_word(real);
            slot.push_word(imag);
        }
        _ => slot.push_tag(if object.address == target.known.true_ {
            Tag::True
        } else {
            Tag::False
        }),
    }
    Some(())
}

/// How many digits an int has, and whether it is negative, by its `lv_tag` or `ob_size`.
#[inline(always)]
fn digits_of(target: &Target, size: u64) -> (u64, bool) {
    if target.features & FEATURE_LONG_TAG != 0 {
        // `_PyLong_SIGN_MASK` 3, `NON_SIZE_BITS` 3 (Include/internal/pycore_long.h).
        (size >> 3, size & 3 == 2)
    } else if (size as i64) < 0 {
        ((size as i64).wrapping_neg() as u64, true)
    } else {
        (size, false)
    }
}

/// The value of a small `int` that is not negative; `None` for anything else.
#[inline(always)]
pub fn small<M: Memory>(target: &Target, memory: &mut M, object: u64) -> Option<u32> {
    if object == 0 {
        return None;
    }
    let o = &target.offsets;
    let ty = memory.field(object, o.ob_type)?;
    if ty == 0 {
        return None;
    }
    if ty == target.known.int_type {
        return memory.u32(at(object, o.int_ival));
    }
    if ty != target.known.long_type {
        return None;
    }
    let (count, negative) = digits_of(target, memory.field(object, o.long_size)?);
    // More digits than one are no descriptor.
    if count > 1 || negative {
        return None;
    }
    if count == 0 {
        Some(0)
    } else {
        memory.u32(at(object, o.long_digits))
    }
}

/// How many bytes an object has or counts, above [`UNKNOWN_SIZE`] if that is not known: the length of `bytes`, `bytearray` or a
/// string (in characters), the value of an int, 0 for `None`; of a tuple, what its first item has.
#[inline(always)]
pub fn bytes_in<M: Memory>(target: &Target, memory: &mut M, object: u64) -> u64 {
    if object == target.known.none {
        return 0;
    }
    let mut object = object;
    if memory.field(object, target.offsets.ob_type) == Some(target.known.tuple_type) {
        // What came from where.
        object = memory.field(object, target.offsets.tuple_ob_item).unwrap_or(0);
    }
    bytes_of(target, memory, object).unwrap_or(UNKNOWN_SIZE)
}

/// More than any object's size.
pub const UNKNOWN_SIZE: u64 = 1 << 62;

#[inline(always)]
fn bytes_of<M: Memory>(target: &Target, memory: &mut M, object: u64) -> Option<u64> {
    let (o, known) = (&target.offsets, &target.known);
    let ty = memory.field(object, o.ob_type)?;
    if ty == 0 {
        return None;
    }
    if ty == known.bytes_type || ty == known.bytearray_type {
        return memory.field(object, o.ob_size);
    }
    if ty == known.unicode_type {
        return memory.field(object, o.unicode_length);
    }
    if ty == known.int_type {
        return memory.field(object, o.int_ival);
    }
    if ty != known.long_type {
        return None;
    }
    let [size, digits] = if o.long_digits == o.long_size + 8 {
        memory.words::<2>(at(object, o.long_size))?
    } else {
        [
            memory.field(object, o.long_size)?,
            memory.field(object, o.long_digits)?,
        ]
    };
    let (count, negative) = digits_of(target, size);
    let high = if count == 2 { digits >> 32 & DIGIT } else { 0 };
    let low = if count == 0 { 0 } else { digits & DIGIT };
    (count <= 2 && !negative).then_some(low | high << DIGIT_BITS)
}

/// An int of any size.
#[inline(always)]
pub fn long<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, object: Object) -> Option<()> {
    let size = object.word(slot, memory, target.offsets.long_size)?;
    let (count, negative) = digits_of(target, size);
    if count <= 2 {
        let pair = object.word(slot, memory, target.offsets.long_digits)?;
        let low = if count == 0 { 0 } else { pair & DIGIT };
        let high = if count == 2 { pair >> 32 & DIGIT } else { 0 };
        let magnitude = (low | high << DIGIT_BITS) as i64;
        slot.push_word(value_word(Tag::Int64, python2(target), 0));
        slot.push_word(if negative {
            magnitude.wrapping_neg()
        } else {
            magnitude
        } as u64);
        return Some(());
    }
    let captured = if count > MAX_INT_DIGITS as u64 {
        MAX_INT_DIGITS
    } else {
        count as u32
    };
    let digits = at(object.address, target.offsets.long_digits);
    let from = digits.wrapping_add(count.wrapping_sub(captured as u64).wrapping_mul(4));
    let start = slot.len;
    slot.put(
        start,
        value_word(Tag::BigInt, negative as u8 | python2(target), captured),
    );
    slot.put(start + 1, count);
    data(slot, memory, start + 2, captured * 4, from)
}
