//! Up to 3.10: each run is a call of the eval function.

use std::collections::{BTreeMap, HashSet};

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register as X86};
use tracer_common::activation::{Role, ValueAt};
use tracer_common::cookie::Register;

use super::{CHECK_RESULT, Finder, RunSite, RunsError};
use crate::bytecode::code::instruction;
use crate::bytecode::registers::{Registers, general, index, writes, writes_memory};
use crate::sites::{self, Price};

/// Instructions of the eval function's beginning.
const MAX_PROLOGUE: usize = 120;
/// Instructions between the last call and the `ret`.
const MAX_EPILOGUE: usize = 16;
/// Instructions from where the frame behind becomes the thread's to the end.
const BEFORE_END: usize = 24;

impl Finder<'_> {
    /// Up to 3.10. `current_frame`: where a thread state has its frame; `has_tstate`: the thread state is the first argument
    /// (3.9+); `previous`: where a frame has the one behind it.
    pub(super) fn by_eval(
        &self,
        current_frame: u64,
        has_tstate: bool,
        previous: u64,
    ) -> Result<Vec<RunSite>, RunsError> {
        let (frame, result) = match has_tstate {
            true => (X86::RSI, Register::Rdx),
            false => (X86::RDI, Register::Rsi),
        };
        let mut sites = vec![self.beginning(frame, current_frame).ok_or(RunsError::Begin)?];
        let code: BTreeMap<u64, Instruction> = self.region().map(|found| (found.ip(), found)).collect();
        let mut checked = Vec::new();
        let mut plain = Vec::new();
        for found in code.values() {
            match found.flow_control() {
                // Elsewhere it checks the result of a call.
                FlowControl::Call
                    if self.machine.called(found) == Some(CHECK_RESULT) && self.is_last(found.next_ip()) =>
                {
                    checked.push((found.ip(), result, Price::Emulated));
                }
                FlowControl::Return => {
                    plain.push((epilogue(&code, found.ip()), Register::Rax, Price::SingleStepped));
                }
                _ => {}
            }
        }
        for (address, value, price) in if checked.is_empty() { plain } else { checked } {
            sites.push(RunSite {
                role: Role::EvalEnd,
                form: "the end of the eval function".to_owned(),
                address,
                frame: frame_before(&code, address, previous).ok_or(RunsError::End)?,
                value: ValueAt::Register(value),
                if_equal: false,
                price,
            });
        }
        match sites.len() {
            1 => Err(RunsError::End),
            _ => Ok(sites),
        }
    }

    /// Where the eval function has made the frame the thread's: from there on it ends where [`Self::by_eval`] sees it.
    fn beginning(&self, frame: X86, current_frame: u64) -> Option<RunSite> {
        let mut registers = Registers::new();
        let mut linked = false;
        let mut at = self.eval;
        for _ in 0..MAX_PROLOGUE {
            let found = instruction(self.machine, at)?;
            if linked && sites::price(&found, self.machine)? == Price::Emulated {
                let (register, 0) = registers.holds(frame)? else {
                    return None;
                };
                return Some(RunSite {
                    role: Role::Eval,
                    form: "the eval function".to_owned(),
                    address: at,
                    frame: Register::from_u8(register as u8)?,
                    value: ValueAt::Nowhere,
                    if_equal: false,
                    price: Price::Emulated,
                });
            }
            linked |= writes_memory(&found)
                && found.mnemonic() == Mnemonic::Mov
                && found.memory_index() == X86::None
                && !matches!(found.memory_base(), X86::RSP | X86::RIP | X86::None)
                && found.memory_displacement64() == current_frame
                && found.op1_kind() == OpKind::Register
                && registers.of(found.op1_register()) == Some((frame, 0));
            at = match found.flow_control() {
                FlowControl::Next | FlowControl::ConditionalBranch => {
                    registers.step(&found);
                    found.next_ip()
                }
                FlowControl::Call | FlowControl::IndirectCall => {
                    registers.called();
                    found.next_ip()
                }
                FlowControl::UnconditionalBranch => found.near_branch_target(),
                _ => return None,
            };
        }
        None
    }

    /// Whether a function has only to leave its stack from there on.
    fn is_last(&self, mut at: u64) -> bool {
        for _ in 0..MAX_EPILOGUE {
            let Some(found) = instruction(self.machine, at) else {
                return false;
            };
            at = match found.flow_control() {
                FlowControl::UnconditionalBranch => found.near_branch_target(),
                FlowControl::Next if leaves_stack(&found) => found.next_ip(),
                FlowControl::Return => return true,
                _ => return false,
            };
        }
        false
    }
}

/// Whether an instruction is one of those by which a function leaves its stack.
fn leaves_stack(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Pop | Mnemonic::Leave => true,
        Mnemonic::Add | Mnemonic::Lea => instruction.op0_register() == X86::RSP,
        _ => false,
    }
}

/// The first of the instructions that end with a `ret`, by which a function leaves its stack.
fn epilogue(code: &BTreeMap<u64, Instruction>, ret: u64) -> u64 {
    let mut first = ret;
    for (at, found) in code.range(..ret).rev() {
        if found.next_ip() != first || !leaves_stack(found) {
            break;
        }
        first = *at;
    }
    first
}

/// The register that has the frame at an instruction before which the frame behind it becomes the thread's.
fn frame_before(code: &BTreeMap<u64, Instruction>, at: u64, previous: u64) -> Option<Register> {
    let mut written = HashSet::new();
    let mut next = at;
    for (at, found) in code.range(..at).rev().take(BEFORE_END) {
        if found.next_ip() != next || found.flow_control() != FlowControl::Next {
            return None;
        }
        next = *at;
        let frame = found.memory_base().full_register();
        let loads = found.mnemonic() == Mnemonic::Mov
            && found.op1_kind() == OpKind::Memory
            && found.memory_index() == X86::None
            && found.memory_displacement64() == previous
            && !matches!(frame, X86::RSP | X86::RIP | X86::None);
        if loads && !written.contains(&frame) && found.op0_register().full_register() != frame {
            return Register::from_u8(index(frame)? as u8);
        }
        written.extend((0..16).map(general).filter(|register| writes(found, *register)));
    }
    None
}
