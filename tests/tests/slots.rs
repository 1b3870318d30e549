//! Constructors and the slots of types, against what the program wrote down.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Program, Trace, Tracer, calls, compare, interpreters, version};

/// What `slots.py` is about, by the names of Python 3 where 2 has others.
const FUNCTIONS: &[&str] = &[
    "builtins.complex",
    "builtins.tuple",
    "functools.partial",
    "builtins.list",
    "builtins.ValueError",
    "exceptions.ValueError",
    "_socket.socket",
    "sqlite3.Connection",
    "_io.FileIO",
    "builtins.list_iterator.__next__",
    "builtins.listiterator.next",
    "builtins.dict_keyiterator.__next__",
    "builtins.dictionary-keyiterator.next",
    "sqlite3.Cursor.__next__",
    "sqlite3.Cursor.next",
    "operator.itemgetter.__call__",
    "functools.partial.__call__",
    "collections.deque.__setitem__",
    "builtins.bytearray.__setitem__",
    "array.array.__delitem__",
    "builtins.list.__setitem__",
    "builtins.dict.__delitem__",
    "builtins.type.__setattr__",
    "builtins.list.__iadd__",
    "builtins.list.__imul__",
    "builtins.bytearray.__mul__",
    "builtins.list.__eq__",
    "array.array.__contains__",
    "builtins.str.__contains__",
    "collections.deque.__len__",
    "builtins.tuple.__hash__",
    "builtins.float.__pow__",
    "builtins.dict.fromkeys",
    "builtins.bytearray.fromhex",
    "builtins.float.fromhex",
    "builtins.int.from_bytes",
    "builtins.str.maketrans",
    "zlib.Comp*.compress",
    "*re.*Pattern.search",
];

/// The calls that stand in the same functions as those that the program wrote down. Inside of them C
/// functions may make others, such as the exceptions that they raise.
fn acts(trace: &Trace, truth: &[Value]) -> Vec<Value> {
    let place = |call: &Value| call["stack"][0]["function"].clone();
    let places: Vec<Value> = truth.iter().map(place).collect();
    let mut calls = calls(&trace.events);
    // `del a[k]` is a bytecode; it is the slot's caller.
    let bytecodes = trace.events.iter().filter(|event| event["type"] == "bytecode");
    let bytecodes: Vec<&Value> = bytecodes.map(|event| &event["id"]).collect();
    for call in &mut calls {
        if bytecodes.contains(&&call["parent"]) {
            call["parent"] = Value::Null;
        }
    }
    calls.retain(|call| call["parent"].is_null() && places.contains(&place(call)));
    calls
}

/// Traces the program, and compares those calls of it that are `meant`. They are given back.
fn assert_agrees(python: &Path, args: &[&str], meant: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut program = Program::start(python, "slots.py");
    let tracer = Tracer::attach(&program, args);
    let mut truth = program.run();
    truth.retain(meant);
    let trace = tracer.stop();
    let calls = acts(&trace, &truth);
    let tally = compare(&calls, &truth);
    println!("{}: {tally}", python.display());
    assert!(!truth.is_empty());
    tally.assert_agrees();
    let none = Value::from(0);
    assert_eq!((&trace.summary["lost"], &trace.summary["faults"]), (&none, &none));
    assert!(program.end(), "the program went on as if nothing was");
    calls
}

fn is_method(call: &Value, method: &str) -> bool {
    call["function"]
        .as_str()
        .is_some_and(|name| name.ends_with(method))
}

/// `__getslice__` and its like, which only Python 2 has.
fn is_slice(call: &Value) -> bool {
    is_method(call, "slice__")
}

#[test]
fn constructors_and_operators_are_calls_like_any_other() {
    let mut args = vec!["-e", "none"];
    for function in FUNCTIONS {
        args.extend(["-f", function]);
    }
    for python in interpreters() {
        assert_agrees(&python, &args, |call| !is_slice(call));
    }
}

/// One C function sets and deletes; only the deletions were asked for.
#[test]
fn a_deletion_has_a_name_and_an_effect_of_its_own() {
    for python in interpreters() {
        let args = ["-e", "memory.delete_item", "--nested"];
        let calls = assert_agrees(&python, &args, |call| is_method(call, ".__delitem__"));
        assert!(calls.iter().all(|call| call["effect"] == "memory.delete_item"));
    }
}

/// By themselves, since `del list[0]` goes through `__delslice__` too.
#[test]
fn slices_of_python_2_have_two_positions() {
    let is_python2 = |python: &PathBuf| version(python).starts_with("Python 2");
    for python in interpreters().into_iter().filter(is_python2) {
        assert_agrees(
            &python,
            &["-e", "none", "-f", "builtins.list.__*slice__"],
            is_slice,
        );
    }
}
