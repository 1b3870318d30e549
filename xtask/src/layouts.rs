//! `cargo xtask layouts`: writes `tracer-user/layouts/cpython-3.N.json` from CPython's own headers.
//!
//! For every minor version it asks gcc for `offsetof` of each field in [`FIELDS`]. A field may
//! be spelled differently from version to version: the first spelling that compiles counts, and a
//! field without one is left out of the file (the loader then knows it as absent).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Layout key, then the C expressions to try. An empty list: `struct.field` is the expression.
const FIELDS: &[(&str, &[&str])] = &[
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
    (
        "PyThreadState.current_exception",
        &[
            "offsetof(PyThreadState, current_exception)",
            "offsetof(PyThreadState, curexc_value)",
        ],
    ),
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
    ("_PyInterpreterFrame.tlbc_index", &[]),
    ("PyFrameObject.f_lasti", &[]),
    ("PyCodeObject.co_code_adaptive", &[]),
    ("PyCodeObject.co_tlbc", &[]),
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
    ("PyTypeObject.tp_vectorcall", &[]),
    ("PyTypeObject.tp_as_mapping", &[]),
    ("PyTypeObject.tp_as_sequence", &[]),
    ("PyMappingMethods.mp_ass_subscript", &[]),
    ("PyMappingMethods.mp_subscript", &[]),
    ("PySequenceMethods.sq_contains", &[]),
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
];

/// Layout key, and what `_Py_DebugOffsets` (3.13+) calls it: its struct there and the member. Each
/// version has its own structure of it: `Include/internal/pycore_runtime.h` (3.13),
/// `pycore_debug_offsets.h` (3.14+).
const DEBUG_OFFSETS: &[(&str, &str, &str)] = &[
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
        "_PyInterpreterFrame.tlbc_index",
        "interpreter_frame",
        "tlbc_index",
    ),
    ("PyCodeObject.co_filename", "code_object", "filename"),
    ("PyCodeObject.co_qualname", "code_object", "qualname"),
    ("PyCodeObject.co_linetable", "code_object", "linetable"),
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

/// Headers that some versions have, and structs that no installed header of a version tells:
/// `PyDictKeysObject` (Objects/dict-common.h, 3.6 to 3.10) and `PyModuleObject`
/// (Objects/moduleobject.c, 2.7 to 3.9).
const PREAMBLE: &str = "\
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

/// Asks an interpreter for the name of its layout (`3.8`, `3.14t`), its full version and the directories of its headers.
const ASK: &str = "\
import sys, sysconfig
print('%d.%d%s' % (sys.version_info[:2] + ('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else '',)))
print(sys.version.split()[0])
print(sysconfig.get_paths()['include'])
print(sysconfig.get_paths()['platinclude'])
print(int(hasattr(sys, 'gettotalrefcount')))
";

/// An interpreter whose headers are there.
struct Source {
    /// Minor version, and `t` for a free-threaded build: the name of its layout file.
    name: String,
    version: String,
    include: Vec<String>,
}

/// Writes a layout file for every interpreter under `~/.pyenv/versions` and in `PYTRACE_PYTHONS`. With
/// `check` it writes nothing, and fails where a file differs from what the headers say.
pub fn run(check: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no parent directory")?;
    let sources = sources()?;
    ensure!(
        !sources.is_empty(),
        "no interpreter with headers under ~/.pyenv/versions"
    );
    for source in sources {
        let json = layout(&source)?;
        let path = root.join(format!("tracer-user/layouts/cpython-{}.json", source.name));
        if !check {
            fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("{} from CPython {}", path.display(), source.version);
            continue;
        }
        let stored = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(
            facts(&stored) == facts(&json),
            "{} is not what the headers of CPython {} say: run `cargo xtask layouts`",
            path.display(),
            source.version
        );
        println!(
            "LAYOUT: {} as in the headers of CPython {}",
            source.name, source.version
        );
    }
    Ok(())
}

/// A layout file without the line that names its compiler.
fn facts(json: &str) -> Vec<&str> {
    json.lines()
        .filter(|line| !line.contains("\"provenance\""))
        .collect()
}

/// The newest interpreter of each layout.
fn sources() -> Result<Vec<Source>> {
    let pyenv = PathBuf::from(std::env::var("HOME").context("HOME is not set")?).join(".pyenv/versions");
    let mut pythons: Vec<PathBuf> = fs::read_dir(&pyenv)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/python"))
        .collect();
    let extra = std::env::var("PYTRACE_PYTHONS").unwrap_or_default();
    pythons.extend(
        extra
            .split(':')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
    );
    let mut newest: BTreeMap<String, (u32, Source)> = BTreeMap::new();
    for python in pythons.iter().filter(|python| python.exists()) {
        let output = Command::new(python).args(["-c", ASK]).output()?;
        let text = String::from_utf8(output.stdout)?;
        let lines: Vec<&str> = text.lines().collect();
        let [name, version, include, platform, debug] = lines[..] else {
            bail!("{} does not answer", python.display());
        };
        if debug != "0" || !Path::new(include).join("Python.h").exists() {
            continue;
        }
        let patch = version.split('.').nth(2).unwrap_or_default();
        let patch = patch
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or_default()
            .parse()?;
        if newest.get(name).is_none_or(|(found, _)| *found < patch) {
            let source = Source {
                name: name.to_owned(),
                version: version.to_owned(),
                include: vec![include.to_owned(), platform.to_owned()],
            };
            newest.insert(name.to_owned(), (patch, source));
        }
    }
    Ok(newest.into_values().map(|(_, source)| source).collect())
}

/// One question to the compiler: the index of its field, and the C expression.
type Question = (usize, String);

fn layout(source: &Source) -> Result<String> {
    let dir = std::env::temp_dir().join(format!("pytrace-layouts-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let result = answers_to(&dir, source).and_then(|answers| render(source, &answers));
    fs::remove_dir_all(&dir)?;
    result
}

/// By layout key: offsets, and the words of a field and of its struct's size in `_Py_DebugOffsets`.
#[derive(Default)]
struct Answers {
    offsets: BTreeMap<&'static str, u64>,
    debug: BTreeMap<&'static str, [u64; 2]>,
}

fn answers_to(dir: &Path, source: &Source) -> Result<Answers> {
    let all = questions();
    let bad = rejected(dir, source, &all)?;
    let good: Vec<Question> = all
        .into_iter()
        .enumerate()
        .filter_map(|(n, question)| (!bad.contains(&n)).then_some(question))
        .collect();
    let mut found = Answers::default();
    let values = answers(dir, source, &good)?;
    let mut pairs = good.iter().zip(values);
    while let Some(((field, _), value)) = pairs.next() {
        match FIELDS.get(*field) {
            // Spellings come in the order of preference: the first one stays.
            Some((key, _)) => {
                found.offsets.entry(key).or_insert(value);
            }
            None => {
                let (key, ..) = DEBUG_OFFSETS[*field - FIELDS.len()];
                let (_, size) = pairs.next().context("a struct without a size")?;
                found.debug.insert(key, [value / 8, size / 8]);
            }
        }
    }
    Ok(found)
}

/// `BIT(type, word, member)`: how far up in the 32-bit word at `word` the bit field `member` begins.
/// Written out here, as gcc's messages name the line of a macro and not of its use.
fn bit(spelling: &str) -> Option<String> {
    let mut arguments = spelling.strip_prefix("BIT(")?.strip_suffix(')')?.split(", ");
    let (object, word, member) = (arguments.next()?, arguments.next()?, arguments.next()?);
    Some(format!(
        "({{ union {{ {object} object; unsigned char bytes[sizeof({object})]; }} u; unsigned w; \
         memset(&u, 0, sizeof u); u.object.{member} = 1; \
         memcpy(&w, u.bytes + offsetof({object}, {word}), 4); (unsigned long)__builtin_ctz(w); }})"
    ))
}

fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    for (n, (key, spellings)) in FIELDS.iter().enumerate() {
        match key.split_once('.') {
            Some((object, field)) if spellings.is_empty() => {
                all.push((n, format!("offsetof({object}, {field})")));
            }
            _ => all.extend(
                spellings
                    .iter()
                    .map(|s| (n, bit(s).unwrap_or_else(|| (*s).to_owned()))),
            ),
        }
    }
    for (n, (_, object, member)) in DEBUG_OFFSETS.iter().enumerate() {
        // Both are there or neither: the size is asked for through the member.
        let at = format!("offsetof(_Py_DebugOffsets, {object}.{member})");
        all.push((FIELDS.len() + n, at.clone()));
        all.push((
            FIELDS.len() + n,
            format!("{at} * 0 + offsetof(_Py_DebugOffsets, {object})"),
        ));
    }
    all
}

/// Indices of the questions that do not compile: the version has no such field.
fn rejected(dir: &Path, source: &Source, questions: &[Question]) -> Result<BTreeSet<usize>> {
    // A #line directive gives each question a line number of its own in the error messages.
    let mut text = PREAMBLE.to_owned();
    for (n, (_, expression)) in questions.iter().enumerate() {
        writeln!(
            text,
            "#line {} \"question\"\nunsigned long q{n}(void) {{ return {expression}; }}",
            n + 1
        )?;
    }
    let path = dir.join("ask.c");
    fs::write(&path, text)?;
    let output = gcc(source)
        .args(["-fsyntax-only", "-fmax-errors=0"])
        .arg(&path)
        .output()
        .context("cannot run gcc: install it (apt-get install gcc)")?;
    let messages = String::from_utf8_lossy(&output.stderr);
    let mut bad = BTreeSet::new();
    for line in messages.lines().filter(|line| line.contains("error:")) {
        let number = line
            .strip_prefix("question:")
            .and_then(|rest| rest.split(':').next())
            .and_then(|number| number.parse::<usize>().ok());
        match number {
            Some(number) => bad.insert(number - 1),
            None => bail!("headers of CPython {} do not compile: {line}", source.version),
        };
    }
    Ok(bad)
}

/// Compiles and runs a program that prints every expression's value.
fn answers(dir: &Path, source: &Source, questions: &[Question]) -> Result<Vec<u64>> {
    let mut text = format!("{PREAMBLE}int main(void) {{\n");
    for (_, expression) in questions {
        writeln!(text, "printf(\"%lu\\n\", (unsigned long)({expression}));")?;
    }
    text.push_str("return 0;\n}\n");
    let (path, program) = (dir.join("answer.c"), dir.join("answer"));
    fs::write(&path, text)?;
    let output = gcc(source).arg(&path).arg("-o").arg(&program).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let output = Command::new(&program).output()?;
    ensure!(output.status.success(), "{} failed", program.display());
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| Ok(line.parse::<u64>()?)).collect()
}

fn gcc(source: &Source) -> Command {
    let mut gcc = Command::new("gcc");
    gcc.env("LC_ALL", "C").args(["-w", "-O0"]);
    for include in &source.include {
        gcc.arg("-I").arg(include);
    }
    gcc
}

fn render(source: &Source, answers: &Answers) -> Result<String> {
    let dump = |argument: &str| -> Result<String> {
        let output = Command::new("gcc").arg(argument).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let mut json = String::from("{\n");
    writeln!(json, "  \"version\": \"{}\",", source.name)?;
    writeln!(
        json,
        "  \"provenance\": \"cargo xtask layouts: offsetof over the headers of CPython {}, gcc {}, {}\",",
        source.version,
        dump("-dumpfullversion")?,
        dump("-dumpmachine")?
    )?;
    let object = |lines: Vec<String>| match lines.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{\n{}\n  }}", lines.join(",\n")),
    };
    let offsets = answers
        .offsets
        .iter()
        .map(|(key, value)| format!("    \"{key}\": {value}"));
    writeln!(json, "  \"offsets\": {},", object(offsets.collect()))?;
    let debug = answers
        .debug
        .iter()
        .map(|(key, [field, size])| format!("    \"{key}\": [{field}, {size}]"));
    writeln!(json, "  \"debug_offsets\": {}", object(debug.collect()))?;
    json.push_str("}\n");
    Ok(json)
}
