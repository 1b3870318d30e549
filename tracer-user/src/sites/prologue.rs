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

/// Chooses an entry probe for the same function where nobody puts a return probe.
///
/// Whoever asks for return probes at an instruction, for whichever process, the kernel gives one to each process that has
/// any probe there (`handler_chain` in kernel/events/uprobes.c, 6.18, looks at no filter). So a process that cannot
/// bear return probes has its entry probe where the stack pointer has moved, or, where it does not, neither at the start nor
/// at the place of [`plan`].
///
/// `None`: there is no such place.
pub fn apart(code: &[u8], address: u64, convention: Convention, self_kind: SelfKind) -> Option<Plan> {
    let steps: Vec<Step> = Steps::new(code, address, Places::new(convention, self_kind)).collect();
    let first_emulated = steps.iter().position(|step| step.price == Some(Price::Emulated));
    let taken = |n: usize, step: &Step| !step.moved && (n == 0 || Some(n) == first_emulated);
    steps
        .iter()
        .enumerate()
        .filter(|(n, step)| !taken(*n, step))
        .filter_map(|(_, step)| Some((step.moved, step.plan()?)))
        .filter(|(_, plan)| !branched_into(code, address, plan.offset))
        .min_by_key(|(moved, plan)| (!moved, plan.price != Price::Emulated))
        .map(|(_, plan)| plan)
}

/// What a probe on an instruction costs; `None`: there can be none.
pub fn price(instruction: &Instruction, memory: &impl ReadMemory) -> Option<Price> {
    let mut bytes = vec![0; instruction.len()];
    memory.read(instruction.ip(), &mut bytes).ok()?;
    price_of(instruction, &bytes)
}

/// The same of an instruction at the start of `bytes`.
fn price_of(instruction: &Instruction, bytes: &[u8]) -> Option<Price> {
    check_first(instruction, bytes).ok()?;
    // The kernel makes some of the long ones calls.
    if instruction.mnemonic() == Mnemonic::Nop && instruction.len() > 1 {
        return None;
    }
    Some(match is_emulated(instruction, bytes) {
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

/// An instruction of the straight way from a function's start.
struct Step {
    offset: u32,
    /// Where the arguments are when it is about to run; `None`: a needed one is lost.
    registers: Option<[Register; COOKIE_REGISTERS]>,
    price: Option<Price>,
    /// The stack pointer is no more what it was at entry.
    moved: bool,
}

impl Step {
    fn plan(&self) -> Option<Plan> {
        Some(Plan {
            offset: self.offset,
            registers: self.registers?,
            price: self.price?,
        })
    }
}

/// The straight way, up to and with the first branch or call.
struct Steps<'a> {
    code: &'a [u8],
    decoder: Decoder<'a>,
    infos: InstructionInfoFactory,
    places: Places,
    moved: bool,
    left: usize,
}

impl<'a> Steps<'a> {
    fn new(code: &'a [u8], address: u64, places: Places) -> Self {
        Self {
            code,
            decoder: Decoder::with_ip(64, code, address, DecoderOptions::NONE),
            infos: InstructionInfoFactory::new(),
            places,
            moved: false,
            left: MAX_WALK,
        }
    }

    /// What the instruction does to the registers.
    fn pass(&mut self, instruction: &Instruction) {
        if let Some((to, from)) = register_copy(instruction) {
            self.places.copy(to, from);
            return;
        }
        for used in self.infos.info(instruction).used_registers() {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            match number(used.register()).filter(|_| writes) {
                Some(register) if register == Register::Rsp as u8 => self.moved = true,
                Some(register) => self.places.lose(register),
                None => {}
            }
        }
    }
}

impl Iterator for Steps<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        self.left = self.left.checked_sub(1)?;
        let offset = self.decoder.position();
        if !self.decoder.can_decode() {
            return None;
        }
        let instruction = self.decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        let step = Step {
            offset: u32::try_from(offset).ok()?,
            registers: self.places.registers(),
            price: price_of(&instruction, self.code.get(offset..)?),
            moved: self.moved,
        };
        match instruction.flow_control() {
            FlowControl::Next => self.pass(&instruction),
            _ => self.left = 0,
        }
        Some(step)
    }
}

/// The first emulated instruction before the stack pointer moves and an argument is lost.
fn walk(code: &[u8], address: u64, places: Places) -> Option<Plan> {
    Steps::new(code, address, places)
        .take_while(|step| !step.moved && step.registers.is_some())
        .find(|step| step.price == Some(Price::Emulated))?
        .plan()
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
    let forbidden = 1..=u64::from(offset);
    let decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    decoder.into_iter().any(|instruction| {
        let near = matches!(
            instruction.op0_kind(),
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
        );
        near && forbidden.contains(&instruction.near_branch_target().wrapping_sub(address))
    })
}

#[cfg(test)]
#[path = "prologue_tests.rs"]
mod tests;
