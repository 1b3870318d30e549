//! What a person sees or types, and the system log.

use super::super::Effect;
use super::parts::{DATA, FD_POSITIONAL, GIVEN, NONE, call};

#[rustfmt::skip]
pub static TABLE: &[Effect] = &[
    call(&["builtins.print"], "console.print", NONE).with_data(DATA),
    call(&["builtins.input"], "console.input", NONE).with_data(GIVEN),
    call(&["sys.displayhook"], "console.print", NONE),
    call(&["sys.excepthook"], "console.print", NONE),
    call(&["sys.unraisablehook"], "console.print", NONE),
    call(&["_thread._excepthook"], "console.print", NONE),
    call(&["termios.tcsetattr"], "console.tty", FD_POSITIONAL),
    call(&["termios.tcsetwinsize"], "console.tty", FD_POSITIONAL),
    call(&["termios.tcflush"], "console.tty", FD_POSITIONAL),
    call(&["termios.tcflow"], "console.tty", FD_POSITIONAL),
    call(&["termios.tcsendbreak"], "console.tty", FD_POSITIONAL),
    call(&["termios.tcdrain"], "console.tty", FD_POSITIONAL),
    call(&["posix.tcsetpgrp"], "console.tty", FD_POSITIONAL),
    call(&["syslog.syslog"], "console.syslog", NONE),
    call(&["syslog.openlog"], "console.syslog", NONE),
    call(&["__builtin__.raw_input"], "console.input", NONE),
    call(&["syslog.closelog"], "console.syslog", NONE),
    call(&["syslog.setlogmask"], "console.syslog", NONE),
    call(&["faulthandler.dump_traceback"], "console.print", NONE),
    call(&["faulthandler.dump_c_stack"], "console.print", NONE).since(14),
    call(&["_asyncio.Task.print_stack"], "console.print", NONE),
];
