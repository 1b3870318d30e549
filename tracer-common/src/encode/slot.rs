//! The encoder's memory: one record being written and the stack of what is left to do.

use super::{Memory, Search};
use crate::{
    cookie::COOKIE_REGISTERS,
    limits::{MAX_FRAMES, RECORD_MAX},
    wire::{RecordHeader, Tag, value_word},
};

/// Words of a record.
pub const RECORD_WORDS: usize = RECORD_MAX / 8;
/// Words of the buffer: a copy of the largest size may start at a record's last word.
pub const WORDS: usize = 2 * RECORD_WORDS;
/// Cursors at once. A power of two.
pub const STACK_MAX: usize = 32;

const HEADER_WORDS: u32 = (RecordHeader::SIZE / 8) as u32;

/// Words of an object that are read at once. A power of two.
pub const WINDOW_WORDS: usize = 16;

/// A piece of the traced process that was read in one go: a helper call costs more than the bytes.
#[derive(Clone, Copy)]
pub struct Window {
    base: u64,
    /// Bytes that are there; 0 if they could not be read.
    len: u64,
}

impl Window {
    /// Reads `N` words at `base` into the slot's window.
    #[inline(always)]
    pub fn read<const N: usize, M: Memory>(slot: &mut Slot, memory: &mut M, base: u64) -> Self {
        const { assert!(N <= WINDOW_WORDS) };
        let there = memory.window::<N>(&mut slot.window, base);
        Self {
            base,
            len: if there { 8 * N as u64 } else { 0 },
        }
    }

    /// The word at `base + offset`: from the window, or, outside it, from memory.
    #[inline(always)]
    pub fn word<M: Memory>(self, slot: &Slot, memory: &mut M, offset: u16) -> Option<u64> {
        let offset = offset as u64;
        if offset & 7 == 0 && offset < self.len {
            return Some(slot.window[(offset / 8) as usize & (WINDOW_WORDS - 1)]);
        }
        memory.pointer(self.base.wrapping_add(offset))
    }

    /// The 32-bit number there.
    #[inline(always)]
    pub fn u32<M: Memory>(self, slot: &Slot, memory: &mut M, offset: u16) -> Option<u32> {
        let at = offset as u64;
        if at & 3 == 0 && at < self.len {
            let word = slot.window[(at / 8) as usize & (WINDOW_WORDS - 1)];
            return Some((word >> (8 * (at & 4))) as u32);
        }
        memory.u32(self.base.wrapping_add(at))
    }

    /// The byte there.
    #[inline(always)]
    pub fn u8<M: Memory>(self, slot: &Slot, memory: &mut M, offset: u16) -> Option<u8> {
        let at = offset as u64;
        if at < self.len {
            let word = slot.window[(at / 8) as usize & (WINDOW_WORDS - 1)];
            return Some((word >> (8 * (at & 7))) as u8);
        }
        memory.u8(self.base.wrapping_add(at))
    }

    /// Whether it could be read.
    #[inline(always)]
    pub fn is_there(self) -> bool {
        self.len != 0
    }

    /// Whether `len` bytes at `offset`, a multiple of 8, are in the window.
    #[inline(always)]
    pub fn holds(self, offset: u64, len: u64) -> bool {
        offset & 7 == 0 && offset + len <= self.len
    }
}

/// What a cursor walks over.
#[repr(u32)]
pub enum Op {
    /// Up to two object pointers: `at`, then `values`.
    Pointers = 1,
    /// An array of object pointers at `at`.
    Sequence = 2,
    /// Keys at `at` and values at `values`, each with its stride.
    Pairs = 3,
    /// A set's entries (key, hash) at `at`.
    Keys = 4,
    /// Python frames from `at` outwards.
    Frames = 5,
    /// Pairs of a split dict: keys at `at`, values at `values`, by the index bytes at `order`.
    Ordered = 6,
    /// Nothing: what should be at `at` could not be read.
    Unreadable = 7,
    /// Up to two C numbers: `at`, then `values`.
    Numbers = 8,
}

/// Something to go on with.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Cursor {
    pub op: u32,
    /// Containers around the items.
    pub depth: u32,
    /// Address of the next item.
    pub at: u64,
    /// Address of the next value.
    pub values: u64,
    /// Items still to encode.
    pub left: u64,
    /// Entries still to look at.
    pub limit: u64,
    /// Bytes from key to key (bits 0..8) and from value to value (8..16); of [`Op::Ordered`]: not 0
    /// in bits 16.. if the order is read downwards; of [`Op::Pairs`]: not 0 there if the values are a frame's locals.
    pub strides: u32,
    /// Not 0: write [`Tag::End`] when done.
    pub end: u32,
    /// Word to write before the first item; 0: none.
    pub open: u64,
    /// Total to write after an `open` word of [`Tag::Args`] or [`Tag::Kwargs`]; of [`Tag::Task`] its address.
    pub total: u64,
    /// Address of the next index byte of [`Op::Ordered`].
    pub order: u64,
}

impl Cursor {
    /// `count` (1 or 2) objects.
    #[inline(always)]
    pub fn pointers(first: u64, second: u64, count: u64, depth: u32) -> Self {
        Self {
            op: Op::Pointers as u32,
            depth,
            at: first,
            values: second,
            left: count,
            limit: 1,
            ..Self::default()
        }
    }

    /// `count` (1 or 2) C numbers.
    #[inline(always)]
    pub fn numbers(first: u64, second: u64, count: u64) -> Self {
        Self {
            op: Op::Numbers as u32,
            ..Self::pointers(first, second, count, 0)
        }
    }

    /// `count` object pointers at `at`.
    #[inline(always)]
    pub fn sequence(at: u64, count: u64, depth: u32) -> Self {
        Self {
            op: Op::Sequence as u32,
            depth,
            at,
            left: count,
            limit: 1,
            ..Self::default()
        }
    }

    /// `count` pairs out of `limit` entries.
    #[inline(always)]
    pub fn pairs(
        keys: u64,
        key_stride: u32,
        values: u64,
        value_stride: u32,
        count: u64,
        limit: u64,
        depth: u32,
    ) -> Self {
        Self {
            op: Op::Pairs as u32,
            depth,
            at: keys,
            values,
            left: count,
            limit,
            strides: key_stride | value_stride << 8,
            ..Self::default()
        }
    }

    /// `count` pairs out of `limit` entries that hold key and value side by side.
    #[inline(always)]
    pub fn entries(first: u64, stride: u32, count: u64, limit: u64, depth: u32) -> Self {
        let values = first.wrapping_add(8);
        Self::pairs(first, stride, values, stride, count, limit, depth)
    }

    /// Pairs of a split dict by the index bytes at `order`: in the order of insertion.
    #[inline(always)]
    pub fn ordered(mut self, order: u64, downwards: bool) -> Self {
        self.op = Op::Ordered as u32;
        self.order = order;
        self.strides |= (downwards as u32) << 16;
        self
    }

    /// `count` objects that could not be read, from `at` on.
    #[inline(always)]
    pub fn unreadable(at: u64, count: u64) -> Self {
        Self {
            op: Op::Unreadable as u32,
            at,
            left: count,
            limit: 1,
            ..Self::default()
        }
    }

    /// Values of [`Self::pairs`] are a frame's locals: what is in a cell is shown instead of the cell.
    #[inline(always)]
    pub fn of_locals(mut self) -> Self {
        self.strides |= 1 << 16;
        self
    }

    /// `count` keys out of `limit` set entries.
    #[inline(always)]
    pub fn keys(at: u64, count: u64, limit: u64, depth: u32) -> Self {
        Self {
            op: Op::Keys as u32,
            depth,
            at,
            left: count,
            limit,
            ..Self::default()
        }
    }

    /// Up to `count` Python frames, innermost first.
    #[inline(always)]
    pub fn frames(frame: u64, count: u64) -> Self {
        Self {
            op: Op::Frames as u32,
            at: frame,
            left: count,
            limit: 4 * count + 16,
            ..Self::default()
        }
    }

    /// Closes with [`Tag::End`].
    #[inline(always)]
    pub fn ended(mut self) -> Self {
        self.end = 1;
        self
    }

    /// Starts with a word for `tag`.
    #[inline(always)]
    pub fn opened(mut self, tag: Tag, total: u64) -> Self {
        self.open = value_word(tag, 0, 0);
        self.total = total;
        self
    }
}

/// One record in the making. `repr(C)`, all zeros is a valid free slot.
#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    /// 0: free. Owned by the kernel half.
    pub busy: u64,
    /// Words written.
    pub len: u32,
    /// Cursors on the stack.
    pub depth: u32,
    /// `wire::FLAG_*` so far.
    pub flags: u32,
    /// Frames written.
    pub frames: u32,
    /// Values that could not be read.
    pub faults: u32,
    /// Not 0: strings are captured as far as there is room, whatever `--max-str` says.
    pub whole: u32,
    /// `wire::KIND_*` of the record. Owned by the kernel half.
    pub kind: u32,
    /// [`RecordHeader::weight_log2`]. Owned by the kernel half.
    pub weight_log2: u32,
    /// [`RecordHeader::time_ns`], 0: not yet, and [`RecordHeader::sp`]. Owned by the kernel half.
    pub time_ns: u64,
    pub sp: u64,
    /// The thread state whose head is in `words`, 0: none.
    pub thread: u64,
    /// The first words of the object at hand; see [`Window`].
    pub window: [u64; WINDOW_WORDS],
    /// The probed thread's general-purpose registers, by x86-64's own numbers. Owned by the kernel half.
    pub registers: [u64; 16],
    /// The thread's innermost frame; 0 as well where it is written already. Owned by the kernel half.
    pub innermost: u64,
    /// The C arguments, or the operands. Owned by the kernel half.
    pub arguments: [u64; COOKIE_REGISTERS],
    /// The thread's state, 0: unknown. Owned by the kernel half.
    pub tstate: u64,
    /// What the call belongs to.
    pub search: Search,
    pub stack: [Cursor; STACK_MAX],
    pub words: [u64; WORDS],
}

impl Default for Slot {
    /// A free slot. Large: to be boxed.
    fn default() -> Self {
        Self {
            busy: 0,
            len: 0,
            depth: 0,
            flags: 0,
            frames: 0,
            faults: 0,
            whole: 0,
            kind: 0,
            weight_log2: 0,
            time_ns: 0,
            sp: 0,
            thread: 0,
            window: [0; WINDOW_WORDS],
            registers: [0; 16],
            innermost: 0,
            arguments: [0; COOKIE_REGISTERS],
            tstate: 0,
            search: Search::default(),
            stack: [Cursor::default(); STACK_MAX],
            words: [0; WORDS],
        }
    }
}

impl Slot {
    /// Makes the slot ready for a record; the header's words are written last.
    #[inline(always)]
    pub fn reset(&mut self) {
        self.len = HEADER_WORDS;
        self.depth = 0;
        self.flags = 0;
        self.frames = 0;
        self.faults = 0;
        self.whole = 0;
        self.weight_log2 = 0;
        self.time_ns = 0;
        self.search.reset();
        self.thread = 0;
    }

    /// Whether nothing is written yet.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == HEADER_WORDS
    }

    /// The words of the record's `FrameRecord` of that number, below `self.frames`.
    #[inline(always)]
    pub fn frame(&self, i: u32) -> [u64; 3] {
        let first = HEADER_WORDS + 3 * (i & (MAX_FRAMES - 1));
        [0, 1, 2].map(|word| self.words[(first + word) as usize & (RECORD_WORDS - 1)])
    }

    #[inline(always)]
    pub(super) fn cursor(&mut self, i: u32) -> &mut Cursor {
        &mut self.stack[i as usize & (STACK_MAX - 1)]
    }

    /// Puts a cursor on the stack; false (and the record marked cut) if there is no room.
    #[inline(always)]
    pub fn push(&mut self, cursor: Cursor) -> bool {
        let depth = self.depth;
        if depth >= STACK_MAX as u32 {
            self.flags |= crate::wire::FLAG_CUT;
            return false;
        }
        *self.cursor(depth) = cursor;
        self.depth = depth + 1;
        true
    }

    /// Whether the top cursor has nothing left.
    #[inline(always)]
    pub(super) fn is_finished(&mut self) -> bool {
        let top = self.cursor(self.depth.wrapping_sub(1));
        top.left == 0 || top.limit == 0
    }

    /// Takes the top cursor off the stack, and closes its container.
    #[inline(always)]
    pub(super) fn pop(&mut self) {
        let top = self.depth.wrapping_sub(1);
        self.open(top);
        let end = self.cursor(top).end;
        self.depth = top;
        if end != 0 {
            self.push_word(value_word(Tag::End, 0, 0));
        }
    }

    /// Writes a cursor's opening word, once.
    #[inline(always)]
    pub(super) fn open(&mut self, at: u32) {
        let cursor = self.cursor(at);
        let (open, total) = (cursor.open, cursor.total);
        if open == 0 {
            return;
        }
        cursor.open = 0;
        self.push_word(open);
        let tag = open as u8;
        let has_total = tag == Tag::Args as u8
            || tag == Tag::Kwargs as u8
            || tag == Tag::Filled as u8
            || tag == Tag::Globals as u8
            || tag == Tag::Task as u8
            || tag == Tag::Greenlet as u8
            || tag == Tag::Span as u8;
        if has_total {
            self.push_word(total);
        }
    }

    #[inline(always)]
    pub fn put(&mut self, at: u32, word: u64) {
        self.words[at as usize & (RECORD_WORDS - 1)] = word;
    }

    /// Appends a word.
    #[inline(always)]
    pub fn push_word(&mut self, word: u64) {
        let len = self.len;
        self.put(len, word);
        self.len = len + 1;
    }

    #[inline(always)]
    pub(super) fn push_tag(&mut self, tag: Tag) {
        self.push_word(value_word(tag, 0, 0));
    }

    #[inline(always)]
    pub(super) fn unreadable(&mut self, address: u64) {
        self.faults += 1;
        self.push_tag(Tag::Unreadable);
        self.push_word(address);
    }

    /// Words left for captured bytes in this step.
    #[inline(always)]
    pub(super) fn room(&self) -> u32 {
        (RECORD_WORDS as u32).saturating_sub(self.len + super::STEP_RESERVE)
    }

    /// Writes the header over the first words; the length of the whole record in bytes.
    #[inline(always)]
    pub fn finish(&mut self, mut header: RecordHeader) -> u32 {
        let bytes = self.len * 8;
        header.len = bytes;
        header.flags |= self.flags;
        header.frames = self.frames as u16;
        header.weight_log2 = self.weight_log2 as u16;
        self.words[0] = header.kind as u64
            | (header.convention as u64) << 8
            | (header.target as u64) << 16
            | (header.len as u64) << 32;
        self.words[1] = header.site as u64 | (header.tid as u64) << 32;
        self.words[2] = header.time_ns;
        self.words[3] = header.sp;
        self.words[4] =
            header.flags as u64 | (header.frames as u64) << 32 | (header.weight_log2 as u64) << 48;
        bytes
    }
}
