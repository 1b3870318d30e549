//! Memory of the tool itself.

/// Gives memory back to the kernel that is not used any more: the C library keeps it otherwise, for each thread that had some.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and may be called at any time by any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
