//! Files that effects are read from: told apart by how they begin.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use tracer_user::{
    export::{batch::Signal, spool::Spool},
    query::{
        QueryError,
        lines::Lines,
        rows::rows,
        store::{Filling, Store},
    },
    recording::MAGIC,
};

use crate::{
    cli::{Format, OutputArgs},
    logging::say,
    replay::{Narrow, Play, damaged, open, print_torn},
    report::sink_for,
};

/// How a file of SQLite begins (sqlite.org/fileformat2.html).
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Bytes read from a file at once.
const READ: usize = 256 * 1024;

/// Reads a recording, a spool or OTLP/JSON lines.
pub fn read(path: &Path) -> anyhow::Result<Store> {
    let mut filling = Filling::begin()?;
    let shown = path.display();
    match start(path)? {
        Is::Recording => recording(path, &mut filling)?,
        Is::Spool => spool(path, &mut filling).with_context(|| format!("cannot read {shown}"))?,
        Is::Lines => {
            let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
            let lines = Lines::new(BufReader::with_capacity(READ, file));
            requests(lines, &mut filling).with_context(|| format!("cannot read {shown}"))?;
        }
    }
    let store = filling.finish()?;
    if store.counts().twice != 0 {
        say!(
            "of the records {} were there before, and count once",
            store.counts().twice
        );
    }
    Ok(store)
}

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
enum Is {
    Recording,
    Spool,
    Lines,
}

fn start(path: &Path) -> anyhow::Result<Is> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut start = Vec::new();
    file.take(64)
        .read_to_end(&mut start)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if start.starts_with(&MAGIC) {
        Ok(Is::Recording)
    } else if start.starts_with(SQLITE) {
        Ok(Is::Spool)
    } else if matches!(start.trim_ascii_start().first(), Some(b'{') | None) {
        Ok(Is::Lines)
    } else {
        bail!(
            "{} is no recording, no spool and no OTLP/JSON lines",
            path.display()
        )
    }
}

/// Takes in requests.
fn requests(
    mut requests: impl Iterator<Item = Result<ExportLogsServiceRequest, QueryError>>,
    filling: &mut Filling,
) -> Result<(), QueryError> {
    requests.try_for_each(|request| {
        let mut result = Ok(());
        rows(&request?, &mut |row| {
            if result.is_ok() {
                result = filling.insert(&row);
            }
        });
        result
    })
}

/// Takes in the agent's spool: what waits in it, and no more.
fn spool(path: &Path, filling: &mut Filling) -> anyhow::Result<()> {
    let spool = Spool::read_only(path)?;
    let counters = spool.counters(Signal::Logs)?;
    let mut unread = 0;
    for stored in spool {
        let stored = stored?;
        match stored.logs() {
            Some(request) => requests(std::iter::once(Ok(request)), filling)?,
            None if stored.signal == Signal::Logs => unread += stored.records,
            None => {}
        }
    }
    if unread != 0 {
        say!("{unread} records of the spool are damaged, and in no answer");
    }
    let (sent, dropped) = (counters.sent, counters.dropped.all());
    if sent != 0 || dropped != 0 {
        say!(
            "a spool has what was not sent yet: {sent} records were sent, {dropped} dropped, and are in no answer"
        );
    }
    Ok(())
}

/// Takes in a recording as `replay --format otlp` prints it.
fn recording(path: &Path, filling: &mut Filling) -> anyhow::Result<()> {
    let options = OutputArgs {
        format: Format::Otlp,
        ..OutputArgs::of_secrets(false)
    };
    let reader = open(path)?;
    let sink = sink_for(&options, reader.header().epoch_ns, false);
    let play = Play::new(reader, Narrow::default(), &options, sink)?;
    let mut result = Ok(());
    // A chunk is whole lines.
    let played = play.run(&mut |chunk| {
        result = requests(Lines::new(chunk.as_slice()), filling);
        result.is_ok()
    });
    result?;
    if let Some(torn) = played.with_context(|| damaged(path))?.torn {
        print_torn(path, torn);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prost::Message as _;
    use tracer_user::{
        export::{batch::Batch, spool::Limits},
        query::store::Counts,
    };

    use super::*;

    /// Records of a small fleet.
    const FLEET: &str = include_str!("../../../query/testdata/fleet.otlp.jsonl");

    #[test]
    fn a_spool_has_the_same_rows_as_lines() {
        let folder = std::env::temp_dir().join(format!("pytrace-query-spool-{}", std::process::id()));
        let path = folder.join("spool.sqlite");
        let limits = Limits {
            max_bytes: 1 << 20,
            max_age: Duration::from_secs(3600),
        };
        let mut spool = Spool::open(&path, limits).unwrap();
        let batch = |signal, body| Batch {
            signal,
            records: 2,
            first_ns: 1,
            last_ns: 2,
            body,
        };
        for request in Lines::new(FLEET.as_bytes()) {
            spool
                .append(&batch(Signal::Logs, request.unwrap().encode_to_vec()))
                .unwrap();
        }
        spool.append(&batch(Signal::Metrics, Vec::new())).unwrap();
        spool.append(&batch(Signal::Logs, vec![0xff])).unwrap();
        let counts = Counts {
            effects: 17,
            twice: 1,
        };
        // While the agent has it, and after.
        assert_eq!(read(&path).unwrap().counts(), counts);
        drop(spool);
        assert_eq!(read(&path).unwrap().counts(), counts);
        let lines = folder.join("x.jsonl");
        std::fs::write(&lines, FLEET).unwrap();
        assert_eq!(read(&lines).unwrap().counts(), counts);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn files_are_told_apart_by_how_they_begin() {
        let file = std::env::temp_dir().join(format!("pytrace-query-{}", std::process::id()));
        let is = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            start(&file)
        };
        assert_eq!(is(b"pytrace\n\x01").unwrap(), Is::Recording);
        assert_eq!(is(b"SQLite format 3\0\x10").unwrap(), Is::Spool);
        assert_eq!(is(b"\n{\"resourceLogs\":[]}").unwrap(), Is::Lines);
        assert_eq!(is(b"").unwrap(), Is::Lines);
        assert!(is(b"PAR1").is_err());
        std::fs::remove_file(&file).unwrap();
        assert!(start(&file).is_err());
    }
}
