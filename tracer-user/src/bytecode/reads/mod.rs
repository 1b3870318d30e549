//! Where a read of a global is sure.
//!
//! `LOAD_GLOBAL` looks a name up, and pushes what it found on the frame's value stack. Before the push there is a branch
//! behind which nothing can fail any more: by whether anything was found, or whether what the cache knows is still true.
//! It is a conditional branch, which the kernel emulates, and its flags tell whether the read will be done. All forms of
//! the bytecode (Python/ceval.c to 3.11, Python/bytecodes.c after) are looked at together, since they jump into each other:
//!
//! - What they come to and other bytecodes do not is theirs. What is shared deals with errors, signals and failed checks.
//! - A *push* is a store of a register through the value stack pointer. 3.14+: `_PyEval_LoadGlobalStackRef` is given the
//!   pointer, and pushes; then the branch is the one that asks for what is there.
//! - An instruction is *sure* if all ways from it lead to a push.
//! - The places are the branches of which one side is sure and the other is not. Each read passes one of them, once, and
//!   what does no read (a name that is not there, a form that gives the instruction back or specialises it) passes none.

mod graph;
mod places;
mod sure;
mod values;

use std::collections::{BTreeSet, HashSet};

use tracer_common::guard::{Read, Source};
use tracer_common::target::{ABSENT, Offsets};

use super::checks::value_stack;
use super::code::Region;
use super::handlers::Handlers;
use super::opcodes::Opcodes;
use crate::process::ReadMemory;
use graph::Graph;

/// Instructions of all forms together; 372 were the most in 17 builds.
const MAX_OWN: usize = 4_000;
/// Instructions of another bytecode's handler.
const MAX_OTHER: usize = 2_000;
/// Instructions behind the last one that is not shared in which a push would be.
const MAX_BEHIND: usize = 64;
/// Instructions from all branches to the pushes behind them, on all ways.
const MAX_TO_PUSH: usize = 5_000;
/// Instructions from a comparison to its branch.
const UNTIL_BRANCH: usize = 8;

/// A branch, and what its flags and registers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadSite {
    /// Address of the branch.
    pub address: u64,
    pub condition: u8,
    pub source: Source,
}

impl ReadSite {
    /// `shifted`: the instruction's argument has a bit besides the name's index.
    pub(super) fn read(&self, shifted: bool) -> Read {
        Read {
            source: self.source,
            condition: self.condition,
            shifted,
        }
    }
}

/// Why reads of globals are not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the register with the value stack pointer is not known for sure")]
    Stack,
    #[error("its machine code is not understood")]
    Code,
    #[error("it ends where other bytecodes end too, so its reads cannot be told from theirs")]
    Shared,
    #[error("what it does on one way is not understood: reads could be missed")]
    Unknown,
    #[error("the value read is in no known place where the read becomes sure")]
    Value,
    #[error("where the read becomes sure, the frame's instruction is not the one that reads")]
    Instruction,
}

/// Which field of a frame has the running instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameField {
    /// `f_lasti` (to 3.10): stored before the handler begins, and for the next instruction at its end.
    Lasti(u64),
    /// `prev_instr` or `instr_ptr` (3.11+): stored by the handler.
    Instr(u64),
}

impl FrameField {
    pub(super) fn of(offsets: &Offsets) -> Self {
        match offsets.frame_lasti {
            ABSENT => Self::Instr(u64::from(offsets.frame_instr)),
            lasti => Self::Lasti(u64::from(lasti)),
        }
    }

    pub(super) fn offset(self) -> u64 {
        match self {
            Self::Lasti(offset) | Self::Instr(offset) => offset,
        }
    }
}

/// Finds the places for a bytecode whose forms `is_form` tells by their names.
pub(super) fn reads(
    memory: &impl ReadMemory,
    handlers: &Handlers,
    opcodes: &Opcodes,
    field: FrameField,
    is_form: impl Fn(&str) -> bool,
) -> Result<Vec<ReadSite>, ReadError> {
    let stack = value_stack(memory, handlers, opcodes).ok_or(ReadError::Stack)?;
    let of = |own: bool| {
        let is_form = &is_form;
        (0..=u8::MAX)
            .filter(move |opcode| opcodes.name(*opcode).is_some_and(|name| is_form(name) == own))
            .map(|opcode| handlers.of(opcode))
    };
    let forms: BTreeSet<u64> = of(true).collect();
    let others: HashSet<u64> = of(false)
        .flat_map(|handler| Region::new(memory, handler, MAX_OTHER, true))
        .collect();
    Graph::of(memory, &forms, &others, stack, field)?.reads(memory)
}

#[cfg(test)]
pub(super) mod seed;
#[cfg(test)]
mod tests;
