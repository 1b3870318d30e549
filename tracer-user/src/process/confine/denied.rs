//! Which system calls are denied. Numbers are those of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl, v6.18).

use libc::{
    O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, PROT_EXEC, SYS__sysctl, SYS_accept, SYS_accept4, SYS_acct,
    SYS_add_key, SYS_adjtimex, SYS_bind, SYS_bpf, SYS_chmod, SYS_chown, SYS_chroot, SYS_clock_adjtime,
    SYS_clock_settime, SYS_connect, SYS_creat, SYS_delete_module, SYS_execve, SYS_execveat,
    SYS_fanotify_init, SYS_fchmod, SYS_fchmodat, SYS_fchmodat2, SYS_fchown, SYS_fchownat, SYS_finit_module,
    SYS_fremovexattr, SYS_fsconfig, SYS_fsetxattr, SYS_fsmount, SYS_fsopen, SYS_fspick, SYS_futimesat,
    SYS_init_module, SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup, SYS_ioctl, SYS_ioperm,
    SYS_iopl, SYS_kexec_file_load, SYS_kexec_load, SYS_keyctl, SYS_lchown, SYS_link, SYS_linkat, SYS_listen,
    SYS_lremovexattr, SYS_lsetxattr, SYS_migrate_pages, SYS_mkdir, SYS_mkdirat, SYS_mknod, SYS_mknodat,
    SYS_mmap, SYS_modify_ldt, SYS_mount, SYS_mount_setattr, SYS_move_mount, SYS_move_pages, SYS_mprotect,
    SYS_nfsservctl, SYS_open, SYS_open_by_handle_at, SYS_open_tree, SYS_openat, SYS_openat2, SYS_personality,
    SYS_pidfd_getfd, SYS_pivot_root, SYS_pkey_mprotect, SYS_prlimit64, SYS_process_madvise,
    SYS_process_mrelease, SYS_process_vm_writev, SYS_ptrace, SYS_quotactl, SYS_quotactl_fd, SYS_reboot,
    SYS_remap_file_pages, SYS_removexattr, SYS_rename, SYS_renameat, SYS_renameat2, SYS_request_key,
    SYS_rmdir, SYS_setdomainname, SYS_setfsgid, SYS_setfsuid, SYS_setgid, SYS_setgroups, SYS_sethostname,
    SYS_setns, SYS_setregid, SYS_setresgid, SYS_setresuid, SYS_setreuid, SYS_settimeofday, SYS_setuid,
    SYS_setxattr, SYS_socket, SYS_swapoff, SYS_swapon, SYS_symlink, SYS_symlinkat, SYS_syslog, SYS_truncate,
    SYS_umount2, SYS_unlink, SYS_unlinkat, SYS_unshare, SYS_uselib, SYS_userfaultfd, SYS_utime,
    SYS_utimensat, SYS_utimes, TIOCLINUX, TIOCSTI,
};

// Not in libc yet.
const SYS_SETXATTRAT: i64 = 463;
const SYS_REMOVEXATTRAT: i64 = 466;
const SYS_OPEN_TREE_ATTR: i64 = 467;
const SYS_FILE_SETATTR: i64 = 469;

/// When a system call is denied that is not denied always: by the lower half of one argument, counted from 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// All of these bits are set in it.
    Has(u8, u32),
    /// It is this.
    Is(u8, u32),
    /// It is anything else.
    IsNot(u8, u32),
}

/// System calls that are denied always, and others that are denied by their arguments.
pub(super) struct Denied {
    pub always: &'static [i64],
    pub by_argument: &'static [(i64, When)],
}

/// What the tool needs at no time.
pub(super) const EVER: Denied = Denied {
    always: &[
        // Other processes: it reads them, and sends them signals.
        SYS_ptrace,
        SYS_process_vm_writev,
        SYS_process_madvise,
        SYS_process_mrelease,
        SYS_pidfd_getfd,
        SYS_move_pages,
        SYS_migrate_pages,
        // Another user, with other privileges.
        SYS_setuid,
        SYS_setgid,
        SYS_setreuid,
        SYS_setregid,
        SYS_setresuid,
        SYS_setresgid,
        SYS_setfsuid,
        SYS_setfsgid,
        SYS_setgroups,
        // Others than the two ends that a signal handler and its reader have of a pair.
        SYS_socket,
        SYS_bind,
        SYS_connect,
        SYS_listen,
        SYS_accept,
        SYS_accept4,
        // Would do what is denied here without a system call for it.
        SYS_io_uring_setup,
        SYS_io_uring_enter,
        SYS_io_uring_register,
        // Mounts, roots, namespaces; files by no path.
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_chroot,
        SYS_open_tree,
        SYS_OPEN_TREE_ATTR,
        SYS_move_mount,
        SYS_mount_setattr,
        SYS_fsopen,
        SYS_fsconfig,
        SYS_fsmount,
        SYS_fspick,
        SYS_unshare,
        SYS_setns,
        SYS_open_by_handle_at,
        SYS_fanotify_init,
        // The kernel and the machine.
        SYS_init_module,
        SYS_finit_module,
        SYS_delete_module,
        SYS_kexec_load,
        SYS_kexec_file_load,
        SYS_reboot,
        SYS_swapon,
        SYS_swapoff,
        SYS_acct,
        SYS_syslog,
        SYS_iopl,
        SYS_ioperm,
        SYS_settimeofday,
        SYS_clock_settime,
        SYS_clock_adjtime,
        SYS_adjtimex,
        SYS_sethostname,
        SYS_setdomainname,
        SYS_quotactl,
        SYS_quotactl_fd,
        SYS__sysctl,
        SYS_nfsservctl,
        // Keys.
        SYS_add_key,
        SYS_request_key,
        SYS_keyctl,
        // What exploits of the kernel and of programs begin with.
        SYS_userfaultfd,
        SYS_modify_ldt,
        SYS_personality,
        SYS_remap_file_pages,
        SYS_uselib,
    ],
    by_argument: &[
        // Input that nobody typed.
        (SYS_ioctl, When::Is(1, TIOCSTI as u32)),
        (SYS_ioctl, When::Is(1, TIOCLINUX as u32)),
        // The limits of others.
        (SYS_prlimit64, When::IsNot(0, 0)),
    ],
};

/// What it no longer needs when its output is open, its programs are in the kernel, and whom it starts is started.
pub(super) const TRACING: Denied = Denied {
    always: &[
        // Programs.
        SYS_execve,
        SYS_execveat,
        // Files are read, and what is open is written. The flags of these two are behind a pointer, or mean writing always.
        SYS_openat2,
        SYS_creat,
        SYS_truncate,
        SYS_rename,
        SYS_renameat,
        SYS_renameat2,
        SYS_unlink,
        SYS_unlinkat,
        SYS_rmdir,
        SYS_mkdir,
        SYS_mkdirat,
        SYS_mknod,
        SYS_mknodat,
        SYS_link,
        SYS_linkat,
        SYS_symlink,
        SYS_symlinkat,
        // Also of a file that is open for reading only.
        SYS_chmod,
        SYS_fchmod,
        SYS_fchmodat,
        SYS_fchmodat2,
        SYS_chown,
        SYS_fchown,
        SYS_lchown,
        SYS_fchownat,
        SYS_setxattr,
        SYS_lsetxattr,
        SYS_fsetxattr,
        SYS_SETXATTRAT,
        SYS_removexattr,
        SYS_lremovexattr,
        SYS_fremovexattr,
        SYS_REMOVEXATTRAT,
        SYS_FILE_SETATTR,
        SYS_utime,
        SYS_utimes,
        SYS_futimesat,
        SYS_utimensat,
    ],
    by_argument: &[
        (SYS_open, When::Has(1, O_WRONLY as u32)),
        (SYS_open, When::Has(1, O_RDWR as u32)),
        (SYS_open, When::Has(1, O_CREAT as u32)),
        (SYS_open, When::Has(1, O_TRUNC as u32)),
        (SYS_openat, When::Has(2, O_WRONLY as u32)),
        (SYS_openat, When::Has(2, O_RDWR as u32)),
        (SYS_openat, When::Has(2, O_CREAT as u32)),
        (SYS_openat, When::Has(2, O_TRUNC as u32)),
        // Code that was not in this program.
        (SYS_mmap, When::Has(2, PROT_EXEC as u32)),
        (SYS_mprotect, When::Has(2, PROT_EXEC as u32)),
        (SYS_pkey_mprotect, When::Has(2, PROT_EXEC as u32)),
        // Programs for the kernel, and what others have there: a program may write into any process (`enum bpf_cmd`,
        // include/uapi/linux/bpf.h). Links of those that are loaded are made as long as something new can appear.
        (SYS_bpf, When::Is(0, bpf::MAP_CREATE)),
        (SYS_bpf, When::Is(0, bpf::PROG_LOAD)),
        (SYS_bpf, When::Is(0, bpf::OBJ_PIN)),
        (SYS_bpf, When::Is(0, bpf::OBJ_GET)),
        (SYS_bpf, When::Is(0, bpf::PROG_ATTACH)),
        (SYS_bpf, When::Is(0, bpf::PROG_DETACH)),
        (SYS_bpf, When::Is(0, bpf::PROG_TEST_RUN)),
        (SYS_bpf, When::Is(0, bpf::PROG_GET_FD_BY_ID)),
        (SYS_bpf, When::Is(0, bpf::MAP_GET_FD_BY_ID)),
        (SYS_bpf, When::Is(0, bpf::RAW_TRACEPOINT_OPEN)),
        (SYS_bpf, When::Is(0, bpf::BTF_LOAD)),
        (SYS_bpf, When::Is(0, bpf::LINK_UPDATE)),
        (SYS_bpf, When::Is(0, bpf::LINK_GET_FD_BY_ID)),
        (SYS_bpf, When::Is(0, bpf::LINK_DETACH)),
        (SYS_bpf, When::Is(0, bpf::PROG_BIND_MAP)),
    ],
};

/// `enum bpf_cmd`.
mod bpf {
    use aya_obj::generated::bpf_cmd;

    pub const MAP_CREATE: u32 = bpf_cmd::BPF_MAP_CREATE as u32;
    pub const PROG_LOAD: u32 = bpf_cmd::BPF_PROG_LOAD as u32;
    pub const OBJ_PIN: u32 = bpf_cmd::BPF_OBJ_PIN as u32;
    pub const OBJ_GET: u32 = bpf_cmd::BPF_OBJ_GET as u32;
    pub const PROG_ATTACH: u32 = bpf_cmd::BPF_PROG_ATTACH as u32;
    pub const PROG_DETACH: u32 = bpf_cmd::BPF_PROG_DETACH as u32;
    pub const PROG_TEST_RUN: u32 = bpf_cmd::BPF_PROG_TEST_RUN as u32;
    pub const PROG_GET_FD_BY_ID: u32 = bpf_cmd::BPF_PROG_GET_FD_BY_ID as u32;
    pub const MAP_GET_FD_BY_ID: u32 = bpf_cmd::BPF_MAP_GET_FD_BY_ID as u32;
    pub const RAW_TRACEPOINT_OPEN: u32 = bpf_cmd::BPF_RAW_TRACEPOINT_OPEN as u32;
    pub const BTF_LOAD: u32 = bpf_cmd::BPF_BTF_LOAD as u32;
    pub const LINK_UPDATE: u32 = bpf_cmd::BPF_LINK_UPDATE as u32;
    pub const LINK_GET_FD_BY_ID: u32 = bpf_cmd::BPF_LINK_GET_FD_BY_ID as u32;
    pub const LINK_DETACH: u32 = bpf_cmd::BPF_LINK_DETACH as u32;
    pub const PROG_BIND_MAP: u32 = bpf_cmd::BPF_PROG_BIND_MAP as u32;
}
