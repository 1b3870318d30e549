//! The site table of a recording: [`SiteMeta`] by value.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tracer_common::{
    activation::Role,
    cookie::{Convention, ReturnKind, SelfKind},
    handle::HandleKind,
};

use crate::{
    bytecode::Operands,
    catalogue::effects::{From, TargetPart},
    event::{Deletion, SiteMeta},
};

/// One site.
#[derive(Debug, Serialize, Deserialize)]
pub struct SiteItem {
    function: String,
    module_len: usize,
    aliases: Vec<String>,
    effect: String,
    wanted: bool,
    /// Effect, and whether it is wanted.
    deletion: Option<(String, bool)>,
    /// Numbers of `tracer_common::cookie`.
    convention: u8,
    self_kind: u8,
    return_kind: u8,
    named: bool,
    no_return: Option<String>,
    #[serde(default)]
    handle: u8,
    #[serde(default)]
    operands: Option<u8>,
    #[serde(default)]
    run: Option<u8>,
    target: Vec<Part>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Part {
    key: String,
    from: Source,
}

#[derive(Debug, Serialize, Deserialize)]
enum Source {
    Argument(usize, String),
    Result,
    Last,
    ResultItem(usize),
}

impl SiteItem {
    /// To be written.
    pub fn new(meta: &SiteMeta) -> Self {
        // All fields are named, so that a new one is not forgotten here.
        let SiteMeta {
            function,
            module_len,
            aliases,
            effect,
            wanted,
            deletion,
            convention,
            self_kind,
            return_kind,
            named,
            no_return,
            handle,
            operands,
            run,
            target,
        } = meta;
        Self {
            function: function.to_string(),
            module_len: *module_len,
            aliases: aliases.iter().map(ToString::to_string).collect(),
            effect: (*effect).to_owned(),
            wanted: *wanted,
            deletion: deletion.map(|Deletion { effect, wanted }| (effect.to_owned(), wanted)),
            convention: *convention as u8,
            self_kind: *self_kind as u8,
            return_kind: *return_kind as u8,
            named: *named,
            no_return: no_return.map(str::to_owned),
            handle: *handle as u8,
            operands: operands.map(|operands| operands as u8),
            run: run.map(|role| role as u8),
            target: target.iter().map(Part::new).collect(),
        }
    }

    /// As it was when it was recorded; `None` where a number means nothing here.
    pub fn into_meta(self) -> Option<SiteMeta> {
        if !self.function.is_char_boundary(self.module_len) {
            return None;
        }
        let target: Vec<TargetPart> = self.target.into_iter().map(Part::into_part).collect();
        Some(SiteMeta {
            function: self.function.into(),
            module_len: self.module_len,
            aliases: self.aliases.into_iter().map(Arc::from).collect(),
            effect: intern(&self.effect),
            wanted: self.wanted,
            deletion: self.deletion.map(|(effect, wanted)| Deletion {
                effect: intern(&effect),
                wanted,
            }),
            convention: Convention::from_u8(self.convention)?,
            self_kind: *SelfKind::ALL.get(usize::from(self.self_kind))?,
            return_kind: *ReturnKind::ALL.get(usize::from(self.return_kind))?,
            named: self.named,
            no_return: self.no_return.map(|why| intern(&why)),
            handle: *HandleKind::ALL.get(usize::from(self.handle))?,
            operands: match self.operands {
                Some(number) => Some(*Operands::ALL.get(usize::from(number))?),
                None => None,
            },
            run: match self.run {
                Some(number) => Some(*Role::ALL.get(usize::from(number))?),
                None => None,
            },
            target: intern_parts(target),
        })
    }
}

impl Part {
    fn new(part: &TargetPart) -> Self {
        let TargetPart { key, from } = *part;
        Self {
            key: key.to_owned(),
            from: match from {
                From::Argument { position, name } => Source::Argument(position, name.to_owned()),
                From::Last => Source::Last,
                From::Result => Source::Result,
                From::ResultItem(n) => Source::ResultItem(n),
            },
        }
    }

    fn into_part(self) -> TargetPart {
        TargetPart {
            key: intern(&self.key),
            from: match self.from {
                Source::Argument(position, name) => From::Argument {
                    position,
                    name: intern(&name),
                },
                Source::Last => From::Last,
                Source::Result => From::Result,
                Source::ResultItem(n) => From::ResultItem(n),
            },
        }
    }
}

/// The same text for good. Where events come from a process these texts are those of the catalogue; of a
/// recording they are kept until the program ends, each once and no more than its (bounded) site table holds.
pub(super) fn intern(text: &str) -> &'static str {
    static KNOWN: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(text) {
        return known;
    }
    let kept: &'static str = Box::leak(Box::from(text));
    known.insert(kept);
    kept
}

/// The same parts for good: most sites share theirs with others.
fn intern_parts(parts: Vec<TargetPart>) -> &'static [TargetPart] {
    static KNOWN: LazyLock<Mutex<HashSet<&'static [TargetPart]>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(&parts[..]) {
        return known;
    }
    let kept: &'static [TargetPart] = parts.leak();
    known.insert(kept);
    kept
}
