//! Finds every C function reachable from `sys.modules` of a live process.
//!
//! The way goes from the interpreters' `modules` dicts to the modules' dicts, from there to
//! functions and types, from types to their dicts, slots, bases, metatypes and subclasses (so that
//! iterators and other types without a name in any module are found too). It needs no symbols
//! but the interpreter's own, so third-party extension modules and stripped files are no different.

mod descriptor;
mod function;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod slots;
mod walk;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracer_common::cookie::{Convention, ReturnKind, SelfKind};
use tracer_common::wire::TypeRef;

use crate::cpython::objects::ObjectError;
use crate::cpython::{Interpreter, Version};
use crate::process::{Mapping, Process, ReadMemory, Snapshot};
use function::Merged;
pub use function::{convention, meth};
pub use slots::Signature;

/// Objects looked at, at most. A large Django process has about 300,000.
const MAX_OBJECTS: usize = 1_000_000;
/// Functions kept at most.
const MAX_FUNCTIONS: usize = 200_000;
/// Types whose names are kept, at most.
const MAX_TYPES: usize = 32 * 1024;
/// Bytes of all names together.
const MAX_NAME_BYTES: usize = 64 * 1024 * 1024;
/// No process we know takes a second.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    #[error("cannot walk sys.modules of process {pid}: {error} (it may be ending)")]
    Modules { pid: u32, error: ObjectError },
    #[error(
        "no C function is reachable from sys.modules of process {0}: it is shutting down, or not one to trust"
    )]
    Nothing(u32),
}

/// A C function that can be probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CFunction {
    /// `module.qualname` as Python reports it, builtins in full: `builtins.print`,
    /// `builtins.list.append`, `_socket.socket.send`, `_io.open`. A slot has the name of its wrapper
    /// (`_io.FileIO.__init__`), a constructor that of its type (`builtins.complex`).
    pub function: String,
    /// Length of the module part of `function`.
    pub module_len: usize,
    /// Other names it is reachable by (`os.open` for `posix.open`), sorted.
    pub aliases: Vec<String>,
    /// Address of the function in the process.
    pub ml_meth: u64,
    /// `METH_*`, see [`meth`]; `None`: a type's slot.
    pub ml_flags: Option<u32>,
    pub convention: Convention,
    pub return_kind: ReturnKind,
    pub self_kind: SelfKind,
    /// How many types have it in a slot.
    pub slot_of: usize,
    /// Index in [`Discovery::files`].
    pub file: usize,
    /// Where the function begins in that file.
    pub file_offset: u64,
}

/// A slot function of so many types does general work (`PyObject_GenericGetAttr`), and all the time.
const COMMON_SLOT: usize = 16;

impl CFunction {
    /// Is it in the slots of so many types that only someone who names it can mean it?
    pub fn is_common(&self) -> bool {
        self.slot_of >= COMMON_SLOT
    }

    /// All names: the function's own, then the others.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.function.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

/// A C function that must not be probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedFunction {
    pub function: String,
    pub aliases: Vec<String>,
    pub ml_meth: u64,
    /// The flags of every `PyMethodDef` seen that names it.
    pub ml_flags: Vec<u32>,
    /// For the user, one line.
    pub why: &'static str,
}

/// A file that functions are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    /// As the process sees it.
    pub path: PathBuf,
    pub dev: (u32, u32),
    pub inode: u64,
    /// One executable mapping of it, for [`Process::mapping_link`] and [`Process::open_mapping`].
    pub mapping: Mapping,
}

impl MappedFile {
    /// The file behind an executable mapping.
    pub fn of(mapping: &Mapping) -> Self {
        Self {
            path: mapping.path.clone().unwrap_or_default(),
            dev: mapping.dev,
            inode: mapping.inode,
            mapping: mapping.clone(),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// By name.
    pub functions: Vec<CFunction>,
    /// By name.
    pub refused: Vec<RefusedFunction>,
    pub files: Vec<MappedFile>,
    /// Names of the types that were passed, as the kernel half will refer to them.
    pub types: Vec<(TypeRef, Arc<str>)>,
    /// Why the walk ended before its time, if it did: there may be more functions.
    pub cut: Option<&'static str>,
}

/// Walks the process as it is now. The process keeps running: an object that changes under the
/// walk is skipped, and what a moment's state hides is found by the next walk.
pub fn discover(process: &Process, interpreter: &Interpreter) -> Result<Discovery, DiscoverError> {
    discover_in(&Snapshot::new(process), process, interpreter)
}

/// The walk over `memory`, which is the process's or, in a test, worse.
fn discover_in(
    memory: &impl ReadMemory,
    process: &Process,
    interpreter: &Interpreter,
) -> Result<Discovery, DiscoverError> {
    let bounds = walk::Bounds {
        deadline: Instant::now() + MAX_TIME,
        objects: MAX_OBJECTS,
        functions: MAX_FUNCTIONS,
        types: MAX_TYPES,
        name_bytes: MAX_NAME_BYTES,
    };
    let mut walk = walk::Walk::new(interpreter, memory, bounds);
    walk.run().map_err(|error| DiscoverError::Modules {
        pid: process.pid(),
        error,
    })?;
    let (cut, types) = (walk.cut, std::mem::take(&mut walk.types));
    let mut discovery = place(process, function::merge(walk.found));
    if interpreter.version().is_same_minor(Version::of_minor(3, 6)) {
        // It passes keyword names to every `METH_FASTCALL` function (`_PyCFunctionFast`,
        // Include/methodobject.h at v3.6.15).
        for function in &mut discovery.functions {
            if function.convention == Convention::FastCall {
                function.convention = Convention::FastCallKeywords;
            }
        }
    }
    discovery.types = types;
    discovery.cut = cut;
    if discovery.functions.is_empty() {
        return Err(DiscoverError::Nothing(process.pid()));
    }
    Ok(discovery)
}

/// Finds each function's file.
fn place(process: &Process, merged: Vec<Merged>) -> Discovery {
    let mut discovery = Discovery::default();
    let mut known = HashMap::new();
    for merged in merged {
        let refuse = |merged: Merged, why| RefusedFunction {
            function: merged.function,
            aliases: merged.aliases,
            ml_meth: merged.ml_meth,
            ml_flags: merged.ml_flags,
            why,
        };
        let Signature { convention, returns } = match merged.signature {
            Ok(signature) => signature,
            Err(why) => {
                discovery.refused.push(refuse(merged, why));
                continue;
            }
        };
        let code = process
            .locate(merged.ml_meth)
            .filter(|(mapping, _)| mapping.is_file() && mapping.executable());
        let Some((mapping, file_offset)) = code else {
            let why = "it is not in the code of a mapped file (made at run time?)";
            discovery.refused.push(refuse(merged, why));
            continue;
        };
        let file = *known.entry((mapping.dev, mapping.inode)).or_insert_with(|| {
            discovery.files.push(MappedFile::of(mapping));
            discovery.files.len() - 1
        });
        discovery.functions.push(CFunction {
            function: merged.function,
            module_len: merged.module_len,
            aliases: merged.aliases,
            ml_meth: merged.ml_meth,
            ml_flags: merged.ml_flags.first().copied(),
            convention,
            return_kind: returns,
            self_kind: merged.self_kind,
            slot_of: merged.slot_of,
            file,
            file_offset,
        });
    }
    discovery
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;
    use crate::process::ReadError;

    /// Gives other bytes than there are, about every `every`th time.
    struct Lying<'a> {
        memory: Snapshot<'a, Process>,
        state: Cell<u64>,
        every: u64,
    }

    impl ReadMemory for Lying<'_> {
        fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
            self.memory.read(addr, out)?;
            // xorshift64
            let mut x = self.state.get();
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            self.state.set(x);
            if x.is_multiple_of(self.every) {
                let lie = [0, 0xff, 0x7f, x as u8][x as usize >> 8 & 3];
                let start = (x >> 16) as usize % out.len().max(1);
                out[start..].fill(lie);
            }
            Ok(())
        }
    }

    #[test]
    fn memory_that_lies_never_makes_a_panic() {
        let python = Command::new("/usr/bin/python3")
            .args([
                "-c",
                "import os, socket, json; print('ready', flush=True); input()",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut python) = python else {
            eprintln!("skipped: no /usr/bin/python3");
            return;
        };
        let mut line = String::new();
        let stdout = python.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let process = Process::open(python.id()).unwrap();
        if let Ok(interpreter) = Interpreter::find(&process) {
            for seed in 1..40 {
                let memory = Lying {
                    memory: Snapshot::new(&process),
                    state: Cell::new(seed * 0x9e37_79b9),
                    every: 10 << (seed % 8),
                };
                let _ = discover_in(&memory, &process, &interpreter);
            }
        }
        python.kill().unwrap();
        python.wait().unwrap();
    }
}
