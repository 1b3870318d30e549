//! Discovery against Python's own view of itself, on every supported interpreter that is here.

mod asked;
mod pythons;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use asked::Python;
use serde::Deserialize;
use tracer_common::cookie::{Convention, ReturnKind};
use tracer_common::target::{ABSENT, CaptureLimits};
use tracer_common::wire::{FrameRecord, TypeRef};
use tracer_user::catalogue::discover::{Discovery, discover};
use tracer_user::cpython::names::{ProcessNames, code_fingerprint, type_fingerprint};
use tracer_user::cpython::{Interpreter, InterpreterError};
use tracer_user::decode::names::Names;
use tracer_user::process::{INITIAL_PID_NAMESPACE, Process, ReadMemory};

#[derive(Deserialize)]
struct Answer {
    version: String,
    functions: Vec<(Option<String>, u64, u32)>,
    slots: Vec<(String, u64)>,
    types: Vec<(u64, String)>,
    codes: Vec<(u64, String, String, u32, Vec<u8>)>,
}

fn agrees_with_itself(program: &Path) {
    let oracle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/discover_oracle.py");
    let Some(mut python) = Python::start(program, &[oracle]) else {
        return;
    };
    let process = Process::open(python.child.id()).unwrap();
    let interpreter = Interpreter::find(&process).unwrap();
    let discovery = discover(&process, &interpreter).unwrap();
    let answer: Answer = python.ask();
    assert_eq!(interpreter.python_version_string(), answer.version);
    assert_eq!(discovery.cut, None);
    same_functions(&discovery, &answer);
    main_thread_is_in_main(&process, &interpreter);
    well_known_names(&discovery);
    same_names(process, interpreter, &answer);
}

fn same_functions(discovery: &Discovery, answer: &Answer) {
    let mut expected: BTreeMap<u64, (BTreeSet<u32>, BTreeSet<&str>)> = BTreeMap::new();
    for (name, ml_meth, ml_flags) in &answer.functions {
        let (flags, names) = expected.entry(*ml_meth).or_default();
        flags.insert(*ml_flags);
        names.extend(name.as_deref());
    }
    assert!(
        answer.slots.len() > 900,
        "the oracle found {} slots",
        answer.slots.len()
    );
    for (name, address) in &answer.slots {
        expected.entry(*address).or_default().1.insert(name);
    }
    assert!(
        expected.len() > 900,
        "the oracle found {} functions",
        expected.len()
    );
    let mut found: BTreeMap<u64, (BTreeSet<u32>, BTreeSet<&str>)> = BTreeMap::new();
    for function in &discovery.functions {
        let names = function.names().collect();
        let flags = BTreeSet::from_iter(function.ml_flags);
        assert!(found.insert(function.ml_meth, (flags, names)).is_none());
        assert!(function.function[function.module_len..].starts_with('.'));
        let file = &discovery.files[function.file];
        assert!(file.mapping.executable());
    }
    for refused in &discovery.refused {
        let names = std::iter::once(&refused.function).chain(&refused.aliases);
        let names = names.map(String::as_str).collect();
        let flags = refused.ml_flags.iter().copied().collect();
        assert!(found.insert(refused.ml_meth, (flags, names)).is_none());
    }
    let missing: Vec<_> = expected
        .iter()
        .filter(|(ml_meth, _)| !found.contains_key(ml_meth))
        .collect();
    assert!(missing.is_empty(), "not found: {missing:x?}");
    let extra: Vec<_> = found
        .iter()
        .filter(|(ml_meth, _)| !expected.contains_key(ml_meth))
        .collect();
    assert!(extra.is_empty(), "not there: {extra:x?}");
    for (ml_meth, (flags, names)) in &expected {
        let (found_flags, found_names) = &found[ml_meth];
        assert!(
            found_flags.is_subset(flags),
            "{names:?}: {found_flags:?}, {flags:?}"
        );
        assert!(
            names.is_subset(found_names),
            "{names:?} are not all of {found_names:?}"
        );
    }
}

fn well_known_names(discovery: &Discovery) {
    let names: BTreeSet<&str> = discovery
        .functions
        .iter()
        .map(|function| function.function.as_str())
        .collect();
    for name in [
        "builtins.print",
        "builtins.list.append",
        "posix.open",
        "_socket.socket.send",
        "_random.Random.random",
        "sqlite3.Cursor.execute",
        "zlib.compress",
        "select.poll",
        "builtins.complex",
        "builtins.list.__setitem__",
        "builtins.list.__init__",
        "_io.FileIO.__init__",
        "_socket.socket.__init__",
        "sqlite3.Connection.__call__",
    ] {
        let renamed = name.replace("builtins", "__builtin__");
        assert!(names.contains(name) || names.contains(&*renamed), "no {name}");
    }
    let of = |name: &str| {
        discovery
            .functions
            .iter()
            .find(|function| function.names().any(|other| other == name))
            .unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(of("os.open").function, "posix.open");
    // Whoever names a type means its constructor, whichever way it takes.
    assert!(of("builtins.list").function.contains(".list"));
    let item = of("builtins.list.__delitem__");
    assert!(item.function.ends_with("list.__setitem__"), "{}", item.function);
    assert_eq!(
        (item.convention, item.return_kind),
        (Convention::KeyValue, ReturnKind::Status)
    );
    assert!(of("builtins.object.__getattribute__").is_common());
    // `open.__module__` is "io" up to 3.11 and "_io" later; `open` of Python 2 is another function.
    let open = of("_io.open");
    assert!(open.function.ends_with("io.open"), "{}", open.function);
    assert!(of("builtins.open").function.ends_with(".open"));
}

/// Goes the kernel half's way: interpreter, thread state, frame, code object.
fn main_thread_is_in_main(process: &Process, interpreter: &Interpreter) {
    let target = interpreter.target(process, CaptureLimits::default());
    let offsets = &target.offsets;
    let objects = interpreter.objects(process);
    let interp = process.read_u64(target.interpreters_head).unwrap();
    let mut tstate = objects.field(interp, offsets.interp_threads_head).unwrap();
    // Before 3.11 a thread state does not tell its thread; the program has only one.
    while offsets.tstate_native_thread_id != ABSENT
        && objects.field(tstate, offsets.tstate_native_thread_id).unwrap() != u64::from(process.pid())
    {
        tstate = objects.field(tstate, offsets.tstate_next).unwrap();
        assert_ne!(tstate, 0, "no thread state of the main thread");
    }
    let mut frame = match offsets.cframe_current_frame {
        ABSENT => objects.field(tstate, offsets.current_frame).unwrap(),
        current_frame => {
            let cframe = objects.field(tstate, offsets.tstate_cframe).unwrap();
            objects.field(cframe, current_frame).unwrap()
        }
    };
    let stands_for_c = |frame: u64| {
        offsets.frame_owner != ABSENT && process.read_u8(frame + u64::from(offsets.frame_owner)).unwrap() >= 3
    };
    while stands_for_c(frame) {
        frame = objects.field(frame, offsets.frame_previous).unwrap();
    }
    let code = objects.field(frame, offsets.frame_code).unwrap() & !7;
    let qualname = objects.field(code, offsets.co_qualname).unwrap();
    assert_eq!(objects.string(qualname, 64).unwrap(), "main");
    if offsets.frame_lasti == ABSENT && offsets.frame_tlbc_index == ABSENT {
        let instruction = objects.field(frame, offsets.frame_instr).unwrap();
        let first = code + u64::from(offsets.co_code_adaptive);
        assert!((first..first + 4096).contains(&instruction));
    }
    // 0: the thread waits in readline() and has let go of the GIL.
    if target.tstate_current != 0 {
        let current = process.read_u64(target.tstate_current).unwrap();
        assert!(current == 0 || current == tstate);
    }
}

fn same_names(process: Process, interpreter: Interpreter, answer: &Answer) {
    let target = interpreter.target(&process, CaptureLimits::default());
    // The test's own processes live in its pid namespace; in the initial one nothing is looked up.
    let namespace = process.pid_namespace().expect("the namespace can be read");
    let initial = namespace.1 == INITIAL_PID_NAMESPACE;
    let expected = if initial { (0, 0) } else { namespace };
    assert_eq!((target.pidns_dev, target.pidns_ino), expected);
    let (process, interpreter) = (Arc::new(process), Arc::new(interpreter));
    let objects = interpreter.objects(&*process);
    let mut names = ProcessNames::new();
    names.insert(7, process.clone(), interpreter.clone());
    for (address, name) in &answer.types {
        let fingerprint = type_fingerprint(&objects, *address).unwrap();
        let mut of = TypeRef {
            address: *address,
            fingerprint,
        };
        assert_eq!(names.type_name(7, of).as_deref(), Some(name.as_str()));
        of.fingerprint ^= 1;
        assert_eq!(names.type_name(7, of), None, "another type was there");
    }
    for (address, function, file, first_line, linetable) in &answer.codes {
        let mut frame = FrameRecord {
            code: *address,
            fingerprint: code_fingerprint(&objects, *address).unwrap(),
            ..FrameRecord::default()
        };
        let code = names.code(7, &frame).unwrap();
        assert_eq!((&code.function, &code.file), (function, file));
        assert_eq!((&code.first_line, &code.linetable), (first_line, linetable));
        frame.fingerprint ^= 1;
        assert_eq!(names.code(7, &frame), None);
    }
}

#[test]
fn every_interpreter_agrees_with_itself() {
    for python in pythons::all() {
        eprintln!("{}", python.display());
        agrees_with_itself(&python);
    }
}

#[test]
fn other_programs_are_no_python() {
    let process = Process::open(std::process::id()).unwrap();
    let error = Interpreter::find(&process).unwrap_err();
    assert!(matches!(error, InterpreterError::NotPython(_)), "{error}");
}
