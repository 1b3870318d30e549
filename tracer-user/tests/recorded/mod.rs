//! Recorded memory: what the encoder read of a process, which objects it began with, and what the
//! program itself said they are (`tests/programs/roots.py`). Files are made by `cargo xtask record`.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tracer_common::handle::HandleKind;
use tracer_common::{
    activation::{PackedPlace, Place, RUN_RESUMED, RUN_YIELDED, Role, ValueAt},
    attribution::Attribution,
    cookie::{Convention, Register, ReturnKind, SelfKind},
    encode::{
        Memory, Run, Slot, begin_entry, begin_return, begin_run, code_of, innermost_frame, is_yielding,
        quick_key, returned, run_flags,
    },
    target::{ABSENT, CaptureLimits, FEATURE_LONG_TAG, FEATURE_PYTHON2, KnownObjects, Target},
    wire::{FrameRecord, KIND_ENTRY, KIND_RETURN, RecordHeader, Tag, TypeRef, value_word},
};
use tracer_user::{
    cpython::{Version, layout::Layout},
    decode::{
        linetable::Lines,
        names::{Code, Names},
        record::Record,
        value::{Ending, activation, arguments, ending},
    },
    event::{
        SiteMeta,
        call::{self, CallEvent, Frame, Outcome, Raised, TypeNames},
    },
    sink::{Sink as _, json::Json as JsonSink},
};

#[path = "../../../tracer-common/tests/host/mod.rs"]
pub mod host;

/// What happened at a probe, as far as the encoder knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// An object, returned.
    Value(u64),
    Entry {
        convention: String,
        bound: bool,
        arguments: [u64; 5],
    },
    Outcome {
        kind: String,
        value: u64,
        tstate: u64,
    },
    /// At most so many frames of the thread.
    Frames(u32),
    /// A frame that begins to run.
    Run(u64),
    /// A frame that gives a value to its caller: on top of its stack, whose end is there.
    End {
        frame: u64,
        stack: u64,
    },
}

/// A record to make, and the fields of its event as the program itself gives them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Root {
    #[serde(flatten)]
    pub start: Start,
    pub truth: Json,
}

/// The interpreter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Python {
    /// `sys.hexversion`.
    pub version: u32,
    pub free_threaded: bool,
    /// `Target::unicode_width`.
    #[serde(default)]
    pub unicode_width: u32,
    #[serde(default)]
    pub known: BTreeMap<String, u64>,
    /// The `PyThreadState` of the thread whose frames are told.
    #[serde(default)]
    pub tstate: u64,
}

/// A line of a recording's file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Python(Python),
    /// Address and bytes, in base64.
    Memory(u64, String),
    /// Address, fingerprint, name.
    Type(u64, u64, String),
    /// Address of the module and of its dict, name.
    Module(u64, u64, String),
    /// Address, fingerprint, function, file, first line, line table.
    Code(u64, u64, String, String, u32, String),
    Root(Root),
}

/// A recording.
#[derive(Default)]
pub struct Recording {
    pub python: Python,
    pub memory: Pieces,
    pub names: Known,
    pub roots: Vec<Root>,
}

impl Recording {
    /// Reads a recording's file.
    pub fn parse(text: &str) -> Self {
        let mut recording = Self::default();
        for line in text.lines() {
            match serde_json::from_str(line).expect("a line of a recording") {
                Line::Python(python) => recording.python = python,
                Line::Memory(address, bytes) => recording.memory.insert(address, &unpacked(&bytes)),
                Line::Type(address, fingerprint, name) => {
                    recording.names.types.insert((address, fingerprint), name.into());
                }
                Line::Module(module, dict, name) => {
                    recording.names.modules.insert((module, dict), name.into());
                }
                Line::Code(address, fingerprint, function, file, first_line, table) => {
                    let code = Code {
                        function,
                        file,
                        first_line,
                        linetable: unpacked(&table),
                        line_format: recording.layout().line_format,
                    };
                    recording
                        .names
                        .codes
                        .insert((address, fingerprint), Arc::new(code));
                }
                Line::Root(root) => recording.roots.push(root),
            }
        }
        recording
    }

    /// As [`Self::parse`] reads it.
    pub fn to_text(&self) -> String {
        let mut lines = vec![Line::Python(self.python.clone())];
        let memory = self.memory.0.iter();
        lines.extend(memory.map(|(at, bytes)| Line::Memory(*at, STANDARD.encode(bytes))));
        let types = self.names.types.iter();
        lines.extend(
            types.map(|((address, fingerprint), name)| Line::Type(*address, *fingerprint, name.to_string())),
        );
        let modules = self.names.modules.iter();
        lines.extend(modules.map(|((module, dict), name)| Line::Module(*module, *dict, name.to_string())));
        lines.extend(self.names.codes.iter().map(|((address, fingerprint), code)| {
            let table = STANDARD.encode(&code.linetable);
            let (function, file) = (code.function.clone(), code.file.clone());
            Line::Code(*address, *fingerprint, function, file, code.first_line, table)
        }));
        let mut text: Vec<String> = lines
            .into_iter()
            .chain(self.roots.iter().cloned().map(Line::Root))
            .map(|line| serde_json::to_string(&line).expect("plain data"))
            .collect();
        text.push(String::new());
        text.join("\n")
    }

    pub fn layout(&self) -> Layout {
        let version = Version(self.python.version);
        Layout::of(version, self.python.free_threaded).expect("a supported version")
    }

    /// What the kernel half would know of the process.
    pub fn target(&self) -> Target {
        let layout = self.layout();
        let feature = |has: bool, bit: u32| if has { bit } else { 0 };
        Target {
            pidns_dev: 0,
            pidns_ino: 0,
            tstate_current: 0,
            interpreters_head: 0,
            known: known_from(&self.python.known),
            limits: CaptureLimits::default(),
            features: feature(layout.long_tag, FEATURE_LONG_TAG)
                | feature(layout.is_python2(), FEATURE_PYTHON2),
            unicode_width: self.python.unicode_width,
            extended_arg: 0,
            raise_varargs: 0,
            attribution: Attribution::NONE,
            offsets: layout.offsets,
            _padding: Default::default(),
        }
    }
}

fn unpacked(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("base64")
}

macro_rules! known_objects {
    ($($field:ident)*) => {
        /// The known objects by name.
        pub fn known_by_name(known: &KnownObjects) -> BTreeMap<String, u64> {
            let KnownObjects { $($field),* } = *known;
            BTreeMap::from([$((stringify!($field).to_owned(), $field)),*])
        }

        /// An object that a recording does not know yet is none.
        fn known_from(names: &BTreeMap<String, u64>) -> KnownObjects {
            KnownObjects { $($field: names.get(stringify!($field)).copied().unwrap_or_default()),* }
        }
    };
}

known_objects! {
    none true_ bool_type float_type complex_type bytearray_type memoryview_type set_type frozenset_type
    range_type slice_type module_type function_type method_type cfunction_type cmethod_type code_type
    cell_type
    long_type unicode_type bytes_type list_type tuple_type dict_type object_type int_type instance_type
    class_type frozendict_type stop_iteration coroutine_type generator_type
}

/// Memory in pieces that neither overlap nor touch; the rest cannot be read.
#[derive(Clone, Default)]
pub struct Pieces(BTreeMap<u64, Vec<u8>>);

impl Pieces {
    /// Adds bytes, and joins what they touch.
    pub fn insert(&mut self, address: u64, bytes: &[u8]) {
        let (mut start, mut end) = (address, address + bytes.len() as u64);
        let touched: Vec<u64> = self
            .0
            .range(..=end)
            .rev()
            .take_while(|(at, piece)| **at + piece.len() as u64 >= start)
            .map(|(at, _)| *at)
            .collect();
        let touched: Vec<(u64, Vec<u8>)> = touched
            .into_iter()
            .filter_map(|at| self.0.remove_entry(&at))
            .collect();
        for (at, piece) in &touched {
            start = start.min(*at);
            end = end.max(at + piece.len() as u64);
        }
        let mut joined = vec![0; (end - start) as usize];
        for (at, piece) in touched
            .iter()
            .map(|(at, piece)| (*at, &piece[..]))
            .chain([(address, bytes)])
        {
            joined[(at - start) as usize..][..piece.len()].copy_from_slice(piece);
        }
        self.0.insert(start, joined);
    }

    /// Fills a buffer, wholly or not at all.
    pub fn read(&self, address: u64, out: &mut [u8]) -> bool {
        let bytes = self
            .0
            .range(..=address)
            .next_back()
            .and_then(|(start, piece)| piece.get((address - start) as usize..)?.get(..out.len()));
        if let Some(bytes) = bytes {
            out.copy_from_slice(bytes);
        }
        bytes.is_some()
    }
}

/// The names that were resolved, by address and fingerprint (of a module: by its address and its
/// dict's).
#[derive(Default)]
pub struct Known {
    pub types: BTreeMap<(u64, u64), Arc<str>>,
    pub modules: BTreeMap<(u64, u64), Arc<str>>,
    pub codes: BTreeMap<(u64, u64), Arc<Code>>,
}

impl Names for Known {
    fn type_name(&mut self, _: u16, of: TypeRef) -> Option<Arc<str>> {
        self.types.get(&(of.address, of.fingerprint)).cloned()
    }

    fn module_name(&mut self, _: u16, module: u64, dict: u64) -> Option<Arc<str>> {
        self.modules.get(&(module, dict)).cloned()
    }

    fn code(&mut self, _: u16, frame: &FrameRecord) -> Option<Arc<Code>> {
        self.codes.get(&(frame.code, frame.fingerprint)).cloned()
    }
}

const RETURN_KINDS: [ReturnKind; 5] = [
    ReturnKind::Object,
    ReturnKind::Status,
    ReturnKind::Iterator,
    ReturnKind::Truth,
    ReturnKind::Size,
];

/// Makes the record of a root in the slot, as the kernel half does; `before` sees the slot before
/// each step.
pub fn encode<M: Memory>(
    slot: &mut Slot,
    python: &Python,
    target: &Target,
    start: &Start,
    memory: &mut M,
    before: impl FnMut(&Slot),
) -> Record {
    slot.reset();
    let mut target = *target;
    target.limits.stack = 0;
    let kind = match start {
        Start::Value(address) => {
            begin_return(slot, &target, memory, ReturnKind::Object as u8, *address, 0);
            KIND_RETURN
        }
        Start::Outcome { kind, value, tstate } => {
            let kind = RETURN_KINDS
                .into_iter()
                .find(|known| format!("{known:?}") == *kind)
                .expect("a kind of return value");
            begin_return(slot, &target, memory, kind as u8, *value, *tstate);
            KIND_RETURN
        }
        Start::Entry {
            convention,
            bound,
            arguments,
        } => {
            let convention = Convention::ALL
                .into_iter()
                .find(|known| format!("{known:?}") == *convention)
                .expect("a convention") as u8;
            let frame = innermost_frame(slot, &target, memory, python.tstate);
            let self_kind = if *bound { SelfKind::Bound } else { SelfKind::Module } as u8;
            begin_entry(slot, &target, memory, convention, self_kind, *arguments, frame);
            KIND_ENTRY
        }
        Start::Frames(most) => {
            target.limits.stack = *most;
            let frame = innermost_frame(slot, &target, memory, python.tstate);
            let convention = Convention::NoArgs as u8;
            begin_entry(slot, &target, memory, convention, 0, [0; 5], frame);
            KIND_ENTRY
        }
        Start::Run(frame) => {
            // What cannot be read the kernel half leaves out.
            let code = code_of(&target, memory, *frame).unwrap_or(0);
            let run = Run {
                frame: *frame,
                code,
                key: quick_key(slot, &target, memory, code).unwrap_or(0),
                flags: run_flags(slot, &target, memory, Role::Eval as u8, *frame),
            };
            begin_run(slot, &target, memory, run, 1);
            KIND_ENTRY
        }
        Start::End { frame, stack } => {
            let place = PackedPlace(
                Place {
                    site: 0,
                    target: 0,
                    role: Role::Yield,
                    frame: Register::Rax,
                    value: ValueAt::Stack(Register::Rax, 0),
                    if_equal: false,
                }
                .pack(),
            );
            let yields = target.offsets.frame_lasti == ABSENT || is_yielding(slot, &target, memory, *frame);
            slot.push_word(value_word(Tag::Activation, RUN_YIELDED * u8::from(yields), 1));
            slot.push_word(*frame);
            let value = returned(&target, memory, place, *frame, *stack);
            begin_return(slot, &target, memory, ReturnKind::Object as u8, value, 0);
            KIND_RETURN
        }
    };
    host::run(slot, &target, memory, before);
    let len = slot.finish(RecordHeader {
        kind,
        ..RecordHeader::default()
    });
    let words = &slot.words[..len as usize / 8];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    Record::parse(bytes.into()).expect("a record")
}

/// The record's event as the tool prints it.
pub fn line(record: &Record, names: &mut dyn Names) -> String {
    let meta = site();
    let run = activation(record.values());
    let yields = run.as_ref().is_some_and(|run| run.flags & RUN_YIELDED != 0);
    let outcome = match record.header.kind {
        KIND_RETURN => match ending(record.values()).expect("an outcome") {
            Ending::Returned(value) if yields => Outcome::Yielded(value),
            Ending::Returned(value) => Outcome::Returned(value),
            Ending::Raised { ty, value } => Outcome::Raised(Raised::new(ty, value)),
        },
        _ => Outcome::Unobserved("only its entry is recorded"),
    };
    let stack = record.frames().map(|frame| frame_of(&frame, names)).collect();
    let event = CallEvent {
        id: 1,
        parent: None,
        target: 0,
        pid: 1,
        tid: 1,
        time_ns: 0,
        duration_ns: None,
        meta: &meta,
        function: &meta.function,
        module_len: meta.module_len,
        effect: meta.effect,
        arguments: match record.header.kind {
            KIND_ENTRY => arguments(record.values()),
            _ => Default::default(),
        },
        outcome,
        stack,
        handle: None,
        weight: 1,
        late: false,
        run: run.map(|run| call::Run {
            resumed: run.flags & RUN_RESUMED != 0,
            thrown: false,
            first: None,
            file: run.module.unwrap_or_default().into(),
            line: 0,
        }),
    };
    let mut line = Vec::new();
    JsonSink.call(&event, &mut TypeNames { names, target: 0 }, &mut line);
    String::from_utf8(line).expect("JSON is UTF-8")
}

/// The fields of the record's event that a program knows: those that its root's truth has.
pub fn event(record: &Record, start: &Start, names: &mut dyn Names) -> Json {
    let mut event = parse(&line(record, names));
    let known: &[&str] = match start {
        Start::Value(_) | Start::Outcome { .. } => &["outcome", "result", "exception"],
        Start::Entry { .. } => &["self", "args", "args_len", "kwargs", "kwargs_len"],
        Start::Frames(_) => &["stack"],
        Start::Run(_) => &["args", "resumed", "file"],
        Start::End { .. } => &["outcome", "result"],
    };
    let fields = event.as_object_mut().expect("an object");
    fields.retain(|field, _| known.contains(&&**field));
    event
}

/// Reads JSON. A lone surrogate is fine in JSON and in Python, but not in Rust's strings.
pub fn parse(line: &str) -> Json {
    serde_json::from_str(&line.replace("\\ud800", "\\ufffd")).expect("a line of JSON")
}

fn frame_of(frame: &FrameRecord, names: &mut dyn Names) -> Frame {
    let code = names.code(0, frame);
    let line = code.as_ref().and_then(|code| {
        Lines::decode(code.line_format, &code.linetable, code.first_line).at(frame.instruction)
    });
    Frame { code, line }
}

fn site() -> SiteMeta {
    SiteMeta {
        function: "module.function".into(),
        module_len: "module".len(),
        aliases: Arc::new([]),
        effect: "other.call",
        wanted: true,
        deletion: None,
        convention: Convention::NoArgs,
        self_kind: SelfKind::Module,
        return_kind: ReturnKind::Object,
        named: true,
        no_return: None,
        handle: HandleKind::None,
        operands: None,
        run: None,
        target: &[],
    }
}
