//! One traced process: from pid to the sites to probe.

use std::{fs::File, os::unix::fs::FileExt as _, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use tracer_common::{
    cookie::SiteCookie,
    limits::MAX_SITES,
    target::{CaptureLimits, Target},
};
use tracer_user::{
    attach::{Kernel, Link, Point, Probe},
    catalogue::{
        discover::{CFunction, Discovery, discover},
        effects,
        select::{Functions, Selection},
    },
    cpython::Interpreter,
    event::{
        Deletion, SiteMeta,
        naming::{is_deletion, method_of},
    },
    process::Process,
    sites::{self, Plan},
};

use crate::harm;

/// Bytes of a function looked at to choose the instruction.
const CODE_WINDOW: usize = 4096;

/// What the user asked to see.
pub struct Wanted {
    pub effects: Selection,
    pub functions: Functions,
}

/// A function that will be probed.
pub struct Site {
    pub meta: SiteMeta,
    pub plan: Plan,
    /// Index into [`Traced::discovery`]'s files.
    pub file: usize,
    pub file_offset: u64,
}

/// A process found to be traceable, and what in it is wanted.
pub struct Traced {
    pub process: Process,
    pub interpreter: Interpreter,
    pub discovery: Discovery,
    pub sites: Vec<Site>,
    /// Functions that were wanted but cannot be probed, and why.
    pub refused: Vec<(String, String)>,
}

impl Traced {
    /// Looks the process over. Nothing is changed in it.
    pub fn find(pid: u32, wanted: &Wanted) -> anyhow::Result<Self> {
        let process = Process::open(pid)?;
        let interpreter = Interpreter::find(&process)?;
        let discovery = discover(&process, &interpreter)?;
        let mut traced = Self {
            process,
            interpreter,
            discovery,
            sites: Vec::new(),
            refused: Vec::new(),
        };
        traced.choose(wanted)?;
        Ok(traced)
    }

    fn choose(&mut self, wanted: &Wanted) -> anyhow::Result<()> {
        let harm = harm::Policy::of(&self.process)?;
        let files: Vec<Option<File>> = self
            .discovery
            .files
            .iter()
            .map(|file| self.process.open_mapping(&file.mapping).ok())
            .collect();
        for function in &self.discovery.functions {
            let Some(meta) = meta(function, wanted, harm) else {
                continue;
            };
            if function.is_common() && !wanted.functions.names(&function.function, &function.aliases) {
                self.refused.push((function.function.clone(), common(function)));
                continue;
            }
            match plan(files.get(function.file).and_then(Option::as_ref), function) {
                Ok(plan) => self.sites.push(Site {
                    meta,
                    plan,
                    file: function.file,
                    file_offset: function.file_offset,
                }),
                Err(why) => self.refused.push((function.function.clone(), why)),
            }
        }
        let refused = self.discovery.refused.iter();
        self.refused.extend(
            refused
                .filter(|function| wanted.functions.matches(&function.function, &function.aliases))
                .map(|function| (function.function.clone(), function.why.to_owned())),
        );
        Ok(())
    }

    /// The record the kernel half keeps of this process.
    pub fn kernel_target(&self, limits: CaptureLimits) -> Target {
        self.interpreter.target(&self.process, limits)
    }

    /// Puts the probes in, return probes first. `first_site` and `index` are this process's
    /// place among all sites and targets.
    pub fn attach(&self, kernel: &Kernel, first_site: u32, index: u8) -> anyhow::Result<Attached> {
        let mut attached = Attached::default();
        for probe in [Probe::Return, Probe::Entry] {
            for (file, mapped) in self.discovery.files.iter().enumerate() {
                let points = self.points(probe, file, first_site, index);
                if points.is_empty() {
                    continue;
                }
                let path: PathBuf = self.process.mapping_link(&mapped.mapping);
                let program = if probe == Probe::Entry {
                    kernel.entry()
                } else {
                    kernel.leave()
                };
                let link = Link::attach(program, probe, &path, &points, self.process.pid())
                    .with_context(|| format!("cannot probe {}", mapped.path.display()))?;
                let links = if probe == Probe::Entry {
                    &mut attached.entry
                } else {
                    &mut attached.leave
                };
                links.push(link);
            }
        }
        Ok(attached)
    }

    fn points(&self, probe: Probe, file: usize, first_site: u32, index: u8) -> Vec<Point> {
        let sites = self.sites.iter().zip(first_site..);
        sites
            .filter(|(site, _)| site.file == file)
            .filter(|(site, _)| probe == Probe::Entry || site.meta.no_return.is_none())
            .map(|(site, number)| Point {
                offset: site.file_offset + u64::from(site.plan.offset),
                cookie: SiteCookie {
                    site: number,
                    target: index,
                    registers: site.plan.registers,
                    convention: site.meta.convention,
                    self_kind: site.meta.self_kind,
                    return_kind: site.meta.return_kind,
                }
                .pack(),
            })
            .collect()
    }
}

/// The probes of one process.
#[derive(Default)]
pub struct Attached {
    entry: Vec<Link>,
    leave: Vec<Link>,
}

impl Attached {
    /// Takes all probes out: entry probes first, so that no call starts to be followed whose end
    /// nobody sees.
    pub fn detach(all: Vec<Self>) {
        let (entry, leave): (Vec<_>, Vec<_>) = all.into_iter().map(|one| (one.entry, one.leave)).unzip();
        close(entry);
        close(leave);
    }
}

/// Closes links side by side: each waits for the kernel's grace periods, not for work.
fn close(links: Vec<Vec<Link>>) {
    std::thread::scope(|scope| {
        for link in links.into_iter().flatten() {
            scope.spawn(move || drop(link));
        }
    });
}

/// What the events of a function will say; `None`: nobody asked for it.
fn meta(function: &CFunction, wanted: &Wanted, harm: harm::Policy) -> Option<SiteMeta> {
    let named = wanted.functions.matches(&function.function, &function.aliases);
    let entry = |deletes: bool| {
        let mut names = function.names();
        names.find_map(|name| (is_deletion(method_of(name)) == deletes).then(|| effects::find(name))?)
    };
    let wants = |entry: Option<&effects::Effect>| {
        named || entry.is_some_and(|entry| wanted.effects.wants(entry.effect))
    };
    let (sets, deletes) = (entry(false), entry(true));
    if !wants(sets) && !wants(deletes) {
        return None;
    }
    let effect = |entry: Option<&effects::Effect>| entry.map_or(effects::OTHER, |entry| entry.effect);
    let leaf = [sets, deletes].into_iter().flatten().all(|entry| entry.leaf);
    let aliases = function.aliases.iter();
    Some(SiteMeta {
        function: Arc::from(function.function.as_str()),
        module_len: function.module_len,
        aliases: aliases.map(|alias| Arc::from(alias.as_str())).collect(),
        effect: effect(sets),
        wanted: wants(sets),
        deletion: deletes.map(|entry| Deletion {
            effect: entry.effect,
            wanted: wants(deletes),
        }),
        convention: function.convention,
        self_kind: function.self_kind,
        return_kind: function.return_kind,
        named,
        no_return: harm.no_return(leaf && (sets.is_some() || deletes.is_some())),
        target: sets.or(deletes).map_or(&[], |entry| entry.target),
    })
}

/// Why a function is not traced for a wildcard.
fn common(function: &CFunction) -> String {
    let name = &function.function;
    format!(
        "{} types share it; `-f {name}` alone asks for it",
        function.slot_of
    )
}

fn plan(file: Option<&File>, function: &CFunction) -> Result<Plan, String> {
    let file = file.ok_or("its file cannot be opened")?;
    let mut code = [0; CODE_WINDOW];
    let len = file
        .read_at(&mut code, function.file_offset)
        .map_err(|error| error.to_string())?;
    sites::plan(
        &code[..len],
        function.ml_meth,
        function.convention,
        function.self_kind,
    )
    .map_err(|error| error.to_string())
}

/// All processes asked for; an error where one of them cannot be traced or nothing is left to probe.
pub fn find_all(pids: &[u32], wanted: &Wanted) -> anyhow::Result<Vec<Traced>> {
    let mut traced = Vec::new();
    for pid in pids {
        traced.push(Traced::find(*pid, wanted)?);
    }
    let sites: usize = traced.iter().map(|traced| traced.sites.len()).sum();
    if sites == 0 {
        let refused = traced.iter().flat_map(|traced| &traced.refused).next();
        if let Some((function, why)) = refused {
            bail!("{function} cannot be probed: {why}");
        }
        bail!(
            "nothing to trace: no function there has these effects or names; see `pytrace-ebpf functions --pid {}`",
            pids[0]
        );
    }
    if sites > MAX_SITES as usize {
        bail!("{sites} functions are too many at once (at most {MAX_SITES}); narrow -e or -f");
    }
    Ok(traced)
}
