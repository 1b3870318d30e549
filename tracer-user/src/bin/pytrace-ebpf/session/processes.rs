//! Processes that come to a trace and leave it.

use std::{borrow::Cow, collections::HashSet, sync::Arc, thread};

use anyhow::Context as _;
use tracer_common::share::{NO_GROUP, Sharer};
use tracer_user::{
    attach::Link,
    event::{SiteMeta, sum},
    process::Process,
    recording::{Recorder, item},
    sink::{ProcessChange, TargetInfo},
};

use super::{
    Belongings, Found, How, Live, PROCESS_ENDED, PROGRAM_REPLACED, Session, TRACING_ENDED, numbers::Returned,
};
use crate::{
    cli::Share,
    harm,
    probes::{At, Attached},
    profile,
    target::Traced,
};

impl Session {
    /// Takes a process in, of which nothing is seen before [`Self::attach`].
    pub fn admit(&mut self, traced: Traced) -> anyhow::Result<TargetInfo> {
        self.admit_as(traced, self.how.clone())
    }

    /// As [`Self::admit`], to be traced in its own way.
    pub fn admit_as(&mut self, mut traced: Traced, how: How) -> anyhow::Result<TargetInfo> {
        let group = self.group_of(&traced, &how);
        match group {
            Some(group) => self.share(group, &mut traced, &how)?,
            None => self.number(&mut traced)?,
        }
        let info = self.info(&traced, traced.process.pid(), how.budget);
        let switches = harm::Policy::of(&traced.process)?.switches_stacks();
        let process = Arc::clone(&traced.process);
        let pid = info.pid;
        self.enter(process, vec![Arc::new(traced)], switches, info.clone(), how, None)?;
        if let Some(live) = self.live.get_mut(&pid) {
            live.group = group;
            if self.numbers.way_back().is_some() {
                // Of many, no more is kept than is needed.
                let parts = live.parts.iter_mut().filter_map(Arc::get_mut);
                parts.for_each(|part| part.discovery.types = Vec::new());
            }
        }
        Ok(info)
    }

    /// Takes in a process that was just forked from a traced one, to trace it in the same way; false where the parent
    /// is not traced.
    pub fn admit_fork(&mut self, parent: u32, pid: u32) -> anyhow::Result<bool> {
        let Some(live) = self.live.get(&parent) else {
            return Ok(false);
        };
        let (mut parts, switches, parent) = (live.parts.clone(), live.switches, live.index);
        let how = live.how.clone();
        if self.budget.is_some() {
            parts = self.own(parts)?;
        }
        let info = self.info(parts.first().context("nothing was found")?, pid, how.budget);
        let process = Arc::new(Process::open(pid)?);
        self.enter(process, parts, switches, info, how, Some(parent))?;
        Ok(true)
    }

    fn enter(
        &mut self,
        process: Arc<Process>,
        parts: Vec<Arc<Traced>>,
        switches: bool,
        info: TargetInfo,
        how: How,
        parent: Option<u16>,
    ) -> anyhow::Result<()> {
        let index = self.numbers.target()?;
        let first = parts.first().context("nothing was found")?;
        let mut target = first.interpreter.target(&process, how.limits);
        let mut belongings = Belongings::default();
        belongings.look(&process, &first.interpreter, &mut target);
        self.kernel.set_target(u32::from(index), target)?;
        self.kernel
            .set_process(info.pid, Sharer::new(NO_GROUP, index.into()))?;
        if switches {
            self.kernel.spare(u32::from(index))?;
        }
        if let Some(sampler) = &mut self.sampler {
            profile::add(sampler, &process, index)?;
        }
        let interpreter = Arc::clone(&first.interpreter);
        self.reporter.set_pid(index, info.pid);
        let names = self.reporter.names();
        match parent {
            Some(parent) => names.insert_fork(index, parent, Arc::clone(&process), interpreter),
            None => names.insert(index, Arc::clone(&process), interpreter),
        }
        for part in &parts {
            names.know_types(index, &part.discovery.types);
            if let Some(adding) = &mut self.adding {
                adding.know_types(index, &part.discovery.types);
            }
        }
        if self.recorder.is_some() {
            Recorder::target(index, info, switches, &mut self.buffer);
        }
        self.pairing.switches(index, switches);
        let live = Live {
            index,
            known: parts.iter().flat_map(|part| part.places()).collect(),
            process,
            parts,
            attached: Vec::new(),
            watch: Vec::new(),
            loads: Vec::new(),
            target,
            belongings,
            switches,
            how,
            group: None,
        };
        self.live.insert(live.process.pid(), live);
        Ok(())
    }

    /// Puts the probes of an admitted process in; where that fails it is no longer traced.
    pub fn attach(&mut self, pid: u32) -> anyhow::Result<()> {
        let attached = self.put_in(pid);
        if attached.is_err() {
            if let Some(live) = self.live.remove(&pid) {
                self.give_back(live);
            }
            // One that has ended meanwhile is no more than that.
            Process::open(pid)?;
        }
        attached
    }

    /// Says which functions of a process were wanted but cannot be traced.
    pub fn warn_refused(&self, pid: u32) {
        let parts = self.live.get(&pid).into_iter().flat_map(|live| &live.parts);
        for part in parts {
            for (function, why) in &part.refused {
                log::warn!("{function} is not traced: {why}");
            }
            if let Some(unseen) = part.unseen {
                log::warn!("partly unseen: {unseen}");
            }
        }
    }

    fn put_in(&mut self, pid: u32) -> anyhow::Result<()> {
        // It may have come since the process was looked at.
        self.look_for_switches(pid)?;
        let grouping = self.grouping();
        let Some(live) = self.live.get_mut(&pid) else {
            return Ok(());
        };
        let (index, share) = (live.index, live.how.budget);
        if let Some(group) = live.group {
            return self.join(group, pid, index);
        }
        let (at, parts, attached) = live.probes(&self.kernel);
        for part in parts {
            attached.push(part.attach(&at, grouping)?);
            if let (Some(budget), Some(share)) = (&mut self.budget, share) {
                let paid = self.kernel.cost_ns(index.into())?;
                let cost = |site| self.kernel.site_cost_ns(site).unwrap_or(0);
                budget.add(pid, paid, part, share, cost);
            }
        }
        Ok(())
    }

    /// Keeps a probe that watches as long as the process is traced.
    pub fn keep(&mut self, pid: u32, link: Link) {
        if let Some(live) = self.live.get_mut(&pid) {
            live.watch.push(link);
        }
    }

    /// As [`Self::keep`], of one that tells of modules: it goes when the process begins to switch C stacks.
    pub fn keep_loads(&mut self, pid: u32, link: Link) {
        if let Some(live) = self.live.get_mut(&pid) {
            live.loads.push(link);
        }
    }

    /// The first look at a process, which knows where to watch it, the process itself, its index, and whether it
    /// switches stacks.
    pub fn first_part(&self, pid: u32) -> Option<(Arc<Traced>, Arc<Process>, u8, bool)> {
        let live = self.live.get(&pid)?;
        let first = Arc::clone(live.parts.first()?);
        Some((first, Arc::clone(&live.process), live.index as u8, live.switches))
    }

    /// Looks a process over again and probes what has come. `None`: it is not traced.
    pub fn rescan(&mut self, pid: u32) -> anyhow::Result<Option<Found>> {
        let switches = self.look_for_switches(pid)?;
        self.look_for_belongings()?;
        let Some(live) = self.live.get(&pid) else {
            return Ok(None);
        };
        let first = live.parts.first().context("nothing was found")?;
        let mut traced = first.find_new(pid, &live.how.wanted, &live.known)?;
        let (index, how, group) = (live.index as u8, live.how.clone(), live.group);
        let functions = traced.sites.len();
        let files: HashSet<usize> = traced.sites.iter().map(|site| site.file).collect();
        let files = files
            .into_iter()
            .map(|file| traced.discovery.files[file].path.display().to_string())
            .collect();
        if functions != 0 {
            let attached = match group {
                Some(group) => {
                    self.share(group, &mut traced, &how)?;
                    None
                }
                None => {
                    self.number(&mut traced)?;
                    Some(self.attach_new(pid, &traced, switches, index, how.budget)?)
                }
            };
            if let Some(live) = self.live.get_mut(&pid) {
                live.known.extend(traced.places());
                live.attached.extend(attached);
                self.reporter
                    .names()
                    .know_types(live.index, &traced.discovery.types);
                if let Some(adding) = &mut self.adding {
                    adding.know_types(live.index, &traced.discovery.types);
                }
                if self.numbers.way_back().is_some() {
                    traced.forget_functions();
                }
                live.parts.push(Arc::new(traced));
            }
        }
        Ok(Some(Found { files, functions }))
    }

    /// Puts the probes in of what has come to a process.
    fn attach_new(
        &mut self,
        pid: u32,
        traced: &Traced,
        switches: bool,
        index: u8,
        share: Option<Share>,
    ) -> anyhow::Result<Attached> {
        {
            let at = At {
                kernel: &self.kernel,
                process: Some(&traced.process),
                index,
                switches,
            };
            let attached = traced.attach(&at, self.grouping())?;
            if let (Some(budget), Some(share)) = (&mut self.budget, share) {
                let paid = self.kernel.cost_ns(index.into())?;
                let cost = |site| self.kernel.site_cost_ns(site).unwrap_or(0);
                budget.add(pid, paid, traced, share, cost);
            }
            Ok(attached)
        }
    }

    /// Gives the sites of a process their numbers.
    pub(super) fn number(&mut self, traced: &mut Traced) -> anyhow::Result<()> {
        let numbers = self.numbers.sites(traced.sites.len())?;
        let mut sites = self.sites.to_vec();
        for (site, number) in traced.sites.iter_mut().zip(numbers) {
            site.number = number;
            match sites.get_mut(number as usize) {
                Some(before) => *before = site.meta.clone(),
                None => sites.push(site.meta.clone()),
            }
        }
        let first = self.sites.len();
        self.sites = sites.into();
        self.reporter.set_sites(Arc::clone(&self.sites));
        if self.recorder.is_some() {
            Recorder::sites(&self.sites[first..], &mut self.buffer);
        }
        if let Some(budget) = &self.budget {
            budget.number(&mut self.kernel, &traced.sites)?;
        }
        if let Some(facts) = &mut self.facts {
            for site in &traced.sites {
                facts.set(site.number, sum::facts(&site.meta))?;
            }
        }
        Ok(())
    }

    pub(super) fn info(&self, traced: &Traced, pid: u32, budget: Option<Share>) -> TargetInfo {
        TargetInfo {
            pid,
            python: traced.interpreter.python_version_string().to_owned(),
            executable: traced.interpreter.executable().display().to_string(),
            functions: traced.sites.len(),
            unseen: traced.unseen.map(Cow::Borrowed),
            budget: budget.map(Share::of_one),
        }
    }

    /// A process ended, or runs another program; false where it was not traced. Take its records first.
    pub fn ended(&mut self, pid: u32, exec: bool) -> bool {
        let why = if exec { PROGRAM_REPLACED } else { PROCESS_ENDED };
        let was_traced = self.leave(pid, why);
        if was_traced && !exec {
            self.event(pid, &ProcessChange::Exit);
        }
        was_traced
    }

    /// Whether a process is known to switch C stacks.
    pub fn switches(&self, pid: u32) -> bool {
        self.live.get(&pid).is_some_and(|live| live.switches)
    }

    /// Nothing more is recorded of a process.
    pub fn stop(&mut self, pid: u32) -> anyhow::Result<()> {
        if let Some(live) = self.live.get(&pid) {
            self.kernel.stop(live.index.into())?;
        }
        Ok(())
    }

    /// A process is not to be traced any more; false where it was not. [`Self::stop`] it and take its records first.
    pub fn released(&mut self, pid: u32) -> bool {
        self.leave(pid, TRACING_ENDED)
    }

    fn leave(&mut self, pid: u32, why: &'static str) -> bool {
        if let Some(live) = self.live.get(&pid) {
            self.numbers.forget(live.index);
        }
        let Some(live) = self.live.remove(&pid) else {
            return false;
        };
        if let Some(sampler) = &mut self.sampler {
            sampler.remove(pid);
        }
        if let Some(budget) = &mut self.budget {
            let sites = Arc::clone(&self.sites);
            budget.forget(pid, |site| name(&sites, site));
            if self.numbers.way_back().is_none() {
                budget.retire(live.parts.clone());
            }
        }
        self.unobserved(Some(live.index), why);
        self.reporter.forget(live.index);
        self.reporter.names().remove(live.index);
        self.judge.forget(live.index, &mut self.verdicts);
        self.run_judge.forget(live.index);
        if let Some(adding) = &mut self.adding {
            adding.forget(live.index);
        }
        if let Some(recorder) = &mut self.recorder {
            let gone = item::Gone {
                target: live.index,
                replaced: why == PROGRAM_REPLACED,
            };
            recorder.gone(gone, &mut self.buffer);
        }
        self.give_back(live);
        true
    }

    /// Takes the probes of a process out that is not traced any more; its numbers may serve others.
    fn give_back(&mut self, live: Live) {
        self.kernel.forget_process(live.process.pid());
        self.part(live.process.pid(), &live);
        let way_back = self.numbers.way_back();
        if way_back.is_none() {
            self.numbers.give_back_target(live.index);
        }
        // Taking probes out waits for the kernel; nothing waits for this.
        thread::spawn(move || {
            Attached::detach(live.attached);
            drop((live.watch, live.loads));
            if let Some(way_back) = way_back {
                // Those of a group stay its own.
                let parts = live.parts.iter().filter(|_| live.group.is_none());
                let sites = parts.flat_map(|part| &part.sites);
                let _ = way_back.send(Returned {
                    target: Some(live.index),
                    sites: sites.map(|site| site.number).collect(),
                });
            }
        });
    }
}

/// What a site is called.
pub(super) fn name(sites: &[SiteMeta], site: u32) -> String {
    let meta = sites.get(site as usize);
    meta.map(|meta| meta.function.to_string()).unwrap_or_default()
}
