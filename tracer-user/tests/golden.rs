//! Wire records of a real trace (CPython 3.12.1, `_operator.is_` on all kinds of values), read
//! without root. `PYTRACE_GOLDEN=write` writes the expected output anew.

use std::{collections::HashMap, env, fs, path::PathBuf, sync::Arc};

use bytes::Bytes;
use tracer_common::{
    cookie::{Convention, ReturnKind, SelfKind},
    handle::HandleKind,
    wire::{FrameRecord, TypeRef},
};
use tracer_user::{
    decode::{
        names::{Code, Names},
        pair::{Call, End, Pairing},
        record::Record,
        value::{Ending, arguments, ending},
    },
    event::{
        SiteMeta,
        call::{CallEvent, Frame, Outcome, Raised, TypeNames},
    },
    sink::{Sink, json::Json, text::Text},
};

/// Numbers types in the order in which they are asked for.
#[derive(Default)]
struct Numbered(HashMap<u64, Arc<str>>);

impl Names for Numbered {
    fn type_name(&mut self, _: u16, of: TypeRef) -> Option<Arc<str>> {
        let next = self.0.len();
        Some(Arc::clone(
            self.0
                .entry(of.address)
                .or_insert_with(|| format!("golden.Type{next}").into()),
        ))
    }

    fn module_name(&mut self, _: u16, _: u64, _: u64) -> Option<Arc<str>> {
        None
    }

    fn code(&mut self, _: u16, _: &FrameRecord) -> Option<Arc<Code>> {
        None
    }
}

fn site() -> SiteMeta {
    SiteMeta {
        function: "_operator.is_".into(),
        module_len: "_operator".len(),
        aliases: Arc::new([]),
        effect: "other.call",
        wanted: true,
        deletion: None,
        convention: Convention::FastCall,
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

/// Records follow each other; each tells its length.
fn records(mut bytes: Bytes) -> Vec<Record> {
    let mut records = Vec::new();
    while bytes.len() >= 8 {
        let len = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes")) as usize;
        records.push(Record::parse(bytes.split_to(len)).expect("a record"));
    }
    records
}

fn print(call: &Call, names: &mut Numbered, sinks: &mut [(Box<dyn Sink>, Vec<u8>)]) {
    let meta = site();
    for (sink, out) in sinks {
        let (outcome, duration_ns) = match &call.end {
            End::Seen(leave) => (
                match ending(leave.values()).expect("an outcome") {
                    Ending::Returned(value) => Outcome::Returned(value),
                    Ending::Raised { ty, value } => Outcome::Raised(Raised::new(ty, value)),
                },
                Some(leave.header.time_ns - call.entry.header.time_ns),
            ),
            End::Unobserved(why) => (Outcome::Unobserved(why), None),
        };
        let event = CallEvent {
            id: call.id,
            parent: call.parent,
            target: 0,
            pid: 1,
            tid: 2,
            time_ns: 0,
            duration_ns,
            meta: &meta,
            function: &meta.function,
            module_len: meta.module_len,
            effect: meta.effect,
            arguments: arguments(call.entry.values()),
            outcome,
            stack: call
                .entry
                .frames()
                .map(|_| Frame {
                    code: None,
                    line: None,
                })
                .collect(),
            handle: None,
            weight: 1,
            late: false,
            run: None,
        };
        sink.call(&event, &mut TypeNames { names, target: 0 }, out);
    }
}

#[test]
fn a_real_trace_reads_as_it_did() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let bytes = fs::read(folder.join("is.bin")).expect("the records");
    let mut sinks: Vec<(Box<dyn Sink>, Vec<u8>)> =
        vec![(Box::new(Json), Vec::new()), (Box::new(Text::utc()), Vec::new())];
    let mut names = Numbered::default();
    let mut pairing = Pairing::new(false);
    let sites = [site()];
    for record in records(bytes.into()) {
        pairing.feed(record, &sites, &mut |call| print(&call, &mut names, &mut sinks));
    }
    for ((_, out), file) in sinks.iter().zip(["is.json", "is.txt"]) {
        let file = folder.join(file);
        if env::var_os("PYTRACE_GOLDEN").is_some() {
            fs::write(&file, out).expect("the expected output can be written");
        }
        let expected = fs::read_to_string(&file).expect("the expected output");
        assert_eq!(String::from_utf8_lossy(out), expected, "{}", file.display());
    }
}

/// A generator of bytes that are the same every time.
fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn damaged_records_are_read_without_a_panic() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let whole = fs::read(folder.join("is.bin")).expect("the records");
    let originals = records(whole.into());
    let mut state = 0x1234_5678_9abc_def1;
    let mut names = Numbered::default();
    for round in 0..20_000 {
        let original = &originals[round % originals.len()];
        let mut bytes = original.bytes().to_vec();
        for _ in 0..=xorshift(&mut state) % 4 {
            let at = 40 + xorshift(&mut state) as usize % (bytes.len() - 40);
            bytes[at] = xorshift(&mut state) as u8;
        }
        let Ok(record) = Record::parse(bytes.into()) else {
            continue;
        };
        let mut sinks: Vec<(Box<dyn Sink>, Vec<u8>)> = vec![(Box::new(Json), Vec::new())];
        let call = Call {
            id: 1,
            parent: None,
            entry: record,
            end: End::Unobserved("damaged"),
            first: None,
        };
        print(&call, &mut names, &mut sinks);
        let line = std::str::from_utf8(&sinks[0].1).expect("JSON is UTF-8");
        // Lone surrogates are JSON, but not to every reader.
        if !line.contains("\\ud") {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        }
    }
}
