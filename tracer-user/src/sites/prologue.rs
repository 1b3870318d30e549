//! The walk along a function's first instructions.

use std::ops::Range;

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register as X86,
};
use tracer_common::cookie::{COOKIE_REGISTERS, Convention, Register, SelfKind};

use super::{Plan, Price, Refusal, at_entry};
use crate::process::ReadMemory;

/// Instructions walked at most.
const MAX_WALK: usize = 24;

/// Chooses the probe for a function whose first bytes are `code`, at virtual address `address`.
///
/// An instruction other than the first is only taken when no branch in `code` leads to it or
/// between the start and it: otherwise it could run more than once in a call.
pub fn plan(code: &[u8], address: u64, convention: Convention, self_kind: SelfKind) -> Result<Plan, Refusal> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let first = decoder.decode();
    check_first(&first, code)?;
    let start = Plan {
        offset: 0,
        registers: at_entry(convention),
        price: if is_emulated(&first, code) {
            Price::Emulated
        } else {
            Price::SingleStepped
        },
    };
    if start.price == Price::Emulated {
        return Ok(start);
    }
    match walk(code, address, Places::new(convention, self_kind)) {
        Some(plan) if !branched_into(code, address, plan.offset) => Ok(plan),
        _ => Ok(start),
    }
}

/// What a probe on an instruction costs; `None`: there can be none.
pub fn price(instruction: &Instruction, memory: &impl ReadMemory) -> Option<Price> {
    let mut bytes = vec![0; instruction.len()];
    memory.read(instruction.ip(), &mut bytes).ok()?;
    check_first(instruction, &bytes).ok()?;
    // The kernel makes some of the long ones calls.
    if instruction.mnemonic() == Mnemonic::Nop && bytes.len() > 1 {
        return None;
    }
    Some(match is_emulated(instruction, &bytes) {
        true => Price::Emulated,
        false => Price::SingleStepped,
    })
}

/// What a uprobe cannot sit on (`uprobe_init_insn`, `is_prefix_bad` in arch/x86/kernel/uprobes.c).
fn check_first(first: &Instruction, code: &[u8]) -> Result<(), Refusal> {
    if first.is_invalid() {
        return Err(Refusal::Undecodable);
    }
    if first.mnemonic() == Mnemonic::Int3 || first.mnemonic() == Mnemonic::Int {
        return Err(Refusal::Breakpoint);
    }
    let bytes = code.get(..first.len()).unwrap_or_default();
    let bad_prefix = |b: &u8| matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0xf0);
    let prefixes = bytes.iter().take_while(|b| is_prefix(**b));
    let vex = matches!(bytes.first(), Some(0xc4 | 0xc5 | 0x62));
    if prefixes.clone().any(bad_prefix) || vex || first.flow_control() == FlowControl::Exception {
        return Err(Refusal::Unprobeable);
    }
    Ok(())
}

fn is_prefix(byte: u8) -> bool {
    matches!(
        byte,
        0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3
    )
}

/// Whether the kernel emulates the instruction at the start of `bytes`.
fn is_emulated(instruction: &Instruction, bytes: &[u8]) -> bool {
    match bytes {
        // push of a register, alone or with REX.B.
        [0x50..=0x57, ..] => true,
        [0x41, 0x50..=0x57, ..] => true,
        // nop, jmp, call, jcc; without prefixes.
        [0x90 | 0xeb | 0xe9 | 0xe8, ..] => instruction.code() != Code::INVALID,
        [0x70..=0x7f, ..] => true,
        [0x0f, 0x80..=0x8f, ..] => true,
        _ => false,
    }
}

/// Where each argument is: a bit for every register that holds it.
struct Places {
    of: [u16; COOKIE_REGISTERS],
    /// Arguments that must not be lost.
    needed: Range<usize>,
}

impl Places {
    fn new(convention: Convention, self_kind: SelfKind) -> Self {
        // A module function's `self` is not shown.
        let first = usize::from(self_kind == SelfKind::Module);
        Self {
            of: at_entry(convention).map(|register| 1 << register as u8),
            needed: first..convention.arguments(),
        }
    }

    fn copy(&mut self, to: u8, from: u8) {
        for place in &mut self.of {
            *place = *place & !(1 << to) | (*place >> from & 1) << to;
        }
    }

    fn lose(&mut self, register: u8) {
        for place in &mut self.of {
            *place &= !(1 << register);
        }
    }

    /// A register for each argument; `None` when a needed one is lost.
    fn registers(&self) -> Option<[Register; COOKIE_REGISTERS]> {
        let mut registers = [Register::Rdi; COOKIE_REGISTERS];
        for (i, (register, place)) in registers.iter_mut().zip(self.of).enumerate() {
            if place != 0 {
                *register = Register::from_u8(place.trailing_zeros() as u8)?;
            } else if self.needed.contains(&i) {
                return None;
            }
        }
        Some(registers)
    }
}

fn number(register: X86) -> Option<u8> {
    let full = register.full_register();
    (X86::RAX..=X86::R15)
        .contains(&full)
        .then(|| (full as u32 - X86::RAX as u32) as u8)
}

fn walk(code: &[u8], address: u64, mut places: Places) -> Option<Plan> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut infos = InstructionInfoFactory::new();
    for _ in 0..MAX_WALK {
        let offset = decoder.position();
        if !decoder.can_decode() {
            return None;
        }
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        let registers = places.registers()?;
        if is_emulated(&instruction, code.get(offset..)?) {
            return Some(Plan {
                offset: u32::try_from(offset).ok()?,
                registers,
                price: Price::Emulated,
            });
        }
        if instruction.flow_control() != FlowControl::Next {
            return None;
        }
        if let Some((to, from)) = register_copy(&instruction) {
            places.copy(to, from);
            continue;
        }
        for used in infos.info(&instruction).used_registers() {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            if !writes {
                continue;
            }
            let Some(register) = number(used.register()) else {
                continue;
            };
            if register == Register::Rsp as u8 {
                return None;
            }
            places.lose(register);
        }
    }
    None
}

/// `mov` of one whole register to another, the stack pointer left alone.
fn register_copy(instruction: &Instruction) -> Option<(u8, u8)> {
    let moves = matches!(instruction.code(), Code::Mov_r64_rm64 | Code::Mov_rm64_r64)
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register;
    if !moves {
        return None;
    }
    let (to, from) = (
        number(instruction.op0_register())?,
        number(instruction.op1_register())?,
    );
    (to != Register::Rsp as u8 && from != Register::Rsp as u8).then_some((to, from))
}

/// Whether a near branch in `code` leads behind the start and up to `offset`.
fn branched_into(code: &[u8], address: u64, offset: u32) -> bool {
    let forbidden = address + 1..=address + u64::from(offset);
    let decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    decoder.into_iter().any(|instruction| {
        let near = matches!(
            instruction.op0_kind(),
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
        );
        near && forbidden.contains(&instruction.near_branch_target())
    })
}

#[cfg(test)]
#[path = "prologue_tests.rs"]
mod tests;
