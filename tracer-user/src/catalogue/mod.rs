//! Which C functions exist in a process ([`discover`]), what effect each has ([`effects`]),
//! and which of them the user asked for ([`select`]).

pub mod discover;
pub mod effects;
pub mod select;
