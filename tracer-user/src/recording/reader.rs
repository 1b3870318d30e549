//! Reads a recording from start to end.

use std::io::Read;

use bytes::Bytes;
use tracer_common::{
    counters::SiteCounters,
    limits::{MAX_SITES, MAX_TARGETS},
};

use super::{
    RecordedNames, RecordingError,
    block::{BlockReader, Next},
    item::{Gone, Header, Item, Loss, ProcessItem, SiteCount, Spared, TargetItem, take},
    site::{SiteItem, intern},
};
use crate::{
    decode::{pair::Lost, record::Record},
    event::SiteMeta,
};

/// Where a recording stops that the tracer could not finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Bytes of the file that could be read.
    pub offset: u64,
    /// Bytes after that: the start of a block, if any.
    pub bytes: u64,
}

/// What happened, in order.
#[derive(Debug)]
pub enum Happened {
    Record(Record),
    /// A process gets a target index.
    Target(TargetItem),
    /// [`Reader::sites`] has more, or others.
    Sites,
    /// A target index is free again: after the calls that are still running, [`RecordedNames::remove`] its names.
    Gone(Gone),
    Process(ProcessItem),
    Loss(Loss),
    /// Calls whose ends may not be seen any more, and those that end so.
    Lost(Lost),
    GivenUp(Lost),
    /// The end of a whole recording: counters of all sites.
    End(Vec<SiteCounters>),
    /// The file ends here, but the trace went on.
    Torn(Torn),
}

/// A recording being read.
pub struct Reader<R> {
    source: Items<R>,
    header: Header,
    /// What the trace began with.
    targets: Vec<TargetItem>,
    sites: Vec<SiteMeta>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads up to the first record.
    ///
    /// # Errors
    ///
    /// [`RecordingError`]; [`RecordingError::Empty`] where the tracer had not attached yet.
    pub fn open(from: R) -> Result<Self, RecordingError> {
        let mut source = Items {
            blocks: BlockReader::new(from)?,
            items: Bytes::new(),
            offset: 0,
        };
        let header = match source.next_item()? {
            Ok(Item::Header(header)) => header,
            Ok(_) => return Err(source.damaged("the first item is no header")),
            Err(_) => return Err(RecordingError::Empty),
        };
        let mut reader = Self {
            source,
            header,
            targets: Vec::new(),
            sites: Vec::new(),
            ended: false,
        };
        loop {
            match reader.source.next_item()? {
                Ok(Item::Start(())) => return Ok(reader),
                Ok(item) => reader.table(item)?,
                Err(_) => return Err(RecordingError::Empty),
            }
        }
    }

    /// What holds for the whole recording.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Processes that were traced when the probes were in.
    pub fn targets(&self) -> &[TargetItem] {
        &self.targets
    }

    /// Sites so far, by index.
    pub fn sites(&self) -> &[SiteMeta] {
        &self.sites
    }

    /// What happened next; `None` after [`Happened::End`] and [`Happened::Torn`]. Names that it needs are added to
    /// `names` before.
    ///
    /// # Errors
    ///
    /// [`RecordingError`] where the file is damaged; nothing after that place is read.
    pub fn next_event(&mut self, names: &mut RecordedNames) -> Result<Option<Happened>, RecordingError> {
        while !self.ended {
            match self.source.next_item() {
                Ok(Ok(item)) => {
                    let happened = self.happened(item, names);
                    self.ended = matches!(happened, Err(_) | Ok(Some(Happened::End(_))));
                    if let Some(happened) = happened? {
                        return Ok(Some(happened));
                    }
                }
                Ok(Err(torn)) => {
                    self.ended = true;
                    return Ok(Some(Happened::Torn(torn)));
                }
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// Takes in an item of what stands before the start.
    fn table(&mut self, item: Item) -> Result<(), RecordingError> {
        match item {
            Item::Target(target) => {
                let target = self.target(target)?;
                if self.targets.len() >= MAX_TARGETS as usize {
                    return Err(self.source.damaged("too many targets"));
                }
                self.targets.push(target);
            }
            Item::Site(site) => self.site(site)?,
            _ => return Err(self.source.damaged("an event stands before the start")),
        }
        Ok(())
    }

    fn target(&self, target: TargetItem) -> Result<TargetItem, RecordingError> {
        if u32::from(target.index) >= MAX_TARGETS {
            return Err(self
                .source
                .damaged(format!("there is no target {}", target.index)));
        }
        Ok(target)
    }

    fn site(&mut self, site: SiteItem) -> Result<(), RecordingError> {
        let meta = site.into_meta().filter(|_| self.sites.len() < MAX_SITES as usize);
        let meta = meta.ok_or_else(|| self.source.damaged("a site is not one"))?;
        self.sites.push(meta);
        Ok(())
    }

    fn spared(&mut self, Spared(sites, why): &Spared) {
        for site in sites {
            if let Some(meta) = self.sites.get_mut(*site as usize)
                && meta.no_return.is_none()
            {
                // Once a site at most: so no more texts are kept than sites are.
                meta.no_return = Some(intern(why));
            }
        }
    }

    /// Takes in an item of what stands after the start; what it says that happened, if so.
    fn happened(
        &mut self,
        item: Item,
        names: &mut RecordedNames,
    ) -> Result<Option<Happened>, RecordingError> {
        match item {
            Item::Type(item) => names.add_type(item),
            Item::Module(item) => names.add_module(item),
            Item::Code(item) => names.add_code(item),
            Item::Thread(item) => names.add_thread(item),
            Item::File(item) => names.add_file(item),
            Item::Function(item) => names.add_function(item),
            Item::Record(bytes) => {
                let record = Record::parse(bytes).map_err(|error| self.source.damaged(error.to_string()))?;
                return Ok(Some(Happened::Record(record)));
            }
            Item::Gone(gone) => return Ok(Some(Happened::Gone(gone))),
            Item::Process(process) => return Ok(Some(Happened::Process(process))),
            Item::Loss(loss) => return Ok(Some(Happened::Loss(loss))),
            Item::Lost(calls) => return Ok(Some(Happened::Lost(calls))),
            Item::GivenUp(calls) => return Ok(Some(Happened::GivenUp(calls))),
            Item::End(counts) => return Ok(Some(Happened::End(self.counters(&counts)))),
            Item::Target(target) => return Ok(Some(Happened::Target(self.target(target)?))),
            Item::Site(site) => {
                self.site(site)?;
                return Ok(Some(Happened::Sites));
            }
            Item::Spared(spared) => {
                self.spared(&spared);
                return Ok(Some(Happened::Sites));
            }
            Item::Header(_) | Item::Start(()) => {
                return Err(self
                    .source
                    .damaged("what belongs before the start stands after it"));
            }
        }
        Ok(None)
    }

    fn counters(&self, counts: &[SiteCount]) -> Vec<SiteCounters> {
        let mut counters = vec![SiteCounters::default(); self.sites.len()];
        for count in counts {
            if let Some(counters) = counters.get_mut(count.0 as usize) {
                *counters = count.counters();
            }
        }
        counters
    }
}

/// The items of all blocks.
struct Items<R> {
    blocks: BlockReader<R>,
    /// Left of the current block.
    items: Bytes,
    /// Where the current block begins in the file.
    offset: u64,
}

impl<R: Read> Items<R> {
    /// The next item, or where there is none any more.
    fn next_item(&mut self) -> Result<Result<Item, Torn>, RecordingError> {
        while self.items.is_empty() {
            match self.blocks.next_block()? {
                Next::Block(block) => {
                    self.offset = block.offset;
                    self.items = block.items;
                }
                Next::Torn { offset, bytes } => return Ok(Err(Torn { offset, bytes })),
            }
        }
        let item = take(&mut self.items);
        item.map(Ok).map_err(|what| self.damaged(what))
    }

    fn damaged(&self, what: impl Into<String>) -> RecordingError {
        RecordingError::Item {
            offset: self.offset,
            what: what.into(),
        }
    }
}
