//! Probes that serve several processes ([`tracer_common::share`]): those that have the same interpreter and are traced in the same way.
//!
//! A group has one probe where each of its processes would have its own. Its budget is that of the process which costs most.

use std::{
    collections::HashMap,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::PathBuf,
    sync::Arc,
    thread,
};

use anyhow::Context as _;
use tracer_common::{
    load::{LoadCookie, Module},
    share::{GROUPS, Sharer},
};
use tracer_user::attach::{Kernel, KernelError, Link, Point, Probe, has_sessions};

use super::{
    How, Live, Session,
    budget::{Holder, group_key},
    numbers::Returned,
};
use crate::{
    agent::orders::{Cost, Sharing},
    harm,
    probes::{At, Attached},
    report::monotonic_ns,
    target::{Place, Traced},
};

/// What processes of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The file that the interpreter is in.
    library: ((u32, u32), u64),
    sharing: Sharing,
    /// What is looked for, as it was given.
    wanted: String,
}

impl Key {
    /// `None`: the process has probes of its own.
    pub fn of(traced: &Traced, how: &How) -> Option<Self> {
        let library = traced.interpreter.library();
        (how.sharing != Sharing::Own).then(|| Self {
            library: (library.dev, library.inode),
            sharing: how.sharing,
            wanted: how.wanted.given.clone(),
        })
    }
}

/// Processes that share their probes.
pub struct Group {
    key: Key,
    /// In cookies, in place of an index.
    index: u8,
    numbers: HashMap<Place, u32>,
    parts: Vec<Arc<Traced>>,
    attached: Vec<Attached>,
    /// Probes that tell of modules, by device, inode and offset.
    loads: HashMap<(u64, u64, u64), Link>,
    members: HashMap<u32, Member>,
    paid: Paid,
}

/// A process of a group.
struct Member {
    index: u16,
    /// What it had cost at the last look, and when that was last told and what it was then.
    cost_ns: u64,
    told: (u64, u64),
}

/// What a group's probes have cost.
#[derive(Default)]
struct Paid {
    /// By that process that cost most, from look to look: no other has cost more.
    most_ns: u64,
    /// By all.
    all_ns: u64,
    /// The part of all that was the one's, at the last look.
    part: f64,
    /// Of sites: as it was at the last look, and as if only the one had paid.
    sites: HashMap<u32, (u64, f64)>,
}

impl Group {
    fn at<'a>(&self, kernel: &'a Kernel) -> At<'a> {
        At {
            kernel,
            process: None,
            index: self.index,
            switches: self.key.sharing == Sharing::SharedApart,
        }
    }

    /// Looks at what its processes have cost; what the one that cost most has, in all.
    pub(super) fn look(&mut self, kernel: &Kernel) -> Result<u64, KernelError> {
        let (mut most, mut all) = (0, 0);
        for member in self.members.values_mut() {
            let cost = kernel.cost_ns(member.index.into())?;
            let spent = cost.saturating_sub(member.cost_ns);
            member.cost_ns = cost;
            most = spent.max(most);
            all += spent;
        }
        self.paid.most_ns += most;
        self.paid.all_ns += all;
        if all != 0 {
            self.paid.part = most as f64 / all as f64;
        }
        Ok(self.paid.most_ns)
    }

    /// What a site has cost, as if only that process had paid for it. What each pays at which site is not counted apart: it is taken to be
    /// in proportion.
    pub(super) fn site_cost_ns(&mut self, kernel: &Kernel, site: u32) -> u64 {
        let cost = kernel.site_cost_ns(site).unwrap_or(0);
        let (before, of_one) = self.paid.sites.entry(site).or_insert((cost, 0.0));
        *of_one += cost.saturating_sub(*before) as f64 * self.paid.part;
        *before = cost;
        *of_one as u64
    }

    /// What all its processes have cost.
    pub(super) fn all_ns(&self) -> u64 {
        self.paid.all_ns
    }

    /// What each has cost since the last time.
    pub(super) fn costs(&mut self, budget_ppm: u64, shed: usize) -> impl Iterator<Item = Cost> {
        let now = monotonic_ns();
        self.members.iter_mut().map(move |(pid, member)| {
            let (since, before) = std::mem::replace(&mut member.told, (now, member.cost_ns));
            let took = now.saturating_sub(since).max(1) as f64;
            Cost {
                pid: *pid,
                cost_ppm: (member.cost_ns.saturating_sub(before) as f64 / took * 1e6) as u64,
                budget_ppm,
                shed,
            }
        })
    }
}

impl Holder for Group {
    fn parts(&self) -> &[Arc<Traced>] {
        &self.parts
    }

    fn targets(&self) -> Vec<u16> {
        self.members.values().map(|member| member.index).collect()
    }

    fn probes<'a>(&'a mut self, kernel: &'a Kernel) -> (At<'a>, &'a [Arc<Traced>], &'a mut Vec<Attached>) {
        (self.at(kernel), &self.parts, &mut self.attached)
    }
}

/// All groups, by number.
#[derive(Default)]
pub struct Groups {
    all: HashMap<u32, Group>,
}

impl Groups {
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.all.get_mut(&number)
    }

    pub fn all(&self) -> impl Iterator<Item = &Group> {
        self.all.values()
    }

    pub fn get(&self, number: u32) -> Option<&Group> {
        self.all.get(&number)
    }

    /// The group for a process; `None`: there are too many.
    fn find(&mut self, key: &Key) -> Option<u32> {
        let known = self.all.iter().find(|(_, group)| group.key == *key);
        if let Some((number, _)) = known {
            return Some(*number);
        }
        let number = GROUPS.into_iter().find(|number| !self.all.contains_key(number))?;
        let group = Group {
            key: key.clone(),
            index: number as u8,
            numbers: HashMap::new(),
            parts: Vec::new(),
            attached: Vec::new(),
            loads: HashMap::new(),
            members: HashMap::new(),
            paid: Paid::default(),
        };
        self.all.insert(number, group);
        Some(number)
    }
}

impl Session {
    /// The group that is to serve a process, if one is.
    pub(super) fn group_of(&mut self, traced: &Traced, how: &How) -> Option<u32> {
        let key = Key::of(traced, how)?;
        let policy = harm::Policy::of(&traced.process).ok()?;
        let switches = how.sharing == Sharing::SharedApart;
        // Only session programs leave other processes alone. A process that must not have a return probe even where no Python code runs
        // (`harm`) has probes of its own.
        let may = has_sessions() && policy.switches_stacks() == switches && policy.no_return(true).is_none();
        if !may {
            log::info!("process {} gets probes of its own", traced.process.pid());
            return None;
        }
        let found = self.groups.find(&key);
        if found.is_none() {
            log::info!(
                "process {} gets probes of its own: there are many groups",
                traced.process.pid()
            );
        }
        found
    }

    /// Gives the sites of a process the numbers that they have in the group, and the group those that it has not: their probes go in.
    pub(super) fn share(&mut self, number: u32, traced: &mut Traced, how: &How) -> anyhow::Result<()> {
        let places: Vec<Place> = traced.places().collect();
        let group = self.groups.get(number).context("the group has gone")?;
        let is_new = |place: &Place| !group.numbers.contains_key(place);
        let new: Vec<bool> = places.iter().map(is_new).collect();
        if new.contains(&true) {
            let mut part = Traced::clone(traced);
            part.discovery.types = Vec::new();
            part.discovery.functions = Vec::new();
            let mut is_new = new.iter();
            part.sites.retain(|_| is_new.next() == Some(&true));
            part.open_files()?;
            self.number(&mut part)?;
            let grouping = self.grouping();
            let group = self.groups.get_mut(number).context("the group has gone")?;
            let attached = part.attach(&group.at(&self.kernel), grouping)?;
            let numbers = part.places().zip(part.sites.iter().map(|site| site.number));
            group.numbers.extend(numbers.collect::<Vec<_>>());
            group.attached.push(attached);
            group.parts.push(Arc::new(part));
            if let (Some(budget), Some(share)) = (&mut self.budget, how.budget) {
                let part = group.parts.last().context("nothing was found")?;
                let paid = group.paid.most_ns;
                let cost = |site| group.paid.sites.get(&site).map_or(0, |(_, cost)| *cost as u64);
                budget.add(group_key(number), paid, part, share, cost);
            }
        }
        let group = self.groups.get(number).context("the group has gone")?;
        for (site, place) in traced.sites.iter_mut().zip(places) {
            site.number = *group.numbers.get(&place).context("a site has no number")?;
        }
        Ok(())
    }

    /// Lets the group's probes serve a process.
    pub(super) fn join(&mut self, number: u32, pid: u32, index: u16) -> anyhow::Result<()> {
        let group = self.groups.get_mut(number).context("the group has gone")?;
        let cost_ns = self.kernel.cost_ns(index.into())?;
        let member = Member {
            index,
            cost_ns,
            told: (monotonic_ns(), cost_ns),
        };
        group.members.insert(pid, member);
        self.kernel.set_process(pid, Sharer::new(number, index.into()))?;
        Ok(())
    }

    /// A process leaves its group; the last one's probes go.
    pub(super) fn part(&mut self, pid: u32, live: &Live) {
        let Some(number) = live.group else { return };
        let Some(group) = self.groups.get_mut(number) else {
            return;
        };
        group.members.remove(&pid);
        if group.members.is_empty() {
            self.close_group(number);
        }
    }

    /// Takes the probes of groups out that no process has come into, as it could not be traced.
    pub fn close_empty_groups(&mut self) {
        let all = self.groups.all.iter();
        let empty = all.filter(|(_, group)| group.members.is_empty());
        let empty: Vec<u32> = empty.map(|(number, _)| *number).collect();
        empty.into_iter().for_each(|number| self.close_group(number));
    }

    fn close_group(&mut self, number: u32) {
        let Some(group) = self.groups.all.remove(&number) else {
            return;
        };
        if let Some(budget) = &mut self.budget {
            budget.forget_group(number);
        }
        let way_back = self.numbers.way_back();
        thread::spawn(move || {
            Attached::detach(group.attached);
            drop(group.loads);
            if let Some(way_back) = way_back {
                let sites = group.numbers.into_values().collect();
                let _ = way_back.send(Returned { target: None, sites });
            }
        });
    }

    /// Watches a place where modules are loaded, for all processes of a group; false: the process is in none.
    pub fn watch_shared(
        &mut self,
        pid: u32,
        path: PathBuf,
        offset: u64,
        module: Module,
    ) -> anyhow::Result<bool> {
        let Some(number) = self.live.get(&pid).and_then(|live| live.group) else {
            return Ok(false);
        };
        let Some(program) = self.kernel.loads() else {
            return Ok(false);
        };
        let group = self.groups.get_mut(number).context("the group has gone")?;
        let file = std::fs::File::open(&path).context("cannot open it")?;
        let metadata = file.metadata()?;
        let key = (metadata.dev(), metadata.ino(), offset);
        if group.loads.contains_key(&key) {
            return Ok(true);
        }
        let cookie = LoadCookie {
            target: group.index,
            stop: false,
            module,
        };
        let point = Point {
            offset,
            cookie: cookie.pack(),
        };
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let link = Link::attach(program, Probe::Session, &path, &[point], 0).context("cannot watch it")?;
        group.loads.insert(key, link);
        Ok(true)
    }
}
