//! Several types, or a type and a module, may share one C function. What it was called on says which of its
//! names a call goes by.

use super::{SiteMeta, call::TypeNames};
use crate::decode::value::{Arguments, BytesKind, SequenceKind, Value};

/// The function's name for this call, and how long its module part is. `self` is taken out of
/// `arguments` if the call turns out to be that of a module's function.
pub fn name_of<'m>(
    meta: &'m SiteMeta,
    arguments: &mut Arguments<'_>,
    names: &mut TypeNames<'_>,
) -> (&'m str, usize) {
    let own: (&str, usize) = (&meta.function, meta.module_len);
    if meta.aliases.is_empty() {
        return own;
    }
    let module = meta.function.get(..meta.module_len).unwrap_or_default();
    match &arguments.self_ {
        // Python 2 passes NULL where later versions pass the module.
        Some(Value::Module { .. } | Value::Null) => match meta.name_in(module) {
            Some(name) => {
                arguments.self_ = None;
                (name, module.len())
            }
            None => own,
        },
        Some(bound) => name_for(meta, module, bound, names).unwrap_or(own),
        None => own,
    }
}

/// The name by the exact type, else by the builtin type that it derives from.
fn name_for<'m>(
    meta: &'m SiteMeta,
    module: &str,
    bound: &Value<'_>,
    names: &mut TypeNames<'_>,
) -> Option<(&'m str, usize)> {
    if let Value::Object { ty, .. } | Value::Subclass { ty, .. } = bound {
        let owner = names.of(*ty);
        if let Some(name) = meta.name_in(&owner) {
            return Some((name, owner.rfind('.').unwrap_or(0)));
        }
    }
    let base = builtin_type(bound)?;
    Some((meta.name_in(&format!("{module}.{base}"))?, module.len()))
}

/// The builtin type of a value of which it, and another type, may have a method.
fn builtin_type(value: &Value<'_>) -> Option<&'static str> {
    Some(match value {
        Value::Sequence { kind, .. } => match kind {
            SequenceKind::List => "list",
            SequenceKind::Tuple => "tuple",
            SequenceKind::Set => "set",
            SequenceKind::FrozenSet => "frozenset",
        },
        Value::Dict { .. } => "dict",
        Value::Bytes(BytesKind::Bytes, ..) => "bytes",
        Value::Bytes(BytesKind::ByteArray, ..) => "bytearray",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::BigInt { .. } => "int",
        Value::Float(_) => "float",
        Value::Subclass { value, .. } => return builtin_type(value),
        _ => return None,
    })
}

impl SiteMeta {
    /// The function's name in that type or module.
    fn name_in(&self, owner: &str) -> Option<&str> {
        let method = self.function.rsplit('.').next()?;
        let is_in =
            |name: &str| name.strip_suffix(method).and_then(|rest| rest.strip_suffix('.')) == Some(owner);
        std::iter::once(&self.function)
            .chain(&*self.aliases)
            .map(|name| &**name)
            .find(|name| is_in(name))
    }
}
