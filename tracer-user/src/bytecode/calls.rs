//! The `call` in a handler that does its work.
//!
//! Most handlers that change something end in one call of a C-API function: `STORE_ATTR` in `PyObject_SetAttr(owner,
//! name, value)`. The `call` instruction is the place to probe: it is reached once for each effect (the beginning of
//! an adaptive handler runs twice when it specialises itself), it has the operands in argument registers, the
//! frame's instruction is stored by then, and the kernel emulates it.

use iced_x86::FlowControl;

use super::code::{Region, instruction};
use crate::process::ReadMemory;

/// Instructions looked at in one handler.
const MAX_INSTRUCTIONS: usize = 2_000;

/// Addresses of the calls that a handler can come to and for which `is_wanted(target)` holds, nearest first.
pub fn calls_of(memory: &impl ReadMemory, handler: u64, is_wanted: impl Fn(u64) -> bool) -> Vec<u64> {
    Region::new(memory, handler, MAX_INSTRUCTIONS, true)
        .filter(|at| {
            instruction(memory, *at).is_some_and(|instruction| {
                instruction.flow_control() == FlowControl::Call && is_wanted(instruction.near_branch_target())
            })
        })
        .collect()
}
