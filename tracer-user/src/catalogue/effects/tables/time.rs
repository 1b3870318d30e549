//! Clocks read and time waited.

use super::super::Effect;
use super::parts::{NONE, call, leaf};

#[rustfmt::skip]
pub static TABLE: &[Effect] = &[
    call(&["time.sleep"], "time.sleep", NONE),
    leaf(&["time.time"], "time.read"),
    leaf(&["time.time_ns"], "time.read"),
    leaf(&["time.monotonic"], "time.read"),
    leaf(&["time.monotonic_ns"], "time.read"),
    leaf(&["time.perf_counter"], "time.read"),
    leaf(&["time.perf_counter_ns"], "time.read"),
    leaf(&["time.process_time"], "time.read"),
    leaf(&["time.process_time_ns"], "time.read"),
    leaf(&["time.thread_time"], "time.read"),
    leaf(&["time.thread_time_ns"], "time.read"),
    call(&["time.clock_gettime"], "time.read", NONE),
    call(&["time.clock_gettime_ns"], "time.read", NONE),
    call(&["time.localtime"], "time.read", NONE),
    call(&["time.gmtime"], "time.read", NONE),
    call(&["select.select"], "time.wait", NONE),
    call(&["select.poll.poll"], "time.wait", NONE),
    call(&["select.epoll.poll"], "time.wait", NONE),
    call(&["_signal.pause"], "time.wait", NONE),
    call(&["_signal.sigwait"], "time.wait", NONE),
    call(&["_signal.sigwaitinfo"], "time.wait", NONE),
    call(&["_signal.sigtimedwait"], "time.wait", NONE),
    call(&["time.ctime"], "time.read", NONE),
    call(&["time.asctime"], "time.read", NONE),
    call(&["time.strftime"], "time.read", NONE),
    call(&["time.clock"], "time.read", NONE),
    call(&["posix.times"], "time.read", NONE),
    call(&["resource.getrusage"], "time.read", NONE),
    call(&["datetime.datetime.now"], "time.read", NONE),
    call(&["datetime.datetime.utcnow"], "time.read", NONE),
    call(&["datetime.date.today"], "time.read", NONE),
    call(&["posix.timerfd_create"], "time.timer", NONE),
    call(&["posix.timerfd_settime"], "time.timer", NONE),
    call(&["posix.timerfd_settime_ns"], "time.timer", NONE),
];
