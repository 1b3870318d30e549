//! `pytrace-ebpf doctor`: what this kernel and a process allow, what not, and the remedy.

use std::{fs, process::ExitCode};

use nix::unistd::geteuid;
use serde::Serialize;
use tracer_common::activation::Role;
use tracer_user::{
    attach::{KernelOptions, has_multi, has_sessions},
    bytecode,
    catalogue::select::{Functions, Selection},
    process::{self as processes, Process},
    sink::escape::plainly,
    sites::Price,
};

use crate::{
    advice,
    cli::DoctorFormat,
    target::{Traced, Wanted},
};

/// Something that was tried.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    /// Nothing can be traced without.
    needed: bool,
    detail: String,
    /// What to do about it, if there is something wrong.
    remedy: Option<String>,
}

impl Check {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            needed: true,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn bad(name: &'static str, detail: impl Into<String>, remedy: &str) -> Self {
        Self {
            ok: false,
            remedy: Some(remedy.to_owned()),
            ..Self::good(name, detail)
        }
    }

    /// Some things work without.
    fn optional(self) -> Self {
        Self {
            needed: false,
            ..self
        }
    }
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    r#type: &'static str,
    v: u32,
    checks: &'a [Check],
}

/// Says what works here; fails where tracing will not work.
pub fn run(pid: Option<u32>, format: DoctorFormat) -> anyhow::Result<ExitCode> {
    let mut checks = vec![kernel()?, privileges(), programs(), btf(), pid_namespace()];
    checks.extend(pid.into_iter().flat_map(process));
    match format {
        DoctorFormat::Text => checks.iter().for_each(print),
        DoctorFormat::Json => {
            let report = Report {
                r#type: "doctor",
                v: 1,
                checks: &checks,
            };
            println!("{}", serde_json::to_string(&report)?);
        }
    }
    let works = checks.iter().all(|check| check.ok || !check.needed);
    Ok(if works {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(check: &Check) {
    let mark = if check.ok { '✓' } else { '✗' };
    println!("{mark} {:<14} {}", check.name, plainly(&check.detail));
    if let Some(remedy) = &check.remedy {
        println!("  {:<14} → {remedy}", "");
    }
}

fn kernel() -> anyhow::Result<Check> {
    let uname = nix::sys::utsname::uname()?;
    let machine = uname.machine().to_string_lossy();
    let detail = format!("{} {machine}", uname.release().to_string_lossy());
    Ok(if machine == "x86_64" {
        Check::good("kernel", detail)
    } else {
        Check::bad("kernel", detail, "only x86-64 is traced so far")
    })
}

fn privileges() -> Check {
    const NAME: &str = "privileges";
    match (advice::may_bpf(), geteuid().is_root()) {
        (true, true) => Check::good(NAME, "root"),
        (true, false) => Check::good(NAME, "CAP_BPF and CAP_PERFMON"),
        (false, true) => Check::bad(
            NAME,
            "root without CAP_BPF and CAP_PERFMON",
            "in a container, start it with --privileged",
        ),
        (false, false) => Check::bad(NAME, "not root", "run it as root (sudo)"),
    }
}

/// By trying: versions do not tell what a distribution has built in or back-ported.
fn programs() -> Check {
    const NAME: &str = "BPF programs";
    let options = |runs| KernelOptions {
        sums: None,
        rate: None,
        filters: 0,
        ring_bytes: 1 << 20,
        sites: 1,
        log_level: 0,
        runs,
        budget: false,
        empty: false,
    };
    let Err(error) = advice::load(options(true)) else {
        let detail = if has_sessions() {
            "load (uprobe_multi, sessions, sleepable, bpf_loop)"
        } else if has_multi() {
            "load (uprobe_multi, sleepable, bpf_loop); no sessions before Linux 6.13: a program that imports greenlet while it is \
             traced with --pid can crash"
        } else {
            "load (sleepable, bpf_loop); no uprobe_multi links before Linux 6.6: perf events, attaching and detaching take longer, \
             and a program that imports greenlet while it is traced with --pid can crash"
        };
        return Check::good(NAME, detail);
    };
    let text = format!("{error:#}");
    let (what, remedy) = text.rsplit_once("; ").unwrap_or((
        &text,
        "`pytrace-ebpf -v --pid PID` shows what the kernel says of it",
    ));
    match advice::load(options(false)) {
        Ok(_) => {
            let detail = format!("load, but that of --calls does not: {what}");
            Check::bad(NAME, detail, "none: all else works").optional()
        }
        Err(_) => Check::bad(NAME, format!("do not load: {what}"), remedy),
    }
}

fn btf() -> Check {
    match fs::File::open("/sys/kernel/btf/vmlinux") {
        Ok(_) => Check::good("BTF", "/sys/kernel/btf/vmlinux").optional(),
        Err(error) => Check::bad(
            "BTF",
            format!("/sys/kernel/btf/vmlinux: {error}; files and sockets stay without names"),
            "a kernel with CONFIG_DEBUG_INFO_BTF has it",
        )
        .optional(),
    }
}

fn pid_namespace() -> Check {
    if processes::in_initial_pid_namespace().unwrap_or(false) {
        Check::good("pid namespace", "the host's").optional()
    } else {
        Check::bad(
            "pid namespace",
            "not the host's: `run` and `--follow` do not work, and --pid only sees processes in here",
            "run the tool on the host, or in a container started with --pid=host",
        )
        .optional()
    }
}

/// What that process allows.
fn process(pid: u32) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Ok(process) = Process::open(pid) {
        checks.extend(state(&process));
    }
    let found = Selection::parse("world").and_then(|effects| {
        Ok(Wanted {
            effects,
            functions: Functions::parse::<String>(&[])?,
            runs: false,
            given: String::new(),
        })
    });
    let traced = found
        .map_err(anyhow::Error::from)
        .and_then(|wanted| Traced::find(pid, &wanted));
    let traced = match traced {
        Ok(traced) => traced,
        Err(error) => {
            let remedy = "name the process of a CPython (`pgrep -a python`)";
            checks.push(Check::bad("process", format!("{error:#}"), remedy));
            return checks;
        }
    };
    let emulated = traced
        .sites
        .iter()
        .filter(|site| site.price() == Price::Emulated)
        .count();
    let version = traced.interpreter.python_version_string();
    checks.push(Check::good("process", format!("{pid}, Python {version}")));
    checks.push(Check::good(
        "functions",
        format!(
            "{} found; {} sites by default, {emulated} of them on emulated instructions",
            traced.discovery.functions.len(),
            traced.sites.len()
        ),
    ));
    checks.push(return_probes(&traced));
    checks.push(python_functions(&traced));
    if bytecode::may_compile(&traced.process, &traced.interpreter) {
        let remedy = "start the program with PYTHON_JIT=0 to see all of them";
        checks.push(Check::bad("bytecodes", bytecode::UNSEEN_IN_JIT.to_owned(), remedy).optional());
    }
    checks
}

/// Whether `--calls` works there, and its price.
fn python_functions(traced: &Traced) -> Check {
    const NAME: &str = "--calls";
    match bytecode::runs(&traced.process, &traced.interpreter) {
        Ok(places) => {
            let emulated = places
                .iter()
                .filter(|place| place.price == Price::Emulated)
                .count();
            // A yield is rarer than a return, and not counted with it.
            let steps = places
                .iter()
                .any(|place| place.price != Price::Emulated && place.role != Role::Yield);
            let (plain, with_values) = if steps { (6, 13) } else { (3, 9) };
            let detail = format!(
                "works: {} places in the eval loop, {emulated} of them on emulated instructions; while it is on, each call of \
                 any Python function traps twice (about {plain} us, and {with_values} us with the values of one that matches)",
                places.len()
            );
            Check::good(NAME, detail).optional()
        }
        Err(why) => Check::bad(
            NAME,
            format!("does not work: {why}"),
            "none: calls of C functions are traced all the same",
        )
        .optional(),
    }
}

fn return_probes(traced: &Traced) -> Check {
    const NAME: &str = "return probes";
    let mut refused = traced.sites.iter().filter_map(|site| site.meta.no_return);
    let count = refused.clone().count();
    let Some(why) = refused.next() else {
        return Check::good(NAME, "allowed").optional();
    };
    let detail = format!("refused for {count} sites: {why}");
    Check::bad(
        NAME,
        detail,
        "none needed: those calls show without their outcome",
    )
    .optional()
}

/// Whether it runs.
fn state(process: &Process) -> Option<Check> {
    process.is_stopped().then(|| {
        let remedy = format!("kill -CONT {} lets it go on", process.pid());
        let detail = "stopped by a signal: it makes no calls";
        Check::bad("state", detail, &remedy).optional()
    })
}
