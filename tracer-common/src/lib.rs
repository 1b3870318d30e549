//! What the kernel half (`tracer-ebpf`) and the user half (`tracer-user`) agree on.
//!
//! `no_std`, no allocation: everything here runs inside the BPF verifier's rules and,
//! unchanged, in unit tests on the host.
//!
//! - [`activation`]: where runs of Python functions begin and end.
//! - [`aggregate`]: calls that are added up in the kernel.
//! - [`attribution`]: the asyncio task and the span that a call belongs to.
//! - [`cookie`]: what a probe knows about its site, in 64 bits.
//! - [`target`]: one traced process: where its interpreter's objects are and how they look.
//! - [`wire`]: the records that cross the ring buffer.
//! - [`counters`]: hits, delivered, dropped … per site.
//! - [`encode`]: copies Python objects into a record.
//! - [`guard`]: where a specialised bytecode is probed, and where its operands are there.
//! - [`handle`]: what a file descriptor stands for.
//! - [`watch`]: what happens to processes: exec, fork, modules loaded.
//! - [`load`]: extension modules that are executed, and what they bring.
//! - [`limits`]: the bounds both sides keep.
//! - [`open`]: calls in progress.
//! - [`rate`]: some of many calls.
//! - [`sample`]: where threads are when a clock ticks.
//! - [`filter`]: calls that are left out in the kernel.
//! - [`fingerprint`]: how a lazily resolved object is recognised as the one that was seen.
#![no_std]

pub mod activation;
pub mod aggregate;
pub mod attribution;
pub mod budget;
pub mod cookie;
pub mod counters;
pub mod encode;
pub mod filter;
pub mod fingerprint;
pub mod guard;
pub mod handle;
pub mod limits;
pub mod load;
pub mod open;
pub mod rate;
pub mod sample;
pub mod share;
pub mod target;
pub mod watch;
pub mod wire;
