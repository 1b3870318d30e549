//! What is known of the registers along a way through machine code.

use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register as X86};

/// A register's value, as far as it is known: that of a register at the beginning, plus an offset.
pub(super) type Known = Option<(X86, i64)>;

/// Registers that a called function need not keep (System V ABI): rax, rcx, rdx, rsi, rdi, r8 to r11.
pub(super) const NOT_KEPT: [usize; 9] = [0, 1, 2, 6, 7, 8, 9, 10, 11];

#[derive(Clone, PartialEq)]
pub(super) struct Registers([Known; 16]);

impl Registers {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|n| Some((general(n), 0))))
    }

    pub(super) fn of(&self, register: X86) -> Known {
        self.0[index(register)?]
    }

    pub(super) fn set(&mut self, register: X86, known: Known) {
        if let Some(index) = index(register) {
            self.0[index] = known;
        }
    }

    /// A register that holds what `register` held at the beginning, and the difference.
    pub(super) fn holds(&self, register: X86) -> Option<(usize, i64)> {
        let mut all = self.0.iter().enumerate();
        all.find_map(|(n, known)| {
            known
                .filter(|(from, _)| *from == register)
                .map(|(_, offset)| (n, offset))
        })
    }

    /// A function was called: what it need not keep is lost.
    pub(super) fn called(&mut self) {
        for n in NOT_KEPT {
            self.0[n] = None;
        }
    }

    pub(super) fn step(&mut self, instruction: &Instruction) {
        let mut infos = InstructionInfoFactory::new();
        let to = instruction.op0_register();
        let known = match instruction.mnemonic() {
            Mnemonic::Mov if is_register(instruction, 0) && is_register(instruction, 1) => {
                self.of(instruction.op1_register())
            }
            Mnemonic::Lea if instruction.memory_index() == X86::None => {
                let moved =
                    |(from, offset): (X86, i64)| (from, offset + instruction.memory_displacement64() as i64);
                self.of(instruction.memory_base()).map(moved)
            }
            Mnemonic::Add | Mnemonic::Sub if is_register(instruction, 0) && is_immediate(instruction) => {
                let by = instruction.immediate(1) as i64;
                let by = if instruction.mnemonic() == Mnemonic::Add {
                    by
                } else {
                    -by
                };
                self.of(to).map(|(from, offset)| (from, offset + by))
            }
            _ => None,
        };
        for used in infos.info(instruction).used_registers() {
            if !matches!(
                used.access(),
                OpAccess::Read | OpAccess::CondRead | OpAccess::None
            ) {
                self.set(used.register(), None);
            }
        }
        if known.is_some() && to.size() == 8 {
            self.set(to, known);
        }
    }
}

/// Whether it writes to memory.
pub(super) fn writes_memory(instruction: &Instruction) -> bool {
    let mut infos = InstructionInfoFactory::new();
    let info = infos.info(instruction);
    let mut used = info.used_memory().iter();
    used.any(|memory| {
        !matches!(
            memory.access(),
            OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
        )
    })
}

fn is_register(instruction: &Instruction, operand: u32) -> bool {
    instruction.op_kind(operand) == OpKind::Register
}

fn is_immediate(instruction: &Instruction) -> bool {
    !matches!(instruction.op1_kind(), OpKind::Register | OpKind::Memory)
}

/// The general-purpose register with that encoding.
pub(super) fn general(n: usize) -> X86 {
    const ALL: [X86; 16] = [
        X86::RAX,
        X86::RCX,
        X86::RDX,
        X86::RBX,
        X86::RSP,
        X86::RBP,
        X86::RSI,
        X86::RDI,
        X86::R8,
        X86::R9,
        X86::R10,
        X86::R11,
        X86::R12,
        X86::R13,
        X86::R14,
        X86::R15,
    ];
    ALL[n]
}

pub(super) fn index(register: X86) -> Option<usize> {
    let full = register.full_register();
    (0..16).find(|n| general(*n) == full)
}

/// Whether an instruction writes a register, or a part of it.
pub(super) fn writes(instruction: &Instruction, register: X86) -> bool {
    index(register).is_some_and(|n| written(instruction) & 1 << n != 0)
}

/// The general-purpose registers that an instruction writes, or parts of which it does: a bit each, by their encoding.
pub(super) fn written(instruction: &Instruction) -> u16 {
    let mut infos = InstructionInfoFactory::new();
    let used = infos.info(instruction).used_registers().iter();
    let written = used.filter(|used| {
        !matches!(
            used.access(),
            OpAccess::Read | OpAccess::CondRead | OpAccess::None
        )
    });
    written
        .filter_map(|used| index(used.register()))
        .fold(0, |all, n| all | 1 << n)
}
