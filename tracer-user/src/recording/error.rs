//! Why a recording cannot be read.

use thiserror::Error;

use super::VERSION;

/// Why a recording cannot be read. Offsets are bytes from the start of the file.
#[derive(Debug, Error)]
pub enum RecordingError {
    #[error("it is not a recording of pytrace-ebpf")]
    NotARecording,
    #[error(
        "it has version {0} of the format, and this pytrace-ebpf reads version {VERSION}; use the pytrace-ebpf that wrote it, or a newer one"
    )]
    Version(u32),
    #[error("it is damaged: the block at offset {offset} {what}")]
    Block { offset: u64, what: &'static str },
    #[error("it is damaged: in the block at offset {offset}, {what}")]
    Item { offset: u64, what: String },
    #[error("it ends before the tracer had attached: there are no events in it")]
    Empty,
    #[error("cannot read it at offset {offset}: {source}")]
    Read { offset: u64, source: std::io::Error },
}
