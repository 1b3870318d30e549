//! `pytrace-ebpf replay`: prints a recording by the way of live events, with other filters and formats.

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal as _, Read},
    mem,
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use tracer_common::{counters::SiteCounters, wire::KIND_ENTRY};
use tracer_user::{
    catalogue::select::{Functions, Selection},
    decode::{pair::Pairing, record::Record},
    event::{
        SiteMeta,
        acted::ActedOn,
        judge::{Judge, NoCourt},
    },
    recording::{Happened, Reader, RecordedNames, Torn, item},
    sink::{Sink, Summary},
};

use crate::{
    Usage,
    cli::{Format, OutputArgs, ReplayArgs, ShownArgs},
    filters::judge,
    output::{CHUNK, Output, is_recording},
    report::{Reporter, print_summary, sink_for},
    session::{OVER_BUDGET, PROCESS_ENDED, PROGRAM_REPLACED, TRACING_ENDED},
};

/// Calls whose end is not in a recording that was not finished.
const RECORDING_ENDS: &str = "the recording ends";
/// Bytes read from the file at once.
const READ: usize = 256 * 1024;

/// A recording of a file.
pub type FileReader = Reader<BufReader<File>>;

/// Prints a recording.
pub fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let narrow = Narrow::parse(args.recorded.effects.as_deref(), &args.recorded.functions)?;
    let path = args.output.output.as_deref();
    if is_recording(path) {
        return Err(Usage("replay writes text, JSON or Parquet, not another recording".into()).into());
    }
    check_parquet(&args.output)?;
    let reader = open(&args.file)?;
    let sink = sink_for(&args.output, reader.header().epoch_ns, false);
    warn_of_stack(args.recorded.stack, reader.header().limits.stack);
    let mut play = Play::new(reader, narrow, &args.output, sink)?;
    if let Some(frames) = args.recorded.stack {
        play.reporter.limit_stack(frames);
    }
    let output = Output::open(path, false)?;
    let played = play.run(&mut |chunk| output.queue().blocking_send(chunk).is_ok());
    let written = output.finish().context("cannot write the output");
    let played = played.with_context(|| match args.output.format() {
        Format::Parquet => format!("{}, too little for a Parquet file", damaged(&args.file)),
        _ => damaged(&args.file),
    })?;
    written?;
    if let Some(torn) = played.torn {
        print_torn(&args.file, torn);
    }
    print_summary(&played.summary);
    Ok(())
}

/// Says that there are fewer frames than were asked for.
pub fn warn_of_stack(asked: Option<u32>, recorded: u32) {
    if asked.is_some_and(|frames| frames > recorded) {
        crate::logging::say!("only {recorded} frames per event were recorded (--stack)");
    }
}

pub fn damaged(path: &Path) -> String {
    format!("{} could be read only in part", path.display())
}

/// Opens a recording and reads it up to its first record.
pub fn open(path: &Path) -> anyhow::Result<FileReader> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Reader::open(BufReader::with_capacity(READ, file))
        .with_context(|| format!("{} cannot be replayed", path.display()))
}

/// Says that a recording was not finished.
pub fn print_torn(path: &Path, torn: Torn) {
    crate::logging::say!(
        "{} was not finished: the tracer was killed, or still writes it; it is whole up to byte {}, {} bytes after that left out",
        path.display(),
        torn.offset,
        torn.bytes
    );
}

/// Refuses what makes no Parquet file, or none that can be read.
fn check_parquet(options: &OutputArgs) -> Result<(), Usage> {
    if options.format() != Format::Parquet {
        return Ok(());
    }
    let no = |why: &str| Err(Usage(why.into()));
    match (options.format, &options.output) {
        _ if options.summary => no("-c makes a table of its own, in text or JSON; leave it out for Parquet"),
        (Format::Text | Format::Parquet, Some(_)) => Ok(()),
        (Format::Parquet, None) if !io::stdout().is_terminal() => Ok(()),
        (_, None) => no("Parquet is nothing for a terminal; give it a file: `-o calls.parquet`"),
        (_, Some(_)) => no("a file named .parquet is one; give another name for another --format"),
    }
}

/// What of a recording is to be seen: `-e` and `-f`.
#[derive(Default)]
pub struct Narrow {
    effects: Option<Selection>,
    functions: Option<Functions>,
}

impl Narrow {
    pub fn parse(effects: Option<&str>, functions: &[String]) -> Result<Self, Usage> {
        Ok(Self {
            effects: effects.map(Selection::parse).transpose()?,
            functions: match functions {
                [] => None,
                globs => Some(Functions::parse(globs)?),
            },
        })
    }

    /// Makes a site what it had been, had only this been asked for; false where it had been none.
    fn apply(&self, meta: &mut SiteMeta) -> bool {
        if self.effects.is_none() && self.functions.is_none() {
            return true;
        }
        let functions = self.functions.as_ref();
        meta.named = functions.is_some_and(|functions| functions.matches(&meta.function, &meta.aliases));
        let named = meta.named;
        let wants = |effect| named || self.effects.as_ref().is_some_and(|chosen| chosen.wants(effect));
        meta.wanted &= wants(meta.effect);
        if let Some(deletion) = &mut meta.deletion {
            deletion.wanted &= wants(deletion.effect);
        }
        meta.wanted || meta.deletion.is_some_and(|deletion| deletion.wanted)
    }
}

/// What was printed.
pub struct Played {
    pub summary: Summary,
    pub torn: Option<Torn>,
}

/// A recording on its way to a sink.
pub struct Play<R> {
    reader: Reader<R>,
    narrow: Narrow,
    pub reporter: Reporter<RecordedNames>,
    judge: Judge,
    pairing: Pairing,
    sites: Arc<[SiteMeta]>,
    /// The reader has others.
    sites_changed: bool,
    /// By site: whether it is to be seen.
    kept: Vec<bool>,
    /// What was read, by site.
    counted: Vec<SiteCounters>,
    lost: u64,
    buffer: Vec<u8>,
}

impl<R: Read> Play<R> {
    /// `options` narrow what the recording was to show.
    pub fn new(
        reader: Reader<R>,
        narrow: Narrow,
        options: &OutputArgs,
        sink: Box<dyn Sink>,
    ) -> Result<Self, Usage> {
        let header = reader.header();
        let judge = judge(&options.shown.filters, header.limits.stack)?;
        let recorded = ActedOn::new(&header.filter.paths, &header.filter.peers, &header.filter.tasks)?;
        let options = both(options, &header.filter);
        let epoch_ns = reader.header().epoch_ns;
        let mut play = Self {
            reporter: Reporter::new(RecordedNames::default(), &options, sink, epoch_ns)?
                .sampled(reader.header().sample),
            judge,
            pairing: Pairing::new(options.shown.nested),
            counted: Vec::new(),
            reader,
            narrow,
            sites: Arc::new([]),
            sites_changed: true,
            kept: Vec::new(),
            lost: 0,
            buffer: Vec::with_capacity(CHUNK),
        };
        for target in play.reader.targets() {
            play.reporter.set_pid(target.index, target.info.pid);
            play.pairing.switches(target.index, target.switches);
        }
        play.reporter.narrow(recorded);
        Ok(play)
    }

    /// Takes in the sites that the reader has come to.
    fn refresh_sites(&mut self) {
        if !mem::take(&mut self.sites_changed) {
            return;
        }
        let mut sites = self.reader.sites().to_vec();
        self.kept = sites.iter_mut().map(|meta| self.narrow.apply(meta)).collect();
        self.counted.resize(sites.len(), SiteCounters::default());
        self.sites = sites.into();
        self.reporter.set_sites(Arc::clone(&self.sites));
    }

    /// Plays all of it. `send` takes a chunk, and says whether it wants more.
    pub fn run(mut self, send: &mut dyn FnMut(Vec<u8>) -> bool) -> anyhow::Result<Played> {
        let targets: Vec<_> = self
            .reader
            .targets()
            .iter()
            .map(|target| target.info.clone())
            .collect();
        self.reporter.header(&targets, &mut self.buffer);
        let played = self.events(send);
        send(mem::take(&mut self.buffer));
        played
    }

    fn events(&mut self, send: &mut dyn FnMut(Vec<u8>) -> bool) -> anyhow::Result<Played> {
        while let Some(happened) = self.reader.next_event(self.reporter.names())? {
            match happened {
                Happened::Record(record) => self.record(record),
                Happened::Target(target) => {
                    self.pairing.switches(target.index, target.switches);
                    self.reporter.set_pid(target.index, target.info.pid);
                }
                Happened::Sites => self.sites_changed = true,
                Happened::Gone(gone) => {
                    let why = if gone.replaced {
                        PROGRAM_REPLACED
                    } else {
                        PROCESS_ENDED
                    };
                    self.unobserved(Some(gone.target), why);
                    self.reporter.forget(gone.target);
                    self.reporter.names().remove(gone.target);
                    self.judge.forget(gone.target, &mut NoCourt);
                }
                Happened::Process(item) => {
                    self.reporter
                        .process(item.pid, &item.change, item.time_ns, &mut self.buffer);
                }
                Happened::Loss(loss) => {
                    self.lost = self.lost.saturating_add(loss.count);
                    self.reporter.lost(loss.count, loss.since_ns, &mut self.buffer);
                }
                Happened::Lost(calls) => self.pairing.loses(calls),
                Happened::GivenUp(calls) => {
                    let Self {
                        pairing,
                        reporter,
                        buffer,
                        ..
                    } = self;
                    pairing.give_up(&calls, OVER_BUDGET, &mut |call| reporter.call(&call, buffer));
                }
                Happened::End(counters) => return Ok(self.end(counters)),
                Happened::Torn(torn) => return Ok(self.torn(torn)),
            }
            if self.buffer.len() >= CHUNK && !send(mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK)))
            {
                break;
            }
        }
        // The reader of the output went away.
        Ok(self.end(self.counted.clone()))
    }

    fn record(&mut self, record: Record) {
        self.refresh_sites();
        let site = record.header.site as usize;
        if !self.kept.get(site).is_some_and(|kept| *kept) {
            return;
        }
        if let Some(count) = self.counted.get_mut(site) {
            // The end of a run of a Python function is a site of its own.
            let is_run = self.sites.get(site).is_some_and(|meta| meta.run.is_some());
            if record.header.kind == KIND_ENTRY || is_run {
                count.hits += 1;
                count.delivered += 1;
            } else {
                count.return_hits += 1;
                count.return_delivered += 1;
            }
        }
        let Self {
            judge,
            pairing,
            reporter,
            buffer,
            sites,
            ..
        } = self;
        if !judge.keeps(&record, reporter.names(), &mut NoCourt) {
            return;
        }
        pairing.feed(record, sites, &mut |call| reporter.call(&call, buffer));
    }

    fn unobserved(&mut self, target: Option<u16>, why: &'static str) {
        self.reporter
            .unobserved(&mut self.pairing, target, why, &mut self.buffer);
    }

    fn end(&mut self, mut counters: Vec<SiteCounters>) -> Played {
        self.unobserved(None, TRACING_ENDED);
        self.refresh_sites();
        for (counters, kept) in counters.iter_mut().zip(&self.kept) {
            if !kept {
                *counters = SiteCounters::default();
            }
        }
        Played {
            summary: self.summary(counters, None),
            torn: None,
        }
    }

    fn torn(&mut self, torn: Torn) -> Played {
        self.unobserved(None, RECORDING_ENDS);
        Played {
            summary: self.summary(self.counted.clone(), Some(self.lost)),
            torn: Some(torn),
        }
    }

    fn summary(&mut self, mut counters: Vec<SiteCounters>, lost: Option<u64>) -> Summary {
        self.judge.tally().settle(&mut counters);
        let inner = self.pairing.counts().inner;
        let mut summary = self
            .reporter
            .summary(&counters, inner, lost, Vec::new(), &mut self.buffer);
        summary.unmatched.splice(0..0, self.judge.unmatched());
        summary
    }
}

/// The options that show what both show.
fn both(options: &OutputArgs, recorded: &item::Filter) -> OutputArgs {
    let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
    let shown = &options.shown;
    OutputArgs {
        format: options.format,
        output: None,
        shown: ShownArgs {
            max_events: least(shown.max_events, recorded.max_events),
            errors: shown.errors || recorded.errors,
            min_duration: shown.min_duration.max(recorded.min_duration),
            nested: shown.nested || recorded.nested,
            filters: shown.filters.clone(),
            show_secrets: shown.show_secrets,
        },
        summary: options.summary,
        color: options.color,
        wide: options.wide,
        stat: None,
        show_tasks: options.show_tasks,
    }
}

#[cfg(test)]
#[path = "sampled_tests.rs"]
mod sampled_tests;
#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
