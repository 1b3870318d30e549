//! The interpreter's machine code, and which of its exported functions a `call` calls.
//!
//! It is read from the file, not from the process: there, a breakpoint of this or another tool may be in it.

use std::collections::HashMap;
use std::os::unix::fs::FileExt as _;

use iced_x86::{Instruction, OpKind, Register as X86};
use object::{Object, ObjectSymbol, ObjectSymbolTable, ReadCacheOps, RelocationTarget};

use crate::cpython::{Elf, ElfBytes, Interpreter, load_bias};
use crate::process::{Process, ReadError, ReadMemory};

use super::code::instruction;

/// The code of an interpreter is a few MiB.
const MAX_CODE: u64 = 128 << 20;
/// libpython has about 2,000 symbols and 10,000 relocations.
const MAX_ENTRIES: usize = 1_000_000;

/// Why the code cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    #[error("the interpreter's file cannot be read: {0}")]
    File(String),
    #[error("the interpreter's file is not understood")]
    Elf,
}

/// The code of the file that holds the interpreter.
pub struct Machine {
    /// Address in the process, and what is there.
    parts: Vec<(u64, Vec<u8>)>,
    /// Exported functions asked for, by address.
    functions: HashMap<u64, &'static str>,
    /// The words that stubs jump by, by address, for those functions.
    slots: HashMap<u64, &'static str>,
}

impl Machine {
    /// `wanted`: the functions that [`Self::called`] is to know.
    pub fn of(
        process: &Process,
        interpreter: &Interpreter,
        wanted: &[&'static str],
    ) -> Result<Self, MachineError> {
        let library = interpreter.library();
        let unreadable = |error: &dyn std::fmt::Display| MachineError::File(error.to_string());
        let file = process
            .open_mapping(library)
            .map_err(|error| unreadable(&error))?;
        let mut parts = Vec::new();
        let mut left = MAX_CODE;
        for mapping in process.maps() {
            if (mapping.dev, mapping.inode) != (library.dev, library.inode) || !mapping.executable() {
                continue;
            }
            let len = (mapping.end - mapping.start).min(left);
            left -= len;
            let mut bytes = vec![0; len as usize];
            let read = file
                .read_at(&mut bytes, mapping.offset)
                .map_err(|error| unreadable(&error))?;
            bytes.truncate(read);
            parts.push((mapping.start, bytes));
        }
        let file = ElfBytes::new(file);
        let elf = file.elf().ok_or(MachineError::Elf)?;
        let bias = load_bias(&elf, library).ok_or(MachineError::Elf)?;
        Ok(Self::new(parts, &elf, bias, wanted))
    }

    /// `parts`: addresses in the process, and the code there; `bias`: what to add to the file's addresses.
    pub(super) fn new<R: ReadCacheOps>(
        parts: Vec<(u64, Vec<u8>)>,
        elf: &Elf<'_, R>,
        bias: u64,
        wanted: &[&'static str],
    ) -> Self {
        let known = |name: &str| wanted.iter().find(|wanted| **wanted == name).copied();
        let mut functions = HashMap::new();
        for symbol in elf.dynamic_symbols().take(MAX_ENTRIES) {
            if !symbol.is_undefined()
                && let Some(name) = symbol.name().ok().and_then(known)
            {
                functions.insert(symbol.address().wrapping_add(bias), name);
            }
        }
        let mut slots = HashMap::new();
        let symbols = elf.dynamic_symbol_table();
        for (offset, relocation) in elf.dynamic_relocations().into_iter().flatten().take(MAX_ENTRIES) {
            let RelocationTarget::Symbol(index) = relocation.target() else {
                continue;
            };
            let symbol = symbols
                .as_ref()
                .and_then(|symbols| symbols.symbol_by_index(index).ok());
            if let Some(name) = symbol.and_then(|symbol| symbol.name().ok().and_then(known)) {
                slots.insert(offset.wrapping_add(bias), name);
            }
        }
        Self {
            parts,
            functions,
            slots,
        }
    }

    /// Code at an address, without a file.
    #[cfg(any(test, fuzzing))]
    pub(super) fn made_up(
        at: u64,
        code: &[u8],
        functions: HashMap<u64, &'static str>,
        slots: HashMap<u64, &'static str>,
    ) -> Self {
        Self {
            parts: vec![(at, code.to_vec())],
            functions,
            slots,
        }
    }

    /// Where one of the functions begins, if this file has it.
    pub fn address(&self, function: &str) -> Option<u64> {
        let mut functions = self.functions.iter();
        functions.find_map(|(address, name)| (*name == function).then_some(*address))
    }

    /// Which of the functions a `call` calls: by its address, by a stub of the procedure linkage table
    /// (System V ABI), or by the word that such a stub jumps by.
    pub fn called(&self, call: &Instruction) -> Option<&'static str> {
        if let Some(slot) = indirect(call) {
            return self.slots.get(&slot).copied();
        }
        if call.op0_kind() != OpKind::NearBranch64 {
            return None;
        }
        let target = call.near_branch_target();
        self.functions
            .get(&target)
            .copied()
            .or_else(|| self.of_stub(target))
    }

    /// `[endbr64;] [bnd] jmp *slot(%rip)`.
    fn of_stub(&self, at: u64) -> Option<&'static str> {
        let mut stub = instruction(self, at)?;
        if stub.mnemonic() == iced_x86::Mnemonic::Endbr64 {
            stub = instruction(self, stub.next_ip())?;
        }
        if stub.mnemonic() != iced_x86::Mnemonic::Jmp {
            return None;
        }
        self.slots.get(&indirect(&stub)?).copied()
    }
}

/// The address of the word by which an instruction jumps or calls.
fn indirect(instruction: &Instruction) -> Option<u64> {
    let is_word = instruction.op0_kind() == OpKind::Memory && instruction.memory_base() == X86::RIP;
    is_word.then(|| instruction.memory_displacement64())
}

impl ReadMemory for Machine {
    fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let found = self.parts.iter().find_map(|(start, bytes)| {
            let into = usize::try_from(addr.checked_sub(*start)?).ok()?;
            bytes.get(into..into.checked_add(out.len())?)
        });
        match found {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(ReadError { addr, len: out.len() }),
        }
    }
}
