//! Which C functions exist in a process ([`discover`]), what effect each has ([`effects`]),
//! which of them the user asked for ([`select`]), and the catalogue as people read it ([`reference`]).

pub mod discover;
pub mod effects;
pub mod reference;
pub mod select;
