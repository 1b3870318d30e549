//! The interpreter's bytecodes: which there are, which have side effects, and the machine code that runs each.
//!
//! Some side effects call no C function that any table lists: `x.y = 1` is one bytecode, and from 3.11 on so is
//! `a[0] = 1` and `list.append`. Each bytecode has a handler in the eval loop; a probe on it sees that bytecode
//! exactly, by whatever way it is reached.

mod checks;
mod code;
mod exported;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handlers;
mod jit;
mod machine;
pub mod opcodes;
mod operations;
mod plan;
mod reads;
mod registers;
mod runs;

pub use exported::{EXPORTED, ExportedError, RAISE, exported};
pub use handlers::{Dispatch, HandlerError, Handlers};
pub use jit::{UNSEEN_IN_JIT, may_compile};
pub use operations::{LOAD_GLOBAL, OPERATIONS, Operands, Operation};
pub use plan::{BytecodeSite, Planned, Refusal, plan};
pub use runs::{RunSite, RunsError, runs};
