//! What a record starts from: the arguments of a call by its convention, or its outcome.
//! Cursors are pushed last part first, since the machine takes the top one.

use super::{Cursor, Memory, Slot, at, attributed, bytecode, container::dict_cursor};
use crate::{
    cookie::{COOKIE_REGISTERS, Convention, ReturnKind, SelfKind},
    target::{ABSENT, Target},
    wire::{FLAG_NO_TSTATE, Tag},
};

/// Prepares an entry record: frames, task and span (which were looked for before), `self`, arguments, keywords. `arguments` are the C
/// function's first five, `frame` the innermost Python frame or 0.
#[inline(always)]
pub fn begin_entry<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    convention: u8,
    self_kind: u8,
    arguments: [u64; COOKIE_REGISTERS],
    frame: u64,
) {
    let positional = if convention == Convention::NoArgs as u8 {
        none().ended()
    } else if convention == Convention::O as u8 {
        Cursor::pointers(arguments[1], 0, 1, 0)
            .opened(Tag::Args, 1)
            .ended()
    } else if convention == Convention::VarArgs as u8 || convention == Convention::VarArgsKeywords as u8 {
        if convention == Convention::VarArgsKeywords as u8 {
            keyword_dict(slot, target, memory, arguments[2]);
        }
        tuple(target, memory, arguments[1]).ended()
    } else if convention >= Convention::KeyValue as u8 {
        slot_arguments(slot, convention, arguments)
    } else {
        let method = convention == Convention::Method as u8;
        let (vector, nargs) = if method {
            (arguments[2], arguments[3])
        } else {
            (arguments[1], arguments[2])
        };
        // `PY_VECTORCALL_ARGUMENTS_OFFSET` is the top bit (Include/cpython/abstract.h).
        let nargs = nargs & (u64::MAX >> 1);
        if convention != Convention::FastCall as u8 {
            let kwnames = if method { arguments[4] } else { arguments[3] };
            keyword_names(
                slot,
                target,
                memory,
                kwnames,
                vector.wrapping_add(nargs.wrapping_mul(8)),
            );
        }
        Cursor::sequence(vector, nargs.min(most(target)), 0)
            .opened(Tag::Args, nargs)
            .ended()
    };
    slot.push(positional);
    if self_kind == SelfKind::Bound as u8 || self_kind == SelfKind::Type as u8 {
        slot.push(Cursor::pointers(arguments[0], 0, 1, 0).opened(Tag::Self_, 0));
    }
    attributed(slot);
    slot.push(Cursor::frames(frame, target.limits.stack as u64));
}

/// Address of the positional argument `position`, 0 if there is none or it cannot be read.
#[inline(always)]
pub fn positional<M: Memory>(
    target: &Target,
    memory: &mut M,
    convention: u8,
    arguments: [u64; COOKIE_REGISTERS],
    position: u64,
) -> u64 {
    let [_, first, second, third, _] = arguments;
    let (items, count) = if convention == Convention::O as u8 {
        return if position == 0 { first } else { 0 };
    } else if convention == Convention::VarArgs as u8 || convention == Convention::VarArgsKeywords as u8 {
        let count = memory.field(first, target.offsets.ob_size).unwrap_or(0);
        (at(first, target.offsets.tuple_ob_item), count)
    } else if convention == Convention::FastCall as u8 || convention == Convention::FastCallKeywords as u8 {
        (first, second & (u64::MAX >> 1))
    } else if convention == Convention::Method as u8 {
        (second, third & (u64::MAX >> 1))
    } else {
        return 0;
    };
    if position >= count {
        return 0;
    }
    memory.pointer(items.wrapping_add(position * 8)).unwrap_or(0)
}

/// Prepares the last part of a return record, hence before [`begin_return`]: the buffer that the call was given
/// as argument `position`.
#[inline(always)]
pub fn begin_filled(slot: &mut Slot, position: u64, buffer: u64) {
    slot.push(Cursor::pointers(buffer, 0, 1, 0).opened(Tag::Filled, position));
}

/// The arguments of a type slot's function. Numbers and objects are two cursors of one list: the
/// lower one, which is taken last, closes it.
#[inline(always)]
fn slot_arguments(slot: &mut Slot, convention: u8, arguments: [u64; COOKIE_REGISTERS]) -> Cursor {
    let [_, first, second, third, _] = arguments;
    if convention == Convention::KeyValue as u8 {
        let count = 1 + given(second);
        return Cursor::pointers(first, second, count, 0)
            .opened(Tag::Args, count)
            .ended();
    }
    if convention == Convention::Compare as u8 {
        slot.push(Cursor::numbers(second as u32 as u64, 0, 1).ended());
        return Cursor::pointers(first, 0, 1, 0).opened(Tag::Args, 2);
    }
    let slice = convention == Convention::Slice as u8 || convention == Convention::SliceValue as u8;
    let indices = if slice { 2 } else { 1 };
    let value = if convention == Convention::IndexValue as u8 {
        second
    } else if convention == Convention::SliceValue as u8 {
        third
    } else {
        0
    };
    slot.push(Cursor::pointers(value, 0, given(value), 0).ended());
    Cursor::numbers(first, second, indices).opened(Tag::Args, indices + given(value))
}

/// 1 if there is such an argument.
#[inline(always)]
fn given(object: u64) -> u64 {
    (object != 0) as u64
}

#[inline(always)]
fn most(target: &Target) -> u64 {
    target.limits.max_items as u64
}

/// An argument list without arguments.
#[inline(always)]
fn none() -> Cursor {
    Cursor::sequence(0, 0, 0).opened(Tag::Args, 0)
}

#[inline(always)]
fn tuple<M: Memory>(target: &Target, memory: &mut M, tuple: u64) -> Cursor {
    if tuple == 0 {
        return none();
    }
    match memory.field(tuple, target.offsets.ob_size) {
        Some(total) => {
            let items = at(tuple, target.offsets.tuple_ob_item);
            Cursor::sequence(items, total.min(most(target)), 0).opened(Tag::Args, total)
        }
        None => Cursor::unreadable(tuple, 1).opened(Tag::Args, 1),
    }
}

/// Keywords that are there, but not to be read: shown as one of them.
#[inline(always)]
fn unreadable_keywords(address: u64) -> Cursor {
    Cursor::unreadable(address, 2).opened(Tag::Kwargs, 1)
}

#[inline(always)]
fn keyword_dict<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, dict: u64) {
    if dict == 0 {
        return;
    }
    let total = memory.field(dict, target.offsets.ma_used);
    if total == Some(0) {
        return;
    }
    let pairs = total.and_then(|total| {
        let pairs = dict_cursor(target, memory, dict, total.min(most(target)), 0)?;
        Some(pairs.opened(Tag::Kwargs, total))
    });
    slot.push(pairs.unwrap_or_else(|| unreadable_keywords(dict)).ended());
}

#[inline(always)]
fn keyword_names<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, kwnames: u64, values: u64) {
    if kwnames == 0 {
        return;
    }
    let pairs = match memory.field(kwnames, target.offsets.ob_size) {
        Some(total) => {
            let names = at(kwnames, target.offsets.tuple_ob_item);
            let count = total.min(most(target));
            Cursor::pairs(names, 8, values, 8, count, count, 0).opened(Tag::Kwargs, total)
        }
        None => unreadable_keywords(kwnames),
    };
    slot.push(pairs.ended());
}

/// The exception that a thread has, as [`begin_entry`] takes it for a call of `f(…, type, value)` or, from 3.12 on,
/// `f(…, exception)`. `None`: it has a traceback, so that it was in another frame before, and `frame` does not raise it again; or
/// it cannot be read.
#[inline(always)]
pub fn new_exception<M: Memory>(
    target: &Target,
    memory: &mut M,
    tstate: u64,
    frame: u64,
) -> Option<[u64; COOKIE_REGISTERS]> {
    let o = &target.offsets;
    let value = memory.field(tstate, o.current_exception)?;
    let (first, second, traceback) = if o.curexc_type == ABSENT {
        (value, 0, memory.field(value, o.exception_traceback)?)
    } else {
        let ty = memory.field(tstate, o.curexc_type)?;
        (ty, value, memory.field(tstate, o.curexc_traceback)?)
    };
    let is_new = traceback == 0 || opcode(target, memory, frame) == Some(target.raise_varargs as u8);
    is_new.then_some([0, first, second, 0, 0])
}

/// The opcode of the instruction that a frame runs.
#[inline(always)]
fn opcode<M: Memory>(target: &Target, memory: &mut M, frame: u64) -> Option<u8> {
    let instruction = bytecode::instruction(target, memory, frame)?;
    memory.u8(instruction)
}

/// How a C function ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Returned,
    Raised,
}

/// Whether a C function that returns `value` has raised (an iterator: or is exhausted).
#[inline(always)]
pub fn is_raise(return_kind: u8, value: u64) -> bool {
    if return_kind == ReturnKind::Status as u8 || return_kind == ReturnKind::Truth as u8 {
        (value as i32) < 0
    } else if return_kind == ReturnKind::Size as u8 {
        value == u64::MAX
    } else if return_kind == ReturnKind::Nothing as u8 {
        false
    } else {
        value == 0
    }
}

/// Prepares a return record. `value` is the C function's return value, `tstate` the thread's
/// state (0: unknown, then a raised exception has no type and no value).
#[inline(always)]
pub fn begin_return<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    return_kind: u8,
    value: u64,
    tstate: u64,
) -> Outcome {
    if !is_raise(return_kind, value) {
        result(slot, target, return_kind, value);
        return Outcome::Returned;
    }
    if tstate == 0 {
        slot.flags |= FLAG_NO_TSTATE;
        slot.push(Cursor::pointers(0, 0, 2, 0).opened(Tag::Raised, 0));
        return Outcome::Raised;
    }
    if return_kind == ReturnKind::Iterator as u8 {
        let instead = match is_raising(target, memory, tstate) {
            Some(true) => None,
            Some(false) => Some(Cursor::pointers(target.known.stop_iteration, 0, 2, 0)),
            None => Some(Cursor::unreadable(tstate, 2)),
        };
        if let Some(cursor) = instead {
            slot.push(cursor.opened(Tag::Raised, 0));
            return Outcome::Raised;
        }
    }
    let o = &target.offsets;
    slot.push(Cursor::sequence(at(tstate, o.current_exception), 1, 0));
    let ty = if o.curexc_type == ABSENT {
        Cursor::pointers(0, 0, 1, 0)
    } else {
        Cursor::sequence(at(tstate, o.curexc_type), 1, 0)
    };
    slot.push(ty.opened(Tag::Raised, 0));
    Outcome::Raised
}

/// Has the thread an exception? Up to 3.11 the type tells: the value may be missing.
#[inline(always)]
pub(super) fn is_raising<M: Memory>(target: &Target, memory: &mut M, tstate: u64) -> Option<bool> {
    let o = &target.offsets;
    let tells = if o.curexc_type == ABSENT {
        o.current_exception
    } else {
        o.curexc_type
    };
    Some(memory.field(tstate, tells)? != 0)
}

#[inline(always)]
fn result(slot: &mut Slot, target: &Target, return_kind: u8, value: u64) {
    let cursor = if return_kind == ReturnKind::Truth as u8 {
        slot.push_tag(Tag::Result);
        let truth = if value as u32 != 0 { Tag::True } else { Tag::False };
        return slot.push_tag(truth);
    } else if return_kind == ReturnKind::Size as u8 {
        Cursor::numbers(value, 0, 1)
    } else if return_kind == ReturnKind::Status as u8 || return_kind == ReturnKind::Nothing as u8 {
        Cursor::pointers(target.known.none, 0, 1, 0)
    } else {
        Cursor::pointers(value, 0, 1, 0)
    };
    slot.push(cursor.opened(Tag::Result, 0));
}
