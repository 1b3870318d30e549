//! Which fields are asked for, and how CPython's versions spell them.

/// Layout key, then the C expressions to try. An empty list: `struct.field` is the expression.
pub(super) const FIELDS: &[(&str, &[&str])] = &[
    // What the kernel half reads: tracer_common::target::Offsets.
    ("PyObject.ob_type", &[]),
    ("PyVarObject.ob_size", &[]),
    ("PyTypeObject.tp_name", &[]),
    ("PyTypeObject.tp_basicsize", &[]),
    ("PyTypeObject.tp_flags", &[]),
    ("PyTypeObject.tp_base", &[]),
    ("PyIntObject.ob_ival", &[]),
    (
        "PyLongObject.size_or_tag",
        &[
            "offsetof(PyLongObject, long_value.lv_tag)",
            "offsetof(PyVarObject, ob_size)",
        ],
    ),
    (
        "PyLongObject.ob_digit",
        &[
            "offsetof(PyLongObject, long_value.ob_digit)",
            "offsetof(PyLongObject, ob_digit)",
        ],
    ),
    (
        "PyLongObject.lv_tag",
        &["offsetof(PyLongObject, long_value.lv_tag)"],
    ),
    ("PyFloatObject.ob_fval", &[]),
    ("PyComplexObject.cval", &[]),
    (
        "PyASCIIObject.length",
        &[
            "offsetof(PyASCIIObject, length)",
            "offsetof(PyUnicodeObject, length)",
        ],
    ),
    ("PyASCIIObject.state", &[]),
    (
        "PyASCIIObject.state.kind",
        &["BIT(PyASCIIObject, state, state.kind)"],
    ),
    ("PyASCIIObject.wstr", &[]),
    ("PyCompactUnicodeObject.wstr_length", &[]),
    ("sizeof.PyASCIIObject", &["sizeof(PyASCIIObject)"]),
    (
        "sizeof.PyCompactUnicodeObject",
        &["sizeof(PyCompactUnicodeObject)"],
    ),
    (
        "PyUnicodeObject.data",
        &[
            "offsetof(PyUnicodeObject, data)",
            "offsetof(PyUnicodeObject, str)",
        ],
    ),
    (
        "PyBytesObject.ob_sval",
        &[
            "offsetof(PyStringObject, ob_sval)",
            "offsetof(PyBytesObject, ob_sval)",
        ],
    ),
    (
        "PyByteArrayObject.ob_start",
        &[
            "offsetof(PyByteArrayObject, ob_start)",
            "offsetof(PyByteArrayObject, ob_bytes)",
        ],
    ),
    ("PyListObject.ob_item", &[]),
    ("PyTupleObject.ob_item", &[]),
    ("PyDictObject.ma_used", &[]),
    ("PyDictObject.ma_keys", &[]),
    ("PyDictObject.ma_values", &[]),
    ("PyDictObject.ma_mask", &[]),
    ("PyDictObject.ma_table", &[]),
    ("PyDictKeysObject.dk_size", &[]),
    ("PyDictKeysObject.dk_log2_size", &[]),
    ("PyDictKeysObject.dk_log2_index_bytes", &[]),
    ("PyDictKeysObject.dk_kind", &[]),
    ("PyDictKeysObject.dk_nentries", &[]),
    ("PyDictKeysObject.dk_indices", &[]),
    ("PyDictValues.values", &[]),
    ("PyDictValues.capacity", &[]),
    ("PySetObject.used", &[]),
    ("PySetObject.mask", &[]),
    ("PySetObject.table", &[]),
    ("setentry.key", &[]),
    // Private to Objects/rangeobject.c: PyObject_HEAD, then start, stop, step, length (2.7: start, step, len).
    ("PyRangeObject.start", &["sizeof(PyObject)"]),
    ("PySliceObject.start", &[]),
    ("PyModuleObject.md_name", &[]),
    ("PyFunctionObject.func_module", &[]),
    (
        "PyFunctionObject.func_qualname",
        &[
            "offsetof(PyFunctionObject, func_qualname)",
            "offsetof(PyFunctionObject, func_name)",
        ],
    ),
    ("PyMethodObject.im_func", &[]),
    ("PyInstanceObject.in_class", &[]),
    ("PyClassObject.cl_bases", &[]),
    ("PyClassObject.cl_dict", &[]),
    ("PyClassObject.cl_name", &[]),
    ("PyCFunctionObject.m_ml", &[]),
    ("PyCFunctionObject.m_self", &[]),
    ("PyCFunctionObject.m_module", &[]),
    ("PyBaseExceptionObject.args", &[]),
    ("PyBaseExceptionObject.traceback", &[]),
    ("PyMemoryViewObject.view", &[]),
    ("PyMemoryViewObject.flags", &[]),
    ("PyInterpreterState.next", &[]),
    (
        "PyInterpreterState.threads.head",
        &[
            "offsetof(PyInterpreterState, threads.head)",
            "offsetof(PyInterpreterState, tstate_head)",
        ],
    ),
    ("PyThreadState.next", &[]),
    ("PyThreadState.interp", &[]),
    ("PyThreadState.thread_id", &[]),
    ("PyThreadState.native_thread_id", &[]),
    ("PyThreadState._status", &[]),
    (
        "PyThreadState._status.active",
        &["BIT(PyThreadState, _status, _status.active)"],
    ),
    ("PyThreadState.cframe", &[]),
    (
        "current_frame",
        &[
            "offsetof(PyThreadState, current_frame)",
            "offsetof(PyThreadState, frame)",
        ],
    ),
    ("_PyCFrame.current_frame", &[]),
    ("PyThreadState.curexc_type", &[]),
    ("PyThreadState.curexc_traceback", &[]),
    (
        "PyThreadState.current_exception",
        &[
            "offsetof(PyThreadState, current_exception)",
            "offsetof(PyThreadState, curexc_value)",
        ],
    ),
    ("PyThreadState.dict", &[]),
    ("PyThreadState.context", &[]),
    ("_PyThreadStateImpl.asyncio_running_loop", &[]),
    ("_PyThreadStateImpl.asyncio_running_task", &[]),
    ("PyGenObject.gi_qualname", &[]),
    ("PyContext.ctx_vars", &[]),
    ("PyHamtObject.h_root", &[]),
    ("PyHamtNode_Bitmap.b_bitmap", &[]),
    ("PyHamtNode_Bitmap.b_array", &[]),
    ("PyHamtNode_Array.a_array", &[]),
    ("PyHamtNode_Collision.c_array", &[]),
    ("PyTypeObject.tp_dictoffset", &[]),
    ("PyHeapTypeObject.ht_cached_keys", &[]),
    ("PyObject.managed_dict", &["MANAGED_DICT"]),
    ("PyObject.values", &["VALUES"]),
    ("PyDictValues.valid", &[]),
    (
        "_PyInterpreterFrame.code",
        &[
            "offsetof(_PyInterpreterFrame, f_executable)",
            "offsetof(_PyInterpreterFrame, f_code)",
            "offsetof(PyFrameObject, f_code)",
        ],
    ),
    (
        "_PyInterpreterFrame.instr",
        &[
            "offsetof(_PyInterpreterFrame, instr_ptr)",
            "offsetof(_PyInterpreterFrame, prev_instr)",
        ],
    ),
    (
        "_PyInterpreterFrame.previous",
        &[
            "offsetof(_PyInterpreterFrame, previous)",
            "offsetof(PyFrameObject, f_back)",
        ],
    ),
    ("_PyInterpreterFrame.owner", &[]),
    (
        "_PyInterpreterFrame.f_globals",
        &[
            "offsetof(_PyInterpreterFrame, f_globals)",
            "offsetof(PyFrameObject, f_globals)",
        ],
    ),
    (
        "_PyInterpreterFrame.localsplus",
        &[
            "offsetof(_PyInterpreterFrame, localsplus)",
            "offsetof(PyFrameObject, f_localsplus)",
        ],
    ),
    ("_PyInterpreterFrame.is_entry", &[]),
    ("PyFrameObject.f_stacktop", &[]),
    ("PyFrameObject.f_state", &[]),
    ("_PyInterpreterFrame.tlbc_index", &[]),
    ("PyFrameObject.f_lasti", &[]),
    ("PyCodeObject.co_code_adaptive", &[]),
    ("PyCodeObject.co_tlbc", &[]),
    ("PyCodeObject.co_code", &[]),
    ("PyCodeObject.co_names", &[]),
    ("PyCodeObject.co_consts", &[]),
    ("PyCodeObject.co_argcount", &[]),
    ("PyCodeObject.co_kwonlyargcount", &[]),
    ("PyCodeObject.co_flags", &[]),
    ("PyCodeObject.co_nlocals", &[]),
    (
        "PyCodeObject.co_varnames",
        &[
            "offsetof(PyCodeObject, co_localsplusnames)",
            "offsetof(PyCodeObject, co_varnames)",
        ],
    ),
    ("PyCodeObject.co_cellvars", &[]),
    ("PyCodeObject._co_instrumentation_version", &[]),
    ("PyCellObject.ob_ref", &[]),
    ("PyCodeObject.co_firstlineno", &[]),
    ("PyCodeObject.co_filename", &[]),
    (
        "PyCodeObject.co_qualname",
        &[
            "offsetof(PyCodeObject, co_qualname)",
            "offsetof(PyCodeObject, co_name)",
        ],
    ),
    (
        "PyCodeObject.co_linetable",
        &[
            "offsetof(PyCodeObject, co_linetable)",
            "offsetof(PyCodeObject, co_lnotab)",
        ],
    ),
    // What only the user half reads: tracer_user::cpython::layout::UserOffsets.
    ("PyContextVar.var_hash", &[]),
    ("_PyRuntimeState.initialized", &[]),
    ("_PyRuntimeState.interpreters.head", &[]),
    ("_PyRuntimeState.interpreters.main", &[]),
    ("_PyRuntimeState.gilstate.tstate_current", &[]),
    (
        "PyInterpreterState.modules",
        &[
            "offsetof(PyInterpreterState, imports.modules)",
            "offsetof(PyInterpreterState, modules)",
        ],
    ),
    ("PyInterpreterState.sysdict", &[]),
    (
        "PyInterpreterState.types.builtins",
        &[
            "offsetof(PyInterpreterState, types.builtins.initialized)",
            "offsetof(PyInterpreterState, types.builtins)",
        ],
    ),
    (
        "PyInterpreterState.types.for_extensions",
        &["offsetof(PyInterpreterState, types.for_extensions.initialized)"],
    ),
    (
        "sizeof.static_type_state",
        &[
            "sizeof(managed_static_type_state)",
            "sizeof(static_builtin_state)",
        ],
    ),
    (
        "static_type_state.type",
        &[
            "offsetof(managed_static_type_state, type)",
            "offsetof(static_builtin_state, type)",
        ],
    ),
    (
        "static_type_state.tp_dict",
        &[
            "offsetof(managed_static_type_state, tp_dict)",
            "offsetof(static_builtin_state, tp_dict)",
        ],
    ),
    (
        "static_type_state.tp_subclasses",
        &[
            "offsetof(managed_static_type_state, tp_subclasses)",
            "offsetof(static_builtin_state, tp_subclasses)",
        ],
    ),
    ("PyTypeObject.tp_dict", &[]),
    ("PyTypeObject.tp_mro", &[]),
    ("PyTypeObject.tp_subclasses", &[]),
    ("PyTypeObject.tp_new", &[]),
    ("PyTypeObject.tp_init", &[]),
    ("PyTypeObject.tp_dealloc", &[]),
    ("PyTypeObject.tp_vectorcall", &[]),
    ("PyTypeObject.tp_as_mapping", &[]),
    ("PyMappingMethods.mp_ass_subscript", &[]),
    ("PyMappingMethods.mp_subscript", &[]),
    ("sizeof.PySequenceMethods", &["sizeof(PySequenceMethods)"]),
    ("PyHeapTypeObject.as_sequence", &[]),
    (
        "PyHeapTypeObject.ht_qualname",
        &[
            "offsetof(PyHeapTypeObject, ht_qualname)",
            "offsetof(PyHeapTypeObject, ht_name)",
        ],
    ),
    ("PyDescrObject.d_type", &[]),
    ("PyMethodDescrObject.d_method", &[]),
    ("PyWrapperDescrObject.d_base", &[]),
    ("PyWrapperDescrObject.d_wrapped", &[]),
    ("wrapperbase.name", &["offsetof(struct wrapperbase, name)"]),
    ("wrapperbase.offset", &["offsetof(struct wrapperbase, offset)"]),
    ("PyMethodDef.ml_name", &[]),
    ("PyMethodDef.ml_meth", &[]),
    ("PyMethodDef.ml_flags", &[]),
    ("PyModuleObject.md_dict", &[]),
    // Private to Objects/funcobject.c: PyObject_HEAD, then the callable; the same for both.
    ("classmethod.cm_callable", &["sizeof(PyObject)"]),
    ("PyWeakReference.wr_object", &[]),
    ("PyFunctionObject.func_code", &[]),
    ("PyFunctionObject.func_globals", &[]),
    ("PyFunctionObject.func_closure", &[]),
    (
        "PyFunctionObject.func_qualname.own",
        &["offsetof(PyFunctionObject, func_qualname)"],
    ),
];

/// Layout key, and what `_Py_DebugOffsets` (3.13+) calls it: its struct there and the member. Each
/// version has its own structure of it: `Include/internal/pycore_runtime.h` (3.13),
/// `pycore_debug_offsets.h` (3.14+).
pub(super) const DEBUG_OFFSETS: &[(&str, &str, &str)] = &[
    (
        "_PyRuntimeState.interpreters.head",
        "runtime_state",
        "interpreters_head",
    ),
    ("PyInterpreterState.next", "interpreter_state", "next"),
    (
        "PyInterpreterState.threads.head",
        "interpreter_state",
        "threads_head",
    ),
    (
        "PyInterpreterState.modules",
        "interpreter_state",
        "imports_modules",
    ),
    ("PyInterpreterState.sysdict", "interpreter_state", "sysdict"),
    ("PyThreadState.next", "thread_state", "next"),
    ("PyThreadState.interp", "thread_state", "interp"),
    ("current_frame", "thread_state", "current_frame"),
    ("PyThreadState.thread_id", "thread_state", "thread_id"),
    (
        "PyThreadState.native_thread_id",
        "thread_state",
        "native_thread_id",
    ),
    ("PyThreadState._status", "thread_state", "status"),
    (
        "PyThreadState.current_exception",
        "thread_state",
        "current_exception",
    ),
    ("_PyInterpreterFrame.previous", "interpreter_frame", "previous"),
    ("_PyInterpreterFrame.code", "interpreter_frame", "executable"),
    ("_PyInterpreterFrame.instr", "interpreter_frame", "instr_ptr"),
    ("_PyInterpreterFrame.owner", "interpreter_frame", "owner"),
    (
        "_PyInterpreterFrame.localsplus",
        "interpreter_frame",
        "localsplus",
    ),
    ("PyCodeObject.co_argcount", "code_object", "argcount"),
    ("PyCodeObject.co_varnames", "code_object", "localsplusnames"),
    (
        "_PyInterpreterFrame.tlbc_index",
        "interpreter_frame",
        "tlbc_index",
    ),
    ("PyCodeObject.co_filename", "code_object", "filename"),
    ("PyCodeObject.co_qualname", "code_object", "qualname"),
    ("PyCodeObject.co_linetable", "code_object", "linetable"),
    ("PyCodeObject.co_names", "code_object", "names"),
    ("PyCodeObject.co_firstlineno", "code_object", "firstlineno"),
    ("PyCodeObject.co_code_adaptive", "code_object", "co_code_adaptive"),
    ("PyCodeObject.co_tlbc", "code_object", "co_tlbc"),
    ("PyObject.ob_type", "pyobject", "ob_type"),
    ("PyTypeObject.tp_name", "type_object", "tp_name"),
    ("PyTypeObject.tp_flags", "type_object", "tp_flags"),
    ("PyTypeObject.tp_basicsize", "type_object", "tp_basicsize"),
    ("PyTupleObject.ob_item", "tuple_object", "ob_item"),
    ("PyListObject.ob_item", "list_object", "ob_item"),
    ("PySetObject.used", "set_object", "used"),
    ("PySetObject.table", "set_object", "table"),
    ("PySetObject.mask", "set_object", "mask"),
    ("PyDictObject.ma_keys", "dict_object", "ma_keys"),
    ("PyDictObject.ma_values", "dict_object", "ma_values"),
    ("PyFloatObject.ob_fval", "float_object", "ob_fval"),
    ("PyLongObject.size_or_tag", "long_object", "lv_tag"),
    ("PyLongObject.lv_tag", "long_object", "lv_tag"),
    ("PyLongObject.ob_digit", "long_object", "ob_digit"),
    ("PyBytesObject.ob_sval", "bytes_object", "ob_sval"),
    ("PyASCIIObject.state", "unicode_object", "state"),
    ("PyASCIIObject.length", "unicode_object", "length"),
    ("sizeof.PyASCIIObject", "unicode_object", "asciiobject_size"),
];

/// Headers that some versions have, and what no installed header of a version tells: `PyDictKeysObject`
/// (Objects/dict-common.h, 3.6 to 3.10), `PyModuleObject` (Objects/moduleobject.c, 2.7 to 3.9), nodes of the tree of a context's
/// variables (Python/hamt.c), and where dict and values are before an object, which functions compute
/// (`_PyObject_ManagedDictPointer`, `_PyObject_ValuesPointer` and `_PyObject_DictOrValuesPointer`, pycore_object.h of 3.11 and 3.12).
pub(super) const PREAMBLE: &str = "\
#define Py_BUILD_CORE 1
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <Python.h>
#include <frameobject.h>
#include <structmember.h>
#define HAVE(path) __has_include(path)
#if HAVE(<longintrepr.h>)
#include <longintrepr.h>
#endif
#if PY_MAJOR_VERSION == 3
#if HAVE(<internal/pystate.h>)
#include <internal/pystate.h>
#endif
#if HAVE(<internal/pycore_pystate.h>)
#include <internal/pycore_pystate.h>
#endif
#if HAVE(<internal/pycore_runtime.h>)
#include <internal/pycore_runtime.h>
#endif
#if HAVE(<internal/pycore_debug_offsets.h>)
#include <internal/pycore_debug_offsets.h>
#endif
#if HAVE(<internal/pycore_interp.h>)
#include <internal/pycore_interp.h>
#endif
#if HAVE(<internal/pycore_frame.h>)
#include <internal/pycore_frame.h>
#endif
#if HAVE(<internal/pycore_interpframe.h>)
#include <internal/pycore_interpframe.h>
#endif
#if HAVE(<internal/pycore_dict.h>)
#include <internal/pycore_dict.h>
#endif
#if HAVE(<internal/pycore_moduleobject.h>)
#include <internal/pycore_moduleobject.h>
#endif
#if HAVE(<internal/pycore_typeobject.h>)
#include <internal/pycore_typeobject.h>
#endif
#if HAVE(<internal/pycore_tstate.h>)
#include <internal/pycore_tstate.h>
#endif
#if HAVE(<internal/pycore_object.h>)
#include <internal/pycore_object.h>
#endif
#if HAVE(<internal/context.h>)
#include <internal/context.h>
#include <internal/hamt.h>
#endif
#if HAVE(<internal/pycore_context.h>)
#include <internal/pycore_context.h>
#include <internal/pycore_hamt.h>
#endif
#if PY_VERSION_HEX >= 0x03070000 && PY_VERSION_HEX < 0x030c0000
typedef struct { PyObject_VAR_HEAD unsigned b_bitmap; PyObject *b_array[1]; } PyHamtNode_Bitmap;
#endif
#if PY_VERSION_HEX >= 0x03070000
typedef struct { PyObject_HEAD void *a_array[32]; Py_ssize_t a_count; } PyHamtNode_Array;
typedef struct { PyObject_VAR_HEAD int c_hash; PyObject *c_array[1]; } PyHamtNode_Collision;
#endif
#if PY_VERSION_HEX >= 0x030d0000
#define MANAGED_DICT (-MANAGED_DICT_OFFSET)
#elif PY_VERSION_HEX >= 0x030c0000
#define MANAGED_DICT (3 * sizeof(PyObject *))
#define VALUES (3 * sizeof(PyObject *))
#elif PY_VERSION_HEX >= 0x030b0000
#define MANAGED_DICT (3 * sizeof(PyObject *))
#define VALUES (4 * sizeof(PyObject *))
#endif
#if PY_VERSION_HEX < 0x030b0000
struct _dictkeysobject {
    Py_ssize_t dk_refcnt, dk_size;
    void *dk_lookup;
    Py_ssize_t dk_usable, dk_nentries;
    char dk_indices[8];
};
#endif
#if PY_VERSION_HEX < 0x030a0000
typedef struct { PyObject_HEAD PyObject *md_dict; void *md_def, *md_state; PyObject *md_weaklist, *md_name; } PyModuleObject;
#endif
#else
typedef struct { PyObject_HEAD PyObject *md_dict; } PyModuleObject;
#endif
";
