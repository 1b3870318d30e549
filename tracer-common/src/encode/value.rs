//! One object: what kind it is, and the kinds that are small. Struct layouts: `Include/cpython/*object.h`
//! of CPython 2.7 and 3.6 to 3.15, by way of [`Target::offsets`].

use super::{
    Cursor, Memory, Slot, at, container,
    kind::{self, Kind},
    named, number,
    slot::Window,
    text,
};
use crate::{
    target::{FEATURE_PYTHON2, Target},
    wire::{SUB_PYTHON2, Tag, value_word},
};

/// Words of an object read at once: all of an `int` of few digits, all but the characters of a
/// `str`. Objects may be smaller; where the window reaches into memory that is not there, fields are
/// read one by one.
pub(super) const OBJECT_WORDS: usize = 8;

/// The object being encoded.
#[derive(Clone, Copy)]
pub(super) struct Object {
    pub address: u64,
    pub window: Window,
}

impl Object {
    #[inline(always)]
    pub fn word<M: Memory>(self, slot: &Slot, memory: &mut M, offset: u16) -> Option<u64> {
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
            Kind::Other => return instance(slot, target, memory, ty, address),
            Kind::Exception => return exception(slot, target, memory, ty, address, depth),
            Kind::Type | Kind::Module => {}
            _ => {
                slot.push_tag(Tag::Subclass);
                kind::push_type(slot, target, memory, ty);
                slot.push_word(address);
            }
        }
    }
    if by_kind(slot, target, memory, object, kind, depth).is_none() {
        slot.unreadable(address);
    }
}

/// An object of which only type and address are shown.
#[inline(always)]
pub(super) fn instance<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, ty: u64, address: u64) {
    slot.push_tag(Tag::Object);
    kind::push_type(slot, target, memory, ty);
    slot.push_word(address);
}

#[inline(always)]
fn exception<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, ty: u64, address: u64, depth: u32) {
    let args = at(address, target.offsets.exception_args);
    slot.push_tag(Tag::Exception);
    kind::push_type(slot, target, memory, ty);
    slot.push_word(address);
    slot.push(Cursor::sequence(args, 1, depth).ended());
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
    match kind {
        Kind::Long => number::long(slot, target, memory, object),
        Kind::Int | Kind::Bool | Kind::Float | Kind::Complex => {
            number::fixed(slot, target, memory, object, kind)
        }
        Kind::Str | Kind::Bytes | Kind::ByteArray | Kind::MemoryView => {
            text::encode(slot, target, memory, object, kind)
        }
        Kind::List | Kind::Tuple | Kind::Set | Kind::FrozenSet | Kind::Dict => {
            container::encode(slot, target, memory, object, kind, depth)
        }
        Kind::Range | Kind::Slice => bounds(slot, target, memory, object.address, kind, depth),
        _ => named::encode(slot, target, memory, object.address, kind, depth),
    }
}

/// Things of three objects: start, stop, step.
#[inline(always)]
fn bounds<M: Memory>(
    slot: &mut Slot,
    target: &Target,
    memory: &mut M,
    address: u64,
    kind: Kind,
    depth: u32,
) -> Option<()> {
    let (tag, offset) = if kind as u32 == Kind::Range as u32 {
        (Tag::Range, target.offsets.range_start)
    } else {
        (Tag::Slice, target.offsets.slice_start)
    };
    let fields = at(address, offset);
    let word = value_word(tag, python2(target), 0);
    if tag as u8 == Tag::Range as u8 && target.features & FEATURE_PYTHON2 != 0 {
        return xrange(slot, memory, word, fields);
    }
    slot.push_word(word);
    slot.push(Cursor::sequence(fields, 3, depth).ended());
    Some(())
}

/// Python 2's `xrange`: C longs start, step and length (Objects/rangeobject.c, 2.7).
#[inline(always)]
fn xrange<M: Memory>(slot: &mut Slot, memory: &mut M, word: u64, fields: u64) -> Option<()> {
    let [start, step, len] = memory.words::<3>(fields)?;
    slot.push_word(word);
    for value in [start, start.wrapping_add(step.wrapping_mul(len)), step] {
        slot.push_tag(Tag::Int64);
        slot.push_word(value);
    }
    slot.push_tag(Tag::End);
    Some(())
}

/// The bit in a value's `sub` that tells Python 2's types from Python 3's of the same kind.
#[inline(always)]
pub(super) fn python2(target: &Target) -> u8 {
    if target.features & FEATURE_PYTHON2 != 0 {
        SUB_PYTHON2
    } else {
        0
    }
}
