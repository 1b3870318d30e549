//! Which C functions exist in a process ([`discover`]) and what effect each has ([`effects`]).

pub mod discover;
pub mod effects;
