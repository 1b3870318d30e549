//! Which branches make a read sure, and whether each read passes exactly one of them.

use std::collections::{HashMap, HashSet, VecDeque};

use iced_x86::{FlowControl, Instruction};
use tracer_common::guard::Source;

use super::graph::{Graph, States, branches, sides};
use super::places::Places;
use super::values::{Values, memory_source};
use super::{FrameField, MAX_BEHIND, MAX_TO_PUSH, ReadError, ReadSite};
use crate::bytecode::code::instruction;
use crate::bytecode::registers::index;
use crate::process::ReadMemory;

/// Branches whose side (its index) is behind a push that a callee did, and where that is.
type Filled = HashMap<(u64, usize), Source>;

/// `jne`, as x86-64 encodes it.
pub(super) const NOT_EQUAL: u8 = 5;

impl Graph {
    pub(super) fn reads(&self, memory: &impl ReadMemory) -> Result<Vec<ReadSite>, ReadError> {
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
