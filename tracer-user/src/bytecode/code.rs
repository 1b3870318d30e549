//! Machine code of the interpreter, instruction by instruction.

use std::collections::{HashSet, VecDeque};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};

use crate::process::ReadMemory;

/// No instruction of x86-64 is longer.
const MAX_LEN: usize = 15;

/// The instruction at an address.
pub(super) fn instruction(memory: &impl ReadMemory, at: u64) -> Option<Instruction> {
    let mut bytes = [0; MAX_LEN];
    memory.read(at, &mut bytes).ok()?;
    let mut decoder = Decoder::with_ip(64, &bytes, at, DecoderOptions::NONE);
    let instruction = decoder.decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// The addresses that can be reached from an instruction in its function, nearest branches first.
pub(super) struct Region<'a, M> {
    memory: &'a M,
    seen: HashSet<u64>,
    waiting: VecDeque<u64>,
    at: Option<u64>,
    max: usize,
    calls: bool,
}

impl<'a, M: ReadMemory> Region<'a, M> {
    /// At most `max` instructions; `calls`: those behind calls too.
    pub(super) fn new(memory: &'a M, start: u64, max: usize, calls: bool) -> Self {
        Self {
            memory,
            seen: HashSet::new(),
            waiting: VecDeque::new(),
            at: Some(start),
            max,
            calls,
        }
    }

    /// The same from many instructions.
    pub(super) fn of_all(memory: &'a M, starts: impl Iterator<Item = u64>, max: usize, calls: bool) -> Self {
        Self {
            memory,
            seen: HashSet::new(),
            waiting: starts.collect(),
            at: None,
            max,
            calls,
        }
    }

    /// Where the way goes on behind the instruction at an address; branches wait.
    fn behind(&mut self, at: u64) -> Option<u64> {
        let instruction = instruction(self.memory, at)?;
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::Call | FlowControl::IndirectCall if self.calls => {}
            FlowControl::ConditionalBranch => self.waiting.push_back(instruction.near_branch_target()),
            FlowControl::UnconditionalBranch => {
                self.waiting.push_back(instruction.near_branch_target());
                return None;
            }
            _ => return None,
        }
        Some(instruction.next_ip())
    }
}

impl<M: ReadMemory> Iterator for Region<'_, M> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        loop {
            let at = match self.at.take() {
                Some(at) => at,
                None => self.waiting.pop_front()?,
            };
            if self.seen.len() >= self.max {
                return None;
            }
            if self.seen.insert(at) {
                self.at = self.behind(at);
                return Some(at);
            }
        }
    }
}

/// Instructions one behind the other, until one does not go on.
pub(super) struct Straight<'a, M> {
    memory: &'a M,
    at: Option<u64>,
    left: usize,
}

impl<'a, M: ReadMemory> Straight<'a, M> {
    pub(super) fn new(memory: &'a M, at: u64, left: usize) -> Self {
        Self {
            memory,
            at: Some(at),
            left,
        }
    }
}

impl<M: ReadMemory> Iterator for Straight<'_, M> {
    type Item = Instruction;

    fn next(&mut self) -> Option<Instruction> {
        self.left = self.left.checked_sub(1)?;
        let instruction = instruction(self.memory, self.at.take()?)?;
        if matches!(
            instruction.flow_control(),
            FlowControl::Next | FlowControl::ConditionalBranch
        ) {
            self.at = Some(instruction.next_ip());
        }
        Some(instruction)
    }
}
