//! The user half of pytrace-ebpf, room by room along the data flow of DESIGN.md:
//!
//! pid → [`process`] → [`cpython`] → [`catalogue`] → [`sites`] → [`attach`] ⇒ kernel ⇒
//! [`decode`] (wire record → values, entry and return paired) → [`event`] → [`sink`].
//!
//! A [`profile`] adds up stacks. A [`recording`] keeps what comes out of the kernel, and enters again at [`decode`].
//! A [`query`] asks what was exported.

pub mod attach;
pub mod attribution;
pub mod budget;
pub mod bytecode;
pub mod catalogue;
pub mod cpython;
pub mod decode;
pub mod event;
pub mod export;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod process;
pub mod profile;
pub mod query;
pub mod recording;
pub mod sink;
pub mod sites;
pub mod testgen;
