//! From wire records to values and calls.

pub mod attribution;
pub mod handle;
pub mod int;
pub mod linetable;
pub mod names;
pub mod pair;
pub mod path;
pub mod record;
pub mod refs;
pub mod value;
