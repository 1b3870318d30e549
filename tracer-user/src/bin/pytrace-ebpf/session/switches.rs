//! Processes that come to switch C stacks (greenlet) while they are traced.

use std::{collections::HashSet, sync::Arc, time::Instant};

use tracer_user::{event::SiteMeta, process::Process, recording::Recorder};

use super::Session;
use crate::{
    agent::orders::{Said, push_said},
    harm,
    target::NOT_APART,
};

impl Session {
    /// Spares the returns of a process where it has come to switch C stacks; whether it does.
    pub(super) fn look_for_switches(&mut self, pid: u32) -> anyhow::Result<bool> {
        let switches = harm::Policy::of(&Process::open(pid)?)?.switches_stacks();
        let known = self.live.get(&pid).is_none_or(|live| live.switches);
        if switches && !known {
            self.spare_stack_switches(pid)?;
        }
        Ok(switches)
    }

    /// greenlet has come: return probes in functions that may run Python code go before it switches, and their entry
    /// probes to another instruction.
    fn spare_stack_switches(&mut self, pid: u32) -> anyhow::Result<()> {
        let Some(live) = self.live.get_mut(&pid) else {
            return Ok(());
        };
        live.switches = true;
        self.pairing.switches(live.index, true);
        self.kernel.spare(u32::from(live.index))?;
        let shares = live.group.is_some();
        if self.numbers.way_back().is_some() {
            // Who may share probes with whom is for the agent to say.
            push_said(&Said::Switches { pid }, &mut self.buffer);
        }
        if shares {
            // The kernel half leaves its returns alone from here on.
            return Ok(());
        }
        let Some(live) = self.live.get_mut(&pid) else {
            return Ok(());
        };
        // Those at the end of imports are return probes as well.
        let loads = std::mem::take(&mut live.loads);
        let before = Instant::now();
        let (at, parts, attached) = live.probes(&self.kernel);
        for (attached, part) in attached.iter_mut().zip(parts) {
            attached.spare_stack_switches();
            part.enter_apart(attached, &at)?;
        }
        drop(loads);
        for site in live.parts.iter().flat_map(|part| &part.sites) {
            if site.goes_with_switches() {
                log::warn!("{} is not traced from now on: {NOT_APART}", site.meta.function);
            }
        }
        log::warn!(
            "process {pid} loaded greenlet: what the calls of functions that may run Python code return is not seen from now on, \
             nor were such calls for {:?}",
            before.elapsed()
        );
        let policy = harm::Policy::of(&Process::open(pid)?)?;
        let why = policy.no_return(false);
        let others: HashSet<u32> = live
            .parts
            .iter()
            .flat_map(|part| &part.sites)
            .filter(|site| !site.leaf)
            .map(|site| site.number)
            .collect();
        self.sites = (0..)
            .zip(self.sites.iter())
            .map(|(number, meta)| SiteMeta {
                no_return: if others.contains(&number) {
                    why
                } else {
                    meta.no_return
                },
                ..meta.clone()
            })
            .collect();
        let again = self.live.get(&pid).and_then(|live| {
            let first = live.parts.first()?;
            Some((live.index, self.info(first, pid, live.how.budget)))
        });
        if let Some((index, info)) = again.filter(|_| self.recorder.is_some()) {
            Recorder::target(index, info, true, &mut self.buffer);
        }
        if let Some(why) = why.filter(|_| self.recorder.is_some()) {
            Recorder::spared(others.into_iter().collect(), why, &mut self.buffer);
        }
        self.reporter.set_sites(Arc::clone(&self.sites));
        Ok(())
    }
}
