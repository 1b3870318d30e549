//! One traced process as the kernel half sees it: addresses of well-known objects and the
//! offsets of the fields it reads. Filled by the daemon, one entry per process in the
//! `TARGETS` array map; every offset is data, so one BPF program serves all CPython versions.

use crate::attribution::Attribution;

/// An offset that this CPython version does not have.
pub const ABSENT: u16 = u16::MAX;

/// Declares a struct of `u16` offsets with the C expression each comes from, so that one
/// list makes the struct, the generator's questions and the loader's names.
#[macro_export]
macro_rules! offsets {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[doc = $doc:literal])* $field:ident = $key:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name { $($(#[doc = $doc])* #[doc = concat!("\n\nLayout key `", $key, "`.")] pub $field: u16,)+ }

        impl $name {
            /// Layout keys in field order.
            pub const KEYS: &'static [&'static str] = &[$($key),+];

            /// Builds the struct from a look-up by layout key; what is not found is `ABSENT`.
            pub fn from_lookup(mut get: impl FnMut(&str) -> Option<u16>) -> Self {
                Self { $($field: get($key).unwrap_or($crate::target::ABSENT)),+ }
            }
        }
    };
}

offsets! {
    /// Field offsets in bytes that the kernel half needs. Keys are `struct.field` of CPython's
    /// headers, or a description in the layout generator where no single `offsetof` says it.
    pub struct Offsets {
        ob_type = "PyObject.ob_type",
        ob_size = "PyVarObject.ob_size",
        tp_name = "PyTypeObject.tp_name",
        tp_basicsize = "PyTypeObject.tp_basicsize",
        tp_flags = "PyTypeObject.tp_flags",
        tp_base = "PyTypeObject.tp_base",
        /// `int` of Python 2.
        int_ival = "PyIntObject.ob_ival",
        /// `lv_tag` (3.12+) or `ob_size` (before).
        long_size = "PyLongObject.size_or_tag",
        long_digits = "PyLongObject.ob_digit",
        ob_fval = "PyFloatObject.ob_fval",
        cval = "PyComplexObject.cval",
        unicode_length = "PyASCIIObject.length",
        unicode_state = "PyASCIIObject.state",
        /// Where in the state word `kind` (3 bits), `compact` and `ascii` begin. Absent in Python 2.
        unicode_kind_shift = "PyASCIIObject.state.kind",
        /// Data of a string that is not ready (up to 3.11): `wchar_t`s.
        unicode_wstr = "PyASCIIObject.wstr",
        unicode_wstr_length = "PyCompactUnicodeObject.wstr_length",
        /// Data of a compact ASCII string: `sizeof(PyASCIIObject)`.
        unicode_ascii_data = "sizeof.PyASCIIObject",
        /// Data of a compact non-ASCII string: `sizeof(PyCompactUnicodeObject)`.
        unicode_compact_data = "sizeof.PyCompactUnicodeObject",
        /// Pointer to the data of a non-compact string.
        unicode_any = "PyUnicodeObject.data",
        ob_sval = "PyBytesObject.ob_sval",
        ob_start = "PyByteArrayObject.ob_start",
        list_ob_item = "PyListObject.ob_item",
        tuple_ob_item = "PyTupleObject.ob_item",
        ma_used = "PyDictObject.ma_used",
        ma_keys = "PyDictObject.ma_keys",
        ma_values = "PyDictObject.ma_values",
        /// Python 2: the table's size less one.
        ma_mask = "PyDictObject.ma_mask",
        /// Python 2: entries of hash, key, value.
        ma_table = "PyDictObject.ma_table",
        /// 3.6 to 3.10: the index table's entries.
        dk_size = "PyDictKeysObject.dk_size",
        /// One byte: log2 of the index table's entries.
        dk_log2_size = "PyDictKeysObject.dk_log2_size",
        /// One byte: log2 of the index table's bytes.
        dk_log2_index_bytes = "PyDictKeysObject.dk_log2_index_bytes",
        /// One byte: 0 general (24-byte entries), 1 unicode, 2 split (16-byte entries).
        dk_kind = "PyDictKeysObject.dk_kind",
        dk_nentries = "PyDictKeysObject.dk_nentries",
        dk_indices = "PyDictKeysObject.dk_indices",
        /// First value inside `PyDictValues` (0 before 3.13, absent before 3.11).
        dictvalues_values = "PyDictValues.values",
        /// One byte: how many values there is room for (3.13+).
        dictvalues_capacity = "PyDictValues.capacity",
        set_used = "PySetObject.used",
        set_mask = "PySetObject.mask",
        set_table = "PySetObject.table",
        /// 0, or 8 where the hash comes first (Python 2).
        setentry_key = "setentry.key",
        range_start = "PyRangeObject.start",
        slice_start = "PySliceObject.start",
        md_dict = "PyModuleObject.md_dict",
        md_name = "PyModuleObject.md_name",
        func_module = "PyFunctionObject.func_module",
        func_qualname = "PyFunctionObject.func_qualname",
        im_func = "PyMethodObject.im_func",
        /// Old-style instances and classes of Python 2.
        in_class = "PyInstanceObject.in_class",
        cl_bases = "PyClassObject.cl_bases",
        cl_dict = "PyClassObject.cl_dict",
        cl_name = "PyClassObject.cl_name",
        m_ml = "PyCFunctionObject.m_ml",
        m_self = "PyCFunctionObject.m_self",
        m_module = "PyCFunctionObject.m_module",
        exception_args = "PyBaseExceptionObject.args",
        /// Python 3.
        exception_traceback = "PyBaseExceptionObject.traceback",
        /// The embedded `Py_buffer`.
        memoryview_view = "PyMemoryViewObject.view",
        memoryview_flags = "PyMemoryViewObject.flags",
        interp_next = "PyInterpreterState.next",
        interp_threads_head = "PyInterpreterState.threads.head",
        tstate_next = "PyThreadState.next",
        /// What `pthread_self` says: on x86-64, with glibc and musl, the thread's `fs` base.
        tstate_thread_id = "PyThreadState.thread_id",
        tstate_native_thread_id = "PyThreadState.native_thread_id",
        /// The word with the bits that tell a thread state's status (3.12+).
        tstate_status = "PyThreadState._status",
        /// Which of its bits says that the state is the current one of its thread.
        tstate_active_bit = "PyThreadState._status.active",
        /// Pointer to `_PyCFrame` (3.10 to 3.12).
        tstate_cframe = "PyThreadState.cframe",
        /// `current_frame` in `_PyCFrame` (3.11, 3.12); elsewhere it is in `PyThreadState`.
        cframe_current_frame = "_PyCFrame.current_frame",
        /// In `PyThreadState`: `frame` (to 3.10), `current_frame` (3.13+).
        current_frame = "current_frame",
        /// `curexc_type` (up to 3.11); absent after.
        curexc_type = "PyThreadState.curexc_type",
        /// The same.
        curexc_traceback = "PyThreadState.curexc_traceback",
        /// `curexc_value` (up to 3.11) or `current_exception` (3.12+).
        current_exception = "PyThreadState.current_exception",
        /// The thread's own dict.
        tstate_dict = "PyThreadState.dict",
        /// 3.7+.
        tstate_context = "PyThreadState.context",
        /// 3.13+.
        asyncio_running_loop = "_PyThreadStateImpl.asyncio_running_loop",
        /// 3.14+.
        asyncio_running_task = "_PyThreadStateImpl.asyncio_running_task",
        /// Of generators and coroutines.
        gen_qualname = "PyGenObject.gi_qualname",
        /// Contexts came with 3.7, as the next five.
        context_vars = "PyContext.ctx_vars",
        hamt_root = "PyHamtObject.h_root",
        hamt_bitmap = "PyHamtNode_Bitmap.b_bitmap",
        hamt_bitmap_array = "PyHamtNode_Bitmap.b_array",
        hamt_array = "PyHamtNode_Array.a_array",
        hamt_collision = "PyHamtNode_Collision.c_array",
        tp_dictoffset = "PyTypeObject.tp_dictoffset",
        /// Keys that the instances of a class share.
        ht_cached_keys = "PyHeapTypeObject.ht_cached_keys",
        /// Bytes before an object where the pointer to its dict is (3.11+).
        managed_dict = "PyObject.managed_dict",
        /// The same for its values: a word of their own (3.11), or the same one (3.12).
        values_before = "PyObject.values",
        /// One byte: whether values behind an object are used (3.13+).
        dictvalues_valid = "PyDictValues.valid",
        /// `f_code` (to 3.11) or `f_executable` (3.12+; with tag bits in 3.14+).
        frame_code = "_PyInterpreterFrame.code",
        /// `prev_instr` (3.11, 3.12) or `instr_ptr` (3.13+).
        frame_instr = "_PyInterpreterFrame.instr",
        /// `f_lasti` (to 3.10).
        frame_lasti = "PyFrameObject.f_lasti",
        frame_previous = "_PyInterpreterFrame.previous",
        frame_globals = "_PyInterpreterFrame.f_globals",
        /// `localsplus` (3.11+) or `f_localsplus`.
        frame_localsplus = "_PyInterpreterFrame.localsplus",
        /// `f_stacktop` (to 3.9): not NULL where the frame was left by a `yield`.
        frame_stacktop = "PyFrameObject.f_stacktop",
        /// `f_state` (3.10), one byte: -1 where the frame was left by a `yield`.
        frame_state = "PyFrameObject.f_state",
        /// `is_entry` (3.11), one byte.
        frame_is_entry = "_PyInterpreterFrame.is_entry",
        frame_owner = "_PyInterpreterFrame.owner",
        /// Free-threaded builds: which of the code's per-thread copies runs.
        frame_tlbc_index = "_PyInterpreterFrame.tlbc_index",
        co_code_adaptive = "PyCodeObject.co_code_adaptive",
        /// Free-threaded builds: `_PyCodeArray *` of the per-thread copies.
        co_tlbc = "PyCodeObject.co_tlbc",
        /// The bytecode, up to 3.10.
        co_code = "PyCodeObject.co_code",
        /// Read from 3.11 on.
        co_names = "PyCodeObject.co_names",
        /// Read in 3.12 and 3.13 (`RETURN_CONST`).
        co_consts = "PyCodeObject.co_consts",
        co_argcount = "PyCodeObject.co_argcount",
        /// Python 3.
        co_kwonlyargcount = "PyCodeObject.co_kwonlyargcount",
        co_flags = "PyCodeObject.co_flags",
        /// Up to 3.10: the cells come behind the locals.
        co_nlocals = "PyCodeObject.co_nlocals",
        /// `co_localsplusnames` (3.11+) or `co_varnames`: arguments first.
        co_varnames = "PyCodeObject.co_varnames",
        /// Up to 3.10: names of the cells.
        co_cellvars = "PyCodeObject.co_cellvars",
        /// `_co_instrumentation_version` (3.12+).
        co_instrumentation_version = "PyCodeObject._co_instrumentation_version",
        cell_ref = "PyCellObject.ob_ref",
        co_firstlineno = "PyCodeObject.co_firstlineno",
        co_filename = "PyCodeObject.co_filename",
        /// `co_name` before 3.11.
        co_qualname = "PyCodeObject.co_qualname",
        /// `co_lnotab` before 3.10.
        co_linetable = "PyCodeObject.co_linetable",
    }
}

/// Addresses of objects that are recognised by identity. 0 where unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KnownObjects {
    pub none: u64,
    pub true_: u64,
    pub bool_type: u64,
    pub float_type: u64,
    pub complex_type: u64,
    pub bytearray_type: u64,
    pub memoryview_type: u64,
    pub set_type: u64,
    pub frozenset_type: u64,
    pub range_type: u64,
    pub slice_type: u64,
    pub module_type: u64,
    pub function_type: u64,
    pub method_type: u64,
    pub cfunction_type: u64,
    /// `PyCMethod_Type`.
    pub cmethod_type: u64,
    pub code_type: u64,
    pub cell_type: u64,
    /// Python 3.
    pub coroutine_type: u64,
    pub generator_type: u64,
    /// The six exact types that `tp_flags` also tells, to tell subclasses from them.
    pub long_type: u64,
    pub unicode_type: u64,
    pub bytes_type: u64,
    pub list_type: u64,
    pub tuple_type: u64,
    pub dict_type: u64,
    pub object_type: u64,
    /// What an exhausted iterator raises.
    pub stop_iteration: u64,
    /// Python 2's `int`, old-style instances and old-style classes.
    pub int_type: u64,
    pub instance_type: u64,
    pub class_type: u64,
    /// 3.15+. Shown as if it were a subclass of `dict`.
    pub frozendict_type: u64,
}

/// How much of a value is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CaptureLimits {
    /// Bytes per string; at most [`crate::limits::MAX_STR`].
    pub max_str: u32,
    /// Items per container; at most [`crate::limits::MAX_ITEMS`].
    pub max_items: u32,
    /// Container levels; at most [`crate::limits::MAX_DEPTH`].
    pub max_depth: u32,
    /// Python frames per record; at most [`crate::limits::MAX_FRAMES`].
    pub stack: u32,
}

impl Default for CaptureLimits {
    fn default() -> Self {
        Self {
            max_str: 256,
            max_items: 16,
            max_depth: 3,
            stack: 1,
        }
    }
}

/// `int` has `lv_tag` (3.12+) instead of a signed `ob_size`.
pub const FEATURE_LONG_TAG: u32 = 1;
/// Python 2: `str` is bytes, `xrange` holds C longs, a set's deleted entries point to a string.
pub const FEATURE_PYTHON2: u32 = 2;

/// Everything the kernel half knows of one traced process.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Target {
    /// Device and inode of the process's pid namespace (`/proc/PID/ns/pid`), for `bpf_get_ns_current_pid_tgid`.
    pub pidns_dev: u64,
    pub pidns_ino: u64,
    /// Address of the pointer to the running thread's state
    /// (`_PyThreadState_Current` up to 3.6, `_PyRuntime.gilstate.tstate_current` up to 3.11); 0:
    /// walk the interpreters' threads.
    pub tstate_current: u64,
    /// Address of `_PyRuntime.interpreters.head`.
    pub interpreters_head: u64,
    pub known: KnownObjects,
    pub limits: CaptureLimits,
    /// `FEATURE_*` bits.
    pub features: u32,
    /// Bytes per character of every `unicode` of Python 2 (`Py_UNICODE`: 2 or 4); 0 elsewhere.
    pub unicode_width: u32,
    /// The numbers of the opcodes `EXTENDED_ARG`, `EXTENDED_ARG_QUICK` (3.11), and of those that stand in the place of an instrumented
    /// one, `INSTRUMENTED_LINE` and `INSTRUMENTED_INSTRUCTION` (3.12+); a byte each, the first again where there is none.
    pub extended_arg: u64,
    /// That of `RAISE_VARARGS`.
    pub raise_varargs: u64,
    /// Where its tasks and spans are.
    pub attribution: Attribution,
    pub offsets: Offsets,
    /// Keeps the size a multiple of 8.
    pub _padding: [u8; PADDING],
}

impl Target {
    /// Whether an opcode is `EXTENDED_ARG`, or may stand in its place.
    #[inline(always)]
    pub const fn may_extend(&self, opcode: u8) -> bool {
        let same = self.extended_arg as u32 ^ (opcode as u32 * 0x0101_0101);
        (same & 0xff == 0) | (same & 0xff00 == 0) | (same & 0xff_0000 == 0) | (same & 0xff00_0000 == 0)
    }
}

const OFFSETS_SIZE: usize = size_of::<Offsets>();
const PADDING: usize = (8 - OFFSETS_SIZE % 8) % 8;
const _: () = assert!(size_of::<Target>().is_multiple_of(8));
