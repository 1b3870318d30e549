//! Where each opcode's handler is, in a stripped build too.
//!
//! A build with computed gotos has a table of 256 code addresses (`opcode_targets` in Python/opcode_targets.h;
//! 3.14+ built with tail calls: `instruction_funcptr_handler_table`), a local symbol at best. Its shape tells it:
//! 256 words in a row that point into the interpreter's code, where the opcodes which that version does not have
//! all point to one place, and no opcode which it has points there.

use std::collections::HashSet;
use std::ops::Range;

use super::opcodes::Opcodes;
use crate::cpython::{Interpreter, Version};
use crate::process::{Mapping, Process, ReadMemory};

/// One address for each value of a byte.
const TARGETS: usize = 256;
const WORD: usize = size_of::<u64>();
/// An interpreter's code is in one mapping, or in two.
const MAX_CODE_MAPPINGS: usize = 64;
/// Constants of an interpreter are a few MiB.
const MAX_DATA: u64 = 64 << 20;
/// Handlers that must be in different places: each version has more than 100 opcodes (2.7: 118), and
/// few of them share code.
const MIN_DISTINCT: usize = 100;
/// Compilers align functions so, and not the labels inside them.
const FUNCTION_ALIGNMENT: u64 = 16;

/// Why there are no handlers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    #[error("the opcodes of Python {0} are not known")]
    Version(Version),
    #[error(
        "the interpreter's loop has no table of handlers: it was built without computed gotos (by MSVC, or \
         --without-computed-gotos), so bytecodes cannot be told apart"
    )]
    NoTable,
    #[error("the interpreter has {0} tables that look like that of its handlers: refusing to guess")]
    Ambiguous(usize),
    #[error("the interpreter's constants cannot be read: {0}")]
    Memory(#[from] crate::process::ReadError),
}

/// How the interpreter goes from one opcode to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// Handlers are labels in one function.
    ComputedGoto,
    /// Handlers are functions that end with a jump to the next one (3.14+, clang).
    TailCalls,
}

/// The handlers of an interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handlers {
    /// Address of the table in the process.
    pub table: u64,
    pub dispatch: Dispatch,
    targets: Vec<u64>,
}

impl Handlers {
    /// Finds the table in the interpreter's own file.
    pub fn find(process: &Process, interpreter: &Interpreter) -> Result<Self, HandlerError> {
        let version = interpreter.version();
        let opcodes = Opcodes::of(version).ok_or(HandlerError::Version(version))?;
        let library = interpreter.library();
        let own = |mapping: &&Mapping| mapping.dev == library.dev && mapping.inode == library.inode;
        let maps = || process.maps().iter().filter(own);
        let code: Vec<Range<u64>> = maps()
            .filter(|mapping| mapping.executable())
            .map(|mapping| mapping.start..mapping.end)
            .take(MAX_CODE_MAPPINGS)
            .collect();
        let mut found = Vec::new();
        let mut left = MAX_DATA;
        for data in maps().filter(|mapping| mapping.readable() && !mapping.executable()) {
            let len = (data.end - data.start).min(left);
            left -= len;
            let bytes = process.read_bytes(data.start, len as usize)?;
            found.extend(tables(&bytes, data.start, &code, opcodes));
        }
        match found.len() {
            0 => Err(HandlerError::NoTable),
            1 => Ok(found.remove(0)),
            many => Err(HandlerError::Ambiguous(many)),
        }
    }

    /// Those of no interpreter.
    #[cfg(any(test, fuzzing))]
    pub(super) fn made_up(targets: [u64; TARGETS]) -> Self {
        Self {
            table: 0,
            dispatch: dispatch(&targets),
            targets: targets.to_vec(),
        }
    }

    /// Address of an opcode's handler.
    pub fn of(&self, opcode: u8) -> u64 {
        self.targets[usize::from(opcode)]
    }
}

/// The tables in `bytes`, which are at `start` in the process.
pub(super) fn tables(bytes: &[u8], start: u64, code: &[Range<u64>], opcodes: &Opcodes) -> Vec<Handlers> {
    let words: Vec<u64> = bytes
        .as_chunks::<WORD>()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .collect();
    let mut found = Vec::new();
    let mut run = 0;
    for (end, word) in words.iter().enumerate() {
        let is_code = code.iter().any(|range| range.contains(word));
        run = if is_code { run + 1 } else { 0 };
        let Some(first) = (end + 1).checked_sub(TARGETS).filter(|_| run >= TARGETS) else {
            continue;
        };
        let targets = &words[first..=end];
        if is_table(targets, opcodes) {
            found.push(Handlers {
                table: start + (first * WORD) as u64,
                dispatch: dispatch(targets),
                targets: targets.to_vec(),
            });
        }
    }
    found
}

fn is_table(targets: &[u64], opcodes: &Opcodes) -> bool {
    let of = |assigned: bool| {
        (0..=u8::MAX)
            .zip(targets)
            .filter(move |(opcode, _)| opcodes.is_assigned(*opcode) == assigned)
            .map(|(_, target)| *target)
    };
    let mut unassigned = of(false);
    // Every version has some.
    let Some(unknown) = unassigned.next() else {
        return false;
    };
    unassigned.all(|target| target == unknown)
        && of(true).all(|target| target != unknown)
        && of(true).collect::<HashSet<_>>().len() >= MIN_DISTINCT
}

fn dispatch(targets: &[u64]) -> Dispatch {
    match targets.iter().all(|target| target % FUNCTION_ALIGNMENT == 0) {
        true => Dispatch::TailCalls,
        false => Dispatch::ComputedGoto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: Range<u64> = 0x1000..0x9000;

    fn opcodes() -> &'static Opcodes {
        Opcodes::of(Version::of_minor(3, 8)).unwrap()
    }

    /// What a table looks like: `spread` bytes between handlers.
    fn table(spread: u64) -> Vec<u64> {
        (0..=u8::MAX)
            .map(|opcode| match opcodes().is_assigned(opcode) {
                true => 0x1010 + u64::from(opcode) * spread,
                false => 0x8000,
            })
            .collect()
    }

    fn found(words: &[u64]) -> Vec<Handlers> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        tables(&bytes, 0x10_0000, &[CODE], opcodes())
    }

    #[test]
    fn a_table_among_other_pointers_is_found_once() {
        // Pointers into the code before and after it, as other tables are.
        let mut words = vec![7, 0x1111, 0x2222];
        words.extend(table(21));
        words.extend([0x1111, 0x8000, 9]);
        let found = found(&words);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].table, 0x10_0000 + 3 * 8);
        assert_eq!(found[0].dispatch, Dispatch::ComputedGoto);
        assert_eq!(found[0].of(95), 0x1010 + 95 * 21);
    }

    #[test]
    fn functions_are_told_from_labels() {
        assert_eq!(found(&table(32))[0].dispatch, Dispatch::TailCalls);
    }

    #[test]
    fn what_is_no_table_is_not_taken() {
        let good = table(21);
        // An opcode more, an opcode less, a pointer elsewhere, all opcodes in one place, too short.
        let mut more = good.clone();
        more[0] = 0x1001;
        let mut less = good.clone();
        less[95] = 0x8000;
        let mut elsewhere = good.clone();
        elsewhere[3] = 0x9000;
        let same: Vec<u64> = good
            .iter()
            .map(|t| if *t == 0x8000 { *t } else { 0x1010 })
            .collect();
        for wrong in [&more, &less, &elsewhere, &same, &good[1..].to_vec()] {
            assert_eq!(found(wrong), []);
        }
    }
}
