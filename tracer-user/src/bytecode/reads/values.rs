//! Where the value that is pushed was, when the read became sure.

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register as X86};
use tracer_common::cookie::Register;
use tracer_common::guard::Source;

use crate::bytecode::registers::{NOT_KEPT, index, written};

/// Tags of `_PyStackRef` are below it (3.14+): objects are aligned to 8 bytes at least.
const MAX_TAG: u64 = 8;
/// Bytes of a word.
const WORD: i64 = 8;

/// A word in memory, `offset` bytes from what a register holds.
pub(super) fn memory_source(register: usize, offset: i64) -> Option<Source> {
    let words = i8::try_from(offset / WORD).ok().filter(|_| offset % WORD == 0)?;
    Some(Source::Memory(Register::from_u8(register as u8)?, words))
}

/// Registers by what they held at a branch, and by what was loaded from there.
#[derive(Clone)]
pub(super) struct Values {
    held: [Option<Value>; 16],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// What that register held.
    Register(usize),
    /// What was in memory, so many bytes from what that register held.
    Memory(usize, i64),
}

impl Values {
    pub(super) fn new() -> Self {
        Self {
            held: std::array::from_fn(|n| Some(Value::Register(n))),
        }
    }

    fn of(&self, register: X86) -> Option<Value> {
        self.held[index(register).filter(|_| register.size() == 8)?]
    }

    pub(super) fn step(&mut self, instruction: &Instruction) {
        if adds_tag(instruction) {
            return;
        }
        let value = self.given(instruction);
        let is_call = matches!(
            instruction.flow_control(),
            FlowControl::Call | FlowControl::IndirectCall
        );
        let written = written(instruction);
        for (n, held) in self.held.iter_mut().enumerate() {
            if written & 1 << n != 0 || is_call && NOT_KEPT.contains(&n) {
                *held = None;
            }
        }
        if let (Some(value), Some(to)) = (value, index(instruction.op0_register())) {
            self.held[to] = Some(value);
        }
    }

    /// What an instruction puts into its first operand, a register, if that is known.
    fn given(&self, instruction: &Instruction) -> Option<Value> {
        if instruction.op0_kind() != OpKind::Register || instruction.op0_register().size() != 8 {
            return None;
        }
        match (instruction.mnemonic(), instruction.op1_kind()) {
            (Mnemonic::Mov, OpKind::Register) => self.of(instruction.op1_register()),
            (Mnemonic::Lea, _) if instruction.memory_displacement64() < MAX_TAG => self
                .of(instruction.memory_base())
                .filter(|_| instruction.memory_index() == X86::None),
            (Mnemonic::Mov, OpKind::Memory) if instruction.memory_index() == X86::None => {
                match self.of(instruction.memory_base())? {
                    Value::Register(n) => Some(Value::Memory(n, instruction.memory_displacement64() as i64)),
                    Value::Memory(..) => None,
                }
            }
            _ => None,
        }
    }

    pub(super) fn source(&self, register: X86) -> Option<Source> {
        match self.of(register)? {
            Value::Register(n) => Some(Source::Register(Register::from_u8(n as u8)?)),
            Value::Memory(n, offset) => memory_source(n, offset),
        }
    }
}

/// Whether an instruction only sets bits of a tag.
fn adds_tag(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Or
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().size() == 8
        && !matches!(instruction.op1_kind(), OpKind::Register | OpKind::Memory)
        && instruction.immediate(1) < MAX_TAG
}
