//! Why a sender cannot be made of its settings.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why settings cannot be followed.
#[derive(Debug, Error)]
pub enum Error {
    #[error("`{endpoint}` is no endpoint: {why}; write one like \"http://127.0.0.1:4317\"")]
    Endpoint { endpoint: String, why: String },
    #[error(
        "`{0}` is no header that can be sent: its name, or its value, has characters that headers may not have"
    )]
    Header(String),
    #[error("cannot read {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("a client's certificate needs both `cert` and `key`")]
    HalfIdentity,
}
