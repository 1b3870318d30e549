//! Which calls are meant by a glob: of the Python code that makes them, of what they act on, of their thread.

use globset::{GlobBuilder, GlobSet};
use thiserror::Error;

/// Bytes of one glob at most: braces inside braces are followed as deep as they go.
const MAX_GLOB: usize = 4096;
/// Bytes of all globs of an option; those of a recording may be anybody's.
const MAX_GLOBS: usize = 64 * 1024;
/// Characters of a glob that a message shows.
const SHOWN: usize = 80;

/// Why a text is no pattern.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{glob}` is not a glob: {why}; quote a special character as `[*]`")]
pub struct BadGlob {
    pub glob: String,
    why: String,
}

impl BadGlob {
    fn new(glob: &str, why: String) -> Self {
        Self {
            glob: glob.chars().take(SHOWN).collect(),
            why,
        }
    }
}

/// Globs, one of which has to match, and which of them did at any time.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<Pattern>);

#[derive(Clone, Debug)]
struct Pattern {
    glob: String,
    /// Of a whole path, or of its end from a `/` on; `*` stays between two `/`.
    path: GlobSet,
    /// Of a name, in which `/` means nothing.
    name: GlobSet,
    matched: bool,
}

impl Patterns {
    /// # Errors
    ///
    /// The first glob that is none.
    pub fn parse(globs: &[String]) -> Result<Self, BadGlob> {
        let mut left = MAX_GLOBS;
        for glob in globs {
            left = match left.checked_sub(glob.len()) {
                Some(left) if glob.len() <= MAX_GLOB => left,
                _ => return Err(BadGlob::new(glob, "it is too long, or there are too many".into())),
            };
        }
        globs
            .iter()
            .map(|glob| Pattern::new(glob))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them matches the path, or a trailing part of it at a `/`.
    pub fn path(&mut self, path: &str) -> bool {
        self.any(|pattern| pattern.path.is_match(path))
    }

    /// Whether one of them matches the whole name.
    pub fn name(&mut self, name: &str) -> bool {
        self.any(|pattern| pattern.name.is_match(name))
    }

    /// Whether one of them is that text.
    pub fn is(&mut self, text: &str) -> bool {
        self.any(|pattern| pattern.glob == text)
    }

    /// Those that have never matched.
    pub fn unmatched(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|pattern| !pattern.matched)
            .map(|pattern| pattern.glob.as_str())
    }

    /// All of them are asked, so that each knows whether it ever matched.
    fn any(&mut self, matches: impl Fn(&Pattern) -> bool) -> bool {
        let mut any = false;
        for pattern in &mut self.0 {
            let matched = matches(pattern);
            pattern.matched |= matched;
            any |= matched;
        }
        any
    }
}

impl Pattern {
    fn new(glob: &str) -> Result<Self, BadGlob> {
        // Not a matcher of one glob, which panics where its regular expression cannot be made.
        let matcher = |glob: &str, separates: bool| {
            let built = GlobBuilder::new(glob).literal_separator(separates).build()?;
            GlobSet::builder().add(built).build()
        };
        let bad = |error: globset::Error| BadGlob::new(glob, error.kind().to_string());
        if glob.is_empty() {
            return Err(BadGlob::new(glob, "it is empty".into()));
        }
        let path = if glob.starts_with('/') {
            glob.to_owned()
        } else {
            format!("**/{glob}")
        };
        Ok(Self {
            glob: glob.to_owned(),
            path: matcher(&path, true).map_err(bad)?,
            name: matcher(glob, false).map_err(bad)?,
            matched: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(globs: &[&str]) -> Patterns {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        Patterns::parse(&globs).expect("globs")
    }

    #[test]
    fn a_path_matches_whole_or_by_its_end() {
        let mut files = patterns(&["app/*.py"]);
        assert!(files.path("/srv/app/orders.py") && files.path("app/orders.py"));
        assert!(!files.path("/srv/app/db/orders.py") && !files.path("/srv/myapp/orders.py"));
        assert!(patterns(&["app/**"]).path("/srv/app/db/orders.py"));
        assert!(patterns(&["orders.py"]).path("/srv/app/orders.py"));
        assert!(!patterns(&["orders.py"]).path("/srv/app/reorders.py"));
        let mut whole = patterns(&["/srv/*.py"]);
        assert!(whole.path("/srv/a.py") && !whole.path("/x/srv/a.py") && !whole.path("/srv/x/a.py"));
        assert!(patterns(&["<string>"]).path("<string>"));
    }

    #[test]
    fn a_name_matches_whole() {
        let mut names = patterns(&["Shop.save*", "127.0.0.1:*"]);
        assert!(
            names.name("Shop.save") && names.name("Shop.save.<locals>.a/b") && names.name("127.0.0.1:80")
        );
        assert!(!names.name("MyShop.save"));
    }

    #[test]
    fn what_never_matched_is_known() {
        let mut names = patterns(&["a*", "*b", "c"]);
        assert!(names.name("ab"));
        assert_eq!(names.unmatched().collect::<Vec<_>>(), ["c"]);
        assert!(names.is("c") && !names.is("ab"));
        assert_eq!(names.unmatched().count(), 0);
    }

    #[test]
    fn a_bad_glob_is_named() {
        let said = |glob: &str| {
            Patterns::parse(&[glob.to_owned()])
                .expect_err("no glob")
                .to_string()
        };
        assert!(
            said("a[b").starts_with("`a[b` is not a glob: "),
            "{}",
            said("a[b")
        );
        assert!(said("").contains("empty"));
        // Braces deeper than a regular expression may be.
        assert!(said(&format!("{}a{}", "{".repeat(1000), "}".repeat(1000))).contains("is not a glob: "));
        assert!(said(&"a".repeat(MAX_GLOB + 1)).contains("too long"));
        let many = vec!["a".repeat(MAX_GLOB); MAX_GLOBS / MAX_GLOB + 1];
        assert!(Patterns::parse(&many[1..]).is_ok() && Patterns::parse(&many).is_err());
    }
}
