//! What leaves the host: events as OpenTelemetry log records (`record`), what is hidden of them (`redact`), and the way
//! to the backend by OTLP.
//!
//! A record is made once, where the event is; everything behind that only carries it. So nothing that may not leave
//! is ever in a record.

mod attributes;
#[cfg(test)]
#[path = "backend_tests.rs"]
mod backend;
pub mod batch;
pub mod environment;
pub mod metrics;
pub mod record;
pub mod redact;
pub mod resource;
pub mod sender;
pub mod spool;
mod target;
