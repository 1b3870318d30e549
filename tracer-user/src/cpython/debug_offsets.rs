//! `_Py_DebugOffsets`, the first member of `_PyRuntime` since 3.13: the interpreter's own
//! word on its layout (`Include/internal/pycore_runtime.h`, v3.13.0).

use std::collections::HashMap;

use crate::process::{ReadError, ReadMemory};

/// `_Py_Debug_Cookie`.
const COOKIE: u64 = u64::from_le_bytes(*b"xdebugpy");
/// 64-bit words of the struct up to and with `unicode_object`.
const WORDS: usize = 71;
const VERSION: usize = 1;
const FREE_THREADED: usize = 2;
/// No struct of the interpreter is larger; `PyInterpreterState` has about 0.4 MB.
const MAX_STRUCT: u64 = 4 * 1024 * 1024;

/// Layout key, index of its word, index of the word with the size of the struct it is in.
const FIELDS: &[(&str, usize, usize)] = &[
    ("_PyRuntimeState.interpreters.head", 5, 3),
    ("PyInterpreterState.next", 8, 6),
    ("PyInterpreterState.threads.head", 9, 6),
    ("PyInterpreterState.modules", 11, 6),
    ("PyInterpreterState.sysdict", 12, 6),
    ("PyThreadState.next", 21, 19),
    ("current_frame", 23, 19),
    ("PyThreadState.native_thread_id", 25, 19),
    ("_PyInterpreterFrame.previous", 29, 28),
    ("_PyInterpreterFrame.code", 30, 28),
    ("_PyInterpreterFrame.instr", 31, 28),
    ("_PyInterpreterFrame.owner", 33, 28),
    ("PyCodeObject.co_filename", 35, 34),
    ("PyCodeObject.co_qualname", 37, 34),
    ("PyCodeObject.co_linetable", 38, 34),
    ("PyCodeObject.co_firstlineno", 39, 34),
    ("PyCodeObject.co_code_adaptive", 43, 34),
    ("PyObject.ob_type", 45, 44),
    ("PyTypeObject.tp_name", 47, 46),
    ("PyTypeObject.tp_flags", 49, 46),
    ("PyTupleObject.ob_item", 51, 50),
    ("PyListObject.ob_item", 54, 53),
    ("PyDictObject.ma_keys", 57, 56),
    ("PyDictObject.ma_values", 58, 56),
    ("PyFloatObject.ob_fval", 60, 59),
    ("PyLongObject.size_or_tag", 62, 61),
    ("PyLongObject.ob_digit", 63, 61),
    ("PyBytesObject.ob_sval", 66, 64),
    ("PyASCIIObject.state", 68, 67),
    ("PyASCIIObject.length", 69, 67),
];

/// What the struct's head says.
pub(super) struct DebugOffsets {
    /// `PY_VERSION_HEX`.
    pub version: u64,
    pub free_threaded: bool,
    pub words: Vec<u64>,
}

/// Reads the struct at `_PyRuntime`. `None`: the cookie is not there.
pub(super) fn read(memory: &impl ReadMemory, runtime: u64) -> Result<Option<DebugOffsets>, ReadError> {
    let bytes = memory.read_bytes(runtime, WORDS * 8)?;
    let words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
        .collect();
    Ok((words[0] == COOKIE).then(|| DebugOffsets {
        version: words[VERSION],
        free_threaded: words[FREE_THREADED] != 0,
        words,
    }))
}

/// Replaces what the words say. `None`: a field does not lie inside its struct.
pub(super) fn overlay(words: &[u64], offsets: &mut HashMap<String, u32>) -> Option<()> {
    for (key, field, size) in FIELDS {
        let (field, size) = (*words.get(*field)?, *words.get(*size)?);
        if size > MAX_STRUCT || field >= size {
            return None;
        }
        offsets.insert((*key).to_owned(), field as u32);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<u64> {
        let mut words = vec![8; WORDS];
        for (_, _, size) in FIELDS {
            words[*size] = 256;
        }
        words
    }

    #[test]
    fn words_in_range_take_the_place_of_the_table() {
        let mut offsets = HashMap::from([("PyObject.ob_type".to_owned(), 0)]);
        overlay(&words(), &mut offsets).unwrap();
        assert_eq!(offsets["PyObject.ob_type"], 8);
        assert_eq!(offsets.len(), FIELDS.len());
    }

    #[test]
    fn words_out_of_range_are_refused() {
        for wrong in [256, u64::MAX] {
            let mut words = words();
            words[45] = wrong;
            assert!(overlay(&words, &mut HashMap::new()).is_none());
        }
        let mut words = words();
        words[44] = u64::MAX;
        assert!(overlay(&words, &mut HashMap::new()).is_none());
        assert!(overlay(&[], &mut HashMap::new()).is_none());
    }
}
