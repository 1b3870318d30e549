//! Where in a file's code CPython does what a tracer has to be there for: start the program, fork, load
//! a module. All are exported functions; nothing but the file is looked at.

use std::fs::File;

use object::read::elf::ProgramHeader;
use object::{Object, ObjectSymbol, ReadCacheOps, elf::PT_LOAD};
use tracer_common::watch::Text;

use super::elf::{Elf, ElfBytes};

/// Symbols looked at: libpython has about 2,000 dynamic ones.
const MAX_SYMBOLS: usize = 1_000_000;
/// A larger file is not an interpreter.
const MAX_FILE: u64 = 2 << 30;

/// A function that runs after the interpreter is ready and before any of the program's own code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartFunction {
    pub symbol: &'static str,
    /// Only when its first argument is this.
    pub text: Text,
}

/// Modules/main.c of every version: up to 3.7 `Py_Main` calls one of the last three (for a file or
/// standard input, for `-c`, for `-m` and folders). From 3.8 on `Py_RunMain` comes before them, and where the compiler
/// has made it part of its caller, an audit event does. Programs that embed Python call them too.
pub const START: [StartFunction; 5] = [
    StartFunction {
        symbol: "Py_RunMain",
        text: Text::Any,
    },
    StartFunction {
        symbol: "PySys_Audit",
        text: Text::Run,
    },
    StartFunction {
        symbol: "PyRun_AnyFileExFlags",
        text: Text::Any,
    },
    StartFunction {
        symbol: "PyRun_SimpleStringFlags",
        text: Text::Any,
    },
    StartFunction {
        symbol: "PyImport_ImportModule",
        text: Text::Runpy,
    },
];

/// Exported by every interpreter.
const INTERPRETER: &str = "PyRun_SimpleStringFlags";

/// Runs in a forked child before any Python code does: 3.7+, and before (Modules/posixmodule.c).
pub const FORKED: [&str; 2] = ["PyOS_AfterFork_Child", "PyOS_AfterFork"];

/// Methods that execute an extension module, from a file or built in, when it is in `sys.modules`
/// (Python/import.c, 3.5+).
pub const LOAD: [&str; 2] = ["_imp.exec_dynamic", "_imp.exec_builtin"];
/// Python 2: both kinds pass here when they are done (Python/import.c at v2.7.18).
pub const LOAD_PYTHON2: &str = "_PyImport_FixupExtension";

/// What a program file has to do with Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// It is the interpreter.
    Interpreter,
    /// It calls one that is in a library; the file offset of its first instruction, which runs when its libraries are
    /// in memory.
    NeedsLibrary(u64),
    /// Nothing.
    Other,
}

/// The functions of an ELF file.
pub struct Code<R: ReadCacheOps = File> {
    file: ElfBytes<R>,
}

impl Code {
    /// `None`: too large to be looked at.
    pub fn of(file: File) -> Option<Self> {
        let metadata = file.metadata().ok()?;
        (metadata.is_file() && metadata.len() <= MAX_FILE).then(|| Self::in_bytes(file))
    }
}

impl<R: ReadCacheOps> Code<R> {
    pub(super) fn in_bytes(file: R) -> Self {
        Self {
            file: ElfBytes::new(file),
        }
    }

    /// Whether it is an interpreter, or needs one.
    pub fn kind(&self) -> ProgramKind {
        let Some(elf) = self.file.elf() else {
            return ProgramKind::Other;
        };
        if !self.offsets(&[INTERPRETER]).is_empty() {
            return ProgramKind::Interpreter;
        }
        let imports = |name: &[u8]| name.starts_with(b"Py") || name.starts_with(b"_Py");
        let needs = elf
            .dynamic_symbols()
            .take(MAX_SYMBOLS)
            .any(|symbol| symbol.is_undefined() && symbol.name_bytes().is_ok_and(imports));
        match file_offset(&elf, elf.entry()) {
            Some(entry) if needs => ProgramKind::NeedsLibrary(entry),
            _ => ProgramKind::Other,
        }
    }

    /// Which of these functions it has, and at what offsets in the file.
    pub fn offsets(&self, symbols: &[&'static str]) -> Vec<(&'static str, u64)> {
        let Some(elf) = self.file.elf() else {
            return Vec::new();
        };
        let mut found: Vec<(&'static str, u64)> = Vec::new();
        let all = elf.dynamic_symbols().take(MAX_SYMBOLS);
        for symbol in all.filter(|symbol| !symbol.is_undefined()) {
            let Ok(name) = symbol.name() else { continue };
            let Some(name) = symbols.iter().find(|wanted| **wanted == name) else {
                continue;
            };
            if let Some(offset) = file_offset(&elf, symbol.address()) {
                found.push((name, offset));
            }
        }
        found
    }
}

fn file_offset<R: ReadCacheOps>(elf: &Elf<'_, R>, address: u64) -> Option<u64> {
    let endian = elf.endian();
    elf.elf_program_headers()
        .iter()
        .filter(|segment| segment.p_type(endian) == PT_LOAD)
        .find_map(|segment| {
            let into = address.checked_sub(segment.p_vaddr(endian))?;
            (into < segment.p_filesz(endian)).then(|| segment.p_offset(endian).wrapping_add(into))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_has_nothing_to_do_with_python() {
        let code = Code::of(File::open("/proc/self/exe").unwrap()).unwrap();
        assert_eq!(code.kind(), ProgramKind::Other);
        assert_eq!(code.offsets(&[START[0].symbol]), []);
        let text = Code::of(File::open("/etc/passwd").unwrap()).unwrap();
        assert_eq!(text.kind(), ProgramKind::Other);
    }
}
