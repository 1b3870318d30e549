//! Keeps programs on the stack of the task that runs them.
//!
//! From Linux 6.13 on a program with a frame of 64 bytes or more may get a stack of its own, one for each processor
//! (`bpf_enable_priv_stack`, kernel/bpf/verifier.c at v6.13). That is sound only where a program never begins on a processor
//! while it has not ended there. The kernel sees to that for kprobes, not for uprobes (`uprobe_prog_run`,
//! kernel/trace/bpf_trace.c): they may be preempted, and sleepable ones wait for pages. The next task that hits the same program there
//! then writes over the frames of the one that waits, which goes on with another task's pointers: the kernel faults, and
//! kills the traced process.
//!
//! A program in which anything is a tail call keeps the task's stack (`check_max_stack_depth`): so there is one, which nothing reaches.

use core::arch::asm;

/// To be called in each uprobe program itself, not in a function that the compiler may keep apart.
///
/// The jump is always taken. The verifier knows that, does not check the call behind it, and removes both.
#[inline(always)]
pub fn keep_the_tasks() {
    // SAFETY: one register is set and compared; 12 is `bpf_tail_call` (include/uapi/linux/bpf.h), which is never called.
    unsafe {
        asm!("{0} = 0", "if {0} == 0 goto +1", "call 12", out(reg) _, options(nomem, nostack));
    }
}
