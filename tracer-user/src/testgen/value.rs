//! Recorded values as Python expressions.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value as Json;

/// Why a value cannot be written as an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRebuilt(pub String);

type Result = std::result::Result<String, NotRebuilt>;

/// How objects are written that were recorded only by their address; `None`: not at all.
pub type Objects<'o> = &'o dyn Fn(&str) -> Option<String>;

fn not_rebuilt(why: impl Into<String>) -> NotRebuilt {
    NotRebuilt(why.into())
}

/// An expression that makes the value, as docs of the JSON format describe it.
///
/// # Errors
///
/// What of it was not recorded.
pub fn expression(value: &Json) -> Result {
    with_objects(value, &|_| None)
}

/// The same, with objects by their addresses.
///
/// # Errors
///
/// What of it was not recorded.
pub fn with_objects(value: &Json, objects: Objects<'_>) -> Result {
    match value {
        Json::Null => Ok("None".into()),
        Json::Bool(true) => Ok("True".into()),
        Json::Bool(false) => Ok("False".into()),
        Json::Number(number) => Ok(number.to_string()),
        Json::String(text) => Ok(string(text)),
        Json::Array(items) => Ok(format!("[{}]", list(items, objects)?)),
        Json::Object(_) => object(value, objects),
    }
}

/// The same, or something that is equal to whatever it was; for what a call is compared with.
pub fn pattern(value: &Json) -> String {
    if let Some(len) = value.get("len").and_then(Json::as_u64) {
        if let Some(text) = value.get("str").and_then(Json::as_str) {
            return format!("Beginning({}, {len})", string(text));
        }
        if let Some(Ok(text)) = value.get("bytes").and_then(Json::as_str).map(bytes) {
            return format!("Beginning({text}, {len})");
        }
    }
    match value {
        Json::Object(fields) if fields.contains_key("tuple") && !fields.contains_key("len") => {
            let items = items(value, "tuple").iter().map(pattern);
            tuple(items.collect())
        }
        Json::Object(fields) if fields.contains_key("list") && !fields.contains_key("len") => {
            let items: Vec<String> = items(value, "list").iter().map(pattern).collect();
            format!("[{}]", items.join(", "))
        }
        _ => expression(value).unwrap_or_else(|why| format!("Any({})", string(&why.0))),
    }
}

fn items<'v>(value: &'v Json, key: &str) -> &'v [Json] {
    value.get(key).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn list(values: &[Json], objects: Objects<'_>) -> Result {
    Ok(parts(values, objects)?.join(", "))
}

fn parts(values: &[Json], objects: Objects<'_>) -> std::result::Result<Vec<String>, NotRebuilt> {
    values.iter().map(|value| with_objects(value, objects)).collect()
}

/// `(a, b)`, `(a,)`.
pub fn tuple(items: Vec<String>) -> String {
    match items.as_slice() {
        [only] => format!("({only},)"),
        items => format!("({})", items.join(", ")),
    }
}

fn object(value: &Json, objects: Objects<'_>) -> Result {
    let field = |key: &str| value.get(key);
    if field("masked").is_some() {
        return Err(not_rebuilt("a secret"));
    }
    if let Some(len) = field("len") {
        return Err(not_rebuilt(format!("a value of length {len}, recorded in part")));
    }
    if let Some(name) = field("object").and_then(Json::as_str) {
        let made = field("id").and_then(Json::as_str).and_then(objects);
        return match (made, field("value")) {
            (Some(made), _) => Ok(made),
            (None, Some(inner)) => Ok(format!(
                "named({})({})",
                string(name),
                with_objects(inner, objects)?
            )),
            (None, None) => Err(not_rebuilt(format!("an object of {name}"))),
        };
    }
    let text = |key: &str| field(key).and_then(Json::as_str);
    if let Some(found) = text("int") {
        return Ok(found.into());
    }
    if let Some(found) = text("float") {
        return Ok(format!("float({})", string(found)));
    }
    if let Some(found) = text("str") {
        return Ok(string(found));
    }
    for key in ["bytes", "bytearray", "memoryview"] {
        if let Some(found) = text(key) {
            let literal = bytes(found)?;
            return Ok(match key {
                "bytes" => literal,
                other => format!("{other}({literal})"),
            });
        }
    }
    if let Some(name) = text("type").or(text("function")) {
        return match name.contains('<') || name.contains('?') {
            true => Err(not_rebuilt(format!("{name}, which has no name to find it by"))),
            false => Ok(format!("named({})", string(name))),
        };
    }
    if let Some(name) = text("module") {
        return Ok(format!("importlib.import_module({})", string(name)));
    }
    if let Some(Json::Array(parts)) = field("complex") {
        return Ok(format!("complex({})", list(parts, objects)?));
    }
    for (key, constructor) in [("range", "range"), ("slice", "slice")] {
        if let Some(Json::Array(parts)) = field(key) {
            return Ok(format!("{constructor}({})", list(parts, objects)?));
        }
    }
    if let Some(Json::Array(parts)) = field("list") {
        return Ok(format!("[{}]", list(parts, objects)?));
    }
    if let Some(Json::Array(parts)) = field("tuple") {
        return Ok(tuple(self::parts(parts, objects)?));
    }
    for key in ["set", "frozenset"] {
        if let Some(Json::Array(parts)) = field(key) {
            return Ok(format!("{key}([{}])", list(parts, objects)?));
        }
    }
    if let Some(Json::Array(pairs)) = field("dict") {
        let mut parts = Vec::new();
        for pair in pairs {
            let (key, value) = (
                pair.get(0).unwrap_or(&Json::Null),
                pair.get(1).unwrap_or(&Json::Null),
            );
            parts.push(format!(
                "{}: {}",
                with_objects(key, objects)?,
                with_objects(value, objects)?
            ));
        }
        return Ok(format!("{{{}}}", parts.join(", ")));
    }
    if field("unreadable").is_some() {
        return Err(not_rebuilt("a value that could not be read"));
    }
    Err(not_rebuilt("a value that was not recorded"))
}

/// A Python literal of a text.
pub fn string(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() || is_invisible(c) => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// Characters that would change how the file reads to people: marks of direction, separators, private ones.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c), 0x80..=0xa0 | 0xad | 0x200b..=0x200f | 0x2028..=0x202f | 0x2060..=0x206f | 0xfeff | 0xe000..=0xf8ff | 0xf_0000..)
}

/// A Python literal of bytes given in base64.
fn bytes(base64: &str) -> Result {
    let data = STANDARD
        .decode(base64)
        .map_err(|_| not_rebuilt("bytes that cannot be read"))?;
    let mut out = String::from("b'");
    for byte in data {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' | b'\'' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            0x20..=0x7e => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('\'');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_expressions() {
        for (value, expected) in [
            (json!(null), "None"),
            (json!(true), "True"),
            (json!(-3), "-3"),
            (json!(2.5), "2.5"),
            (json!("it's\n\u{7}é\u{202e}"), "\"it's\\n\\x07é\\u202e\""),
            (json!({"bytes": "YSdcAP8="}), "b'a\\'\\\\\\x00\\xff'"),
            (json!({"bytearray": "YQ=="}), "bytearray(b'a')"),
            (json!({"tuple": [1]}), "(1,)"),
            (
                json!({"list": [1, {"set": [2], "id": "0x1"}], "id": "0x2"}),
                "[1, set([2])]",
            ),
            (json!({"dict": [["a", {"tuple": []}]], "id": "0x1"}), "{'a': ()}"),
            (json!({"int": "123456789012345678901"}), "123456789012345678901"),
            (json!({"float": "nan"}), "float('nan')"),
            (json!({"range": [0, 2, 1]}), "range(0, 2, 1)"),
            (json!({"type": "builtins.int"}), "named('builtins.int')"),
            (
                json!({"object": "app.Name", "value": "x"}),
                "named('app.Name')('x')",
            ),
        ] {
            assert_eq!(expression(&value).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_was_not_recorded_is_not_rebuilt() {
        for value in [
            json!({"object": "app.Order", "id": "0x1"}),
            json!({"str": "abc", "len": 9000}),
            json!({"list": [{"unreadable": "0x0"}], "id": "0x1"}),
            json!({"function": "app.f.<locals>.g"}),
            json!({"masked": true}),
            json!({"new": 1}),
        ] {
            assert!(expression(&value).is_err(), "{value}");
        }
        assert_eq!(
            pattern(&json!({"str": "abc", "len": 9000})),
            "Beginning('abc', 9000)"
        );
        assert_eq!(
            pattern(&json!({"tuple": [1, {"object": "app.Order", "id": "0x1"}]})),
            "(1, Any('an object of app.Order'))"
        );
    }
}
