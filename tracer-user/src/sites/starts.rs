//! Where functions begin, by the file's own unwind tables.
//!
//! A breakpoint anywhere but on an instruction's first byte breaks the program. An address that the process tells, in a
//! `PyMethodDef` that it may have written itself, is only taken if no function goes over it. Compilers describe each function
//! in `.eh_frame` (System V ABI, x86-64 supplement, "Unwind tables"), which is kept in stripped files.

use std::{fs::File, ops::Range};

use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindSection as _};
use object::{Object as _, ObjectSection as _, ReadCacheOps, elf::PT_LOAD, read::elf::ProgramHeader as _};

use crate::cpython::ElfBytes;

/// Functions of one file. libpython has about 15,000.
const MAX_FUNCTIONS: usize = 1_000_000;
/// libpython's is less than a MiB.
const MAX_SECTION: u64 = 64 << 20;

/// Functions of a file, by file offset.
#[derive(Debug, Default)]
pub struct Starts(Vec<Range<u64>>);

impl Starts {
    /// Reads them; none where the file tells none.
    pub fn of(file: File) -> Self {
        Self::read(file).unwrap_or_default()
    }

    pub(crate) fn read<R: ReadCacheOps>(file: R) -> Option<Self> {
        let bytes = ElfBytes::new(file);
        let elf = bytes.elf()?;
        let section = elf.section_by_name(".eh_frame")?;
        if section.size() > MAX_SECTION {
            return None;
        }
        let endian = elf.endian();
        let loads: Vec<(Range<u64>, u64)> = elf
            .elf_program_headers()
            .iter()
            .filter(|segment| segment.p_type(endian) == PT_LOAD)
            .filter_map(|segment| {
                let start = segment.p_vaddr(endian);
                let end = start.checked_add(segment.p_filesz(endian))?;
                Some((start..end, segment.p_offset(endian)))
            })
            .collect();
        let offset_of = |address: u64| {
            let (range, offset) = loads.iter().find(|(range, _)| range.contains(&address))?;
            offset.checked_add(address - range.start)
        };
        let frames = EhFrame::new(section.data().ok()?, LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(section.address());
        let mut entries = frames.entries(&bases);
        let mut functions = Vec::new();
        while let Some(entry) = entries.next().ok()? {
            let CieOrFde::Fde(entry) = entry else { continue };
            let entry = entry.parse(EhFrame::cie_from_offset).ok()?;
            if let Some(start) = offset_of(entry.initial_address())
                && let Some(end) = start.checked_add(entry.len())
            {
                functions.push(start..end);
            }
            if functions.len() >= MAX_FUNCTIONS {
                return None;
            }
        }
        functions.sort_unstable_by_key(|range| range.start);
        Some(Self(functions))
    }

    /// Whether a function goes over that file offset: none begins there.
    pub fn goes_over(&self, offset: u64) -> bool {
        let after = self.0.partition_point(|range| range.start <= offset);
        let before = after.checked_sub(1).and_then(|last| self.0.get(last));
        before.is_some_and(|range| range.start != offset && range.contains(&offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_inside_of_a_function_is_gone_over() {
        let starts = Starts(vec![16..32, 32..48, 64..80]);
        for (offset, expected) in [(15, false), (16, false), (17, true), (31, true), (32, false)] {
            assert_eq!(starts.goes_over(offset), expected, "{offset}");
        }
        for (offset, expected) in [(48, false), (63, false), (64, false), (79, true), (80, false)] {
            assert_eq!(starts.goes_over(offset), expected, "{offset}");
        }
        assert!(!Starts::default().goes_over(16));
    }

    #[test]
    fn a_file_tells_its_functions() {
        let own = std::env::current_exe().expect("this program has a file");
        let starts = Starts::of(File::open(own).expect("it can be read"));
        assert!(starts.0.len() > 1000, "{}", starts.0.len());
        let longest = starts
            .0
            .iter()
            .max_by_key(|range| range.end - range.start)
            .unwrap();
        assert!(!starts.goes_over(longest.start));
        assert!(starts.goes_over(longest.start + 1));
    }
}
