//! Symbols of the ELF file that holds the interpreter, as addresses in the process.

use std::collections::HashMap;
use std::fs::File;

use object::elf::{PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, ReadCache};

use crate::process::{Mapping, Process};

/// A mapped library is smaller; a sparse file made to exhaust our memory is not.
const MAX_FILE: u64 = 2 * 1024 * 1024 * 1024;
/// Symbols looked at per table: libpython has about 20,000 with local ones.
const MAX_SYMBOLS: usize = 4_000_000;
/// Pages are what the kernel maps.
const PAGE_MASK: u64 = !4095;

/// Addresses of the symbols asked for.
pub(super) type Symbols = HashMap<&'static str, u64>;

/// Looks the `wanted` symbols up in the file behind an executable mapping: `.dynsym` first;
/// `.symtab` for what it lacks, in the program's own file.
/// `None`: not an ELF file we can read, or one without any of `required`.
pub(super) fn symbols(
    process: &Process,
    mapping: &Mapping,
    required: &[&str],
    wanted: &[&'static str],
) -> Option<Symbols> {
    let file = process.open_mapping(mapping).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return None;
    }
    let cache = ReadCache::new(file);
    let elf: ElfFile64<'_, Endianness, &ReadCache<File>> = ElfFile64::parse(&cache).ok()?;
    let bias = load_bias(&elf, mapping)?;
    let mut found = Symbols::new();
    collect(elf.dynamic_symbols(), bias, wanted, &mut found);
    // Reading .symtab of every mapped library would be slow, and only a static
    // executable linked without -rdynamic has them there alone.
    let executable = process.executable();
    let sufficient = |found: &Symbols| required.iter().any(|symbol| found.contains_key(symbol));
    if !sufficient(&found) && executable.is_some() && executable == mapping.path {
        collect(elf.symbols(), bias, wanted, &mut found);
    }
    sufficient(&found).then_some(found)
}

fn collect<'data>(
    symbols: impl Iterator<Item = impl ObjectSymbol<'data>>,
    bias: u64,
    wanted: &[&'static str],
    found: &mut Symbols,
) {
    for symbol in symbols.take(MAX_SYMBOLS) {
        if symbol.is_undefined() {
            continue;
        }
        let Ok(name) = symbol.name() else { continue };
        if let Some(name) = wanted.iter().find(|wanted| **wanted == name) {
            found.entry(name).or_insert(symbol.address().wrapping_add(bias));
        }
    }
}

/// What to add to the file's addresses: the segment that holds the mapping's file offset
/// was put at the mapping's start.
pub(crate) fn load_bias<'data>(
    elf: &ElfFile64<'data, Endianness, &'data ReadCache<File>>,
    mapping: &Mapping,
) -> Option<u64> {
    let endian = elf.endian();
    elf.elf_program_headers()
        .iter()
        // Only executable ones: the page of a mapping's start may belong to two segments.
        .filter(|segment| segment.p_type(endian) == PT_LOAD && segment.p_flags(endian) & PF_X == PF_X)
        .find_map(|segment| {
            let file_start = segment.p_offset(endian) & PAGE_MASK;
            let file_end = segment.p_offset(endian).checked_add(segment.p_filesz(endian))?;
            let vaddr = segment.p_vaddr(endian) & PAGE_MASK;
            (file_start <= mapping.offset && mapping.offset < file_end).then(|| {
                mapping
                    .start
                    .wrapping_sub(vaddr)
                    .wrapping_sub(mapping.offset - file_start)
            })
        })
}
