//! The file of a spool: who may read it, its tables, and what becomes of a damaged one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, OpenFlags};

use super::{super::batch::unix_ns, Error};

/// `PRAGMA application_id`: `PYSP`.
const APPLICATION: i64 = 0x5059_5350;
/// `PRAGMA user_version`: of these tables.
const VERSION: i64 = 1;
/// Bytes of a page, and pages besides those of batches.
const PAGE: i64 = 4096;
const MORE_PAGES: i64 = 2048;
/// Pages without use at which the file is made smaller.
const MANY_FREE: i64 = 1024;
/// Files that SQLite keeps beside a database.
const SIDE_FILES: [&str; 2] = ["-wal", "-shm"];

/// `waiting_bytes` is kept by triggers, so that nobody has to add up.
const TABLES: &str = "
    CREATE TABLE about (instance TEXT NOT NULL, next_uid INTEGER NOT NULL, waiting_bytes INTEGER NOT NULL) STRICT;
    CREATE TABLE counts (
        signal INTEGER NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (signal, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE batches (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        signal INTEGER NOT NULL, records INTEGER NOT NULL,
        first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, appended_ns INTEGER NOT NULL,
        checksum INTEGER NOT NULL, bytes INTEGER NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE TRIGGER came AFTER INSERT ON batches BEGIN
        UPDATE about SET waiting_bytes = waiting_bytes + new.bytes;
    END;
    CREATE TRIGGER went AFTER DELETE ON batches BEGIN
        UPDATE about SET waiting_bytes = waiting_bytes - old.bytes;
    END;
";

/// Only one process has a spool.
pub struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Makes the directory, if there is none, and a file to lock beside the spool.
    pub fn take(path: &Path) -> Result<Self, Error> {
        let fail = |error| Error::io(path, error);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(folder).map_err(fail)?;
        }
        let file = private(&beside(path, ".lock")).map_err(fail)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Self { _file: file }),
            Err((_, nix::Error::EWOULDBLOCK)) => Err(Error::InUse(path.to_owned())),
            Err((_, error)) => Err(fail(error.into())),
        }
    }
}

/// Opens a file that only its owner may read, made if it is not there.
fn private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// The file of that name with something behind it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Opens the database, and makes its tables where there are none.
pub fn open(path: &Path, max_bytes: u64) -> Result<Connection, Error> {
    private(path).map_err(|error| Error::io(path, error))?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let fail = |error| Error::of(path, error);
    let mut connection = Connection::open_with_flags(resolved(path)?, flags).map_err(fail)?;
    set_up(&mut connection, max_bytes).map_err(fail)?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (
        number("application_id").map_err(fail)?,
        number("user_version").map_err(fail)?,
    );
    if (application, version) != (APPLICATION, VERSION) {
        return Err(Error::Foreign(path.to_owned()));
    }
    // Whether the tables are there.
    connection
        .query_row("SELECT next_uid, waiting_bytes FROM about", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .map_err(fail)?;
    Ok(connection)
}

/// `SQLITE_OPEN_NOFOLLOW` forbids links in the whole path, not only in its last part.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    fs::canonicalize(path).map_err(|error| Error::io(path, error))
}

fn set_up(connection: &mut Connection, max_bytes: u64) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    let is_new = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
        row.get::<_, i64>(0)
    })? == 0;
    if is_new {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "page_size", PAGE)?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // What is committed is on the disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "journal_size_limit", 4 * 1024 * 1024, |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    let bytes = i64::try_from(max_bytes / 10 * 11).unwrap_or(i64::MAX);
    let pages = (bytes / PAGE + MORE_PAGES).min(i64::from(u32::MAX - 1));
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    if is_new {
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.execute("INSERT INTO about VALUES (?1, 0, 0)", [random_name()])?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    Ok(())
}

/// 64 random bits; the time, if there are none to be had.
fn random_name() -> String {
    let mut bits = [0; 8];
    let number = match getrandom::fill(&mut bits) {
        Ok(()) => u64::from_ne_bytes(bits),
        Err(_) => unix_ns(),
    };
    format!("{number:016x}")
}

/// Names this spool among all others.
pub fn instance(connection: &Connection) -> Result<String, Error> {
    let of = |error| Error::of(Path::new(connection.path().unwrap_or_default()), error);
    connection
        .query_row("SELECT instance FROM about", [], |row| row.get(0))
        .map_err(of)
}

/// Gives room back that nothing uses any more.
pub fn shrink(connection: &Connection) -> rusqlite::Result<()> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    if free > MANY_FREE
        && connection.query_row("SELECT waiting_bytes = 0 FROM about", [], |row| row.get(0))?
    {
        let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}

/// Puts a file that cannot be used where somebody can look at it: `spool.sqlite.damaged-TIME`. Of those only the newest
/// one is kept.
pub fn put_aside(path: &Path) -> Result<PathBuf, Error> {
    let fail = |error| Error::io(path, error);
    let prefix = beside(path, ".damaged-");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    for entry in fs::read_dir(folder.unwrap_or(Path::new("."))).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let is_older = match (
            entry.file_name().to_str(),
            prefix.file_name().and_then(|name| name.to_str()),
        ) {
            (Some(name), Some(prefix)) => name.starts_with(prefix),
            _ => false,
        };
        if is_older {
            fs::remove_file(entry.path()).map_err(fail)?;
        }
    }
    let aside = beside(&prefix, &(unix_ns() / 1_000_000_000).to_string());
    fs::rename(path, &aside).map_err(fail)?;
    for ending in SIDE_FILES {
        match fs::rename(beside(path, ending), beside(&aside, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
    }
    Ok(aside)
}
