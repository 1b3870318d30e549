//! From a process to its interpreter: which mapped file holds it, which version it is, where its
//! structs are, and whether they look as they should.

use std::collections::HashSet;

use super::elf::{self, Symbols};
use super::getter::returned_variable;
use super::layout::{ABSENT, Layout, Table, layout_name};
use super::objects::Objects;
use super::{Interpreter, InterpreterError, Roots, Version, check, debug_offsets, known, static_types};
use crate::process::{Mapping, Process, ReadMemory};

/// Mapped files looked into for an interpreter.
const MAX_FILES: usize = 1024;

/// 3.7+.
const RUNTIME: &str = "_PyRuntime";
/// Up to 3.6.
const TSTATE_CURRENT: &str = "_PyThreadState_Current";
/// A function; up to 3.6 it is the only exported thing that knows where the interpreters are.
const HEAD_FUNCTION: &str = "PyInterpreterState_Head";
/// 3.11+.
const VERSION: &str = "Py_Version";
/// Python 2.
const INT_TYPE: &str = "PyInt_Type";
/// Exported by builds with `Py_REF_DEBUG` only (Include/object.h, 2.7 to 3.15).
const DEBUG_BUILD: &str = "_Py_NegativeRefcount";
/// 3.13 put `_Py_DebugOffsets` into `_PyRuntime`.
const FIRST_WITH_DEBUG_OFFSETS: Version = Version::of_minor(3, 13);
/// A function that returns the running thread's state; up to 3.11 it is in one place for all threads.
const TSTATE_FUNCTION: &str = "_PyThreadState_UncheckedGet";
/// `_PyRuntime` is smaller.
const MAX_RUNTIME: u64 = 1 << 20;

/// Finds the interpreter of a process.
pub(super) fn find(process: &Process) -> Result<Interpreter, InterpreterError> {
    let mut wanted = vec![
        RUNTIME,
        TSTATE_CURRENT,
        HEAD_FUNCTION,
        TSTATE_FUNCTION,
        VERSION,
        DEBUG_BUILD,
    ];
    wanted.extend(known::symbols());
    let mut error = None;
    for mapping in candidates(process) {
        let Some(symbols) = elf::symbols(process, mapping, &[RUNTIME, TSTATE_CURRENT], &wanted) else {
            continue;
        };
        let candidate = Candidate {
            process,
            mapping,
            symbols,
        };
        match candidate.interpreter() {
            // A library may be loaded and not in use, beside the one that is.
            Err(found @ InterpreterError::NotInitialised(_)) => error = Some(found),
            done => return done,
        }
    }
    Err(error.unwrap_or_else(|| without_symbols(process)))
}

/// A mapped file with an interpreter's symbols.
struct Candidate<'a> {
    process: &'a Process,
    mapping: &'a Mapping,
    symbols: Symbols,
}

impl Candidate<'_> {
    fn interpreter(&self) -> Result<Interpreter, InterpreterError> {
        let pid = self.process.pid();
        if self.symbols.contains_key(DEBUG_BUILD) {
            return Err(InterpreterError::Debug(pid));
        }
        let Some(addr) = self.symbols.get(VERSION) else {
            return self.without_version();
        };
        let version = self.process.read_u32(*addr);
        let version = Version(version.map_err(|error| InterpreterError::Memory { pid, error })?);
        let layout = self.own_layout(version)?;
        self.checked(version, layout)
    }

    /// Up to 3.10 nothing but `sys` tells the version: each layout is tried that has the symbols which are
    /// there, and `sys` must then say that it is the right one.
    fn without_version(&self) -> Result<Interpreter, InterpreterError> {
        let pid = self.process.pid();
        let tried = if self.symbols.contains_key(RUNTIME) {
            7..=10
        } else {
            6..=6
        };
        let mut versions: Vec<Version> = tried.map(|minor| Version::of_minor(3, minor)).collect();
        if self.symbols.contains_key(INT_TYPE) {
            versions = vec![Version::of_minor(2, 7)];
        }
        let mut error = InterpreterError::NotInitialised(pid);
        for version in versions {
            let Some(layout) = Layout::of(version, false) else {
                continue;
            };
            match self.checked(version, layout) {
                Ok(interpreter) => return Ok(interpreter),
                Err(InterpreterError::NotInitialised(_)) => {}
                Err(found) => error = found,
            }
        }
        // What the names of the files say, where no layout fits.
        let version = named_version(self.process);
        match &error {
            InterpreterError::Layout { .. } if !is_supported(&version) => {
                Err(InterpreterError::Unsupported { pid, version })
            }
            _ => Err(error),
        }
    }

    /// The layout of this build: the table, or what the process itself says (3.13+) over it.
    fn own_layout(&self, version: Version) -> Result<Layout, InterpreterError> {
        let pid = self.process.pid();
        let runtime = self.symbols.get(RUNTIME).copied().unwrap_or(0);
        let wrong = |what: &str| InterpreterError::Layout {
            pid,
            version: version.to_string(),
            what: what.to_owned(),
        };
        if version.is_unfinished() {
            return Err(InterpreterError::Unfinished { pid, version });
        }
        let debug = match version >= FIRST_WITH_DEBUG_OFFSETS {
            false => None,
            true => debug_offsets::read(self.process, runtime)
                .map_err(|error| InterpreterError::Memory { pid, error })?,
        };
        let name = layout_name(version, debug.as_ref().is_some_and(|debug| debug.free_threaded));
        let table = Table::named(&name).ok_or_else(|| InterpreterError::Unsupported {
            pid,
            version: name.clone(),
        })?;
        match debug {
            None if version < FIRST_WITH_DEBUG_OFFSETS => Ok(Layout::from_offsets(version, &table.offsets)),
            None => Err(wrong("_PyRuntime has no debug offsets")),
            Some(debug) if debug.version >> 16 != u64::from(version.0 >> 16) => {
                Err(wrong("debug offsets of another version"))
            }
            Some(debug) => debug
                .over(table)
                .map(|offsets| Layout::from_offsets(version, &offsets))
                .ok_or_else(|| wrong("debug offsets out of range")),
        }
    }

    /// The interpreter by a layout, if everything that is known beforehand is as it should be.
    fn checked(&self, version: Version, mut layout: Layout) -> Result<Interpreter, InterpreterError> {
        let pid = self.process.pid();
        let wrong = |what: String| InterpreterError::Layout {
            pid,
            version: version.to_string(),
            what,
        };
        let roots = self.roots(&layout).ok_or(InterpreterError::NotInitialised(pid))?;
        let sys = check::sys(&self.objects(&layout, roots)).map_err(wrong)?;
        let exactly = self.symbols.contains_key(VERSION);
        if !sys.version.is_same_minor(version) || exactly && sys.version != version {
            return Err(wrong(format!("sys.hexversion is that of {}", sys.version)));
        }
        layout.unicode_width = sys.unicode_width;
        let (known, descriptors) =
            known::read(&self.objects(&layout, roots), &self.symbols).map_err(wrong)?;
        let types = [
            known.object_type,
            known.long_type,
            known.dict_type,
            known.code_type,
            known.set_type,
        ];
        layout.user = static_types::locate(&self.objects(&layout, roots), &types)
            .ok_or_else(|| wrong("the dicts of static types are not where they should be".into()))?;
        let objects = self.objects(&layout, roots);
        check::rest(&objects, &known).map_err(wrong)?;
        let descriptors = known::descriptors(&objects, &known, descriptors).map_err(wrong)?;
        Ok(Interpreter {
            version: sys.version,
            version_string: sys.version_string,
            roots,
            known,
            descriptors,
            executable: self.process.executable().unwrap_or_default(),
            library: self.mapping.clone(),
            layout,
        })
    }

    fn objects<'o>(&'o self, layout: &'o Layout, roots: Roots) -> Objects<'o, Process> {
        Objects {
            memory: self.process,
            layout,
            interp: roots.main,
        }
    }

    /// `None`: Python is not fully initialised.
    fn roots(&self, layout: &Layout) -> Option<Roots> {
        let Some(runtime) = self.symbols.get(RUNTIME) else {
            return self.roots_without_runtime(layout);
        };
        let user = &layout.user;
        let at = |offset: u32| runtime.wrapping_add(offset.into());
        let initialized = self.process.read_u32(at(user.runtime_initialized)).ok()?;
        let main = self.process.read_u64(at(user.interpreters_main)).ok()?;
        (initialized != 0 && main != 0).then(|| Roots {
            interpreters_head: at(user.interpreters_head),
            main,
            tstate_current: match user.tstate_current {
                ABSENT => 0,
                offset => self.tstate_current(*runtime).unwrap_or(at(offset)),
            },
        })
    }

    /// Where this very build keeps the running thread's state: 3.7.4 moved it.
    fn tstate_current(&self, runtime: u64) -> Option<u64> {
        let function = self.symbols.get(TSTATE_FUNCTION)?;
        let found = returned_variable(self.process, *function)?;
        (runtime..runtime.wrapping_add(MAX_RUNTIME))
            .contains(&found)
            .then_some(found)
    }

    /// 2.7 and 3.6: the pointer to the first interpreter is a static variable that one exported
    /// function returns. New interpreters come first in the list, so the main one is the last.
    fn roots_without_runtime(&self, layout: &Layout) -> Option<Roots> {
        let function = *self.symbols.get(HEAD_FUNCTION)?;
        let interpreters_head = returned_variable(self.process, function)?;
        let mut main = self.process.read_u64(interpreters_head).ok()?;
        for _ in 0..MAX_FILES {
            let next = main.checked_add(layout.offsets.interp_next.into())?;
            match self.process.read_u64(next).ok()? {
                0 => break,
                next => main = next,
            }
        }
        (main != 0).then_some(Roots {
            interpreters_head,
            main,
            tstate_current: *self.symbols.get(TSTATE_CURRENT)?,
        })
    }
}

/// One executable mapping of each mapped file: the likely ones first.
fn candidates(process: &Process) -> Vec<&Mapping> {
    let mut seen = HashSet::new();
    let mut files: Vec<&Mapping> = process
        .maps()
        .iter()
        .filter(|mapping| mapping.executable() && mapping.is_file())
        .filter(|mapping| seen.insert((mapping.dev, mapping.inode)))
        .take(MAX_FILES)
        .collect();
    let executable = process.executable();
    files.sort_by_key(|mapping| {
        let named = mapping.path.as_ref().and_then(|path| path.file_name());
        let python = named.is_some_and(|name| name.to_string_lossy().starts_with("libpython"));
        !(python || executable.is_some() && mapping.path == executable)
    });
    files
}

/// Why no mapped file has the symbols.
fn without_symbols(process: &Process) -> InterpreterError {
    let pid = process.pid();
    let program = process.executable().unwrap_or_default();
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    if program.starts_with("pypy") || process.has_mapping_named("libpypy") {
        InterpreterError::PyPy(pid)
    } else if program.starts_with("python") {
        InterpreterError::NoSymbols(pid)
    } else {
        InterpreterError::NotPython(pid)
    }
}

/// A version by the names of the mapped files: `2.6` of `libpython2.6.so.1.0`.
fn named_version(process: &Process) -> String {
    let names = process
        .maps()
        .iter()
        .filter_map(|mapping| mapping.path.as_ref()?.file_name())
        .map(|name| name.to_string_lossy());
    let mut versions = names.filter_map(|name| {
        let rest = name
            .strip_prefix("libpython")
            .or_else(|| name.strip_prefix("python"))?;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let version = rest[..end.unwrap_or(rest.len())].trim_matches('.');
        version.contains('.').then(|| version.to_owned())
    });
    versions.next().unwrap_or_else(|| "older than 3.11".to_owned())
}

fn is_supported(version: &str) -> bool {
    Table::named(version).is_some()
}
