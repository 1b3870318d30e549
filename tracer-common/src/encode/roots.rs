//! What a record starts from: the arguments of a call by its convention, or its outcome.
//! Cursors are pushed last part first, since the machine takes the top one.

use super::{Cursor, Memory, Slot, value::dict_cursor};
use crate::{
    cookie::{COOKIE_REGISTERS, Convention, ReturnKind, SelfKind},
    target::{ABSENT, Target},
    wire::Tag,
};

/// Prepares an entry record: frames, `self`, arguments, keywords. `arguments` are the C
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
        none()
    } else if convention == Convention::O as u8 {
        Cursor::pointers(arguments[1], 0, 1, 0).opened(Tag::Args, 1)
    } else if convention == Convention::VarArgs as u8 || convention == Convention::VarArgsKeywords as u8 {
        if convention == Convention::VarArgsKeywords as u8 {
            keyword_dict(slot, target, memory, arguments[2]);
        }
        tuple(slot, target, memory, arguments[1])
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
            keyword_names(slot, target, memory, kwnames, vector + 8 * nargs);
        }
        Cursor::sequence(vector, nargs.min(most(target)), 0).opened(Tag::Args, nargs)
    };
    slot.push(positional.ended());
    if self_kind == SelfKind::Bound as u8 {
        slot.push(Cursor::pointers(arguments[0], 0, 1, 0).opened(Tag::Self_, 0));
    }
    slot.push(Cursor::frames(frame, target.limits.stack as u64));
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
fn tuple<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, tuple: u64) -> Cursor {
    if tuple == 0 {
        return none();
    }
    match memory.pointer(tuple + target.offsets.ob_size as u64) {
        Some(total) => {
            let items = tuple + target.offsets.tuple_ob_item as u64;
            Cursor::sequence(items, total.min(most(target)), 0).opened(Tag::Args, total)
        }
        None => {
            slot.faults += 1;
            // Pointing at what cannot be read makes the one item an `Unreadable`.
            Cursor::sequence(tuple, 1, 0).opened(Tag::Args, 1)
        }
    }
}

#[inline(always)]
fn keyword_dict<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, dict: u64) {
    if dict == 0 {
        return;
    }
    let Some(total) = memory.pointer(dict + target.offsets.ma_used as u64) else {
        slot.faults += 1;
        return;
    };
    if total == 0 {
        return;
    }
    match dict_cursor(target, memory, dict, total.min(most(target)), 0) {
        Some(cursor) => {
            slot.push(cursor.opened(Tag::Kwargs, total).ended());
        }
        None => slot.faults += 1,
    }
}

#[inline(always)]
fn keyword_names<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, kwnames: u64, values: u64) {
    if kwnames == 0 {
        return;
    }
    let Some(total) = memory.pointer(kwnames + target.offsets.ob_size as u64) else {
        slot.faults += 1;
        return;
    };
    let names = kwnames + target.offsets.tuple_ob_item as u64;
    let count = total.min(most(target));
    slot.push(
        Cursor::pairs(names, 8, values, 8, count, count, 0)
            .opened(Tag::Kwargs, total)
            .ended(),
    );
}

/// How a C function ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Returned,
    Raised,
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
    let status = return_kind == ReturnKind::Status as u8;
    let raised = if status { (value as i32) < 0 } else { value == 0 };
    if !raised {
        let object = if status { target.known.none } else { value };
        slot.push(Cursor::pointers(object, 0, 1, 0).opened(Tag::Result, 0));
        return Outcome::Returned;
    }
    let mut ty = 0;
    let mut exception = 0;
    if tstate == 0 {
        slot.flags |= crate::wire::FLAG_NO_TSTATE;
    } else {
        if target.offsets.curexc_type != ABSENT {
            ty = memory
                .pointer(tstate + target.offsets.curexc_type as u64)
                .unwrap_or(0);
        }
        exception = memory
            .pointer(tstate + target.offsets.current_exception as u64)
            .unwrap_or(0);
    }
    slot.push(Cursor::pointers(ty, exception, 2, 0).opened(Tag::Raised, 0));
    Outcome::Raised
}
