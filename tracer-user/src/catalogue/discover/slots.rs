//! Type slots: what their C functions are called with and what they give back.
//!
//! A slot has no `PyMethodDef`. What tells is the name that its wrapper has in the type's dict, and
//! which of the type's structs the slot is in.

use tracer_common::cookie::{Convention, ReturnKind};

/// How a C function is called, and what it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    pub convention: Convention,
    pub returns: ReturnKind,
}

/// `f(type, args, kwargs)`.
pub const TP_NEW: Signature = Signature {
    convention: Convention::VarArgsKeywords,
    returns: ReturnKind::Object,
};

/// `f(type, args, nargsf, kwnames)`.
pub const TP_VECTORCALL: Signature = Signature {
    convention: Convention::FastCallKeywords,
    returns: ReturnKind::Object,
};

/// `f(self)`, when nothing refers to it any more.
pub const TP_DEALLOC: Signature = Signature {
    convention: Convention::NoArgs,
    returns: ReturnKind::Nothing,
};

/// Wrappers by name: `slotdefs` in Objects/typeobject.c, v2.7.18 and v3.6.15 to v3.15.0rc1, and the
/// prototypes in Include/object.h. A binary operator and its reflection share the function, which then
/// has the right operand as its second argument in both. Not here: `__get__`, `__del__`, the
/// buffer slots, Python 2's `__cmp__` and `__coerce__`.
const SLOTS: &[(Convention, ReturnKind, &[&str])] = &[
    (Convention::VarArgsKeywords, ReturnKind::Status, &["__init__"]),
    (Convention::VarArgsKeywords, ReturnKind::Object, &["__call__"]),
    (Convention::NoArgs, ReturnKind::Iterator, &["__next__", "next"]),
    (
        Convention::NoArgs,
        ReturnKind::Truth,
        &["__bool__", "__nonzero__"],
    ),
    (Convention::NoArgs, ReturnKind::Size, &["__len__", "__hash__"]),
    (Convention::O, ReturnKind::Truth, &["__contains__"]),
    (
        Convention::KeyValue,
        ReturnKind::Status,
        &[
            "__setitem__",
            "__delitem__",
            "__setattr__",
            "__delattr__",
            "__set__",
            "__delete__",
        ],
    ),
    (
        Convention::KeyValue,
        ReturnKind::Object,
        &["__pow__", "__rpow__", "__ipow__"],
    ),
    (
        Convention::Compare,
        ReturnKind::Object,
        &["__lt__", "__le__", "__eq__", "__ne__", "__gt__", "__ge__"],
    ),
    (
        Convention::NoArgs,
        ReturnKind::Object,
        &[
            "__repr__",
            "__str__",
            "__iter__",
            "__await__",
            "__aiter__",
            "__anext__",
            "__neg__",
            "__pos__",
            "__abs__",
            "__invert__",
            "__int__",
            "__long__",
            "__float__",
            "__oct__",
            "__hex__",
            "__index__",
        ],
    ),
    (
        Convention::O,
        ReturnKind::Object,
        &[
            "__getattribute__",
            "__getitem__",
            "__add__",
            "__radd__",
            "__iadd__",
            "__sub__",
            "__rsub__",
            "__isub__",
            "__mul__",
            "__rmul__",
            "__imul__",
            "__matmul__",
            "__rmatmul__",
            "__imatmul__",
            "__div__",
            "__rdiv__",
            "__idiv__",
            "__truediv__",
            "__rtruediv__",
            "__itruediv__",
            "__floordiv__",
            "__rfloordiv__",
            "__ifloordiv__",
            "__mod__",
            "__rmod__",
            "__imod__",
            "__divmod__",
            "__rdivmod__",
            "__lshift__",
            "__rlshift__",
            "__ilshift__",
            "__rshift__",
            "__rrshift__",
            "__irshift__",
            "__and__",
            "__rand__",
            "__iand__",
            "__xor__",
            "__rxor__",
            "__ixor__",
            "__or__",
            "__ror__",
            "__ior__",
        ],
    ),
];

/// Those that mean something else in `PySequenceMethods`: there, a position is a C number.
const SEQUENCE_SLOTS: &[(Convention, ReturnKind, &[&str])] = &[
    (
        Convention::Index,
        ReturnKind::Object,
        &["__getitem__", "__mul__", "__rmul__", "__imul__"],
    ),
    (
        Convention::IndexValue,
        ReturnKind::Status,
        &["__setitem__", "__delitem__"],
    ),
    (Convention::Slice, ReturnKind::Object, &["__getslice__"]),
    (
        Convention::SliceValue,
        ReturnKind::Status,
        &["__setslice__", "__delslice__"],
    ),
];

/// The signature of a slot by its wrapper's name; `sequence`: the slot is in `PySequenceMethods`.
pub fn signature(name: &str, sequence: bool) -> Option<Signature> {
    let special: &[_] = if sequence { SEQUENCE_SLOTS } else { &[] };
    special
        .iter()
        .chain(SLOTS)
        .find(|(_, _, names)| names.contains(&name))
        .map(|(convention, returns, _)| Signature {
            convention: *convention,
            returns: *returns,
        })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_there_once() {
        for table in [SLOTS, SEQUENCE_SLOTS] {
            let mut seen = HashSet::new();
            for name in table.iter().flat_map(|(_, _, names)| *names) {
                assert!(seen.insert(name), "{name} is there twice");
            }
        }
    }

    #[test]
    fn a_sequence_takes_numbers_and_a_mapping_takes_keys() {
        let convention = |name, sequence| signature(name, sequence).map(|signature| signature.convention);
        assert_eq!(convention("__setitem__", false), Some(Convention::KeyValue));
        assert_eq!(convention("__setitem__", true), Some(Convention::IndexValue));
        assert_eq!(convention("__add__", true), Some(Convention::O));
        assert_eq!(convention("__imul__", true), Some(Convention::Index));
        assert_eq!(convention("__get__", false), None);
    }
}
