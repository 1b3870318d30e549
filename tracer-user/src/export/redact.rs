//! Hides what may not leave the host: `[redact]` of the agent's configuration.
//!
//! What is hidden is looked for in each text of the traced process by itself (a path, an SQL text, each string and bytes
//! object at any depth of an argument), as it is and not as some format writes it, so that no escape hides it.
//! Numbers are not looked at. Of a text that was cut at capture only what was captured is looked at.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use globset::{GlobBuilder, GlobSet};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tracer_common::wire::{FrameRecord, TypeRef};

use crate::{
    decode::{
        handle::FileId,
        names::{Code, Names},
        value::{Arguments, BytesKind, MaskedText, Value},
    },
    event::{
        call::{ExceptionArgs, Outcome},
        handle::{NamedHandle, Peer},
    },
};

/// Patterns and globs at most, and bytes of one.
const MAX_COUNT: usize = 256;
const MAX_LEN: usize = 4096;
/// Bytes of memory that one compiled pattern may take, and its cache.
const MAX_COMPILED: usize = 1 << 20;
/// What stands for a text that was dropped.
const DROPPED: &str = "<redacted>";
/// Bytes of a SHA-256 that are shown.
const HASH_BYTES: usize = 8;

/// `[redact]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Regular expressions (crate `regex`); each match is replaced.
    pub patterns: Vec<String>,
    /// Globs of paths; `*` goes on over `/`. A text that is such a path is replaced, and such paths in the middle of texts,
    /// up to a space, quote or bracket.
    pub paths: Vec<String>,
    pub with: With,
    /// Goes before each text that is hashed, so that nobody else can try which text it was.
    pub salt: String,
}

/// What stands in place of what is hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum With {
    /// `<redacted>`
    #[default]
    Drop,
    /// `sha256:` and 16 hexadecimal digits: the same for the same text and salt.
    Hash,
}

/// Why settings cannot be followed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    #[error("more than {MAX_COUNT} patterns or paths to redact")]
    TooMany,
    #[error("`{0}…` is longer than {MAX_LEN} bytes")]
    TooLong(String),
    #[error("`{pattern}` is not a regular expression that can be used: {why}")]
    Pattern { pattern: String, why: String },
    #[error("`{glob}` is not a glob: {why}")]
    Glob { glob: String, why: String },
}

/// Hides texts, and counts in how many it did. The default hides nothing.
#[derive(Debug, Default)]
pub struct Redaction {
    patterns: Vec<Regex>,
    paths: GlobSet,
    with: With,
    salt: String,
    count: AtomicU64,
}

impl Redaction {
    /// # Errors
    ///
    /// The first pattern or glob that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        if settings.patterns.len() + settings.paths.len() > MAX_COUNT {
            return Err(Error::TooMany);
        }
        let mut all = settings.patterns.iter().chain(&settings.paths);
        if let Some(long) = all.find(|text| text.len() > MAX_LEN) {
            return Err(Error::TooLong(long.chars().take(40).collect()));
        }
        let patterns = settings.patterns.iter().map(|pattern| compiled(pattern));
        Ok(Self {
            patterns: patterns.collect::<Result<_, _>>()?,
            paths: globs(&settings.paths)?,
            with: settings.with,
            salt: settings.salt.clone(),
            count: AtomicU64::new(0),
        })
    }

    /// Whether it hides nothing, whatever comes.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.paths.is_empty()
    }

    /// Texts of which something was hidden, so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// A text without what is to be hidden.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.is_empty() {
            return text.into();
        }
        let mut hidden: Cow<'_, str> = match self.paths.is_match(text) {
            true => self.substitute(text).into(),
            false => self.paths_inside(text),
        };
        for pattern in &self.patterns {
            let replaced = pattern.replace_all(&hidden, |found: &regex::Captures<'_>| match &found[0] {
                "" => String::new(),
                found => self.substitute(found),
            });
            if let Cow::Owned(replaced) = replaced {
                hidden = replaced.into();
            }
        }
        if hidden != text {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        hidden
    }

    /// Replaces paths in the middle of a text.
    fn paths_inside<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.paths.is_empty() {
            return text.into();
        }
        let mut hidden = String::new();
        for word in text.split_inclusive(ends_path) {
            let path = word.trim_end_matches(ends_path);
            // `file:///home/x`, `HOME=/home/x`.
            let starts = path.match_indices('/').map(|(at, _)| at);
            let mut starts = std::iter::once(0).chain(starts.filter(|at| !path[..*at].ends_with(is_of_name)));
            match starts.find(|at| self.paths.is_match(&path[*at..])) {
                Some(at) => {
                    hidden.push_str(&path[..at]);
                    hidden.push_str(&self.substitute(&path[at..]));
                    hidden.push_str(&word[path.len()..]);
                }
                None => hidden.push_str(word),
            }
        }
        hidden.into()
    }

    fn substitute(&self, text: &str) -> String {
        match self.with {
            With::Drop => DROPPED.to_owned(),
            With::Hash => {
                let hash = Sha256::new()
                    .chain_update(&self.salt)
                    .chain_update(text)
                    .finalize();
                let digits = hash[..HASH_BYTES].iter().map(|byte| format!("{byte:02x}"));
                digits.fold("sha256:".to_owned(), |text, digits| text + &digits)
            }
        }
    }

    /// Hides it in a text; `None`: nothing of it was.
    fn changed(&self, text: &str) -> Option<String> {
        match self.text(text) {
            hidden if hidden == text => None,
            hidden => Some(hidden.into_owned()),
        }
    }

    /// Hides texts in a value and in what it contains.
    pub fn value(&self, value: &mut Value<'_>) {
        match value {
            Value::Str(text) => {
                let cut = text.captured() != text.len;
                if let Some(hidden) = self.changed(&text.to_string_lossy()) {
                    *value = Value::Masked(Some(MaskedText::Str(hidden, cut)));
                }
            }
            Value::Bytes(kind, data, len) => {
                let (kind, cut) = (*kind, data.len() as u64 != *len);
                if let Some(hidden) = self.changed(&String::from_utf8_lossy(data)) {
                    *value = Value::Masked(Some(match kind {
                        BytesKind::Str => MaskedText::Str(hidden, cut),
                        kind => MaskedText::Bytes(kind, hidden.into(), cut),
                    }));
                }
            }
            Value::Masked(Some(MaskedText::Str(text, _))) => {
                if let Some(hidden) = self.changed(text) {
                    *text = hidden;
                }
            }
            Value::Masked(Some(MaskedText::Bytes(_, data, _))) => {
                if let Some(hidden) = self.changed(&String::from_utf8_lossy(data)) {
                    *data = hidden.into();
                }
            }
            Value::Sequence { items, .. }
            | Value::Range(items)
            | Value::XRange(items)
            | Value::Slice(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Dict { pairs, .. } => self.pairs(pairs),
            Value::Subclass { value, .. } | Value::Exception { args: value, .. } => self.value(value),
            Value::Module { name, .. } => self.value(name),
            Value::Function { module, qualname, .. } => {
                self.value(module);
                self.value(qualname);
            }
            Value::CFunction { module, .. } => self.value(module),
            Value::Null
            | Value::None
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Long(_)
            | Value::BigInt { .. }
            | Value::Float(_)
            | Value::Complex(..)
            | Value::Type(_)
            | Value::Object { .. }
            | Value::Unreadable(_)
            | Value::Cut
            | Value::Masked(None) => {}
        }
    }

    fn pairs(&self, pairs: &mut [(Value<'_>, Value<'_>)]) {
        for (key, value) in pairs {
            self.value(key);
            self.value(value);
        }
    }

    /// Hides texts in what a call got, and in what it belongs to.
    pub fn arguments(&self, arguments: &mut Arguments<'_>) {
        arguments.self_.iter_mut().for_each(|value| self.value(value));
        arguments.args.iter_mut().for_each(|value| self.value(value));
        self.pairs(&mut arguments.kwargs);
        if let Some((_, filled)) = &mut arguments.filled {
            self.value(filled);
        }
        let attribution = &mut arguments.attribution;
        attribution
            .greenlet
            .iter_mut()
            .for_each(|value| self.value(value));
        if let Some(task) = &mut attribution.task {
            self.value(&mut task.name);
            self.value(&mut task.coroutine);
        }
    }

    /// Hides texts in how a call ended.
    pub fn outcome(&self, outcome: &mut Outcome<'_>) {
        match outcome {
            Outcome::Returned(value) | Outcome::Yielded(value) => self.value(value),
            Outcome::Raised(raised) => {
                if let ExceptionArgs::Items(items, _) = &mut raised.args {
                    items.iter_mut().for_each(|item| self.value(item));
                }
            }
            Outcome::Unobserved(_) => {}
        }
    }

    /// Hides the name of a file or of the other end of a socket.
    pub fn handle(&self, handle: &mut NamedHandle) {
        if let Some(hidden) = handle.path.as_ref().and_then(|path| self.changed(path)) {
            handle.path = Some(hidden.into());
        }
        if let Some(Peer::Internet(peer) | Peer::Unix(peer)) = &mut handle.peer
            && let Some(hidden) = self.changed(peer)
        {
            *peer = hidden;
        }
    }
}

/// Before a `/`, such a character is of the same path.
fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || "._-~".contains(c)
}

/// Where a path in a text ends, as far as one can tell.
fn ends_path(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "'\"`,;()[]{}<>|".contains(c)
}

fn compiled(pattern: &str) -> Result<Regex, Error> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| Error::Pattern {
            pattern: pattern.to_owned(),
            why: error.to_string(),
        })
}

fn globs(globs: &[String]) -> Result<GlobSet, Error> {
    let bad = |glob: &str, error: &globset::Error| Error::Glob {
        glob: glob.to_owned(),
        why: error.kind().to_string(),
    };
    let mut all = GlobSet::builder();
    for glob in globs {
        // A path below such a directory is one, too.
        let below = format!("{}/**", glob.trim_end_matches('/'));
        for text in [glob, &below] {
            let built = GlobBuilder::new(text).literal_separator(false).build();
            all.add(built.map_err(|error| bad(glob, &error))?);
        }
    }
    all.build().map_err(|error| bad(&globs.join(" "), &error))
}

/// Names of which texts are hidden: those of types and modules stand in values.
pub struct RedactedNames<'n> {
    pub names: &'n mut dyn Names,
    pub redaction: &'n Redaction,
}

impl RedactedNames<'_> {
    fn hidden(&self, name: Option<Arc<str>>) -> Option<Arc<str>> {
        let name = name?;
        Some(self.redaction.changed(&name).map_or(name, Arc::from))
    }
}

impl Names for RedactedNames<'_> {
    fn type_name(&mut self, target: u16, of: TypeRef) -> Option<Arc<str>> {
        let name = self.names.type_name(target, of);
        self.hidden(name)
    }

    fn module_name(&mut self, target: u16, module: u64, dict: u64) -> Option<Arc<str>> {
        let name = self.names.module_name(target, module, dict);
        self.hidden(name)
    }

    fn code(&mut self, target: u16, frame: &FrameRecord) -> Option<Arc<Code>> {
        self.names.code(target, frame)
    }

    fn thread_name(&mut self, target: u16, tid: u32) -> Option<Arc<str>> {
        let name = self.names.thread_name(target, tid);
        self.hidden(name)
    }

    fn file(&mut self, target: u16, fd: u32, id: FileId) -> Option<Arc<str>> {
        let path = self.names.file(target, fd, id);
        self.hidden(path)
    }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
