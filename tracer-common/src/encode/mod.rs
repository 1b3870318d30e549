//! The object encoder: copies Python objects, as they are at this moment, into a wire record.
//!
//! A small machine: [`Slot::stack`] holds cursors (a sequence to go on with, a table of pairs,
//! Python frames …), [`step`] takes the top one, encodes one item of it, and pushes a cursor for
//! an item that is a container itself. The kernel half drives [`step`] by `bpf_loop`, tests
//! drive it by a `for` loop over recorded memory. Nothing recurses, nothing allocates, and every
//! index is masked, so that the same code passes the BPF verifier and plain safe Rust.

mod activation;
mod attribution;
mod bytecode;
mod code;
mod container;
mod frame;
mod handle;
mod kind;
mod named;
mod number;
mod roots;
mod slot;
mod text;
mod thread;
mod value;

pub use activation::{
    Run, arguments_by_name, begin_run, code_of, is_raising, is_yielding, quick_key, returned, run_flags,
};
pub use attribution::{SEARCH_STEPS, Search, attribute, attributed, begin_search, end_search, search_step};
pub use bytecode::{as_call, operands, read};
pub use code::{CODE_STRINGS, begin_code, code_key, code_string};
pub use frame::place;
pub use handle::begin_handle;
pub use number::{UNKNOWN_SIZE, bytes_in};
pub use roots::{Outcome, begin_entry, begin_filled, begin_return, is_raise, new_exception, positional};
pub use slot::{Cursor, RECORD_WORDS, STACK_MAX, Slot, WINDOW_WORDS, WORDS};
pub use thread::{innermost_frame, is_current, read_thread};

use crate::{
    limits::MAX_DEPTH,
    target::Target,
    wire::{FLAG_CUT, Tag},
};
use slot::Op;

/// Reads another process's (or the traced process's own) memory.
pub trait Memory {
    /// `N` words at `address`.
    fn words<const N: usize>(&mut self, address: u64) -> Option<[u64; N]>;
    /// `N` words at `address` into the first places of `to`; false if they cannot be read.
    fn window<const N: usize>(&mut self, to: &mut [u64; WINDOW_WORDS], address: u64) -> bool;
    /// `len` bytes, less than there is room for, at `address` into the first places of `to`; false if they cannot be read.
    fn start(&mut self, to: &mut [u64; WINDOW_WORDS], len: u32, address: u64) -> bool;
    /// A 32-bit number at `address`.
    fn u32(&mut self, address: u64) -> Option<u32>;
    /// A byte at `address`.
    fn u8(&mut self, address: u64) -> Option<u8>;
    /// A C string: at most 15 bytes, zero filled to 16.
    fn short_str(&mut self, address: u64) -> Option<[u64; 2]>;
    /// Copies `len` bytes to `words` from index `at` on; false if they cannot be read.
    fn copy(&mut self, words: &mut [u64; WORDS], at: u32, len: u32, address: u64) -> bool;
    /// Copies a C string of at most `len` bytes (its NUL included); its length with the NUL, 0 if unreadable.
    fn copy_str(&mut self, words: &mut [u64; WORDS], at: u32, len: u32, address: u64) -> u32;

    /// The pointer at `address`.
    #[inline(always)]
    fn pointer(&mut self, address: u64) -> Option<u64> {
        let [word] = self.words::<1>(address)?;
        Some(word)
    }

    /// The pointer in a field of an object.
    #[inline(always)]
    fn field(&mut self, object: u64, offset: u16) -> Option<u64> {
        self.pointer(at(object, offset))
    }
}

/// Address of a field. What is taken for an object's address may be anything.
#[inline(always)]
fn at(object: u64, offset: u16) -> u64 {
    object.wrapping_add(offset as u64)
}

/// Whether the machine has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    Done,
}

/// Words that any one step may need beyond the captured bytes of a string.
const STEP_RESERVE: u32 = 64;

/// Encodes one item.
#[inline(always)]
pub fn step<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> Progress {
    if slot.depth == 0 {
        return Progress::Done;
    }
    if slot.len + STEP_RESERVE > RECORD_WORDS as u32 {
        slot.flags |= FLAG_CUT;
        return Progress::Done;
    }
    // A finished cursor costs no step of its own.
    if slot.is_finished() {
        slot.pop();
        if slot.depth == 0 {
            return Progress::Done;
        }
        if slot.is_finished() {
            return Progress::More;
        }
    }
    let top = slot.depth - 1;
    let cursor = *slot.cursor(top);
    slot.open(top);
    let Some((address, depth)) = next_item(slot, target, memory, &cursor, top) else {
        return Progress::More;
    };
    value::encode(slot, target, memory, address, depth);
    Progress::More
}

/// Encodes one frame, where the top cursor is one of [`Cursor::frames`]; Done: there are no more.
#[inline(always)]
pub fn frame_step<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> Progress {
    if slot.depth == 0 {
        return Progress::Done;
    }
    if slot.is_finished() {
        slot.pop();
        return Progress::Done;
    }
    let top = slot.depth - 1;
    let cursor = *slot.cursor(top);
    frame::encode(slot, target, memory, &cursor, top);
    Progress::More
}

/// Advances the top cursor; the object to encode and its depth, if there is one this time.
#[inline(always)]
fn next_item<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    cursor: &Cursor,
    top: u32,
) -> Option<(u64, u32)> {
    let depth = cursor.depth & 0xff;
    match cursor.op {
        op if op == Op::Pointers as u32 => {
            let next = slot.cursor(top);
            next.left = cursor.left - 1;
            next.at = cursor.values;
            Some((cursor.at, depth))
        }
        op if op == Op::Sequence as u32 => {
            let next = slot.cursor(top);
            next.left = cursor.left - 1;
            next.at = cursor.at.wrapping_add(8);
            match memory.pointer(cursor.at) {
                Some(address) => Some((address, depth)),
                None => {
                    slot.unreadable(cursor.at);
                    None
                }
            }
        }
        op if op == Op::Numbers as u32 => {
            let next = slot.cursor(top);
            next.left = cursor.left - 1;
            next.at = cursor.values;
            slot.push_tag(Tag::Int64);
            slot.push_word(cursor.at);
            None
        }
        op if op == Op::Pairs as u32 => pair(slot, target, memory, cursor, top, depth),
        op if op == Op::Keys as u32 => key(slot, target, memory, cursor, top, depth),
        op if op == Op::Ordered as u32 => ordered_pair(slot, memory, cursor, top, depth),
        op if op == Op::Unreadable as u32 => {
            slot.cursor(top).left = cursor.left - 1;
            slot.unreadable(cursor.at);
            None
        }
        _ => {
            frame::encode(slot, target, memory, cursor, top);
            None
        }
    }
}

/// One key of a set's hash table; empty and deleted entries are passed over.
#[inline(always)]
fn key<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    cursor: &Cursor,
    top: u32,
    depth: u32,
) -> Option<(u64, u32)> {
    let entry = memory.words::<2>(cursor.at);
    let next = slot.cursor(top);
    next.at = cursor.at.wrapping_add(16);
    next.limit = cursor.limit - 1;
    let Some(entry) = entry else {
        next.limit = 0;
        slot.unreadable(cursor.at);
        return None;
    };
    let (key, deleted) = if target.offsets.setentry_key == 0 {
        // `setentry.hash` is -1 for the dummy that marks a deleted entry (Objects/setobject.c).
        (entry[0], entry[1] == u64::MAX)
    } else {
        match is_dummy(target, memory, entry[1]) {
            Some(dummy) => (entry[1], dummy),
            None => {
                slot.cursor(top).left = cursor.left - 1;
                slot.unreadable(entry[1]);
                return None;
            }
        }
    };
    if key == 0 || deleted {
        return None;
    }
    slot.cursor(top).left = cursor.left - 1;
    Some((key, depth))
}

/// Is the object the string that Python 2 puts in the place of a deleted key (`set_init` in
/// Objects/setobject.c, 2.7)? A set that holds an equal string shows one item less.
#[inline(always)]
fn is_dummy<M: Memory>(target: &Target, memory: &mut M, key: u64) -> Option<bool> {
    const TEXT: &[u8; 11] = b"<dummy key>";
    const FIRST: u64 = u64::from_le_bytes([
        TEXT[0], TEXT[1], TEXT[2], TEXT[3], TEXT[4], TEXT[5], TEXT[6], TEXT[7],
    ]);
    const LAST: u64 = u64::from_le_bytes([TEXT[8], TEXT[9], TEXT[10], 0, 0, 0, 0, 0]);
    let o = &target.offsets;
    if key == 0 || memory.field(key, o.ob_type)? != target.known.bytes_type {
        return Some(false);
    }
    let [first, last] = memory.words::<2>(at(key, o.ob_sval))?;
    Some(first == FIRST && last & 0xffff_ffff == LAST)
}

/// One pair of a split dict, in the order of insertion.
#[inline(always)]
fn ordered_pair<M: Memory>(
    slot: &mut Slot,
    memory: &mut M,
    cursor: &Cursor,
    top: u32,
    depth: u32,
) -> Option<(u64, u32)> {
    let next = slot.cursor(top);
    next.order = if cursor.strides >> 16 != 0 {
        cursor.order.wrapping_sub(1)
    } else {
        cursor.order.wrapping_add(1)
    };
    next.left = cursor.left - 1;
    let (mut key, mut value) = (None, None);
    if let Some(index) = memory.u8(cursor.order) {
        key = memory.pointer(
            cursor
                .at
                .wrapping_add(index as u64 * (cursor.strides & 0xff) as u64),
        );
        value = memory.pointer(cursor.values.wrapping_add(8 * index as u64));
    }
    let (Some(key), Some(value)) = (key, value) else {
        slot.cursor(top).left = 0;
        slot.unreadable(cursor.order);
        slot.unreadable(cursor.order);
        return None;
    };
    slot.push(Cursor::pointers(value, 0, 1, depth));
    Some((key, depth))
}

/// One pair of a dict's entry table, or of keyword names and their values.
#[inline(always)]
fn pair<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    cursor: &Cursor,
    top: u32,
    depth: u32,
) -> Option<(u64, u32)> {
    let key = memory.pointer(cursor.at);
    let value = memory.pointer(cursor.values);
    let next = slot.cursor(top);
    next.at = cursor.at.wrapping_add((cursor.strides & 0xff) as u64);
    next.values = cursor.values.wrapping_add((cursor.strides >> 8 & 0xff) as u64);
    next.limit = cursor.limit - 1;
    let (Some(key), Some(value)) = (key, value) else {
        next.limit = 0;
        slot.unreadable(cursor.at);
        slot.unreadable(cursor.values);
        return None;
    };
    // A local that is not there may be in a cell: its place is kept.
    let is_local = cursor.strides >> 16 != 0;
    let value = if is_local {
        activation::local(target, memory, value)
    } else {
        value
    };
    if value == 0 && !is_local {
        return None;
    }
    let next = slot.cursor(top);
    next.left = cursor.left - 1;
    slot.push(Cursor::pointers(value, 0, 1, depth));
    Some((key, depth))
}

const _: () = assert!(STACK_MAX as u32 > 3 * MAX_DEPTH + 6);
