//! The garbage collector.

use super::super::Effect;
use super::parts::{NONE, call, leaf};

#[rustfmt::skip]
pub static TABLE: &[Effect] = &[
    call(&["gc.collect"], "gc.collect", NONE),
    leaf(&["gc.enable"], "gc.control"),
    leaf(&["gc.disable"], "gc.control"),
    call(&["gc.freeze"], "gc.control", NONE),
    call(&["gc.unfreeze"], "gc.control", NONE),
    call(&["gc.set_threshold"], "gc.control", NONE),
    call(&["gc.get_objects"], "gc.inspect", NONE),
    call(&["gc.get_referents"], "gc.inspect", NONE),
    call(&["gc.get_referrers"], "gc.inspect", NONE),
    call(&["gc.set_debug"], "gc.control", NONE),
];
