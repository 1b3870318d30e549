//! What the eval loop has one exported function for, whichever bytecode it comes from.
//!
//! Whoever raises an exception, a `raise` statement, a bytecode or a C function, the eval loop adds each frame that it
//! comes to to its traceback, by `PyTraceBack_Here(frame)` (Python/traceback.c, called from the eval loop's error label in every
//! version). The exception is in the thread's state then. In the first frame it has no traceback.
//!
//! `import` statements call `PyImport_ImportModuleLevelObject(name, globals, locals, fromlist, level)` (Python/import.c, 3.3+), unless
//! `builtins.__import__` was replaced; so does that function itself. In Python 2 they call `__import__`.

use std::os::unix::fs::FileExt as _;

use tracer_common::cookie::{Convention, SelfKind};

use super::{BytecodeSite, Operation};
use crate::cpython::{Interpreter, start::Code};
use crate::process::Process;
use crate::sites;

/// Operations that are no bytecode by themselves.
pub const RAISE: &str = "raise";
/// The same.
pub const IMPORT: &str = "import";
/// All of them.
pub const EXPORTED: [&str; 2] = [RAISE, IMPORT];

/// Bytes of a function looked at to choose the instruction.
const CODE_WINDOW: usize = 4096;

/// Why it cannot be seen.
#[derive(Debug, thiserror::Error)]
pub enum ExportedError {
    #[error("the interpreter does not export {0}")]
    NotExported(&'static str),
    #[error("the interpreter's file cannot be read: {0}")]
    File(String),
    #[error("{0}: {1}")]
    Site(&'static str, sites::Refusal),
}

/// The site of an operation of [`EXPORTED`]; `None`: that version has no such function.
pub fn exported(
    process: &Process,
    interpreter: &Interpreter,
    op: &str,
) -> Option<Result<BytecodeSite, ExportedError>> {
    let operation = Operation::find(op)?;
    match op {
        RAISE => Some(raised(process, interpreter, operation)),
        IMPORT if !interpreter.layout().is_python2() => Some(imported(process, interpreter, operation)),
        _ => None,
    }
}

fn raised(
    process: &Process,
    interpreter: &Interpreter,
    operation: &'static Operation,
) -> Result<BytecodeSite, ExportedError> {
    let (address, plan) = place(
        process,
        interpreter,
        "PyTraceBack_Here",
        Convention::NoArgs,
        SelfKind::Module,
    )?;
    Ok(BytecodeSite {
        operation,
        address,
        convention: Convention::KeyValue,
        self_kind: SelfKind::Exception,
        registers: plan.registers,
        price: plan.price,
    })
}

fn imported(
    process: &Process,
    interpreter: &Interpreter,
    operation: &'static Operation,
) -> Result<BytecodeSite, ExportedError> {
    // Five arguments, all of them needed.
    let (address, plan) = place(
        process,
        interpreter,
        "PyImport_ImportModuleLevelObject",
        Convention::Method,
        SelfKind::Bound,
    )?;
    let [name, globals, locals, from, level] = plan.registers;
    Ok(BytecodeSite {
        operation,
        address,
        convention: Convention::KeyValue,
        self_kind: SelfKind::Module,
        registers: [globals, name, from, locals, level],
        price: plan.price,
    })
}

/// Where to probe an exported function.
fn place(
    process: &Process,
    interpreter: &Interpreter,
    function: &'static str,
    convention: Convention,
    self_kind: SelfKind,
) -> Result<(u64, sites::Plan), ExportedError> {
    let library = interpreter.library();
    let unreadable = |error: &dyn std::fmt::Display| ExportedError::File(error.to_string());
    let open = || process.open_mapping(library).map_err(|error| unreadable(&error));
    let missing = ExportedError::NotExported(function);
    let Some(code) = Code::of(open()?) else {
        return Err(missing);
    };
    let found = code.offsets(&[function]);
    let Some((_, offset)) = found.first().copied() else {
        return Err(missing);
    };
    let mut bytes = [0; CODE_WINDOW];
    let len = open()?
        .read_at(&mut bytes, offset)
        .map_err(|error| unreadable(&error))?;
    let address = process
        .maps()
        .iter()
        .filter(|mapping| {
            (mapping.dev, mapping.inode) == (library.dev, library.inode) && mapping.executable()
        })
        .find_map(|mapping| {
            let into = offset.checked_sub(mapping.offset)?;
            (into < mapping.end - mapping.start).then(|| mapping.start + into)
        })
        .ok_or(missing)?;
    let plan = sites::plan(&bytes[..len], address, convention, self_kind)
        .map_err(|why| ExportedError::Site(function, why))?;
    Ok((address + u64::from(plan.offset), plan))
}
