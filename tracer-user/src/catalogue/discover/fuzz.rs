//! The walk over memory that anyone may have made.

use std::time::{Duration, Instant};

use super::function;
use super::walk::{Bounds, Walk};
use crate::cpython::Interpreter;
use crate::process::ReadMemory;

/// Much lower than those of a real walk, so that the fuzzer gets to them.
fn bounds() -> Bounds {
    Bounds {
        deadline: Instant::now() + Duration::from_secs(10),
        objects: 2_000,
        functions: 500,
        types: 200,
        name_bytes: 100_000,
    }
}

/// What one object can add behind a bound: the names of a function and its type, four bytes a character.
const SLACK: usize = 16 * 4096 * 4;

/// Walks, and looks whether the bounds hold. The names that were found, and why it ended before its time.
pub(crate) fn walk(
    memory: &impl ReadMemory,
    interpreter: &Interpreter,
) -> (Vec<String>, Option<&'static str>) {
    let bounds = bounds();
    let mut walk = Walk::new(interpreter, memory, bounds);
    let walked = walk.run();
    assert!(walk.visited <= bounds.objects + 1, "{} objects", walk.visited);
    assert!(
        walk.found.len() <= bounds.functions + 8,
        "{} functions",
        walk.found.len()
    );
    assert!(walk.types.len() <= bounds.types);
    let kept = walk.kept_name_bytes();
    assert!(kept <= bounds.name_bytes + SLACK, "{kept} bytes of names");
    if walked.is_err() {
        return (Vec::new(), Some("the modules cannot be read"));
    }
    let merged = function::merge(std::mem::take(&mut walk.found));
    let module = |one: &function::Merged| one.function.is_char_boundary(one.module_len);
    assert!(merged.iter().all(module));
    (merged.into_iter().map(|one| one.function).collect(), walk.cut)
}
