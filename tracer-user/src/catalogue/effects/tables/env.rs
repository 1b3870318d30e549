//! What the whole process shares.

use super::super::Effect;
use super::parts::{ENV, FD, NONE, PATH, call};

#[rustfmt::skip]
pub static TABLE: &[Effect] = &[
    call(&["posix.putenv"], "env.set", ENV),
    call(&["posix.unsetenv"], "env.unset", ENV),
    call(&["posix.chdir"], "env.chdir", PATH),
    call(&["posix.fchdir"], "env.chdir", FD),
    call(&["posix.chroot"], "env.chroot", PATH),
    call(&["posix.umask"], "env.umask", NONE),
    call(&["time.tzset"], "env.tzset", NONE),
    call(&["time.clock_settime"], "env.clock", NONE),
    call(&["time.clock_settime_ns"], "env.clock", NONE),
    call(&["posix._clearenv"], "env.unset", NONE).since(15),
    call(&["posix._create_environ"], "env.read", NONE).since(14),
    call(&["_locale.setlocale"], "env.locale", NONE),
];
