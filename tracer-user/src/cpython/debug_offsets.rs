//! `_Py_DebugOffsets`, the first member of `_PyRuntime` since 3.13: the interpreter's own word on
//! its layout. Each version has its own structure of it (`Include/internal/pycore_runtime.h` in 3.13,
//! `pycore_debug_offsets.h` later); the layout files say which word holds what.

use std::collections::HashMap;

use super::layout::Table;
use crate::process::{ReadError, ReadMemory};

/// `_Py_Debug_Cookie`.
const COOKIE: u64 = u64::from_le_bytes(*b"xdebugpy");
const VERSION: usize = 1;
const FREE_THREADED: usize = 2;
/// No struct of the interpreter is larger; `PyInterpreterState` has about 0.4 MB.
const MAX_STRUCT: u64 = 4 * 1024 * 1024;
/// The structure is smaller; `_PyRuntime`, which it begins, is larger.
const MAX_WORDS: usize = 512;

/// The structure of a process.
pub(super) struct DebugOffsets {
    /// `PY_VERSION_HEX`.
    pub version: u64,
    pub free_threaded: bool,
    words: Vec<u64>,
}

/// Reads the structure at `_PyRuntime`. `None`: the cookie is not there.
pub(super) fn read(memory: &impl ReadMemory, runtime: u64) -> Result<Option<DebugOffsets>, ReadError> {
    let bytes = memory.read_bytes(runtime, MAX_WORDS * 8)?;
    let (words, _) = bytes.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    Ok((words[0] == COOKIE).then(|| DebugOffsets {
        version: words[VERSION],
        free_threaded: words[FREE_THREADED] != 0,
        words,
    }))
}

impl DebugOffsets {
    /// A table's offsets with what the words say in their place. `None`: a field does not lie inside its struct.
    pub(super) fn over(&self, table: &Table) -> Option<HashMap<String, u32>> {
        let mut offsets = table.offsets.clone();
        for (key, [field, size]) in &table.debug_offsets {
            // The structure has words for fields that this build is without, too.
            let Some(offset) = offsets.get_mut(key) else {
                continue;
            };
            let (field, size) = (*self.words.get(*field)?, *self.words.get(*size)?);
            let whole = key.starts_with("sizeof.");
            if size > MAX_STRUCT || field > size || field == size && !whole {
                return None;
            }
            *offset = field as u32;
        }
        Some(offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let offsets = [("PyObject.ob_type", 0), ("sizeof.PyASCIIObject", 0), ("other", 5)];
        let debug = [
            ("PyObject.ob_type", [3, 4]),
            ("sizeof.PyASCIIObject", [4, 4]),
            ("_PyInterpreterFrame.tlbc_index", [5, 4]),
        ];
        Table {
            offsets: offsets.map(|(key, n)| (key.to_owned(), n)).into(),
            debug_offsets: debug.map(|(key, words)| (key.to_owned(), words)).into(),
        }
    }

    fn over(field: u64, size: u64) -> Option<HashMap<String, u32>> {
        let debug = DebugOffsets {
            version: 0,
            free_threaded: false,
            words: vec![COOKIE, 0, 0, field, size, 8],
        };
        debug.over(&table())
    }

    #[test]
    fn words_in_range_take_the_place_of_the_table() {
        let expected = [
            ("PyObject.ob_type", 8),
            ("sizeof.PyASCIIObject", 40),
            ("other", 5),
        ];
        let expected = expected.map(|(key, n)| (key.to_owned(), n)).into();
        assert_eq!(over(8, 40), Some(expected));
    }

    #[test]
    fn words_out_of_range_are_refused() {
        assert_eq!(over(40, 40), None);
        assert_eq!(over(u64::MAX, 40), None);
        assert_eq!(over(8, u64::MAX), None);
    }
}
