//! VALUE of the JSON format.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    escape::{json_str, json_text},
    number,
};
use crate::{
    decode::{
        int::{self, leading_decimals},
        value::{BytesKind, MaskedText, SequenceKind, Text, Value},
    },
    event::call::{ExceptionArgs, TypeNames},
};

/// Integers beyond this are strings: readers keep numbers as doubles.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Appends a VALUE.
pub fn value(value: &Value<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match value {
        Value::None => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(n) | Value::Long(n) if n.unsigned_abs() <= MAX_SAFE => push!(out, "{n}"),
        Value::Int(n) | Value::Long(n) => push!(out, "{{\"int\":\"{n}\"}}"),
        Value::BigInt {
            negative,
            magnitude,
            captured,
            digits,
            ..
        } => {
            let sign = if *negative { "-" } else { "" };
            if u64::from(*captured) == *digits {
                push!(out, "{{\"int\":\"{sign}{magnitude}\"}}");
            } else {
                match leading_decimals(magnitude, *captured, *digits) {
                    Some((leading, len)) => push!(out, "{{\"int\":\"{sign}{leading}\",\"len\":{len}}}"),
                    None => {
                        let bits = int::bits(magnitude, *captured, *digits);
                        push!(out, "{{\"int\":\"{sign}\",\"bits\":{bits}}}");
                    }
                }
            }
        }
        Value::Float(n) => float(*n, out),
        Value::Complex(real, imag) => {
            out.extend_from_slice(b"{\"complex\":[");
            float(*real, out);
            out.push(b',');
            float(*imag, out);
            out.extend_from_slice(b"]}");
        }
        Value::Str(text) => string(text, out),
        Value::Bytes(BytesKind::Str, data, len) if data.is_ascii() => {
            let text = data.iter().map(|byte| u32::from(*byte));
            characters(text, data.len() as u64 == *len, *len, out);
        }
        Value::Bytes(kind, data, len) => bytes(*kind, data, *len, out),
        Value::Sequence { .. } | Value::Dict { .. } => container(value, names, out),
        Value::Range(items) | Value::XRange(items) => {
            out.extend_from_slice(b"{\"range\":");
            list(items, names, out);
            out.push(b'}');
        }
        Value::Slice(items) => {
            out.extend_from_slice(b"{\"slice\":");
            list(items, names, out);
            out.push(b'}');
        }
        _ => named(value, names, out),
    }
}

fn float(n: f64, out: &mut Vec<u8>) {
    if n.is_finite() {
        return number::float(n, out);
    }
    out.extend_from_slice(b"{\"float\":\"");
    number::float(n, out);
    out.extend_from_slice(b"\"}");
}

fn string(text: &Text<'_>, out: &mut Vec<u8>) {
    characters(text.code_points(), text.captured() == text.len, text.len, out);
}

fn characters(text: impl Iterator<Item = u32>, whole: bool, len: u64, out: &mut Vec<u8>) {
    if whole {
        return json_str(text, out);
    }
    out.extend_from_slice(b"{\"str\":");
    json_str(text, out);
    push!(out, ",\"len\":{len}}}");
}

fn bytes(kind: BytesKind, data: &[u8], len: u64, out: &mut Vec<u8>) {
    push!(out, "{{\"{}\":\"{}\"", bytes_key(kind), STANDARD.encode(data));
    if data.len() as u64 != len {
        push!(out, ",\"len\":{len}");
    }
    out.push(b'}');
}

fn bytes_key(kind: BytesKind) -> &'static str {
    match kind {
        BytesKind::Bytes | BytesKind::Str => "bytes",
        BytesKind::ByteArray => "bytearray",
        BytesKind::MemoryView => "memoryview",
    }
}

fn container(value: &Value<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Sequence { kind, items, len, id } => {
            let name = match kind {
                SequenceKind::List => "list",
                SequenceKind::Tuple => "tuple",
                SequenceKind::Set => "set",
                SequenceKind::FrozenSet => "frozenset",
            };
            push!(out, "{{\"{name}\":");
            list(items, names, out);
            if items.len() as u64 != *len {
                push!(out, ",\"len\":{len}");
            }
            if matches!(kind, SequenceKind::List | SequenceKind::Set) {
                push!(out, ",\"id\":\"{id:#x}\"");
            }
            out.push(b'}');
        }
        Value::Dict { pairs, len, id } => {
            out.extend_from_slice(b"{\"dict\":[");
            for (i, (key, value)) in pairs.iter().enumerate() {
                out.extend_from_slice(if i == 0 { b"[" } else { b",[" });
                self::value(key, names, out);
                out.push(b',');
                self::value(value, names, out);
                out.push(b']');
            }
            out.push(b']');
            if pairs.len() as u64 != *len {
                push!(out, ",\"len\":{len}");
            }
            push!(out, ",\"id\":\"{id:#x}\"}}");
        }
        _ => {}
    }
}

/// Appends `[VALUE,…]`.
pub fn list(items: &[Value<'_>], names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i != 0 {
            out.push(b',');
        }
        value(item, names, out);
    }
    out.push(b']');
}

fn named(value: &Value<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Type(ty) => {
            out.extend_from_slice(b"{\"type\":");
            json_text(&names.of(*ty), out);
            out.push(b'}');
        }
        Value::Module { name, id } => {
            out.extend_from_slice(b"{\"module\":");
            json_text(&module_name(name, *id, names), out);
            out.push(b'}');
        }
        Value::Function { .. } | Value::CFunction { .. } => {
            out.extend_from_slice(b"{\"function\":");
            json_text(&function_name(value, names), out);
            out.push(b'}');
        }
        Value::Exception { ty, args, id } => {
            object(&names.of(*ty), Some(*id), out);
            if let Value::Sequence { items, len, .. } = &**args {
                args_field(items, *len, names, out);
            }
            out.push(b'}');
        }
        Value::Object { ty, id } => {
            object(&names.of(*ty), Some(*id), out);
            out.push(b'}');
        }
        Value::Subclass { ty, value, id } => {
            object(&names.of(*ty), Some(*id), out);
            out.extend_from_slice(b",\"value\":");
            self::value(value, names, out);
            out.push(b'}');
        }
        Value::Unreadable(address) => push!(out, "{{\"unreadable\":\"{address:#x}\"}}"),
        Value::Null => out.extend_from_slice(b"{\"unreadable\":\"0x0\"}"),
        Value::Masked(text) => masked(text.as_ref(), out),
        _ => out.extend_from_slice(b"{\"cut\":true}"),
    }
}

fn masked(text: Option<&MaskedText>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"masked\":true");
    match text {
        None => {}
        Some(MaskedText::Str(text, _)) => {
            out.extend_from_slice(b",\"str\":");
            json_text(text, out);
        }
        Some(MaskedText::Bytes(kind, data, _)) => {
            push!(out, ",\"{}\":\"{}\"", bytes_key(*kind), STANDARD.encode(data));
        }
    }
    if let Some(MaskedText::Str(_, true) | MaskedText::Bytes(_, _, true)) = text {
        out.extend_from_slice(b",\"cut\":true");
    }
    out.push(b'}');
}

/// Appends `{"object":…,"id":…`, left open.
pub fn object(name: &str, id: Option<u64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"object\":");
    json_text(name, out);
    if let Some(id) = id {
        push!(out, ",\"id\":\"{id:#x}\"");
    }
}

fn args_field(items: &[Value<'_>], len: u64, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"args\":");
    list(items, names, out);
    if items.len() as u64 != len {
        push!(out, ",\"args_len\":{len}");
    }
}

/// Appends `,"args":[…]` of an exception, where they are known.
pub fn exception_args(args: &ExceptionArgs<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    if let ExceptionArgs::Items(items, len) = args {
        args_field(items, *len, names, out);
    }
}

/// The text of a name value.
pub fn text_of(value: &Value<'_>) -> String {
    value.text().unwrap_or_else(|| "?".into())
}

/// The name of a module value.
pub fn module_name(name: &Value<'_>, id: u64, names: &mut TypeNames<'_>) -> String {
    match name {
        Value::Int(dict) => names.of_module(id, *dict as u64).to_string(),
        _ => text_of(name),
    }
}

/// `module.qualname` of a function value.
pub fn function_name(value: &Value<'_>, names: &mut TypeNames<'_>) -> String {
    match value {
        Value::Function { module, qualname, .. } => {
            format!("{}.{}", text_of(module), text_of(qualname))
        }
        Value::CFunction {
            name, module, owner, ..
        } => {
            let name = String::from_utf8_lossy(name);
            match (owner, &**module) {
                (Some(owner), _) => format!("{}.{name}", names.of(*owner)),
                (None, module) => match module.text() {
                    Some(module) => format!("{module}.{name}"),
                    None => name.into_owned(),
                },
            }
        }
        _ => "?".into(),
    }
}
