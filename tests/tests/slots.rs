//! Constructors and the slots of types, against what the program wrote down.

use serde_json::Value;
use tests::{Program, Trace, Tracer, calls, compare, interpreters};

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
    "builtins.list.__*slice__",
    "builtins.type.__setattr__",
    "builtins.list.__iadd__",
    "builtins.list.__imul__",
    "builtins.bytearray.__mul__",
    "builtins.list.__eq__",
    "array.array.__contains__",
    "builtins.set.__contains__",
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

/// Functions of `slots.py` and `truth.py` in which the calls stand.
const ACTS: [&str; 24] = [
    "call",
    "make",
    "init",
    "called",
    "advance",
    "store",
    "delete",
    "store_by_name",
    "delete_by_name",
    "set_attribute",
    "delete_attribute",
    "slice_of",
    "store_slice",
    "delete_slice",
    "extend",
    "multiply",
    "repeat",
    "power",
    "less",
    "equal",
    "has",
    "size",
    "hashed",
    "translation",
];

/// Runs the program under these options: what it says and what was seen.
fn traced(python: &std::path::Path, args: &[&str]) -> (Vec<Value>, Trace) {
    let mut program = Program::start(python, "slots.py");
    let tracer = Tracer::attach(&program, args);
    let truth = program.run();
    let trace = tracer.stop();
    assert!(program.end(), "the program went on as if nothing was");
    (truth, trace)
}

/// The calls that stand in one of the functions that the program writes down. Inside of them C
/// functions may make others, such as the exceptions that they raise.
fn acts(trace: &Trace) -> Vec<Value> {
    let stands_in_act = |call: &Value| {
        let function = call["stack"][0]["function"].as_str();
        call["parent"].is_null() && function.is_some_and(|function| ACTS.contains(&function))
    };
    calls(&trace.events).into_iter().filter(stands_in_act).collect()
}

#[test]
fn constructors_and_operators_are_calls_like_any_other() {
    for python in interpreters() {
        let mut args = vec!["-e", "none"];
        for function in FUNCTIONS {
            args.extend(["-f", function]);
        }
        let (truth, trace) = traced(&python, &args);
        let tally = compare(&acts(&trace), &truth);
        println!("{}: {tally}", python.display());
        tally.assert_agrees();
        assert_eq!(
            (&trace.summary["lost"], &trace.summary["faults"]),
            (&0.into(), &0.into())
        );
    }
}
