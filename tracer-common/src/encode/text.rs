//! Strings of characters or bytes: where they are, how long, and how much of them is taken.

use super::{
    Memory, Slot, at,
    kind::Kind,
    slot::WINDOW_WORDS,
    value::{OBJECT_WORDS, Object, instance, python2},
};
use crate::{
    limits::{MAX_C_NAME, MAX_STR},
    target::{ABSENT, Target},
    wire::{Tag, padded, value_word},
};

/// `_Py_MEMORYVIEW_RELEASED`, `_C`, `_SCALAR` (Include/cpython/memoryobject.h).
const MEMORYVIEW_RELEASED: u32 = 1;
const MEMORYVIEW_C: u32 = 2;
const MEMORYVIEW_SCALAR: u32 = 8;

/// Words of characters that a window can hold: `bytes` start at the fifth of eight.
const SHORT_WORDS: u32 = 4;

/// Where the characters are.
struct Text {
    tag: Tag,
    from: u64,
    /// In characters.
    length: u64,
    /// Bytes of a character.
    width: u32,
}

#[inline(always)]
pub fn encode<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    object: Object,
    kind: Kind,
) -> Option<()> {
    let address = object.address;
    let text = match kind {
        Kind::Str => characters(slot, target, memory, object)?,
        Kind::MemoryView => match buffer(target, memory, address)? {
            Buffer::Bytes(from, length) => bytes(Tag::MemoryView, from, length),
            Buffer::Scattered => {
                instance(slot, target, memory, target.known.memoryview_type, address);
                return Some(());
            }
        },
        _ => {
            let length = object.word(slot, memory, target.offsets.ob_size)?;
            if kind as u32 == Kind::Bytes as u32 {
                bytes(Tag::Bytes, at(address, target.offsets.ob_sval), length)
            } else {
                let start = object.word(slot, memory, target.offsets.ob_start)?;
                bytes(Tag::ByteArray, start, length)
            }
        }
    };
    let width = text.width;
    if width != 1 && width != 2 && width != 4 {
        return None;
    }
    let limit = if slot.whole == 0 {
        target.limits.max_str
    } else {
        MAX_STR
    };
    let most = limit.min(slot.room() * 8);
    let captured = if text.length > (most / width) as u64 {
        most / width * width
    } else {
        text.length as u32 * width
    };
    let start = slot.len;
    slot.put(
        start,
        value_word(text.tag, width as u8 | python2(target), captured),
    );
    slot.put(start + 1, text.length);
    let inside = text.from.wrapping_sub(address);
    if inside < 8 * OBJECT_WORDS as u64 && object.window.holds(inside, padded(captured) as u64) {
        return short_data(slot, start + 2, captured, (inside / 8) as u32);
    }
    data(slot, memory, start + 2, captured, text.from)
}

#[inline(always)]
fn bytes(tag: Tag, from: u64, length: u64) -> Text {
    Text {
        tag,
        from,
        length,
        width: 1,
    }
}

/// The characters of a `str`, or of Python 2's `unicode`.
#[inline(always)]
fn characters<M: Memory>(slot: &Slot, target: &Target, memory: &mut M, object: Object) -> Option<Text> {
    let o = &target.offsets;
    let mut length = object.word(slot, memory, o.unicode_length)?;
    let mut width = target.unicode_width;
    let from = if o.unicode_kind_shift == ABSENT {
        object.word(slot, memory, o.unicode_any)?
    } else {
        // `kind:3, compact:1, ascii:1` (Include/cpython/unicodeobject.h).
        let state = object.window.u32(slot, memory, o.unicode_state)?;
        let state = state >> (o.unicode_kind_shift & 31);
        width = state & 7;
        match state >> 3 & 3 {
            3 => at(object.address, o.unicode_ascii_data),
            1 => at(object.address, o.unicode_compact_data),
            // `PyUnicode_WCHAR_KIND`: not ready (up to 3.11).
            _ if width == 0 && o.unicode_wstr != ABSENT => {
                width = 4;
                length = object.word(slot, memory, o.unicode_wstr_length)?;
                object.word(slot, memory, o.unicode_wstr)?
            }
            _ => object.word(slot, memory, o.unicode_any)?,
        }
    };
    Some(Text {
        tag: Tag::Str,
        from,
        length,
        width,
    })
}

/// What a `memoryview` shows.
enum Buffer {
    /// Address and length of its bytes.
    Bytes(u64, u64),
    /// Bytes that are not in one piece, or none any more: it was released.
    Scattered,
}

#[inline(always)]
fn buffer<M: Memory>(target: &Target, memory: &mut M, address: u64) -> Option<Buffer> {
    let o = &target.offsets;
    let view = at(address, o.memoryview_view);
    // `Py_buffer`: buf, obj, len, itemsize (Include/pybuffer.h; Include/object.h in 2.7).
    let [buf, _, length, itemsize] = memory.words::<4>(view)?;
    let in_one_piece = if o.memoryview_flags != ABSENT {
        let flags = memory.u32(at(address, o.memoryview_flags))?;
        flags & MEMORYVIEW_RELEASED == 0 && flags & (MEMORYVIEW_C | MEMORYVIEW_SCALAR) != 0
    } else {
        // Python 2: readonly and ndim (ints), format, shape, strides follow.
        let [dimensions, _, _, strides] = memory.words::<4>(view.wrapping_add(32))?;
        strides == 0 || dimensions >> 32 == 1 && memory.pointer(strides)? == itemsize
    };
    Some(if in_one_piece {
        Buffer::Bytes(buf, length)
    } else {
        Buffer::Scattered
    })
}

/// Copies `len` bytes that the window holds from its word `from` on.
#[inline(always)]
fn short_data(slot: &mut Slot, at: u32, len: u32, from: u32) -> Option<()> {
    for i in 0..SHORT_WORDS {
        if i * 8 < len {
            let word = slot.window[(from + i) as usize & (WINDOW_WORDS - 1)];
            let rest = len - i * 8;
            let mask = if rest >= 8 {
                u64::MAX
            } else {
                (1 << (8 * rest)) - 1
            };
            slot.put(at + i, word & mask);
        }
    }
    slot.len = at + padded(len) / 8;
    Some(())
}

/// Copies `len` bytes to word `at` and makes them the end of the record.
#[inline(always)]
pub fn data<M: Memory>(slot: &mut Slot, memory: &mut M, at: u32, len: u32, from: u64) -> Option<()> {
    let words = padded(len) / 8;
    if words != 0 {
        // The copy may end inside its last word: no bytes of an earlier record stay behind it.
        slot.put(at + words - 1, 0);
        if !memory.copy(&mut slot.words, at, len, from) {
            return None;
        }
    }
    slot.len = at + words;
    Some(())
}

/// Copies a C string of fewer than [`MAX_C_NAME`] bytes to word `at` and makes it the end of the
/// record; its length.
#[inline(always)]
pub fn c_name<M: Memory>(slot: &mut Slot, memory: &mut M, at: u32, from: u64) -> Option<u32> {
    // Nothing is written behind the NUL: no bytes of an earlier record stay there.
    for i in 0..MAX_C_NAME / 8 {
        slot.put(at + i, 0);
    }
    let copied = memory.copy_str(&mut slot.words, at, MAX_C_NAME, from);
    if copied == 0 {
        return None;
    }
    let len = (copied - 1) & (MAX_C_NAME - 1);
    slot.len = at + padded(len) / 8;
    Some(len)
}
