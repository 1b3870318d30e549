//! What one call is called, where a C function has several names: a slot sets and deletes, compares
//! in six ways, and may be that of several types.

use std::{borrow::Cow, sync::Arc};

use tracer_common::cookie::{Convention, SelfKind};

use super::SiteMeta;
use crate::decode::value::{Arguments, SequenceKind, Value};

/// The wrapper of a slot when it gets a value, and when it gets none.
const DELETIONS: [(&str, &str); 4] = [
    ("__setitem__", "__delitem__"),
    ("__setattr__", "__delattr__"),
    ("__set__", "__delete__"),
    ("__setslice__", "__delslice__"),
];

/// By `op` of a rich comparison: `Py_LT` … (Include/object.h).
const COMPARISONS: [&str; 6] = ["__lt__", "__le__", "__eq__", "__ne__", "__gt__", "__ge__"];

/// The name under which a method that sets is found when it deletes.
pub fn deletion_of(method: &str) -> Option<&'static str> {
    let pair = DELETIONS.iter().find(|(sets, _)| *sets == method)?;
    Some(pair.1)
}

/// Is it a name that a slot has only when it gets no value?
pub fn is_deletion(method: &str) -> bool {
    DELETIONS.iter().any(|(_, deletes)| *deletes == method)
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
    /// Names a call by its arguments, which afterwards are those that the caller wrote. `type_name` gives
    /// the name of a value's type, or of the value if it is a type that an instance is made of.
    pub fn name_call(
        &self,
        arguments: &mut Arguments<'_>,
        type_name: impl FnOnce(&Value<'_>) -> Option<String>,
    ) -> CallName<'_> {
        let of_site = method_of(&self.function);
        let deletes = self.deletes(arguments);
        let method = match self.convention {
            Convention::Compare => comparison(arguments).unwrap_or(of_site),
            _ if deletes => deletion_of(of_site).unwrap_or(of_site),
            _ => of_site,
        };
        let owner = match &arguments.self_ {
            None => None,
            Some(_) if self.aliases.is_empty() => None,
            // A class method is not renamed for the class that inherits it.
            Some(Value::Type(_)) if self.self_kind != SelfKind::Type && of_site != "__new__" => None,
            Some(value) => self.builtin_type(value).or_else(|| type_name(value)),
        };
        if self.self_kind == SelfKind::Type {
            arguments.self_ = None;
        }
        let (function, module_len) = owner
            .and_then(|owner| self.of_owner(&owner, method))
            .unwrap_or_else(|| (self.with_method(method), self.module_len));
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

    /// The function's name for an object of that type, where several types share the function; and
    /// the length of its module part.
    fn of_owner(&self, owner: &str, method: &str) -> Option<(Cow<'_, str>, usize)> {
        let is_method = |alias: &str| {
            let of = alias.strip_suffix(method).and_then(|of| of.strip_suffix('.'));
            of == Some(owner)
        };
        let makes = self.self_kind == SelfKind::Type;
        let named = |alias: &&Arc<str>| makes && ***alias == *owner || is_method(alias);
        let alias = self.aliases.iter().find(named)?;
        Some((Cow::Borrowed(alias), owner.rfind('.').unwrap_or(0)))
    }

    /// The type of a value that does not carry it.
    fn builtin_type(&self, value: &Value<'_>) -> Option<String> {
        let name = match value {
            Value::Sequence { kind, .. } => match kind {
                SequenceKind::List => "list",
                SequenceKind::Tuple => "tuple",
                SequenceKind::Set => "set",
                SequenceKind::FrozenSet => "frozenset",
            },
            Value::Dict { .. } => "dict",
            _ => return None,
        };
        let python2 = self.function.starts_with("__builtin__.");
        let module = if python2 { "__builtin__" } else { "builtins" };
        Some(format!("{module}.{name}"))
    }
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
    use tracer_common::{cookie::ReturnKind, wire::TypeRef};

    use super::*;
    use crate::event::Deletion;

    fn site(function: &str, aliases: &[&str], convention: Convention, self_kind: SelfKind) -> SiteMeta {
        SiteMeta {
            function: function.into(),
            module_len: function.find('.').expect("a module"),
            aliases: aliases.iter().map(|alias| Arc::from(*alias)).collect(),
            effect: "memory.set_item",
            wanted: false,
            deletion: Some(Deletion {
                effect: "memory.delete_item",
                wanted: true,
            }),
            convention,
            self_kind,
            return_kind: ReturnKind::Status,
            named: false,
            no_return: None,
            target: &[],
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

    fn of(site: &SiteMeta, arguments: &mut Arguments<'_>, ty: &str) -> (String, &'static str, bool) {
        let name = site.name_call(arguments, |_| Some(ty.to_owned()));
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
        let name = site.name_call(&mut given(set, vec![]), |_| unreachable!("it is known"));
        assert_eq!(name.function, "builtins.set.__contains__");
    }
}
