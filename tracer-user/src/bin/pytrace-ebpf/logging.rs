//! The tool's own diagnostics, on standard error: `-v` informs, `-vv` debugs. The kernel half's
//! come through aya-log.

use std::{fmt::Arguments, os::fd::AsFd as _};

use aya_log::EbpfLogger;
use log::{Level, LevelFilter, Log, Metadata, Record};
use tracer_user::{
    attach::{Kernel, Readiness},
    sink::escape::plainly,
};

struct Stderr;

/// [`print`] with a format.
macro_rules! say {
    ($($format:tt)*) => {
        $crate::logging::print(format_args!($($format)*))
    };
}
pub(crate) use say;

/// One line on standard error. Names in it may be the traced process's: what orders a terminal about is escaped.
pub fn print(line: Arguments<'_>) {
    eprintln!("pytrace-ebpf: {}", plainly(&line.to_string()));
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        };
        print(format_args!("{level}{}", record.args()));
    }

    fn flush(&self) {}
}

/// Starts logging; `verbose` counts the `-v`s.
pub fn start(verbose: u8) {
    let filter = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(filter);
    }
}

/// Prints what the kernel half logs, if asked for.
pub fn kernel(kernel: &mut Kernel, verbose: u8) {
    if verbose == 0 {
        return;
    }
    let mut logger = match EbpfLogger::init(kernel.ebpf_mut()) {
        Ok(logger) => logger,
        Err(error) => return log::info!("the kernel half's log cannot be read: {error}"),
    };
    let Ok(readiness) = logger.as_fd().try_clone_to_owned().and_then(Readiness::new) else {
        return;
    };
    tokio::spawn(async move {
        while readiness.readable().await.is_ok() {
            logger.flush();
        }
    });
}
