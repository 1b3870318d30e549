//! Random numbers drawn.

use super::super::Effect;
use super::parts::{GIVEN, NONE, call, leaf};

#[rustfmt::skip]
pub static TABLE: &[Effect] = &[
    leaf(&["_random.Random.random"], "random.read"),
    call(&["_random.Random.getrandbits"], "random.read", NONE),
    call(&["_random.Random.seed"], "random.seed", NONE),
    call(&["_random.Random.setstate"], "random.seed", NONE),
    call(&["posix.urandom"], "random.read", NONE).with_data(GIVEN),
    call(&["posix.getrandom"], "random.read", NONE).with_data(GIVEN),
    call(&["_ssl.RAND_bytes"], "random.read", NONE),
    call(&["_random.Random.__init__"], "random.seed", NONE),
    call(&["_random.Random.jumpahead"], "random.seed", NONE),
    call(&["_ssl.RAND_add"], "random.seed", NONE),
    call(&["_ssl.RAND_pseudo_bytes"], "random.read", NONE),
    call(&["_uuid.generate_time_safe"], "random.read", NONE),
];
