//! What the programs do by `truth.call`, and write down themselves.

use serde_json::Value;

use crate::calls;

/// Functions that only `truth.call` calls in the programs.
const FUNCTIONS: [&str; 22] = [
    "builtins.set.__contains__",
    "builtins.frozenset.__contains__",
    "unicodedata.*",
    "*operator.truth",
    "*operator.is_",
    "builtins.list.pop",
    "builtins.list.remove",
    "builtins.dict.get",
    "builtins.dict.pop",
    "builtins.print",
    "builtins.max",
    "posix.getpid",
    "posix.unlink",
    "posix.mkdir",
    "posix.kill",
    "posix.read",
    "zlib.decompress",
    "time.sleep",
    "builtins.bytes.decode",
    "*.str.decode",
    "builtins.str.encode",
    "*.unicode.encode",
];

/// The options that trace just them.
pub fn truth_functions() -> Vec<&'static str> {
    let mut args = vec!["-e", "none"];
    for function in FUNCTIONS {
        args.extend(["-f", function]);
    }
    args
}

/// The calls that `truth.call` makes.
pub fn own_calls(events: &[Value]) -> Vec<Value> {
    calls(events)
        .into_iter()
        .filter(|call| call["stack"][0]["function"] == "call")
        .collect()
}
