//! A process's probes: which go in where, and how they come out again.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Context as _;
use tracer_common::{activation, budget::GATE, cookie::SiteCookie};
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
    /// By number.
    const ALL: [Self; Self::COUNT] = [
        Self::EnterLeaf,
        Self::EnterOther,
        Self::LeaveLeaf,
        Self::LeaveOther,
        Self::BeginRun,
        Self::EndRun,
    ];
    /// In which they go in: no call begins to be followed whose end nobody sees.
    const IN_ORDER: [Self; Self::COUNT] = [
        Self::LeaveLeaf,
        Self::LeaveOther,
        Self::EndRun,
        Self::BeginRun,
        Self::EnterLeaf,
        Self::EnterOther,
    ];

    fn enters(self) -> bool {
        matches!(self, Self::EnterLeaf | Self::EnterOther | Self::BeginRun)
    }

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

/// Sites of one file whose probes come and go together.
struct Group {
    file: usize,
    /// Indices into [`Traced::sites`].
    sites: Vec<usize>,
    /// Bit of its cookies, [`tracer_common::budget::GATE`].
    gate: bool,
    /// By [`Part`].
    links: [Option<Link>; Part::COUNT],
}

/// How many sites are in one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// All of a file: the fewest links.
    Files,
    /// Few, so that one of them can go without many others.
    Few,
}

/// Sites of a group at most; more where there were too many groups otherwise: when the tool is killed, the kernel closes one link after the
/// other.
const GROUP: usize = 16;
const GROUPS: usize = 64;

/// Effects of calls that may be in progress for long.
const WAITING: [&str; 5] = ["net.", "thread.", "time.", "process.", "db."];

fn may_wait(effect: &str) -> bool {
    WAITING.iter().any(|group| effect.starts_with(group))
}

/// Whose probes they are.
pub struct At<'a> {
    pub kernel: &'a Kernel,
    /// `None`: the processes of a group.
    pub process: Option<&'a Process>,
    /// Its place among all targets, or the group's.
    pub index: u8,
    /// It switches C stacks.
    pub switches: bool,
}

/// The probes of one process.
#[derive(Default)]
pub struct Attached {
    groups: Vec<Group>,
}

/// Probes of one site were taken out, or are about to be.
pub struct Shed {
    /// To be dropped once the gates of what moved are turned.
    pub old: Attached,
    /// Sites that were in the same links and are in others now, with another gate.
    pub moved: Vec<usize>,
    /// Whether returns of those are only seen where their entries were.
    pub in_flight_too: bool,
}

impl Attached {
    /// Takes all probes out: entry probes first, so that no call starts to be followed whose end
    /// nobody sees.
    pub fn detach(all: Vec<Self>) {
        let mut enter = Vec::new();
        let mut leave = Vec::new();
        for group in all.into_iter().flat_map(|one| one.groups) {
            for (part, link) in Part::ALL.into_iter().zip(group.links) {
                if part.enters() {
                    enter.push(link);
                } else {
                    leave.push(link);
                }
            }
        }
        close(enter);
        close(leave);
    }

    /// Takes out the probes of functions in which Python code may run: where they are, the kernel gives the process
    /// the return probes of other processes too.
    pub fn spare_stack_switches(&mut self) {
        let groups = self.groups.iter_mut();
        let other = groups.flat_map(|group| {
            [Part::LeaveOther, Part::EnterOther].map(|part| group.links[part as usize].take())
        });
        close(other.collect());
    }
}

/// Closes links side by side: each waits for the kernel's grace periods, not for work.
fn close(links: Vec<Option<Link>>) {
    std::thread::scope(|scope| {
        for link in links.into_iter().flatten() {
            scope.spawn(move || drop(link));
        }
    });
}

impl Traced {
    /// Puts the probes into a process, return probes first: this one, or one that was forked from it.
    pub fn attach(&self, at: &At<'_>, grouping: Grouping) -> anyhow::Result<Attached> {
        let mut attached = Attached::default();
        for mut group in self.groups(grouping) {
            self.put_in(at, &mut group)?;
            attached.groups.push(group);
        }
        Ok(attached)
    }

    /// The sites, as they are to be in links.
    fn groups(&self, grouping: Grouping) -> Vec<Group> {
        let group = |sites: &[usize]| Group {
            file: self.sites[sites[0]].file,
            sites: sites.to_vec(),
            gate: false,
            links: Default::default(),
        };
        // Those that may wait are apart: their calls in progress are not to lose their ends.
        let class = |i: &usize| {
            let site = &self.sites[*i];
            let class = (
                site.leaf,
                site.meta.no_return.is_some(),
                may_wait(site.meta.effect),
            );
            match grouping {
                Grouping::Files => (site.file, Default::default()),
                Grouping::Few => (site.file, class),
            }
        };
        let mut sites: Vec<usize> = (0..self.sites.len()).collect();
        sites.sort_by_key(class);
        let most = match grouping {
            Grouping::Files => usize::MAX,
            Grouping::Few => GROUP.max(sites.len().div_ceil(GROUPS)),
        };
        let classes = sites.chunk_by(|a, b| class(a) == class(b));
        classes.flat_map(|class| class.chunks(most)).map(group).collect()
    }

    /// Puts the probes of a group in; where that fails they are out.
    fn put_in(&self, at: &At<'_>, group: &mut Group) -> anyhow::Result<()> {
        for part in Part::IN_ORDER {
            if at.switches && part == Part::LeaveOther {
                continue;
            }
            group.links[part as usize] = self.link(part, at, group)?;
        }
        Ok(())
    }

    /// Takes the probes of one site out of an attached process. What is in the same links is put into others before, so that it is
    /// never without. `None`: it has none.
    pub fn shed(&self, attached: &mut Attached, at: &At<'_>, site: usize) -> anyhow::Result<Option<Shed>> {
        let found = attached
            .groups
            .iter()
            .position(|group| group.sites.contains(&site));
        let Some(found) = found else {
            return Ok(None);
        };
        let group = &attached.groups[found];
        let rest: Vec<usize> = group.sites.iter().copied().filter(|one| *one != site).collect();
        let mut apart = Group {
            file: group.file,
            sites: rest.clone(),
            gate: !group.gate,
            links: Default::default(),
        };
        if !rest.is_empty() {
            self.put_in(at, &mut apart)?;
            attached.groups.push(apart);
        }
        let old = attached.groups.swap_remove(found);
        Ok(Some(Shed {
            old: Attached { groups: vec![old] },
            moved: rest,
            in_flight_too: at.kernel.returns().1 == Probe::Session,
        }))
    }

    /// Puts the probes of one site back, alone.
    pub fn restore(
        &self,
        attached: &mut Attached,
        at: &At<'_>,
        (site, gate): (usize, bool),
    ) -> anyhow::Result<()> {
        let mut group = Group {
            file: self.sites[site].file,
            sites: vec![site],
            gate,
            links: Default::default(),
        };
        self.put_in(at, &mut group)?;
        attached.groups.push(group);
        Ok(())
    }

    /// Enters functions in which Python code may run anew, where the return probes of other processes are not; after
    /// [`Attached::spare_stack_switches`].
    pub fn enter_apart(&self, attached: &mut Attached, at: &At<'_>) -> anyhow::Result<()> {
        for group in &mut attached.groups {
            group.links[Part::EnterOther as usize] = self.link(Part::EnterOther, at, group)?;
        }
        Ok(())
    }

    /// The probes of one part of a group.
    fn link(&self, part: Part, at: &At<'_>, group: &Group) -> anyhow::Result<Option<Link>> {
        // Where C stacks are switched, functions in which Python code may run have no probed returns.
        let leaf = matches!(part, Part::EnterLeaf | Part::LeaveLeaf);
        let (returns, kind) = at.kernel.returns();
        let around = kind == Probe::Session && (leaf || !at.switches);
        let gate = if group.gate { GATE } else { 0 };
        let sites = group.sites.iter().map(|site| &self.sites[*site]);
        let points: Vec<Point> = sites
            .filter(|site| part.has(site, around))
            .filter_map(|site| {
                let plan = site.plan_in(part, at.switches)?;
                Some(Point {
                    offset: site.file_offset + u64::from(plan.offset),
                    cookie: site.cookie(at.index, plan) | gate,
                })
            })
            .collect();
        if points.is_empty() {
            return Ok(None);
        }
        let (program, probe) = match part {
            Part::EnterLeaf | Part::EnterOther => (at.kernel.entry(), Probe::Entry),
            Part::LeaveLeaf | Part::LeaveOther => (returns, kind),
            Part::EndRun | Part::BeginRun => {
                let program = at.kernel.run().context("the program for --calls is not loaded")?;
                (program, Probe::Entry)
            }
        };
        let mapped = &self.discovery.files[group.file];
        let path: PathBuf = match at.process {
            Some(process) => process.mapping_link(&mapped.mapping),
            None => self.opened(group.file)?,
        };
        Link::attach(program, probe, &path, &points, at.process.map_or(0, Process::pid))
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
