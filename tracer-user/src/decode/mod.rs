//! From wire records to values and calls.

pub mod names;
