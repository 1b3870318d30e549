//! Recordings that somebody else made.

use super::printer::Printer;
use crate::{
    decode::pair::Pairing,
    event::{SiteMeta, acted::ActedOn},
    recording::{FILE_HEADER, Happened, MAGIC, Reader, RecordedNames, RecordingError, block::BlockWriter},
    sink::Summary,
};

/// The input is a file, whose checksums are made right; or the items of one block, whatever they claim to be.
pub fn recording(data: &[u8]) {
    let file = if data.starts_with(&MAGIC) {
        with_checksums(data)
    } else {
        let mut file = Vec::new();
        BlockWriter::new(&mut file)
            .and_then(|mut writer| writer.block(data))
            .expect("memory can be written");
        file
    };
    let _ = play(&file);
}

/// Plays it, as `replay` does.
fn play(file: &[u8]) -> Result<(), RecordingError> {
    let mut reader = Reader::open(file)?;
    let header = reader.header();
    let mut printer = Printer::new(false, header.filter.errors);
    let mut pairing = Pairing::new(header.filter.nested);
    if let Ok(acted) = ActedOn::new(&header.filter.paths, &header.filter.peers, &header.filter.tasks) {
        printer.acted = acted;
    }
    let targets: Vec<_> = reader
        .targets()
        .iter()
        .map(|target| target.info.clone())
        .collect();
    for target in reader.targets() {
        pairing.switches(target.index, target.switches);
    }
    printer.header(&targets);
    let mut names = RecordedNames::default();
    let mut sites: Vec<SiteMeta> = reader.sites().to_vec();
    let mut summary = Summary::default();
    let mut damaged = None;
    loop {
        match reader.next_event(&mut names) {
            Ok(Some(Happened::Record(record))) => {
                pairing.feed(record, &sites, &mut |call| {
                    printer.call(&call, &sites, &mut names)
                });
            }
            Ok(Some(Happened::Target(target))) => pairing.switches(target.index, target.switches),
            Ok(Some(Happened::Sites)) => sites = reader.sites().to_vec(),
            Ok(Some(Happened::Gone(gone))) => {
                pairing.finish(Some(gone.target), "it is gone", &mut |call| {
                    printer.call(&call, &sites, &mut names);
                });
                names.remove(gone.target);
            }
            Ok(Some(Happened::Process(item))) => printer.process(item.pid, &item.change, item.time_ns),
            Ok(Some(Happened::Loss(loss))) => printer.loss(loss.count, loss.since_ns),
            Ok(Some(Happened::Lost(calls))) => pairing.loses(calls),
            Ok(Some(Happened::GivenUp(calls))) => pairing.give_up(&calls, "its probe went", &mut |call| {
                printer.call(&call, &sites, &mut names);
            }),
            Ok(Some(Happened::End(counters))) => {
                summary.totals = counters.first().copied().unwrap_or_default();
            }
            Ok(Some(Happened::Torn(_))) => summary.cut = true,
            Ok(None) => break,
            Err(error) => {
                damaged = Some(error);
                break;
            }
        }
    }
    pairing.finish(None, "it ends", &mut |call| {
        printer.call(&call, &sites, &mut names)
    });
    printer.finish(summary);
    damaged.map_or(Ok(()), Err)
}

/// The file with the checksums that its blocks should have: a fuzzer does not guess them.
pub(super) fn with_checksums(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let mut at = FILE_HEADER;
    while let Some(block) = file.get_mut(at..)
        && let Some((head, stored)) = block.split_at_mut_checked(12)
    {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(stored) = stored.get(..len) else { break };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head[..8]);
        crc.update(stored);
        head[8..].copy_from_slice(&crc.finalize().to_le_bytes());
        at += 12 + len;
    }
    file
}
