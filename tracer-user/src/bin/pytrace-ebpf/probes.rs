//! A process's probes: which go in where, and how they come out again.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Context as _;
use tracer_common::{activation, cookie::SiteCookie};
use tracer_user::{
    attach::{Kernel, Link, Point, Probe},
    catalogue::{discover::MappedFile, effects},
    event::SiteMeta,
    process::Process,
    sites::{Plan, Price},
};

use crate::target::{Site, Traced};

/// The probes of one process, by when they may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    EnterLeaf,
    EnterOther,
    LeaveLeaf,
    LeaveOther,
    BeginRun,
    EndRun,
}

impl Part {
    const COUNT: usize = 6;
    /// In which they go in: no call begins to be followed whose end nobody sees.
    const IN_ORDER: [Self; Self::COUNT] = [
        Self::LeaveLeaf,
        Self::LeaveOther,
        Self::EndRun,
        Self::BeginRun,
        Self::EnterLeaf,
        Self::EnterOther,
    ];

    /// `around`: probes of returns are those of the entries too.
    fn has(self, site: &Site, around: bool) -> bool {
        let returns = site.run.is_none() && site.meta.no_return.is_none();
        match self {
            Self::EnterLeaf => site.run.is_none() && site.leaf && !(around && returns),
            Self::EnterOther => site.run.is_none() && !site.leaf && !(around && returns),
            Self::LeaveLeaf => site.leaf && returns,
            Self::LeaveOther => !site.leaf && returns,
            Self::BeginRun => site.run.as_ref().is_some_and(|run| run.role.begins()),
            Self::EndRun => site.run.as_ref().is_some_and(|run| !run.role.begins()),
        }
    }
}

/// The probes of one process.
#[derive(Default)]
pub struct Attached {
    /// By [`Part`].
    links: [Vec<Link>; Part::COUNT],
}

impl Attached {
    /// Takes all probes out: entry probes first, so that no call starts to be followed whose end
    /// nobody sees.
    pub fn detach(all: Vec<Self>) {
        let mut enter = Vec::new();
        let mut leave = Vec::new();
        for one in all {
            let [enter_leaf, enter_other, leave_leaf, leave_other, begin, end] = one.links;
            enter.extend([enter_leaf, enter_other, begin]);
            leave.extend([leave_leaf, leave_other, end]);
        }
        close(enter);
        close(leave);
    }

    /// Takes out the probes of functions in which Python code may run: where they are, the kernel gives the process
    /// the return probes of other processes too.
    pub fn spare_stack_switches(&mut self) {
        let parts = [Part::LeaveOther, Part::EnterOther];
        close(
            parts
                .map(|part| std::mem::take(&mut self.links[part as usize]))
                .into(),
        );
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

impl Traced {
    /// Puts the probes into a process, return probes first: this one, or one that was forked from it.
    /// `index` is that process's place among all targets; `switches`: it switches C stacks.
    pub fn attach(
        &self,
        kernel: &Kernel,
        process: &Process,
        index: u8,
        switches: bool,
    ) -> anyhow::Result<Attached> {
        let mut attached = Attached::default();
        for (file, mapped) in self.discovery.files.iter().enumerate() {
            for part in Part::IN_ORDER {
                if switches && part == Part::LeaveOther {
                    continue;
                }
                let link = self.link(part, kernel, process, (file, mapped), index, switches)?;
                attached.links[part as usize].extend(link);
            }
        }
        Ok(attached)
    }

    /// Enters functions in which Python code may run anew, where the return probes of other processes are not; after
    /// [`Attached::spare_stack_switches`].
    pub fn enter_apart(
        &self,
        attached: &mut Attached,
        kernel: &Kernel,
        process: &Process,
        index: u8,
    ) -> anyhow::Result<()> {
        for file in self.discovery.files.iter().enumerate() {
            let link = self.link(Part::EnterOther, kernel, process, file, index, true)?;
            attached.links[Part::EnterOther as usize].extend(link);
        }
        Ok(())
    }

    /// The probes of one part in one file.
    fn link(
        &self,
        part: Part,
        kernel: &Kernel,
        process: &Process,
        (file, mapped): (usize, &MappedFile),
        index: u8,
        switches: bool,
    ) -> anyhow::Result<Option<Link>> {
        // Where C stacks are switched, functions in which Python code may run have no probed returns.
        let leaf = matches!(part, Part::EnterLeaf | Part::LeaveLeaf);
        let (returns, kind) = kernel.returns();
        let around = kind == Probe::Session && (leaf || !switches);
        let sites = self.sites.iter();
        let points: Vec<Point> = sites
            .filter(|site| site.file == file && part.has(site, around))
            .filter_map(|site| {
                let plan = site.plan_in(part, switches)?;
                Some(Point {
                    offset: site.file_offset + u64::from(plan.offset),
                    cookie: site.cookie(index, plan),
                })
            })
            .collect();
        if points.is_empty() {
            return Ok(None);
        }
        let (program, probe) = match part {
            Part::EnterLeaf | Part::EnterOther => (kernel.entry(), Probe::Entry),
            Part::LeaveLeaf | Part::LeaveOther => (returns, kind),
            Part::EndRun | Part::BeginRun => {
                let program = kernel.run().context("the program for --calls is not loaded")?;
                (program, Probe::Entry)
            }
        };
        let path: PathBuf = process.mapping_link(&mapped.mapping);
        Link::attach(program, probe, &path, &points, process.pid())
            .with_context(|| format!("cannot probe {}", mapped.path.display()))
            .map(Some)
    }

    /// All places where probes of it may be, by file.
    pub fn all_points(&self, process: &Process) -> Vec<(PathBuf, Vec<Point>)> {
        let of_file = |(file, mapped): (usize, &MappedFile)| {
            let sites = self.sites.iter().filter(|site| site.file == file);
            let offsets: BTreeSet<u64> = sites
                .flat_map(|site| {
                    let plans = [Some(&site.plan), site.apart.as_ref()];
                    plans.map(|plan| Some(site.file_offset + u64::from(plan?.offset)))
                })
                .flatten()
                .collect();
            let points = offsets.into_iter().map(|offset| Point { offset, cookie: 0 });
            (process.mapping_link(&mapped.mapping), points.collect())
        };
        let files = self.discovery.files.iter().enumerate();
        let files = files.map(of_file).collect::<Vec<_>>();
        let watched = self.load_points(process).into_iter();
        let watched = watched.map(|(path, offset, _)| (path, vec![Point { offset, cookie: 0 }]));
        files
            .into_iter()
            .chain(watched)
            .filter(|(_, points)| !points.is_empty())
            .collect()
    }
}

impl Site {
    /// What each call costs the process as it is when it is looked at.
    pub fn price(&self) -> Price {
        let plan = self.plan_in(Part::EnterOther, false);
        plan.unwrap_or(&self.plan).price
    }

    /// Whether it must go when the process begins to switch C stacks.
    pub fn goes_with_switches(&self) -> bool {
        self.plan_in(Part::EnterOther, true).is_none()
    }

    /// Where a part of its probes is, in a process that switches C stacks or not; `None`: nowhere.
    fn plan_in(&self, part: Part, switches: bool) -> Option<&Plan> {
        let enters = matches!(part, Part::EnterLeaf | Part::EnterOther);
        let spared = self.meta.no_return.is_some() || switches && !self.leaf;
        match enters && spared {
            true => self.apart.as_ref(),
            false => Some(&self.plan),
        }
    }

    /// What the probe knows of it; `target`: index of the process.
    fn cookie(&self, target: u8, plan: &Plan) -> u64 {
        if let Some(run) = &self.run {
            return activation::Place {
                site: self.number,
                target,
                role: run.role,
                frame: run.frame,
                value: run.value,
                if_equal: run.if_equal,
            }
            .pack();
        }
        SiteCookie {
            site: self.number,
            target,
            registers: plan.registers,
            convention: self.meta.convention,
            self_kind: self.meta.self_kind,
            return_kind: self.meta.return_kind,
            fills: fills(&self.meta),
            handle: self.meta.handle,
            leaf: self.leaf,
        }
        .pack()
    }
}

/// Which argument is a buffer that the function fills, under whichever of its names.
fn fills(meta: &SiteMeta) -> Option<u8> {
    let names = std::iter::once(&meta.function).chain(&*meta.aliases);
    names
        .filter_map(|name| effects::find(name))
        .find_map(|effect| effect.fills)
}
