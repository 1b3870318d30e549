//! Work that is done to its end even when the tool is killed over it.
//!
//! The kernel puts breakpoints in, and takes them out, in the name of whoever asks. One who is being killed cannot reach the
//! pages of another process any more (`get_user_pages_remote` with a fatal signal pending): then it gives up where it
//! is, and what it had put in stays for good (`uprobe_unregister_nosync`, kernel/events/uprobes.c at v6.18: "leaking uprobe").
//! So a process of its own asks, which shares the tool's memory and descriptors, and lives as long as the work takes.
//! Descriptors that the tool leaves behind meanwhile are closed when that process ends, which nobody has killed.

use nix::{
    sched::{CloneFlags, clone},
    sys::{
        signal::{SigSet, SigmaskHow},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::{Pid, setpgid},
};

/// Bytes: the work makes system calls, and little else.
const STACK: usize = 256 * 1024;

/// Does `work`, in a process that outlives this one if need be; in this one if there can be no other. It must not
/// allocate, lock or unwind: other threads go on meanwhile, and may hold what it would wait for.
pub(super) fn outliving(work: &mut (dyn FnMut() + Send)) {
    let mut stack = vec![0; STACK];
    let mut done = false;
    let run = || {
        // Not killed with the tool's process group.
        let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
        work();
        done = true;
        0
    };
    // What is for the tool is not handled here.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_FILES | CloneFlags::CLONE_VFORK;
    // SAFETY: with CLONE_VFORK this thread waits until the child has ended, so that nothing it uses is used or freed
    // meanwhile; the child's stack is large enough for what it does, and `work` keeps to what its users promise.
    let child = unsafe { clone(Box::new(run), &mut stack, flags, None) };
    if let Ok(child) = child {
        let _ = waitpid(child, Some(WaitPidFlag::__WALL));
    }
    if let Ok(mask) = mask {
        let _ = mask.thread_set_mask();
    }
    if child.is_err() && !done {
        work();
    }
}
