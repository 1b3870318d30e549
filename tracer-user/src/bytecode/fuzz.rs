//! The analysis of handlers, over code that anyone may have written.

use std::collections::HashMap;
use std::ops::Range;

use object::ReadCacheOps;

use super::machine::Machine;
use super::operations::{self, OPERATIONS, Operands, Operation};
use super::plan::Eval;
use super::reads::FrameField;
use super::runs::Finder;
use super::{Handlers, handlers, opcodes::Opcodes};
use crate::cpython::{Elf, Version, layout::Layout};
use crate::fuzzing::input::Input;

/// Where the code is.
const CODE: u64 = 0x40_0000;
/// Functions and words that stubs jump by, at most.
const MAX_NAMED: u8 = 16;

#[cfg(test)]
pub(crate) use super::reads::seed::seed as seed_of_reads;

/// Of functions that handlers call.
pub(super) fn names() -> Vec<&'static str> {
    let mut names = operations::functions();
    names.extend(super::runs::functions());
    names
}

/// The input: a function's place and name, more of them, where each handler begins, and the code. Everything that is found
/// has to be in that code. How many reads were found.
pub(crate) fn handlers_of(version: Version, free_threaded: bool, input: &mut Input<'_>) -> usize {
    let (Some(opcodes), Some(layout)) = (Opcodes::of(version), Layout::of(version, free_threaded)) else {
        return 0;
    };
    let names = names();
    let eval = CODE + u64::from(input.u16());
    let mut named = [HashMap::new(), HashMap::new()];
    for _ in 0..input.u8().min(MAX_NAMED) {
        let place = usize::from(input.u8() & 1);
        named[place].insert(CODE + u64::from(input.u16()), input.one_of(&names));
    }
    let [functions, slots] = named;
    let targets = std::array::from_fn(|_| CODE + u64::from(input.u16()));
    let code = input.rest();
    let within = CODE..CODE + code.len() as u64;
    let machine = || Machine::made_up(CODE, code, functions.clone(), slots.clone());
    let handlers = Handlers::made_up(targets);
    let finder = Finder {
        machine: &machine(),
        opcodes,
        handlers: &handlers,
        eval,
    };
    for site in finder.all(version, &layout.offsets).into_iter().flatten() {
        assert!(within.contains(&site.address), "{site:x?}");
    }
    let operations: Vec<&Operation> = OPERATIONS
        .iter()
        .filter(|operation| operation.is_in(opcodes))
        .collect();
    let eval = Eval::new(opcodes, handlers, machine(), FrameField::of(&layout.offsets));
    let mut reads = 0;
    for planned in eval.plan(&operations) {
        for site in planned.sites.into_iter().flatten() {
            assert!(within.contains(&site.address), "{site:x?}");
            reads += usize::from(site.operation.operands == Operands::Read);
        }
    }
    reads
}

/// Looks for tables of handlers.
pub(crate) fn tables(version: Version, data: &[u8]) {
    const START: u64 = 0x60_0000;
    let Some(opcodes) = Opcodes::of(version) else {
        return;
    };
    let code: [Range<u64>; 2] = [CODE..CODE + 0x1_0000, CODE + 0x2_0000..CODE + 0x3_0000];
    for found in handlers::tables(data, START, &code, opcodes) {
        assert!((START..START + data.len() as u64).contains(&found.table));
        assert!((0..=u8::MAX).all(|opcode| code.iter().any(|range| range.contains(&found.of(opcode)))));
    }
}

/// Which of the functions that do the work of bytecodes a file has.
pub(crate) fn named<R: ReadCacheOps>(elf: &Elf<'_, R>, bias: u64) {
    let _ = Machine::new(Vec::new(), elf, bias, &operations::functions());
}

/// A table of handlers as [`tables`] looks for them.
#[cfg(test)]
pub(crate) fn table(version: Version) -> Vec<u64> {
    let opcodes = Opcodes::of(version).expect("a version");
    (0..=u8::MAX)
        .map(|opcode| match opcodes.is_assigned(opcode) {
            true => CODE + 0x10 + u64::from(opcode) * 21,
            false => CODE + 0x8000,
        })
        .collect()
}

/// Handlers of a real interpreter, as [`handlers_of`] takes them: the beginning of the eval function and of those handlers that
/// are looked at, calls of known functions led to where these are here. `None`: it has none.
#[cfg(test)]
pub(crate) fn seed(
    process: &crate::process::Process,
    interpreter: &crate::cpython::Interpreter,
) -> Option<Vec<u8>> {
    use crate::process::ReadMemory as _;

    const EVAL_BYTES: usize = 4096;
    const HANDLER_BYTES: usize = 192;
    const LOOKED_AT: &[&str] = &[
        "STORE_ATTR",
        "DELETE_ATTR",
        "STORE_GLOBAL",
        "STORE_SUBSCR",
        "DELETE_SUBSCR",
        "LIST_APPEND",
        "RESUME",
        "RETURN_",
        "YIELD_VALUE",
        "POP_TOP",
        "UNARY_",
        "GET_ITER",
        "STORE_FAST",
        "GET_LEN",
        "POP_JUMP_IF_NONE",
        "LIST_EXTEND",
        "PRINT_ITEM",
        "EXEC_STMT",
    ];
    let opcodes = Opcodes::of(interpreter.version())?;
    let handlers = Handlers::find(process, interpreter).ok()?;
    let names = names();
    let machine = Machine::of(process, interpreter, &names).ok()?;
    let eval = names
        .iter()
        .rev()
        .find_map(|name| machine.address(name).filter(|_| name.contains("EvalFrame")))?;
    let mut code = machine.read_bytes(eval, EVAL_BYTES).ok()?;
    let mut parts = vec![(eval, 0, EVAL_BYTES)];
    // The others are where nothing is.
    let mut targets = [u16::MAX; 256];
    for opcode in 0..=u8::MAX {
        let looked_at = opcodes
            .name(opcode)
            .is_some_and(|name| LOOKED_AT.iter().any(|part| name.contains(part)));
        if looked_at && code.len() < 16 * 1024 {
            let at = handlers.of(opcode);
            targets[usize::from(opcode)] = code.len() as u16;
            parts.push((at, code.len(), HANDLER_BYTES));
            code.extend(machine.read_bytes(at, HANDLER_BYTES).ok()?);
        }
    }
    // Functions are behind the code, where nothing is.
    const FUNCTIONS: u16 = 0xf000;
    let mut used = Vec::new();
    for (at, place, len) in parts {
        let decoder =
            iced_x86::Decoder::with_ip(64, &code[place..place + len], at, iced_x86::DecoderOptions::NONE);
        let calls: Vec<_> = decoder.into_iter().filter(|found| found.len() == 5).collect();
        for call in calls {
            let Some(name) = machine
                .called(&call)
                .and_then(|name| names.iter().position(|known| *known == name))
            else {
                continue;
            };
            let n = used.iter().position(|known| *known == name).unwrap_or_else(|| {
                used.push(name);
                used.len() - 1
            });
            let end = place + (call.next_ip() - at) as usize;
            let to = i32::from(FUNCTIONS) + 16 * n as i32;
            code[end - 4..end].copy_from_slice(&(to - end as i32).to_le_bytes());
        }
    }
    used.truncate(MAX_NAMED.into());
    let mut seed = vec![0, 0, used.len() as u8];
    for (n, name) in used.into_iter().enumerate() {
        seed.push(0);
        seed.extend((FUNCTIONS + 16 * n as u16).to_le_bytes());
        seed.push(name as u8);
    }
    seed.extend(targets.iter().flat_map(|target| target.to_le_bytes()));
    seed.extend(code);
    Some(seed)
}
