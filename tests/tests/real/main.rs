//! Real programs: what they, their peers and their servers say happened is what the trace has to show, no more and no
//! less.

mod aio;
mod buffers;
mod http;
mod postgres;
mod processes;
mod spans;
mod tls;
mod tools;
