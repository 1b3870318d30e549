//! Where to probe the bytecodes that have side effects, in one interpreter.
//!
//! Most handlers that change something end in one call of a C-API function: `STORE_ATTR` in `PyObject_SetAttr(owner,
//! name, value)`. The `call` instruction is the place to probe: it is reached once for each effect (the beginning of
//! an adaptive handler runs twice when it specialises itself), it has the operands in argument registers, the
//! frame's instruction is stored by then, and the kernel emulates it. Specialised forms are probed at their last check,
//! see [`super::checks`]; reads of globals where they become sure, see [`super::reads`].

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{FlowControl, Instruction};
use tracer_common::cookie::{COOKIE_REGISTERS, Convention, Register, SelfKind};

use super::checks::{CheckError, Loop, last_checks};
use super::code::{Region, instruction};
use super::machine::{Machine, MachineError};
use super::opcodes::Opcodes;
use super::operations::{self, EXEC_STMT, OPERATIONS, Operands, Operation, SLICES, Special};
use super::reads::{FrameField, ReadError, ReadSite, reads};
use super::{HandlerError, Handlers};
use crate::cpython::Interpreter;
use crate::process::Process;
use crate::sites::Price;

/// Instructions looked at in one handler.
const MAX_INSTRUCTIONS: usize = 2_000;
/// Instructions looked at in a function that a handler calls.
const MAX_CALLED: usize = 500;

/// One place to probe for a bytecode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BytecodeSite {
    pub operation: &'static Operation,
    /// Address of the instruction in the process.
    pub address: u64,
    pub convention: Convention,
    pub self_kind: SelfKind,
    /// Where the arguments are, or [`tracer_common::guard::Guard::pack`] or [`tracer_common::guard::Read::pack`].
    pub registers: [Register; COOKIE_REGISTERS],
    pub price: Price,
}

/// Why a bytecode is not probed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Handlers(#[from] HandlerError),
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error("its handler calls none of the functions that do such work: it is not understood")]
    NoCall,
    #[error("its handler shares the call that does the work with {0}")]
    Shared(String),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A bytecode, or a specialised form of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub operation: &'static Operation,
    /// Its name in `opcode.h`.
    pub form: &'static str,
    pub sites: Result<Vec<BytecodeSite>, Refusal>,
}

/// Finds the places for those operations that are `wanted` and that this version has.
pub fn plan(
    process: &Process,
    interpreter: &Interpreter,
    wanted: impl Fn(&Operation) -> bool,
) -> Vec<Planned> {
    let Some(opcodes) = Opcodes::of(interpreter.version()) else {
        return Vec::new();
    };
    let operations: Vec<_> = OPERATIONS
        .iter()
        .filter(|operation| operation.is_in(opcodes) && wanted(operation))
        .collect();
    if operations.is_empty() {
        return Vec::new();
    }
    let eval = match Eval::of(process, interpreter, opcodes) {
        Ok(eval) => eval,
        Err(why) => {
            let refused = |operation: &'static Operation| Planned {
                operation,
                form: operation.op,
                sites: Err(why.clone()),
            };
            return operations.into_iter().map(refused).collect();
        }
    };
    eval.plan(&operations)
}

/// A `call` of a function that does such work, and the opcodes whose handlers come to it.
struct Call {
    function: &'static str,
    price: Price,
    ops: BTreeSet<String>,
}

/// Whether the function that a `call` calls is one of the interpreter's own that comes to such work.
fn leads_to(machine: &Machine, call: &Instruction, is_work: impl Fn(&str) -> bool) -> Option<&'static str> {
    let target = (call.flow_control() == FlowControl::Call).then(|| call.near_branch_target())?;
    if machine.called(call).is_some() {
        return None;
    }
    Region::new(machine, target, MAX_CALLED, true)
        .filter_map(|at| instruction(machine, at))
        .filter(|found| found.flow_control() == FlowControl::Call)
        .filter_map(|found| machine.called(&found))
        .find(|function| is_work(function))
}

/// By address.
type Calls = BTreeMap<u64, Call>;

/// Finds the calls that do work in one handler.
fn calls_of(machine: &Machine, name: &str, handler: u64, calls: &mut Calls) {
    let own = || OPERATIONS.iter().filter(|operation| operation.has_form(name));
    let is_work = |function: &str| own().any(|operation| operation.work_of(function).is_some());
    let in_slices = SLICES.iter().any(|op| name.starts_with(op));
    for at in Region::new(machine, handler, MAX_INSTRUCTIONS, true) {
        let Some(found) = instruction(machine, at) else {
            continue;
        };
        if let Some(function) = machine.called(&found) {
            enter(calls, &found, function, name);
        } else if name == EXEC_STMT
            && let Some(function) = leads_to(machine, &found, is_work)
        {
            enter(calls, &found, function, name);
        } else if in_slices && leads_to(machine, &found, is_work).is_some() {
            let helper = Region::new(machine, found.near_branch_target(), MAX_CALLED, true);
            for within in helper.filter_map(|at| instruction(machine, at)) {
                // It stores and deletes, by whether it is given a value.
                if let Some(function) = machine.called(&within).filter(|function| is_work(function)) {
                    enter(calls, &within, function, name);
                }
            }
        }
    }
}

/// Notes that a handler comes to a call of `function`.
fn enter(calls: &mut Calls, call: &Instruction, function: &'static str, name: &str) {
    let price = match call.flow_control() {
        FlowControl::Call => Price::Emulated,
        FlowControl::IndirectCall => Price::SingleStepped,
        _ => return,
    };
    let call = calls.entry(call.ip()).or_insert_with(|| Call {
        function,
        price,
        ops: BTreeSet::new(),
    });
    call.ops.insert(name.to_owned());
}

/// An interpreter's eval loop.
pub(super) struct Eval {
    opcodes: &'static Opcodes,
    handlers: Handlers,
    machine: Machine,
    calls: Calls,
    frame_instruction: FrameField,
}

impl Eval {
    fn of(process: &Process, interpreter: &Interpreter, opcodes: &'static Opcodes) -> Result<Self, Refusal> {
        Ok(Self::new(
            opcodes,
            Handlers::find(process, interpreter)?,
            Machine::of(process, interpreter, &operations::functions())?,
            FrameField::of(&interpreter.layout().offsets),
        ))
    }

    pub(super) fn new(
        opcodes: &'static Opcodes,
        handlers: Handlers,
        machine: Machine,
        frame_instruction: FrameField,
    ) -> Self {
        let mut calls = Calls::new();
        for (opcode, name) in (0..=u8::MAX).filter_map(|opcode| Some((opcode, opcodes.name(opcode)?))) {
            calls_of(&machine, name, handlers.of(opcode), &mut calls);
        }
        Self {
            opcodes,
            handlers,
            machine,
            calls,
            frame_instruction,
        }
    }

    /// The places of operations that this version has.
    pub(super) fn plan(&self, operations: &[&'static Operation]) -> Vec<Planned> {
        let mut planned = Vec::new();
        for operation in operations {
            if operation.has_work() {
                planned.push(Planned {
                    operation,
                    form: operation.op,
                    sites: self.calls(operation),
                });
            }
            if operation.operands == Operands::Read {
                planned.push(Planned {
                    operation,
                    form: operation.op,
                    sites: self.reads(operation),
                });
            }
            for form in operation.forms(self.opcodes) {
                planned.push(Planned {
                    operation,
                    form,
                    sites: self.checks(operation, form),
                });
            }
        }
        planned
    }

    /// Where a general form does its work.
    fn calls(&self, operation: &'static Operation) -> Result<Vec<BytecodeSite>, Refusal> {
        let mut sites = Vec::new();
        let mut shared = BTreeSet::new();
        for (address, call) in &self.calls {
            let Some(work) = operation.work_of(call.function) else {
                continue;
            };
            let (own, others): (Vec<&String>, Vec<&String>) =
                call.ops.iter().partition(|op| operation.has_form(op));
            if own.is_empty() {
                continue;
            }
            if !others.is_empty() {
                shared.extend(others);
                continue;
            }
            sites.push(BytecodeSite {
                operation,
                address: *address,
                convention: work.convention,
                self_kind: work.self_kind,
                registers: work.registers,
                price: call.price,
            });
        }
        match shared.first() {
            Some(_) => {
                let names: Vec<_> = shared.into_iter().map(String::as_str).collect();
                Err(Refusal::Shared(names.join(", ")))
            }
            None if sites.is_empty() => Err(Refusal::NoCall),
            None => Ok(sites),
        }
    }

    /// Where a specialised form is sure to do its work.
    fn checks(&self, operation: &'static Operation, form: &str) -> Result<Vec<BytecodeSite>, Refusal> {
        let Special {
            general, convention, ..
        } = operation.special.ok_or(CheckError::Code)?;
        let number = |name: &str| self.opcodes.number(name);
        let form = number(form).ok_or(CheckError::Code)?;
        let general = general
            .iter()
            .find_map(|name| number(name))
            .ok_or(CheckError::Code)?;
        let eval = Loop::of(
            &self.machine,
            &self.handlers,
            self.opcodes,
            general,
            self.frame_instruction.offset(),
        )
        .ok_or(CheckError::Stack)?;
        let mut sites = Vec::new();
        for check in last_checks(&self.machine, self.handlers.of(form), &eval)? {
            sites.push(BytecodeSite {
                operation,
                address: check.address,
                convention,
                self_kind: SelfKind::Bound,
                registers: check.guard.pack().ok_or(CheckError::Operands)?,
                price: Price::Emulated,
            });
        }
        Ok(sites)
    }

    /// Where a read of a global is sure, in all forms together.
    fn reads(&self, operation: &'static Operation) -> Result<Vec<BytecodeSite>, Refusal> {
        let found = reads(
            &self.machine,
            &self.handlers,
            self.opcodes,
            self.frame_instruction,
            |name| operation.has_form(name),
        )?;
        // Since 3.11 the lowest bit asks for a NULL on the stack, for a call (Python/compile.c, 3.11).
        let shifted = matches!(self.frame_instruction, FrameField::Instr(_));
        let site = |read: ReadSite| {
            Ok(BytecodeSite {
                operation,
                address: read.address,
                convention: Convention::StackAttribute,
                self_kind: SelfKind::Module,
                registers: read.read(shifted).pack().ok_or(ReadError::Value)?,
                price: Price::Emulated,
            })
        };
        found.into_iter().map(site).collect()
    }
}
