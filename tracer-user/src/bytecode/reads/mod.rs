//! Where a read of a global is sure.
//!
//! `LOAD_GLOBAL` looks a name up, and pushes what it found on the frame's value stack. Before the push there is a branch
//! behind which nothing can fail any more: by whether anything was found, or whether what the cache knows is still true.
//! It is a conditional branch, which the kernel emulates, and its flags tell whether the read will be done. All forms of
//! the bytecode (Python/ceval.c to 3.11, Python/bytecodes.c after) are looked at together, since they jump into each other:
//!
//! - What they come to and other bytecodes do not is theirs. What is shared deals with errors, signals and failed checks.
//! - A *push* is a store of a register through the value stack pointer. 3.14+: `_PyEval_LoadGlobalStackRef` is given the
//!   pointer, and pushes; then the branch is the one that asks for what is there.
//! - An instruction is *sure* if all ways from it lead to a push.
//! - The places are the branches of which one side is sure and the other is not. Each read passes one of them, once, and
//!   what does no read (a name that is not there, a form that gives the instruction back or specialises it) passes none.

mod places;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use iced_x86::{FlowControl, Instruction, Register as X86};
use tracer_common::guard::{Read, Source};
use tracer_common::target::{ABSENT, Offsets};

use super::checks::{condition_of, value_stack};
use super::code::{Region, instruction};
use super::handlers::Handlers;
use super::opcodes::Opcodes;
use super::registers::{index, writes, writes_memory};
use crate::process::ReadMemory;
use places::Places;
use values::{Values, memory_source};

/// Instructions of all forms together; 372 were the most in 17 builds.
const MAX_OWN: usize = 4_000;
/// Instructions of another bytecode's handler.
const MAX_OTHER: usize = 2_000;
/// Instructions behind the last one that is not shared in which a push would be.
const MAX_BEHIND: usize = 64;
/// Instructions from all branches to the pushes behind them, on all ways.
const MAX_TO_PUSH: usize = 5_000;
/// Instructions from a comparison to its branch.
const UNTIL_BRANCH: usize = 8;

/// A branch, and what its flags and registers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadSite {
    /// Address of the branch.
    pub address: u64,
    pub condition: u8,
    pub source: Source,
}

impl ReadSite {
    /// `shifted`: the instruction's argument has a bit besides the name's index.
    pub(super) fn read(&self, shifted: bool) -> Read {
        Read {
            source: self.source,
            condition: self.condition,
            shifted,
        }
    }
}

/// Why reads of globals are not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the register with the value stack pointer is not known for sure")]
    Stack,
    #[error("its machine code is not understood")]
    Code,
    #[error("it ends where other bytecodes end too, so its reads cannot be told from theirs")]
    Shared,
    #[error("what it does on one way is not understood: reads could be missed")]
    Unknown,
    #[error("the value read is in no known place where the read becomes sure")]
    Value,
    #[error("where the read becomes sure, the frame's instruction is not the one that reads")]
    Instruction,
}

/// Which field of a frame has the running instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameField {
    /// `f_lasti` (to 3.10): stored before the handler begins, and for the next instruction at its end.
    Lasti(u64),
    /// `prev_instr` or `instr_ptr` (3.11+): stored by the handler.
    Instr(u64),
}

impl FrameField {
    pub(super) fn of(offsets: &Offsets) -> Self {
        match offsets.frame_lasti {
            ABSENT => Self::Instr(u64::from(offsets.frame_instr)),
            lasti => Self::Lasti(u64::from(lasti)),
        }
    }

    pub(super) fn offset(self) -> u64 {
        match self {
            Self::Lasti(offset) | Self::Instr(offset) => offset,
        }
    }
}

/// Finds the places for a bytecode whose forms `is_form` tells by their names.
pub(super) fn reads(
    memory: &impl ReadMemory,
    handlers: &Handlers,
    opcodes: &Opcodes,
    field: FrameField,
    is_form: impl Fn(&str) -> bool,
) -> Result<Vec<ReadSite>, ReadError> {
    let stack = value_stack(memory, handlers, opcodes).ok_or(ReadError::Stack)?;
    let of = |own: bool| {
        let is_form = &is_form;
        (0..=u8::MAX)
            .filter(move |opcode| opcodes.name(*opcode).is_some_and(|name| is_form(name) == own))
            .map(|opcode| handlers.of(opcode))
    };
    let forms: BTreeSet<u64> = of(true).collect();
    let others: HashSet<u64> = of(false)
        .flat_map(|handler| Region::new(memory, handler, MAX_OTHER, true))
        .collect();
    Graph::of(memory, &forms, &others, stack, field)?.reads(memory)
}

/// An instruction that no other bytecode comes to.
struct Node {
    instruction: Instruction,
    /// Where it goes on.
    next: Vec<u64>,
    /// It may go on to what is shared.
    leaves: Vec<u64>,
}

/// What is the bytecode's own, by address.
struct Graph {
    nodes: BTreeMap<u64, Node>,
    /// Where its forms begin.
    entries: Vec<u64>,
    /// The register that has the value stack pointer there.
    stack: X86,
    field: FrameField,
}

/// What is known before an instruction.
type States = HashMap<u64, Places>;
/// Branches whose side (its index) is behind a push that a callee did, and where that is.
type Filled = HashMap<(u64, usize), Source>;

impl Graph {
    fn of(
        memory: &impl ReadMemory,
        forms: &BTreeSet<u64>,
        others: &HashSet<u64>,
        stack: X86,
        field: FrameField,
    ) -> Result<Self, ReadError> {
        if forms.is_empty() || forms.iter().any(|form| others.contains(form)) {
            return Err(ReadError::Shared);
        }
        let mut nodes = BTreeMap::new();
        let mut waiting: Vec<u64> = forms.iter().copied().collect();
        while let Some(at) = waiting.pop() {
            if nodes.contains_key(&at) {
                continue;
            }
            if nodes.len() >= MAX_OWN {
                return Err(ReadError::Code);
            }
            let instruction = instruction(memory, at).ok_or(ReadError::Code)?;
            let (leaves, next): (Vec<u64>, Vec<u64>) = sides(&instruction)
                .into_iter()
                .partition(|side| others.contains(side));
            waiting.extend(&next);
            let node = Node {
                instruction,
                next,
                leaves,
            };
            nodes.insert(at, node);
        }
        Ok(Self {
            nodes,
            entries: forms.iter().copied().collect(),
            stack,
            field,
        })
    }

    fn reads(&self, memory: &impl ReadMemory) -> Result<Vec<ReadSite>, ReadError> {
        let states = self.states();
        let pushes = self.pushes(&states)?;
        let filled = self.filled(&states);
        self.no_way_is_missed(memory, &states, &pushes, &filled)?;
        self.each_read_pushes_once(&pushes, &filled)?;
        let sure = self.sure(&pushes, &filled);
        if self.entries.iter().any(|entry| sure.contains(entry)) {
            return Err(ReadError::Unknown);
        }
        let mut found = Vec::new();
        let mut left = MAX_TO_PUSH;
        for (at, node) in self.nodes.iter().filter(|(at, _)| !sure.contains(at)) {
            for (side, condition) in branches(&node.instruction) {
                let target = sides(&node.instruction)[side];
                let source = match filled.get(&(*at, side)) {
                    Some(source) => *source,
                    None if sure.contains(&target) => self.source(target, &pushes, &mut left)?,
                    None => continue,
                };
                if !states
                    .get(at)
                    .is_some_and(|state| state.is_own_instruction(self.field))
                {
                    return Err(ReadError::Instruction);
                }
                found.push(ReadSite {
                    address: *at,
                    condition: condition.ok_or(ReadError::Code)?,
                    source,
                });
            }
        }
        match found.is_empty() {
            true => Err(ReadError::Unknown),
            false => Ok(found),
        }
    }

    /// What is known before each instruction, whatever way was taken there.
    fn states(&self) -> States {
        let mut states: States = self
            .entries
            .iter()
            .map(|entry| (*entry, Places::new(self.stack)))
            .collect();
        let mut waiting: VecDeque<u64> = self.entries.iter().copied().collect();
        while let Some(at) = waiting.pop_front() {
            let (Some(node), Some(before)) = (self.nodes.get(&at), states.get(&at)) else {
                continue;
            };
            let mut after = before.clone();
            after.step(&node.instruction, self.field);
            for next in &node.next {
                let changed = match states.get_mut(next) {
                    // Less is known each time, so this ends.
                    Some(known) => known.meet(&after),
                    None => states.insert(*next, after.clone()).is_none(),
                };
                if changed {
                    waiting.push_back(*next);
                }
            }
        }
        states
    }

    /// Where a register is stored on the value stack.
    fn pushes(&self, states: &States) -> Result<HashSet<u64>, ReadError> {
        let mut pushes = HashSet::new();
        for (at, node) in &self.nodes {
            let Some(state) = states.get(at) else { continue };
            match state.pushes(&node.instruction) {
                // The bytecode takes nothing from the stack.
                Some(offset) if offset.is_some_and(|offset| offset < 0) => return Err(ReadError::Code),
                Some(_) => {
                    pushes.insert(*at);
                }
                None => {}
            }
        }
        Ok(pushes)
    }

    /// 3.14+: `if (PyStackRef_IsNull(*res)) ERROR_NO_POP();`, where a callee was given the end of the value stack.
    fn filled(&self, states: &States) -> Filled {
        let mut filled = Filled::new();
        let ways = self.ways_to();
        for (at, node) in &self.nodes {
            let asks = states.get(at).is_some_and(|state| {
                state.is_given() && state.compares(&node.instruction) == Some((self.stack, 0))
            });
            let Some(source) = compared(&node.instruction).filter(|_| asks) else {
                continue;
            };
            let Some(branch) = self.branch_by(&node.instruction, &ways) else {
                continue;
            };
            for (side, condition) in branches(branch) {
                if condition == Some(NOT_EQUAL) {
                    filled.insert((branch.ip(), side), source);
                }
            }
        }
        filled
    }

    /// From how many instructions each one is come to.
    fn ways_to(&self) -> HashMap<u64, usize> {
        let mut ways = HashMap::new();
        for next in self.nodes.values().flat_map(|node| &node.next) {
            *ways.entry(*next).or_default() += 1;
        }
        ways
    }

    /// The branch by the flags of a comparison with a word in memory, if nothing else comes there and the word is still found.
    fn branch_by(&self, compares: &Instruction, ways: &HashMap<u64, usize>) -> Option<&Instruction> {
        let mut at = compares.next_ip();
        for _ in 0..UNTIL_BRANCH {
            let found = &self.nodes.get(&at)?.instruction;
            if ways.get(&at) != Some(&1) {
                return None;
            }
            if found.flow_control() == FlowControl::ConditionalBranch {
                return Some(found);
            }
            let is_harmless = found.flow_control() == FlowControl::Next
                && found.rflags_modified() == 0
                && !writes_memory(found)
                && !writes(found, compares.memory_base());
            if !is_harmless {
                return None;
            }
            at = found.next_ip();
        }
        None
    }

    /// The instructions from which all ways lead to a push.
    fn sure(&self, pushes: &HashSet<u64>, filled: &Filled) -> HashSet<u64> {
        let mut sure = pushes.clone();
        loop {
            let before = sure.len();
            // Most ways lead to higher addresses.
            for (at, node) in self.nodes.iter().rev() {
                let sides = sides(&node.instruction);
                let mut all = sides.iter().enumerate();
                if !sides.is_empty()
                    && all.all(|(n, side)| sure.contains(side) || filled.contains_key(&(*at, n)))
                {
                    sure.insert(*at);
                }
            }
            if sure.len() == before {
                return sure;
            }
        }
    }

    /// Fails where a way without a push may do a read nevertheless: it leaves with a value stack that is longer, or
    /// unknown, or it leaves to a push that is shared.
    fn no_way_is_missed(
        &self,
        memory: &impl ReadMemory,
        states: &States,
        pushes: &HashSet<u64>,
        filled: &Filled,
    ) -> Result<(), ReadError> {
        let mut seen = HashSet::new();
        let mut waiting = self.entries.clone();
        while let Some(at) = waiting.pop() {
            let Some(node) = self
                .nodes
                .get(&at)
                .filter(|_| !pushes.contains(&at) && seen.insert(at))
            else {
                continue;
            };
            let state = states.get(&at).ok_or(ReadError::Code)?;
            if node.instruction.flow_control() == FlowControl::IndirectBranch
                && state.of(self.stack) != Some((self.stack, 0))
            {
                return Err(ReadError::Unknown);
            }
            if !node.leaves.is_empty() {
                let mut after = state.clone();
                after.step(&node.instruction, self.field);
                if after.is_longer() {
                    return Err(ReadError::Unknown);
                }
                if node
                    .leaves
                    .iter()
                    .any(|side| may_push(memory, *side, &after, self.field))
                {
                    return Err(ReadError::Shared);
                }
            }
            let sides = sides(&node.instruction).into_iter().enumerate();
            waiting.extend(
                sides
                    .filter(|(n, _)| !filled.contains_key(&(at, *n)))
                    .map(|(_, side)| side),
            );
        }
        Ok(())
    }

    /// Fails where a push may follow another one: the branch between them would make two reads of one.
    fn each_read_pushes_once(&self, pushes: &HashSet<u64>, filled: &Filled) -> Result<(), ReadError> {
        let behind = |at: &u64| self.nodes.get(at).into_iter().flat_map(|node| &node.next);
        let by_callee = filled.keys().filter_map(|(at, side)| {
            let node = self.nodes.get(at)?;
            sides(&node.instruction).get(*side).copied()
        });
        let mut waiting: Vec<u64> = pushes.iter().flat_map(behind).copied().collect();
        waiting.extend(by_callee);
        let mut seen = HashSet::new();
        while let Some(at) = waiting.pop() {
            if pushes.contains(&at) {
                return Err(ReadError::Unknown);
            }
            if seen.insert(at) {
                waiting.extend(behind(&at));
            }
        }
        Ok(())
    }

    /// Where the value is behind a branch, by what the pushes that follow store.
    fn source(&self, start: u64, pushes: &HashSet<u64>, left: &mut usize) -> Result<Source, ReadError> {
        let mut found = None;
        let mut ways = vec![(start, Values::new())];
        while let Some((at, mut values)) = ways.pop() {
            *left = left.checked_sub(1).ok_or(ReadError::Code)?;
            let node = self.nodes.get(&at).ok_or(ReadError::Code)?;
            if !pushes.contains(&at) {
                values.step(&node.instruction);
                ways.extend(node.next.iter().map(|next| (*next, values.clone())));
                continue;
            }
            let stored = values
                .source(node.instruction.op1_register())
                .ok_or(ReadError::Value)?;
            if *found.get_or_insert(stored) != stored {
                return Err(ReadError::Value);
            }
        }
        found.ok_or(ReadError::Value)
    }
}

/// `jne`, as x86-64 encodes it.
const NOT_EQUAL: u8 = 5;

/// Where an instruction goes on: a branch's target first.
fn sides(instruction: &Instruction) -> Vec<u64> {
    match instruction.flow_control() {
        FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => vec![instruction.next_ip()],
        FlowControl::ConditionalBranch => vec![instruction.near_branch_target(), instruction.next_ip()],
        FlowControl::UnconditionalBranch => vec![instruction.near_branch_target()],
        _ => Vec::new(),
    }
}

/// The sides of a conditional branch, by their index in [`sides`], with the condition under which they are taken.
fn branches(instruction: &Instruction) -> impl Iterator<Item = (usize, Option<u8>)> {
    let is_branch = instruction.flow_control() == FlowControl::ConditionalBranch;
    let taken = condition_of(instruction);
    [(0, taken), (1, taken.map(|condition| condition ^ 1))]
        .into_iter()
        .filter(move |_| is_branch)
}

/// Whether code that is shared pushes soon.
fn may_push(memory: &impl ReadMemory, start: u64, state: &Places, field: FrameField) -> bool {
    let mut seen = HashSet::new();
    let mut ways = VecDeque::from([(start, state.clone())]);
    while let Some((at, mut state)) = ways.pop_front().filter(|_| seen.len() < MAX_BEHIND) {
        let Some(found) = instruction(memory, at).filter(|_| seen.insert(at)) else {
            continue;
        };
        if state.pushes(&found).is_some() {
            return true;
        }
        state.step(&found, field);
        ways.extend(sides(&found).into_iter().map(|side| (side, state.clone())));
    }
    false
}

/// Where the word is that an instruction compares.
fn compared(instruction: &Instruction) -> Option<Source> {
    let offset = instruction.memory_displacement64() as i64;
    memory_source(index(instruction.memory_base())?, offset)
}

#[cfg(test)]
mod tests;
