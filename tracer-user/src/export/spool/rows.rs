//! Rows of the tables, in transactions.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::Counters;
use crate::export::batch::Signal;

/// Number of a signal in the file.
pub fn number(signal: Signal) -> i64 {
    match signal {
        Signal::Logs => 0,
        Signal::Metrics => 1,
    }
}

/// The signal of such a number.
pub fn signal_of(number: i64) -> Signal {
    match number {
        1 => Signal::Metrics,
        _ => Signal::Logs,
    }
}

/// Both of them.
pub const SIGNALS: [Signal; 2] = [Signal::Logs, Signal::Metrics];

/// SQLite has no unsigned numbers; no count or time comes near the limit.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub fn immediate(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Adds to a count.
pub fn add(transaction: &Transaction<'_>, signal: Signal, name: &str, count: u64) -> rusqlite::Result<()> {
    if count != 0 {
        transaction.execute(
            "INSERT INTO counts (signal, name, count) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
            params![number(signal), name, signed(count)],
        )?;
    }
    Ok(())
}

pub fn save(transaction: &Transaction<'_>, unsaved: &[Counters; 2]) -> rusqlite::Result<()> {
    for signal in SIGNALS {
        let counters = &unsaved[number(signal) as usize];
        for (name, count) in [
            ("written", counters.written),
            ("sent", counters.sent),
            ("full", counters.dropped.full),
            ("old", counters.dropped.old),
            ("refused", counters.dropped.refused),
            ("damaged", counters.dropped.damaged),
        ] {
            add(transaction, signal, name, count)?;
        }
    }
    Ok(())
}

/// Takes a batch out and counts its records; whether it was there.
pub fn forget(
    transaction: &Transaction<'_>,
    id: i64,
    signal: Signal,
    records: u64,
    why: &str,
) -> rusqlite::Result<bool> {
    let there = transaction.execute("DELETE FROM batches WHERE id = ?1", [id])? == 1;
    if there {
        add(transaction, signal, why, records)?;
    }
    Ok(there)
}

/// Drops batches that are too old; how many records.
pub fn drop_old(transaction: &Transaction<'_>, oldest: u64, but: i64) -> rusqlite::Result<u64> {
    let mut dropped = 0;
    loop {
        let found = head(transaction, but)?;
        let Some((id, signal, records, _)) = found.filter(|(.., appended)| *appended < oldest) else {
            return Ok(dropped);
        };
        forget(transaction, id, signal, records, "old")?;
        dropped += records;
    }
}

/// Drops the oldest batches until those that are left have so many bytes at most; how many records.
pub fn make_room(transaction: &Transaction<'_>, most: u64, but: i64) -> rusqlite::Result<u64> {
    let mut dropped = 0;
    while waiting_bytes(transaction)? > most {
        let Some((id, signal, records, _)) = head(transaction, but)? else {
            break;
        };
        forget(transaction, id, signal, records, "full")?;
        dropped += records;
    }
    Ok(dropped)
}

/// The oldest batch but one: id, signal, records, and when it came.
pub fn head(transaction: &Transaction<'_>, but: i64) -> rusqlite::Result<Option<(i64, Signal, u64, u64)>> {
    transaction
        .query_row(
            "SELECT id, signal, records, appended_ns FROM batches WHERE id <> ?1 ORDER BY id LIMIT 1",
            [but],
            |row| {
                Ok((
                    row.get(0)?,
                    signal_of(row.get(1)?),
                    unsigned(row.get(2)?),
                    unsigned(row.get(3)?),
                ))
            },
        )
        .optional()
}

pub fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub fn waiting_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT waiting_bytes FROM about", [], |row| {
        Ok(unsigned(row.get(0)?))
    })
}

pub fn counters(connection: &Connection, signal: Signal) -> rusqlite::Result<Counters> {
    let mut counters = Counters::default();
    let mut statement = connection.prepare("SELECT name, count FROM counts WHERE signal = ?1")?;
    let mut rows = statement.query([number(signal)])?;
    while let Some(row) = rows.next()? {
        let count = unsigned(row.get(1)?);
        match row.get_ref(0)?.as_str().unwrap_or_default() {
            "written" => counters.written = count,
            "sent" => counters.sent = count,
            "full" => counters.dropped.full = count,
            "old" => counters.dropped.old = count,
            "refused" => counters.dropped.refused = count,
            "damaged" => counters.dropped.damaged = count,
            _ => {}
        }
    }
    counters.waiting = counters
        .written
        .saturating_sub(counters.sent)
        .saturating_sub(counters.dropped.all());
    counters.bytes = waiting_bytes(connection)?;
    Ok(counters)
}
