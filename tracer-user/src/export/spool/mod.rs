//! Batches on disk until the backend has them: a bounded queue in one SQLite file.
//!
//! What [`Spool::append`] has returned for survives the end of the process and of the machine; what [`Spool::sent`] has returned for
//! is never given again. A batch that the backend took while its answer was lost is given again: its records have the
//! same `log.record.uid`. Where the bound is reached the oldest batches go, and are counted: of each signal, what was
//! written = sent + dropped + waiting, at any time.

mod body;
mod error;
mod file;
mod reader;
mod rows;
#[cfg(test)]
pub(super) mod test_folder;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, params};

use super::batch::{Batch, Signal, Uids, unix_ns};
pub use body::{Body, MAX_REQUEST};
pub use error::Error;
pub use reader::{ReadOnly, Stored};
use rows::{SIGNALS, add, counters, drop_old, forget, immediate, make_room, number, save, signed};

/// How much is kept for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of compressed batches; the file may be larger by a tenth and 8 MiB.
    pub max_bytes: u64,
    pub max_age: Duration,
}

/// Records of a signal, since the spool was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Given to the spool.
    pub written: u64,
    /// Taken by the backend.
    pub sent: u64,
    pub dropped: Dropped,
    pub waiting: u64,
    /// Bytes of compressed batches that wait, of all signals.
    pub bytes: u64,
}

/// Records that never came to the backend, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// There was no room for them.
    pub full: u64,
    /// They were too old.
    pub old: u64,
    /// The backend did not want them.
    pub refused: u64,
    /// They could not be read any more.
    pub damaged: u64,
}

impl Dropped {
    pub fn all(&self) -> u64 {
        [self.full, self.old, self.refused, self.damaged]
            .iter()
            .fold(0, |all, count| all.saturating_add(*count))
    }
}

/// A batch that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub id: i64,
    pub signal: Signal,
    pub records: u64,
    pub body: Body,
    /// Of the file that it is in: one that is made anew counts its batches anew.
    pub(super) generation: u32,
}

/// The queue. One process has it at a time.
pub struct Spool {
    connection: Connection,
    path: PathBuf,
    limits: Limits,
    instance: String,
    /// How often the file was made anew.
    generation: u32,
    /// It is with the backend: it may be there already, so it is not dropped.
    in_flight: Option<i64>,
    /// Counts that could not be written yet, by signal.
    unsaved: [Counters; 2],
    /// Where a damaged file was put, until that was said.
    put_aside: Option<PathBuf>,
    clock: fn() -> u64,
    /// Held as long as the spool is open.
    _lock: file::Lock,
}

/// Bytes of a batch in the file besides its body.
const OVERHEAD: u64 = 64;

impl Spool {
    /// Opens the file, or makes it: mode 0600, in a directory of mode 0700. What is no spool is put aside, see
    /// [`Spool::put_aside`].
    ///
    /// # Errors
    ///
    /// The file cannot be made or read, or another process has it.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, Error> {
        let lock = file::Lock::take(path)?;
        let (connection, put_aside) = match file::open(path, limits.max_bytes) {
            Ok(connection) => (connection, None),
            Err(error) if error.is_damage() => {
                let aside = file::put_aside(path)?;
                (file::open(path, limits.max_bytes)?, Some(aside))
            }
            Err(error) => return Err(error),
        };
        let instance = file::instance(&connection)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            limits,
            instance,
            generation: 0,
            in_flight: None,
            unsaved: Default::default(),
            put_aside,
            clock: unix_ns,
            _lock: lock,
        })
    }

    /// Reads all that waits, while the agent writes.
    ///
    /// # Errors
    ///
    /// There is no spool.
    pub fn read_only(path: &Path) -> Result<ReadOnly, Error> {
        ReadOnly::open(path)
    }

    /// Where a damaged file is now, which was to be opened or used; once. What waited in it is counted as dropped if
    /// that was known.
    pub fn put_aside(&mut self) -> Option<PathBuf> {
        self.put_aside.take()
    }

    /// Names this spool among all others.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Names for so many records.
    ///
    /// # Errors
    ///
    /// They cannot be written down.
    pub fn reserve(&mut self, count: u64) -> Result<Uids, Error> {
        let count = i64::try_from(count).unwrap_or(i64::MAX / 2);
        let next: i64 = self.guarded(|spool| {
            spool.connection.query_row(
                "UPDATE about SET next_uid = next_uid + ?1 RETURNING next_uid - ?1",
                [count],
                |row| row.get(0),
            )
        })?;
        let next = u64::try_from(next).unwrap_or_default();
        Ok(Uids::new(
            &self.instance,
            next,
            next.saturating_add(count.unsigned_abs()),
        ))
    }

    /// Keeps a batch. Gives how many records were dropped for it, or with it.
    ///
    /// # Errors
    ///
    /// It cannot be written; it is counted as dropped then.
    pub fn append(&mut self, batch: &Batch) -> Result<u64, Error> {
        let body = Body::compress(&batch.body);
        let now = (self.clock)();
        let result = self.guarded(|spool| spool.try_append(batch, &body, now));
        if result.is_err() {
            let unsaved = &mut self.unsaved[number(batch.signal) as usize];
            unsaved.written += batch.records;
            unsaved.dropped.full += batch.records;
        }
        result
    }

    fn try_append(&mut self, batch: &Batch, body: &Body, now: u64) -> rusqlite::Result<u64> {
        // More than one at a time where the file is at its end for another reason than its batches.
        let mut most = self.limits.max_bytes;
        loop {
            match self.append_within(batch, body, now, most) {
                Err(error) if error::is_full(&error) && most > 0 => most /= 2,
                result => return result,
            }
        }
    }

    fn append_within(&mut self, batch: &Batch, body: &Body, now: u64, most: u64) -> rusqlite::Result<u64> {
        let len = body.bytes.len() as u64 + OVERHEAD;
        let oldest = now.saturating_sub(self.limits.max_age.as_nanos().try_into().unwrap_or(u64::MAX));
        let in_flight = self.in_flight.unwrap_or(-1);
        let transaction = immediate(&mut self.connection)?;
        save(&transaction, &self.unsaved)?;
        let mut dropped = drop_old(&transaction, oldest, in_flight)?;
        let fits = len <= most;
        if fits {
            dropped += make_room(&transaction, most - len, in_flight)?;
        }
        add(&transaction, batch.signal, "written", batch.records)?;
        if fits {
            transaction.execute(
                "INSERT INTO batches (signal, records, first_ns, last_ns, appended_ns, checksum, bytes, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    number(batch.signal),
                    signed(batch.records),
                    signed(batch.first_ns),
                    signed(batch.last_ns),
                    signed(now),
                    body.checksum(),
                    signed(len),
                    body.bytes
                ],
            )?;
        } else {
            add(&transaction, batch.signal, "full", batch.records)?;
            dropped += batch.records;
        }
        transaction.commit()?;
        self.unsaved = Default::default();
        Ok(dropped)
    }

    /// The oldest batch, which the caller is to send and then to say what became of it: [`Spool::sent`],
    /// [`Spool::refused`] or [`Spool::not_sent`]. `None`: nothing waits.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn oldest(&mut self) -> Result<Option<Waiting>, Error> {
        let waiting = self.guarded(Self::oldest_readable)?;
        self.in_flight = waiting.as_ref().map(|waiting| waiting.id);
        Ok(waiting)
    }

    fn oldest_readable(&mut self) -> rusqlite::Result<Option<Waiting>> {
        let now = (self.clock)();
        let oldest = now.saturating_sub(self.limits.max_age.as_nanos().try_into().unwrap_or(u64::MAX));
        loop {
            let found = reader::after(&self.connection, 0)?;
            let Some(stored) = found else { return Ok(None) };
            let why = match () {
                () if stored.appended_ns < oldest => "old",
                () if !stored.is_whole() => "damaged",
                () => {
                    return Ok(Some(Waiting {
                        id: stored.id,
                        signal: stored.signal,
                        records: stored.records,
                        body: stored.body,
                        generation: self.generation,
                    }));
                }
            };
            let transaction = immediate(&mut self.connection)?;
            forget(&transaction, stored.id, stored.signal, stored.records, why)?;
            transaction.commit()?;
        }
    }

    /// The backend has the batch, but for so many records.
    ///
    /// # Errors
    ///
    /// That cannot be written: the batch will be given again.
    pub fn sent(&mut self, waiting: &Waiting, rejected: u64) -> Result<(), Error> {
        let rejected = rejected.min(waiting.records);
        self.done(waiting, "sent", rejected)
    }

    /// The backend does not want the batch, now or ever.
    ///
    /// # Errors
    ///
    /// That cannot be written: the batch will be given again.
    pub fn refused(&mut self, waiting: &Waiting) -> Result<(), Error> {
        self.done(waiting, "refused", 0)
    }

    /// The backend does not have it; it stays.
    pub fn not_sent(&mut self) {
        self.in_flight = None;
    }

    fn done(&mut self, waiting: &Waiting, what: &'static str, rejected: u64) -> Result<(), Error> {
        self.guarded(|spool| {
            // It went with its file, and is counted as damaged.
            if spool.generation != waiting.generation {
                return Ok(());
            }
            let transaction = immediate(&mut spool.connection)?;
            let there = forget(
                &transaction,
                waiting.id,
                waiting.signal,
                waiting.records - rejected,
                what,
            )?;
            if there {
                add(&transaction, waiting.signal, "refused", rejected)?;
            }
            transaction.commit()?;
            file::shrink(&spool.connection)
        })?;
        self.in_flight = None;
        Ok(())
    }

    /// What became of the records of a signal.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn counters(&mut self, signal: Signal) -> Result<Counters, Error> {
        let mut counters = self.guarded(|spool| counters(&spool.connection, signal))?;
        let unsaved = &self.unsaved[number(signal) as usize];
        counters.written += unsaved.written;
        counters.dropped.full += unsaved.dropped.full;
        counters.dropped.damaged += unsaved.dropped.damaged;
        counters.sent += unsaved.sent;
        counters.dropped.old += unsaved.dropped.old;
        counters.dropped.refused += unsaved.dropped.refused;
        Ok(counters)
    }

    /// Does it, in a new file if it turns out that this one is damaged.
    fn guarded<T>(&mut self, act: impl Fn(&mut Self) -> rusqlite::Result<T>) -> Result<T, Error> {
        match act(self).map_err(|error| Error::of(&self.path, error)) {
            Err(error) if error.is_damage() => {
                self.renew()?;
                act(self).map_err(|error| Error::of(&self.path, error))
            }
            result => result,
        }
    }

    /// Puts the file aside and goes on with a new one, which has the counts of the old one as far as they can be read.
    fn renew(&mut self) -> Result<(), Error> {
        for signal in SIGNALS {
            let Ok(mut known) = counters(&self.connection, signal) else {
                continue;
            };
            known.dropped.damaged += known.waiting;
            self.unsaved[number(signal) as usize].join(&known);
        }
        // Closes the file; errors of a damaged one do not matter.
        self.connection = Connection::open_in_memory().map_err(|error| Error::of(&self.path, error))?;
        self.put_aside = Some(file::put_aside(&self.path)?);
        self.generation += 1;
        self.in_flight = None;
        self.connection = file::open(&self.path, self.limits.max_bytes)?;
        self.instance = file::instance(&self.connection)?;
        Ok(())
    }
}

impl Counters {
    /// Adds what is written down of other counts.
    fn join(&mut self, other: &Self) {
        self.written += other.written;
        self.sent += other.sent;
        self.dropped.full += other.dropped.full;
        self.dropped.old += other.dropped.old;
        self.dropped.refused += other.dropped.refused;
        self.dropped.damaged += other.dropped.damaged;
    }
}

#[cfg(test)]
#[path = "../spool_tests.rs"]
mod tests;
