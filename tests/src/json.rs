//! Lines of JSON, of the tool and of the programs.

use serde_json::Value;

/// Reads a line of JSON.
///
/// Python's strings may hold lone surrogates, and JSON can say so, but Rust's strings cannot: a lone
/// `\ud800` is read as the six characters it is written with.
pub fn parse(line: &str) -> Value {
    serde_json::from_str(&keep_surrogates(line)).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn keep_surrogates(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        kept.push_str(&rest[..at]);
        let (escape, unit) = escape(&rest[at..]);
        rest = &rest[at + escape.len()..];
        match unit {
            Some(0xd800..=0xdbff) if matches!(self::escape(rest).1, Some(0xdc00..=0xdfff)) => {
                let (low, after) = rest.split_at(6);
                kept.push_str(escape);
                kept.push_str(low);
                rest = after;
            }
            Some(0xd800..=0xdfff) => {
                kept.push('\\');
                kept.push_str(&escape.to_ascii_lowercase());
            }
            _ => kept.push_str(escape),
        }
    }
    kept + rest
}

/// The escape sequence that `text` begins with, and the UTF-16 code unit if it names one.
fn escape(text: &str) -> (&str, Option<u16>) {
    if !text.starts_with('\\') {
        return ("", None);
    }
    match text.strip_prefix("\\u").and_then(|digits| digits.get(..4)) {
        Some(digits) => (&text[..6], u16::from_str_radix(digits, 16).ok()),
        None => (&text[..2], None),
    }
}

/// Takes out addresses, which differ between two processes, and between equal objects.
pub fn without_ids(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("id");
            fields.values_mut().for_each(without_ids);
        }
        Value::Array(items) => items.iter_mut().for_each(without_ids),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrogates_are_told_apart() {
        assert_eq!(parse(r#""\ud83d\ude00""#), "\u{1f600}");
        assert_eq!(parse(r#""\uD800!""#), "\\ud800!");
        assert_eq!(parse(r#""\udc00\ud800""#), "\\udc00\\ud800");
        assert_eq!(parse(r#""\\ud800\n""#), "\\ud800\n");
        assert_ne!(parse(r#""\ud800""#), parse(r#""\ud801""#));
    }
}
