//! Types, modules and functions: things whose value is a name.

use super::{
    Cursor, Memory, Slot,
    kind::{self, Kind},
    text,
    value::instance,
};
use crate::{
    target::{ABSENT, Target},
    wire::{Tag, value_word},
};

#[inline(always)]
pub fn encode<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    address: u64,
    kind: Kind,
    depth: u32,
) -> Option<()> {
    match kind {
        Kind::Type => {
            slot.push_tag(Tag::Type);
            kind::push_type(slot, target, memory, address);
        }
        Kind::Class => {
            slot.push_tag(Tag::Type);
            kind::push_class(slot, target, memory, address);
        }
        Kind::Instance => {
            let class = memory.field(address, target.offsets.in_class)?;
            slot.push_tag(Tag::Object);
            kind::push_class(slot, target, memory, class);
            slot.push_word(address);
        }
        Kind::Module => return module(slot, target, memory, address, depth),
        Kind::Function => return function(slot, target, memory, address, address, depth),
        Kind::Method => {
            let bound = memory.field(address, target.offsets.im_func)?;
            if memory.field(bound, target.offsets.ob_type)? != target.known.function_type {
                instance(slot, target, memory, target.known.method_type, address);
                return Some(());
            }
            return function(slot, target, memory, address, bound, depth);
        }
        _ => return c_function(slot, target, memory, address, depth),
    }
    Some(())
}

#[inline(always)]
fn module<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    address: u64,
    depth: u32,
) -> Option<()> {
    let o = &target.offsets;
    // Python 2's modules have no name but in their dict: the user half looks there.
    let unnamed = o.md_name == ABSENT;
    let name = memory.field(address, if unnamed { o.md_dict } else { o.md_name })?;
    slot.push_tag(Tag::Module);
    slot.push_word(address);
    if unnamed {
        slot.push_tag(Tag::Int64);
        slot.push_word(name);
        slot.push_tag(Tag::End);
    } else {
        slot.push(Cursor::pointers(name, 0, 1, depth).ended());
    }
    Some(())
}

/// A Python function, or a method (at `address`) that is bound to one.
#[inline(always)]
fn function<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    address: u64,
    function: u64,
    depth: u32,
) -> Option<()> {
    let module = memory.field(function, target.offsets.func_module)?;
    let qualname = memory.field(function, target.offsets.func_qualname)?;
    slot.push_tag(Tag::Function);
    slot.push_word(address);
    slot.push(Cursor::pointers(module, qualname, 2, depth).ended());
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
    let ml = memory.field(address, o.m_ml)?;
    let name = memory.pointer(ml)?;
    let module = memory.field(address, o.m_module)?;
    let bound = memory.field(address, o.m_self)?;
    let mut owner = 0;
    if bound != 0 {
        let ty = memory.field(bound, o.ob_type)?;
        if ty != target.known.module_type {
            // `meth_get__qualname__`, Objects/methodobject.c: class and static methods are bound to the class.
            let is_type = memory.field(ty, o.tp_flags)? & kind::TYPE_SUBCLASS != 0;
            owner = if is_type { bound } else { ty };
        }
    }
    let start = slot.len;
    let len = text::c_name(slot, memory, start + 2, name)?;
    slot.put(start, value_word(Tag::CFunction, 0, len));
    slot.put(start + 1, address);
    slot.push(Cursor::pointers(module, owner, 2, depth).ended());
    Some(())
}
