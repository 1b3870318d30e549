//! Writes a trace as items into a buffer; [`super::block::BlockWriter`] brings them into the file.

use std::collections::HashSet;
use std::hash::Hash;

use tracer_common::{
    counters::SiteCounters,
    wire::{FrameRecord, KIND_ENTRY, TypeRef},
};

use super::{
    item::{
        CodeItem, FileItem, FunctionItem, Gone, Header, Item, Loss, ModuleItem, ProcessItem, SiteCount,
        Spared, TargetItem, ThreadItem, TypeItem, append_record,
    },
    site::SiteItem,
};
use crate::{
    decode::{
        handle::FileId,
        names::{FunctionName, Names},
        pair::Lost,
        record::Record,
        refs::{Ref, refs},
        value::{activation, arguments},
    },
    event::SiteMeta,
    sink::{ProcessChange, TargetInfo},
};

/// Names of one kind remembered as written, at most; beyond it they may be written again, which does no harm.
const MAX_WRITTEN: usize = 256 * 1024;

/// Makes a recording of records.
#[derive(Default)]
pub struct Recorder {
    types: Written<(u16, TypeRef)>,
    modules: Written<(u16, u64, u64)>,
    codes: Written<(u16, u64, u64)>,
    functions: Written<(u16, u64, u64)>,
    threads: Written<(u16, u32)>,
    files: Written<(u16, FileId)>,
}

impl Recorder {
    /// The first item.
    pub fn header(header: Header, out: &mut Vec<u8>) {
        Item::Header(header).append(out);
    }

    /// A process gets a target index; `switches`: it switches C stacks. Again where that is found out later.
    pub fn target(index: u16, info: TargetInfo, switches: bool, out: &mut Vec<u8>) {
        Item::Target(TargetItem {
            index,
            info,
            switches,
        })
        .append(out);
    }

    /// More sites, numbered on.
    pub fn sites(sites: &[SiteMeta], out: &mut Vec<u8>) {
        for meta in sites {
            Item::Site(SiteItem::new(meta)).append(out);
        }
    }

    /// The probes of the first processes are in.
    pub fn start(out: &mut Vec<u8>) {
        Item::Start(()).append(out);
    }

    /// A record, after the names it needs that were not there yet. A name that cannot be read now is asked
    /// for again by the next record that needs it.
    pub fn record(&mut self, record: &Record, names: &mut dyn Names, out: &mut Vec<u8>) {
        let target = record.header.target;
        let tid = record.header.tid;
        self.threads.once((target, tid), || {
            // One that cannot be had now cannot be had later: the thread is gone.
            let name = names.thread_name(target, tid);
            Some(name.is_none_or(|name| Item::Thread(ThreadItem(target, tid, name.to_string())).append(out)))
        });
        for frame in record.frames() {
            self.code(target, &frame, names, out);
        }
        refs(record.values(), |found| match found {
            Ref::Type(ty) => self.types.once((target, ty), || {
                let name = names.type_name(target, ty)?;
                let item = TypeItem(target, ty.address, ty.fingerprint, name.to_string());
                Some(Item::Type(item).append(out))
            }),
            Ref::Module { id, dict } => self.modules.once((target, id, dict), || {
                let name = names.module_name(target, id, dict)?;
                Some(Item::Module(ModuleItem(target, id, dict, name.to_string())).append(out))
            }),
        });
        self.file(record, names, out);
        self.function(record, names, out);
        append_record(record.bytes(), out);
    }

    /// The name of the function whose run begins.
    fn function(&mut self, record: &Record, names: &mut dyn Names, out: &mut Vec<u8>) {
        let Some(run) = activation(record.values()).filter(|_| record.header.kind == KIND_ENTRY) else {
            return;
        };
        let Some(frame) = record.frames().next() else {
            return;
        };
        let target = record.header.target;
        self.functions.once((target, frame.code, frame.fingerprint), || {
            let name = names.function(target, &frame, &run)?;
            let FunctionName { module, qualname } = (*name).clone();
            let item = FunctionItem(target, frame.code, frame.fingerprint, module, qualname);
            Some(Item::Function(item).append(out))
        });
    }

    /// The path of the file that a call is on.
    fn file(&mut self, record: &Record, names: &mut dyn Names, out: &mut Vec<u8>) {
        if record.header.kind != KIND_ENTRY {
            return;
        }
        let found = arguments(record.values());
        let Some((fd, file)) = found.handle.and_then(|handle| Some((handle.fd, handle.file?))) else {
            return;
        };
        if file.is_socket() {
            return;
        }
        let target = record.header.target;
        self.files.once((target, file.id), || {
            let path = names.file(target, fd, file.id)?;
            let FileId {
                inode,
                generation,
                device,
                name,
            } = file.id;
            Some(
                Item::File(FileItem(
                    target,
                    inode,
                    generation,
                    device,
                    name,
                    path.to_string(),
                ))
                .append(out),
            )
        });
    }

    /// A code object, unless it was written before or cannot be named.
    pub fn code(&mut self, target: u16, frame: &FrameRecord, names: &mut dyn Names, out: &mut Vec<u8>) {
        self.codes.once((target, frame.code, frame.fingerprint), || {
            let code = names.code(target, frame)?;
            Some(Item::Code(CodeItem::new(target, frame.code, frame.fingerprint, &code)).append(out))
        });
    }

    /// A target index is free again.
    pub fn gone(&mut self, gone: Gone, out: &mut Vec<u8>) {
        self.types.0.retain(|(of, _)| *of != gone.target);
        self.modules.0.retain(|(of, ..)| *of != gone.target);
        self.codes.0.retain(|(of, ..)| *of != gone.target);
        self.functions.0.retain(|(of, ..)| *of != gone.target);
        self.threads.0.retain(|(of, _)| *of != gone.target);
        self.files.0.retain(|(of, _)| *of != gone.target);
        Item::Gone(gone).append(out);
    }

    /// Something happened to a process, at that Unix time.
    pub fn process(pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>) {
        let change = change.clone();
        Item::Process(ProcessItem { pid, time_ns, change }).append(out);
    }

    /// Return probes were taken out.
    pub fn spared(sites: Vec<u32>, why: &str, out: &mut Vec<u8>) {
        Item::Spared(Spared(sites, why.to_owned())).append(out);
    }

    /// The ends of these calls may not be seen any more.
    pub fn lost_calls(calls: Lost, out: &mut Vec<u8>) {
        Item::Lost(calls).append(out);
    }

    /// Those of them that are in progress end here.
    pub fn given_up(calls: Lost, out: &mut Vec<u8>) {
        Item::GivenUp(calls).append(out);
    }

    /// Records were lost.
    pub fn loss(count: u64, since_ns: u64, out: &mut Vec<u8>) {
        Item::Loss(Loss { count, since_ns }).append(out);
    }

    /// The end: the counters of all sites.
    pub fn end(counters: &[SiteCounters], out: &mut Vec<u8>) {
        let counted = counters.iter().zip(0..);
        let counted = counted.filter(|(counters, _)| **counters != SiteCounters::default());
        Item::End(
            counted
                .map(|(counters, site)| SiteCount::new(site, counters))
                .collect(),
        )
        .append(out);
    }
}

/// What was written already.
struct Written<K>(HashSet<K>);

impl<K> Default for Written<K> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<K: Copy + Eq + Hash> Written<K> {
    /// Calls `write` unless it succeeded before for this key.
    fn once(&mut self, key: K, write: impl FnOnce() -> Option<bool>) {
        if self.0.contains(&key) || write().is_none() {
            return;
        }
        if self.0.len() >= MAX_WRITTEN {
            self.0.clear();
        }
        self.0.insert(key);
    }
}
