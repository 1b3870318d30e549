//! What is read of files and of code: ELF tables, the beginnings of functions, handlers of bytecodes.

use std::io::Cursor;

use tracer_common::cookie::{Convention, SelfKind};

use super::image::VERSIONS;
use super::input::Input;
use crate::{
    bytecode,
    cpython::{self, Version},
    process::{ReadError, ReadMemory},
    sites::{Starts, apart, plan},
};

/// How an ELF file begins.
const ELF: &[u8] = b"\x7fELF";

/// The input is an ELF file; or a first byte that says what is analysed, and the code.
pub fn sites(data: &[u8]) {
    if data.starts_with(ELF) {
        // Where the mapping that is looked at begins in the file.
        for offset in [0, 0x1000] {
            cpython::fuzz::elf(data, offset);
        }
        if let Some(starts) = Starts::read(Cursor::new(data)) {
            let _ = [0, 0x1000, u64::MAX].map(|offset| starts.goes_over(offset));
        }
        return;
    }
    let mut input = Input::new(data);
    let what = input.u8();
    let (major, minor, free_threaded) = input.one_of(&VERSIONS);
    let version = Version::of_minor(major, minor);
    match what % 4 {
        0 => prologue(&mut input),
        1 => {
            bytecode::fuzz::handlers_of(version, free_threaded, &mut input);
        }
        2 => bytecode::fuzz::tables(version, input.rest()),
        _ => {
            let memory = Bytes {
                at: input.u64(),
                bytes: input.rest(),
            };
            cpython::fuzz::functions(&memory, memory.at);
        }
    }
}

/// Where to probe a function with this code.
fn prologue(input: &mut Input<'_>) {
    let address = input.u64();
    let self_kind = input.one_of(&SelfKind::ALL);
    let code = input.rest();
    for convention in Convention::ALL {
        let places = [
            plan(code, address, convention, self_kind).ok(),
            apart(code, address, convention, self_kind),
        ];
        for place in places.into_iter().flatten() {
            assert!((place.offset as usize) < code.len());
        }
    }
}

/// Bytes at an address, and nothing elsewhere.
struct Bytes<'a> {
    at: u64,
    bytes: &'a [u8],
}

impl ReadMemory for Bytes<'_> {
    fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let error = ReadError { addr, len: out.len() };
        let into = usize::try_from(addr.wrapping_sub(self.at)).map_err(|_| error)?;
        let end = into.checked_add(out.len()).ok_or(error)?;
        out.copy_from_slice(self.bytes.get(into..end).ok_or(error)?);
        Ok(())
    }
}
