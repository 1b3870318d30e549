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

/// Minor versions that have a layout file.
const MINORS: &[&str] = &["3.11", "3.12", "3.13"];

/// Layout key, then the C expressions to try. An empty list: `struct.field` is the expression.
const FIELDS: &[(&str, &[&str])] = &[
    // What the kernel half reads: tracer_common::target::Offsets.
    ("PyObject.ob_type", &[]),
    ("PyVarObject.ob_size", &[]),
    ("PyTypeObject.tp_name", &[]),
    ("PyTypeObject.tp_basicsize", &[]),
    ("PyTypeObject.tp_flags", &[]),
    ("PyTypeObject.tp_base", &[]),
    (
        "PyLongObject.size_or_tag",
        &[
            "offsetof(PyLongObject, long_value.lv_tag)",
            "offsetof(PyLongObject, ob_base.ob_size)",
        ],
    ),
    (
        "PyLongObject.ob_digit",
        &[
            "offsetof(PyLongObject, long_value.ob_digit)",
            "offsetof(PyLongObject, ob_digit)",
        ],
    ),
    ("PyFloatObject.ob_fval", &[]),
    ("PyComplexObject.cval", &[]),
    ("PyASCIIObject.length", &[]),
    ("PyASCIIObject.state", &[]),
    ("sizeof.PyASCIIObject", &["sizeof(PyASCIIObject)"]),
    (
        "sizeof.PyCompactUnicodeObject",
        &["sizeof(PyCompactUnicodeObject)"],
    ),
    ("PyUnicodeObject.data", &[]),
    ("PyBytesObject.ob_sval", &[]),
    ("PyByteArrayObject.ob_start", &[]),
    ("PyListObject.ob_item", &[]),
    ("PyTupleObject.ob_item", &[]),
    ("PyDictObject.ma_used", &[]),
    ("PyDictObject.ma_keys", &[]),
    ("PyDictObject.ma_values", &[]),
    ("PyDictKeysObject.dk_log2_size", &[]),
    ("PyDictKeysObject.dk_log2_index_bytes", &[]),
    ("PyDictKeysObject.dk_kind", &[]),
    ("PyDictKeysObject.dk_nentries", &[]),
    ("PyDictKeysObject.dk_indices", &[]),
    ("PyDictValues.values", &[]),
    ("PySetObject.used", &[]),
    ("PySetObject.mask", &[]),
    ("PySetObject.table", &[]),
    // Private to Objects/rangeobject.c: PyObject_HEAD, then start, stop, step, length.
    ("PyRangeObject.start", &["sizeof(PyObject)"]),
    ("PySliceObject.start", &[]),
    ("PyModuleObject.md_name", &[]),
    ("PyFunctionObject.func_module", &[]),
    ("PyFunctionObject.func_qualname", &[]),
    ("PyMethodObject.im_func", &[]),
    ("PyCFunctionObject.m_ml", &[]),
    ("PyCFunctionObject.m_self", &[]),
    ("PyCFunctionObject.m_module", &[]),
    ("PyBaseExceptionObject.args", &[]),
    ("PyMemoryViewObject.view", &[]),
    ("PyMemoryViewObject.flags", &[]),
    ("PyInterpreterState.next", &[]),
    ("PyInterpreterState.threads.head", &[]),
    ("PyThreadState.next", &[]),
    ("PyThreadState.native_thread_id", &[]),
    ("PyThreadState.cframe", &[]),
    (
        "current_frame",
        &[
            "offsetof(PyThreadState, current_frame)",
            "offsetof(_PyCFrame, current_frame)",
        ],
    ),
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
        ],
    ),
    (
        "_PyInterpreterFrame.instr",
        &[
            "offsetof(_PyInterpreterFrame, instr_ptr)",
            "offsetof(_PyInterpreterFrame, prev_instr)",
        ],
    ),
    ("_PyInterpreterFrame.previous", &[]),
    ("_PyInterpreterFrame.owner", &[]),
    ("PyCodeObject.co_code_adaptive", &[]),
    ("PyCodeObject.co_firstlineno", &[]),
    ("PyCodeObject.co_filename", &[]),
    ("PyCodeObject.co_qualname", &[]),
    ("PyCodeObject.co_linetable", &[]),
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
    ("PyHeapTypeObject.ht_qualname", &[]),
    ("PyDescrObject.d_type", &[]),
    ("PyMethodDescrObject.d_method", &[]),
    ("PyMethodDef.ml_name", &[]),
    ("PyMethodDef.ml_meth", &[]),
    ("PyMethodDef.ml_flags", &[]),
    ("PyModuleObject.md_dict", &[]),
    // Private to Objects/funcobject.c: PyObject_HEAD, then the callable; the same for both.
    ("classmethod.cm_callable", &["sizeof(PyObject)"]),
    ("PyWeakReference.wr_object", &[]),
];

const PREAMBLE: &str = "\
#define Py_BUILD_CORE 1
#include <stddef.h>
#include <stdio.h>
#include <Python.h>
#include <frameobject.h>
#include <structmember.h>
#include <internal/pycore_runtime.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_frame.h>
#include <internal/pycore_dict.h>
#include <internal/pycore_moduleobject.h>
#include <internal/pycore_typeobject.h>
";

/// Writes the layout file of every minor version whose headers are installed under `~/.pyenv`.
pub fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no parent directory")?;
    let pyenv = PathBuf::from(std::env::var("HOME").context("HOME is not set")?).join(".pyenv/versions");
    for minor in MINORS {
        let include = headers(&pyenv, minor)?;
        let json = layout(minor, &include)?;
        let path = root.join(format!("tracer-user/layouts/cpython-{minor}.json"));
        fs::create_dir_all(path.parent().context("no parent")?)?;
        fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("{} from {}", path.display(), include.display());
    }
    Ok(())
}

/// The include directory of the newest installed patch version of a minor version.
fn headers(pyenv: &Path, minor: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(pyenv).with_context(|| format!("cannot list {}", pyenv.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let patch = name
            .strip_prefix(minor)
            .and_then(|rest| rest.strip_prefix('.'))
            .and_then(|patch| patch.parse::<u32>().ok());
        found.extend(patch.map(|patch| (patch, name)));
    }
    let (_, version) = found
        .into_iter()
        .max()
        .with_context(|| format!("no CPython {minor} under {}", pyenv.display()))?;
    Ok(pyenv.join(version).join("include").join(format!("python{minor}")))
}

/// One question to the compiler: the index of its field, and the C expression.
type Question = (usize, String);

fn layout(minor: &str, include: &Path) -> Result<String> {
    let dir = std::env::temp_dir().join(format!("pytrace-layouts-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let result = offsets(&dir, include).and_then(|offsets| render(minor, include, &offsets));
    fs::remove_dir_all(&dir)?;
    result
}

fn offsets(dir: &Path, include: &Path) -> Result<BTreeMap<&'static str, u64>> {
    let all = questions();
    let bad = rejected(dir, include, &all)?;
    let good: Vec<Question> = all
        .into_iter()
        .enumerate()
        .filter_map(|(n, question)| (!bad.contains(&n)).then_some(question))
        .collect();
    let mut offsets = BTreeMap::new();
    for ((field, _), value) in good.iter().zip(answers(dir, include, &good)?) {
        // Spellings come in the order of preference: the first one stays.
        offsets.entry(FIELDS[*field].0).or_insert(value);
    }
    Ok(offsets)
}

fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    for (n, (key, spellings)) in FIELDS.iter().enumerate() {
        match key.split_once('.') {
            Some((object, field)) if spellings.is_empty() => {
                all.push((n, format!("offsetof({object}, {field})")));
            }
            _ => all.extend(spellings.iter().map(|s| (n, (*s).to_owned()))),
        }
    }
    all
}

/// Indices of the questions that do not compile: the version has no such field.
fn rejected(dir: &Path, include: &Path, questions: &[Question]) -> Result<BTreeSet<usize>> {
    // A #line directive gives each question a line number of its own in the error messages.
    let mut source = PREAMBLE.to_owned();
    for (n, (_, expression)) in questions.iter().enumerate() {
        writeln!(
            source,
            "#line {} \"question\"\nunsigned long q{n} = {expression};",
            n + 1
        )?;
    }
    let path = dir.join("ask.c");
    fs::write(&path, source)?;
    let output = gcc(include)
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
            None => bail!("headers in {} do not compile: {line}", include.display()),
        };
    }
    Ok(bad)
}

/// Compiles and runs a program that prints every expression's value.
fn answers(dir: &Path, include: &Path, questions: &[Question]) -> Result<Vec<u64>> {
    let mut source = format!("{PREAMBLE}int main(void) {{\n");
    for (_, expression) in questions {
        writeln!(source, "printf(\"%lu\\n\", (unsigned long)({expression}));")?;
    }
    source.push_str("return 0;\n}\n");
    let (path, program) = (dir.join("answer.c"), dir.join("answer"));
    fs::write(&path, source)?;
    let output = gcc(include).arg(&path).arg("-o").arg(&program).output()?;
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

fn gcc(include: &Path) -> Command {
    let mut gcc = Command::new("gcc");
    gcc.env("LC_ALL", "C").args(["-w", "-O0"]).arg("-I").arg(include);
    gcc
}

fn render(minor: &str, include: &Path, offsets: &BTreeMap<&str, u64>) -> Result<String> {
    let header = fs::read_to_string(include.join("patchlevel.h"))?;
    let version = header
        .lines()
        .find_map(|line| line.strip_prefix("#define PY_VERSION "))
        .map(|version| version.trim().trim_matches('"'))
        .context("patchlevel.h has no PY_VERSION")?;
    let dump = |argument: &str| -> Result<String> {
        let output = Command::new("gcc").arg(argument).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let mut json = String::from("{\n");
    writeln!(json, "  \"version\": \"{minor}\",")?;
    writeln!(
        json,
        "  \"provenance\": \"cargo xtask layouts: offsetof over include/python{minor} of CPython {version}, gcc {}, {}\",",
        dump("-dumpfullversion")?,
        dump("-dumpmachine")?
    )?;
    json.push_str("  \"offsets\": {\n");
    let lines: Vec<String> = offsets
        .iter()
        .map(|(key, value)| format!("    \"{key}\": {value}"))
        .collect();
    json.push_str(&lines.join(",\n"));
    json.push_str("\n  }\n}\n");
    Ok(json)
}
