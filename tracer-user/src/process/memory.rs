//! Reading another process's memory.

use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// Memory that is not there, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {addr:#x} cannot be read")]
pub struct ReadError {
    pub addr: u64,
    pub len: usize,
}

/// Something that has memory: a process, a snapshot of one, a recording in a test.
pub trait ReadMemory {
    /// Fills `out` from `addr`, wholly or not at all.
    fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError>;

    fn read_u8(&self, addr: u64) -> Result<u8, ReadError> {
        let mut bytes = [0];
        self.read(addr, &mut bytes)?;
        Ok(bytes[0])
    }

    fn read_u32(&self, addr: u64) -> Result<u32, ReadError> {
        let mut bytes = [0; 4];
        self.read(addr, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn read_u64(&self, addr: u64) -> Result<u64, ReadError> {
        let mut bytes = [0; 8];
        self.read(addr, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// `len` bytes. The caller bounds `len`.
    fn read_bytes(&self, addr: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; len];
        self.read(addr, &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes before the first NUL, `max` of them at most.
    fn read_cstr(&self, addr: u64, max: usize) -> Result<Vec<u8>, ReadError> {
        let mut text = Vec::new();
        while text.len() < max {
            let at = addr.wrapping_add(text.len() as u64);
            // Never across a line of 64 bytes before the NUL is seen: what follows may not be mapped.
            let mut line = [0; 64];
            let len = (64 - (at % 64) as usize).min(max - text.len());
            let line = &mut line[..len];
            self.read(at, line)?;
            match line.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    text.extend_from_slice(&line[..end]);
                    return Ok(text);
                }
                None => text.extend_from_slice(line),
            }
        }
        Ok(text)
    }
}

/// `process_vm_readv`, and `/proc/PID/mem` where that is refused (a seccomp filter of our own
/// container, a kernel without CONFIG_CROSS_MEMORY_ATTACH) or the page is not readable to the
/// process itself.
#[derive(Debug)]
pub(super) struct ProcessMemory {
    pid: u32,
    mem: OnceLock<Option<File>>,
}

impl ProcessMemory {
    pub(super) fn new(pid: u32) -> Self {
        Self {
            pid,
            mem: OnceLock::new(),
        }
    }

    fn by_file(&self, addr: u64, out: &mut [u8]) -> bool {
        let mem = self
            .mem
            .get_or_init(|| File::open(format!("/proc/{}/mem", self.pid)).ok());
        mem.as_ref()
            .is_some_and(|mem| mem.read_exact_at(out, addr).is_ok())
    }
}

impl ReadMemory for ProcessMemory {
    fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let len = out.len();
        let error = ReadError { addr, len };
        // User addresses end below 2^56 on x86-64 (five-level paging); also keeps addr + len from wrapping.
        if addr >= 1 << 56 || len > 1 << 32 {
            return Err(error);
        }
        let remote = [RemoteIoVec {
            base: addr as usize,
            len,
        }];
        let pid = Pid::from_raw(self.pid as i32);
        match process_vm_readv(pid, &mut [IoSliceMut::new(out)], &remote) {
            Ok(read) if read == len => Ok(()),
            _ if self.by_file(addr, out) => Ok(()),
            _ => Err(error),
        }
    }
}
