//! What the fuzzer calls (`fuzz/`): one function for each thing that is read of a process or a file that may be made to
//! harm. They are there for the fuzzer and for this crate's tests only, and may panic where what they call is wrong.

pub(crate) mod image;
pub(crate) mod input;
mod lines;
mod printer;
mod recording;
mod records;
#[cfg(test)]
mod seeds;
mod sites;
#[cfg(test)]
mod tests;
mod walk;

pub use lines::lines;
pub use recording::recording;
pub use records::records;
pub use sites::sites;
pub use walk::walk;

/// A function that takes what the fuzzer made.
pub type Target = fn(&[u8]);

/// Every target by its name in `fuzz/Cargo.toml`.
pub const TARGETS: [(&str, Target); 5] = [
    ("lines", lines),
    ("recording", recording),
    ("records", records),
    ("sites", sites),
    ("walk", walk),
];
