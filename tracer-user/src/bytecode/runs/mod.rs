//! Where the runs of Python functions begin and end.
//!
//! Up to 3.10 each run is a call of the eval function. It begins behind the check for recursion, where the frame has become the
//! thread's, and ends at one call of `_Py_CheckFunctionResult` or, in 2.7, at the only `ret`. A return probe would do
//! harm: programs that switch C stacks do it in there (see DESIGN, "Do no harm").
//!
//! From 3.11 on one call of the eval function runs many frames. Runs begin at `RESUME`, and where the eval function is
//! entered to throw an exception into a generator; they end at `RETURN_VALUE` and `YIELD_VALUE`, or where the eval loop
//! takes off a frame that an exception leaves (`exit_unwind`, Python/ceval.c; 3.14+: Python/bytecodes.c).

mod by_eval;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use iced_x86::{ConditionCode, FlowControl, Instruction, Mnemonic, OpKind, Register as X86};
use tracer_common::activation::{Role, ValueAt};
use tracer_common::cookie::{Convention, Register, SelfKind};
use tracer_common::target::{ABSENT, Offsets};

use super::checks::value_stack;
use super::code::{Region, Straight, instruction};
use super::machine::{Machine, MachineError};
use super::opcodes::Opcodes;
use super::registers::{Registers, general, index, writes, writes_memory};
use super::{HandlerError, Handlers};
use crate::cpython::{Interpreter, Version};
use crate::process::{Process, ReadMemory};
use crate::sites::{self, Price};

/// The eval function, by its names in all versions.
const EVAL: [&str; 2] = ["_PyEval_EvalFrameDefault", "PyEval_EvalFrameEx"];
/// What the eval function ends with from 3.6 to 3.10.
const CHECK_RESULT: &str = "_Py_CheckFunctionResult";

/// Instructions of the eval function at most, all handlers together (about 12,000).
const MAX_EVAL: usize = 200_000;
/// Instructions walked in one handler.
const MAX_WALK: usize = 200;
/// Instructions between a comparison and its branch.
const UNTIL_BRANCH: usize = 6;
/// Instructions from one check to the next.
const UNTIL_NEXT_CHECK: usize = 8;
/// Instructions of a handler until it stores its instruction.
const UNTIL_STORE: usize = 12;
/// Bytes of a function looked at to choose the instruction.
const CODE_WINDOW: usize = 4096;
/// The operand on top of the value stack.
const TOP: i64 = -8;

/// A place to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSite {
    pub role: Role,
    /// What it is a place of: a bytecode by its name in `opcode.h`, or what the interpreter's source calls it.
    pub form: String,
    /// Address of the instruction in the process.
    pub address: u64,
    pub frame: Register,
    pub value: ValueAt,
    /// The place is a branch, and what it is of only happens where the flags say "equal".
    pub if_equal: bool,
    pub price: Price,
}

/// Why runs of Python functions cannot be traced.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunsError {
    #[error(transparent)]
    Handlers(#[from] HandlerError),
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error("the interpreter does not export its eval function")]
    NotExported,
    #[error("the handler of {0} is not understood")]
    Handler(String),
    #[error("no registers are sure to have the frame and the value stack pointer")]
    Registers,
    #[error("it cannot be seen where runs of functions begin")]
    Begin,
    #[error("it cannot be seen where runs of functions end")]
    End,
    #[error("it cannot be seen where exceptions leave functions")]
    Unwind,
    #[error("the eval function cannot be probed: {0}")]
    Eval(#[from] sites::Refusal),
}

/// Finds all places; none is left out, since a beginning without its end would be a lie.
pub fn runs(process: &Process, interpreter: &Interpreter) -> Result<Vec<RunSite>, RunsError> {
    let version = interpreter.version();
    let opcodes = Opcodes::of(version).ok_or(HandlerError::Version(version))?;
    let handlers = Handlers::find(process, interpreter)?;
    let machine = Machine::of(process, interpreter, &functions())?;
    let eval = EVAL.iter().find_map(|name| machine.address(name));
    let finder = Finder {
        machine: &machine,
        opcodes,
        handlers: &handlers,
        eval: eval.ok_or(RunsError::NotExported)?,
    };
    finder.all(version, &interpreter.layout().offsets)
}

/// The exported functions that have to be known.
pub(super) fn functions() -> [&'static str; 3] {
    [EVAL[0], EVAL[1], CHECK_RESULT]
}

pub(super) struct Finder<'a> {
    pub machine: &'a Machine,
    pub opcodes: &'a Opcodes,
    pub handlers: &'a Handlers,
    /// Address of the eval function.
    pub eval: u64,
}

impl Finder<'_> {
    /// All places in a version whose fields are there.
    pub(super) fn all(&self, version: Version, offsets: &Offsets) -> Result<Vec<RunSite>, RunsError> {
        if offsets.frame_lasti != ABSENT {
            return self.by_eval(
                u64::from(offsets.current_frame),
                (version.major(), version.minor()) >= (3, 9),
                u64::from(offsets.frame_previous),
            );
        }
        let given = |offset: u16| (offset != ABSENT).then_some(u64::from(offset));
        self.by_frame(
            u64::from(offsets.frame_instr),
            given(offsets.frame_is_entry),
            given(offsets.co_instrumentation_version).map(|version| Checks {
                version,
                copy: given(offsets.frame_tlbc_index),
            }),
        )
    }

    /// All instructions that the handlers can come to, without what they call.
    fn region(&self) -> impl Iterator<Item = Instruction> {
        let starts = (0..=u8::MAX)
            .filter(|opcode| self.opcodes.is_assigned(*opcode))
            .map(|opcode| self.handlers.of(opcode));
        Region::of_all(self.machine, starts, MAX_EVAL, true).filter_map(|at| instruction(self.machine, at))
    }

    /// From 3.11 on. `frame_instruction`: where a frame has its instruction; `is_entry`: where it says that it was the first of
    /// a call of the eval function (3.11); `checks`: what `RESUME` looks at (3.12+).
    fn by_frame(
        &self,
        frame_instruction: u64,
        is_entry: Option<u64>,
        checks: Option<Checks>,
    ) -> Result<Vec<RunSite>, RunsError> {
        let stack = value_stack(self.machine, self.handlers, self.opcodes).ok_or(RunsError::Registers)?;
        let frame = self
            .frame_register(frame_instruction)
            .ok_or(RunsError::Registers)?;
        let eval = Loop {
            stack,
            frame,
            frame_instruction,
        };
        let mut sites: BTreeMap<u64, RunSite> = BTreeMap::new();
        let mut returning = HashSet::new();
        let mut clear = None;
        for opcode in 0..=u8::MAX {
            let Some(name) = self.opcodes.name(opcode) else {
                continue;
            };
            let Some(role) = role_of(name) else { continue };
            let handler = self.handlers.of(opcode);
            let site = match checks {
                Some(checks) if role == Role::Resume => self.checked(handler, name, checks, &eval),
                _ => self.place(handler, name, role, &eval),
            };
            let site = site.ok_or_else(|| RunsError::Handler(name.to_owned()))?;
            sites.entry(site.address).or_insert(site);
            if role != Role::Return {
                continue;
            }
            let own = match is_entry {
                Some(is_entry) => nearest(self.machine, handler, Registers::new(), MAX_WALK, |found, _| {
                    self.branches_by(found, is_entry)
                        .map(|(branch, _)| (branch, None))
                }),
                None => nearest(
                    self.machine,
                    handler,
                    Registers::new(),
                    MAX_WALK,
                    |found, registers| {
                        let is_call = found.flow_control() == FlowControl::Call;
                        let clears = is_call && registers.of(X86::RSI) == Some((frame, 0));
                        clears.then(|| (found.ip(), Some(found.near_branch_target())))
                    },
                ),
            };
            if let Some((at, target)) = own {
                returning.insert(at);
                clear = clear.or(target);
            }
        }
        for role in [Role::Resume, Role::Return, Role::Yield] {
            if !sites.values().any(|site| site.role == role) {
                return Err(if role == Role::Resume {
                    RunsError::Begin
                } else {
                    RunsError::End
                });
            }
        }
        let unwinding = match is_entry {
            Some(is_entry) => self.by_comparison(is_entry, &returning),
            None => self.by_call(clear.ok_or(RunsError::Unwind)?, &returning),
        };
        if unwinding.is_empty() {
            return Err(RunsError::Unwind);
        }
        let mut sites: Vec<RunSite> = sites.into_values().collect();
        sites.extend(unwinding);
        sites.push(self.throwing()?);
        Ok(sites)
    }

    /// The register that has the frame where handlers begin, by most of their stores of the instruction.
    fn frame_register(&self, frame_instruction: u64) -> Option<X86> {
        let mut votes: HashMap<X86, usize> = HashMap::new();
        for opcode in (0..=u8::MAX).filter(|opcode| self.opcodes.is_assigned(*opcode)) {
            let mut registers = Registers::new();
            for found in Straight::new(self.machine, self.handlers.of(opcode), UNTIL_STORE) {
                if let Some(register) = stores_at(&found, &registers, frame_instruction) {
                    *votes.entry(register).or_default() += 1;
                    break;
                }
                registers.step(&found);
            }
        }
        let all: usize = votes.values().sum();
        let (register, most) = votes.into_iter().max_by_key(|(_, votes)| *votes)?;
        (most * 4 > all * 3).then_some(register)
    }

    /// Where to probe a handler: the first instruction that the kernel emulates and at which everything is known, else the
    /// first of all.
    fn place(&self, handler: u64, name: &str, role: Role, eval: &Loop) -> Option<RunSite> {
        let is_constant = name.ends_with("RETURN_CONST");
        // The instruction tells which constant it is, and whether a frame begins.
        let needs_instruction = is_constant || role == Role::Resume;
        let mut state = State {
            registers: Registers::new(),
            stored: false,
            value: None,
        };
        let site = |address: u64, price: Price, state: &State| {
            let (frame, 0) = state.registers.holds(eval.frame)? else {
                return None;
            };
            let value = if role == Role::Resume {
                ValueAt::Nowhere
            } else if is_constant {
                ValueAt::Constant
            } else {
                state.value(eval)?
            };
            Some(RunSite {
                role,
                form: name.to_owned(),
                address,
                frame: Register::from_u8(frame as u8)?,
                value,
                if_equal: false,
                price,
            })
        };
        let first = instruction(self.machine, handler)?;
        let fallback = sites::price(&first, self.machine).and_then(|price| site(handler, price, &state));
        for found in Straight::new(self.machine, handler, MAX_WALK) {
            let ready = state.stored || !needs_instruction;
            if ready
                && sites::price(&found, self.machine) == Some(Price::Emulated)
                && let Some(site) = site(found.ip(), Price::Emulated, &state)
            {
                return Some(site);
            }
            if found.flow_control() != FlowControl::Next {
                break;
            }
            state.step(&found, eval);
        }
        fallback.filter(|_| !needs_instruction)
    }

    /// 3.12+: the last branch by which `RESUME` and its forms give the instruction back, to be begun anew: where the code's version
    /// of its instrumentation is not the thread's, and in free-threaded builds where the frame's copy of the code is not.
    fn checked(&self, handler: u64, name: &str, checks: Checks, eval: &Loop) -> Option<RunSite> {
        let first = self.comparison(handler, Registers::new(), checks.version, MAX_WALK)?;
        let last = checks.copy.and_then(|copy| {
            self.comparison(first.if_equal, first.registers.clone(), copy, UNTIL_NEXT_CHECK)
        });
        let branch = last.unwrap_or(first);
        let (frame, 0) = branch.registers.holds(eval.frame)? else {
            return None;
        };
        Some(RunSite {
            role: Role::Resume,
            form: name.to_owned(),
            address: branch.address,
            frame: Register::from_u8(frame as u8)?,
            value: ValueAt::Nowhere,
            if_equal: true,
            price: Price::Emulated,
        })
    }

    /// The nearest branch by whether a field of an object equals something.
    fn comparison(&self, at: u64, registers: Registers, field: u64, max: usize) -> Option<Branch> {
        // The register that the field was loaded to, and whether the flags are those of the comparison.
        let loaded: Cell<Option<X86>> = Cell::new(None);
        let compared = Cell::new(false);
        nearest(self.machine, at, registers, max, |found, registers| {
            let is_field = (0..found.op_count()).any(|n| found.op_kind(n) == OpKind::Memory)
                && found.memory_index() == X86::None
                && !matches!(found.memory_base(), X86::RSP | X86::RIP | X86::None)
                && found.memory_displacement64() == field;
            let uses = |register: X86| {
                (0..found.op_count()).any(|n| {
                    found.op_kind(n) == OpKind::Register
                        && found.op_register(n).full_register() == register.full_register()
                })
            };
            if found.mnemonic() == Mnemonic::Cmp {
                compared.set(is_field || loaded.get().is_some_and(uses));
                return None;
            }
            if found.flow_control() == FlowControl::ConditionalBranch {
                if !compared.replace(false) {
                    return None;
                }
                let if_equal = match found.condition_code() {
                    ConditionCode::e => found.near_branch_target(),
                    ConditionCode::ne => found.next_ip(),
                    _ => return None,
                };
                return Some(Branch {
                    address: found.ip(),
                    if_equal,
                    registers: registers.clone(),
                });
            }
            if found.rflags_modified() != 0 {
                compared.set(false);
            }
            if found.mnemonic() == Mnemonic::Mov && is_field && found.op0_kind() == OpKind::Register {
                loaded.set(Some(found.op0_register()));
            } else if loaded.get().is_some_and(|register| writes(found, register)) {
                loaded.set(None);
            }
            None
        })
    }

    /// Calls of the function that takes a frame off, apart from those where it returns.
    fn by_call(&self, clear: u64, returning: &HashSet<u64>) -> Vec<RunSite> {
        let (own, others): (Vec<u64>, Vec<u64>) = self
            .region()
            .filter(|found| found.flow_control() == FlowControl::Call && found.near_branch_target() == clear)
            .map(|found| found.ip())
            .partition(|at| !returning.contains(at));
        let calls = if own.is_empty() { others } else { own };
        calls.into_iter().map(|at| unwind(at, Register::Rsi)).collect()
    }

    /// 3.11: branches by whether the frame is the first one of a call of the eval function, apart from those where it returns.
    fn by_comparison(&self, is_entry: u64, returning: &HashSet<u64>) -> Vec<RunSite> {
        let branches = self
            .region()
            .filter_map(|found| self.branches_by(&found, is_entry));
        branches
            .filter(|(branch, _)| !returning.contains(branch))
            .map(|(branch, frame)| unwind(branch, frame))
            .collect()
    }

    /// Where the code branches by a byte of a frame, which an instruction compares with 0, and the register of the frame.
    fn branches_by(&self, found: &Instruction, field: u64) -> Option<(u64, Register)> {
        let compares = found.mnemonic() == Mnemonic::Cmp
            && found.op0_kind() == OpKind::Memory
            && found.memory_size().size() == 1
            && found.memory_index() == X86::None
            && found.memory_displacement64() == field;
        let frame = index(found.memory_base()).filter(|_| compares)?;
        for branch in Straight::new(self.machine, found.next_ip(), UNTIL_BRANCH) {
            if branch.flow_control() == FlowControl::ConditionalBranch {
                return Some((branch.ip(), Register::from_u8(frame as u8)?));
            }
            if writes(&branch, general(frame)) {
                return None;
            }
        }
        None
    }

    /// Where an exception is thrown into a generator.
    fn throwing(&self) -> Result<RunSite, RunsError> {
        let mut bytes = [0; CODE_WINDOW];
        self.machine
            .read(self.eval, &mut bytes)
            .map_err(|_| RunsError::NotExported)?;
        // `f(tstate, frame, throwflag)`, as if the flag was the number of arguments.
        let plan = sites::plan(&bytes, self.eval, Convention::FastCall, SelfKind::Module)?;
        Ok(RunSite {
            role: Role::Throw,
            form: "the eval function".to_owned(),
            address: self.eval + u64::from(plan.offset),
            frame: plan.registers[1],
            value: ValueAt::Register(plan.registers[2]),
            if_equal: false,
            price: plan.price,
        })
    }
}

fn unwind(address: u64, frame: Register) -> RunSite {
    RunSite {
        role: Role::Unwind,
        form: "exit_unwind".to_owned(),
        address,
        frame,
        value: ValueAt::Nowhere,
        if_equal: false,
        price: Price::Emulated,
    }
}

/// What a bytecode does to its frame.
fn role_of(name: &str) -> Option<Role> {
    let plain = name.strip_prefix("INSTRUMENTED_").unwrap_or(name);
    match plain {
        "RESUME" | "RESUME_QUICK" | "RESUME_CHECK" | "RESUME_CHECK_JIT" => Some(Role::Resume),
        "RETURN_VALUE" | "RETURN_CONST" => Some(Role::Return),
        "YIELD_VALUE" => Some(Role::Yield),
        _ => None,
    }
}

/// The register from whose first value the address is made, where an instruction writes a word of what may be a frame.
fn stores_at(instruction: &Instruction, registers: &Registers, offset: u64) -> Option<X86> {
    let stores = writes_memory(instruction)
        && instruction.mnemonic() == Mnemonic::Mov
        && instruction.memory_index() == X86::None
        && !matches!(instruction.memory_base(), X86::RSP | X86::RIP | X86::None)
        && instruction.memory_displacement64() == offset;
    match registers.of(instruction.memory_base()) {
        Some((from, 0)) if stores => Some(from),
        _ => None,
    }
}

/// Fields by which `RESUME` decides whether it goes on.
#[derive(Clone, Copy)]
struct Checks {
    /// `_co_instrumentation_version` of the code.
    version: u64,
    /// `tlbc_index` of the frame (free-threaded builds).
    copy: Option<u64>,
}

/// A branch by a comparison.
struct Branch {
    address: u64,
    /// Where it leads if both are equal.
    if_equal: u64,
    registers: Registers,
}

/// What is known of the eval loop before a handler is walked.
struct Loop {
    stack: X86,
    frame: X86,
    frame_instruction: u64,
}

/// What is known at an instruction of a handler.
struct State {
    registers: Registers,
    /// The frame knows the instruction.
    stored: bool,
    /// A register that holds what was on top of the value stack.
    value: Option<X86>,
}

impl State {
    fn step(&mut self, found: &Instruction, eval: &Loop) {
        self.stored |= stores_at(found, &self.registers, eval.frame_instruction) == Some(eval.frame);
        let from_stack = match self.registers.of(found.memory_base()) {
            Some((from, offset)) => {
                from == eval.stack && offset.wrapping_add(found.memory_displacement64() as i64) == TOP
            }
            None => false,
        };
        let loads = found.mnemonic() == Mnemonic::Mov
            && found.op0_kind() == OpKind::Register
            && found.op0_register().size() == 8
            && found.op1_kind() == OpKind::Memory
            && found.memory_index() == X86::None
            && from_stack;
        if self.value.is_some_and(|value| writes(found, value)) {
            self.value = None;
        }
        self.registers.step(found);
        if loads {
            self.value = self.value.or(Some(found.op0_register()));
        }
    }

    /// Where the object on top of the value stack is.
    fn value(&self, eval: &Loop) -> Option<ValueAt> {
        if let Some((register, offset)) = self.registers.holds(eval.stack)
            && offset % 8 == 0
            && let Ok(words @ -8..=7) = i8::try_from(offset / 8)
        {
            return Some(ValueAt::Stack(Register::from_u8(register as u8)?, words));
        }
        let register = index(self.value?)?;
        Some(ValueAt::Register(Register::from_u8(register as u8)?))
    }
}

/// The nearest instruction, by branches taken, that code comes to in at most `max` steps and `is` says so of; with what
/// is known of the registers there. Behind a call it goes on.
fn nearest<T>(
    machine: &Machine,
    start: u64,
    registers: Registers,
    max: usize,
    is: impl Fn(&Instruction, &Registers) -> Option<T>,
) -> Option<T> {
    let mut seen = HashSet::new();
    let mut ways = VecDeque::from([(start, registers)]);
    while let Some((mut at, mut registers)) = ways.pop_front() {
        while seen.len() < max && seen.insert(at) {
            let Some(found) = instruction(machine, at) else {
                break;
            };
            if let Some(answer) = is(&found, &registers) {
                return Some(answer);
            }
            at = match found.flow_control() {
                FlowControl::Next => {
                    registers.step(&found);
                    found.next_ip()
                }
                FlowControl::ConditionalBranch => {
                    ways.push_back((found.near_branch_target(), registers.clone()));
                    found.next_ip()
                }
                FlowControl::UnconditionalBranch => found.near_branch_target(),
                FlowControl::Call | FlowControl::IndirectCall => {
                    registers.called();
                    found.next_ip()
                }
                _ => break,
            };
        }
    }
    None
}
