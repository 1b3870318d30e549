//! ELF files and objects that anyone may have made.

use std::io::Cursor;
use std::time::Instant;

use tracer_common::target::KnownObjects;
use tracer_common::wire::FrameRecord;

use super::elf::{ElfBytes, Symbols, collect, load_bias};
use super::getter::returned_variable;
use super::layout::Layout;
use super::names::{code_fingerprint, read_code, read_type, type_fingerprint};
use super::objects::{MAX_NAME, Objects};
use super::start::{Code, START};
use super::{
    Descriptors, Interpreter, Roots, Version, check, debug_offsets, known, layout, qualnames, static_types,
};
use crate::process::{Mapping, ReadMemory};

impl Interpreter {
    /// That of no process.
    pub(crate) fn made_up(
        version: Version,
        layout: Layout,
        roots: Roots,
        known: KnownObjects,
        descriptors: Descriptors,
    ) -> Self {
        Self {
            version,
            version_string: version.to_string(),
            layout,
            roots,
            known,
            descriptors,
            executable: "/made/up".into(),
            library: code_mapping(0),
        }
    }
}

/// A mapping of a file's code from an offset on.
fn code_mapping(offset: u64) -> Mapping {
    Mapping {
        start: 0x40_0000,
        end: 0x50_0000,
        perms: *b"r-xp",
        offset,
        dev: (1, 1),
        inode: 1,
        path: None,
        deleted: false,
    }
}

/// Looks a file's symbols up, as an interpreter's and as those of a program that is about to start.
pub(crate) fn elf(bytes: &[u8], offset: u64) {
    let file = ElfBytes::new(Cursor::new(bytes));
    if let Some(elf) = file.elf() {
        let bias = load_bias(&elf, &code_mapping(offset)).unwrap_or(offset);
        let mut found = Symbols::new();
        let wanted: Vec<&'static str> = known::symbols().chain(["_PyRuntime", "Py_Version"]).collect();
        collect(object::Object::dynamic_symbols(&elf), bias, &wanted, &mut found);
        collect(object::Object::symbols(&elf), bias, &wanted, &mut found);
        assert!(found.keys().all(|symbol| wanted.contains(symbol)));
        crate::bytecode::fuzz::named(&elf, bias);
    }
    let code = Code::in_bytes(Cursor::new(bytes));
    let _ = code.kind();
    let _ = code.offsets(&START.map(|function| function.symbol));
}

/// Asks which variable a function returns, and what debug offsets say.
pub(crate) fn functions(memory: &impl ReadMemory, at: u64) {
    let _ = returned_variable(memory, at);
    if let Ok(Some(debug)) = debug_offsets::read(memory, at) {
        for name in Layout::supported().split(", ") {
            let Some(table) = layout::Table::named(name) else {
                continue;
            };
            if let Some(offsets) = debug.over(table) {
                let _ = Layout::from_offsets(Version::of_minor(3, 14), &offsets);
            }
        }
    }
}

/// Reads an object as each thing that it may be said to be.
pub(crate) fn object<M: ReadMemory>(
    objects: &Objects<'_, M>,
    interpreter: &Interpreter,
    at: u64,
    deadline: Instant,
) {
    let _ = objects.string(at, MAX_NAME);
    let _ = objects.bytes(at, MAX_NAME);
    let _ = objects.small_int(at);
    let _ = objects.tuple(at, MAX_NAME);
    let _ = objects.list(at, MAX_NAME);
    let _ = objects.module_name(at);
    let _ = objects.type_name(at);
    let _ = objects.type_subclasses(at);
    let _ = objects.dict_get(at, "sys");
    if let Ok(fingerprint) = type_fingerprint(objects, at) {
        let of = tracer_common::wire::TypeRef {
            address: at,
            fingerprint,
        };
        let _ = read_type(objects, of);
    }
    if let Ok(fingerprint) = code_fingerprint(objects, at) {
        let frame = FrameRecord {
            code: at,
            fingerprint,
            ..FrameRecord::default()
        };
        let _ = read_code(objects, frame.code, frame.fingerprint);
    }
    if !interpreter.has_qualnames() {
        let _ = qualnames::of_module(objects, interpreter, at, deadline);
    }
}

/// Looks at what tells whether an interpreter is what it seems to be.
pub(crate) fn checks<M: ReadMemory>(objects: &Objects<'_, M>, interpreter: &Interpreter) {
    let known = interpreter.known();
    let _ = check::sys(objects);
    let _ = check::rest(objects, &known);
    let _ = static_types::locate(objects, &[known.object_type, known.dict_type, known.long_type]);
    let _ = known::descriptors(objects, &known, interpreter.descriptors());
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::fuzzing::{image::Image, input::Input};

    /// A memory of the fuzzer's seeds; its functions are in the dict of slot 40.
    fn seed(name: &str) -> Image {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/walk/");
        let seed = fs::read(format!("{folder}{name}")).expect("a seed");
        Image::parse(&mut Input::new(&seed[1..])).expect("a memory")
    }

    #[test]
    fn qualified_names_are_found_until_the_deadline() {
        const GLOBALS: u8 = 40;
        for name in ["3.6-module", "3.10-module"] {
            let image = seed(name);
            let interpreter = image.interpreter();
            let objects = interpreter.objects(&image);
            let globals = crate::fuzzing::image::slot(GLOBALS);
            let found =
                |until| qualnames::of_module(&objects, &interpreter, globals, until).map(|names| names.len());
            assert_eq!(found(Instant::now() + Duration::from_secs(60)), Ok(2), "{name}");
            assert_eq!(found(Instant::now() - Duration::from_secs(1)), Ok(0), "{name}");
        }
    }
}
