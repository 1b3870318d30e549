//! Where the value stack pointer is, along all ways through a handler at once.

use std::collections::BTreeMap;

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register as X86};

use super::FrameField;
use crate::bytecode::registers::{Known, NOT_KEPT, Registers, general, index, writes_memory, written};

/// The registers of a call's arguments (System V ABI), by their encoding.
const ARGUMENTS: [usize; 6] = [7, 6, 2, 1, 8, 9];

/// What is known of registers and of the words that they were put aside in.
#[derive(Clone, PartialEq)]
pub(super) struct Places {
    stack: X86,
    registers: Registers,
    /// Registers with an address on the value stack that no number tells, a bit each.
    somewhere: u16,
    /// What was stored in the C frame, or in the Python frame.
    aside: BTreeMap<(X86, i64), (X86, i64)>,
    /// On every way the frame's instruction was stored.
    stored: bool,
    /// On some way.
    may_be_stored: bool,
    /// On every way a function was given the end of the value stack.
    given: bool,
}

impl Places {
    /// At the beginning of a handler, where `stack` has the value stack pointer.
    pub(super) fn new(stack: X86) -> Self {
        Self {
            stack,
            registers: Registers::new(),
            somewhere: 0,
            aside: BTreeMap::new(),
            stored: false,
            may_be_stored: false,
            given: false,
        }
    }

    pub(super) fn of(&self, register: X86) -> Known {
        self.registers.of(register)
    }

    pub(super) fn is_given(&self) -> bool {
        self.given
    }

    /// Whether the frame's instruction is the handler's own.
    pub(super) fn is_own_instruction(&self, field: FrameField) -> bool {
        match field {
            FrameField::Lasti(_) => !self.may_be_stored,
            FrameField::Instr(_) => self.stored,
        }
    }

    /// Whether an instruction stores a register on the value stack, and how far from the handler's end of it, if that is known.
    pub(super) fn pushes(&self, instruction: &Instruction) -> Option<Option<i64>> {
        let base = instruction.memory_base();
        if !is_word_store(instruction) || !self.is_on_stack(base) {
            return None;
        }
        let displacement = instruction.memory_displacement64() as i64;
        Some(self.of(base).map(|(_, offset)| offset.wrapping_add(displacement)))
    }

    /// The address of the word that an instruction compares with a number.
    pub(super) fn compares(&self, instruction: &Instruction) -> Known {
        let compares = instruction.mnemonic() == Mnemonic::Cmp
            && instruction.op0_kind() == OpKind::Memory
            && instruction.memory_size().size() == 8
            && instruction.memory_index() == X86::None
            && !matches!(instruction.op1_kind(), OpKind::Register | OpKind::Memory);
        let displacement = instruction.memory_displacement64() as i64;
        let base = self.of(instruction.memory_base()).filter(|_| compares);
        base.map(|(from, offset)| (from, offset.wrapping_add(displacement)))
    }

    /// Whether the register with the value stack pointer has another end of it than where the handler began.
    pub(super) fn is_longer(&self) -> bool {
        self.is_on_stack(self.stack) && self.of(self.stack) != Some((self.stack, 0))
    }

    fn is_on_stack(&self, register: X86) -> bool {
        let somewhere = index(register).is_some_and(|n| self.somewhere & 1 << n != 0);
        somewhere || self.of(register).is_some_and(|(from, _)| from == self.stack)
    }

    /// Keeps what is known on both ways; whether that is less.
    pub(super) fn meet(&mut self, other: &Self) -> bool {
        let before = self.clone();
        for n in 0..16 {
            let register = general(n);
            let both = self.is_on_stack(register) && other.is_on_stack(register);
            let differ = self.of(register) != other.of(register);
            let is_somewhere = both && (differ || self.of(register).is_none());
            self.somewhere = self.somewhere & !(1 << n) | u16::from(is_somewhere) << n;
            if differ {
                self.registers.set(register, None);
            }
        }
        self.aside
            .retain(|place, value| other.aside.get(place) == Some(value));
        self.stored &= other.stored;
        self.may_be_stored |= other.may_be_stored;
        self.given &= other.given;
        *self != before
    }

    pub(super) fn step(&mut self, instruction: &Instruction, field: FrameField) {
        if matches!(
            instruction.flow_control(),
            FlowControl::Call | FlowControl::IndirectCall
        ) {
            return self.call();
        }
        if self.stores_instruction(instruction, field) {
            (self.stored, self.may_be_stored) = (true, true);
        }
        self.put_aside(instruction);
        let loaded = self.loaded(instruction);
        let to = instruction.op0_register();
        let somewhere = self.is_moved(instruction);
        self.registers.step(instruction);
        if loaded.is_some() {
            self.registers.set(to, loaded);
        }
        self.somewhere &= !written(instruction);
        if let Some(n) = index(to).filter(|_| somewhere && self.of(to).is_none()) {
            self.somewhere |= 1 << n;
        }
    }

    fn call(&mut self) {
        let end = Some((self.stack, 0));
        self.given |= ARGUMENTS.iter().any(|n| self.of(general(*n)) == end);
        self.registers.called();
        for n in NOT_KEPT {
            self.somewhere &= !(1 << n);
        }
    }

    /// A word of the C frame or of an object whose address was in a register at the beginning, by that register.
    fn place(&self, instruction: &Instruction) -> Option<(X86, i64)> {
        let (from, offset) = self
            .of(instruction.memory_base())
            .filter(|(from, _)| *from != self.stack && instruction.memory_index() == X86::None)?;
        Some((
            from,
            offset.wrapping_add(instruction.memory_displacement64() as i64),
        ))
    }

    fn put_aside(&mut self, instruction: &Instruction) {
        if !writes_memory(instruction) {
            return;
        }
        let Some(place) = self.place(instruction) else {
            return;
        };
        let value = is_word_store(instruction).then(|| self.of(instruction.op1_register()));
        match value.flatten() {
            Some(value) => drop(self.aside.insert(place, value)),
            None => drop(self.aside.remove(&place)),
        }
    }

    /// What an instruction loads that was put aside.
    fn loaded(&self, instruction: &Instruction) -> Known {
        let loads = is_word_move(instruction)
            && instruction.op0_kind() == OpKind::Register
            && instruction.op1_kind() == OpKind::Memory;
        self.aside
            .get(&self.place(instruction).filter(|_| loads)?)
            .copied()
    }

    /// Whether an instruction makes an address on the value stack from one.
    fn is_moved(&self, instruction: &Instruction) -> bool {
        let is_sum = matches!(instruction.mnemonic(), Mnemonic::Add | Mnemonic::Sub);
        let registers = match instruction.mnemonic() {
            Mnemonic::Lea => [instruction.memory_base(), instruction.memory_index()],
            Mnemonic::Mov => [instruction.op1_register(), X86::None],
            _ if is_sum => [instruction.op0_register(), instruction.op1_register()],
            _ => return false,
        };
        instruction.op0_kind() == OpKind::Register
            && instruction.op0_register().size() == 8
            && registers.iter().any(|register| self.is_on_stack(*register))
    }

    /// Whether it writes the field of a frame, whose address was in a register at the beginning.
    fn stores_instruction(&self, instruction: &Instruction, field: FrameField) -> bool {
        let base = instruction.memory_base();
        instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_kind() == OpKind::Memory
            && instruction.memory_index() == X86::None
            && instruction.memory_displacement64() == field.offset()
            && !matches!(base, X86::RSP | X86::RIP)
            && matches!(self.of(base), Some((_, 0)))
    }
}

/// Whether an instruction moves a word.
fn is_word_move(instruction: &Instruction) -> bool {
    let size = match instruction.op0_kind() {
        OpKind::Memory => instruction.memory_size().size(),
        _ => instruction.op0_register().size(),
    };
    instruction.mnemonic() == Mnemonic::Mov && size == 8
}

/// Whether an instruction stores a register's word in memory.
fn is_word_store(instruction: &Instruction) -> bool {
    is_word_move(instruction)
        && instruction.op0_kind() == OpKind::Memory
        && instruction.op1_kind() == OpKind::Register
        && instruction.memory_index() == X86::None
}
