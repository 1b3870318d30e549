//! Loads programs for `uprobe_multi`, which aya 0.14 cannot: the maps come from [`aya::Ebpf`], the
//! programs are linked to them by `aya_obj` and given to the kernel here with
//! `expected_attach_type = BPF_TRACE_UPROBE_MULTI`. Goes away with an aya that knows it.

use std::{
    collections::{HashMap, HashSet},
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use aya_obj::{
    Function, Object, ParseError, ProgramSection,
    btf::BtfError,
    generated::{BPF_F_SLEEPABLE, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type},
    relocation::EbpfRelocationError,
};
use thiserror::Error;

use super::{links::Probe, trial::has_multi};

/// Room for the verifier's explanation of a refusal.
const LOG_SIZE: usize = 16 << 20;

/// Why a program could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("the embedded BPF object cannot be parsed: {0}")]
    Parse(#[from] ParseError),
    #[error("the embedded BPF object cannot be linked: {0}")]
    Relocation(#[from] EbpfRelocationError),
    #[error("the embedded BPF object's type information cannot be read: {0}")]
    Btf(#[from] BtfError),
    #[error("the kernel refused the BPF type information: {0}")]
    BtfRefused(io::Error),
    #[error("the embedded BPF object has no program `{0}`")]
    NoProgram(String),
    #[error("the kernel refused BPF program `{program}`: {error}{log}")]
    Refused {
        program: String,
        error: io::Error,
        log: String,
    },
}

/// The object's programs, linked to maps that exist.
pub struct Programs {
    object: Object,
    /// Loops by callback (`bpf_loop`) are only allowed to programs that bring BTF.
    btf: Option<OwnedFd>,
}

impl Programs {
    /// Parses `elf` and links its programs to the maps of these names.
    pub fn link(elf: &[u8], map_fds: &HashMap<String, RawFd>) -> Result<Self, LoadError> {
        let mut object = Object::parse(elf)?;
        let btf = match aya::features().btf() {
            Some(features) => match object.fixup_and_sanitize_btf(features)? {
                Some(btf) => Some(load_btf(&btf.to_bytes()).map_err(LoadError::BtfRefused)?),
                None => None,
            },
            None => None,
        };
        let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let maps = std::mem::take(&mut object.maps);
        object.relocate_maps(
            maps.iter()
                .filter_map(|(name, map)| map_fds.get(name).map(|fd| (name.as_str(), *fd, map))),
            &text,
        )?;
        object.relocate_calls(&text)?;
        object.maps = maps;
        Ok(Self { object, btf })
    }

    /// Loads the program with that name for probes of that kind, for `uprobe_multi` links where the kernel has them.
    pub fn load(&self, name: &str, probe: Probe) -> Result<OwnedFd, LoadError> {
        let missing = || LoadError::NoProgram(name.to_owned());
        let program = self.object.programs.get(name).ok_or_else(missing)?;
        let function = self
            .object
            .functions
            .get(&program.function_key())
            .ok_or_else(missing)?;
        let sleepable = matches!(
            program.section,
            ProgramSection::UProbe { sleepable: true } | ProgramSection::URetProbe { sleepable: true }
        );
        let request = Request {
            name,
            probe,
            function,
            license: &program.license,
            sleepable,
            btf: self.btf.as_ref(),
        };
        request.load(None).or_else(|_| {
            // Again with a log, which costs time and memory only now.
            let mut log = vec![0; LOG_SIZE];
            request.load(Some(&mut log)).map_err(|error| LoadError::Refused {
                program: name.to_owned(),
                error,
                log: verifier_says(&log),
            })
        })
    }
}

/// The last lines of the verifier's log: where it gave up.
fn verifier_says(log: &[u8]) -> String {
    const LINES: usize = 40;
    let end = log.iter().position(|b| *b == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(&log[..end]);
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LINES)..];
    if tail.is_empty() {
        String::new()
    } else {
        format!("\n{}", tail.join("\n"))
    }
}

struct Request<'a> {
    name: &'a str,
    probe: Probe,
    function: &'a Function,
    license: &'a CString,
    sleepable: bool,
    btf: Option<&'a OwnedFd>,
}

impl Request<'_> {
    /// `BPF_PROG_LOAD`.
    fn load(&self, log: Option<&mut [u8]>) -> io::Result<OwnedFd> {
        // SAFETY: bpf_attr is a union of plain integers; all zeros is its documented start.
        let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
        // SAFETY: as above; this view is the one BPF_PROG_LOAD reads.
        let load = unsafe { &mut attr.__bindgen_anon_3 };
        load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
        if has_multi() {
            load.expected_attach_type = self.probe.attach_type();
        }
        load.prog_flags = if self.sleepable { BPF_F_SLEEPABLE } else { 0 };
        let instructions: &[bpf_insn] = &self.function.instructions;
        load.insns = instructions.as_ptr() as u64;
        load.insn_cnt = instructions.len() as u32;
        load.license = self.license.as_ptr() as u64;
        for (to, from) in load.prog_name.iter_mut().take(15).zip(self.name.bytes()) {
            *to = from as _;
        }
        let func_info = self.function.func_info.func_info_bytes();
        if let Some(btf) = self.btf {
            load.prog_btf_fd = btf.as_raw_fd() as u32;
            load.func_info = func_info.as_ptr() as u64;
            load.func_info_cnt = self.function.func_info.func_info.len() as u32;
            load.func_info_rec_size = self.function.func_info_rec_size as u32;
        }
        if let Some(log) = log {
            load.log_level = 1;
            load.log_buf = log.as_mut_ptr() as u64;
            load.log_size = log.len() as u32;
        }
        sys_bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)
    }
}

/// `BPF_BTF_LOAD`.
fn load_btf(bytes: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: bpf_attr is a union of plain integers; all zeros is its documented start.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    // SAFETY: as above; this view is the one BPF_BTF_LOAD reads.
    let load = unsafe { &mut attr.__bindgen_anon_7 };
    load.btf = bytes.as_ptr() as u64;
    load.btf_size = bytes.len() as u32;
    sys_bpf(bpf_cmd::BPF_BTF_LOAD, &mut attr)
}

/// bpf(2) for the commands that answer with a new file descriptor.
pub fn sys_bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: `attr` is a whole bpf_attr whose pointers the caller keeps alive.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}
