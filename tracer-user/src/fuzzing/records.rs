//! Records of the ring buffer: to values, to calls, to events, and into a recording.

use std::sync::Arc;

use bytes::Bytes;
use tracer_common::{
    activation::Role,
    cookie::{Convention, ReturnKind, SelfKind},
    handle::HandleKind,
    wire::{FrameRecord, KIND_CODE, KIND_PATH, RecordHeader, TypeRef},
};

use super::{input::Input, printer::Printer};
use crate::{
    bytecode::Operands,
    catalogue::effects::{From, TargetPart},
    decode::{
        handle::FileId,
        linetable::LineFormat,
        names::{Code, FunctionName, Names},
        pair::Pairing,
        path::named_path,
        record::Record,
        value::{Activation, code_names},
    },
    event::{
        Deletion, SiteMeta,
        judge::{Judge, NoCourt},
        plain_site,
        runs::{RunCourt, RunJudge},
    },
    recording::{Happened, Reader, RecordedNames, Recorder, block::BlockWriter, item},
    sink::{Summary, TargetInfo},
};

/// Records of one input at most.
const MAX_RECORDS: usize = 256;
/// Unix time at which clocks were 0.
const EPOCH: u64 = 1 << 60;

/// The input: what is done with the records, and records one behind the other, each of the length that it tells. Lengths that
/// do not fit, and sites that are not there, are made to.
pub fn records(data: &[u8]) {
    let mut input = Input::new(data);
    let options = input.u8();
    let option = |bit: u8| options >> bit & 1 == 1;
    let records = split(input.rest());
    let sites = sites();
    let mut names = Numbered;
    let mut printer = Printer::new(option(0), option(1));
    printer.header(&[]);
    let mut pairing = Pairing::new(option(2));
    pairing.switches(0, option(3));
    let globs = |given: bool, glob: &str| if given { vec![glob.to_owned()] } else { Vec::new() };
    let mut judge = Judge::new(&globs(option(4), "f1*"), &globs(option(5), "1"), 2).expect("globs");
    let mut runs = RunJudge::new(&globs(option(6), "m*.f1*")).expect("globs");
    let mut recording = begin(&sites);
    let mut recorder = Recorder::default();
    let mut kept = Vec::new();
    for record in records {
        match record.header.kind {
            KIND_CODE => _ = code_names(record.values()),
            KIND_PATH => _ = named_path(record.values()),
            _ => {
                recorder.record(&record, &mut names, &mut recording);
                kept.push(record.bytes().clone());
                if judge.keeps(&record, &mut names, &mut NoCourt)
                    && runs.keeps(&record, &mut names, &mut NoCourt)
                {
                    pairing.feed(record, &sites, &mut |call| {
                        printer.call(&call, &sites, &mut names)
                    });
                }
            }
        }
    }
    pairing.finish(None, "the input ends", &mut |call| {
        printer.call(&call, &sites, &mut names);
    });
    printer.finish(Summary::default());
    assert_eq!(played(&recording), kept, "what was recorded is read");
}

impl RunCourt for NoCourt {
    fn judge_run(&mut self, _: u16, _: u64, _: bool) {}
}

/// The records, as far as they are some.
fn split(data: &[u8]) -> Vec<Record> {
    let mut rest = data;
    let mut records = Vec::new();
    while rest.len() >= RecordHeader::SIZE && records.len() < MAX_RECORDS {
        let claimed = rest.get(4..8).and_then(|len| len.try_into().ok());
        let claimed = claimed.map_or(0, u32::from_le_bytes) as usize;
        let len = claimed.clamp(RecordHeader::SIZE, rest.len()) & !7;
        let (record, after) = rest.split_at(len);
        rest = after;
        let mut record = record.to_vec();
        record[4..8].copy_from_slice(&(len as u32).to_le_bytes());
        let site = u32::from(record[8]) % sites().len() as u32;
        record[8..12].copy_from_slice(&site.to_le_bytes());
        if let Ok(record) = Record::parse_any(Bytes::from(record)) {
            records.push(record);
        }
    }
    records
}

/// Records out of a recording.
fn played(items: &[u8]) -> Vec<Bytes> {
    let mut file = Vec::new();
    BlockWriter::new(&mut file)
        .and_then(|mut writer| writer.write(items))
        .expect("memory can be written");
    let mut reader = Reader::open(&file[..]).expect("a recording");
    let mut names = RecordedNames::default();
    let mut records = Vec::new();
    loop {
        match reader.next_event(&mut names).expect("a recording") {
            Some(Happened::Record(record)) => records.push(record.bytes().clone()),
            Some(Happened::Torn(_)) | None => return records,
            Some(other) => panic!("{other:?}"),
        }
    }
}

/// The start of a recording.
pub(super) fn begin(sites: &[SiteMeta]) -> Vec<u8> {
    let mut out = Vec::new();
    let header = item::Header {
        tool: "pytrace-ebpf 0".into(),
        epoch_ns: EPOCH,
        limits: tracer_common::target::CaptureLimits::default().into(),
        filter: item::Filter::default(),
        sample: None,
    };
    Recorder::header(header, &mut out);
    let info = TargetInfo {
        pid: 1,
        python: "3.12.1".into(),
        executable: "/usr/bin/python3".into(),
        functions: sites.len(),
        unseen: Some("\u{1b}[2J".into()),
        budget: None,
    };
    Recorder::target(0, info, false, &mut out);
    Recorder::sites(sites, &mut out);
    Recorder::start(&mut out);
    out
}

/// Sites of every kind: each convention, and after them bytecodes and runs.
pub(super) fn sites() -> Vec<SiteMeta> {
    const TARGET: &[TargetPart] = &[
        TargetPart {
            key: "path",
            from: From::Argument {
                position: 0,
                name: "path",
            },
        },
        TargetPart {
            key: "peer",
            from: From::Argument {
                position: 1,
                name: "address",
            },
        },
        TargetPart {
            key: "fd",
            from: From::Result,
        },
        TargetPart {
            key: "pid",
            from: From::ResultItem(0),
        },
        TargetPart {
            key: "argv",
            from: From::Last,
        },
    ];
    let plain = SiteMeta {
        target: TARGET,
        ..plain_site("posix.open", "file.open")
    };
    let mut sites = Vec::new();
    for (n, convention) in Convention::ALL.into_iter().enumerate() {
        sites.push(SiteMeta {
            convention,
            function: ["m.T.__setitem__", "hmac.new", "_io.TextIOWrapper.write"][n % 3].into(),
            module_len: [1, 4, 3][n % 3],
            aliases: Arc::new(["m.T.__getitem__".into(), "a.b".into()]),
            effect: ["env.set", "file.write", "db.execute", "exec.exec"][n % 4],
            self_kind: SelfKind::ALL[n % SelfKind::ALL.len()],
            return_kind: ReturnKind::ALL[n % ReturnKind::ALL.len()],
            handle: HandleKind::ALL[n % HandleKind::ALL.len()],
            named: n % 5 == 0,
            no_return: (n % 7 == 0).then_some("a reason"),
            deletion: (n % 2 == 0).then_some(Deletion {
                effect: "memory.delete_item",
                wanted: true,
            }),
            ..plain.clone()
        });
    }
    for operands in Operands::ALL {
        sites.push(SiteMeta {
            function: "STORE_ATTR".into(),
            module_len: 0,
            effect: "memory.store_attr",
            operands: Some(operands),
            no_return: Some("no probe is where it ends"),
            ..plain.clone()
        });
    }
    for run in Role::ALL {
        sites.push(SiteMeta {
            function: "RESUME".into(),
            module_len: 0,
            effect: "function.call",
            run: Some(run),
            ..plain.clone()
        });
    }
    sites
}

/// Names by the lowest bits of an address; some have none, some harm a terminal.
struct Numbered;

impl Names for Numbered {
    fn type_name(&mut self, _: u16, of: TypeRef) -> Option<Arc<str>> {
        Some(match of.address % 5 {
            0 => return None,
            1 => "exceptions.OSError".into(),
            2 => "\x1b[2Jm.\u{9b}T\"\n".into(),
            3 => "m.T".into(),
            _ => "builtins.dict".into(),
        })
    }

    fn module_name(&mut self, _: u16, module: u64, _: u64) -> Option<Arc<str>> {
        (!module.is_multiple_of(3)).then(|| "m\x07".into())
    }

    fn code(&mut self, _: u16, frame: &FrameRecord) -> Option<Arc<Code>> {
        let line_format = match frame.code % 5 {
            0 => return None,
            1 => LineFormat::Unsigned,
            2 => LineFormat::Signed,
            3 => LineFormat::Ranges,
            _ => LineFormat::Locations,
        };
        Some(Arc::new(Code {
            function: format!("f{}\r", frame.code % 16),
            file: "/srv/äpp\n.py".into(),
            first_line: frame.first_line,
            linetable: frame.fingerprint.to_le_bytes().to_vec(),
            line_format,
        }))
    }

    fn function(&mut self, _: u16, frame: &FrameRecord, run: &Activation) -> Option<Arc<FunctionName>> {
        (!frame.code.is_multiple_of(3)).then(|| {
            Arc::new(FunctionName {
                module: run.module.clone().unwrap_or_else(|| "m\n".into()),
                qualname: format!("f{}", frame.code % 16),
            })
        })
    }

    fn thread_name(&mut self, _: u16, tid: u32) -> Option<Arc<str>> {
        tid.is_multiple_of(2).then(|| format!("{}", tid % 4).into())
    }

    fn file(&mut self, _: u16, _: u32, id: FileId) -> Option<Arc<str>> {
        id.inode.is_multiple_of(2).then(|| "/tmp/\x1bfile".into())
    }
}
