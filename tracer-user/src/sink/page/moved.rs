//! How much a call read or wrote.

use crate::{
    catalogue::effects::{Effect, From},
    decode::value::{SequenceKind, Value},
    event::call::{CallEvent, Outcome},
};

/// Effects that move data from or to a file or a peer.
const MOVING: [&str; 4] = ["file.read", "file.write", "net.recv", "net.send"];

/// What a call moved: bytes, or characters where it is on a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    Nothing,
    /// Something, but how much is not known.
    Unknown,
    Amount(u64),
}

/// Which way an effect moves data, as the page calls it.
pub fn direction(effect: &str) -> Option<&'static str> {
    match effect {
        "file.read" | "net.recv" => Some("in"),
        "file.write" | "net.send" => Some("out"),
        _ => None,
    }
}

impl Moved {
    /// Of a call; `effect`: what the catalogue has on its function.
    pub fn by(call: &CallEvent<'_>, effect: Option<&Effect>) -> Self {
        // What `flush` moves was counted when it was written.
        if !MOVING.contains(&call.effect) || call.qualname().ends_with(".flush") {
            return Self::Nothing;
        }
        let Outcome::Returned(result) = &call.outcome else {
            return match call.outcome {
                Outcome::Unobserved(_) => Self::Unknown,
                _ => Self::Nothing,
            };
        };
        let Some(effect) = effect else {
            return Self::Unknown;
        };
        if effect.data == Some(From::Result) {
            return length(result);
        }
        match (effect.data, effect.fills) {
            (None, None) => Self::Unknown,
            // Where it is a number, the result counts what was read into a buffer, or written.
            _ => counted(result).unwrap_or_else(|| match effect.fills {
                Some(_) => length(result),
                None => effect
                    .data
                    .and_then(|from| call.part(from))
                    .map_or(Self::Unknown, length),
            }),
        }
    }
}

/// A number, or a tuple that begins with one (`recvfrom_into`).
fn counted(result: &Value<'_>) -> Option<Moved> {
    match result {
        Value::Int(n) | Value::Long(n) => Some(u64::try_from(*n).map_or(Moved::Unknown, Moved::Amount)),
        Value::Sequence {
            kind: SequenceKind::Tuple,
            items,
            ..
        } => items.first().and_then(counted),
        _ => None,
    }
}

/// How long data is in all, captured or not.
fn length(data: &Value<'_>) -> Moved {
    match data {
        Value::Bytes(_, _, len) => Moved::Amount(*len),
        Value::Str(text) => Moved::Amount(text.len),
        // Nothing was there to be read.
        Value::None => Moved::Nothing,
        Value::Subclass { value, .. } => length(value),
        // `recvfrom`: the data, and who sent it.
        Value::Sequence {
            kind: SequenceKind::Tuple,
            items,
            ..
        } => items.first().map_or(Moved::Unknown, length),
        Value::Sequence { items, len, .. } if items.len() as u64 == *len => sum(items),
        _ => Moved::Unknown,
    }
}

fn sum(items: &[Value<'_>]) -> Moved {
    let mut total = 0_u64;
    for item in items {
        match length(item) {
            Moved::Amount(n) => total = total.saturating_add(n),
            Moved::Nothing => {}
            Moved::Unknown => return Moved::Unknown,
        }
    }
    Moved::Amount(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalogue::effects::find,
        decode::value::{BytesKind, MaskedText},
    };

    fn bytes(len: u64) -> Value<'static> {
        Value::Bytes(BytesKind::Bytes, b"ab", len)
    }

    fn sequence(kind: SequenceKind, items: Vec<Value<'static>>, len: u64) -> Value<'static> {
        Value::Sequence {
            kind,
            items,
            len,
            id: 1,
        }
    }

    #[test]
    fn what_was_not_captured_counts_too() {
        assert_eq!(length(&bytes(9000)), Moved::Amount(9000));
        let from = sequence(SequenceKind::Tuple, vec![bytes(5), Value::None], 2);
        assert_eq!(length(&from), Moved::Amount(5));
        let lines = sequence(SequenceKind::List, vec![bytes(2), bytes(3)], 2);
        assert_eq!(length(&lines), Moved::Amount(5));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let lines = sequence(SequenceKind::List, vec![bytes(2)], 20);
        assert_eq!(length(&lines), Moved::Unknown);
        assert_eq!(length(&Value::Unreadable(1)), Moved::Unknown);
        assert_eq!(length(&Value::Masked(None)), Moved::Unknown);
        let masked = MaskedText::Str("password=***".into(), false);
        assert_eq!(
            length(&Value::Masked(Some(masked))),
            Moved::Unknown,
            "a secret's length"
        );
    }

    #[test]
    fn every_moving_effect_has_a_direction_and_is_in_the_catalogue() {
        for effect in MOVING {
            assert!(direction(effect).is_some(), "{effect}");
        }
        assert_eq!(
            find("_io.FileIO.write").map(|write| write.effect),
            Some("file.write")
        );
        assert_eq!(
            find("_socket.socket.recv").map(|recv| recv.effect),
            Some("net.recv")
        );
    }
}
