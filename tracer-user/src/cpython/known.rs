//! Objects that are known by their symbol.

use tracer_common::target::KnownObjects;

use super::elf::Symbols;
use super::objects::Objects;
use crate::process::ReadMemory;

/// A type's symbol, its `tp_name`, and where its address goes.
type KnownType = (&'static str, &'static str, fn(&mut KnownObjects) -> &mut u64);

const TYPES: &[KnownType] = &[
    ("PyBool_Type", "bool", |k| &mut k.bool_type),
    ("PyFloat_Type", "float", |k| &mut k.float_type),
    ("PyComplex_Type", "complex", |k| &mut k.complex_type),
    ("PyByteArray_Type", "bytearray", |k| &mut k.bytearray_type),
    ("PyMemoryView_Type", "memoryview", |k| &mut k.memoryview_type),
    ("PySet_Type", "set", |k| &mut k.set_type),
    ("PyFrozenSet_Type", "frozenset", |k| &mut k.frozenset_type),
    ("PyRange_Type", "range", |k| &mut k.range_type),
    ("PySlice_Type", "slice", |k| &mut k.slice_type),
    ("PyModule_Type", "module", |k| &mut k.module_type),
    ("PyFunction_Type", "function", |k| &mut k.function_type),
    ("PyMethod_Type", "method", |k| &mut k.method_type),
    ("PyCFunction_Type", "builtin_function_or_method", |k| {
        &mut k.cfunction_type
    }),
    ("PyCMethod_Type", "builtin_method", |k| &mut k.cmethod_type),
    ("PyCode_Type", "code", |k| &mut k.code_type),
    ("PyLong_Type", "int", |k| &mut k.long_type),
    ("PyUnicode_Type", "str", |k| &mut k.unicode_type),
    ("PyBytes_Type", "bytes", |k| &mut k.bytes_type),
    ("PyList_Type", "list", |k| &mut k.list_type),
    ("PyTuple_Type", "tuple", |k| &mut k.tuple_type),
    ("PyDict_Type", "dict", |k| &mut k.dict_type),
    ("PyBaseObject_Type", "object", |k| &mut k.object_type),
];

/// Types that only discovery needs: symbol, `tp_name`, and where the address goes.
type Descriptor = (&'static str, &'static str, fn(&mut Descriptors) -> &mut u64);

const DESCRIPTORS: &[Descriptor] = &[
    ("PyType_Type", "type", |d| &mut d.type_type),
    ("PyMethodDescr_Type", "method_descriptor", |d| &mut d.method),
    ("PyClassMethodDescr_Type", "classmethod_descriptor", |d| {
        &mut d.class_method
    }),
    ("PyStaticMethod_Type", "staticmethod", |d| &mut d.staticmethod),
    ("PyClassMethod_Type", "classmethod", |d| &mut d.classmethod),
];

/// Addresses of the types whose instances wrap C functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    pub type_type: u64,
    /// `PyMethodDescr_Type`.
    pub method: u64,
    /// `PyClassMethodDescr_Type`.
    pub class_method: u64,
    pub staticmethod: u64,
    pub classmethod: u64,
}

/// Every symbol that [`read`] can use.
pub(super) fn symbols() -> impl Iterator<Item = &'static str> {
    TYPES
        .iter()
        .map(|(symbol, ..)| *symbol)
        .chain(DESCRIPTORS.iter().map(|(symbol, ..)| *symbol))
        .chain(["_Py_NoneStruct", "_Py_TrueStruct"])
}

/// Takes the addresses over, after a look at each object. The error is one line: what is not as it should be.
pub(super) fn read<M: ReadMemory>(
    objects: &Objects<'_, M>,
    symbols: &Symbols,
) -> Result<(KnownObjects, Descriptors), String> {
    let check = |symbol: &str, tp_name: &str, through_type: bool| {
        let addr = *symbols
            .get(symbol)
            .ok_or_else(|| format!("{symbol} is not exported"))?;
        let named = match through_type {
            true => objects.type_of(addr).and_then(|ty| objects.tp_name(ty)),
            false => objects.tp_name(addr),
        };
        match named {
            Ok(name) if name == tp_name => Ok(addr),
            Ok(name) => Err(format!("{symbol} is named {name:?} instead of {tp_name:?}")),
            Err(error) => Err(format!("{symbol}: {error}")),
        }
    };
    let mut known = KnownObjects {
        none: check("_Py_NoneStruct", "NoneType", true)?,
        true_: check("_Py_TrueStruct", "bool", true)?,
        ..KnownObjects::default()
    };
    for (symbol, name, field) in TYPES {
        *field(&mut known) = check(symbol, name, false)?;
    }
    let mut descriptors = Descriptors::default();
    for (symbol, name, field) in DESCRIPTORS {
        *field(&mut descriptors) = check(symbol, name, false)?;
    }
    match objects.type_of(descriptors.type_type) {
        Ok(ty) if ty == descriptors.type_type => Ok((known, descriptors)),
        _ => Err("type(type) is not type".to_owned()),
    }
}
