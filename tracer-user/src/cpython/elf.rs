//! Symbols of the ELF file that holds the interpreter, as addresses in the process.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;

use object::elf::{PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, ReadCache, ReadCacheOps, ReadRef};

use crate::process::{Mapping, Process};

/// A mapped library is smaller; a sparse file made to exhaust our memory is not.
const MAX_FILE: u64 = 2 * 1024 * 1024 * 1024;
/// Bytes of one file that are kept in memory: the tables of a libpython with all its local symbols and their names have
/// up to 2 MiB.
const MAX_KEPT: u64 = 256 * 1024 * 1024;
/// Bytes that keeping one name costs beside the name.
const PER_NAME: u64 = 64;
/// Symbols looked at per table: libpython has about 20,000 with local ones.
const MAX_SYMBOLS: usize = 4_000_000;
/// Pages are what the kernel maps.
const PAGE_MASK: u64 = !4095;

/// Addresses of the symbols asked for.
pub(super) type Symbols = HashMap<&'static str, u64>;

/// An ELF file of [`ElfBytes`].
pub(crate) type Elf<'data, R> = ElfFile64<'data, Endianness, &'data ElfBytes<R>>;

/// The bytes of a file, read where they are asked for. What was read is kept, so a table may be asked for twice; a file that
/// makes its tables overlap, or its names long, could so fill our memory many times over. Behind a bound all reads fail.
pub(crate) struct ElfBytes<R: ReadCacheOps> {
    cache: ReadCache<R>,
    left: Cell<u64>,
}

impl<R: ReadCacheOps> ElfBytes<R> {
    pub(crate) fn new(file: R) -> Self {
        Self {
            cache: ReadCache::new(file),
            left: Cell::new(MAX_KEPT),
        }
    }

    /// The file, if it is one of 64 bits.
    pub(crate) fn elf(&self) -> Option<Elf<'_, R>> {
        ElfFile64::parse(self).ok()
    }

    /// Counts bytes against the bound.
    fn keep(&self, bytes: u64) -> Result<(), ()> {
        self.left.set(self.left.get().checked_sub(bytes).ok_or(())?);
        Ok(())
    }
}

impl<'a, R: ReadCacheOps> ReadRef<'a> for &'a ElfBytes<R> {
    fn len(self) -> Result<u64, ()> {
        self.cache.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        self.keep(size)?;
        self.cache.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        // A name without an end is not kept, but was read.
        self.keep(PER_NAME)?;
        let found = self.cache.read_bytes_at_until(range, delimiter)?;
        self.keep(found.len() as u64)?;
        Ok(found)
    }
}

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
    let file = ElfBytes::new(file);
    let elf = file.elf()?;
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

pub(super) fn collect<'data>(
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
pub(crate) fn load_bias<R: ReadCacheOps>(elf: &Elf<'_, R>, mapping: &Mapping) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_file_whose_tables_overlap_is_read_to_a_bound() {
        const FILE: u64 = 4096;
        let new = || ElfBytes {
            left: Cell::new(8 * FILE),
            ..ElfBytes::new(Cursor::new(vec![1; FILE as usize]))
        };
        let file = new();
        let read = (0..FILE / 2).map_while(|n| (&file).read_bytes_at(n, FILE / 2).ok());
        let kept: usize = read.map(<[u8]>::len).sum();
        assert_eq!(kept as u64, 8 * FILE);
        assert!((&file).read_bytes_at(0, 1).is_err());
        // A name that has no end is none, and was read all the same.
        let file = new();
        assert!((&file).read_bytes_at_until(0..FILE, 0).is_err());
        assert_eq!(file.left.get(), 8 * FILE - PER_NAME);
    }
}
