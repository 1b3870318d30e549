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

/// Words of a string object that are read at once.
pub const TEXT_WORDS: usize = 16;
/// Words from a text's start on that its fingerprint looks at.
const HEAD_WORDS: u64 = 8;

/// A code object's name (a compact `str`; `str` of Python 2), as its head describes it.
#[derive(Clone, Copy)]
pub struct Text {
    /// In characters.
    length: u64,
    /// Offset of the first character.
    data: u64,
    bytes: u64,
}

impl Text {
    /// `word`: the word at an offset of the object. `None`: it could not be read.
    #[inline(always)]
    pub fn new(o: &Offsets, mut word: impl FnMut(u16) -> Option<u64>) -> Option<Self> {
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
        Some(Self {
            length,
            data: data as u64 & 63,
            bytes: length.wrapping_mul(width),
        })
    }

    /// Bytes from the object's start on that its fingerprint needs; less than [`TEXT_WORDS`] words.
    #[inline(always)]
    pub fn head(self) -> u64 {
        let bytes = if self.bytes > 8 * HEAD_WORDS {
            8 * HEAD_WORDS
        } else {
            self.bytes
        };
        self.data + bytes
    }

    /// Offset of the last two words of a text whose end is not in its head.
    #[inline(always)]
    pub fn tail(self) -> Option<u64> {
        (self.bytes > 8 * HEAD_WORDS).then(|| self.data.wrapping_add(self.bytes - 16))
    }

    /// The fingerprint: of the length, the start, and of a long text the end, which tells files of one folder apart.
    /// Pointers would not do: what is compiled in a loop gets the addresses of what was freed, code, names and all.
    /// `object`: [`Self::head`] bytes of it, the rest may be anything; `tail`: zeros where there is none.
    #[inline(always)]
    pub fn fingerprint(self, object: &[u64; TEXT_WORDS], tail: [u64; 2]) -> u64 {
        let word = |i: u64| object[i as usize & (TEXT_WORDS - 1)];
        // Python 2's characters begin in the middle of a word.
        let (first, shift) = (self.data / 8, 8 * (self.data & 7));
        let mut f = mix(SEED, self.length);
        let mut i = 0;
        while i < HEAD_WORDS {
            let next = word(first + i + 1) << 1 << (63 - shift);
            let text = word(first + i) >> shift | next;
            f = mix(f, text & first_bytes_mask(self.bytes.wrapping_sub(8 * i)));
            i += 1;
        }
        mix(mix(f, tail[0]), tail[1])
    }
}

/// The first `count` bytes of a word: none if it is negative, all from 8 on. Without a branch, each of which the
/// verifier would go both ways.
#[inline(always)]
const fn first_bytes_mask(count: u64) -> u64 {
    let count = count as i64;
    let none = (count.wrapping_sub(1) >> 63) as u64;
    let all = (7i64.wrapping_sub(count) >> 63) as u64;
    (all | ((1 << (8 * (count & 7))) - 1)) & !none
}

/// Fingerprint of a code object: `co_filename`, `co_qualname`/`co_name` and `co_linetable` pointers, [`Text::fingerprint`] of
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
    let f = mix(f, linetable[0] & first_bytes_mask(linetable_size));
    mix(f, linetable[1] & first_bytes_mask(linetable_size.wrapping_sub(8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fingerprint of a compact ASCII `str` as 3.12 lays it out, in memory that held another one before.
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
        of_bytes(&offsets, &object)
    }

    /// Of a `str` of Python 2.
    fn of_python2(name: &str) -> Option<u64> {
        let offsets = Offsets::from_lookup(|key| match key {
            "PyVarObject.ob_size" => Some(16),
            "PyBytesObject.ob_sval" => Some(36),
            _ => None,
        });
        let mut object = [0xff; 200];
        object[16..24].copy_from_slice(&(name.len() as u64).to_le_bytes());
        object[36..36 + name.len()].copy_from_slice(name.as_bytes());
        of_bytes(&offsets, &object)
    }

    fn of_bytes(offsets: &Offsets, object: &[u8]) -> Option<u64> {
        let word = |at: usize| {
            let word = object.get(at..)?.first_chunk()?;
            Some(u64::from_le_bytes(*word))
        };
        let text = Text::new(offsets, |at| word(usize::from(at)))?;
        assert!(text.head() < 8 * TEXT_WORDS as u64);
        let mut head = [0; TEXT_WORDS];
        for (i, place) in head.iter_mut().enumerate() {
            *place = word(8 * i)?;
        }
        let tail = match text.tail() {
            Some(at) => [word(at as usize)?, word(at as usize + 8)?],
            None => [0, 0],
        };
        Some(text.fingerprint(&head, tail))
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
        for of in [of_ascii, of_python2] {
            for (i, name) in names.iter().enumerate() {
                assert!(of(name).is_some());
                for other in &names[i + 1..] {
                    assert_ne!(of(name), of(other), "{name} {other}");
                }
            }
        }
        assert!(Text::new(&Offsets::from_lookup(|_| None), |_| None).is_none());
    }

    #[test]
    fn only_the_first_bytes_count() {
        for (count, mask) in [
            (0, 0),
            (1, 0xff),
            (7, u64::MAX >> 8),
            (8, u64::MAX),
            (4096, u64::MAX),
        ] {
            assert_eq!(first_bytes_mask(count), mask);
        }
        for less in 1..100u64 {
            assert_eq!(first_bytes_mask(less.wrapping_neg()), 0);
        }
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
