//! What one call is called, where a C function has several names. A slot sets and deletes, or compares in
//! six ways: the arguments say which. Several types, or a type and a module, may share a function: what it
//! was called on says which of its names a call goes by.

use std::borrow::Cow;

use tracer_common::{
    cookie::{Convention, SelfKind},
    wire::TypeRef,
};

use super::{SiteMeta, call::TypeNames};
use crate::decode::value::{Arguments, BytesKind, SequenceKind, Value};

/// The wrapper of a slot when it gets a value, and when it gets none.
const DELETIONS: [(&str, &str); 4] = [
    ("__setitem__", "__delitem__"),
    ("__setattr__", "__delattr__"),
    ("__set__", "__delete__"),
    ("__setslice__", "__delslice__"),
];

/// By `op` of a rich comparison: `Py_LT` … (Include/object.h).
const COMPARISONS: [&str; 6] = ["__lt__", "__le__", "__eq__", "__ne__", "__gt__", "__ge__"];

/// Is it a name that a slot has only when it gets no value?
pub fn is_deletion(method: &str) -> bool {
    DELETIONS.iter().any(|(_, deletes)| *deletes == method)
}

/// The name that a slot has when it gets no value, by the one that it has with one.
pub fn deletion_of(method: &str) -> Option<&'static str> {
    let pair = DELETIONS.iter().find(|(sets, _)| *sets == method);
    pair.map(|(_, deletes)| *deletes)
}

/// The last part of a dotted name.
pub fn method_of(function: &str) -> &str {
    function.rsplit('.').next().unwrap_or(function)
}

/// The name of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallName<'a> {
    pub function: Cow<'a, str>,
    /// Length of the module part of `function`.
    pub module_len: usize,
    pub effect: &'static str,
    /// Asked for, by effect or by name.
    pub wanted: bool,
}

impl SiteMeta {
    /// Names a call. Afterwards `arguments` are those that the caller wrote: without the operator of a
    /// comparison, the type that a constructor is given, and the module a function belongs to.
    pub fn name_call(&self, arguments: &mut Arguments<'_>, names: &mut TypeNames<'_>) -> CallName<'_> {
        let of_site = method_of(&self.function);
        let deletes = self.deletes(arguments);
        let method = if self.convention == Convention::Compare {
            comparison(arguments).unwrap_or(of_site)
        } else if deletes {
            deletion_of(of_site).unwrap_or(of_site)
        } else {
            of_site
        };
        let (function, module_len) = self
            .shared_name(method, arguments, names)
            .unwrap_or_else(|| (self.with_method(method), self.module_len));
        if self.self_kind == SelfKind::Type {
            arguments.self_ = None;
        }
        let (effect, wanted) = match &self.deletion {
            Some(deletion) if deletes => (deletion.effect, deletion.wanted),
            _ => (self.effect, self.wanted),
        };
        CallName {
            function,
            module_len,
            effect,
            wanted,
        }
    }

    /// Does the slot get no value, hence deletes?
    fn deletes(&self, arguments: &Arguments<'_>) -> bool {
        let keys = match self.convention {
            Convention::KeyValue | Convention::IndexValue => 1,
            Convention::SliceValue => 2,
            _ => return false,
        };
        arguments.args_len == keys
    }

    /// The site's own name, with another method.
    fn with_method(&self, method: &str) -> Cow<'_, str> {
        match self.function.strip_suffix(method_of(&self.function)) {
            Some(owner) if !self.function.ends_with(method) => format!("{owner}{method}").into(),
            _ => Cow::Borrowed(&self.function),
        }
    }

    /// Where others share the function: its name for this call, and how long the module part is. `self` is
    /// taken out of `arguments` if the call turns out to be that of a module's function.
    fn shared_name(
        &self,
        method: &str,
        arguments: &mut Arguments<'_>,
        names: &mut TypeNames<'_>,
    ) -> Option<(Cow<'_, str>, usize)> {
        if self.aliases.is_empty() {
            return None;
        }
        let module = self.function.get(..self.module_len)?;
        match arguments.self_.as_ref()? {
            // Python 2 passes NULL where later versions pass the module.
            Value::Module { .. } | Value::Null => {
                let name = self.name_in(module, method)?;
                arguments.self_ = None;
                Some((name.into(), module.len()))
            }
            bound => self.name_for(module, method, bound, names),
        }
    }

    /// The name by the exact type, else by the builtin type that it derives from.
    fn name_for(
        &self,
        module: &str,
        method: &str,
        bound: &Value<'_>,
        names: &mut TypeNames<'_>,
    ) -> Option<(Cow<'_, str>, usize)> {
        if let Some(ty) = type_of(bound) {
            let owner = names.of(ty);
            if let Some(name) = self.name_in(&owner, method) {
                return Some((name.into(), owner.rfind('.').unwrap_or(0)));
            }
        }
        let base = builtin_type(bound)?;
        let name = self.name_in(&format!("{module}.{base}"), method)?;
        Some((name.into(), module.len()))
    }

    /// The function's name in that type or module; a constructor's is the type's.
    fn name_in(&self, owner: &str, method: &str) -> Option<&str> {
        let makes = self.self_kind == SelfKind::Type;
        let is_method = |name: &str| {
            let of = name.strip_suffix(method).and_then(|of| of.strip_suffix('.'));
            of == Some(owner)
        };
        std::iter::once(&self.function)
            .chain(&*self.aliases)
            .map(|name| &**name)
            .find(|name| makes && *name == owner || is_method(name))
    }
}

/// The type of a value that carries it. A class, on which a class method or a constructor is called, is
/// the type itself.
fn type_of(value: &Value<'_>) -> Option<TypeRef> {
    match value {
        Value::Object { ty, .. }
        | Value::Subclass { ty, .. }
        | Value::Exception { ty, .. }
        | Value::Type(ty) => Some(*ty),
        _ => None,
    }
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

/// Takes the operator off the arguments.
fn comparison(arguments: &mut Arguments<'_>) -> Option<&'static str> {
    let Some(Value::Int(op)) = arguments.args.pop() else {
        return None;
    };
    arguments.args_len = arguments.args_len.saturating_sub(1);
    COMPARISONS.get(usize::try_from(op).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracer_common::{cookie::ReturnKind, wire::FrameRecord};

    use super::*;
    use crate::{
        decode::names::{Code, Names},
        event::{Deletion, plain_site},
    };

    /// All types have one name.
    struct OneName(&'static str);

    impl Names for OneName {
        fn type_name(&mut self, _: u16, _: TypeRef) -> Option<Arc<str>> {
            Some(self.0.into())
        }

        fn module_name(&mut self, _: u16, _: u64, _: u64) -> Option<Arc<str>> {
            None
        }

        fn code(&mut self, _: u16, _: &FrameRecord) -> Option<Arc<Code>> {
            None
        }
    }

    fn site(function: &str, aliases: &[&str], convention: Convention, self_kind: SelfKind) -> SiteMeta {
        SiteMeta {
            aliases: aliases.iter().map(|alias| Arc::from(*alias)).collect(),
            wanted: false,
            deletion: Some(Deletion {
                effect: "memory.delete_item",
                wanted: true,
            }),
            convention,
            self_kind,
            return_kind: ReturnKind::Status,
            ..plain_site(function, "memory.set_item")
        }
    }

    fn given<'a>(self_: Value<'a>, args: Vec<Value<'a>>) -> Arguments<'a> {
        Arguments {
            self_: Some(self_),
            args_len: args.len() as u64,
            args,
            ..Arguments::default()
        }
    }

    fn of(site: &SiteMeta, arguments: &mut Arguments<'_>, ty: &'static str) -> (String, &'static str, bool) {
        let mut names = OneName(ty);
        let mut names = TypeNames {
            names: &mut names,
            target: 0,
        };
        let name = site.name_call(arguments, &mut names);
        assert!(name.function[name.module_len..].starts_with('.'));
        (name.function.into_owned(), name.effect, name.wanted)
    }

    const OBJECT: Value<'static> = Value::Object {
        ty: TypeRef {
            address: 1,
            fingerprint: 2,
        },
        id: 3,
    };

    #[test]
    fn a_slot_without_a_value_deletes() {
        let aliases = ["m.T.__delitem__", "m.U.__delitem__", "m.U.__setitem__"];
        let site = site("m.T.__setitem__", &aliases, Convention::KeyValue, SelfKind::Bound);
        let key = || vec![Value::Int(1)];
        let both = || vec![Value::Int(1), Value::None];
        let set = of(&site, &mut given(OBJECT, both()), "m.T");
        assert_eq!(set, ("m.T.__setitem__".to_owned(), "memory.set_item", false));
        let deleted = of(&site, &mut given(OBJECT, key()), "m.T");
        assert_eq!(
            deleted,
            ("m.T.__delitem__".to_owned(), "memory.delete_item", true)
        );
        assert_eq!(of(&site, &mut given(OBJECT, key()), "m.U").0, "m.U.__delitem__");
        assert_eq!(of(&site, &mut given(OBJECT, both()), "m.U").0, "m.U.__setitem__");
        assert_eq!(
            of(&site, &mut given(OBJECT, key()), "app.Subclass").0,
            "m.T.__delitem__"
        );
    }

    #[test]
    fn a_comparison_is_named_by_its_operator() {
        let site = site("m.T.__lt__", &[], Convention::Compare, SelfKind::Bound);
        let mut arguments = given(OBJECT, vec![Value::None, Value::Int(2)]);
        assert_eq!(of(&site, &mut arguments, "m.T").0, "m.T.__eq__");
        assert_eq!((arguments.args, arguments.args_len), (vec![Value::None], 1));
    }

    #[test]
    fn a_constructor_is_named_as_the_type_and_does_not_show_it() {
        let aliases = ["builtins.ValueError"];
        let site = site(
            "builtins.BaseException",
            &aliases,
            Convention::VarArgsKeywords,
            SelfKind::Type,
        );
        let mut arguments = given(OBJECT, vec![]);
        assert_eq!(
            of(&site, &mut arguments, "builtins.ValueError").0,
            "builtins.ValueError"
        );
        assert_eq!(arguments.self_, None);
        let mut arguments = given(OBJECT, vec![]);
        assert_eq!(of(&site, &mut arguments, "app.Error").0, "builtins.BaseException");
    }

    #[test]
    fn a_builtin_container_says_what_it_is() {
        let aliases = ["builtins.set.__contains__"];
        let site = site(
            "builtins.frozenset.__contains__",
            &aliases,
            Convention::O,
            SelfKind::Bound,
        );
        let set = Value::Sequence {
            kind: SequenceKind::Set,
            items: vec![],
            len: 0,
            id: 1,
        };
        let name = of(&site, &mut given(set, vec![]), "?").0;
        assert_eq!(name, "builtins.set.__contains__");
    }
}
