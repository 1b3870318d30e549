//! `pytrace-ebpf doctor`: what this machine and a process allow, found out by trying.

use std::{fs, io::Write as _, path::Path};

use anyhow::bail;
use nix::unistd::geteuid;
use tracer_user::{
    attach::{Kernel, KernelOptions},
    catalogue::select::{Functions, Selection},
    process::Process,
    sites::Price,
};

use crate::{
    cli::DoctorFormat,
    target::{Traced, Wanted},
};

/// `CAP_BPF` and `CAP_PERFMON` (include/uapi/linux/capability.h).
const CAP_BPF: u32 = 39;
const CAP_PERFMON: u32 = 38;
/// `PROC_PID_INIT_INO` (include/linux/proc_ns.h)
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// One thing looked at.
#[derive(Debug, serde::Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    /// Without it nothing can be traced.
    needed: bool,
    detail: String,
    /// What to do; empty where nothing is wrong.
    remedy: &'static str,
}

impl Check {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            needed: true,
            detail: detail.into(),
            remedy: "",
        }
    }

    fn bad(name: &'static str, detail: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            ok: false,
            remedy,
            ..Self::good(name, detail)
        }
    }

    /// Tracing works without it too.
    fn optional(self) -> Self {
        Self {
            needed: false,
            ..self
        }
    }
}

/// Prints what works here, and for that process; an error where tracing will not work.
pub fn run(pid: Option<u32>, format: DoctorFormat) -> anyhow::Result<()> {
    let mut checks = vec![
        kernel(),
        privileges(),
        lockdown(),
        programs(),
        btf(),
        pid_namespace(),
    ];
    checks.extend(pid.into_iter().flat_map(process));
    let mut out = std::io::stdout().lock();
    match format {
        DoctorFormat::Text => print(&checks, &mut out),
        DoctorFormat::Json => {
            let line = serde_json::json!({"type": "doctor", "v": 1, "checks": checks});
            let _ = writeln!(out, "{line}");
        }
    }
    if let Some(check) = checks.iter().find(|check| check.needed && !check.ok) {
        bail!("{}: {}: {}", check.name, check.detail, check.remedy);
    }
    Ok(())
}

fn print(checks: &[Check], out: &mut impl std::io::Write) {
    for check in checks {
        let mark = match (check.ok, check.needed) {
            (true, _) => "ok  ",
            (false, true) => "FAIL",
            (false, false) => "note",
        };
        let _ = writeln!(out, "{mark}  {:<15} {}", check.name, check.detail);
        if !check.remedy.is_empty() {
            let _ = writeln!(out, "      {:<15} {}", "", check.remedy);
        }
    }
}

fn kernel() -> Check {
    let Ok(name) = nix::sys::utsname::uname() else {
        return Check::bad("kernel", "does not say its name", "report this");
    };
    let detail = format!("{} {}", name.release().display(), name.machine().display());
    if name.machine() != "x86_64" {
        return Check::bad("kernel", detail, "only x86-64 is supported so far");
    }
    Check::good("kernel", detail)
}

fn privileges() -> Check {
    let has = |capability: u32| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        bits.is_some_and(|bits| bits >> capability & 1 == 1)
    };
    if geteuid().is_root() && has(CAP_BPF) && has(CAP_PERFMON) {
        return Check::good("privileges", "root");
    }
    if !geteuid().is_root() {
        return Check::bad(
            "privileges",
            format!("user {}, not root", geteuid()),
            "run as root: sudo pytrace-ebpf …",
        );
    }
    Check::bad(
        "privileges",
        "root without CAP_BPF and CAP_PERFMON",
        "in a container: --cap-add=BPF,PERFMON,SYS_PTRACE, or run on the host",
    )
}

fn lockdown() -> Check {
    let text = fs::read_to_string(LOCKDOWN).unwrap_or_default();
    if text.contains("[confidentiality]") {
        return Check::bad(
            "lockdown",
            "confidentiality: the kernel lets nobody read memory by BPF",
            "boot with lockdown=integrity, or without",
        );
    }
    let mode = text.split(['[', ']']).nth(1).unwrap_or("none").to_owned();
    Check::good("lockdown", mode)
}

/// The only sure way to know what a kernel has: by trying.
fn programs() -> Check {
    let options = KernelOptions {
        filters: 0,
        ring_bytes: 1 << 20,
        sites: 1,
        log_level: 0,
        empty: false,
    };
    match Kernel::load(options) {
        Ok(_) => Check::good("BPF programs", "load (uprobe_multi, sleepable, bpf_loop)"),
        Err(error) => Check::bad(
            "BPF programs",
            error.to_string(),
            "they need Linux 6.6 or newer, root, and a container's seccomp filter that allows bpf()",
        ),
    }
}

fn btf() -> Check {
    if Path::new(BTF).exists() {
        return Check::good("type information", BTF);
    }
    Check::bad(
        "type information",
        format!("no {BTF}: files and sockets stay numbers, no --follow"),
        "use a kernel with CONFIG_DEBUG_INFO_BTF, as every distribution's is",
    )
    .optional()
}

fn pid_namespace() -> Check {
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if namespace == Path::new(INITIAL_PID_NAMESPACE) {
        return Check::good("process ids", "the host's");
    }
    Check::bad(
        "process ids",
        "those of a container: no `run`, no --follow, and only its own processes are seen",
        "run on the host, or with --pid=host",
    )
    .optional()
}

fn process(pid: u32) -> Vec<Check> {
    let traced = Process::open(pid).map_err(anyhow::Error::from).and_then(|_| {
        let wanted = Wanted {
            effects: Selection::parse("world")?,
            functions: Functions::parse::<String>(&[])?,
        };
        Traced::find(pid, &wanted)
    });
    let traced = match traced {
        Ok(traced) => traced,
        Err(error) => {
            return vec![Check::bad("process", format!("{error:#}"), "see above")];
        }
    };
    let emulated = traced
        .sites
        .iter()
        .filter(|site| site.plan.price == Price::Emulated);
    let mut checks = vec![
        Check::good(
            "process",
            format!("{pid}, Python {}", traced.interpreter.python_version_string()),
        ),
        Check::good("functions", format!("{} found", traced.discovery.functions.len())),
        Check::good(
            "world",
            format!(
                "{} sites, {} of them on emulated instructions",
                traced.sites.len(),
                emulated.count()
            ),
        ),
    ];
    let unobserved = traced.sites.iter().filter(|site| site.meta.no_return.is_some());
    let count = unobserved.clone().count();
    if let Some(why) = unobserved.clone().find_map(|site| site.meta.no_return) {
        checks.push(
            Check::bad(
                "return probes",
                format!("not on {count} sites: {why}"),
                "their calls are shown without an outcome",
            )
            .optional(),
        );
    }
    if traced.process.is_stopped() {
        checks.push(
            Check::bad(
                "state",
                "stopped",
                "nothing will be seen before it goes on: kill -CONT",
            )
            .optional(),
        );
    }
    if let Some(tracer) = traced.process.tracer() {
        checks.push(
            Check::good(
                "debugger",
                format!("process {tracer} traces it too; that is no hindrance"),
            )
            .optional(),
        );
    }
    checks
}
