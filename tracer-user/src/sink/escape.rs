//! Nothing from a traced process reaches a terminal or a JSON line raw.

use std::{borrow::Cow, io::Write as _};

use unicode_general_category::{GeneralCategory, get_general_category};

/// Whether `str.isprintable` holds (`_PyUnicode_IsPrintable`): not "other", and of the separators
/// only the space.
pub fn is_printable(c: char) -> bool {
    use GeneralCategory as G;
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    !matches!(
        get_general_category(c),
        G::Control
            | G::Format
            | G::Surrogate
            | G::PrivateUse
            | G::Unassigned
            | G::LineSeparator
            | G::ParagraphSeparator
            | G::SpaceSeparator
    )
}

fn push_char(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Appends a code point as `repr` does inside `quote`.
fn repr_char(c: u32, quote: u8, out: &mut Vec<u8>) {
    let _ = match char::from_u32(c) {
        Some('\\') => out.write_all(b"\\\\"),
        Some('\n') => out.write_all(b"\\n"),
        Some('\r') => out.write_all(b"\\r"),
        Some('\t') => out.write_all(b"\\t"),
        Some(c) if c as u32 == u32::from(quote) => out.write_all(&[b'\\', quote]),
        Some(c) if is_printable(c) => {
            push_char(c, out);
            Ok(())
        }
        _ if c <= 0xff => write!(out, "\\x{c:02x}"),
        _ if c <= 0xffff => write!(out, "\\u{c:04x}"),
        _ => write!(out, "\\U{c:08x}"),
    };
}

/// Appends the `repr` of a string: single quotes, unless only those are inside.
pub fn repr_str(chars: impl Iterator<Item = u32> + Clone, out: &mut Vec<u8>) {
    let has = |quote: char| chars.clone().any(|c| c == quote as u32);
    let quote = if has('\'') && !has('"') { b'"' } else { b'\'' };
    out.push(quote);
    for c in chars {
        repr_char(c, quote, out);
    }
    out.push(quote);
}

/// Appends the `repr` of bytes, without the `b` before it.
pub fn repr_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        b'"'
    } else {
        b'\''
    };
    out.push(quote);
    for byte in bytes {
        if byte.is_ascii() {
            repr_char(u32::from(*byte), quote, out);
        } else {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push(quote);
}

/// Appends text for a terminal: what is not printable is escaped.
pub fn plain(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        if is_printable(c) {
            push_char(c, out);
        } else {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
    }
}

/// Text for a terminal, as [`plain`] writes it.
pub fn plainly(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return text.into();
    }
    let mut out = Vec::new();
    plain(text, &mut out);
    String::from_utf8_lossy(&out).into_owned().into()
}

/// Appends a JSON string of code points; lone surrogates become escapes.
pub fn json_str(chars: impl Iterator<Item = u32>, out: &mut Vec<u8>) {
    out.push(b'"');
    for c in chars {
        let _ = match char::from_u32(c) {
            Some('"') => out.write_all(b"\\\""),
            Some('\\') => out.write_all(b"\\\\"),
            Some('\n') => out.write_all(b"\\n"),
            Some('\r') => out.write_all(b"\\r"),
            Some('\t') => out.write_all(b"\\t"),
            Some(c) if c >= ' ' && c != '\u{7f}' && !('\u{80}'..'\u{a0}').contains(&c) => {
                push_char(c, out);
                Ok(())
            }
            _ if c > 0xffff => write!(out, "\\ufffd"),
            _ => write!(out, "\\u{c:04x}"),
        };
    }
    out.push(b'"');
}

/// Appends a JSON string.
pub fn json_text(text: &str, out: &mut Vec<u8>) {
    json_str(text.chars().map(u32::from), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repr(text: &str) -> String {
        let mut out = Vec::new();
        repr_str(text.chars().map(u32::from), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_look_as_in_python() {
        assert_eq!(repr("a'b"), r#""a'b""#);
        assert_eq!(repr("a'\"b"), r#"'a\'"b'"#);
        assert_eq!(
            repr("\x1b[31m\n\u{e9}\u{a0}\u{2028}\u{1f600}"),
            "'\\x1b[31m\\né\\xa0\\u2028😀'"
        );
    }

    #[test]
    fn bytes_look_as_in_python() {
        let mut out = Vec::new();
        repr_bytes(b"'\x00\xff\\", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "\"'\\x00\\xff\\\\\"");
    }

    #[test]
    fn lone_surrogates_stay_json() {
        let mut out = Vec::new();
        json_str([0xd800, u32::from('"')].into_iter(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#""\ud800\"""#);
    }
}
