//! Which effects and functions were asked for: `-e` and `-f`.

use std::collections::BTreeSet;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::effects::{self, EFFECTS, GROUPS, OTHER};
use crate::bytecode::{LOAD_GLOBAL, OPERATIONS};

/// What `-e` is when it is not given.
pub const DEFAULT_EFFECTS: &str = "world";

/// The effects chosen by a list such as `file,net`, `all,!time`, `none` or `file.open`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection(BTreeSet<&'static str>);

/// Why a selection was not understood.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    #[error(
        "unknown effect `{word}`{near}; groups are {groups} (and world, all, none); see `pytrace-ebpf effects`"
    )]
    UnknownEffect {
        word: String,
        /// `: did you mean …?`, or nothing.
        near: String,
        groups: String,
    },
    #[error("`-f {glob}` is not a glob: {source}")]
    Glob { glob: String, source: globset::Error },
}

impl Selection {
    /// Reads a comma-separated list, from left to right: a word adds what it names, `!word` takes
    /// it out, `none` takes everything out. A list that starts with `!` starts from `world`. Reads of globals
    /// are only added by their own name.
    ///
    /// # Errors
    ///
    /// [`SelectError::UnknownEffect`], with what the word may have meant.
    pub fn parse(list: &str) -> Result<Self, SelectError> {
        let mut chosen = BTreeSet::new();
        let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
        for (i, word) in words.enumerate() {
            match word.strip_prefix('!') {
                Some(without) => {
                    if i == 0 {
                        chosen.extend(named(DEFAULT_EFFECTS)?);
                    }
                    for effect in named(without)? {
                        chosen.remove(effect);
                    }
                }
                None if word == "none" => chosen.clear(),
                None => chosen.extend(named(word)?.iter().filter(|effect| is_added(word, effect))),
            }
        }
        Ok(Self(chosen))
    }

    /// Whether calls with this effect were asked for.
    pub fn wants(&self, effect: &str) -> bool {
        self.0.contains(effect)
    }

    /// Nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Selection {
    /// Everything that reaches outside the process.
    fn default() -> Self {
        let world =
            |effect: &&effects::Effect| effects::group(effect.group()).is_some_and(|group| group.world);
        Self(EFFECTS.iter().filter(world).map(|effect| effect.effect).collect())
    }
}

/// All effects that a word names.
fn named(word: &str) -> Result<BTreeSet<&'static str>, SelectError> {
    if word == "none" {
        return Ok(BTreeSet::new());
    }
    if word == "world" {
        return Ok(Selection::default().0);
    }
    let is_meant =
        |effect: &&'static str| word == "all" || word == *effect || word == effects::group_of(effect);
    let found: BTreeSet<_> = all_effects().filter(is_meant).collect();
    if found.is_empty() {
        Err(unknown(word))
    } else {
        Ok(found)
    }
}

/// Whether a word that names an effect adds it: `memory` and `all` do not mean what nearly every line of Python code does.
fn is_added(word: &str, effect: &str) -> bool {
    effect != LOAD_GLOBAL || word == effect
}

/// Effects of C functions, effects of bytecodes, and [`OTHER`].
fn all_effects() -> impl Iterator<Item = &'static str> {
    EFFECTS
        .iter()
        .map(|effect| effect.effect)
        .chain(OPERATIONS.iter().map(|operation| operation.effect))
        .chain([OTHER])
}

fn unknown(word: &str) -> SelectError {
    let names = GROUPS
        .iter()
        .map(|group| group.name)
        .chain(["world", "all", "none"]);
    let near: BTreeSet<&str> = names
        .chain(all_effects())
        .filter(|name| is_near(word, name))
        .take(8)
        .collect();
    SelectError::UnknownEffect {
        word: word.to_owned(),
        near: if near.is_empty() {
            String::new()
        } else {
            format!(
                ": did you mean {}?",
                near.into_iter().collect::<Vec<_>>().join(", ")
            )
        },
        groups: GROUPS
            .iter()
            .map(|group| group.name)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// A slip of the finger away, or the same act's name (`open`, `socket.open` for `file.open`).
fn is_near(word: &str, name: &str) -> bool {
    let act = word.rsplit('.').next();
    distance(word, name) <= 1 + word.len() / 4 || name.split_once('.').map(|(_, act)| act) == act
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The functions named by `-f`.
#[derive(Clone, Debug)]
pub struct Functions {
    globs: GlobSet,
    /// Those that are plain names.
    names: BTreeSet<String>,
}

impl Functions {
    /// Reads the globs. `*` matches dots too: `zlib.*` is everything in zlib, its types' methods
    /// included.
    ///
    /// # Errors
    ///
    /// [`SelectError::Glob`], naming the first one that is none.
    pub fn parse<S: AsRef<str>>(globs: &[S]) -> Result<Self, SelectError> {
        let bad = |glob: &str, source| SelectError::Glob {
            glob: glob.to_owned(),
            source,
        };
        let mut set = GlobSetBuilder::new();
        for glob in globs.iter().map(AsRef::as_ref) {
            set.add(Glob::new(glob).map_err(|source| bad(glob, source))?);
        }
        let names = globs.iter().map(AsRef::as_ref).filter(|glob| is_name(glob));
        Ok(Self {
            names: names.map(str::to_owned).collect(),
            globs: set.build().map_err(|source| bad("", source))?,
        })
    }

    /// Whether the function was named, by its own name or another one it is reachable by
    /// (`builtins.open` of `_io.open`).
    pub fn matches<S: AsRef<str>>(&self, name: &str, aliases: &[S]) -> bool {
        self.globs.is_match(name) || aliases.iter().any(|alias| self.globs.is_match(alias.as_ref()))
    }

    /// The same, but by a name without wildcards.
    pub fn names<S: AsRef<str>>(&self, name: &str, aliases: &[S]) -> bool {
        self.names.contains(name) || aliases.iter().any(|alias| self.names.contains(alias.as_ref()))
    }

    /// Nothing was named.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty()
    }
}

/// A glob that means only itself.
fn is_name(glob: &str) -> bool {
    glob.chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(list: &str) -> Selection {
        Selection::parse(list).expect(list)
    }

    #[test]
    fn world_is_the_default_and_stays_outside() {
        assert_eq!(selected(DEFAULT_EFFECTS), Selection::default());
        let world = Selection::default();
        for effect in [
            "file.open",
            "net.send",
            "process.fork",
            "console.print",
            "env.set",
            "db.execute",
        ] {
            assert!(world.wants(effect), "{effect}");
        }
        for effect in [
            "time.sleep",
            "random.read",
            "memory.append",
            "thread.start",
            OTHER,
        ] {
            assert!(!world.wants(effect), "{effect}");
        }
    }

    #[test]
    fn lists_are_read_from_left_to_right() {
        assert!(selected("file,net").wants("net.send"));
        assert!(!selected("file,net").wants("db.execute"));
        assert!(selected("all,!time").wants("memory.append"));
        assert!(!selected("all,!time").wants("time.sleep"));
        assert!(!selected("file,!file.stat").wants("file.stat"));
        assert!(selected("!file, file.open").wants("file.open"));
        assert!(!selected("!file").wants("file.open"));
        assert!(selected("!file").wants("net.send"));
        assert!(selected("file.open").wants("file.open"));
        assert!(!selected("file.open").wants("file.read"));
    }

    #[test]
    fn reads_of_globals_are_only_added_by_their_name() {
        for list in [
            "all",
            "memory",
            "world",
            "memory.store_global",
            "memory.load_global,!memory",
        ] {
            assert!(!selected(list).wants(LOAD_GLOBAL), "{list}");
        }
        assert!(selected("memory.load_global").wants(LOAD_GLOBAL));
        assert!(selected("all,memory.load_global").wants("memory.append"));
        assert!(selected("all,memory.load_global").wants(LOAD_GLOBAL));
    }

    #[test]
    fn none_is_nothing() {
        assert!(selected("none").is_empty());
        assert!(selected("").is_empty());
        assert_eq!(selected("file,none,net"), selected("net"));
        assert_eq!(selected("net,!none"), selected("net"));
    }

    #[test]
    fn an_unknown_word_is_answered_with_near_ones() {
        let said = |list| Selection::parse(list).map_err(|e| e.to_string()).expect_err(list);
        assert!(said("fiel").contains("did you mean file"), "{}", said("fiel"));
        assert!(said("file.opne").contains("file.open"), "{}", said("file.opne"));
        assert!(said("open").contains("file.open"), "{}", said("open"));
        assert!(
            said("socket.send").contains("net.send"),
            "{}",
            said("socket.send")
        );
        let nothing = said("file,!xyzzyxyzzy");
        assert!(!nothing.contains("did you mean"), "{nothing}");
        assert!(nothing.contains("file, net, process"), "{nothing}");
    }

    #[test]
    fn globs_match_names_and_aliases() {
        let functions = Functions::parse(&["builtins.open", "zlib.*", "*.append"]).expect("globs");
        assert!(functions.matches("_io.open", &["io.open", "builtins.open"]));
        assert!(!functions.matches("_io.open", &["io.open"]));
        assert!(functions.matches("zlib.Compress.flush", &[] as &[&str]));
        assert!(functions.matches("builtins.list.append", &[] as &[&str]));
        assert!(!functions.matches("zlibx", &[] as &[&str]));
        assert!(functions.names("_io.open", &["io.open", "builtins.open"]));
        assert!(
            !functions.names("zlib.Compress.flush", &[] as &[&str]),
            "by a wildcard"
        );
        assert!(Functions::parse(&[] as &[&str]).expect("no globs").is_empty());
    }

    #[test]
    fn a_bad_glob_is_named() {
        let said = Functions::parse(&["a[b"])
            .map_err(|e| e.to_string())
            .expect_err("a bad glob");
        assert!(said.starts_with("`-f a[b`"), "{said}");
    }
}
