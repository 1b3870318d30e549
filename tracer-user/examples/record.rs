//! `cargo run --example record -- PYTHON FOLDER`: records what the encoder reads of
//! `tests/programs/roots.py` for the tests in `tests/encoding.rs`. `cargo xtask record` runs it for every
//! interpreter.

use std::{
    cell::RefCell,
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use tracer_common::{
    encode::Slot,
    target::{ABSENT, CaptureLimits},
    wire::{FrameRecord, TypeRef},
};
use tracer_user::{
    cpython::{Interpreter, names::ProcessNames},
    decode::names::{Code, Names},
    process::{Process, ReadMemory as _},
};

#[path = "../tests/recorded/mod.rs"]
mod recorded;

use recorded::{Known, Python, Recording, Root, encode, event, known_by_name, parse};

fn main() -> anyhow::Result<()> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let (python, folder) = (args.next().context("PYTHON?")?, args.next().context("FOLDER?")?);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut child = Command::new(&python)
        .args(["-W", "ignore", "tests/programs/roots.py"])
        .current_dir(workspace)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", python.display()))?;
    let mut input = child.stdin.take().context("stdin is piped")?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
    let mut line = || {
        lines
            .next()
            .context("the program ended")?
            .context("the program prints text")
    };
    let mut recording = Recording {
        python: serde_json::from_str(&line()?)?,
        ..Recording::default()
    };
    let process = Process::open(child.id())?;
    let interpreter = Interpreter::find(&process)?;
    let build = if recording.python.free_threaded { "t" } else { "" };
    let file = folder.join(format!("{}{build}.jsonl", interpreter.python_version_string()));
    let offsets = interpreter.layout().offsets;
    let exception = [offsets.curexc_type, offsets.current_exception].map(|offset| match offset {
        ABSENT => "-1".to_owned(),
        offset => offset.to_string(),
    });
    writeln!(input, "{}", exception.join(" "))?;
    loop {
        match &*line()? {
            "done" => break,
            root => recording.roots.push(serde_json::from_value::<Root>(parse(root))?),
        }
    }
    record(&mut recording, process, interpreter)?;
    drop(input);
    child.wait()?;
    let text = recording.to_text();
    check(Recording::parse(&text));
    fs::write(&file, &text)?;
    println!(
        "{}: {} roots, {} bytes",
        file.display(),
        recording.roots.len(),
        text.len()
    );
    Ok(())
}

/// Encodes every root from the process, and notes what was read.
fn record(recording: &mut Recording, process: Process, interpreter: Interpreter) -> anyhow::Result<()> {
    let target = interpreter.target(&process, CaptureLimits::default());
    recording.python = Python {
        unicode_width: target.unicode_width,
        known: known_by_name(&target.known),
        // The thread that was started last comes first.
        tstate: process
            .read_u64(interpreter.main_interpreter() + u64::from(target.offsets.interp_threads_head))?,
        ..recording.python.clone()
    };
    let told = recording.target();
    ensure!(
        (told.offsets, told.features) == (target.offsets, target.features),
        "the layout file says something else than the interpreter"
    );
    let (process, interpreter) = (Arc::new(process), Arc::new(interpreter));
    let mut names = Noting {
        process: ProcessNames::new(),
        noted: Known::default(),
    };
    names.process.insert(0, process.clone(), interpreter);
    let read = RefCell::new(Default::default());
    let mut memory = recorded::host::ByRead(|address, out: &mut [u8]| {
        let there = process.read(address, out).is_ok();
        if there {
            recorded::Pieces::insert(&mut read.borrow_mut(), address, out);
        }
        there
    });
    let mut slot = Box::<Slot>::default();
    for root in &recording.roots {
        let record = encode(
            &mut slot,
            &recording.python,
            &target,
            &root.start,
            &mut memory,
            |_| (),
        );
        event(&record, &root.start, &mut names);
    }
    recording.memory = read.take();
    recording.names = names.noted;
    Ok(())
}

/// Says where the recording and the program do not agree.
fn check(mut recording: Recording) {
    let target = recording.target();
    let mut slot = Box::<Slot>::default();
    for root in &recording.roots {
        let mut memory =
            recorded::host::ByRead(|address, out: &mut [u8]| recording.memory.read(address, out));
        let record = encode(
            &mut slot,
            &recording.python,
            &target,
            &root.start,
            &mut memory,
            |_| (),
        );
        let event = event(&record, &root.start, &mut recording.names);
        if event != root.truth {
            eprintln!("{:?}\n event {event}\n truth {}", root.start, root.truth);
        }
    }
}

/// Resolves names in the process, and notes them.
struct Noting {
    process: ProcessNames,
    noted: Known,
}

impl Names for Noting {
    fn type_name(&mut self, target: u16, of: TypeRef) -> Option<Arc<str>> {
        let name = self.process.type_name(target, of)?;
        self.noted
            .types
            .insert((of.address, of.fingerprint), name.clone());
        Some(name)
    }

    fn module_name(&mut self, target: u16, module: u64, dict: u64) -> Option<Arc<str>> {
        let name = self.process.module_name(target, module, dict)?;
        self.noted.modules.insert((module, dict), name.clone());
        Some(name)
    }

    fn code(&mut self, target: u16, frame: &FrameRecord) -> Option<Arc<Code>> {
        let code = self.process.code(target, frame)?;
        self.noted
            .codes
            .insert((frame.code, frame.fingerprint), code.clone());
        Some(code)
    }
}
