//! The user half of pytrace-ebpf, room by room along the data flow of DESIGN.md:
//!
//! pid → [`process`] → [`cpython`] → [`catalogue`] → [`sites`] → [`attach`] ⇒ kernel ⇒
//! [`decode`] (wire record → values, entry and return paired) → [`event`] → [`sink`].

pub mod attach;
pub mod catalogue;
pub mod cpython;
pub mod decode;
pub mod event;
pub mod process;
pub mod sink;
pub mod sites;
