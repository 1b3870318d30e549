//! The frames of a profile, each once.

use std::collections::HashMap;

use crate::{event::call::Frame, sink::escape::plainly};

/// Outermost in a stack of which more could not be read.
pub(super) const UNREADABLE: &str = "[unreadable]";
/// Outermost in a stack that has more frames.
pub(super) const MORE: &str = "[more frames]";
/// The thread ran no Python code.
pub(super) const NATIVE: &str = "[no Python]";
/// Stacks for which there was no room.
pub(super) const OTHERS: &str = "[other stacks]";
/// A frame whose code object was gone before it could be named.
const GONE: &str = "[unknown]";

/// Names and files are kept up to so many bytes: they are the traced program's own.
const MAX_BYTES: usize = 64 << 20;
/// Frames at most.
const MAX_FRAMES: usize = 1 << 20;

/// A frame of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Named {
    /// `co_qualname` or `co_name`; of a call that is waited in `module.qualname`; else what stands for it, in brackets.
    pub function: String,
    /// `co_filename`; empty where there is none.
    pub file: String,
    /// `co_firstlineno`.
    pub first_line: u32,
    /// The line that runs; 0: the instruction has none.
    pub line: u32,
    /// It is a call that is waited in.
    pub waiting: bool,
}

/// All frames, by number.
#[derive(Debug, Default)]
pub struct Frames {
    numbers: HashMap<Named, u32>,
    all: Vec<Named>,
    bytes: usize,
    full: bool,
}

impl Frames {
    /// The frame of that number.
    pub fn get(&self, number: u32) -> &Named {
        &self.all[number as usize]
    }

    /// All, in the order of their numbers.
    pub fn all(&self) -> &[Named] {
        &self.all
    }

    /// Whether there was no room for some.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The number of a Python frame.
    pub(super) fn of(&mut self, frame: &Frame) -> u32 {
        match &frame.code {
            Some(code) => self.number(Named {
                function: plainly(&code.function).into_owned(),
                file: plainly(&code.file).into_owned(),
                first_line: code.first_line,
                line: frame.line.unwrap_or(0),
                waiting: false,
            }),
            None => self.special(GONE),
        }
    }

    /// The number of a frame that stands for something else.
    pub(super) fn special(&mut self, function: &str) -> u32 {
        let named = Named {
            function: function.to_owned(),
            ..Named::default()
        };
        self.insert(named)
    }

    /// The number of a call that is waited in.
    pub(super) fn waiting(&mut self, function: &str) -> u32 {
        self.number(Named {
            function: plainly(function).into_owned(),
            waiting: true,
            ..Named::default()
        })
    }

    fn number(&mut self, named: Named) -> u32 {
        let has_room = self.all.len() < MAX_FRAMES && self.bytes < MAX_BYTES;
        if has_room || self.numbers.contains_key(&named) {
            return self.insert(named);
        }
        self.full = true;
        self.special(GONE)
    }

    fn insert(&mut self, named: Named) -> u32 {
        if let Some(number) = self.numbers.get(&named) {
            return *number;
        }
        self.bytes += 2 * (named.function.len() + named.file.len()) + 128;
        let number = self.all.len() as u32;
        self.all.push(named.clone());
        self.numbers.insert(named, number);
        number
    }
}

impl Named {
    /// What formats that have one text a frame call it: `Shop.save (shop/orders.py:62)`. The line is the function's first, or
    /// with `lines` the one that runs.
    pub fn label(&self, lines: bool) -> String {
        if self.waiting {
            return format!("{} [waiting]", self.function);
        }
        if self.file.is_empty() {
            return self.function.clone();
        }
        let line = if lines { self.line } else { self.first_line };
        format!("{} ({}:{line})", self.function, tail(&self.file))
    }
}

/// The last two names of a path: many files are called `__init__.py`.
fn tail(path: &str) -> &str {
    let mut slashes = path.rmatch_indices('/');
    match slashes.nth(1) {
        Some((at, _)) => &path[at + 1..],
        None => path,
    }
}
