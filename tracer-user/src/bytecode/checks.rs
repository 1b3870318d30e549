//! The place in a specialised handler where it is sure to do its work.
//!
//! A specialised form (3.11+) checks that its operands are what it is made for, and otherwise gives the instruction
//! back to the general form. These checks are conditional branches, which the kernel emulates. The last of them is
//! the place to probe: nothing has been changed yet, and the flags tell whether the handler will go on.
//!
//! The operands are on the frame's value stack. At the beginning of every handler the stack pointer is in the same
//! register; the walk to the last check keeps account of where it is.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use iced_x86::{FlowControl, Instruction, Mnemonic, Register as X86};
use tracer_common::cookie::Register;
use tracer_common::guard::Guard;

use super::Handlers;
use super::code::{Region, Straight, instruction};
use super::opcodes::Opcodes;
use super::registers::{Registers, writes_memory};
use crate::process::ReadMemory;

/// Instructions walked in one handler.
const MAX_WALK: usize = 256;
/// Branches of a handler that both lead to checks.
const MAX_FORKS: usize = 3;
/// Bytes of the padded `call __tls_get_addr` (System V ABI, "ELF Handling For Thread-Local Storage").
const THREAD_LOCAL_CALL: usize = 8;
/// Instructions and branches followed to see where one side of a check leads.
const MAX_AHEAD: usize = 64;
const MAX_DEPTH: usize = 4;
/// All instructions so followed for one handler: branches behind branches could multiply them.
const MAX_FOLLOWED: usize = 100_000;
/// Instructions looked at behind the last check.
const MAX_BEHIND: usize = 300;
/// Bytes of an operand.
const WORD: i64 = 8;

/// Where to probe a specialised handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastCheck {
    /// Address of the branch.
    pub address: u64,
    pub guard: Guard,
}

/// Why a handler is not probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("the register with the value stack pointer is not known for sure")]
    Stack,
    #[error("its machine code is not understood")]
    Code,
    #[error("its operands are in no known register at its last check")]
    Operands,
    #[error("its instruction is not yet stored at its last check")]
    Instruction,
    #[error("it changes something before its last check")]
    Store,
    #[error("it checks again behind a branch")]
    Later,
}

/// What is known of the eval loop before a handler is walked.
pub(super) struct Loop {
    /// The register that has the value stack pointer where handlers begin.
    stack: X86,
    /// Offset of the running instruction in the frame.
    frame_instruction: u64,
    /// Addresses from which on an instruction is in the hands of another form.
    given_back: HashSet<u64>,
}

/// Bytecodes that begin with a look at the top of the value stack.
pub(super) const LOOK_AT_TOP: [&str; 10] = [
    "POP_TOP",
    "UNARY_INVERT",
    "UNARY_NEGATIVE",
    "UNARY_NOT",
    "GET_ITER",
    "DELETE_SUBSCR",
    "STORE_FAST",
    "GET_LEN",
    "POP_JUMP_IF_NONE",
    "LIST_EXTEND",
];
/// Instructions until they do.
pub(super) const UNTIL_LOOK: usize = 12;
/// So many of them have to agree on a register, and twice as many as on any other.
const MIN_VOTES: usize = 4;
/// Addresses of a general handler that count as its own.
const MAX_GENERAL: usize = 300;
/// Instructions of a handler in which its first checks are.
const UNTIL_CHECK: usize = 40;
/// 3.11: handlers that share the block where a failed check goes.
const MIN_SHARED: usize = 20;

impl Loop {
    /// `general`: the opcode that gets the instruction when a check fails. `None`: no register is sure to have the
    /// value stack pointer.
    pub(super) fn of(
        machine: &impl ReadMemory,
        handlers: &Handlers,
        opcodes: &Opcodes,
        general: u8,
        frame_instruction: u64,
    ) -> Option<Self> {
        let mut given_back: HashSet<u64> =
            Region::new(machine, handlers.of(general), MAX_GENERAL, false).collect();
        given_back.extend(miss(machine, handlers, opcodes));
        Some(Self {
            stack: value_stack(machine, handlers, opcodes)?,
            frame_instruction,
            given_back,
        })
    }
}

/// The register in which handlers expect the value stack pointer.
pub(super) fn value_stack(machine: &impl ReadMemory, handlers: &Handlers, opcodes: &Opcodes) -> Option<X86> {
    let mut votes: HashMap<X86, usize> = HashMap::new();
    for opcode in LOOK_AT_TOP.iter().filter_map(|op| opcodes.number(op)) {
        let mut ahead = Straight::new(machine, handlers.of(opcode), UNTIL_LOOK);
        let top = ahead.find(|i| i.memory_displacement64() as i64 == -WORD && i.memory_base() != X86::None);
        if let Some(look) = top {
            *votes.entry(look.memory_base()).or_default() += 1;
        }
    }
    let (register, most) = votes.iter().max_by_key(|(_, votes)| **votes)?;
    let others = votes
        .iter()
        .filter(|(other, _)| *other != register)
        .map(|(_, votes)| *votes);
    (*most >= MIN_VOTES && others.max().unwrap_or(0) * 2 <= *most).then_some(*register)
}

/// 3.11: where a failed check of any specialised form goes (`miss`, Python/ceval.c).
fn miss(machine: &impl ReadMemory, handlers: &Handlers, opcodes: &Opcodes) -> Option<u64> {
    opcodes.number("PRECALL")?;
    let mut targets: HashMap<u64, HashSet<u8>> = HashMap::new();
    for opcode in (0..=u8::MAX).filter(|opcode| opcodes.is_assigned(*opcode)) {
        for ahead in Straight::new(machine, handlers.of(opcode), UNTIL_CHECK) {
            if ahead.flow_control() == FlowControl::ConditionalBranch {
                targets
                    .entry(ahead.near_branch_target())
                    .or_default()
                    .insert(opcode);
            }
        }
    }
    let (target, opcodes) = targets.into_iter().max_by_key(|(_, opcodes)| opcodes.len())?;
    (opcodes.len() >= MIN_SHARED).then_some(target)
}

/// Finds the last check of each way through a specialised handler.
pub(super) fn last_checks(
    memory: &impl ReadMemory,
    handler: u64,
    eval: &Loop,
) -> Result<Vec<LastCheck>, CheckError> {
    let walk = Walk {
        memory,
        eval,
        left: Cell::new(MAX_WALK),
        ahead: Cell::new(MAX_FOLLOWED),
    };
    let found = walk.from(handler, State::new(), 0)?;
    if found.is_empty() {
        return Err(CheckError::Code);
    }
    Ok(found)
}

struct Walk<'a, M> {
    memory: &'a M,
    eval: &'a Loop,
    left: Cell<usize>,
    /// Left to see where sides of checks lead.
    ahead: Cell<usize>,
}

/// What is known at an instruction of the walk.
#[derive(Clone)]
struct State {
    registers: Registers,
    /// The frame knows the instruction.
    stored: bool,
    /// An object or an operand may have been changed.
    changed: bool,
    last: Option<LastCheck>,
}

impl State {
    fn new() -> Self {
        Self {
            registers: Registers::new(),
            stored: false,
            changed: false,
            last: None,
        }
    }

    fn guard(&self, instruction: &Instruction, condition: u8, eval: &Loop) -> Result<LastCheck, CheckError> {
        if self.changed {
            return Err(CheckError::Store);
        }
        if !self.stored {
            return Err(CheckError::Instruction);
        }
        let (register, offset) = self.registers.holds(eval.stack).ok_or(CheckError::Operands)?;
        let guard = Guard {
            stack: Register::from_u8(register as u8).ok_or(CheckError::Operands)?,
            words: i8::try_from(offset / WORD).map_err(|_| CheckError::Operands)?,
            condition,
        };
        if offset % WORD != 0 || guard.pack().is_none() {
            return Err(CheckError::Operands);
        }
        Ok(LastCheck {
            address: instruction.ip(),
            guard,
        })
    }

    fn step(&mut self, instruction: &Instruction, eval: &Loop) {
        self.stored |= stores_instruction(instruction, &self.registers, eval);
        self.changed |= changes_object(instruction, &self.registers, eval);
        self.registers.step(instruction);
    }
}

impl<M: ReadMemory> Walk<'_, M> {
    /// The last check of each way from an address on; none if there is none.
    fn from(&self, mut at: u64, mut state: State, forks: usize) -> Result<Vec<LastCheck>, CheckError> {
        let eval = self.eval;
        while self.left.get() != 0 {
            self.left.set(self.left.get() - 1);
            let Some(instruction) = instruction(self.memory, at) else {
                return Err(CheckError::Code);
            };
            at = instruction.next_ip();
            match instruction.flow_control() {
                FlowControl::Next => state.step(&instruction, eval),
                FlowControl::UnconditionalBranch => at = instruction.near_branch_target(),
                FlowControl::Call if instruction.len() == THREAD_LOCAL_CALL => state.registers.called(),
                FlowControl::ConditionalBranch => {
                    let target = instruction.near_branch_target();
                    let taken = condition_of(&instruction).ok_or(CheckError::Code)?;
                    let sides = (self.gives_back(target, 0), self.gives_back(at, 0));
                    let (next, condition) = match sides {
                        (true, false) => (at, taken ^ 1),
                        (false, true) => (target, taken),
                        _ if self.may_give_back(instruction.ip()) => {
                            return self.fork([target, at], &state, forks);
                        }
                        _ => break,
                    };
                    state.last = Some(state.guard(&instruction, condition, eval)?);
                    at = next;
                }
                _ if self.may_give_back(at) => return Err(CheckError::Later),
                _ => break,
            }
        }
        Ok(state.last.into_iter().collect())
    }

    /// Both ways behind a branch have checks of their own, or neither.
    fn fork(&self, sides: [u64; 2], state: &State, forks: usize) -> Result<Vec<LastCheck>, CheckError> {
        if forks == MAX_FORKS {
            return Err(CheckError::Later);
        }
        let mut found: Vec<LastCheck> = Vec::new();
        for side in sides {
            let begin = State {
                last: None,
                ..state.clone()
            };
            let guards = self.from(side, begin, forks + 1)?;
            if guards.is_empty() {
                return Err(CheckError::Later);
            }
            found.extend(
                guards
                    .iter()
                    .filter(|guard| !found.contains(guard))
                    .copied()
                    .collect::<Vec<_>>(),
            );
        }
        Ok(found)
    }

    /// Whether all ways from an address lead to where another form takes over.
    fn gives_back(&self, mut at: u64, depth: usize) -> bool {
        for _ in 0..MAX_AHEAD {
            if self.eval.given_back.contains(&at) {
                return true;
            }
            let Some(left) = self.ahead.get().checked_sub(1) else {
                return false;
            };
            self.ahead.set(left);
            let Some(instruction) = instruction(self.memory, at) else {
                return false;
            };
            at = match instruction.flow_control() {
                FlowControl::Next | FlowControl::Call => instruction.next_ip(),
                FlowControl::UnconditionalBranch => instruction.near_branch_target(),
                FlowControl::ConditionalBranch => {
                    let target = instruction.near_branch_target();
                    if depth == MAX_DEPTH || !self.gives_back(target, depth + 1) {
                        return false;
                    }
                    instruction.next_ip()
                }
                _ => return false,
            };
        }
        false
    }

    /// Whether any way from an address leads there.
    fn may_give_back(&self, start: u64) -> bool {
        let mut region = Region::new(self.memory, start, MAX_BEHIND, true);
        region.any(|at| self.eval.given_back.contains(&at))
    }
}

/// Whether the instruction writes `frame->instr_ptr` (3.13+) or `frame->prev_instr`.
pub(super) fn stores_instruction(instruction: &Instruction, registers: &Registers, eval: &Loop) -> bool {
    writes_memory(instruction)
        && instruction.mnemonic() == Mnemonic::Mov
        && instruction.memory_index() == X86::None
        && instruction.memory_displacement64() == eval.frame_instruction
        && matches!(registers.of(instruction.memory_base()), Some((_, 0)))
}

/// Whether it may write an operand or an object: any write through a pointer that was not in a register when the
/// handler began, or into the operands. What the loop keeps on the C stack is neither, nor is an object's lock.
fn changes_object(instruction: &Instruction, registers: &Registers, eval: &Loop) -> bool {
    let mnemonic = instruction.mnemonic();
    if !writes_memory(instruction) || matches!(mnemonic, Mnemonic::Cmpxchg | Mnemonic::Push) {
        return false;
    }
    match registers.of(instruction.memory_base()) {
        Some((from, _)) => from == eval.stack,
        None => !matches!(instruction.memory_base(), X86::RIP | X86::RSP),
    }
}

/// The condition of a conditional branch, as x86-64 encodes it in 4 bits: the lowest negates it.
pub(super) fn condition_of(instruction: &Instruction) -> Option<u8> {
    // `ConditionCode` counts from `None` in the order of the encoding.
    (instruction.condition_code() as u8).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ReadError;

    /// Code at 0x1000, and how often it was read.
    struct Code(Vec<u8>, Cell<usize>);

    const CODE: u64 = 0x1000;

    impl ReadMemory for Code {
        fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
            self.1.set(self.1.get() + 1);
            let error = ReadError { addr, len: out.len() };
            let at = addr.checked_sub(CODE).ok_or(error)? as usize;
            let bytes = self.0.get(at..at + out.len()).ok_or(error)?;
            out.copy_from_slice(bytes);
            Ok(())
        }
    }

    /// Each of 60 branches leads to 60 more, and those to more: all of them to where another form takes over.
    #[test]
    fn branches_behind_branches_are_followed_to_a_bound() {
        const BRANCHES: u64 = 60;
        let len = BRANCHES * 6 + 5;
        let given_back = CODE + 0x10_0000;
        let mut code = Vec::new();
        for block in 0..=MAX_DEPTH as u64 {
            for n in 0..BRANCHES {
                // je to the next block, nopw in the last.
                if block == MAX_DEPTH as u64 {
                    code.extend([0x66, 0x0f, 0x1f, 0x44, 0, 0]);
                    continue;
                }
                let to = ((block + 1) * len) as i32 - (block * len + n * 6 + 6) as i32;
                code.extend([0x0f, 0x84]);
                code.extend(to.to_le_bytes());
            }
            let end = (block + 1) * len;
            code.push(0xe9);
            code.extend(((given_back - CODE) as i32 - end as i32).to_le_bytes());
        }
        code.resize(code.len() + MAX_LEN_BEHIND, 0xcc);
        let code = Code(code, Cell::new(0));
        let eval = Loop {
            stack: X86::RBX,
            frame_instruction: 0x38,
            given_back: HashSet::from([given_back]),
        };
        let walk = |ahead| Walk {
            memory: &code,
            eval: &eval,
            left: Cell::new(MAX_WALK),
            ahead: Cell::new(ahead),
        };
        // The innermost block is followed to its end, the outermost would take a thousand million instructions.
        assert!(walk(MAX_FOLLOWED).gives_back(CODE + (MAX_DEPTH as u64 - 1) * len, 0));
        code.1.set(0);
        assert!(!walk(MAX_FOLLOWED).gives_back(CODE, 0));
        assert!(code.1.get() <= MAX_FOLLOWED);
    }

    /// An instruction is read as if it had the most bytes.
    const MAX_LEN_BEHIND: usize = 15;
}
