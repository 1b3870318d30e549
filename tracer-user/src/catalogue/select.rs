//! What the user asked to see: `-e` and `-f`.

use globset::{Glob, GlobMatcher};
use thiserror::Error;

use super::effects::{EFFECTS, WORLD, group, groups};

/// Why a list or a pattern is not understood.
#[derive(Debug, Error)]
pub enum SelectError {
    #[error(
        "no effect or group is called `{name}`; groups: {groups}, world, all, none; see `pytrace-ebpf effects`"
    )]
    Unknown { name: String, groups: String },
    #[error("`{pattern}` is not a pattern: {error}")]
    Pattern { pattern: String, error: globset::Error },
}

/// A choice of effects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    effects: Vec<&'static str>,
}

impl Selection {
    /// Reads `file,net`, `all,!time`, `none`: from left to right, `!x` takes x out. A list that starts by taking out
    /// takes out of `world`.
    ///
    /// # Errors
    /// A name that is neither effect nor group.
    pub fn parse(list: &str) -> Result<Self, SelectError> {
        let mut selection = Self::default();
        if list.trim_start().starts_with('!') {
            selection.effects = matching("world")?;
        }
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.strip_prefix('!') {
                Some(out) => {
                    let out = matching(out)?;
                    selection.effects.retain(|effect| !out.contains(effect));
                }
                None => selection.effects.extend(matching(item)?),
            }
        }
        Ok(selection)
    }

    /// Whether an effect (`group.name`) was chosen.
    pub fn wants(&self, effect: &str) -> bool {
        self.effects.contains(&effect)
    }
}

fn matching(name: &str) -> Result<Vec<&'static str>, SelectError> {
    let chosen = |effect: &str| match name {
        "all" => true,
        "none" => false,
        "world" => WORLD.contains(&group(effect)),
        _ => effect == name || group(effect) == name,
    };
    let effects: Vec<_> = EFFECTS
        .iter()
        .map(|entry| entry.effect)
        .filter(|effect| chosen(effect))
        .collect();
    if effects.is_empty() && name != "none" {
        return Err(SelectError::Unknown {
            name: name.into(),
            groups: groups().join(", "),
        });
    }
    Ok(effects)
}

/// Functions named by `-f`.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    patterns: Vec<GlobMatcher>,
}

impl Functions {
    /// Reads patterns in which `*` and `?` stand for any characters, dots included.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn parse(patterns: &[String]) -> Result<Self, SelectError> {
        let compile = |pattern: &String| {
            Glob::new(pattern)
                .map(|glob| glob.compile_matcher())
                .map_err(|error| SelectError::Pattern {
                    pattern: pattern.clone(),
                    error,
                })
        };
        Ok(Self {
            patterns: patterns.iter().map(compile).collect::<Result<_, _>>()?,
        })
    }

    /// Whether one of the patterns matches the function's name or another name it goes by.
    pub fn matches(&self, name: &str, aliases: &[String]) -> bool {
        let matches = |name: &str| self.patterns.iter().any(|pattern| pattern.is_match(name));
        matches(name) || aliases.iter().any(|alias| matches(alias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_from_left_to_right() {
        let selection = Selection::parse("file,!file.stat,time.sleep").unwrap();
        assert!(selection.wants("file.open") && selection.wants("time.sleep"));
        assert!(!selection.wants("file.stat") && !selection.wants("time.read"));
        assert!(Selection::parse("all,!time").unwrap().wants("random.read"));
        assert!(!Selection::parse("world").unwrap().wants("random.read"));
        assert_eq!(Selection::parse("none").unwrap(), Selection::default());
        assert!(Selection::parse("!net").unwrap().wants("file.open"));
        assert!(Selection::parse("flie").is_err());
    }

    #[test]
    fn patterns_match_names_and_aliases() {
        let functions = Functions::parse(&["builtins.open".into(), "zlib.*".into()]).unwrap();
        assert!(functions.matches("_io.open", &["builtins.open".into()]));
        assert!(functions.matches("zlib.Compress.flush", &[]));
        assert!(!functions.matches("posix.open", &[]));
    }
}
