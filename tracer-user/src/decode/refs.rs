//! Which names a record's values will ask for, without decoding them.

use tracer_common::handle::{HANDLE_WORDS, UNIX_NAME_WORDS};
use tracer_common::wire::{Tag, TypeRef, padded};

use super::record::word;

/// What has a name of its own that is not in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ref {
    Type(TypeRef),
    /// A module of Python 2 and the address of its dict.
    Module {
        id: u64,
        dict: u64,
    },
}

/// Gives every type, and every module of Python 2, in a record's values. A value is a word, a payload whose
/// length that word tells, and perhaps more values; so all of them lie in a row and none has to be nested.
pub fn refs(values: &[u8], mut give: impl FnMut(Ref)) {
    let mut at = 0;
    let mut module = None;
    while let Some(head) = word(values, at) {
        let Some(tag) = Tag::from_u8(head as u8) else {
            return;
        };
        let payload = |n: usize| word(values, at + 1 + n);
        if let Some(ty) = type_ref(tag, &payload) {
            give(Ref::Type(ty));
        }
        // The name of a module of Python 2 is written as the address of its dict.
        if let (Some(id), Tag::Int64, Some(dict)) = (module, tag, payload(0)) {
            give(Ref::Module { id, dict });
        }
        module = if tag == Tag::Module { payload(0) } else { None };
        at += 1 + words_after(tag, (head >> 32) as u32);
    }
}

fn type_ref(tag: Tag, payload: &impl Fn(usize) -> Option<u64>) -> Option<TypeRef> {
    // A handle may have a type, 0 if not.
    let has_type = tag != Tag::Handle || payload(0) != Some(0);
    (has_type
        && matches!(
            tag,
            Tag::Type | Tag::Exception | Tag::Object | Tag::Subclass | Tag::Handle
        ))
    .then(|| {
        Some(TypeRef {
            address: payload(0)?,
            fingerprint: payload(1)?,
        })
    })
    .flatten()
}

/// Words between a value's first word and what follows: the next value, or the first one inside.
fn words_after(tag: Tag, n: u32) -> usize {
    let data = |bytes: u32| padded(bytes.min(u32::MAX - 7)) as usize / 8;
    match tag {
        Tag::End | Tag::Null | Tag::None | Tag::True | Tag::False => 0,
        Tag::Range | Tag::Slice | Tag::Self_ | Tag::Result | Tag::Raised => 0,
        Tag::Int64 | Tag::Float | Tag::Module | Tag::Function | Tag::Unreadable | Tag::Cut => 1,
        Tag::Args | Tag::Kwargs | Tag::Filled | Tag::Globals | Tag::Task | Tag::Span | Tag::Greenlet => 1,
        Tag::Activation => n.min(u32::from(u16::MAX)) as usize,
        Tag::Complex | Tag::List | Tag::Tuple | Tag::Set | Tag::FrozenSet | Tag::Dict | Tag::Type => 2,
        Tag::Exception | Tag::Object | Tag::Subclass => 3,
        Tag::Handle => HANDLE_WORDS,
        Tag::PeerName => UNIX_NAME_WORDS,
        Tag::BigInt => 1 + data(n.saturating_mul(4)),
        Tag::Str | Tag::Bytes | Tag::ByteArray | Tag::MemoryView | Tag::CFunction => 1 + data(n),
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::wire::value_word;

    use super::*;

    fn found(words: &[u64]) -> Vec<Ref> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut found = Vec::new();
        refs(&bytes, |one| found.push(one));
        found
    }

    const fn ty(address: u64) -> Ref {
        Ref::Type(TypeRef {
            address,
            fingerprint: 100 + address,
        })
    }

    /// A value of every tag that has a payload, with a type behind it: found only if the payload's length is right.
    #[test]
    fn types_are_found_behind_every_value() {
        let words = |tag: Tag, n: u32, payload: usize| {
            let mut words = vec![value_word(tag, 0, n)];
            words.extend(vec![0; payload]);
            words
        };
        for n in 0..Tag::COUNT {
            let tag = Tag::from_u8(n).expect("a tag");
            let (n, payload) = match tag {
                Tag::BigInt => (3, 1 + 2),
                Tag::Str | Tag::Bytes | Tag::ByteArray | Tag::MemoryView | Tag::CFunction => (9, 1 + 2),
                Tag::Exception | Tag::Object | Tag::Subclass => (0, 3),
                Tag::Handle => (0, HANDLE_WORDS),
                Tag::PeerName => (9, UNIX_NAME_WORDS),
                Tag::Complex | Tag::List | Tag::Tuple | Tag::Set | Tag::FrozenSet | Tag::Dict | Tag::Type => {
                    (0, 2)
                }
                Tag::Int64
                | Tag::Float
                | Tag::Module
                | Tag::Function
                | Tag::Unreadable
                | Tag::Cut
                | Tag::Args
                | Tag::Kwargs
                | Tag::Filled
                | Tag::Globals
                | Tag::Task
                | Tag::Span
                | Tag::Greenlet => (0, 1),
                Tag::Activation => (4, 4),
                _ => (0, 0),
            };
            let mut words = words(tag, n, payload);
            words.extend([value_word(Tag::Type, 0, 0), 7, 107]);
            assert_eq!(found(&words).last(), Some(&ty(7)), "{tag:?}");
        }
    }

    #[test]
    fn modules_of_python_2_are_found() {
        let module = value_word(Tag::Module, 0, 0);
        let int = value_word(Tag::Int64, 0, 0);
        let none = value_word(Tag::None, 0, 0);
        assert_eq!(found(&[module, 5, int, 6, 0]), [Ref::Module { id: 5, dict: 6 }]);
        assert_eq!(found(&[module, 5, none, int, 6]), []);
    }

    #[test]
    fn a_cut_record_ends_the_search() {
        let object = value_word(Tag::Object, 0, 0);
        assert_eq!(found(&[object, 1]), []);
        assert_eq!(found(&[object, 1, 101]), [ty(1)]);
        assert_eq!(found(&[u64::MAX, object, 1, 101]), []);
        let endless = value_word(Tag::Str, 0, u32::MAX);
        assert_eq!(found(&[endless, 1, object, 1, 101]), []);
    }
}
