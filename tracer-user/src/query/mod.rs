//! Questions about effects, of one recording or of a fleet: one table, `effects` ([`effect`]), from whatever source.
//!
//! Rows are made of OpenTelemetry log records ([`rows`]), so that a recording, the agent's spool, a file of the
//! Collector and ClickHouse give the same answers. On one machine SQLite holds the table ([`store`]); over a fleet
//! ClickHouse does, behind the user's Collector ([`clickhouse`]), and the view that makes the rows there is in
//! `clickhouse/*.sql`. [`questions`] are SQL that all of these understand, with named parameters ([`parameter`]).

pub mod answer;
pub mod clickhouse;
pub mod effect;
pub mod engine;
pub mod http;
pub mod lines;
pub mod parameter;
pub mod print;
pub mod questions;
pub mod rows;
pub mod store;

pub use answer::{Answer, Cell};
pub use engine::Engine;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// What was asked cannot be: a parameter is missing or is none.
    #[error("{0}")]
    Asked(String),
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("line {line}: not OTLP/JSON: {why}")]
    Line { line: u64, why: String },
    #[error("cannot read: {0}")]
    Read(#[from] std::io::Error),
    /// The server could not be asked, or its answer is none.
    #[error("{0}")]
    Server(String),
    /// What ClickHouse itself says.
    #[error("ClickHouse: {0}")]
    ClickHouse(String),
}
