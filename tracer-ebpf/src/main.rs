//! The kernel half of pytrace-ebpf.
//!
//! Two programs serve every site: one for entry probes, one for return probes; one more takes samples. Each finds its
//! site in the attach cookie, copies the values that matter into a scratch slot
//! ([`tracer_common::encode`]), and hands the record to the ring buffer. Nothing here waits,
//! and nothing is lost without being counted.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod activation;
mod atomic;
mod attribution;
mod budget;
mod calls;
mod codes;
mod count;
mod filter;
mod handle;
mod load;
mod maps;
mod memory;
mod paths;
mod probe;
mod record;
mod sample;
mod scratch;
mod skip;
mod stack;
mod stat;
mod thread;
mod watch;

use core::ffi::c_void;

use aya_ebpf::{
    macros::{perf_event, raw_tracepoint, uprobe, uretprobe},
    programs::{PerfEventContext, ProbeContext, RawTracePointContext, RetProbeContext},
};

/// Runs at a function's entry (or the first emulated instruction of its prologue).
#[uprobe(sleepable)]
pub fn pytrace_entry(ctx: ProbeContext) -> u32 {
    stack::keep_the_tasks();
    probe::entry(&ctx);
    0
}

/// Runs when the function returns to its caller.
#[uretprobe(sleepable)]
pub fn pytrace_return(ctx: RetProbeContext) -> u32 {
    stack::keep_the_tasks();
    probe::leave(&ctx);
    0
}

/// Both, on kernels with session programs (6.13): the entry decides whether the return is probed (0: it is).
///
/// Not by `#[uprobe]`, which returns 0 whatever it is told.
// SAFETY: the section is what the loader looks for; nothing else defines the name.
#[unsafe(link_section = "uprobe.s")]
#[unsafe(no_mangle)]
pub extern "C" fn pytrace_session(ctx: *mut c_void) -> u32 {
    stack::keep_the_tasks();
    probe::session(&ProbeContext::new(ctx)) as u32
}

/// Runs where an extension module is executed, at entry and return, on kernels with session programs (0: the return is probed).
// SAFETY: as above.
#[unsafe(link_section = "uprobe.s")]
#[unsafe(no_mangle)]
pub extern "C" fn pytrace_load(ctx: *mut c_void) -> u32 {
    stack::keep_the_tasks();
    load::session(&ProbeContext::new(ctx)) as u32
}

/// As [`pytrace_session`], where calls are only added up.
// SAFETY: as above.
#[unsafe(link_section = "uprobe.s")]
#[unsafe(no_mangle)]
pub extern "C" fn pytrace_stat(ctx: *mut c_void) -> u32 {
    stack::keep_the_tasks();
    stat::session(&ProbeContext::new(ctx)) as u32
}

/// As [`pytrace_entry`], where calls are only added up.
#[uprobe(sleepable)]
pub fn pytrace_stat_entry(ctx: ProbeContext) -> u32 {
    stack::keep_the_tasks();
    stat::entry(&ctx);
    0
}

/// As [`pytrace_return`], where calls are only added up.
#[uretprobe(sleepable)]
pub fn pytrace_stat_return(ctx: RetProbeContext) -> u32 {
    stack::keep_the_tasks();
    stat::leave(&ctx);
    0
}

/// Runs where the run of a Python function begins or ends.
#[uprobe(sleepable)]
pub fn pytrace_run(ctx: ProbeContext) -> u32 {
    stack::keep_the_tasks();
    activation::probe(&ctx);
    0
}

/// Runs where a process is to wait, or where something new may have come into it.
#[uprobe]
pub fn pytrace_watch(ctx: ProbeContext) -> u32 {
    stack::keep_the_tasks();
    watch::probe(&ctx);
    0
}

/// `sched_process_exec`: runs in the process that begins another program.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn pytrace_exec(_ctx: RawTracePointContext) -> u32 {
    watch::exec();
    0
}

/// `task_newtask`: runs in the process that forks, before its child runs.
#[raw_tracepoint(tracepoint = "task_newtask")]
pub fn pytrace_fork(ctx: RawTracePointContext) -> u32 {
    watch::fork(&ctx);
    0
}

/// Runs on each processor whenever its clock ticks, in an interrupt.
#[perf_event]
pub fn pytrace_sample(_ctx: PerfEventContext) -> u32 {
    sample::tick();
    0
}

/// Does nothing: the bench's measure of what a bare probe costs.
#[uprobe]
pub fn pytrace_empty(_ctx: ProbeContext) -> u32 {
    0
}

/// The license the kernel checks before it gives out its tracing helpers.
// SAFETY: the section and name are what the loader looks for; nothing else defines them.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: there is no panicking path in this crate (the verifier would refuse it: an endless loop).
    unsafe { core::hint::unreachable_unchecked() }
}
