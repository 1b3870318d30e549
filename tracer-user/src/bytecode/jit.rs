//! Whether the interpreter may run machine code of its own making, in which no bytecode has a handler.
//!
//! The JIT (3.13+, `--enable-experimental-jit`) puts `ENTER_EXECUTOR` in place of a bytecode that is often come to. Builds
//! without it have that opcode too; its handler calls `Py_FatalError` (Python/bytecodes.c), and so tells them.

use super::Handlers;
use super::code::{Region, instruction};
use super::machine::Machine;
use super::opcodes::Opcodes;
use crate::cpython::Interpreter;
use crate::process::Process;

/// The opcode that runs what was compiled.
const ENTER: &str = "ENTER_EXECUTOR";
/// What `Py_FatalError` calls (Include/cpython/pyerrors.h, 3.9+).
const FATAL: &str = "_Py_FatalErrorFunc";
/// Instructions of its handler until it does, where it does.
const MAX_INSTRUCTIONS: usize = 32;
/// The first minor version with a JIT; 3.12 has the opcode for experiments only.
const FIRST_MINOR: u8 = 13;

/// What is not seen in an interpreter that has it.
pub const UNSEEN_IN_JIT: &str = "this Python is built with the JIT, which may run (PYTHON_JIT=0 turns it off): the effects of bytecodes and the calls \
                                 of Python functions in what it compiles are not seen (C functions are)";

/// Whether the interpreter has a JIT that its environment does not turn off.
pub fn may_compile(process: &Process, interpreter: &Interpreter) -> bool {
    has_jit(process, interpreter) && !process.was_started_with(b"PYTHON_JIT=0")
}

fn has_jit(process: &Process, interpreter: &Interpreter) -> bool {
    let version = interpreter.version();
    if interpreter.layout().is_python2() || version.minor() < FIRST_MINOR {
        return false;
    }
    let enter = Opcodes::of(version).and_then(|opcodes| opcodes.number(ENTER));
    // Where there are no handlers nothing of bytecodes is seen, which is said.
    let (Some(enter), Ok(handlers), Ok(machine)) = (
        enter,
        Handlers::find(process, interpreter),
        Machine::of(process, interpreter, &[FATAL]),
    ) else {
        return false;
    };
    !Region::new(&machine, handlers.of(enter), MAX_INSTRUCTIONS, false)
        .filter_map(|at| instruction(&machine, at))
        .any(|found| machine.called(&found) == Some(FATAL))
}
