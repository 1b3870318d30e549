//! The file descriptor of a call.

use super::{Memory, Slot, at, kind, number, positional};
use crate::{
    cookie::COOKIE_REGISTERS,
    handle::HandleKind,
    target::Target,
    wire::{FLAG_CUT, Tag, value_word},
};

/// Words between the first field of a text file and its `buffer`: `ok`, `detached`, `chunk_size`
/// (`textio` in Modules/_io/textio.c, 2.7 to 3.15).
const TEXT_BUFFER: u16 = 16;

/// `_fileno` of glibc's `FILE` (libio/bits/types/struct_FILE.h), part of its binary interface.
const STREAM_FD: u16 = 0x70;

/// Begins the handle of a call at the end of its record: the descriptor and the type of the object that has it. The
/// descriptor, if the call has one that is not negative.
#[inline(always)]
pub fn begin_handle<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    kind: u8,
    convention: u8,
    arguments: [u64; COOKIE_REGISTERS],
) -> Option<u32> {
    // Of a record that is cut nobody knows where its values end.
    if slot.flags & FLAG_CUT != 0 {
        return None;
    }
    let (fd, ty) = descriptor(target, memory, kind, convention, arguments)?;
    if fd >> 31 != 0 {
        return None;
    }
    slot.push_word(value_word(Tag::Handle, 0, fd));
    if ty == 0 {
        slot.push_word(0);
        slot.push_word(0);
    } else {
        kind::push_type(slot, target, memory, ty);
    }
    Some(fd)
}

/// The descriptor, and the type of the object that it was found in by way of others (0: it is `self`'s own, or an
/// argument).
#[inline(always)]
fn descriptor<M: Memory>(
    target: &Target,
    memory: &mut M,
    kind: u8,
    convention: u8,
    arguments: [u64; COOKIE_REGISTERS],
) -> Option<(u32, u64)> {
    let o = &target.offsets;
    // Objects without a size of their own: fields follow the head.
    let first = o.ob_size;
    let mut object = arguments[0];
    if kind == HandleKind::Argument as u8 {
        let argument = positional(target, memory, convention, arguments, 0);
        return Some((number::small(target, memory, argument)?, 0));
    }
    if kind == HandleKind::Own as u8 {
        return Some((memory.u32(at(object, first))?, 0));
    }
    if kind == HandleKind::Text as u8 {
        object = memory.field(object, first + TEXT_BUFFER)?;
    }
    if kind == HandleKind::Weak as u8 {
        object = memory.field(object, first)?;
    }
    if kind == HandleKind::Stream as u8 {
        let stream = memory.field(object, first)?;
        return Some((memory.u32(at(stream, STREAM_FD))?, 0));
    }
    let mut owner = memory.field(object, first)?;
    let mut ty = memory.field(owner, o.ob_type);
    if kind == HandleKind::Text as u8 && ty.is_none() {
        // Without a buffer (`python -u`), the file object itself is there.
        owner = object;
        ty = memory.field(owner, o.ob_type);
    }
    Some((memory.u32(at(owner, first))?, ty?))
}
