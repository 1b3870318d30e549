//! Where exceptions can be seen as they are raised.
//!
//! Whoever raises an exception, a `raise` statement, a bytecode or a C function, the eval loop adds each frame that it
//! comes to to its traceback, by one exported function: `PyTraceBack_Here(frame)` (Python/traceback.c, called from the eval
//! loop's error label in every version). The exception is in the thread's state then. In the first frame it has no traceback.

use std::os::unix::fs::FileExt as _;

use tracer_common::cookie::{Convention, SelfKind};

use super::{BytecodeSite, Operation};
use crate::cpython::{Interpreter, start::Code};
use crate::process::Process;
use crate::sites;

const FUNCTION: &str = "PyTraceBack_Here";
/// Its operation.
pub const RAISE: &str = "raise";
/// Bytes of the function looked at to choose the instruction.
const CODE_WINDOW: usize = 4096;

/// Why exceptions cannot be seen.
#[derive(Debug, thiserror::Error)]
pub enum RaisedError {
    #[error("the interpreter does not export {FUNCTION}")]
    NotExported,
    #[error("the interpreter's file cannot be read: {0}")]
    File(String),
    #[error("{FUNCTION}: {0}")]
    Site(#[from] sites::Refusal),
}

/// The site.
pub fn raised(process: &Process, interpreter: &Interpreter) -> Result<BytecodeSite, RaisedError> {
    let library = interpreter.library();
    let unreadable = |error: &dyn std::fmt::Display| RaisedError::File(error.to_string());
    let open = || process.open_mapping(library).map_err(|error| unreadable(&error));
    let code = Code::of(open()?).ok_or(RaisedError::NotExported)?;
    let found = code.offsets(&[FUNCTION]);
    let (_, offset) = *found.first().ok_or(RaisedError::NotExported)?;
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
        .ok_or(RaisedError::NotExported)?;
    let plan = sites::plan(&bytes[..len], address, Convention::NoArgs, SelfKind::Module)?;
    Ok(BytecodeSite {
        operation: Operation::find(RAISE).ok_or(RaisedError::NotExported)?,
        address: address + u64::from(plan.offset),
        convention: Convention::KeyValue,
        self_kind: SelfKind::Exception,
        registers: plan.registers,
        price: plan.price,
    })
}
