//! Values out of a record's words.

use num_bigint::BigUint;
use tracer_common::activation::word;
use tracer_common::handle::{HANDLE_WORDS, UNIX_NAME_WORDS};
use tracer_common::limits::MAX_INT_DIGITS;
use tracer_common::wire::{SUB_PYTHON2, Tag, TypeRef, padded};

use super::attribution::{Attribution, Span, Task};
use super::handle::Handle;
use super::record::word as word_at;

/// Values nest at most this deep in what the kernel writes; more is not a record.
const MAX_NESTING: u32 = 64;

/// One Python object as it was at the moment of the call. Borrowed from its record.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A NULL pointer.
    Null,
    None,
    Bool(bool),
    Int(i64),
    /// Python 2's `long`.
    Long(i64),
    /// Sign, the captured most significant digits, and how many 30-bit digits there are in all.
    BigInt {
        negative: bool,
        magnitude: BigUint,
        captured: u32,
        digits: u64,
        /// Python 2's `long`.
        long: bool,
    },
    Float(f64),
    Complex(f64, f64),
    Str(Text<'a>),
    Bytes(BytesKind, &'a [u8], u64),
    Sequence {
        kind: SequenceKind,
        items: Vec<Value<'a>>,
        len: u64,
        id: u64,
    },
    Dict {
        pairs: Vec<(Value<'a>, Value<'a>)>,
        len: u64,
        id: u64,
    },
    /// start, stop, step.
    Range(Vec<Value<'a>>),
    /// Python 2's `xrange`: the same.
    XRange(Vec<Value<'a>>),
    Slice(Vec<Value<'a>>),
    Type(TypeRef),
    /// In Python 2 the name is that in the module's dict, whose address comes instead
    /// ([`Value::Int`]).
    Module {
        name: Box<Value<'a>>,
        id: u64,
    },
    Function {
        module: Box<Value<'a>>,
        qualname: Box<Value<'a>>,
        id: u64,
    },
    CFunction {
        name: &'a [u8],
        module: Box<Value<'a>>,
        owner: Option<TypeRef>,
        id: u64,
    },
    Exception {
        ty: TypeRef,
        args: Box<Value<'a>>,
        id: u64,
    },
    Object {
        ty: TypeRef,
        id: u64,
    },
    Subclass {
        ty: TypeRef,
        value: Box<Value<'a>>,
        id: u64,
    },
    Unreadable(u64),
    /// Not captured.
    Cut,
    /// A secret; or a text, with what was secret in it masked.
    Masked(Option<MaskedText>),
}

/// A text whose secrets are masked, and whether there was more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaskedText {
    Str(String, bool),
    Bytes(BytesKind, Vec<u8>, bool),
}

/// A `str`: `width` bytes per character in `data`, `len` characters in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    pub width: u8,
    pub data: &'a [u8],
    pub len: u64,
    /// Python 2's `unicode`.
    pub unicode: bool,
}

impl<'a> Text<'a> {
    /// The captured characters as code points; surrogates are possible.
    pub fn code_points(&self) -> impl Iterator<Item = u32> + 'a {
        let width = usize::from(self.width.max(1));
        self.data.chunks_exact(width).map(|c| match *c {
            [a] => u32::from(a),
            [a, b] => u32::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => 0xfffd,
        })
    }

    /// Characters captured.
    pub fn captured(&self) -> u64 {
        (self.data.len() / usize::from(self.width.max(1))) as u64
    }

    /// The captured text; what is no character becomes U+FFFD.
    pub fn to_string_lossy(&self) -> String {
        self.code_points()
            .map(|c| char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }
}

impl Value<'_> {
    /// The text of a `str`, of Python 2's `unicode` or `str`, or of a subclass; what is no character
    /// becomes U+FFFD.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Str(text) => Some(text.to_string_lossy()),
            Value::Bytes(BytesKind::Str, bytes, _) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Value::Subclass { value, .. } => value.text(),
            _ => None,
        }
    }
}

/// Which type a string of bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BytesKind {
    Bytes,
    ByteArray,
    MemoryView,
    /// Python 2's `str`.
    Str,
}

/// Which container without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceKind {
    List,
    Tuple,
    Set,
    FrozenSet,
}

/// Positional or keyword arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments<'a> {
    pub self_: Option<Value<'a>>,
    pub args: Vec<Value<'a>>,
    /// Positional arguments in all.
    pub args_len: u64,
    pub kwargs: Vec<(Value<'a>, Value<'a>)>,
    /// Keyword arguments in all.
    pub kwargs_len: u64,
    /// Which argument is a buffer that the call filled, and the bytes that it put there.
    pub filled: Option<(usize, Value<'a>)>,
    /// The file descriptor that the call is on.
    pub handle: Option<Handle>,
    /// What the other end of that Unix socket is bound to: a path, or an abstract name after a zero byte.
    pub peer_name: Option<&'a [u8]>,
    /// What the call belongs to.
    pub attribution: Attribution<'a>,
    /// The record ended before its time: of the last arguments nothing may be known.
    pub cut: bool,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending<'a> {
    Returned(Value<'a>),
    /// Type and value as the interpreter held them: before 3.12 the value may not be an
    /// exception yet.
    Raised {
        ty: Value<'a>,
        value: Value<'a>,
    },
}

/// The arguments of an entry record's values.
pub fn arguments(values: &[u8]) -> Arguments<'_> {
    let mut reader = Reader { bytes: values, at: 0 };
    let mut arguments = Arguments::default();
    while let Some(head) = reader.head() {
        match head.tag {
            Tag::Self_ => arguments.self_ = Some(reader.value(0).unwrap_or(Value::Cut)),
            Tag::Args => {
                arguments.args_len = reader.word().unwrap_or(0);
                arguments.args = reader.items(0);
            }
            Tag::Kwargs => {
                let len = reader.word().unwrap_or(0);
                arguments.kwargs_len = arguments.kwargs_len.saturating_add(len);
                let pairs = reader.pairs(0);
                if arguments.kwargs.is_empty() {
                    arguments.kwargs = pairs;
                } else {
                    from_cells(&mut arguments.kwargs, pairs);
                }
            }
            Tag::Activation => _ = reader.words(head.n),
            Tag::Globals => {
                let _ = reader.word();
                let _ = reader.pairs(0);
            }
            Tag::Task => arguments.attribution.task = reader.task(),
            Tag::Greenlet => {
                let _ = reader.word();
                arguments.attribution.greenlet = reader.items(0).pop();
            }
            Tag::Span => {
                let _ = reader.word();
                if let [trace_id, span_id] = &reader.items(0)[..] {
                    arguments.attribution.span = Span::new(trace_id, span_id);
                }
            }
            Tag::Handle => arguments.handle = reader.handle(head.n),
            Tag::PeerName => arguments.peer_name = reader.peer_name(head.n),
            _ => break,
        }
    }
    arguments
}

/// Puts what is in cells to the arguments that were moved there. Python 2 leaves them in their places too.
fn from_cells<'a>(arguments: &mut [(Value<'a>, Value<'a>)], cells: Vec<(Value<'a>, Value<'a>)>) {
    for (name, value) in cells {
        let mut places = arguments.iter_mut();
        if let Some((_, place)) = places.find(|(known, place)| *known == name && *place == Value::Null) {
            *place = value;
        }
    }
}

/// A run of a Python function, as its records tell it; see [`tracer_common::activation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// `RUN_*` bits.
    pub flags: u8,
    /// Address of the frame.
    pub frame: u64,
    /// That of the frame behind it, 0: none; only at the beginning, as what follows.
    pub previous: u64,
    /// By which the kernel half is told what is thought of the code.
    pub key: u64,
    /// Address of the globals.
    pub globals: u64,
    /// The module's name, where the record has it.
    pub module: Option<String>,
}

/// What the records of a run begin with.
pub fn activation(values: &[u8]) -> Option<Activation> {
    let mut reader = Reader { bytes: values, at: 0 };
    let head = reader.head()?;
    if head.tag != Tag::Activation {
        return None;
    }
    let words = reader.words(head.n)?;
    let word = |n: usize| words.get(n).copied().unwrap_or(0);
    let mut found = Activation {
        flags: head.sub,
        frame: word(word::FRAME),
        previous: word(word::PREVIOUS),
        key: word(word::KEY),
        globals: word(word::GLOBALS),
        module: None,
    };
    if reader.head().is_some_and(|head| head.tag == Tag::Globals) {
        let _ = reader.word();
        let first = reader.pairs(0).into_iter().next();
        found.module = first.and_then(|(name, value)| (name.text()? == "__name__").then(|| whole(&value))?);
    }
    Some(found)
}

/// A text that is not cut.
fn whole(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Str(text) if text.captured() == text.len => value.text(),
        _ => None,
    }
}

/// The three values of a code record.
pub fn code_names(values: &[u8]) -> Option<[Value<'_>; 3]> {
    let mut reader = Reader { bytes: values, at: 0 };
    Some([reader.value(0)?, reader.value(0)?, reader.value(0)?])
}

/// The outcome in a return record's values.
pub fn ending(values: &[u8]) -> Option<Ending<'_>> {
    let mut reader = Reader { bytes: values, at: 0 };
    let mut head = reader.head()?;
    if head.tag == Tag::Activation {
        reader.words(head.n)?;
        head = reader.head()?;
    }
    match head.tag {
        Tag::Result => Some(Ending::Returned(reader.value(0).unwrap_or(Value::Cut))),
        Tag::Raised => {
            let ty = reader.value(0).unwrap_or(Value::Cut);
            Some(Ending::Raised {
                ty,
                value: reader.value(0).unwrap_or(Value::Cut),
            })
        }
        _ => None,
    }
}

/// The buffer that a return record shows after its result: which argument it is, and as much of its contents as the
/// call's result says were put there.
pub fn filled(values: &[u8]) -> Option<(usize, Value<'_>)> {
    let mut reader = Reader { bytes: values, at: 0 };
    if reader.head()?.tag != Tag::Result {
        return None;
    }
    let result = reader.value(0)?;
    if reader.head()?.tag != Tag::Filled {
        return None;
    }
    let position = usize::try_from(reader.word()?).ok()?;
    let count = count_of(&result)?;
    match reader.value(0)? {
        Value::Bytes(kind, data, len) if count <= len => {
            let captured = data.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            Some((position, Value::Bytes(kind, &data[..captured], count)))
        }
        _ => None,
    }
}

/// How many bytes the result counts: a number, or the first of several results.
fn count_of(result: &Value<'_>) -> Option<u64> {
    match result {
        Value::Int(count) | Value::Long(count) => u64::try_from(*count).ok(),
        Value::Sequence { items, .. } => count_of(items.first()?),
        _ => None,
    }
}

struct Head {
    tag: Tag,
    sub: u8,
    n: u32,
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Next word.
    at: usize,
}

impl<'a> Reader<'a> {
    fn word(&mut self) -> Option<u64> {
        let word = word_at(self.bytes, self.at)?;
        self.at += 1;
        Some(word)
    }

    fn words(&mut self, count: u32) -> Option<Vec<u64>> {
        let left = self.bytes.len() / 8 - self.at.min(self.bytes.len() / 8);
        let count = count as usize;
        (count <= left).then(|| (0..count).map_while(|_| self.word()).collect())
    }

    fn head(&mut self) -> Option<Head> {
        let word = self.word()?;
        Some(Head {
            tag: Tag::from_u8(word as u8)?,
            sub: (word >> 8) as u8,
            n: (word >> 32) as u32,
        })
    }

    fn task(&mut self) -> Option<Task<'a>> {
        let id = self.word()?;
        let mut items = self.items(0).into_iter();
        Some(Task {
            id,
            name: items.next().unwrap_or(Value::Null),
            coroutine: items.next().unwrap_or(Value::Null),
        })
    }

    fn handle(&mut self, fd: u32) -> Option<Handle> {
        let mut words = [0; HANDLE_WORDS];
        for word in &mut words {
            *word = self.word()?;
        }
        Some(Handle::new(fd, words))
    }

    fn peer_name(&mut self, len: u32) -> Option<&'a [u8]> {
        let name = self.data((UNIX_NAME_WORDS * 8) as u32)?.get(..len as usize)?;
        // A path ends with a zero byte, an abstract name begins with one.
        Some(match name {
            [first, .., 0] if *first != 0 => name.split(|byte| *byte == 0).next().unwrap_or(name),
            _ => name,
        })
    }

    fn data(&mut self, len: u32) -> Option<&'a [u8]> {
        let start = self.at * 8;
        let data = self.bytes.get(start..start.checked_add(len as usize)?)?;
        self.at += padded(len) as usize / 8;
        Some(data)
    }

    fn type_ref(&mut self) -> Option<TypeRef> {
        Some(TypeRef {
            address: self.word()?,
            fingerprint: self.word()?,
        })
    }

    /// Items up to `End` or the end of a cut record.
    fn items(&mut self, depth: u32) -> Vec<Value<'a>> {
        let mut items = Vec::new();
        while let Some(item) = self.value(depth) {
            items.push(item);
        }
        items
    }

    fn pairs(&mut self, depth: u32) -> Vec<(Value<'a>, Value<'a>)> {
        let mut pairs = Vec::new();
        while let Some(key) = self.value(depth) {
            let Some(value) = self.value(depth) else { break };
            pairs.push((key, value));
        }
        pairs
    }

    /// One value, and the `End` that follows it.
    fn only(&mut self, depth: u32) -> Box<Value<'a>> {
        let value = self.value(depth).unwrap_or(Value::Cut);
        self.head();
        Box::new(value)
    }

    /// The next value; `None` at `End` and where the record is cut.
    fn value(&mut self, depth: u32) -> Option<Value<'a>> {
        if depth > MAX_NESTING {
            self.at = self.bytes.len();
            return None;
        }
        let inner = depth + 1;
        let Head { tag, sub, n } = self.head()?;
        let python2 = sub & SUB_PYTHON2 != 0;
        Some(match tag {
            Tag::End | Tag::Args | Tag::Kwargs | Tag::Self_ | Tag::Result | Tag::Raised | Tag::Filled => {
                return None;
            }
            Tag::Activation | Tag::Globals | Tag::Task | Tag::Span | Tag::Greenlet => return None,
            Tag::Null => Value::Null,
            Tag::None => Value::None,
            Tag::True => Value::Bool(true),
            Tag::False => Value::Bool(false),
            Tag::Int64 if python2 => Value::Long(self.word()? as i64),
            Tag::Int64 => Value::Int(self.word()? as i64),
            Tag::BigInt => self.big_int(sub & 1 == 1, python2, n)?,
            Tag::Float => Value::Float(f64::from_bits(self.word()?)),
            Tag::Complex => Value::Complex(f64::from_bits(self.word()?), f64::from_bits(self.word()?)),
            Tag::Str => {
                let len = self.word()?;
                Value::Str(Text {
                    width: sub & !SUB_PYTHON2,
                    data: self.data(n)?,
                    len,
                    unicode: python2,
                })
            }
            Tag::Bytes | Tag::ByteArray | Tag::MemoryView => {
                let len = self.word()?;
                let kind = match tag {
                    Tag::Bytes if python2 => BytesKind::Str,
                    Tag::Bytes => BytesKind::Bytes,
                    Tag::ByteArray => BytesKind::ByteArray,
                    _ => BytesKind::MemoryView,
                };
                Value::Bytes(kind, self.data(n)?, len)
            }
            Tag::List | Tag::Tuple | Tag::Set | Tag::FrozenSet => {
                let (len, id) = (self.word()?, self.word()?);
                let kind = match tag {
                    Tag::List => SequenceKind::List,
                    Tag::Tuple => SequenceKind::Tuple,
                    Tag::Set => SequenceKind::Set,
                    _ => SequenceKind::FrozenSet,
                };
                Value::Sequence {
                    kind,
                    items: self.items(inner),
                    len,
                    id,
                }
            }
            Tag::Dict => {
                let (len, id) = (self.word()?, self.word()?);
                Value::Dict {
                    pairs: self.pairs(inner),
                    len,
                    id,
                }
            }
            Tag::Range if python2 => Value::XRange(self.items(inner)),
            Tag::Range => Value::Range(self.items(inner)),
            Tag::Slice => Value::Slice(self.items(inner)),
            _ => self.named(tag, n, inner)?,
        })
    }

    fn named(&mut self, tag: Tag, n: u32, inner: u32) -> Option<Value<'a>> {
        Some(match tag {
            Tag::Type => Value::Type(self.type_ref()?),
            Tag::Module => {
                let id = self.word()?;
                Value::Module {
                    name: self.only(inner),
                    id,
                }
            }
            Tag::Function => {
                let id = self.word()?;
                let module = Box::new(self.value(inner).unwrap_or(Value::Cut));
                Value::Function {
                    module,
                    qualname: self.only(inner),
                    id,
                }
            }
            Tag::CFunction => {
                let id = self.word()?;
                let name = self.data(n)?;
                let module = Box::new(self.value(inner).unwrap_or(Value::Cut));
                let owner = match *self.only(inner) {
                    Value::Type(ty) => Some(ty),
                    _ => None,
                };
                Value::CFunction {
                    name,
                    module,
                    owner,
                    id,
                }
            }
            Tag::Exception => {
                let (ty, id) = (self.type_ref()?, self.word()?);
                Value::Exception {
                    ty,
                    args: self.only(inner),
                    id,
                }
            }
            Tag::Object => Value::Object {
                ty: self.type_ref()?,
                id: self.word()?,
            },
            Tag::Subclass => {
                let (ty, id) = (self.type_ref()?, self.word()?);
                let value = Box::new(self.value(inner).unwrap_or(Value::Cut));
                Value::Subclass { ty, value, id }
            }
            Tag::Unreadable => Value::Unreadable(self.word()?),
            _ => {
                self.word()?;
                Value::Cut
            }
        })
    }

    fn big_int(&mut self, negative: bool, long: bool, captured: u32) -> Option<Value<'a>> {
        // No record of the kernel half has more, and the time this takes grows with their square.
        if captured > MAX_INT_DIGITS {
            return None;
        }
        let digits = self.word()?;
        let data = self.data(captured * 4)?;
        let mut magnitude = BigUint::ZERO;
        for digit in data.chunks_exact(4).rev() {
            let digit = digit.first_chunk::<4>().map_or(0, |d| u32::from_le_bytes(*d));
            magnitude = (magnitude << 30) + digit;
        }
        Some(Value::BigInt {
            negative,
            magnitude,
            captured,
            digits,
            long,
        })
    }
}
