//! What can go wrong with a spool.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;
use thiserror::Error;

/// Why a spool cannot be used.
#[derive(Debug, Error)]
pub enum Error {
    #[error("the spool {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("the spool {}: {error}", path.display())]
    Sqlite { path: PathBuf, error: rusqlite::Error },
    #[error("the spool {} is used by another process; end it, or name another file", .0.display())]
    InUse(PathBuf),
    #[error("{} is no spool that this version can use", .0.display())]
    Foreign(PathBuf),
}

impl Error {
    pub(super) fn of(path: &Path, error: rusqlite::Error) -> Self {
        Self::Sqlite {
            path: path.to_owned(),
            error,
        }
    }

    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            error,
        }
    }

    /// Whether the file itself is what is wrong.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite { error, .. } => {
                matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                ) || is_other_schema(error)
            }
            Self::Foreign(_) => true,
            Self::Io { .. } | Self::InUse(_) => false,
        }
    }
}

/// Tables, columns or values that are not those of a spool.
fn is_other_schema(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        // "no such table".
        rusqlite::Error::SqliteFailure(error, _) => error.code == ErrorCode::Unknown,
        _ => false,
    }
}

/// Whether there was no room, in the file or on the disk.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}
