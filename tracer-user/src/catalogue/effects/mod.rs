//! The catalogue of side effects: which C function does what to the world.
//!
//! [`EFFECTS`] is the one table; [`GROUPS`] says what the first half of an effect's name means, and
//! whether it belongs to the default selection, `world`.

pub mod audit;
mod handles;
pub mod secrets;
mod tables;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use handles::handle_of;
pub use tables::{DRIVERS, EFFECTS, GROUPS};

/// Where a part of an event's `target` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum From {
    /// A positional argument, or the keyword of that name (empty: positional only).
    Argument { position: usize, name: &'static str },
    /// The last of two positional arguments or more.
    Last,
    /// The result of the call.
    Result,
    /// An item of the tuple that is the result.
    ResultItem(usize),
}

/// One part of an event's `target`: `fd`, `path`, `peer`, `pid`, `sql` …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetPart {
    pub key: &'static str,
    pub from: From,
}

/// The effect of functions that are traced only because somebody named them.
pub const OTHER: &str = "other.call";

/// What a C function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The function, as `f"{f.__module__}.{f.__qualname__}"`, or `module.type.__init__` for a slot,
    /// or the type for a constructor. More than one where Python versions differ, the newest first.
    pub names: &'static [&'static str],
    /// `group.name`: `file.open`.
    pub effect: &'static str,
    /// No Python code can run inside, whatever the arguments: none is converted by a `__fspath__`,
    /// `__index__` or `__float__`, none is waited for (a signal handler would run), no audit hook is
    /// called, and nothing is allocated that the garbage collector knows (before 3.12 a collection,
    /// hence a finalizer, may run at any such allocation). Only then is a uretprobe safe in a
    /// program that switches C stacks.
    pub leaf: bool,
    /// What the call acts on.
    pub target: &'static [TargetPart],
    /// Where the bytes or objects are that it writes, sends, reads or receives, if that is known.
    pub data: Option<From>,
    /// Position of an argument that is a buffer: what is read or received goes there.
    pub fills: Option<u8>,
    /// The first minor version of Python 3 that has it; `None`: it is, or once was, there in 3.13 or older.
    pub since: Option<u8>,
}

impl Effect {
    /// The same, of a function that came with that version.
    const fn since(self, minor: u8) -> Self {
        Self {
            since: Some(minor),
            ..self
        }
    }

    /// The same, with [`Effect::data`].
    const fn with_data(self, data: From) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    /// The same, with [`Effect::fills`].
    const fn filling(self, position: u8) -> Self {
        Self {
            fills: Some(position),
            ..self
        }
    }

    /// The effect's group: `file` of `file.open`.
    pub fn group(&self) -> &'static str {
        group_of(self.effect)
    }
}

/// The group of an effect: `file` of `file.open`.
pub fn group_of(effect: &str) -> &str {
    effect.split_once('.').map_or(effect, |(group, _)| group)
}

/// A group of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: &'static str,
    /// Reaches outside the process: part of the default selection.
    pub world: bool,
    pub doc: &'static str,
}

/// The group with that name.
pub fn group(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}

/// The effect of the function with that full name, in whatever Python version.
pub fn find(function: &str) -> Option<&'static Effect> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Effect>> = LazyLock::new(|| {
        let names = |effect: &'static Effect| effect.names.iter().map(move |&name| (name, effect));
        EFFECTS.iter().flat_map(names).collect()
    });
    BY_NAME.get(function).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::bytecode::OPERATIONS;

    #[test]
    fn every_name_is_there_once() {
        let mut seen = HashSet::new();
        for name in EFFECTS.iter().flat_map(|effect| effect.names) {
            assert!(seen.insert(name), "{name} is there twice");
            assert!(find(name).is_some());
        }
        assert!(seen.len() >= 120);
    }

    #[test]
    fn every_effect_is_in_a_group_and_every_group_is_used() {
        for effect in EFFECTS.iter() {
            assert!(effect.effect.contains('.'), "{effect:?}");
            assert!(group(effect.group()).is_some(), "{effect:?}");
            assert!(!effect.names.is_empty(), "{effect:?}");
        }
        for group in GROUPS {
            let effects = EFFECTS.iter().map(|effect| effect.effect);
            let of_bytecodes = OPERATIONS.iter().map(|operation| operation.effect);
            let mut groups = effects.chain(of_bytecodes).map(group_of);
            assert!(groups.any(|name| name == group.name), "{group:?}");
        }
    }

    #[test]
    fn open_has_one_effect_under_both_its_names() {
        assert_eq!(find("io.open"), find("_io.open"));
        assert_eq!(find("_io.open").map(|open| open.effect), Some("file.open"));
    }
}
