//! Recordings: a trace in a file, to be printed again later, with other filters, in other formats.
//!
//! A file is `MAGIC`, the version (u32) and four zero bytes, then [`block`]s; a block holds whole
//! [`item`]s. Everything is little endian. The file only grows; what a killed tracer leaves is readable up to
//! its last whole block.
//!
//! Records are kept as they came from the kernel. The names that they need (of types, modules and code
//! objects) are read while the traced process is there, and stand before the first record that needs them.
//! So a reader goes through a file once, from start to end.

pub mod block;
mod error;
pub mod item;
mod names;
mod reader;
mod recorder;
mod site;
#[cfg(test)]
pub(crate) mod tests;

pub use error::RecordingError;
pub use names::RecordedNames;
pub use reader::{Happened, Reader, Torn};
pub use recorder::Recorder;

/// How a recording begins.
pub const MAGIC: [u8; 8] = *b"pytrace\n";
/// Version of the format that this code writes, and the only one it reads.
pub const VERSION: u32 = 2;
/// Bytes before the first block.
pub const FILE_HEADER: usize = 16;
