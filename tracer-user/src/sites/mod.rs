//! Where to probe a C function, and where its arguments are there.
//!
//! The price of a probe is the instruction it sits on: the kernel emulates some (`push`, `jmp`,
//! `jcc`, `call`, `nop`) and single-steps the rest with a second trap, ten times as dear here. So the
//! prologue is walked to the first emulated instruction, as long as the stack pointer has not
//! moved (a return probe takes the word at `rsp` for the return address) and every argument is
//! still in some register.

mod prologue;
mod starts;

use thiserror::Error;
use tracer_common::cookie::{COOKIE_REGISTERS, Convention, Register};

pub use prologue::{apart, plan, price};
pub use starts::Starts;

/// What a probe costs the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// One trap: the kernel does the instruction's work itself
    /// (`arch/x86/kernel/uprobes.c`: `branch_setup_xol_ops`, `push_setup_xol_ops`).
    Emulated,
    /// Two traps: the instruction runs out of line.
    SingleStepped,
}

/// One breakpoint for entry and return of a function, or, where it is kept [`apart`], for entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes from the function's start. The stack pointer there is the one at entry, unless it is [`apart`].
    pub offset: u32,
    /// Where the C arguments are at that instruction.
    pub registers: [Register; COOKIE_REGISTERS],
    pub price: Price,
}

/// Why a function is not probed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    #[error("its machine code cannot be decoded")]
    Undecodable,
    #[error("its first instruction has a prefix or encoding that uprobes refuse")]
    Unprobeable,
    #[error("a breakpoint is in the file where it starts")]
    Breakpoint,
    #[error("its address is inside of another function")]
    Inside,
}

/// The registers the arguments arrive in.
fn at_entry(_: Convention) -> [Register; COOKIE_REGISTERS] {
    [
        Register::Rdi,
        Register::Rsi,
        Register::Rdx,
        Register::Rcx,
        Register::R8,
    ]
}
