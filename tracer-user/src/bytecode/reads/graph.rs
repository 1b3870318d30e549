//! The code of a bytecode's forms that is their own, and what is known of registers and stack in it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use iced_x86::{FlowControl, Instruction, Register as X86};

use super::places::Places;
use super::{FrameField, MAX_OWN, ReadError, UNTIL_BRANCH};
use crate::bytecode::checks::condition_of;
use crate::bytecode::code::instruction;
use crate::bytecode::registers::{writes, writes_memory};
use crate::process::ReadMemory;

/// An instruction that no other bytecode comes to.
pub(super) struct Node {
    pub(super) instruction: Instruction,
    /// Where it goes on.
    pub(super) next: Vec<u64>,
    /// It may go on to what is shared.
    pub(super) leaves: Vec<u64>,
}

/// What is the bytecode's own, by address.
pub(super) struct Graph {
    pub(super) nodes: BTreeMap<u64, Node>,
    /// Where its forms begin.
    pub(super) entries: Vec<u64>,
    /// The register that has the value stack pointer there.
    pub(super) stack: X86,
    pub(super) field: FrameField,
}

/// What is known before an instruction.
pub(super) type States = HashMap<u64, Places>;

impl Graph {
    pub(super) fn of(
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

    /// What is known before each instruction, whatever way was taken there.
    pub(super) fn states(&self) -> States {
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

    /// From how many instructions each one is come to.
    pub(super) fn ways_to(&self) -> HashMap<u64, usize> {
        let mut ways = HashMap::new();
        for next in self.nodes.values().flat_map(|node| &node.next) {
            *ways.entry(*next).or_default() += 1;
        }
        ways
    }

    /// The branch by the flags of a comparison with a word in memory, if nothing else comes there and the word is still found.
    pub(super) fn branch_by(
        &self,
        compares: &Instruction,
        ways: &HashMap<u64, usize>,
    ) -> Option<&Instruction> {
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
}

/// Where an instruction goes on: a branch's target first.
pub(super) fn sides(instruction: &Instruction) -> Vec<u64> {
    match instruction.flow_control() {
        FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => vec![instruction.next_ip()],
        FlowControl::ConditionalBranch => vec![instruction.near_branch_target(), instruction.next_ip()],
        FlowControl::UnconditionalBranch => vec![instruction.near_branch_target()],
        _ => Vec::new(),
    }
}

/// The sides of a conditional branch, by their index in [`sides`], with the condition under which they are taken.
pub(super) fn branches(instruction: &Instruction) -> impl Iterator<Item = (usize, Option<u8>)> {
    let is_branch = instruction.flow_control() == FlowControl::ConditionalBranch;
    let taken = condition_of(instruction);
    [(0, taken), (1, taken.map(|condition| condition ^ 1))]
        .into_iter()
        .filter(move |_| is_branch)
}
