//! Descriptors a parent passed on by number.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

/// A copy of a descriptor that this program was started with, closed on exec.
///
/// # Errors
///
/// `EBADF` where there is no such descriptor.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: only borrowed to be copied; a number that is no descriptor is refused by the kernel.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// Marks that descriptor itself to be closed on exec, too.
///
/// # Errors
///
/// `EBADF` where there is no such descriptor.
pub fn close_on_exec(fd: RawFd) -> io::Result<()> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: only borrowed to set a flag; a number that is no descriptor is refused by the kernel.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let flag = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
    nix::fcntl::fcntl(fd, flag)?;
    Ok(())
}
