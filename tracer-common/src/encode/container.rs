//! Containers: their totals at once, their items by a cursor. Layouts: `Include/internal/pycore_dict.h`
//! and `Objects/dictobject.c`, `Include/setobject.h`.

use super::{Cursor, Memory, Slot, at, kind::Kind, slot::Window, value::Object};
use crate::{
    target::{ABSENT, Target},
    wire::Tag,
};

/// Keys tables with more index bytes than this are taken for garbage.
const MAX_LOG2_INDEX_BYTES: u8 = 40;
/// `DICT_KEYS_GENERAL` (pycore_dict.h): entries have three words; two otherwise.
const DICT_KEYS_GENERAL: u8 = 0;
/// Words of a dict, and of its keys, that have all fields that are read.
const HEAD_WORDS: usize = 6;

#[inline(always)]
pub fn encode<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    object: Object,
    kind: Kind,
    depth: u32,
) -> Option<()> {
    let o = &target.offsets;
    let most = target.limits.max_items as u64;
    let (tag, size) = match kind {
        Kind::List => (Tag::List, o.ob_size),
        Kind::Tuple => (Tag::Tuple, o.ob_size),
        Kind::Dict => (Tag::Dict, o.ma_used),
        Kind::Set => (Tag::Set, o.set_used),
        _ => (Tag::FrozenSet, o.set_used),
    };
    let total = object.word(slot, memory, size)?;
    let count = total.min(most);
    let cursor = match kind {
        Kind::List => Cursor::sequence(object.word(slot, memory, o.list_ob_item)?, count, depth + 1),
        Kind::Tuple => Cursor::sequence(at(object.address, o.tuple_ob_item), count, depth + 1),
        Kind::Dict => dict_cursor(target, memory, object.address, count, depth + 1)?,
        _ => {
            let mask = object.word(slot, memory, o.set_mask)?;
            let table = object.word(slot, memory, o.set_table)?;
            Cursor::keys(table, count, mask.saturating_add(1), depth + 1)
        }
    };
    slot.push_tag(tag);
    slot.push_word(total);
    slot.push_word(object.address);
    if depth < target.limits.max_depth {
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
        let first = memory.field(dict, o.ma_table)?.wrapping_add(8);
        let entries = memory.field(dict, o.ma_mask)?.wrapping_add(1);
        return Some(Cursor::entries(first, 24, count, entries, depth));
    }
    let keys = memory.field(dict, o.ma_keys)?;
    let values = memory.field(dict, o.ma_values)?;
    let index_bytes = index_bytes(target, memory, keys)?;
    // Without a kind (up to 3.10) all entries have three words.
    let general = o.dk_kind == ABSENT || memory.u8(at(keys, o.dk_kind))? == DICT_KEYS_GENERAL;
    let entries = memory.field(keys, o.dk_nentries)?;
    // `PyDictKeyEntry` is hash, key, value; `PyDictUnicodeEntry` is key, value (pycore_dict.h).
    let mut first = at(keys, o.dk_indices).wrapping_add(index_bytes);
    let mut stride = 16;
    if general {
        first = first.wrapping_add(8);
        stride = 24;
    }
    if values == 0 {
        return Some(Cursor::entries(first, stride, count, entries, depth));
    }
    if o.dictvalues_values == ABSENT {
        // Up to 3.10 a split dict's values come in the order of its keys, or it is split no more.
        return Some(Cursor::pairs(first, stride, values, 8, count, entries, depth));
    }
    let first_value = at(values, o.dictvalues_values);
    // `get_index_from_order`, Objects/dictobject.c.
    let (order, downwards) = if o.dictvalues_capacity == ABSENT {
        (values.wrapping_sub(3), true)
    } else {
        let capacity = memory.u8(at(values, o.dictvalues_capacity))?;
        (first_value.wrapping_add(8 * capacity as u64), false)
    };
    let pairs = Cursor::pairs(first, stride, first_value, 8, count, count, depth);
    Some(pairs.ordered(order, downwards))
}

/// Keys and values of a dict in the order in which they lie there, to look for one of them (Python 3).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Table {
    /// Addresses of the next key and its value.
    key: u64,
    value: u64,
    /// Bytes to the one after it.
    key_stride: u64,
    value_stride: u64,
    left: u64,
}

impl Table {
    /// `count` keys, each followed by its value.
    #[inline(always)]
    pub(super) fn entries(first: u64, stride: u64, count: u64) -> Self {
        Self {
            key: first,
            value: first.wrapping_add(8),
            key_stride: stride,
            value_stride: stride,
            left: count,
        }
    }

    #[inline(always)]
    pub(super) fn of_dict<M: Memory>(
        slot: &mut Slot,
        target: &Target,
        memory: &mut M,
        dict: u64,
    ) -> Option<Self> {
        let o = &target.offsets;
        let window = Window::read::<HEAD_WORDS, _>(slot, memory, dict);
        let keys = window.word(slot, memory, o.ma_keys)?;
        let values = window.word(slot, memory, o.ma_values)?;
        Self::of_keys(slot, target, memory, keys, values)
    }

    /// The keys of a keys object; their values are in it, or in `values` unless that is 0.
    #[inline(always)]
    pub(super) fn of_keys<M: Memory>(
        slot: &mut Slot,
        target: &Target,
        memory: &mut M,
        keys: u64,
        values: u64,
    ) -> Option<Self> {
        let o = &target.offsets;
        let window = Window::read::<HEAD_WORDS, _>(slot, memory, keys);
        let index_bytes = if o.dk_size == ABSENT {
            index_bytes_of_log2(window.u8(slot, memory, o.dk_log2_index_bytes)?)?
        } else {
            index_bytes_of_size(window.word(slot, memory, o.dk_size)?)?
        };
        let general = o.dk_kind == ABSENT || window.u8(slot, memory, o.dk_kind)? == DICT_KEYS_GENERAL;
        let count = window.word(slot, memory, o.dk_nentries)?;
        let first = at(keys, o.dk_indices).wrapping_add(index_bytes);
        let mut table = if general {
            Self::entries(first.wrapping_add(8), 24, count)
        } else {
            Self::entries(first, 16, count)
        };
        if values != 0 {
            let offset = if o.dictvalues_values == ABSENT {
                0
            } else {
                o.dictvalues_values
            };
            table.value = at(values, offset);
            table.value_stride = 8;
        }
        Some(table)
    }

    /// The next key, and where its value is; `None`: it cannot be read. Not where nothing is left.
    #[inline(always)]
    pub(super) fn next<M: Memory>(&mut self, memory: &mut M) -> Option<(u64, u64)> {
        self.left = self.left.wrapping_sub(1);
        let key = memory.pointer(self.key)?;
        let value = self.value;
        self.key = self.key.wrapping_add(self.key_stride);
        self.value = value.wrapping_add(self.value_stride);
        Some((key, value))
    }

    /// Whether there is no next one.
    #[inline(always)]
    pub(super) fn is_finished(&self) -> bool {
        self.left == 0
    }
}

/// Bytes of a keys object's index table; `None`: garbage.
#[inline(always)]
fn index_bytes<M: Memory>(target: &Target, memory: &mut M, keys: u64) -> Option<u64> {
    let o = &target.offsets;
    if o.dk_size == ABSENT {
        return index_bytes_of_log2(memory.u8(at(keys, o.dk_log2_index_bytes))?);
    }
    index_bytes_of_size(memory.field(keys, o.dk_size)?)
}

#[inline(always)]
fn index_bytes_of_log2(log2: u8) -> Option<u64> {
    (log2 <= MAX_LOG2_INDEX_BYTES).then(|| 1u64 << (log2 & 63))
}

/// `DK_IXSIZE`, Objects/dictobject.c of 3.6 to 3.10.
#[inline(always)]
fn index_bytes_of_size(size: u64) -> Option<u64> {
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
