//! The catalogue of side effects: which C function does what to the world.

mod table;

use std::{collections::HashMap, fmt, sync::LazyLock};

pub use table::EFFECTS;

/// Where a part of an event's `target` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A positional argument, or the keyword of that name (empty: positional only).
    Argument { position: usize, name: &'static str },
    /// The result of the call.
    Result,
}

/// One part of an event's `target`: `fd`, `path`, `peer`, `pid`, `sql` …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetPart {
    pub key: &'static str,
    pub from: From,
}

/// What one C function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// `module.qualname` as Python reports it, one for each spelling among the versions.
    pub names: &'static [&'static str],
    /// `group.name`.
    pub effect: &'static str,
    /// No Python code runs inside, arguments of builtin and `pathlib` types given: a return
    /// probe is safe even where C stacks are switched.
    pub leaf: bool,
    pub target: &'static [TargetPart],
}

/// Groups that reach outside the process: the default, `world`.
pub const WORLD: [&str; 6] = ["file", "net", "process", "console", "env", "db"];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Effect>> = LazyLock::new(|| {
    EFFECTS
        .iter()
        .flat_map(|effect| effect.names.iter().map(move |name| (*name, effect)))
        .collect()
});

/// The effect of the function with that name, if the catalogue has it.
pub fn lookup(function: &str) -> Option<&'static Effect> {
    BY_NAME.get(function).copied()
}

/// `group` of `group.name`.
pub fn group(effect: &str) -> &str {
    effect.split('.').next().unwrap_or(effect)
}

/// Group names, in the order of the table.
pub fn groups() -> Vec<&'static str> {
    let mut groups = Vec::new();
    for effect in EFFECTS {
        let group = group(effect.effect);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

/// Writes the catalogue: a line an effect, with its functions.
pub fn write(out: &mut impl fmt::Write) -> fmt::Result {
    for group in groups() {
        let world = if WORLD.contains(&group) { " (in world)" } else { "" };
        writeln!(out, "{group}{world}")?;
        let mut seen: Vec<&str> = Vec::new();
        for effect in EFFECTS
            .iter()
            .filter(|effect| self::group(effect.effect) == group)
        {
            if seen.contains(&effect.effect) {
                continue;
            }
            seen.push(effect.effect);
            let functions: Vec<&str> = EFFECTS
                .iter()
                .filter(|other| other.effect == effect.effect)
                .filter_map(|other| other.names.first().copied())
                .collect();
            writeln!(out, "  {:<20} {}", effect.effect, functions.join(", "))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_every_effect_has_a_group() {
        let names: Vec<_> = EFFECTS.iter().flat_map(|effect| effect.names).collect();
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(names.len(), unique.len());
        assert!(names.len() >= 60);
        for effect in EFFECTS {
            assert_eq!(effect.effect.split('.').count(), 2, "{}", effect.effect);
        }
        for group in WORLD {
            assert!(groups().contains(&group), "{group}");
        }
    }
}
