//! What waits in a spool, for others than the agent.

use std::{path::Path, path::PathBuf, time::Duration};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
};
use prost::Message as _;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::{
    Body, Counters, Error,
    rows::{counters, signal_of, unsigned},
};
use crate::export::batch::Signal;

/// A batch in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub id: i64,
    pub signal: Signal,
    pub records: u64,
    /// Unix times of its first and last record, and when it came; nanoseconds.
    pub first_ns: u64,
    pub last_ns: u64,
    pub appended_ns: u64,
    pub body: Body,
    checksum: i64,
}

impl Stored {
    /// Whether it is what was written.
    pub(super) fn is_whole(&self) -> bool {
        self.checksum == i64::from(self.body.checksum())
    }

    /// The log records of a batch of such. `None`: it is of something else, or damaged.
    pub fn logs(&self) -> Option<ExportLogsServiceRequest> {
        self.request(Signal::Logs)
            .and_then(|request| ExportLogsServiceRequest::decode(&*request).ok())
    }

    /// The metrics of a batch of such. `None`: it is of something else, or damaged.
    pub fn metrics(&self) -> Option<ExportMetricsServiceRequest> {
        self.request(Signal::Metrics)
            .and_then(|request| ExportMetricsServiceRequest::decode(&*request).ok())
    }

    fn request(&self, signal: Signal) -> Option<Vec<u8>> {
        (self.signal == signal && self.is_whole()).then(|| self.body.request())?
    }
}

/// The oldest batch behind that one.
pub(super) fn after(connection: &Connection, id: i64) -> rusqlite::Result<Option<Stored>> {
    let mut statement = connection.prepare(
        "SELECT id, signal, records, first_ns, last_ns, appended_ns, checksum, body
         FROM batches WHERE id > ?1 ORDER BY id LIMIT 1",
    )?;
    statement
        .query_row([id], |row| {
            Ok(Stored {
                id: row.get(0)?,
                signal: signal_of(row.get(1)?),
                records: unsigned(row.get(2)?),
                first_ns: unsigned(row.get(3)?),
                last_ns: unsigned(row.get(4)?),
                appended_ns: unsigned(row.get(5)?),
                checksum: row.get(6)?,
                body: Body { bytes: row.get(7)? },
            })
        })
        .optional()
}

/// Iterates over all batches, oldest first, without being in the agent's way: each is read by itself. What was sent or
/// dropped meanwhile does not come.
pub struct ReadOnly {
    connection: Connection,
    path: PathBuf,
    last: i64,
    failed: bool,
}

impl ReadOnly {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let fail = |error| Error::of(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(fail)?;
        connection
            .pragma_update(None, "trusted_schema", false)
            .map_err(fail)?;
        connection
            .query_row("SELECT instance FROM about", [], |row| row.get::<_, String>(0))
            .map_err(|error| match fail(error) {
                error if error.is_damage() => Error::Foreign(path.to_owned()),
                error => error,
            })?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            last: 0,
            failed: false,
        })
    }
}

impl ReadOnly {
    /// What became of the records that came, as far as the agent has written it down.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn counters(&self, signal: Signal) -> Result<Counters, Error> {
        counters(&self.connection, signal).map_err(|error| Error::of(&self.path, error))
    }
}

impl Iterator for ReadOnly {
    type Item = Result<Stored, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match after(&self.connection, self.last) {
            Ok(stored) => {
                let stored = stored?;
                self.last = stored.id;
                Some(Ok(stored))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(Error::of(&self.path, error)))
            }
        }
    }
}
