//! The text that a value is, not quoted: for columns of paths, peers and statements.

use crate::decode::value::{MaskedText, Value};

/// The text that a `str` or bytes are, as far as it was captured; `…` stands for the rest.
pub(crate) fn plain_text(value: &Value<'_>) -> Option<String> {
    let (mut text, cut) = match value {
        Value::Str(text) => (text.to_string_lossy(), text.captured() != text.len),
        Value::Bytes(_, data, len) => (lossy(data), data.len() as u64 != *len),
        Value::Masked(Some(MaskedText::Str(text, cut))) => (text.clone(), *cut),
        Value::Masked(Some(MaskedText::Bytes(_, data, cut))) => (lossy(data), *cut),
        Value::Subclass { value, .. } => return plain_text(value),
        _ => return None,
    };
    if cut {
        text.push('…');
    }
    Some(text)
}

fn lossy(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}
