use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{test_folder::Folder, *};
use crate::export::{batch::Batcher, resource};

const LIMITS: Limits = Limits {
    max_bytes: 1 << 20,
    max_age: Duration::from_secs(3600),
};

fn open(folder: &Folder) -> Spool {
    Spool::open(&folder.spool(), LIMITS).unwrap()
}

/// A batch of as many records, with a body that does not compress.
fn batch(records: u64, len: usize) -> Batch {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64 ^ records;
    let body = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    });
    Batch {
        signal: Signal::Logs,
        records,
        first_ns: 1,
        last_ns: 2,
        body: body.take(len).collect(),
    }
}

/// Takes one out as sent; its records.
fn send(spool: &mut Spool) -> Option<u64> {
    let waiting = spool.oldest().unwrap()?;
    spool.sent(&waiting, 0).unwrap();
    Some(waiting.records)
}

fn logs(spool: &mut Spool) -> Counters {
    let counters = spool.counters(Signal::Logs).unwrap();
    assert_eq!(
        counters.written,
        counters.sent + counters.dropped.all() + counters.waiting
    );
    counters
}

#[test]
fn what_comes_first_goes_first_and_is_counted() {
    let folder = Folder::new();
    let mut spool = open(&folder);
    for records in 1..=3 {
        assert_eq!(spool.append(&batch(records, 100)).unwrap(), 0);
    }
    let first = spool.oldest().unwrap().unwrap();
    assert_eq!(first.body.request().unwrap(), batch(1, 100).body);
    assert_eq!(
        spool.oldest().unwrap(),
        Some(first),
        "until one says what became of it"
    );
    spool.not_sent();
    assert_eq!(send(&mut spool), Some(1));
    let second = spool.oldest().unwrap().unwrap();
    spool.sent(&second, 1).unwrap();
    let third = spool.oldest().unwrap().unwrap();
    assert_eq!(logs(&mut spool).waiting, 3);
    spool.refused(&third).unwrap();
    assert_eq!(spool.oldest().unwrap(), None);
    let counters = logs(&mut spool);
    assert_eq!(
        (counters.written, counters.sent, counters.dropped.refused),
        (6, 2, 4)
    );
    assert_eq!((counters.waiting, counters.bytes), (0, 0));
    assert_eq!(spool.counters(Signal::Metrics).unwrap(), Counters::default());
}

#[test]
fn it_is_as_it_was_after_a_restart() {
    let folder = Folder::new();
    let mut spool = open(&folder);
    let instance = spool.instance().to_owned();
    assert_eq!(instance.len(), 16);
    assert_eq!(spool.reserve(10).unwrap().left(), 10);
    spool.append(&batch(1, 100)).unwrap();
    spool.append(&batch(2, 100)).unwrap();
    assert_eq!(send(&mut spool), Some(1));
    let before = logs(&mut spool);
    drop(spool);
    let mut spool = open(&folder);
    assert_eq!(spool.put_aside(), None);
    assert_eq!(spool.instance(), instance);
    assert_eq!(logs(&mut spool), before);
    assert_eq!(send(&mut spool), Some(2));
    assert_eq!(send(&mut spool), None);
    // Numbers that were reserved are not given again.
    let mut batcher = Batcher::new(spool.reserve(1).unwrap());
    let resource = std::sync::Arc::new(resource::of(Vec::new()));
    batcher.push(&resource, &Default::default(), std::time::Instant::now());
    spool.append(&batcher.flush().unwrap()).unwrap();
    let stored = Spool::read_only(&folder.spool())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert!(format!("{:?}", stored.logs()).contains(&format!("{instance}-a")));
}

#[test]
fn a_crash_loses_nothing() {
    let folder = Folder::new();
    let mut spool = open(&folder);
    for records in 1..=3 {
        spool.append(&batch(records, 50_000)).unwrap();
    }
    assert_eq!(send(&mut spool), Some(1));
    let _in_flight = spool.oldest().unwrap();
    // What is on the disk at this moment.
    let copy = Folder::new();
    fs::create_dir(copy.0.join("state")).unwrap();
    for name in folder.names() {
        fs::copy(
            folder.0.join("state").join(&name),
            copy.0.join("state").join(&name),
        )
        .unwrap();
    }
    let mut after = open(&copy);
    assert_eq!(logs(&mut after).waiting, 5);
    assert_eq!(
        [send(&mut after), send(&mut after), send(&mut after)],
        [Some(2), Some(3), None]
    );
}

#[test]
fn the_oldest_are_dropped_where_there_is_no_room_but_not_what_is_on_its_way() {
    let folder = Folder::new();
    let mut spool = open(&folder);
    for records in 1..=4 {
        assert_eq!(spool.append(&batch(records, 250_000)).unwrap(), 0);
    }
    let on_its_way = spool.oldest().unwrap().unwrap();
    assert_eq!(spool.append(&batch(5, 250_000)).unwrap(), 2);
    assert_eq!(spool.append(&batch(6, 500_000)).unwrap(), 3 + 4);
    spool.sent(&on_its_way, 0).unwrap();
    // Larger than all that there may be.
    assert_eq!(spool.append(&batch(7, 2_000_000)).unwrap(), 7);
    assert_eq!(logs(&mut spool).dropped.full, 2 + 3 + 4 + 7);
    assert_eq!(
        [send(&mut spool), send(&mut spool), send(&mut spool)],
        [Some(5), Some(6), None]
    );
    assert_eq!(logs(&mut spool).sent, 12);
    let len = fs::metadata(folder.spool()).unwrap().len();
    assert!(len < 2 << 20, "{len}");
}

#[test]
fn what_is_too_old_is_dropped() {
    static NOW: AtomicU64 = AtomicU64::new(1 << 50);
    let folder = Folder::new();
    let mut spool = open(&folder);
    spool.clock = || NOW.load(Ordering::Relaxed);
    let later = |seconds: u64| NOW.fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    spool.append(&batch(1, 100)).unwrap();
    spool.append(&batch(2, 100)).unwrap();
    later(3000);
    spool.append(&batch(3, 100)).unwrap();
    later(1000);
    assert_eq!(spool.oldest().unwrap().unwrap().records, 3);
    spool.not_sent();
    assert_eq!(logs(&mut spool).dropped.old, 3);
    later(3000);
    assert_eq!(spool.append(&batch(4, 100)).unwrap(), 3);
    assert_eq!(logs(&mut spool).dropped.old, 6);
}

#[test]
fn only_its_owner_may_read_it_and_one_may_use_it() {
    let folder = Folder::new();
    let mut spool = open(&folder);
    spool.append(&batch(1, 100)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.0.join("state")), 0o700);
    let names = folder.names();
    assert_eq!(
        names,
        [
            "spool.sqlite",
            "spool.sqlite-shm",
            "spool.sqlite-wal",
            "spool.sqlite.lock"
        ]
    );
    for name in names {
        assert_eq!(mode(&folder.0.join("state").join(&name)), 0o600, "{name}");
    }
    let error = Spool::open(&folder.spool(), LIMITS).map(drop).unwrap_err();
    assert!(matches!(error, Error::InUse(_)), "{error}");
    assert!(error.to_string().contains("used by another process"));
    // A link is not followed.
    let link = folder.0.join("state/link.sqlite");
    std::os::unix::fs::symlink(folder.0.join("elsewhere"), &link).unwrap();
    assert!(Spool::open(&link, LIMITS).is_err());
    assert!(!folder.0.join("elsewhere").exists());
}

#[test]
fn what_waits_can_be_read_besides() {
    let folder = Folder::new();
    let mut spool = open(&folder);
    let mut metrics = batch(2, 10);
    metrics.signal = Signal::Metrics;
    metrics.body = Vec::new();
    spool.append(&batch(1, 10)).unwrap();
    spool.append(&metrics).unwrap();
    spool.append(&batch(3, 10)).unwrap();
    let mut reader = Spool::read_only(&folder.spool()).unwrap();
    let first = reader.next().unwrap().unwrap();
    assert_eq!(
        (first.signal, first.records, first.first_ns, first.last_ns),
        (Signal::Logs, 1, 1, 2)
    );
    assert_eq!(
        (first.logs(), first.metrics()),
        (None, None),
        "its body is no message"
    );
    assert_eq!((send(&mut spool), send(&mut spool)), (Some(1), Some(2)));
    assert_eq!(
        reader.next().unwrap().unwrap().records,
        3,
        "what was sent does not come"
    );
    assert!(reader.next().is_none());
    assert_eq!(
        reader.counters(Signal::Logs).unwrap(),
        spool.counters(Signal::Logs).unwrap()
    );
    assert!(Spool::read_only(&folder.0.join("none")).is_err());
    fs::write(folder.0.join("text"), "x".repeat(5000)).unwrap();
    let error = Spool::read_only(&folder.0.join("text")).map(drop).unwrap_err();
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    assert_eq!(spool.append(&metrics).unwrap(), 0);
    // Also where no agent has it.
    drop(spool);
    let mut reader = Spool::read_only(&folder.spool()).unwrap();
    assert!(reader.nth(1).unwrap().unwrap().metrics().is_some());
}

#[test]
fn a_damaged_file_is_put_aside_when_it_is_opened() {
    for damage in [
        &b"this is no database, by far"[..],
        b"SQLite format 3\0 but nothing else",
    ] {
        let folder = Folder::new();
        let mut spool = open(&folder);
        spool.append(&batch(1, 100)).unwrap();
        let instance = spool.instance().to_owned();
        drop(spool);
        let damage = [damage, &[7; 5000]].concat();
        fs::write(folder.spool(), &damage).unwrap();
        let mut spool = open(&folder);
        let aside = spool.put_aside().unwrap();
        assert_eq!(spool.put_aside(), None);
        assert!(
            aside.to_str().unwrap().contains("spool.sqlite.damaged-"),
            "{aside:?}"
        );
        assert_eq!(fs::read(aside).unwrap(), damage);
        assert_ne!(spool.instance(), instance);
        spool.append(&batch(2, 100)).unwrap();
        assert_eq!(send(&mut spool), Some(2));
    }
}

#[test]
fn a_database_of_another_kind_or_version_is_put_aside() {
    for sql in [
        "CREATE TABLE x (y)",
        "PRAGMA user_version = 2",
        "DROP TABLE about",
        "DELETE FROM about",
    ] {
        let folder = Folder::new();
        if sql.starts_with("CREATE") {
            fs::create_dir(folder.0.join("state")).unwrap();
        } else {
            drop(open(&folder));
        }
        let connection = Connection::open(folder.spool()).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        assert!(open(&folder).put_aside().is_some(), "{sql}");
    }
}

#[test]
fn damage_that_shows_later_is_survived_and_counted() {
    let folder = Folder::new();
    let mut spool = open(&folder);
    for records in 1..=5 {
        spool.append(&batch(records, 50_000)).unwrap();
    }
    assert_eq!(send(&mut spool), Some(1));
    spool
        .connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let mut file = fs::read(folder.spool()).unwrap();
    for byte in &mut file[5 * 4096..] {
        *byte = 0xa5;
    }
    fs::write(folder.spool(), &file).unwrap();
    // Another connection does not have the pages in memory.
    drop(spool);
    let mut spool = open(&folder);
    let mut sent = 0;
    while let Some(records) = send(&mut spool) {
        sent += records;
    }
    spool.append(&batch(6, 100)).unwrap();
    assert_eq!(send(&mut spool), Some(6));
    let counters = logs(&mut spool);
    assert_eq!(
        counters.written,
        counters.sent + counters.dropped.damaged,
        "{counters:?} {sent}"
    );
    assert!(spool.put_aside().is_some() || counters.dropped.damaged > 0);
}

#[test]
fn what_is_on_its_way_when_the_file_is_made_anew_is_not_taken_for_another() {
    let folder = Folder::new();
    let mut spool = open(&folder);
    spool.append(&batch(1, 100)).unwrap();
    let waiting = spool.oldest().unwrap().unwrap();
    spool.renew().unwrap();
    spool.append(&batch(2, 100)).unwrap();
    spool.sent(&waiting, 0).unwrap();
    assert_eq!(send(&mut spool), Some(2));
    let counters = logs(&mut spool);
    assert_eq!(
        (counters.written, counters.sent, counters.dropped.damaged),
        (3, 2, 1)
    );
}

#[test]
fn a_batch_whose_bytes_changed_is_dropped() {
    let folder = Folder::new();
    let mut spool = open(&folder);
    spool.append(&batch(1, 1000)).unwrap();
    spool.append(&batch(2, 1000)).unwrap();
    spool
        .connection
        .execute("UPDATE batches SET body = zeroblob(1000) WHERE records = 1", [])
        .unwrap();
    assert_eq!(send(&mut spool), Some(2));
    assert_eq!(logs(&mut spool).dropped.damaged, 1);
}

#[test]
fn what_cannot_be_written_is_counted() {
    let folder = Folder::new();
    let mut spool = open(&folder);
    spool.append(&batch(1, 100_000)).unwrap();
    let pages: i64 = spool
        .connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    let bound = |spool: &Spool, pages: i64| {
        let set = spool
            .connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        set.unwrap();
    };
    // The file is at its end: the oldest batch makes room.
    bound(&spool, pages + 2);
    assert_eq!(spool.append(&batch(2, 50_000)).unwrap(), 1);
    assert_eq!(send(&mut spool), Some(2));
    // The file cannot be written at all.
    spool.connection.pragma_update(None, "query_only", true).unwrap();
    assert!(spool.append(&batch(3, 100)).is_err());
    let counters = logs(&mut spool);
    assert_eq!((counters.written, counters.dropped.full), (6, 4));
    spool.connection.pragma_update(None, "query_only", false).unwrap();
    spool.append(&batch(4, 100)).unwrap();
    drop(spool);
    let counters = logs(&mut open(&folder));
    assert_eq!(
        (counters.written, counters.dropped.full, counters.waiting),
        (10, 4, 4)
    );
}

#[test]
fn of_damaged_files_one_is_kept() {
    let folder = Folder::new();
    for _ in 0..3 {
        drop(open(&folder));
        fs::write(folder.spool(), "x".repeat(5000)).unwrap();
        assert!(open(&folder).put_aside().is_some());
    }
    let damaged = folder.names();
    assert_eq!(
        damaged.iter().filter(|name| name.contains("damaged")).count(),
        1,
        "{damaged:?}"
    );
}

#[test]
fn a_body_that_is_too_large_is_none() {
    let body = Body::compress(&[0; 1000]);
    assert_eq!(body.request_within(999), None);
    assert_eq!(body.request_within(1000).map(|request| request.len()), Some(1000));
    assert_eq!(Body { bytes: vec![1, 2, 3] }.request(), None);
}
