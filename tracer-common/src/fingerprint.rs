//! Types and code objects are named by the daemon, later, from the process's memory. By then
//! the object may be gone and its address reused. So the kernel half mixes a few words of the
//! object into a fingerprint at the moment of the call, the daemon mixes the same words when it
//! reads the object, and only equal fingerprints make a name.

use crate::target::{ABSENT, Offsets};

/// Starting value for [`mix`].
pub const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Folds one word into a fingerprint. Not cryptographic: it tells objects apart that
/// happen to share an address, not objects made to collide.
#[inline(always)]
pub const fn mix(fingerprint: u64, word: u64) -> u64 {
    let x = (fingerprint ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^ (x >> 32)
}

/// Fingerprint of a type object: its `tp_name` pointer, the first 16 bytes that points to
/// (zero filled after the terminating NUL), `tp_flags` without the bits that change during a
/// type's life, `tp_base` and `tp_basicsize`.
#[inline(always)]
pub const fn type_object(tp_name: u64, name: [u64; 2], tp_base: u64, tp_basicsize: u64) -> u64 {
    mix(
        mix(mix(mix(mix(SEED, tp_name), name[0]), name[1]), tp_base),
        tp_basicsize,
    )
}

/// Fingerprint of an old-style class of Python 2: its `cl_name`, `cl_bases` and `cl_dict` pointers.
#[inline(always)]
pub const fn old_class(name: u64, bases: u64, dict: u64) -> u64 {
    mix(mix(mix(SEED, name), bases), dict)
}

/// Bytes that the fingerprint of a text looks at from its start on. The encoder reads them in one go.
const TEXT_HEAD: u64 = 80;
/// Bytes of a text at most whose end its fingerprint looks at.
const MAX_TEXT: u64 = 4096;

/// Fingerprint of a code object's name (a compact `str`; `str` of Python 2): its length, its start,
/// and of a long one the last words, which tell files of one folder apart. `None`: it could not be read. `word`: the word at an offset of the object. Pointers do not suffice: what is
/// compiled in a loop gets the addresses of what was freed, code, names and all.
#[inline(always)]
pub fn text(o: &Offsets, mut word: impl FnMut(u16) -> Option<u64>) -> Option<u64> {
    let (length, data, width) = if o.unicode_kind_shift == ABSENT {
        (word(o.ob_size)?, o.ob_sval, 1)
    } else {
        // `kind:3, compact:1, ascii:1` (Include/cpython/unicodeobject.h).
        let state = word(o.unicode_state & !7)? >> (8 * (o.unicode_state & 4));
        let state = state >> (o.unicode_kind_shift & 31);
        let data = if state >> 4 & 1 != 0 {
            o.unicode_ascii_data
        } else {
            o.unicode_compact_data
        };
        let width = if state >> 3 & 1 != 0 { state & 7 } else { 0 };
        (word(o.unicode_length)?, data, width)
    };
    let bytes = length.wrapping_mul(width);
    let bytes = if bytes > MAX_TEXT { MAX_TEXT } else { bytes };
    let mut f = mix(SEED, length);
    let mut at = 0;
    while at < TEXT_HEAD && at < bytes {
        f = mix(f, first_bytes(word(data.wrapping_add(at as u16))?, bytes - at));
        at += 8;
    }
    if bytes > TEXT_HEAD {
        let last = data.wrapping_add((bytes - 1) as u16 & !7);
        f = mix(f, word(last.wrapping_sub(8))?);
        f = mix(f, first_bytes(word(last)?, ((bytes - 1) & 7) + 1));
    }
    Some(f)
}

/// Fingerprint of a code object: `co_filename`, `co_qualname`/`co_name` and `co_linetable` pointers, [`text`] of
/// the first two, `co_firstlineno`, and the line table's size and first 16 bytes. Of a shorter table what lies
/// behind it does not count: it may be another object, which changes.
#[inline(always)]
pub const fn code_object(
    pointers: [u64; 3],
    names: [u64; 2],
    first_line: u32,
    linetable_size: u64,
    linetable: [u64; 2],
) -> u64 {
    let f = mix(mix(mix(SEED, pointers[0]), pointers[1]), pointers[2]);
    let f = mix(mix(f, names[0]), names[1]);
    let f = mix(mix(f, first_line as u64), linetable_size);
    let f = mix(f, first_bytes(linetable[0], linetable_size));
    mix(f, first_bytes(linetable[1], linetable_size.saturating_sub(8)))
}

/// The word with nothing but its first `count` bytes.
#[inline(always)]
const fn first_bytes(word: u64, count: u64) -> u64 {
    if count >= 8 {
        word
    } else {
        word & ((1 << (8 * count)) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [`text`] of a compact ASCII `str` as 3.12 lays it out, in memory that held another one before.
    fn of_ascii(name: &str) -> Option<u64> {
        let offsets = Offsets::from_lookup(|key| match key {
            "PyASCIIObject.length" => Some(16),
            "PyASCIIObject.state" => Some(32),
            "PyASCIIObject.state.kind" => Some(2),
            "sizeof.PyASCIIObject" => Some(40),
            "sizeof.PyCompactUnicodeObject" => Some(56),
            _ => None,
        });
        let mut object = [0xff; 200];
        object[16..24].copy_from_slice(&(name.len() as u64).to_le_bytes());
        // `kind` 1, compact, ascii.
        object[32] = 1 << 2 | 1 << 5 | 1 << 6;
        object[40..40 + name.len()].copy_from_slice(name.as_bytes());
        text(&offsets, |at| {
            let word = object.get(usize::from(at)..)?.first_chunk()?;
            Some(u64::from_le_bytes(*word))
        })
    }

    #[test]
    fn names_differ_by_their_length_and_their_end() {
        macro_rules! long {
            ($tail:literal) => {
                concat!("/srv/a/folder/of/many/folders/that/each/have/a/name/of/some/length/so/that/the/path/is/long/", $tail)
            };
        }
        let names = [
            "",
            "a",
            "b",
            "ab",
            "/x/mine/000001.py",
            "/x/mine/000002.py",
            "/x/they/000001.py",
            long!("a_module.py"),
            long!("b_module.py"),
            long!("a_module.p"),
        ];
        for (i, name) in names.iter().enumerate() {
            assert!(of_ascii(name).is_some());
            for other in &names[i + 1..] {
                assert_ne!(of_ascii(name), of_ascii(other), "{name} {other}");
            }
        }
        assert_eq!(text(&Offsets::from_lookup(|_| None), |_| None), None);
    }

    #[test]
    fn what_lies_behind_a_short_line_table_does_not_count() {
        let of = |size, table| code_object([1, 2, 3], [5, 6], 4, size, table);
        assert_eq!(of(9, [7, 0xff01]), of(9, [7, 0xee01]));
        assert_eq!(of(8, [7, 1]), of(8, [7, 2]));
        assert_eq!(of(0, [7, 1]), of(0, [8, 2]));
        assert_ne!(of(9, [7, 1]), of(9, [7, 2]));
        assert_ne!(of(16, [7, 1 << 63]), of(16, [7, 0]));
    }
}
