//! Which kind of value an object is: by exact type, else by `tp_flags`, else by its bases.

use super::{Memory, Slot};
use crate::{
    fingerprint,
    target::{FEATURE_PYTHON2, Target},
};

/// How an object is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    Other = 0,
    Long,
    Str,
    Bytes,
    List,
    Tuple,
    Dict,
    Exception,
    Type,
    Bool,
    Float,
    Complex,
    ByteArray,
    MemoryView,
    Set,
    FrozenSet,
    Range,
    Slice,
    Module,
    Function,
    Method,
    CFunction,
    /// Python 2's `int`.
    Int,
    /// Old-style instance and class of Python 2.
    Instance,
    Class,
}

// `Py_TPFLAGS_*_SUBCLASS`, Include/object.h, the same in 2.7 to 3.15.
const INT_SUBCLASS: u64 = 1 << 23;
const LONG_SUBCLASS: u64 = 1 << 24;
const LIST_SUBCLASS: u64 = 1 << 25;
const TUPLE_SUBCLASS: u64 = 1 << 26;
const BYTES_SUBCLASS: u64 = 1 << 27;
const UNICODE_SUBCLASS: u64 = 1 << 28;
const DICT_SUBCLASS: u64 = 1 << 29;
const BASE_EXC_SUBCLASS: u64 = 1 << 30;
pub(super) const TYPE_SUBCLASS: u64 = 1 << 31;

/// Base classes looked at for subclasses that `tp_flags` does not tell.
const MAX_BASES: u32 = 8;

/// The kind that exactly this type has.
#[inline(always)]
pub fn exact(target: &Target, ty: u64) -> Kind {
    let k = &target.known;
    if ty == k.unicode_type {
        Kind::Str
    } else if ty == k.int_type {
        Kind::Int
    } else if ty == k.long_type {
        Kind::Long
    } else if ty == k.bytes_type {
        Kind::Bytes
    } else if ty == k.tuple_type {
        Kind::Tuple
    } else if ty == k.dict_type {
        Kind::Dict
    } else if ty == k.list_type {
        Kind::List
    } else if ty == k.bool_type {
        Kind::Bool
    } else if ty == k.memoryview_type {
        Kind::MemoryView
    } else if ty == k.range_type {
        Kind::Range
    } else if ty == k.slice_type {
        Kind::Slice
    } else if ty == k.function_type {
        Kind::Function
    } else if ty == k.method_type {
        Kind::Method
    } else if ty == k.cfunction_type || ty == k.cmethod_type {
        Kind::CFunction
    } else if ty == k.instance_type {
        Kind::Instance
    } else if ty == k.class_type {
        Kind::Class
    } else {
        by_base(target, ty)
    }
}

/// The kinds without a flag whose types can be subclassed.
#[inline(always)]
fn by_base(target: &Target, ty: u64) -> Kind {
    let k = &target.known;
    if ty == k.float_type {
        Kind::Float
    } else if ty == k.bytearray_type {
        Kind::ByteArray
    } else if ty == k.set_type {
        Kind::Set
    } else if ty == k.frozenset_type {
        Kind::FrozenSet
    } else if ty == k.complex_type {
        Kind::Complex
    } else if ty == k.module_type {
        Kind::Module
    } else {
        Kind::Other
    }
}

/// The kind of a type that is none of the known ones: that of the known type it derives from.
#[inline(always)]
pub fn derived<M: Memory>(target: &Target, memory: &mut M, ty: u64) -> Option<Kind> {
    let flags = memory.field(ty, target.offsets.tp_flags)?;
    // The bit has other meanings later (`Py_TPFLAGS_ITEMS_AT_END`, 3.12).
    if target.features & FEATURE_PYTHON2 != 0 && flags & INT_SUBCLASS != 0 {
        return Some(Kind::Int);
    }
    let by_flags = [
        (BASE_EXC_SUBCLASS, Kind::Exception),
        (TYPE_SUBCLASS, Kind::Type),
        (UNICODE_SUBCLASS, Kind::Str),
        (LONG_SUBCLASS, Kind::Long),
        (DICT_SUBCLASS, Kind::Dict),
        (TUPLE_SUBCLASS, Kind::Tuple),
        (LIST_SUBCLASS, Kind::List),
        (BYTES_SUBCLASS, Kind::Bytes),
    ];
    for (flag, kind) in by_flags {
        if flags & flag != 0 {
            return Some(kind);
        }
    }
    let mut base = ty;
    for _ in 0..MAX_BASES {
        // `PyFrozenDictObject` begins with a dict, but says nothing of it (Include/cpython/dictobject.h, 3.15).
        if base == target.known.frozendict_type {
            return Some(Kind::Dict);
        }
        base = memory.field(base, target.offsets.tp_base)?;
        if base == 0 || base == target.known.object_type {
            return Some(Kind::Other);
        }
        let kind = by_base(target, base);
        if kind as u32 != Kind::Other as u32 {
            return Some(kind);
        }
    }
    Some(Kind::Other)
}

/// Writes a [`TypeRef`](crate::wire::TypeRef) of a type object.
#[inline(always)]
pub fn push_type<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, ty: u64) {
    let fingerprint = type_fingerprint(target, memory, ty);
    push(slot, ty, fingerprint);
}

/// The same of an old-style class of Python 2, which is no type object.
#[inline(always)]
pub fn push_class<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, class: u64) {
    let fingerprint = class_fingerprint(target, memory, class);
    push(slot, class, fingerprint);
}

/// No object has the fingerprint 0, which stands for one that could not be read.
#[inline(always)]
fn push(slot: &mut Slot, address: u64, fingerprint: Option<u64>) {
    if fingerprint.is_none() {
        slot.faults += 1;
    }
    slot.push_word(address);
    slot.push_word(fingerprint.unwrap_or(0));
}

#[inline(always)]
fn type_fingerprint<M: Memory>(target: &Target, memory: &mut M, ty: u64) -> Option<u64> {
    let o = &target.offsets;
    let tp_name = memory.field(ty, o.tp_name)?;
    let tp_basicsize = memory.field(ty, o.tp_basicsize)?;
    let tp_base = memory.field(ty, o.tp_base)?;
    let name = memory.short_str(tp_name)?;
    Some(fingerprint::type_object(tp_name, name, tp_base, tp_basicsize))
}

#[inline(always)]
fn class_fingerprint<M: Memory>(target: &Target, memory: &mut M, class: u64) -> Option<u64> {
    let o = &target.offsets;
    let name = memory.field(class, o.cl_name)?;
    let bases = memory.field(class, o.cl_bases)?;
    let dict = memory.field(class, o.cl_dict)?;
    Some(fingerprint::old_class(name, bases, dict))
}
