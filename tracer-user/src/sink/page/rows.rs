//! The calls of a page, a row each; what comes again (names, texts, stacks) is kept once, and rows have its number.

use std::{collections::HashMap, hash::Hash};

use indexmap::IndexSet;

use super::{
    moved::{Moved, direction},
    touched::Touched,
};
use crate::{
    catalogue::effects::{self, Effect},
    event::call::{CallEvent, Frame, Outcome, TypeNames},
    sink::{escape::plainly, repr, text},
};

/// Rows at most: more than a browser is pleasant with.
pub const MAX_ROWS: usize = if cfg!(test) { 1_000 } else { 1_000_000 };
/// Bytes of all texts at most.
const MAX_BYTES: usize = 256 << 20;
/// Bytes of the text of one call's arguments, or outcome; the rest is left out and marked.
const MAX_TEXT: usize = 4096;

/// One call. Numbers without a meaning in themselves are places in the tables of [`Rows`].
#[derive(Debug)]
pub struct Row {
    pub id: u64,
    pub parent: Option<u64>,
    /// Unix time, nanoseconds.
    pub time_ns: u64,
    pub duration_ns: Option<u64>,
    /// Calls that it stands for.
    pub weight: u64,
    pub thread: u32,
    pub function: u32,
    pub effect: u32,
    pub ending: Ending,
    pub stack: u32,
    /// Texts: the arguments, and what came of the call.
    pub arguments: u32,
    pub outcome: u32,
    /// Text: the type of the exception.
    pub error: Option<u32>,
    pub touched: [Option<u32>; Touched::MOST],
    pub unnamed: bool,
    pub moved: Moved,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Return,
    Yield,
    Raise,
    Unobserved,
}

impl Ending {
    /// All of them, as the page numbers them.
    pub const NAMES: [&str; 4] = ["return", "yield", "raise", "unobserved"];

    fn of(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Returned(_) => Self::Return,
            Outcome::Yielded(_) => Self::Yield,
            Outcome::Raised(_) => Self::Raise,
            Outcome::Unobserved(_) => Self::Unobserved,
        }
    }
}

/// A function that was called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    /// `module.qualname`
    pub name: String,
    /// As text has it: methods without their module.
    pub short: String,
    /// `call`, `bytecode`, or `function`, which is one of Python's.
    pub kind: &'static str,
}

/// A line of a Python function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    pub function: String,
    pub file: String,
    pub line: Option<u32>,
}

/// All rows.
#[derive(Debug, Default)]
pub struct Rows {
    pub rows: Vec<Row>,
    /// Process and thread.
    pub threads: IndexSet<(u32, u32)>,
    pub functions: IndexSet<Function>,
    pub effects: IndexSet<&'static str>,
    pub lines: IndexSet<Line>,
    /// Places in `lines`, innermost first.
    pub stacks: IndexSet<Vec<u32>>,
    pub texts: IndexSet<String>,
    pub touched: IndexSet<(&'static str, String)>,
    /// What the catalogue has on a function, by its name.
    known: HashMap<String, Option<&'static Effect>>,
    bytes: usize,
    /// Calls that are not here, since there were too many.
    pub left_out: u64,
    /// Texts that are not here to their end.
    pub cut: u64,
}

impl Rows {
    /// Takes in a call, unless there are too many.
    pub fn push(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>) {
        if self.rows.len() >= MAX_ROWS || self.bytes >= MAX_BYTES {
            self.left_out += 1;
            return;
        }
        let touched = Touched::by(call, names);
        let unnamed = touched.unnamed;
        let mut named = touched.named.into_iter();
        let row = Row {
            id: call.id,
            parent: call.parent,
            time_ns: call.time_ns,
            duration_ns: call.duration_ns,
            weight: call.weight,
            thread: number(self.threads.insert_full((call.pid, call.tid)).0),
            function: self.function(call),
            effect: number(self.effects.insert_full(call.effect).0),
            ending: Ending::of(&call.outcome),
            stack: self.stack(&call.stack),
            arguments: self.written(|out| text::arguments(call, names, out)),
            outcome: self.written(|out| text::outcome(call, names, out)),
            error: self.error(call, names),
            touched: std::array::from_fn(|_| named.next().map(|(kind, name)| self.touched(kind, &name))),
            unnamed,
            moved: self.moved(call),
        };
        self.rows.push(row);
    }

    /// Puts them in the order in which the calls began.
    pub fn sort(&mut self) {
        self.rows.sort_unstable_by_key(|row| (row.time_ns, row.id));
    }

    fn function(&mut self, call: &CallEvent<'_>) -> u32 {
        let kind = match (call.meta.operands, &call.run) {
            (Some(_), _) => "bytecode",
            (None, Some(_)) => "function",
            (None, None) => "call",
        };
        let mut short = Vec::new();
        text::function(call, &mut short);
        let function = Function {
            name: plainly(call.function).into_owned(),
            short: lossy(&short),
            kind,
        };
        let size = function.name.len() + function.short.len();
        keep(&mut self.functions, function, size, &mut self.bytes)
    }

    fn stack(&mut self, frames: &[Frame]) -> u32 {
        let lines: Vec<u32> = frames.iter().map(|frame| self.line(frame)).collect();
        let size = size_of_val(&*lines);
        keep(&mut self.stacks, lines, size, &mut self.bytes)
    }

    fn line(&mut self, frame: &Frame) -> u32 {
        let of_code = |text: Option<&str>| plainly(text.unwrap_or("?")).into_owned();
        let code = frame.code.as_ref();
        let line = Line {
            function: of_code(code.map(|code| &*code.function)),
            file: of_code(code.map(|code| &*code.file)),
            line: frame.line,
        };
        let size = line.function.len() + line.file.len();
        keep(&mut self.lines, line, size, &mut self.bytes)
    }

    /// The text that `write` appends.
    fn written(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        let mut out = Vec::new();
        write(&mut out);
        self.text(lossy(&out))
    }

    fn text(&mut self, mut text: String) -> u32 {
        self.cut += u64::from(shorten(&mut text));
        let size = text.len();
        keep(&mut self.texts, text, size, &mut self.bytes)
    }

    fn error(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>) -> Option<u32> {
        let Outcome::Raised(raised) = &call.outcome else {
            return None;
        };
        let name = raised.ty.map_or_else(|| "?".into(), |ty| names.of(ty));
        Some(self.text(plainly(repr::last_part(&name)).into_owned()))
    }

    fn touched(&mut self, kind: &'static str, name: &str) -> u32 {
        let mut name = plainly(name).into_owned();
        self.cut += u64::from(shorten(&mut name));
        let size = name.len();
        keep(&mut self.touched, (kind, name), size, &mut self.bytes)
    }

    fn moved(&mut self, call: &CallEvent<'_>) -> Moved {
        if direction(call.effect).is_none() {
            return Moved::Nothing;
        }
        if !self.known.contains_key(call.function) {
            // There are no more than sites.
            self.known
                .insert(call.function.to_owned(), effects::find(call.function));
        }
        Moved::by(call, self.known.get(call.function).copied().flatten())
    }
}

/// The number of something, which is kept if it was not there yet.
fn keep<T: Hash + Eq>(all: &mut IndexSet<T>, one: T, size: usize, bytes: &mut usize) -> u32 {
    let (place, is_new) = all.insert_full(one);
    *bytes += if is_new { size + size_of::<T>() } else { 0 };
    number(place)
}

/// No table has more than a few for each row.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Cuts a text that is too long, and marks it; whether it did.
fn shorten(text: &mut String) -> bool {
    if text.len() <= MAX_TEXT {
        return false;
    }
    let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or_default());
    text.push('…');
    true
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
