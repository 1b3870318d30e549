//! Runs of Python functions: which code, which arguments, which value. Fields: `Include/internal/pycore_frame.h` (3.11 to 3.13),
//! `pycore_interpframe_structs.h` (3.14+), `Include/frameobject.h` (to 3.10).

use super::{Cursor, Memory, Slot, at, attributed, container::dict_cursor, slot::Window};
use crate::{
    activation::{PackedPlace, RUN_NONE, RUN_RESUMED, RUN_THROWN, Role, word},
    fingerprint::{SEED, mix},
    target::{ABSENT, Target},
    wire::{Tag, value_word},
};

/// `_PyStackRef` tag bits (3.14+); objects are aligned to 8 bytes at least.
const TAG_BITS: u64 = 7;
/// The kernel's half of the address space: no program can have anything there.
const UNREADABLE: u64 = 1 << 63;
/// Words of a code object from `co_firstlineno` to `co_linetable`, whichever comes first.
const CODE_WORDS: usize = 12;
/// `CO_VARARGS` and `CO_VARKEYWORDS` (Include/cpython/code.h): one argument more each.
const CO_VARARGS: u32 = 4;
const CO_VARKEYWORDS: u32 = 8;
/// An instruction's argument that needs an `EXTENDED_ARG`, see [`super::bytecode`].
const SHORT: u64 = 256;
/// `RESUME_OPARG_LOCATION_MASK` (Include/internal/pycore_opcode_utils.h): 0 at a function's start, 1 to 3 behind a `yield`.
const BEHIND_YIELD: u8 = 3;
/// `RESUME_AT_GEN_EXPR_START` (3.15+), with the bits around it: what only takes the iterator, and makes the generator.
const MAKES_GENERATOR: u8 = 4;
/// `FRAME_SUSPENDED` (3.10, Include/internal/pycore_frame.h) as a byte.
const SUSPENDED: u8 = 0xff;

/// A frame that begins to run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub frame: u64,
    pub code: u64,
    /// [`quick_key`].
    pub key: u64,
    /// `RUN_*`.
    pub flags: u8,
}

/// The code object that a frame runs.
#[inline(always)]
pub fn code_of<M: Memory>(target: &Target, memory: &mut M, frame: u64) -> Option<u64> {
    Some(memory.field(frame, target.offsets.frame_code)? & !TAG_BITS)
}

/// Tells a code object from others that have had its address: by where its names are, their lengths and their hashes, and its
/// first line. Less to read than its fingerprint, since each call has to be judged by it.
#[inline(always)]
pub fn quick_key<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, code: u64) -> Option<u64> {
    let o = &target.offsets;
    let start = if o.co_firstlineno < o.co_filename {
        o.co_firstlineno
    } else {
        o.co_filename
    } & !7;
    let window = Window::read::<CODE_WORDS, _>(slot, memory, at(code, start));
    let first_line = window.u32(slot, memory, o.co_firstlineno - start)? as u64;
    let filename = window.word(slot, memory, o.co_filename - start)?;
    let name = window.word(slot, memory, o.co_qualname - start)?;
    // The hash comes behind the length, in `str` and in Python 2's.
    let length = if o.unicode_kind_shift == ABSENT {
        o.ob_size
    } else {
        o.unicode_length
    };
    let file = memory.words::<2>(at(filename, length))?;
    let function = memory.words::<2>(at(name, length))?;
    let mut key = mix(mix(SEED, code), first_line);
    key = mix(mix(mix(key, filename), file[0]), file[1]);
    Some(mix(mix(mix(key, name), function[0]), function[1]))
}

/// `RUN_*` bits of a frame that begins to run. What cannot be read is counted.
#[inline(always)]
pub fn run_flags<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, role: u8, frame: u64) -> u8 {
    let o = &target.offsets;
    if role == Role::Throw as u8 {
        return RUN_RESUMED | RUN_THROWN;
    }
    let resumed = if o.frame_lasti != ABSENT {
        // `f_lasti` is -1 before the first instruction.
        let lasti = memory.u32(at(frame, o.frame_lasti));
        slot.faults += lasti.is_none() as u32;
        lasti.is_some_and(|lasti| lasti != u32::MAX)
    } else {
        let instruction = memory.field(frame, o.frame_instr).unwrap_or(UNREADABLE);
        let oparg = memory.u8(instruction.wrapping_add(1));
        slot.faults += oparg.is_none() as u32;
        let oparg = oparg.unwrap_or(0);
        if oparg & (MAKES_GENERATOR | BEHIND_YIELD) == MAKES_GENERATOR {
            return RUN_NONE;
        }
        oparg & BEHIND_YIELD != 0
    };
    if resumed { RUN_RESUMED } else { 0 }
}

/// Writes what stands first in an entry record of a run, behind its frames, and prepares the rest: its arguments, unless it goes
/// on behind a `yield`, and, if `name` is not 0, the first of its globals, which is the module's `__name__`.
#[inline(always)]
pub fn begin_run<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, run: Run, name: u64) {
    let o = &target.offsets;
    let globals = memory.field(run.frame, o.frame_globals);
    let previous = memory.field(run.frame, o.frame_previous);
    slot.faults += globals.is_none() as u32 + previous.is_none() as u32;
    let (globals, previous) = (globals.unwrap_or(0), previous.unwrap_or(0));
    slot.push_word(value_word(Tag::Activation, run.flags, word::COUNT as u32));
    slot.push_word(run.frame);
    slot.push_word(previous);
    slot.push_word(run.key);
    slot.push_word(globals);
    if run.flags & RUN_RESUMED == 0 {
        arguments_by_name(slot, target, memory, run.frame, run.code);
    }
    // Python 2's dicts have no order.
    if name != 0 && o.ma_table == ABSENT {
        match dict_cursor(target, memory, globals, 1, 0) {
            Some(first) => _ = slot.push(first.opened(Tag::Globals, 1).ended()),
            None => slot.faults += 1,
        }
    }
    attributed(slot);
}

/// Prepares the arguments of a frame that begins: names and values.
#[inline(always)]
pub fn arguments_by_name<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, frame: u64, code: u64) {
    let o = &target.offsets;
    let locals = at(frame, o.frame_localsplus);
    let found = argument_count(target, memory, code).zip(memory.field(code, o.co_varnames));
    let Some((total, names)) = found else {
        slot.push(Cursor::unreadable(code, 2).opened(Tag::Kwargs, 1).ended());
        return;
    };
    // Up to 3.10 an argument that an inner function uses has been moved to a cell, and its place is empty.
    if o.co_cellvars != ABSENT && total != 0 {
        let found = in_cells(slot, target, memory, code, locals);
        slot.faults += found.is_none() as u32;
    }
    let count = total.min(target.limits.max_items as u64);
    let pairs = Cursor::pairs(at(names, o.tuple_ob_item), 8, locals, 8, count, count, 0);
    slot.push(pairs.of_locals().opened(Tag::Kwargs, total).ended());
}

#[inline(always)]
fn argument_count<M: Memory>(target: &Target, memory: &mut M, code: u64) -> Option<u64> {
    let o = &target.offsets;
    let flags = memory.u32(at(code, o.co_flags))?;
    let mut count = memory.u32(at(code, o.co_argcount))? as u64;
    if o.co_kwonlyargcount != ABSENT {
        count += memory.u32(at(code, o.co_kwonlyargcount))? as u64;
    }
    count += (flags & CO_VARARGS != 0) as u64;
    Some(count + (flags & CO_VARKEYWORDS != 0) as u64)
}

/// Prepares what is in the cells; of a frame that begins only arguments are. `None`: they cannot be read.
#[inline(always)]
fn in_cells<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    code: u64,
    locals: u64,
) -> Option<()> {
    let o = &target.offsets;
    let names = memory.field(code, o.co_cellvars)?;
    let count = memory.field(names, o.ob_size)?;
    if count == 0 {
        return Some(());
    }
    let cells = locals.wrapping_add(8 * memory.u32(at(code, o.co_nlocals))? as u64);
    let count = count.min(target.limits.max_items as u64);
    let pairs = Cursor::pairs(at(names, o.tuple_ob_item), 8, cells, 8, count, count, 0);
    slot.push(pairs.of_locals().opened(Tag::Kwargs, 0).ended());
    Some(())
}

/// What a local is: what its cell has, if it is in one. 0: nothing.
#[inline(always)]
pub fn local<M: Memory>(target: &Target, memory: &mut M, value: u64) -> u64 {
    let value = value & !TAG_BITS;
    let o = &target.offsets;
    if value != 0 && memory.field(value, o.ob_type) == Some(target.known.cell_type) {
        return memory.field(value, o.cell_ref).unwrap_or(UNREADABLE);
    }
    value
}

/// Address of the object that a frame gives to its caller at a place, 0: it is the end of the eval function, and none. `register`:
/// what the value's register holds. What cannot be told is an address that cannot be read.
#[inline(always)]
pub fn returned<M: Memory>(
    target: &Target,
    memory: &mut M,
    place: PackedPlace,
    frame: u64,
    register: u64,
) -> u64 {
    // Numbers rather than options: of those the compiler leaves a word unwritten, which the verifier does not allow.
    let value = if place.is_in_register() {
        register
    } else if place.is_on_stack() {
        let at = register.wrapping_add(place.offset() as u64);
        memory.pointer(at).unwrap_or(UNREADABLE)
    } else {
        constant(target, memory, frame).unwrap_or(UNREADABLE)
    };
    value & !TAG_BITS
}

/// The constant of the frame's instruction; `None` behind an `EXTENDED_ARG`, or what may be one.
#[inline(always)]
fn constant<M: Memory>(target: &Target, memory: &mut M, frame: u64) -> Option<u64> {
    let o = &target.offsets;
    let code = code_of(target, memory, frame)?;
    let constants = memory.field(code, o.co_consts)?;
    let count = memory.field(constants, o.ob_size)?;
    let instruction = memory.field(frame, o.frame_instr)?;
    if count > SHORT {
        let before = memory.u8(instruction.wrapping_sub(2))?;
        if target.may_extend(before) {
            return None;
        }
    }
    let index = memory.u8(instruction.wrapping_add(1))? as u64;
    if index >= count {
        return None;
    }
    memory.pointer(at(constants, o.tuple_ob_item).wrapping_add(8 * index))
}

/// Up to 3.10: whether the frame that the eval function leaves will go on later. What cannot be read is counted.
#[inline(always)]
pub fn is_yielding<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, frame: u64) -> bool {
    let o = &target.offsets;
    let yields = if o.frame_stacktop != ABSENT {
        memory.field(frame, o.frame_stacktop).map(|top| top != 0)
    } else {
        memory
            .u8(at(frame, o.frame_state))
            .map(|state| state == SUSPENDED)
    };
    slot.faults += yields.is_none() as u32;
    yields.unwrap_or(false)
}

/// Whether a thread has an exception.
#[inline(always)]
pub fn is_raising<M: Memory>(target: &Target, memory: &mut M, tstate: u64) -> bool {
    super::roots::is_raising(target, memory, tstate) == Some(true)
}
