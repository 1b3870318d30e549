//! Calls that are added up in the kernel: which places they come from, and what has come since the last look.

use std::{collections::HashMap, sync::Arc};

use tracer_common::{
    aggregate::{Aggregate, MAX_PLACES},
    limits::USUAL_SITES,
    wire::TypeRef,
};
use tracer_user::{
    attach::{Kernel, KernelError, Sums},
    cpython::names::ProcessNames,
    decode::record::Record,
    event::{
        SiteMeta,
        call::Frame,
        sum::{self, Sum},
    },
    sink::Period,
};

use super::Session;
use crate::report::{Reporter, now_ns};

/// Where calls come from, and the name they go by.
struct Place {
    pid: Option<u32>,
    frame: Frame,
    name: Arc<str>,
}

/// What is known of the sums.
pub struct Adding {
    sums: Sums,
    /// Places by the index of their sums.
    places: HashMap<u32, Place>,
    /// Names of types by target and address.
    types: HashMap<(u16, u64), Arc<str>>,
    /// The sums at the last look, and when that was.
    before: HashMap<u32, Aggregate>,
    looked_ns: u64,
    began_ns: u64,
}

impl Adding {
    pub fn new(kernel: &mut Kernel) -> Result<Self, KernelError> {
        let now = now_ns();
        Ok(Self {
            sums: Sums::new(kernel)?,
            places: HashMap::new(),
            types: HashMap::new(),
            before: HashMap::new(),
            looked_ns: now,
            began_ns: now,
        })
    }

    /// Takes in the types of a process's C modules.
    pub fn know_types(&mut self, target: u16, types: &[(TypeRef, Arc<str>)]) {
        let types = types
            .iter()
            .map(|(ty, name)| ((target, ty.address), Arc::clone(name)));
        self.types.extend(types);
    }

    /// An index stands for no process any more, or for another.
    pub fn forget(&mut self, target: u16) {
        self.types.retain(|(of, _), _| *of != target);
    }

    /// Takes in where calls come from. Its names were sent before.
    pub fn learn(&mut self, record: &Record, sites: &[SiteMeta], reporter: &mut Reporter<ProcessNames>) {
        let header = record.header;
        let meta = sites.get(header.site as usize);
        if let (Ok(index), Some(frame), Some(meta)) = (u32::try_from(header.sp), record.frames().next(), meta)
        {
            let ty = self.types.get(&(header.target, header.time_ns));
            let place = Place {
                pid: reporter.pid(header.target),
                frame: reporter.frame(header.target, &frame),
                name: sum::name(meta, ty.map(|ty| &**ty)),
            };
            self.places.insert(index, place);
        }
    }

    /// The sums as they are now, those without calls left out.
    fn look(&self, sites: u32, places: u64) -> Result<Vec<(u32, Aggregate)>, KernelError> {
        let places = places.min(u64::from(MAX_PLACES)) as u32;
        let all = (0..sites).chain(USUAL_SITES..USUAL_SITES + places);
        let mut found = Vec::new();
        for index in all {
            let sums = self.sums.get(index)?;
            if sums.calls != 0 {
                found.push((index, sums));
            }
        }
        Ok(found)
    }

    fn sum(&self, index: u32, calls: Aggregate, sites: &[SiteMeta]) -> Option<Sum> {
        let site = if index < USUAL_SITES {
            index
        } else {
            calls.site as u32
        };
        let meta = sites.get(site as usize)?;
        let place = self.places.get(&index);
        Some(Sum {
            pid: place.and_then(|place| place.pid),
            function: place.map_or_else(|| sum::name(meta, None), |place| Arc::clone(&place.name)),
            effect: meta.effect,
            place: place.map(|place| place.frame.clone()),
            calls,
        })
    }
}

impl Session {
    /// Writes what has been added up: since the last look, or in the whole trace.
    pub fn add_up(&mut self, whole: bool) -> anyhow::Result<()> {
        if !whole {
            self.tell_costs();
        }
        let Some(adding) = &mut self.adding else {
            return Ok(());
        };
        let (now, places) = (now_ns(), self.kernel.places()?);
        let found = adding.look(self.sites.len() as u32, places)?;
        let mut sums = Vec::new();
        for (index, calls) in found {
            let calls = match adding.before.insert(index, calls) {
                Some(before) if !whole => calls.since(&before),
                _ => calls,
            };
            if calls.calls != 0 || calls.ended != 0 {
                sums.extend(adding.sum(index, calls, &self.sites));
            }
        }
        let period = Period {
            from_ns: if whole { adding.began_ns } else { adding.looked_ns },
            to_ns: now,
            is_whole: whole,
        };
        adding.looked_ns = now;
        if whole && places > u64::from(MAX_PLACES) {
            log::warn!(
                "calls came from more places than there is room for ({MAX_PLACES}): those from the others are shown without a line"
            );
        }
        self.reporter.sums(&sums, period, &mut self.buffer);
        self.flush_due = true;
        Ok(())
    }
}
