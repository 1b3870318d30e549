//! The encoder and the decoder over recorded memory of every CPython version: what the program said its
//! objects are is what the event says, and where memory cannot be read, the rest stays right and the
//! loss is marked.

mod grammar;
mod recorded;

use std::{env, fs, path::PathBuf, thread};

use recorded::{Recording, Start, encode, event, host::ByRead, known_by_name, line};
use tracer_common::{
    encode::Slot,
    target::Target,
    wire::{FLAG_FRAME_FAULT, KIND_ENTRY, RecordHeader},
};
use tracer_user::decode::record::Record;

/// Every recording and its name.
fn recordings() -> Vec<(String, Recording)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the recordings")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    assert!(files.len() >= 13, "every version is recorded");
    let read = |path: PathBuf| {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(path).expect("a recording");
        (name, Recording::parse(&text))
    };
    files.into_iter().map(read).collect()
}

/// The record of a root, over memory that is all there.
fn recorded(slot: &mut Slot, recording: &Recording, target: &Target, start: &Start) -> Record {
    let mut memory = ByRead(|address, out: &mut [u8]| recording.memory.read(address, out));
    encode(slot, &recording.python, target, start, &mut memory, |_| ())
}

#[test]
fn a_recording_is_written_as_it_is_read() {
    for (python, recording) in recordings() {
        let again = Recording::parse(&recording.to_text());
        assert_eq!(again.to_text(), recording.to_text(), "{python}");
        let mut known = known_by_name(&again.target().known);
        // What came later a recording does not know yet.
        known.retain(|name, _| recording.python.known.contains_key(name));
        assert_eq!(known, recording.python.known, "{python}");
    }
}

#[test]
fn every_object_is_what_the_program_said_it_is() {
    let mut slot = Box::<Slot>::default();
    for (python, mut recording) in recordings() {
        let target = recording.target();
        let mut wrong = 0;
        for root in &recording.roots {
            let record = recorded(&mut slot, &recording, &target, &root.start);
            grammar::check(&record, &slot, target.limits.max_str).expect("a well-formed record");
            let event = event(&record, &root.start, &mut recording.names);
            if event != root.truth {
                println!(
                    "{python}: {:?}\n event {event}\n truth {}",
                    root.start, root.truth
                );
                wrong += 1;
            }
        }
        println!("{python}: {} records, {wrong} wrong", recording.roots.len());
        assert_eq!(wrong, 0, "{python}");
    }
}

/// What happens to reads.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Read number `n` fails.
    One(usize),
    /// It and all that follow fail.
    From(usize),
    /// It gives something else than what is there.
    Garbage(usize),
}

/// A generator of bytes that are the same every time.
fn garbage(seed: usize, out: &mut [u8]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed as u64 + 1);
    for byte in out {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
}

/// A record made with a fault, and where it was when the fault came.
struct Run {
    record: Record,
    /// Reads made.
    reads: usize,
    /// Reads made and words written before each step.
    steps: Vec<(usize, u32)>,
}

fn run(slot: &mut Slot, recording: &Recording, root: usize, fault: Option<Fault>) -> Run {
    let (reads, mut steps) = (std::cell::Cell::new(0), Vec::new());
    let mut memory = ByRead(|address, out: &mut [u8]| {
        let n = reads.replace(reads.get() + 1);
        match fault {
            Some(Fault::One(at)) if n == at => false,
            Some(Fault::From(at)) if n >= at => false,
            Some(Fault::Garbage(at)) if n == at => {
                garbage(at, out);
                true
            }
            _ => recording.memory.read(address, out),
        }
    });
    let record = encode(
        slot,
        &recording.python,
        &recording.target(),
        &recording.roots[root].start,
        &mut memory,
        |slot| steps.push((reads.get(), slot.len)),
    );
    Run {
        record,
        reads: reads.get(),
        steps,
    }
}

/// Makes one record with a fault; what is wrong with it, if anything.
fn faulty(
    slot: &mut Slot,
    recording: &mut Recording,
    root: usize,
    fault: Fault,
    whole: &Slot,
    steps: &[(usize, u32)],
) -> Result<(), String> {
    let (at, garbage) = match fault {
        Fault::One(at) | Fault::From(at) => (at, false),
        Fault::Garbage(at) => (at, true),
    };
    let record = run(slot, recording, root, Some(fault)).record;
    let before = steps.iter().rev().find(|(reads, _)| *reads <= at);
    let kept = RecordHeader::SIZE / 8..before.map_or(0, |(_, words)| *words as usize);
    if !kept.is_empty() && slot.words[kept.clone()] != whole.words[kept] {
        return Err("what was read before the fault has changed".into());
    }
    let max_str = recording.target().limits.max_str;
    grammar::check(&record, slot, max_str)?;
    let root = &recording.roots[root];
    if garbage {
        // It may be anything, as long as it can be printed.
        line(&record, &mut recording.names);
        return Ok(());
    }
    let event = event(&record, &root.start, &mut recording.names);
    let marked = slot.faults != 0 || slot.flags & FLAG_FRAME_FAULT != 0;
    if !marked && event != root.truth {
        return Err(format!(
            "the loss is not marked: {event} instead of {}",
            root.truth
        ));
    }
    Ok(())
}

/// Makes every read of every record fail, one after the other: how many faults that was, and what
/// is wrong with what came of it.
fn inject(recording: &mut Recording) -> (usize, Vec<String>) {
    let (mut slot, mut whole) = (Box::<Slot>::default(), Box::<Slot>::default());
    let (mut injected, mut wrong) = (0, Vec::new());
    for root in 0..recording.roots.len() {
        let Run { reads, steps, .. } = run(&mut whole, recording, root, None);
        for fault in (0..reads).flat_map(|at| [Fault::One(at), Fault::From(at), Fault::Garbage(at)]) {
            injected += 1;
            if let Err(what) = faulty(&mut slot, recording, root, fault, &whole, &steps) {
                let root = &recording.roots[root];
                wrong.push(format!("{fault:?} of {reads}, {:?}: {what}", root.start));
            }
        }
    }
    (injected, wrong)
}

#[test]
fn faults_are_marked_and_spoil_nothing_else() {
    let threads = recordings().into_iter().map(|(python, mut recording)| {
        let thread = thread::spawn(move || inject(&mut recording));
        (python, thread)
    });
    for (python, thread) in threads.collect::<Vec<_>>() {
        let (injected, wrong) = thread.join().expect("no panic");
        println!("{python}: {injected} faults, {} wrong", wrong.len());
        assert!(wrong.is_empty(), "{python}: {}", wrong.join("\n"));
    }
}

/// Bytes of one seed at most.
const MOST: usize = 24 * 1024;
/// Of a longer one, there are others that say more.
const MOST_OF_ONE: usize = 1024;

/// The fuzzer's seeds for records (`fuzz/corpus/records`) are those of the recordings. `PYTRACE_SEEDS=write` writes them anew.
#[test]
fn seeds() {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let corpus = manifest.join("fuzz/corpus/records");
    let put = |name: &str, seed: &[u8]| {
        let seeds = env::var_os("PYTRACE_SEEDS");
        if seeds.is_some_and(|what| what == "write") {
            fs::create_dir_all(&corpus).expect("a folder");
            fs::write(corpus.join(name), seed).expect("a seed");
        } else {
            let there = fs::read(corpus.join(name)).expect("a seed");
            assert!(there == seed, "{name} is another: write the seeds anew");
        }
    };
    for python in ["2.7.18", "3.8.18", "3.12.1", "3.14.7t"] {
        let recording = fs::read_to_string(manifest.join(format!("tests/recorded/{python}.jsonl")));
        let recording = Recording::parse(&recording.expect("a recording"));
        let target = recording.target();
        // No option.
        let mut seed = vec![0];
        let mut slot = Box::<Slot>::default();
        for (n, root) in recording.roots.iter().enumerate() {
            let record = recorded(&mut slot, &recording, &target, &root.start);
            let mut bytes = record.bytes().to_vec();
            if bytes.len() > MOST_OF_ONE || seed.len() + 2 * bytes.len() > MOST {
                continue;
            }
            // Sites are numbered by what is done there: runs after bytecodes after conventions.
            bytes[8] = match root.start {
                Start::Run(_) => 25,
                Start::End { .. } => 29,
                _ => n as u8 % 16,
            };
            // A value that was returned has a call before it, at the stack pointer that goes with it.
            if record.header.kind != KIND_ENTRY && bytes[8] < 16 {
                let mut entry = [0; RecordHeader::SIZE];
                entry[0] = KIND_ENTRY;
                entry[4] = RecordHeader::SIZE as u8;
                entry[8] = bytes[8];
                entry[24..32].copy_from_slice(&0x1000u64.to_le_bytes());
                bytes[24..32].copy_from_slice(&0x1008u64.to_le_bytes());
                seed.extend(entry);
            }
            seed.extend(bytes);
        }
        put(python, &seed);
    }
    let golden = fs::read(manifest.join("tests/golden/is.bin")).expect("the records");
    // Secrets shown, nested calls too, and filters by code and by thread.
    put("golden", &[&[0b0011_0101][..], &golden].concat());
}
