//! The greenlet, the asyncio task and the OpenTelemetry span of a call, looked for in what the running thread's state leads to.
//!
//! A machine as the encoder is one: [`search_step`] looks at one entry of a dict, or at one node of a tree, so that the verifier
//! goes through it once and the kernel half decides how many steps there are.

mod greenlet;

use super::{Cursor, Memory, Slot, at, container::Table, slot::Window};
use crate::{
    target::{ABSENT, Target},
    wire::{FLAG_UNATTRIBUTED, Tag},
};

/// Steps at most; who needs more is told to be unattributed.
pub const SEARCH_STEPS: u32 = 512;

/// `__asyncio_running_event_loop__`, by which the dict of a thread state has the loop that runs (3.7 to 3.12).
const RUNNING_LOOP: &[u8; 30] = b"__asyncio_running_event_loop__";
const RUNNING_LOOP_WORDS: [u64; 4] = words(RUNNING_LOOP);

/// `Py_TPFLAGS_*` (Include/object.h).
const INLINE_VALUES: u64 = 1 << 2;
const MANAGED_DICT: u64 = 1 << 4;
const TUPLE_SUBCLASS: u64 = 1 << 26;
const DICT_SUBCLASS: u64 = 1 << 29;

/// How the names of a context's tree nodes begin (`_PyHamt_*_Type`, Python/hamt.c).
const HAMT_BITMAP: u64 = u64::from_le_bytes(*b"hamt_bit");
const HAMT_ARRAY: u64 = u64::from_le_bytes(*b"hamt_arr");
const HAMT_COLLISION: u64 = u64::from_le_bytes(*b"hamt_col");
/// Words of a coroutine up to its qualified name.
const COROUTINE_WORDS: usize = 8;
/// Bits of the hash that each level of the tree takes.
const HAMT_BITS: u64 = 5;
/// What the last level has of a hash of 32 bits.
const HAMT_LAST: u64 = 30;

/// What is looked at.
#[repr(u64)]
enum Phase {
    Done = 0,
    /// The thread's own storage, for its current greenlet.
    Greenlet,
    /// A greenlet's type and its bases.
    GreenletBases,
    /// Nothing yet of the task.
    Task,
    /// The dict of the thread's state, for its running loop.
    Loop,
    /// The tasks of all loops.
    Tasks,
    /// A task's type and its bases.
    Bases,
    /// Nothing yet of the span.
    Context,
    /// A node of the tree of the context's variables.
    Node,
    /// A node whose keys have one hash.
    Collision,
    /// OpenTelemetry's context, a dict.
    Spans,
    /// The span's attributes.
    Attributes,
}

/// A search, and what it found.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Search {
    phase: u64,
    tstate: u64,
    /// The greenlet; 0: none, or the thread's first one.
    greenlet: u64,
    /// What is looked for: a key; 0: [`RUNNING_LOOP`], by its text.
    key: u64,
    /// Entries of a table.
    table: Table,
    /// A node of a tree, and how much of the hash was used; or a type.
    node: u64,
    shift: u64,
    /// The address of the key [`RUNNING_LOOP`], once it was seen: it is interned, and no other object has that text as a key. Kept by
    /// the kernel half from search to search.
    pub running_loop_key: u64,
    /// The task; 0: none.
    task: u64,
    /// Its name, a `str` or a number (3.12+), or 0.
    name: u64,
    /// The coroutine's qualified name, or the coroutine if it is of a type that is not CPython's, or 0.
    coroutine: u64,
    /// The `int`s of the span; 0: none.
    trace_id: u64,
    span_id: u64,
}

impl Search {
    /// Forgets what was found.
    #[inline(always)]
    pub(super) fn reset(&mut self) {
        self.greenlet = 0;
        self.task = 0;
        self.trace_id = 0;
    }
}

/// Begins the search for a thread with that state; false: there is nothing to be found.
#[inline(always)]
pub fn begin_search<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, tstate: u64) -> bool {
    slot.search.tstate = tstate;
    if target.attribution.greenlet_type != 0 {
        slot.search.phase = Phase::Greenlet as u64;
        return true;
    }
    slot.search.phase = Phase::Context as u64;
    if target.attribution.task_type != 0 && begin_task(slot, target, memory).is_none() {
        slot.flags |= FLAG_UNATTRIBUTED;
    }
    if slot.search.phase == Phase::Context as u64 && target.attribution.context_var == 0 {
        slot.search.phase = Phase::Done as u64;
    }
    slot.search.phase != Phase::Done as u64
}

/// The next type of an object's: its own, then one base after the other.
#[inline(always)]
fn next_base<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> Option<u64> {
    let o = &target.offsets;
    let ty = if slot.search.shift == 0 {
        memory.field(slot.search.node, o.ob_type)?
    } else {
        memory.field(slot.search.node, o.tp_base)?
    };
    slot.search.shift = 1;
    slot.search.node = ty;
    Some(ty)
}

/// How the version tells the running task: by the thread's state (3.14+), by that of its loop (3.13), by that of the loop in the
/// state's dict. `None`: it cannot be read.
#[inline(always)]
fn begin_task<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> Option<()> {
    let o = &target.offsets;
    let tstate = slot.search.tstate;
    if o.asyncio_running_task != ABSENT {
        let task = memory.field(tstate, o.asyncio_running_task)?;
        found_task(slot, task, target.known.none);
        return Some(());
    }
    let tasks = target.attribution.current_tasks;
    // Nothing runs in any thread.
    if memory.field(tasks, o.ma_used)? == 0 {
        return Some(());
    }
    if o.asyncio_running_loop != ABSENT {
        let running = memory.field(tstate, o.asyncio_running_loop)?;
        return begin_tasks(slot, target, memory, running);
    }
    let dict = memory.field(tstate, o.tstate_dict)?;
    if dict != 0 {
        slot.search.table = Table::of_dict(slot, target, memory, dict)?;
        slot.search.key = slot.search.running_loop_key;
        slot.search.phase = Phase::Loop as u64;
    }
    Some(())
}

#[inline(always)]
fn begin_tasks<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, running: u64) -> Option<()> {
    slot.search.phase = Phase::Context as u64;
    if running != 0 && running != target.known.none {
        slot.search.table = Table::of_dict(slot, target, memory, target.attribution.current_tasks)?;
        slot.search.key = running;
        slot.search.phase = Phase::Tasks as u64;
    }
    Some(())
}

#[inline(always)]
fn found_task(slot: &mut Slot, task: u64, none: u64) {
    slot.search.phase = Phase::Context as u64;
    if task != 0 && task != none {
        slot.search.node = task;
        slot.search.shift = 0;
        slot.search.phase = Phase::Bases as u64;
        slot.search.key = task;
    }
}

/// One step of the search; false: it is over.
#[inline(always)]
pub fn search_step<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> bool {
    let before = slot.search.phase;
    if take_step(slot, target, memory).is_none() {
        slot.flags |= FLAG_UNATTRIBUTED;
        // What cannot be read of one says nothing of the others.
        slot.search.phase = if before < Phase::Task as u64 {
            Phase::Task as u64
        } else if before < Phase::Context as u64 {
            Phase::Context as u64
        } else {
            Phase::Done as u64
        };
    }
    slot.search.phase != Phase::Done as u64
}

/// Marks a search that did not come to its end.
#[inline(always)]
pub fn end_search(slot: &mut Slot) {
    if slot.search.phase != Phase::Done as u64 {
        slot.flags |= FLAG_UNATTRIBUTED;
    }
}

#[inline(always)]
fn take_step<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> Option<()> {
    let phase = slot.search.phase;
    if phase == Phase::Greenlet as u64 {
        return greenlet::current(slot, target, memory);
    }
    if phase == Phase::GreenletBases as u64 {
        return greenlet::base(slot, target, memory);
    }
    if phase == Phase::Task as u64 {
        slot.search.phase = Phase::Context as u64;
        if target.attribution.task_type == 0 {
            return Some(());
        }
        return begin_task(slot, target, memory);
    }
    if phase == Phase::Bases as u64 {
        return base(slot, target, memory);
    }
    if phase == Phase::Context as u64 {
        return context(slot, target, memory);
    }
    if phase == Phase::Node as u64 {
        return node(slot, target, memory);
    }
    if slot.search.table.is_finished() {
        // It is not there.
        slot.search.phase = if phase < Phase::Context as u64 {
            Phase::Context as u64
        } else {
            Phase::Done as u64
        };
        return Some(());
    }
    let (key, value) = slot.search.table.next(memory)?;
    let matches = if slot.search.key == 0 {
        is_running_loop(target, memory, key)
    } else {
        key == slot.search.key
    };
    if !matches {
        return Some(());
    }
    let value = memory.pointer(value)?;
    // A deleted entry may have its key still.
    if value == 0 {
        return Some(());
    }
    if phase == Phase::Loop as u64 {
        slot.search.running_loop_key = key;
        return running_loop(slot, target, memory, value);
    }
    if phase == Phase::Tasks as u64 {
        found_task(slot, value, target.known.none);
        return Some(());
    }
    if phase == Phase::Collision as u64 {
        return spans(slot, target, memory, value);
    }
    if phase == Phase::Spans as u64 {
        return attributes(slot, target, memory, value);
    }
    span_context(slot, target, memory, value)
}

/// The value in a thread's dict: the loop (3.12), or what holds it (`PyRunningLoopHolder`, before).
#[inline(always)]
fn running_loop<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, value: u64) -> Option<()> {
    let o = &target.offsets;
    let running = if o.tstate_active_bit == ABSENT {
        // Its first field.
        memory.field(value, o.ob_size)?
    } else {
        value
    };
    begin_tasks(slot, target, memory, running)
}

/// Whether a key is the text [`RUNNING_LOOP`].
#[inline(always)]
fn is_running_loop<M: Memory>(target: &Target, memory: &mut M, key: u64) -> bool {
    let o = &target.offsets;
    key != 0
        && memory.field(key, o.ob_type) == Some(target.known.unicode_type)
        && memory.field(key, o.unicode_length) == Some(RUNNING_LOOP.len() as u64)
        // A zero byte ends it, and one more is padding.
        && memory.words::<4>(at(key, o.unicode_ascii_data)).is_some_and(|[a, b, c, d]| {
            let [w, x, y, z] = RUNNING_LOOP_WORDS;
            a == w && b == x && c == y && d << 16 == z << 16
        })
}

/// Whether a task's type is asyncio's own: one type of its bases a step. What is none, a task made in Python, has its fields elsewhere.
#[inline(always)]
fn base<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> Option<()> {
    let a = &target.attribution;
    let ty = next_base(slot, target, memory)?;
    if ty != 0 && ty != a.task_type {
        return Some(());
    }
    slot.search.phase = Phase::Context as u64;
    slot.search.task = slot.search.key;
    slot.search.name = 0;
    slot.search.coroutine = 0;
    if ty != 0 {
        // The name is behind the coroutine.
        let [of, name] = memory.words::<2>(at(slot.search.task, a.task_coro))?;
        if a.task_name != ABSENT {
            slot.search.name = name;
        }
        slot.search.coroutine = coroutine(slot, target, memory, of)?;
    }
    Some(())
}

#[inline(always)]
fn coroutine<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, coroutine: u64) -> Option<u64> {
    let o = &target.offsets;
    if coroutine == 0 || coroutine == target.known.none {
        return Some(0);
    }
    let window = Window::read::<COROUTINE_WORDS, _>(slot, memory, coroutine);
    let ty = window.word(slot, memory, o.ob_type)?;
    if ty == target.known.coroutine_type || ty == target.known.generator_type {
        return window.word(slot, memory, o.gen_qualname);
    }
    Some(coroutine)
}

/// The root of the tree of the thread's context, if it has one.
#[inline(always)]
fn context<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> Option<()> {
    let o = &target.offsets;
    slot.search.phase = Phase::Done as u64;
    if target.attribution.context_var == 0 {
        return Some(());
    }
    let context = memory.field(slot.search.tstate, o.tstate_context)?;
    if context != 0 && context != target.known.none {
        let vars = memory.field(context, o.context_vars)?;
        slot.search.node = memory.field(vars, o.hamt_root)?;
        slot.search.shift = 0;
        slot.search.phase = Phase::Node as u64;
    }
    Some(())
}

/// One level of `hamt_node_find` (Python/hamt.c).
#[inline(always)]
fn node<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> Option<()> {
    let o = &target.offsets;
    let node = slot.search.node;
    let part = target.attribution.context_var_hash >> (slot.search.shift & 31) & 31;
    slot.search.phase = Phase::Done as u64;
    let ty = memory.field(node, o.ob_type)?;
    let name = memory.field(ty, o.tp_name)?;
    let name = memory.pointer(name)?;
    if name == HAMT_COLLISION {
        let count = memory.field(node, o.ob_size)? / 2;
        slot.search.table = Table::entries(at(node, o.hamt_collision), 16, count);
        slot.search.key = target.attribution.context_var;
        slot.search.phase = Phase::Collision as u64;
        return Some(());
    }
    // No level is below the last one but such a node.
    if slot.search.shift > HAMT_LAST {
        return None;
    }
    if name == HAMT_ARRAY {
        let child = memory.pointer(at(node, o.hamt_array).wrapping_add(8 * part as u64))?;
        descend(slot, child);
        return Some(());
    }
    if name != HAMT_BITMAP {
        return None;
    }
    let bitmap = memory.u32(at(node, o.hamt_bitmap))?;
    if bitmap >> part & 1 == 0 {
        return Some(());
    }
    let before = (bitmap & ((1u32 << part) - 1)).count_ones();
    let [key, value] = memory.words::<2>(at(node, o.hamt_bitmap_array).wrapping_add(16 * before as u64))?;
    if key == 0 {
        descend(slot, value);
        return Some(());
    }
    if key == target.attribution.context_var {
        return spans(slot, target, memory, value);
    }
    Some(())
}

#[inline(always)]
fn descend(slot: &mut Slot, child: u64) {
    if child != 0 {
        slot.search.node = child;
        slot.search.shift += HAMT_BITS;
        slot.search.phase = Phase::Node as u64;
    }
}

/// The entries of OpenTelemetry's context.
#[inline(always)]
fn spans<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, context: u64) -> Option<()> {
    slot.search.phase = Phase::Done as u64;
    if has_flag(target, memory, context, DICT_SUBCLASS)? {
        slot.search.table = Table::of_dict(slot, target, memory, context)?;
        slot.search.key = target.attribution.span_key;
        slot.search.phase = Phase::Spans as u64;
    }
    Some(())
}

/// The attributes of the span: in its dict, or still beside it.
#[inline(always)]
fn attributes<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, span: u64) -> Option<()> {
    slot.search.phase = Phase::Done as u64;
    if let Some(table) = attributes_of(slot, target, memory, span)? {
        slot.search.table = table;
        slot.search.key = target.attribution.span_context_name;
        slot.search.phase = Phase::Attributes as u64;
    }
    Some(())
}

/// `_PyObject_GetDictPtr` and its successors (Objects/object.c; Include/internal/pycore_object.h). `Some(None)`: it has none.
#[inline(always)]
fn attributes_of<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    object: u64,
) -> Option<Option<Table>> {
    let o = &target.offsets;
    let ty = memory.field(object, o.ob_type)?;
    let flags = memory.field(ty, o.tp_flags)?;
    let mut dict_at = object.wrapping_sub(o.managed_dict as u64);
    let mut values = 0;
    if o.managed_dict == ABSENT || flags & MANAGED_DICT == 0 {
        // A negative offset counts from the end of an object of variable size; spans are none.
        let offset = memory.field(ty, o.tp_dictoffset)?;
        if offset == 0 || offset > 1 << 16 {
            return Some(None);
        }
        dict_at = object.wrapping_add(offset);
    } else if o.dictvalues_valid != ABSENT {
        if flags & INLINE_VALUES != 0 {
            let inline = object.wrapping_add(memory.field(ty, o.tp_basicsize)?);
            if memory.u8(at(inline, o.dictvalues_valid))? != 0 {
                values = inline;
            }
        }
    } else {
        let word = memory.pointer(object.wrapping_sub(o.values_before as u64))?;
        if o.values_before != o.managed_dict {
            values = word;
        } else if word & 1 != 0 {
            // 3.12: one word for either.
            values = word.wrapping_add(1);
        }
    }
    if values != 0 {
        let keys = memory.field(ty, o.ht_cached_keys)?;
        return Some(Some(Table::of_keys(slot, target, memory, keys, values)?));
    }
    let dict = memory.pointer(dict_at)?;
    if dict == 0 {
        return Some(None);
    }
    Some(Some(Table::of_dict(slot, target, memory, dict)?))
}

/// An attribute of an object, from its own dict or the values beside it: the user half's way to what the kernel half finds by steps.
/// `name`: the interned `str`.
pub fn attribute<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    object: u64,
    name: u64,
) -> Option<u64> {
    let mut table = attributes_of(slot, target, memory, object)??;
    for _ in 0..SEARCH_STEPS {
        if table.is_finished() {
            break;
        }
        let (key, value) = table.next(memory)?;
        if key == name {
            return memory.pointer(value).filter(|value| *value != 0);
        }
    }
    None
}

/// The two numbers of a `SpanContext`, a tuple that begins with them.
#[inline(always)]
fn span_context<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, context: u64) -> Option<()> {
    let o = &target.offsets;
    slot.search.phase = Phase::Done as u64;
    if has_flag(target, memory, context, TUPLE_SUBCLASS)? && memory.field(context, o.ob_size)? >= 2 {
        let [trace_id, span_id] = memory.words::<2>(at(context, o.tuple_ob_item))?;
        slot.search.trace_id = trace_id;
        slot.search.span_id = span_id;
    }
    Some(())
}

#[inline(always)]
fn has_flag<M: Memory>(target: &Target, memory: &mut M, object: u64, flag: u64) -> Option<bool> {
    let o = &target.offsets;
    let ty = memory.field(object, o.ob_type)?;
    Some(memory.field(ty, o.tp_flags)? & flag != 0)
}

/// Prepares the part of an entry record that says what was found.
#[inline(always)]
pub fn attributed(slot: &mut Slot) {
    let Search {
        greenlet,
        task,
        name,
        coroutine,
        trace_id,
        span_id,
        ..
    } = slot.search;
    if greenlet != 0 {
        slot.push(
            Cursor::pointers(greenlet, 0, 1, 0)
                .opened(Tag::Greenlet, 0)
                .ended(),
        );
    }
    if task != 0 {
        slot.push(
            Cursor::pointers(name, coroutine, 2, 0)
                .opened(Tag::Task, task)
                .ended(),
        );
    }
    if trace_id != 0 {
        slot.push(
            Cursor::pointers(trace_id, span_id, 2, 0)
                .opened(Tag::Span, 0)
                .ended(),
        );
    }
}

/// A text as words, padded with zeros.
const fn words(text: &[u8; 30]) -> [u64; 4] {
    let mut words = [0; 4];
    let mut n = 0;
    while n < text.len() {
        words[n / 8] |= (text[n] as u64) << (8 * (n % 8));
        n += 1;
    }
    words
}
