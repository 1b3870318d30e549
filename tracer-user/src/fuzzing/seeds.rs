//! Where the fuzzer's seeds come from. `PYTRACE_SEEDS=write cargo test -p tracer-user seeds` writes them anew: those of code, line
//! tables and files from the interpreters that are here and from gcc, the others from what is said below.

use std::{collections::HashMap, env, fs, process::Command, sync::Arc};

use tracer_common::{
    cookie::SelfKind,
    wire::{KIND_ENTRY, Tag, value_word},
};

use super::{
    image::{Op, VERSIONS},
    input::Input,
    recording::with_checksums,
    records::{begin, sites},
    tests::corpus,
};
use crate::{
    bytecode,
    catalogue::{
        discover::discover,
        effects::{From, TargetPart},
    },
    cpython::{Interpreter, Version},
    event::SiteMeta,
    process::{Process, ReadMemory as _},
    recording::{block::BlockWriter, item::append_record},
};

#[path = "../../tests/pythons/mod.rs"]
mod pythons;

#[path = "../../tests/asked/mod.rs"]
mod asked;

fn is_writing() -> bool {
    env::var_os("PYTRACE_SEEDS").is_some_and(|what| what == "write")
}

/// Writes a seed, or looks whether it is the one that is there.
fn put(target: &str, name: &str, seed: &[u8]) {
    let folder = corpus(target);
    if is_writing() {
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), seed).expect("a seed");
    } else {
        let there = fs::read(folder.join(name)).expect("a seed");
        assert!(there == seed, "{target}/{name} is another: write the seeds anew");
    }
}

#[test]
fn seeds() {
    if is_writing() {
        of_this_machine();
    }
    tables();
    getters();
    walks();
    recordings();
}

/// Those that differ from machine to machine.
fn of_this_machine() {
    for program in pythons::all() {
        // Says "ready", and prints the line tables of a few functions when asked.
        let python = asked::Python::start(&program, &["-c", TABLES]);
        let Some(mut python) = python else { continue };
        let process = Process::open(python.child.id()).expect("a process");
        let interpreter = Interpreter::find(&process).expect("an interpreter");
        let version = interpreter.version();
        let name = format!("{}.{}", version.major(), version.minor());
        for (n, table) in python.ask::<Vec<String>>().iter().enumerate() {
            let mut seed = vec![version.line_format() as u8];
            seed.extend(7u64.to_le_bytes());
            seed.extend(40u64.to_le_bytes());
            seed.extend(unhex(table));
            put("lines", &format!("{name}-{n}"), &seed);
        }
        prologues(&name, &process, &interpreter);
        if let Some(seed) = bytecode::fuzz::seed(&process, &interpreter) {
            let mut whole = vec![1, version_number(version)];
            whole.extend(seed);
            put("sites", &format!("handlers-{name}"), &whole);
        }
        if let Some((seed, places)) = bytecode::fuzz::seed_of_reads(&process, &interpreter) {
            // The same as in the interpreter, so that what is changed in it is near to what matters.
            let found = bytecode::fuzz::handlers_of(version, false, &mut Input::new(&seed));
            assert_eq!(found, places, "{name}");
            println!("{name}: {places} places where globals are read");
            let mut whole = vec![1, version_number(version)];
            whole.extend(seed);
            put("sites", &format!("reads-{name}"), &whole);
        }
    }
    elf();
}

const TABLES: &str = "\
import json, os, sys
print('ready')
sys.stdout.flush()
sys.stdin.readline()
codes = [f.__code__ for f in (os.walk, json.dumps, os.makedirs)]
tables = [getattr(c, 'co_linetable', None) or c.co_lnotab for c in codes]
print(json.dumps([''.join('%02x' % b for b in bytearray(t[:400])) for t in tables]))
sys.stdout.flush()
sys.stdin.readline()
";

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("a byte"))
        .collect()
}

fn version_number(version: Version) -> u8 {
    let numbers = VERSIONS.iter().zip(0..);
    let mut same =
        numbers.filter(|((major, minor, _), _)| (*major, *minor) == (version.major(), version.minor()));
    same.next().expect("a version").1
}

/// The beginnings of C functions that differ in their first bytes.
fn prologues(name: &str, process: &Process, interpreter: &Interpreter) {
    let found = discover(process, interpreter).expect("functions");
    let mut seen: HashMap<[u8; 3], u64> = HashMap::new();
    for function in &found.functions {
        let code = process.read_bytes(function.ml_meth, 96).expect("code");
        let first = *code.first_chunk().expect("code");
        seen.entry(first).or_insert(function.ml_meth);
    }
    let mut all: Vec<_> = seen.into_iter().collect();
    all.sort_unstable();
    for (n, (_, address)) in all.iter().step_by(all.len().div_ceil(6)).enumerate() {
        let mut seed = vec![0, 0];
        seed.extend(address.to_le_bytes());
        seed.push(SelfKind::Bound as u8);
        seed.extend(process.read_bytes(*address, 96).expect("code"));
        put("sites", &format!("function-{name}-{n}"), &seed);
    }
}

/// A small library with the symbols and stubs of an interpreter, and one that needs an interpreter.
fn elf() {
    const INTERPRETER: &str = "\
int PyObject_SetAttr(void *a, void *b, void *c) { return 0; }
int PyDict_SetItem(void *, void *, void *);
int PyRun_SimpleStringFlags(void *a, void *b) { return PyObject_SetAttr(a, b, b) + PyDict_SetItem(a, b, a); }
int Py_RunMain(void) { return PyRun_SimpleStringFlags(0, 0); }
long _PyRuntime[4] = {1, 2, 3, 4};
unsigned long Py_Version = 0x030b02f0;
static int hidden(void) { return 3; }
int (*variable)(void) = hidden;
";
    const PROGRAM: &str = "int Py_RunMain(void); int main(void) { return Py_RunMain(); }";
    for (name, source, flags) in [
        ("elf-interpreter", INTERPRETER, &["-shared", "-fPIC"][..]),
        ("elf-program", PROGRAM, &["-shared", "-fPIC", "-Wl,-e,main"]),
    ] {
        let folder = env::temp_dir();
        let (from, to) = (folder.join("pytrace-seed.c"), folder.join("pytrace-seed.so"));
        fs::write(&from, source).expect("a file");
        let made = Command::new("gcc")
            .args(flags)
            .args([
                "-O1",
                "-nostdlib",
                "-Wl,-z,noseparate-code",
                "-Wl,--build-id=none",
                "-o",
            ])
            .args([&to, &from])
            .status();
        assert!(made.expect("gcc").success());
        put("sites", name, &fs::read(to).expect("a file"));
    }
}

/// What a table of handlers looks like, between other words.
fn tables() {
    let version = Version::of_minor(3, 12);
    let mut seed = vec![2, version_number(version)];
    let mut words = vec![7, 0x40_1111];
    words.extend(bytecode::fuzz::table(version));
    words.extend([0x40_1111, 9]);
    seed.extend(words.iter().flat_map(|word: &u64| word.to_le_bytes()));
    put("sites", "table", &seed);
}

/// Functions that return a variable.
fn getters() {
    let beside = [0x48, 0x8b, 0x05, 0, 1, 0, 0, 0xc3];
    let behind = [
        0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x8d, 0x05, 8, 0, 0, 0, 0x48, 0x8b, 0x40, 8, 0xc3,
    ];
    for (name, code) in [("getter-beside", &beside[..]), ("getter-behind", &behind)] {
        let mut seed = vec![3, 0];
        seed.extend(0x1000u64.to_le_bytes());
        seed.extend(code);
        seed.resize(80, 0x90);
        put("sites", name, &seed);
    }
}

/// Says what is in a memory, see [`super::image`].
struct Memory(Vec<u8>);

/// No object.
const NULL: u8 = 255;
/// First and second repeated page, and the next ones.
const MIRRORS: [u8; 4] = [64, 65, 66, 67];

impl Memory {
    fn of(version: Version) -> Self {
        // Without a snapshot; what nothing was put into is not mapped.
        let mut input = vec![0, version_number(version), 0];
        if version.major() == 2 {
            input.push(0);
        }
        Self(input)
    }

    fn add(&mut self, op: Op, at: u8, arguments: &[u8]) -> &mut Self {
        self.0.extend([op as u8, at]);
        self.0.extend(arguments);
        self
    }

    fn text(&mut self, at: u8, text: impl AsRef<[u8]>) -> &mut Self {
        let text = text.as_ref();
        self.add(Op::Str, at, &[text.len() as u8]);
        self.0.extend(text);
        self
    }

    fn dict(&mut self, at: u8, pairs: &[[u8; 2]]) -> &mut Self {
        self.add(Op::Dict, at, &[pairs.len() as u8]);
        self.0.extend(pairs.concat());
        self
    }

    /// References: metatype, base, dict, mro, subclasses, qualname, `tp_name`.
    fn ty(&mut self, at: u8, references: [u8; 7], flags: [u8; 2]) -> &mut Self {
        self.add(Op::Type, at, &references);
        self.0.extend([1, 2, 3, flags[0], flags[1], 0]);
        self
    }
}

/// Memories: a module with everything, types in a circle, and what has no end.
fn walks() {
    for (major, minor) in [(2, 7), (3, 6), (3, 10), (3, 11), (3, 12), (3, 14)] {
        let version = Version::of_minor(major, minor);
        let name = format!("{major}.{minor}");
        let mut m = Memory::of(version);
        // Names in 30 to 39, modules' dict in 40.
        for (n, text) in (30..).zip(["m", "f", "T", "__module__", "method", "__name__", "m.T", "T.f"]) {
            m.text(n, text);
        }
        m.add(Op::MethodDef, 41, &[31, 1, 8, 0])
            .add(Op::Function, 42, &[3, 41, 43, 30])
            .add(Op::Descriptor, 44, &[5, 45, 41, 1, 42])
            .add(Op::Descriptor, 46, &[8, 45, 41, 1, 42])
            .add(Op::Sequence, 47, &[0, 2, 45, 1])
            .add(Op::WeakRef, 48, &[45])
            .add(Op::Sequence, 49, &[1, 1, 48])
            .dict(50, &[[30, 48]])
            // The body is `a[slot] of the type`, its flags those of a heap type.
            .ty(
                45,
                [0, 1, 51, 47, if major == 2 { 49 } else { 50 }, 32, 36],
                [0, 1],
            )
            .dict(51, &[[33, 30], [34, 44], [35, 46]])
            .add(Op::Code, 52, &[31, 30, 30, 53, 3])
            .add(Op::Code, 54, &[34, 30, 30, 53, 3])
            .add(Op::Sequence, 53, &[0, 1, 54])
            .add(Op::PythonFunction, 55, &[52, 40, NULL, 31])
            .dict(40, &[[35, 30], [31, 42], [32, 45], [34, 55]])
            .add(Op::Module, 43, &[40, 30])
            .dict(56, &[[30, 43]])
            .add(Op::Modules, 56, &[40, NULL]);
        put("walk", &format!("{name}-module"), &m.0);
        let mut m = Memory::of(version);
        m.text(30, "m")
            .ty(40, [41, 41, 43, 42, NULL, 30, 30], [128, 0])
            .ty(41, [40, 40, 43, 42, NULL, 30, 30], [128, 1])
            .add(Op::Sequence, 42, &[0, 3, 40, 41, 40])
            .dict(43, &[[30, 40], [30, 41], [30, 44]])
            .add(Op::Module, 44, &[43, 30])
            .dict(45, &[[30, 44], [30, 40]])
            .add(Op::Modules, 45, &[43, 64]);
        put("walk", &format!("{name}-circle"), &m.0);
        let mut m = Memory::of(version);
        // Each value of the endless dict is another module, with a dict of its own, and the same name of 4,080 characters.
        m.text(30, b"a module's name\xff")
            .add(Op::Module, 40, &[MIRRORS[1], 30])
            .add(Op::Mirror, 40, &[0])
            .dict(41, &[[30, 42]])
            .add(Op::Mirror, 41, &[1])
            .add(Op::EndlessDict, 43, &[30, 13])
            .add(Op::Modules, 43, &[41, NULL]);
        put("walk", &format!("{name}-modules"), &m.0);
        let mut m = Memory::of(version);
        // Each type's base is the next one.
        m.text(30, "a type's name")
            .ty(40, [0, MIRRORS[2], 41, NULL, NULL, 30, 30], [128, 1])
            .add(Op::Mirror, 40, &[0])
            .add(Op::EndlessDict, 41, &[30, 10])
            .add(Op::Module, 42, &[41, 30])
            .dict(43, &[[30, 42]])
            .add(Op::Modules, 43, &[41, NULL]);
        put("walk", &format!("{name}-types"), &m.0);
    }
}

/// A recording as a file, and its items.
fn recordings() {
    let items = crate::recording::tests::items(12);
    put("recording", "items", &items);
    put("recording", "items-start", &items[..items.len() / 4]);
    let mut file = Vec::new();
    BlockWriter::new(&mut file)
        .and_then(|mut writer| {
            writer.write(&items)?;
            writer.write(&items[..0])
        })
        .expect("memory can be written");
    put("recording", "file", &with_checksums(&file));
    put("recording", "file-cut", &file[..file.len() - 40]);
    put("recording", "control-characters", &control_characters());
}

/// A recording whose texts would clear a terminal.
fn control_characters() -> Vec<u8> {
    const HARM: &str = "\x1b[2J\u{9b}2J\r";
    const TARGET: &[TargetPart] = &[TargetPart {
        key: HARM,
        from: From::Argument {
            position: 0,
            name: HARM,
        },
    }];
    let site = SiteMeta {
        function: format!("m.{HARM}").into(),
        module_len: 1,
        aliases: Arc::new([HARM.into()]),
        no_return: Some(HARM),
        target: TARGET,
        ..sites().swap_remove(0)
    };
    let mut items = begin(&[site]);
    // An entry with one argument, 7.
    let words = [
        u64::from(KIND_ENTRY) | 10 << 35,
        0,
        1,
        0x1000,
        0,
        value_word(Tag::Args, 0, 0),
        1,
        value_word(Tag::Int64, 0, 0),
        7,
        value_word(Tag::End, 0, 0),
    ];
    let record = words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect::<Vec<u8>>();
    append_record(&record, &mut items);
    items
}
