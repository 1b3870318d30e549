//! Objects that are known by their symbol.

use tracer_common::target::KnownObjects;

use super::elf::Symbols;
use super::objects::Objects;
use crate::process::ReadMemory;

/// Where the address of a type goes.
type Place<T> = fn(&mut T) -> &mut u64;
/// Symbols and `tp_name`s a type has had, one of which must be there, and its place.
type Known<T> = (&'static [(&'static str, &'static str)], Place<T>);

const TYPES: &[Known<KnownObjects>] = &[
    (&[("PyBool_Type", "bool")], |k| &mut k.bool_type),
    (&[("PyFloat_Type", "float")], |k| &mut k.float_type),
    (&[("PyComplex_Type", "complex")], |k| &mut k.complex_type),
    (&[("PyByteArray_Type", "bytearray")], |k| &mut k.bytearray_type),
    (&[("PyMemoryView_Type", "memoryview")], |k| &mut k.memoryview_type),
    (&[("PySet_Type", "set")], |k| &mut k.set_type),
    (&[("PyFrozenSet_Type", "frozenset")], |k| &mut k.frozenset_type),
    (&[("PyRange_Type", "range"), ("PyRange_Type", "xrange")], |k| {
        &mut k.range_type
    }),
    (&[("PySlice_Type", "slice")], |k| &mut k.slice_type),
    (&[("PyModule_Type", "module")], |k| &mut k.module_type),
    (&[("PyFunction_Type", "function")], |k| &mut k.function_type),
    (
        &[("PyMethod_Type", "method"), ("PyMethod_Type", "instancemethod")],
        |k| &mut k.method_type,
    ),
    (&[("PyCFunction_Type", "builtin_function_or_method")], |k| {
        &mut k.cfunction_type
    }),
    (&[("PyCode_Type", "code")], |k| &mut k.code_type),
    (&[("PyCell_Type", "cell")], |k| &mut k.cell_type),
    (&[("PyLong_Type", "int"), ("PyLong_Type", "long")], |k| {
        &mut k.long_type
    }),
    (&[("PyUnicode_Type", "str"), ("PyUnicode_Type", "unicode")], |k| {
        &mut k.unicode_type
    }),
    (&[("PyString_Type", "str"), ("PyBytes_Type", "bytes")], |k| {
        &mut k.bytes_type
    }),
    (&[("PyList_Type", "list")], |k| &mut k.list_type),
    (&[("PyTuple_Type", "tuple")], |k| &mut k.tuple_type),
    (&[("PyDict_Type", "dict")], |k| &mut k.dict_type),
    (&[("PyBaseObject_Type", "object")], |k| &mut k.object_type),
];

/// Types that some versions do not have, and that are 0 there.
const OPTIONAL_TYPES: &[Known<KnownObjects>] = &[
    // 3.9+
    (&[("PyCMethod_Type", "builtin_method")], |k| &mut k.cmethod_type),
    // Python 2
    (&[("PyInt_Type", "int")], |k| &mut k.int_type),
    (&[("PyInstance_Type", "instance")], |k| &mut k.instance_type),
    (&[("PyClass_Type", "classobj")], |k| &mut k.class_type),
    // Python 3
    (&[("PyCoro_Type", "coroutine")], |k| &mut k.coroutine_type),
    (&[("PyGen_Type", "generator")], |k| &mut k.generator_type),
    // 3.15+
    (&[("PyFrozenDict_Type", "frozendict")], |k| &mut k.frozendict_type),
];

/// Types that only discovery needs.
const DESCRIPTORS: &[Known<Descriptors>] = &[
    (&[("PyType_Type", "type")], |d| &mut d.type_type),
    (&[("PyStaticMethod_Type", "staticmethod")], |d| {
        &mut d.staticmethod
    }),
    (&[("PyClassMethod_Type", "classmethod")], |d| &mut d.classmethod),
    (&[("PyProperty_Type", "property")], |d| &mut d.property),
];

/// A variable that points to the type (Objects/exceptions.c).
const STOP_ITERATION: &str = "PyExc_StopIteration";

/// Addresses of the types whose instances wrap C functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    pub type_type: u64,
    /// `PyMethodDescr_Type`.
    pub method: u64,
    /// `PyClassMethodDescr_Type`.
    pub class_method: u64,
    /// `PyWrapperDescr_Type`: the slots of types.
    pub slot: u64,
    /// `tp_new_wrapper` (Objects/typeobject.c), the C function behind every `__new__` of a type made in C.
    pub new_wrapper: u64,
    pub staticmethod: u64,
    pub classmethod: u64,
    pub property: u64,
}

/// Every symbol that [`read`] can use.
pub(super) fn symbols() -> impl Iterator<Item = &'static str> {
    let types = TYPES.iter().chain(OPTIONAL_TYPES).map(|(names, _)| *names);
    let descriptors = DESCRIPTORS.iter().map(|(names, _)| *names);
    types
        .chain(descriptors)
        .flatten()
        .map(|(symbol, _)| *symbol)
        .chain(["_Py_NoneStruct", "_Py_TrueStruct", STOP_ITERATION])
}

/// Takes the addresses over, after a look at each object. The error is one line: what is not as it should be.
pub(super) fn read<M: ReadMemory>(
    objects: &Objects<'_, M>,
    symbols: &Symbols,
) -> Result<(KnownObjects, Descriptors), String> {
    let constant = |symbol: &str, tp_name: &str| {
        let addr = *symbols
            .get(symbol)
            .ok_or_else(|| format!("{symbol} is not exported"))?;
        let ty = objects
            .type_of(addr)
            .map_err(|error| format!("{symbol}: {error}"))?;
        named(objects, ty, &[(symbol, tp_name)]).map(|()| addr)
    };
    let mut known = KnownObjects {
        none: constant("_Py_NoneStruct", "NoneType")?,
        true_: constant("_Py_TrueStruct", "bool")?,
        ..KnownObjects::default()
    };
    for (names, place) in TYPES {
        *place(&mut known) = address(objects, symbols, names)?;
    }
    for (names, place) in OPTIONAL_TYPES {
        if names.iter().any(|(symbol, _)| symbols.contains_key(symbol)) {
            *place(&mut known) = address(objects, symbols, names)?;
        }
    }
    known.stop_iteration = stop_iteration(objects, symbols)?;
    let mut descriptors = Descriptors::default();
    for (names, place) in DESCRIPTORS {
        *place(&mut descriptors) = address(objects, symbols, names)?;
    }
    match objects.type_of(descriptors.type_type) {
        Ok(ty) if ty == descriptors.type_type => Ok((known, descriptors)),
        _ => Err("type(type) is not type".to_owned()),
    }
}

/// The address of a type, which must have one of the names that go with its symbol.
fn address<M: ReadMemory>(
    objects: &Objects<'_, M>,
    symbols: &Symbols,
    names: &[(&str, &str)],
) -> Result<u64, String> {
    let found = names
        .iter()
        .find_map(|(symbol, _)| Some((*symbol, *symbols.get(symbol)?)));
    let Some((symbol, addr)) = found else {
        return Err(format!("{} is not exported", names[0].0));
    };
    let of_symbol: Vec<(&str, &str)> = names
        .iter()
        .filter(|(name, _)| *name == symbol)
        .copied()
        .collect();
    named(objects, addr, &of_symbol).map(|()| addr)
}

fn stop_iteration<M: ReadMemory>(objects: &Objects<'_, M>, symbols: &Symbols) -> Result<u64, String> {
    let variable = *symbols
        .get(STOP_ITERATION)
        .ok_or_else(|| format!("{STOP_ITERATION} is not exported"))?;
    let ty = objects
        .memory
        .read_u64(variable)
        .map_err(|error| format!("{STOP_ITERATION}: {error}"))?;
    let names = [
        (STOP_ITERATION, "StopIteration"),
        (STOP_ITERATION, "exceptions.StopIteration"),
    ];
    named(objects, ty, &names).map(|()| ty)
}

fn named<M: ReadMemory>(objects: &Objects<'_, M>, ty: u64, names: &[(&str, &str)]) -> Result<(), String> {
    let symbol = names[0].0;
    match objects.tp_name(ty) {
        Ok(found) if names.iter().any(|(_, name)| *name == found) => Ok(()),
        Ok(found) => Err(format!("{symbol} is named {found:?} instead of {:?}", names[0].1)),
        Err(error) => Err(format!("{symbol}: {error}")),
    }
}

/// The types of C methods and slots: not every version exports them, but every version has
/// `list.append`, the class method `dict.fromkeys`, `object.__init__` and `object.__new__`.
pub(super) fn descriptors<M: ReadMemory>(
    objects: &Objects<'_, M>,
    known: &KnownObjects,
    mut descriptors: Descriptors,
) -> Result<Descriptors, String> {
    let get = |owner: u64, method: &'static str| {
        objects
            .type_dict(owner)
            .and_then(|dict| objects.dict_get(dict, method))
            .map_err(|error| format!("{method}: {error}"))?
            .ok_or_else(|| format!("no {method}"))
    };
    let type_of = |owner: u64, method: &'static str, name: &'static str| {
        let found = get(owner, method)?;
        let ty = objects
            .type_of(found)
            .map_err(|error| format!("{method}: {error}"))?;
        named(objects, ty, &[(method, name)]).map(|()| ty)
    };
    descriptors.method = type_of(known.list_type, "append", "method_descriptor")?;
    descriptors.class_method = type_of(known.dict_type, "fromkeys", "classmethod_descriptor")?;
    descriptors.slot = type_of(known.object_type, "__init__", "wrapper_descriptor")?;
    let layout = &objects.layout;
    descriptors.new_wrapper = objects
        .field(get(known.object_type, "__new__")?, layout.offsets.m_ml)
        .and_then(|m_ml| objects.user_field(m_ml, layout.user.ml_meth))
        .map_err(|error| format!("object.__new__: {error}"))?;
    Ok(descriptors)
}
