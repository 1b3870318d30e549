//! One object, kind by kind. Struct layouts: `Include/cpython/*object.h` and
//! `Include/internal/pycore_dict.h` of CPython 2.7 and 3.6 to 3.15, by way of [`Target::offsets`].

use super::{
    Cursor, Memory, Slot,
    kind::{self, Kind},
    slot::{WINDOW_WORDS, Window},
};
use crate::{
    limits::{MAX_C_NAME, MAX_INT_DIGITS},
    target::{ABSENT, FEATURE_LONG_TAG, FEATURE_PYTHON2, Target},
    wire::{SUB_PYTHON2, Tag, padded, value_word},
};

/// Bits of one `digit` of an int (`PyLong_SHIFT` of every 64-bit build).
const DIGIT_BITS: u32 = 30;
/// Keys tables with more index bytes than this are taken for garbage.
const MAX_LOG2_INDEX_BYTES: u8 = 40;
/// `_Py_MEMORYVIEW_RELEASED`, `_C`, `_SCALAR` (Include/cpython/memoryobject.h).
const MEMORYVIEW_RELEASED: u32 = 1;
const MEMORYVIEW_C: u32 = 2;
const MEMORYVIEW_SCALAR: u32 = 8;
/// `DICT_KEYS_GENERAL`, `DICT_KEYS_SPLIT` (pycore_dict.h).
const DICT_KEYS_GENERAL: u8 = 0;

/// Words of an object read at once: all of an `int` of few digits, all but the characters of a
/// `str`. Objects may be smaller; where the window reaches into memory that is not there, fields are
/// read one by one.
const OBJECT_WORDS: usize = 8;

/// Words of characters that a window can hold: `bytes` start at the fifth of eight.
const SHORT_WORDS: u32 = 4;

/// The object being encoded.
#[derive(Clone, Copy)]
struct Object {
    address: u64,
    window: Window,
}

impl Object {
    #[inline(always)]
    fn word<M: Memory>(self, slot: &Slot, memory: &mut M, offset: u16) -> Option<u64> {
        self.window.word(slot, memory, offset)
    }
}

/// Encodes the object at `address` (0: NULL), which `depth` containers surround.
#[inline(always)]
pub fn encode<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, address: u64, depth: u32) {
    if address == 0 {
        return slot.push_tag(Tag::Null);
    }
    if address == target.known.none {
        return slot.push_tag(Tag::None);
    }
    let object = Object {
        address,
        window: Window::read::<OBJECT_WORDS, _>(slot, memory, address),
    };
    let Some(ty) = object.word(slot, memory, target.offsets.ob_type) else {
        return slot.unreadable(address);
    };
    // No object has no type, and 0 stands for types that this version does not have.
    if ty == 0 {
        return slot.unreadable(address);
    }
    let mut kind = kind::exact(target, ty);
    if kind as u32 == Kind::Other as u32 {
        let Some(derived) = kind::derived(target, memory, ty) else {
            return slot.unreadable(address);
        };
        kind = derived;
        match kind {
            Kind::Other | Kind::Exception => {
                return instance(slot, target, memory, address, ty, kind, depth);
            }
            Kind::Type | Kind::Module => {}
            _ => {
                slot.push_tag(Tag::Subclass);
                slot.push_type(kind::type_ref(target, memory, ty));
                slot.push_word(address);
            }
        }
    }
    if by_kind(slot, target, memory, object, kind, depth).is_none() {
        slot.unreadable(address);
    }
}

#[inline(always)]
fn instance<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    address: u64,
    ty: u64,
    kind: Kind,
    depth: u32,
) {
    let exception = kind as u32 == Kind::Exception as u32;
    let args = if exception {
        memory.pointer(address + target.offsets.exception_args as u64)
    } else {
        None
    };
    slot.push_tag(if exception { Tag::Exception } else { Tag::Object });
    slot.push_type(kind::type_ref(target, memory, ty));
    slot.push_word(address);
    if exception {
        slot.push(Cursor::pointers(args.unwrap_or(0), 0, 1, depth).ended());
    }
}

#[inline(always)]
fn by_kind<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    object: Object,
    kind: Kind,
    depth: u32,
) -> Option<()> {
    let o = &target.offsets;
    let address = object.address;
    match kind {
        Kind::Long => long(slot, target, memory, object),
        Kind::Int => {
            let value = object.word(slot, memory, o.int_ival)?;
            slot.push_tag(Tag::Int64);
            slot.push_word(value);
            Some(())
        }
        Kind::Bool => {
            slot.push_tag(if address == target.known.true_ {
                Tag::True
            } else {
                Tag::False
            });
            Some(())
        }
        Kind::Float => {
            let bits = object.word(slot, memory, o.ob_fval)?;
            slot.push_tag(Tag::Float);
            slot.push_word(bits);
            Some(())
        }
        Kind::Complex => {
            let [real, imag] = memory.words::<2>(address + o.cval as u64)?;
            slot.push_tag(Tag::Complex);
            slot.push_word(real);
            slot.push_word(imag);
            Some(())
        }
        Kind::Str | Kind::Bytes | Kind::ByteArray | Kind::MemoryView => {
            text(slot, target, memory, object, kind)
        }
        Kind::List | Kind::Tuple | Kind::Set | Kind::FrozenSet | Kind::Dict => {
            container(slot, target, memory, object, kind, depth)
        }
        Kind::Range | Kind::Slice => {
            let range = kind as u32 == Kind::Range as u32;
            let fields = if range { o.range_start } else { o.slice_start };
            let tag = if range { Tag::Range } else { Tag::Slice };
            slot.push_word(value_word(tag, python2(target), 0));
            if range && target.features & FEATURE_PYTHON2 != 0 {
                return xrange(slot, memory, address + fields as u64);
            }
            slot.push(Cursor::sequence(address + fields as u64, 3, depth).ended());
            Some(())
        }
        _ => named(slot, target, memory, address, kind, depth),
    }
}

/// Python 2's `xrange`: C longs start, step and length (Objects/rangeobject.c, 2.7).
#[inline(always)]
fn xrange<M: Memory>(slot: &mut Slot, memory: &mut M, fields: u64) -> Option<()> {
    let [start, step, len] = memory.words::<3>(fields)?;
    for value in [start, start.wrapping_add(step.wrapping_mul(len)), step] {
        slot.push_tag(Tag::Int64);
        slot.push_word(value);
    }
    slot.push_tag(Tag::End);
    Some(())
}

/// Types, modules and functions: things whose value is a name.
#[inline(always)]
fn named<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    address: u64,
    kind: Kind,
    depth: u32,
) -> Option<()> {
    let o = &target.offsets;
    match kind {
        Kind::Type => {
            slot.push_tag(Tag::Type);
            slot.push_type(kind::type_ref(target, memory, address));
        }
        Kind::Instance => {
            let class = memory.pointer(address + o.in_class as u64)?;
            slot.push_tag(Tag::Object);
            slot.push_type(kind::class_ref(target, memory, class));
            slot.push_word(address);
        }
        Kind::Class => {
            slot.push_tag(Tag::Type);
            slot.push_type(kind::class_ref(target, memory, address));
        }
        Kind::Module => {
            // Python 2's modules have no name but in their dict: the user half looks there.
            let unnamed = o.md_name == ABSENT;
            let field = if unnamed { o.md_dict } else { o.md_name };
            let name = memory.pointer(address + field as u64)?;
            slot.push_tag(Tag::Module);
            slot.push_word(address);
            if unnamed {
                slot.push_tag(Tag::Int64);
                slot.push_word(name);
                slot.push_tag(Tag::End);
            } else {
                slot.push(Cursor::pointers(name, 0, 1, depth).ended());
            }
        }
        Kind::Function | Kind::Method => {
            let mut function = address;
            if kind as u32 == Kind::Method as u32 {
                function = memory.pointer(address + o.im_func as u64)?;
                if memory.pointer(function + o.ob_type as u64)? != target.known.function_type {
                    slot.push_tag(Tag::Object);
                    slot.push_type(kind::type_ref(target, memory, target.known.method_type));
                    slot.push_word(address);
                    return Some(());
                }
            }
            let module = memory.pointer(function + o.func_module as u64)?;
            let qualname = memory.pointer(function + o.func_qualname as u64)?;
            slot.push_tag(Tag::Function);
            slot.push_word(address);
            slot.push(Cursor::pointers(module, qualname, 2, depth).ended());
        }
        _ => return c_function(slot, target, memory, address, depth),
    }
    Some(())
}

#[inline(always)]
fn c_function<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    address: u64,
    depth: u32,
) -> Option<()> {
    let o = &target.offsets;
    let ml = memory.pointer(address + o.m_ml as u64)?;
    let name = memory.pointer(ml)?;
    let module = memory.pointer(address + o.m_module as u64)?;
    let bound = memory.pointer(address + o.m_self as u64)?;
    let mut owner = 0;
    if bound != 0 {
        let ty = memory.pointer(bound + o.ob_type as u64)?;
        if kind::is_type(target, memory, ty)? {
            // A class or static method.
            owner = bound;
        } else if ty != target.known.module_type {
            owner = ty;
        }
    }
    let start = slot.len;
    let len = memory
        .copy_str(&mut slot.words, start + 2, MAX_C_NAME, name)
        .saturating_sub(1)
        & (MAX_C_NAME - 1);
    slot.put(start, value_word(Tag::CFunction, 0, len));
    slot.put(start + 1, address);
    slot.len = start + 2 + padded(len) / 8;
    slot.push(Cursor::pointers(module, owner, 2, depth).ended());
    Some(())
}

#[inline(always)]
fn long<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, object: Object) -> Option<()> {
    let size = object.word(slot, memory, target.offsets.long_size)?;
    let digits = object.address + target.offsets.long_digits as u64;
    let (count, negative) = if target.features & FEATURE_LONG_TAG != 0 {
        // `_PyLong_SIGN_MASK` 3, `NON_SIZE_BITS` 3 (Include/internal/pycore_long.h).
        (size >> 3, size & 3 == 2)
    } else if (size as i64) < 0 {
        ((size as i64).wrapping_neg() as u64, true)
    } else {
        (size, false)
    };
    if count <= 2 {
        let [pair] = if count == 0 {
            [0]
        } else {
            memory.words::<1>(digits)?
        };
        let low = pair & ((1 << DIGIT_BITS) - 1);
        let high = if count == 2 {
            pair >> 32 & ((1 << DIGIT_BITS) - 1)
        } else {
            0
        };
        let magnitude = if count == 0 {
            0
        } else {
            (low | high << DIGIT_BITS) as i64
        };
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
    let from = digits + 4 * (count - captured as u64);
    let start = slot.len;
    slot.put(
        start,
        value_word(Tag::BigInt, negative as u8 | python2(target), captured),
    );
    slot.put(start + 1, count);
    data(slot, memory, start + 2, captured * 4, from)
}

/// The bit in a value's `sub` that tells Python 2's types from Python 3's of the same kind.
#[inline(always)]
fn python2(target: &Target) -> u8 {
    if target.features & FEATURE_PYTHON2 != 0 {
        SUB_PYTHON2
    } else {
        0
    }
}

/// Copies `len` bytes to word `at` and makes them the end of the record.
#[inline(always)]
fn data<M: Memory>(slot: &mut Slot, memory: &mut M, at: u32, len: u32, from: u64) -> Option<()> {
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

/// Strings of characters or bytes: where they are, how long, and how much of them is taken.
#[inline(always)]
fn text<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    object: Object,
    kind: Kind,
) -> Option<()> {
    let o = &target.offsets;
    let address = object.address;
    let mut width = 1;
    let (tag, from, length) = match kind {
        Kind::Str => {
            let mut length = object.word(slot, memory, o.unicode_length)?;
            let from = if o.unicode_kind_shift == ABSENT {
                width = target.unicode_width;
                object.word(slot, memory, o.unicode_any)?
            } else {
                // `kind:3, compact:1, ascii:1` (Include/cpython/unicodeobject.h).
                let state = object.window.u32(slot, memory, o.unicode_state)?;
                let state = state >> (o.unicode_kind_shift & 31);
                width = state & 7;
                match state >> 3 & 3 {
                    3 => address + o.unicode_ascii_data as u64,
                    1 => address + o.unicode_compact_data as u64,
                    // `PyUnicode_WCHAR_KIND`: not ready (up to 3.11).
                    _ if width == 0 && o.unicode_wstr != ABSENT => {
                        width = 4;
                        length = object.word(slot, memory, o.unicode_wstr_length)?;
                        object.word(slot, memory, o.unicode_wstr)?
                    }
                    _ => object.word(slot, memory, o.unicode_any)?,
                }
            };
            (Tag::Str, from, length)
        }
        Kind::Bytes => (
            Tag::Bytes,
            address + o.ob_sval as u64,
            object.word(slot, memory, o.ob_size)?,
        ),
        Kind::ByteArray => (
            Tag::ByteArray,
            object.word(slot, memory, o.ob_start)?,
            object.word(slot, memory, o.ob_size)?,
        ),
        _ => {
            let Some((buf, length)) = buffer(target, memory, address) else {
                slot.push_tag(Tag::Object);
                slot.push_type(kind::type_ref(target, memory, target.known.memoryview_type));
                slot.push_word(address);
                return Some(());
            };
            (Tag::MemoryView, buf, length)
        }
    };
    if width != 1 && width != 2 && width != 4 {
        return None;
    }
    let most = target.limits.max_str.min(slot.room() * 8);
    let captured = if length > (most / width) as u64 {
        most / width * width
    } else {
        length as u32 * width
    };
    let start = slot.len;
    slot.put(start, value_word(tag, width as u8 | python2(target), captured));
    slot.put(start + 1, length);
    let inside = from.wrapping_sub(address);
    if inside < 8 * OBJECT_WORDS as u64 && object.window.holds(inside, padded(captured) as u64) {
        return short_data(slot, start + 2, captured, (inside / 8) as u32);
    }
    data(slot, memory, start + 2, captured, from)
}

/// Address and length of a `memoryview`'s bytes; `None`: they are not in one piece, or released.
#[inline(always)]
fn buffer<M: Memory>(target: &Target, memory: &mut M, address: u64) -> Option<(u64, u64)> {
    let o = &target.offsets;
    let view = address + o.memoryview_view as u64;
    // `Py_buffer`: buf, obj, len, itemsize (Include/pybuffer.h; Include/object.h in 2.7).
    let [buf, _, length, itemsize] = memory.words::<4>(view)?;
    if o.memoryview_flags != ABSENT {
        let flags = memory.u32(address + o.memoryview_flags as u64)?;
        let released = flags & MEMORYVIEW_RELEASED != 0;
        let contiguous = flags & (MEMORYVIEW_C | MEMORYVIEW_SCALAR) != 0;
        return (!released && contiguous).then_some((buf, length));
    }
    // Python 2: readonly and ndim (ints), format, shape, strides follow.
    let [dimensions, _, _, strides] = memory.words::<4>(view + 32)?;
    let contiguous = strides == 0 || dimensions >> 32 == 1 && memory.pointer(strides)? == itemsize;
    contiguous.then_some((buf, length))
}

/// Copies `len` bytes that the window holds from its word `from` on.
#[inline(always)]
fn short_data(slot: &mut Slot, at: u32, len: u32, from: u32) -> Option<()> {
    for i in 0..SHORT_WORDS {
        if i * 8 < len {
            let rest = len - i * 8;
            let mask = if rest >= 8 {
                u64::MAX
            } else {
                (1 << (8 * rest)) - 1
            };
            let word = slot.window[(from + i) as usize & (WINDOW_WORDS - 1)];
            slot.put(at + i, word & mask);
        }
    }
    slot.len = at + padded(len) / 8;
    Some(())
}

#[inline(always)]
fn container<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    object: Object,
    kind: Kind,
    depth: u32,
) -> Option<()> {
    let o = &target.offsets;
    let address = object.address;
    let inside = depth < target.limits.max_depth;
    let most = target.limits.max_items as u64;
    let (tag, total, cursor) = match kind {
        Kind::List => {
            let total = object.word(slot, memory, o.ob_size)?;
            let items = object.word(slot, memory, o.list_ob_item)?;
            (
                Tag::List,
                total,
                Cursor::sequence(items, total.min(most), depth + 1),
            )
        }
        Kind::Tuple => {
            let total = object.word(slot, memory, o.ob_size)?;
            (
                Tag::Tuple,
                total,
                Cursor::sequence(address + o.tuple_ob_item as u64, total.min(most), depth + 1),
            )
        }
        Kind::Dict => {
            let total = object.word(slot, memory, o.ma_used)?;
            (
                Tag::Dict,
                total,
                dict_cursor(target, memory, address, total.min(most), depth + 1)?,
            )
        }
        _ => {
            let total = object.word(slot, memory, o.set_used)?;
            let mask = object.word(slot, memory, o.set_mask)?;
            let table = object.word(slot, memory, o.set_table)?;
            let tag = if kind as u32 == Kind::Set as u32 {
                Tag::Set
            } else {
                Tag::FrozenSet
            };
            (
                tag,
                total,
                Cursor::keys(table, total.min(most), mask.saturating_add(1), depth + 1),
            )
        }
    };
    slot.push_tag(tag);
    slot.push_word(total);
    slot.push_word(address);
    if inside {
        slot.push(cursor.ended());
    } else {
        slot.push_tag(Tag::End);
    }
    Some(())
}

/// A cursor over a dict's entries, in the order in which Python lists them.
#[inline(always)]
pub fn dict_cursor<M: Memory>(
    target: &Target,
    memory: &mut M,
    dict: u64,
    count: u64,
    depth: u32,
) -> Option<Cursor> {
    let o = &target.offsets;
    if o.ma_table != ABSENT {
        // Python 2: `PyDictEntry` is hash, key, value; deleted entries have no value (Include/dictobject.h).
        let table = memory.pointer(dict + o.ma_table as u64)?;
        let entries = memory.pointer(dict + o.ma_mask as u64)?.wrapping_add(1);
        return Some(Cursor::pairs(
            table + 8,
            24,
            table + 16,
            24,
            count,
            entries,
            depth,
        ));
    }
    let keys = memory.pointer(dict + o.ma_keys as u64)?;
    let values = memory.pointer(dict + o.ma_values as u64)?;
    let index_bytes = index_bytes(target, memory, keys)?;
    // Without a kind (up to 3.10) all entries have three words.
    let general = if o.dk_kind == ABSENT {
        true
    } else {
        memory.u8(keys + o.dk_kind as u64)? == DICT_KEYS_GENERAL
    };
    let entries_used = memory.pointer(keys + o.dk_nentries as u64)?;
    // `PyDictKeyEntry` is hash, key, value; `PyDictUnicodeEntry` is key, value (pycore_dict.h).
    let mut first = keys + o.dk_indices as u64 + index_bytes;
    let mut stride = 16;
    if general {
        first += 8;
        stride = 24;
    }
    if values == 0 {
        return Some(Cursor::pairs(
            first,
            stride,
            first + 8,
            stride,
            count,
            entries_used,
            depth,
        ));
    }
    if o.dictvalues_values == ABSENT {
        // Up to 3.10 a split dict's values come in the order of its keys, or it is split no more.
        return Some(Cursor::pairs(
            first,
            stride,
            values,
            8,
            count,
            entries_used,
            depth,
        ));
    }
    let first_value = values + o.dictvalues_values as u64;
    // `get_index_from_order`, Objects/dictobject.c.
    let (order, downwards) = if o.dictvalues_capacity == ABSENT {
        (values.wrapping_sub(3), true)
    } else {
        let capacity = memory.u8(values + o.dictvalues_capacity as u64)?;
        (first_value + 8 * capacity as u64, false)
    };
    Some(Cursor::ordered(
        first,
        stride,
        first_value,
        order,
        downwards,
        count,
        depth,
    ))
}

/// Bytes of a keys object's index table; `None`: garbage.
#[inline(always)]
fn index_bytes<M: Memory>(target: &Target, memory: &mut M, keys: u64) -> Option<u64> {
    let o = &target.offsets;
    if o.dk_size == ABSENT {
        let log2 = memory.u8(keys + o.dk_log2_index_bytes as u64)?;
        return (log2 <= MAX_LOG2_INDEX_BYTES).then(|| 1u64 << (log2 & 63));
    }
    // `DK_IXSIZE`, Objects/dictobject.c of 3.6 to 3.10.
    let size = memory.pointer(keys + o.dk_size as u64)?;
    if size <= 0xff {
        Some(size)
    } else if size <= 0xffff {
        Some(2 * size)
    } else if size <= 0xffff_ffff {
        Some(4 * size)
    } else {
        None
    }
}
