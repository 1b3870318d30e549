//! Writes a trace as items into a buffer; [`super::block::BlockWriter`] brings them into the file.

use std::collections::HashSet;
use std::hash::Hash;

use tracer_common::{
    counters::SiteCounters,
    wire::{FrameRecord, TypeRef},
};

use super::{
    item::{CodeItem, Exit, Header, Item, Loss, ModuleItem, SiteCount, TargetItem, TypeItem, append_record},
    site::SiteItem,
};
use crate::{
    decode::{
        names::Names,
        record::Record,
        refs::{Ref, refs},
    },
    event::SiteMeta,
    sink::TargetInfo,
};

/// Names of one kind remembered as written, at most; beyond it they may be written again, which does no harm.
const MAX_WRITTEN: usize = 256 * 1024;

/// Makes a recording of records.
#[derive(Default)]
pub struct Recorder {
    types: Written<(u16, TypeRef)>,
    modules: Written<(u16, u64, u64)>,
    codes: Written<(u16, u64, u64)>,
}

impl Recorder {
    /// What stands before the first record: the header, targets by index, sites by index.
    pub fn start(header: Header, targets: &[TargetInfo], sites: &[SiteMeta], out: &mut Vec<u8>) {
        Item::Header(header).append(out);
        for (index, info) in targets.iter().enumerate() {
            let item = TargetItem {
                index: index as u16,
                info: info.clone(),
            };
            Item::Target(item).append(out);
        }
        for meta in sites {
            Item::Site(SiteItem::new(meta)).append(out);
        }
        Item::Start(()).append(out);
    }

    /// A record, after the names it needs that were not there yet. A name that cannot be read now is asked
    /// for again by the next record that needs it.
    pub fn record(&mut self, record: &Record, names: &mut dyn Names, out: &mut Vec<u8>) {
        let target = record.header.target;
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
        append_record(record.bytes(), out);
    }

    fn code(&mut self, target: u16, frame: &FrameRecord, names: &mut dyn Names, out: &mut Vec<u8>) {
        self.codes.once((target, frame.code, frame.fingerprint), || {
            let code = names.code(target, frame)?;
            Some(Item::Code(CodeItem::new(target, frame.code, frame.fingerprint, &code)).append(out))
        });
    }

    /// A process ended.
    pub fn exit(target: u16, time_ns: u64, out: &mut Vec<u8>) {
        Item::Exit(Exit { target, time_ns }).append(out);
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
