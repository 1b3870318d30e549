//! Values as Python's `repr` writes them.

use std::io::Write as _;

use super::{
    escape::{plain, repr_bytes, repr_str},
    json_value::{function_name, module_name},
    number,
};
use crate::{
    decode::{
        int::{self, leading_decimals},
        value::{BytesKind, MaskedText, SequenceKind, Value},
    },
    event::call::{ExceptionArgs, TypeNames},
};

const CUT: &[u8] = b"...";

/// Appends the value.
pub fn value(value: &Value<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"<NULL>"),
        Value::None => out.extend_from_slice(b"None"),
        Value::Bool(true) => out.extend_from_slice(b"True"),
        Value::Bool(false) => out.extend_from_slice(b"False"),
        Value::Int(n) => push!(out, "{n}"),
        Value::Long(n) => push!(out, "{n}L"),
        Value::BigInt {
            negative,
            magnitude,
            captured,
            digits,
            long,
        } => {
            let sign = if *negative { "-" } else { "" };
            if u64::from(*captured) == *digits {
                push!(out, "{sign}{magnitude}{}", if *long { "L" } else { "" });
            } else {
                match leading_decimals(magnitude, *captured, *digits) {
                    Some((leading, _)) => push!(out, "{sign}{leading}..."),
                    None => push!(out, "<int of {} bits>", int::bits(magnitude, *captured, *digits)),
                }
            }
        }
        Value::Float(n) => number::float(*n, out),
        Value::Complex(real, imag) => complex(*real, *imag, out),
        Value::Str(text) => {
            if text.unicode {
                out.push(b'u');
            }
            repr_str(text.code_points().collect::<Vec<_>>().into_iter(), out);
            if text.captured() != text.len {
                out.extend_from_slice(CUT);
            }
        }
        Value::Bytes(kind, data, len) => bytes(*kind, data, *len, out),
        Value::Sequence { .. } | Value::Dict { .. } => container(value, names, out),
        Value::Range(items) => range("range(", items, names, out),
        Value::XRange(items) => range("xrange(", items, names, out),
        Value::Slice(items) => {
            out.extend_from_slice(b"slice(");
            list(items, items.len() as u64, names, out);
            out.push(b')');
        }
        _ => named(value, names, out),
    }
}

/// Appends items separated by commas, `...` where some were not captured.
pub fn list(items: &[Value<'_>], len: u64, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    for (i, item) in items.iter().enumerate() {
        if i != 0 {
            out.extend_from_slice(b", ");
        }
        value(item, names, out);
    }
    if items.len() as u64 != len {
        out.extend_from_slice(if items.is_empty() { b"..." } else { b", ..." });
    }
}

fn complex(real: f64, imag: f64, out: &mut Vec<u8>) {
    if real == 0.0 && real.is_sign_positive() {
        number::complex_part(imag, out);
        return out.push(b'j');
    }
    out.push(b'(');
    number::complex_part(real, out);
    if imag.is_sign_positive() || imag.is_nan() {
        out.push(b'+');
    }
    number::complex_part(imag, out);
    out.extend_from_slice(b"j)");
}

fn bytes(kind: BytesKind, data: &[u8], len: u64, out: &mut Vec<u8>) {
    match kind {
        BytesKind::Bytes => out.push(b'b'),
        BytesKind::Str => {}
        BytesKind::ByteArray => out.extend_from_slice(b"bytearray(b"),
        BytesKind::MemoryView => out.extend_from_slice(b"memoryview(b"),
    }
    repr_bytes(data, out);
    if data.len() as u64 != len {
        out.extend_from_slice(CUT);
    }
    if matches!(kind, BytesKind::ByteArray | BytesKind::MemoryView) {
        out.push(b')');
    }
}

fn range(open: &str, items: &[Value<'_>], names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    // `range_repr` leaves out a step of 1 (Objects/rangeobject.c).
    let shown = if items.get(2) == Some(&Value::Int(1)) {
        &items[..2]
    } else {
        items
    };
    out.extend_from_slice(open.as_bytes());
    list(shown, shown.len() as u64, names, out);
    out.push(b')');
}

fn container(value: &Value<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Sequence { kind, items, len, .. } => {
            let (open, close): (&str, &str) = match kind {
                SequenceKind::List => ("[", "]"),
                SequenceKind::Tuple if *len == 1 && items.len() == 1 => ("(", ",)"),
                SequenceKind::Tuple => ("(", ")"),
                SequenceKind::Set if *len == 0 => ("set(", ")"),
                SequenceKind::Set => ("{", "}"),
                SequenceKind::FrozenSet if *len == 0 => ("frozenset(", ")"),
                SequenceKind::FrozenSet => ("frozenset({", "})"),
            };
            out.extend_from_slice(open.as_bytes());
            list(items, *len, names, out);
            out.extend_from_slice(close.as_bytes());
        }
        Value::Dict { pairs, len, .. } => {
            out.push(b'{');
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i != 0 {
                    out.extend_from_slice(b", ");
                }
                self::value(key, names, out);
                out.extend_from_slice(b": ");
                self::value(value, names, out);
            }
            if pairs.len() as u64 != *len {
                out.extend_from_slice(if pairs.is_empty() { b"..." } else { b", ..." });
            }
            out.push(b'}');
        }
        _ => {}
    }
}

/// `Name` of `module.Name`, builtins (also Python 2's) without their module.
pub fn short(name: &str) -> &str {
    let builtins = ["builtins.", "__builtin__.", "exceptions."];
    let bare = builtins.iter().find_map(|module| name.strip_prefix(module));
    bare.unwrap_or(name)
}

fn named(value: &Value<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Type(ty) => {
            out.extend_from_slice(b"<class '");
            plain(short(&names.of(*ty)), out);
            out.extend_from_slice(b"'>");
        }
        Value::Module { name, id } => {
            out.extend_from_slice(b"<module '");
            plain(&module_name(name, *id, names), out);
            out.extend_from_slice(b"'>");
        }
        Value::Function { .. } => {
            out.extend_from_slice(b"<function ");
            plain(&function_name(value, names), out);
            out.push(b'>');
        }
        Value::CFunction { .. } => {
            out.extend_from_slice(b"<built-in function ");
            plain(short(&function_name(value, names)), out);
            out.push(b'>');
        }
        Value::Exception { ty, args, .. } => {
            plain(last_part(&names.of(*ty)), out);
            exception_args(args, names, out);
        }
        Value::Object { ty, id } => {
            out.push(b'<');
            plain(short(&names.of(*ty)), out);
            push!(out, " {id:#x}>");
        }
        Value::Subclass { ty, value, .. } => {
            plain(last_part(&names.of(*ty)), out);
            out.push(b'(');
            self::value(value, names, out);
            out.push(b')');
        }
        Value::Masked(text) => masked(text.as_ref(), out),
        Value::Unreadable(address) => push!(out, "<unreadable {address:#x}>"),
        _ => out.extend_from_slice(CUT),
    }
}

fn masked(text: Option<&MaskedText>, out: &mut Vec<u8>) {
    match text {
        None => out.extend_from_slice(b"'***'"),
        Some(MaskedText::Str(text, _)) => {
            repr_str(text.chars().map(u32::from).collect::<Vec<_>>().into_iter(), out)
        }
        Some(MaskedText::Bytes(kind, data, cut)) => {
            let more = u64::from(*cut);
            return bytes(*kind, data, data.len() as u64 + more, out);
        }
    }
    if let Some(MaskedText::Str(_, true)) = text {
        out.extend_from_slice(CUT);
    }
}

/// The class's own name.
pub fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn exception_args(args: &Value<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match args {
        Value::Sequence { items, len, .. } => raised_args(&ExceptionItems { items, len: *len }, names, out),
        _ => out.extend_from_slice(b"(...)"),
    }
}

struct ExceptionItems<'v, 'a> {
    items: &'v [Value<'a>],
    len: u64,
}

fn raised_args(args: &ExceptionItems<'_, '_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    out.push(b'(');
    list(args.items, args.len, names, out);
    out.push(b')');
}

/// Appends `(args)` of a raised exception.
pub fn raised(args: &ExceptionArgs<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    match args {
        ExceptionArgs::Items(items, len) => raised_args(&ExceptionItems { items, len: *len }, names, out),
        ExceptionArgs::Unknown => out.extend_from_slice(b"(...)"),
    }
}
