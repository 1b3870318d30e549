//! What tracing may cost each process (`--budget`): probes go where they cost too much, and come back for moments.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    thread,
};

use tokio::time::Instant;
use tracer_common::budget::Terms;
use tracer_user::{
    attach::{Kernel, KernelError, Prices},
    budget::{Account, Host, Seen, Step},
    decode::pair::Lost,
    process::Process,
    recording::Recorder,
    sink::{ProcessBudget, ProcessChange, ShedFunction},
    sites::Price,
};

use super::{Live, OVER_BUDGET, Session, processes::name, shared::Group};
use crate::{
    agent::orders::Cost,
    cli::Share,
    probes::{At, Attached, Grouping},
    report::{monotonic_ns, now_ns},
    ring::Ring,
    target::{Site, Traced},
};

/// How much later than it was let in a call may say that it began, nanoseconds: a site that was closed is not open again so soon.
const LATE_NS: u64 = 5_000_000;

/// Ended processes that the summary has, at most.
const MAX_ENDED: usize = 1024;

/// Ended processes whose sites wait for others, at most.
const MAX_RETIRED: usize = 256;

/// What an account is of: a process, or a group of processes.
pub trait Holder {
    /// What was found.
    fn parts(&self) -> &[Arc<Traced>];
    /// Indices of its processes.
    fn targets(&self) -> Vec<u16>;
    /// Where its probes go, what was found, and those that are there, in the same order.
    fn probes<'a>(&'a mut self, kernel: &'a Kernel) -> (At<'a>, &'a [Arc<Traced>], &'a mut Vec<Attached>);

    /// Which part has a site, and where.
    fn find(&self, site: u32) -> Option<(usize, usize)> {
        let parts = self.parts().iter().enumerate();
        parts
            .filter_map(|(n, part)| {
                let at = part.sites.iter().position(|one| one.number == site)?;
                Some((n, at))
            })
            .next()
    }
}

/// The key of a group's account: no process has that id.
pub fn group_key(number: u32) -> u32 {
    GROUP | number
}

const GROUP: u32 = 1 << 31;

/// The number of a group, if it is the key of one.
fn group_number(holder: u32) -> Option<u32> {
    (holder & GROUP != 0).then_some(holder & !GROUP)
}

/// The accounts of all processes, and groups of processes.
pub struct Budget {
    prices: Prices,
    accounts: HashMap<u32, Account>,
    /// Of the probes of sites; others' is 0.
    generations: HashMap<u32, u32>,
    /// Windows in progress by process: when each began (Unix time), the site's calls until then, and since when it had not been
    /// seen (`CLOCK_MONOTONIC`).
    windows: HashMap<u32, (u64, u64, u64)>,
    /// When a site was last seen, by process and site.
    left: HashMap<(u32, u32), u64>,
    ended: Vec<ProcessBudget>,
    /// What all may cost together.
    host: Option<Host>,
    /// What was found in processes that have ended: their sites' numbers serve others.
    retired: Vec<Vec<Arc<Traced>>>,
    /// Where probes are out by now.
    closed: (mpsc::Sender<Lost>, mpsc::Receiver<Lost>),
}

impl Budget {
    /// Finds out what a probe costs here.
    pub fn new(kernel: &Kernel) -> Result<Self, KernelError> {
        let prices = kernel.prices()?;
        log::info!(
            "a probe costs {} ns at an entry ({} where the instruction is stepped), {} ns at a return, and its program's time",
            prices.entry_ns,
            prices.stepped_entry_ns,
            prices.return_ns
        );
        Ok(Self {
            prices,
            accounts: HashMap::new(),
            generations: HashMap::new(),
            windows: HashMap::new(),
            left: HashMap::new(),
            ended: Vec::new(),
            host: None,
            retired: Vec::new(),
            closed: mpsc::channel(),
        })
    }

    /// What the kernel half is told of a site.
    fn terms(&self, site: &Site) -> Terms {
        let entry_ns = match site.price() {
            Price::Emulated => self.prices.entry_ns,
            Price::SingleStepped => self.prices.stepped_entry_ns,
        };
        let generation = self.generations.get(&site.number).copied().unwrap_or(0);
        Terms::new(generation, entry_ns, self.prices.return_ns)
    }

    /// Tells it what sites cost, before they are probed.
    pub fn number(&self, kernel: &mut Kernel, sites: &[Site]) -> Result<(), KernelError> {
        sites
            .iter()
            .try_for_each(|site| kernel.set_terms(site.number, self.terms(site)))
    }

    /// Takes in what was attached. `paid`: what that process, or group, has cost already; `cost`: its sites.
    pub fn add(&mut self, holder: u32, paid: u64, traced: &Traced, share: Share, cost: impl Fn(u32) -> u64) {
        let now = monotonic_ns();
        let account = self
            .accounts
            .entry(holder)
            .or_insert_with(|| Account::new(share.of_one(), now, paid));
        for site in &traced.sites {
            account.add(site.number, now, cost(site.number));
        }
    }

    /// A group has gone.
    pub fn forget_group(&mut self, number: u32) {
        self.accounts.remove(&group_key(number));
        self.windows.remove(&group_key(number));
        self.left.retain(|(of, _), _| *of != group_key(number));
    }

    /// Turns the gate of a site: who comes by the probe that serves it now is not served any more. The bit of the next one.
    fn turn(&mut self, kernel: &mut Kernel, site: &Site) -> Result<bool, KernelError> {
        let generation = self.generations.entry(site.number).or_insert(0);
        *generation += 1;
        let gate = *generation % 2 == 1;
        kernel.set_terms(site.number, self.terms(site))?;
        Ok(gate)
    }

    /// Does what the account of a process asks for; the calls whose ends may not be seen are added to `lost`.
    fn step(
        &mut self,
        kernel: &mut Kernel,
        (key, holder): (u32, &mut dyn Holder),
        step: Step,
        lost: &mut Vec<Lost>,
    ) -> anyhow::Result<Option<Told>> {
        let (Step::Shed { site, .. } | Step::Open { site } | Step::Close { site } | Step::Restore { site }) =
            step;
        let Some((part, of_part)) = holder.find(site) else {
            return Ok(None);
        };
        let traced = Arc::clone(&holder.parts()[part]);
        let change = self.note(key, &traced.sites[of_part], step, kernel.counters(site)?.hits);
        match step {
            Step::Shed { .. } | Step::Close { .. } => {
                self.take_out(kernel, holder, (part, of_part), lost)?;
            }
            Step::Open { .. } => {
                let gate = self.turn(kernel, &traced.sites[of_part])?;
                let (at, _, attached) = holder.probes(kernel);
                traced.restore(&mut attached[part], &at, (of_part, gate))?;
            }
            Step::Restore { .. } => {}
        }
        // What happens to a group is of no single process.
        let pid = if group_number(key).is_some() { 0 } else { key };
        Ok(change.map(|change| Told { pid, change }))
    }

    /// Notes what is done; what is to be written of it. `calls`: of that site, so far.
    fn note(&mut self, pid: u32, site: &Site, step: Step, calls: u64) -> Option<ProcessChange> {
        let (now, key) = (monotonic_ns(), (pid, site.number));
        let function = || site.meta.function.to_string();
        match step {
            Step::Shed { rate, .. } => {
                self.left.insert(key, now);
                Some(ProcessChange::Shed {
                    function: function(),
                    cost_ppm: ppm(rate),
                    budget_ppm: ppm(self.accounts.get(&pid).map_or(0.0, |account| account.cost().0)),
                })
            }
            Step::Open { .. } => {
                let left = self.left.get(&key).copied().unwrap_or(now);
                self.windows.insert(pid, (now_ns(), calls, left));
                None
            }
            Step::Close { .. } | Step::Restore { .. } => {
                self.left.insert(key, now);
                let (from_ns, before, left) = self.windows.remove(&pid)?;
                let seen_ns = now_ns().saturating_sub(from_ns);
                Some(ProcessChange::Window {
                    function: function(),
                    from_ns,
                    calls: calls.saturating_sub(before),
                    unseen_ns: now.saturating_sub(left).saturating_sub(seen_ns),
                    stays: matches!(step, Step::Restore { .. }),
                })
            }
        }
    }

    /// Takes the probes of a site out.
    fn take_out(
        &mut self,
        kernel: &mut Kernel,
        holder: &mut dyn Holder,
        (part, of_part): (usize, usize),
        lost: &mut Vec<Lost>,
    ) -> anyhow::Result<()> {
        let traced = Arc::clone(&holder.parts()[part]);
        // From now on nobody comes by its probes, and those who have may not be seen to end.
        self.turn(kernel, &traced.sites[of_part])?;
        let targets = holder.targets();
        let (at, _, attached) = holder.probes(kernel);
        let Some(shed) = traced.shed(&mut attached[part], &at, of_part)? else {
            return Ok(());
        };
        for moved in &shed.moved {
            self.turn(kernel, &traced.sites[*moved])?;
        }
        let before_ns = monotonic_ns();
        let number = |site: &usize| traced.sites[*site].number;
        let mut closed = Vec::new();
        for target in targets {
            closed.push(Lost {
                target,
                sites: vec![number(&of_part)],
                before_ns: before_ns + LATE_NS,
            });
            if shed.in_flight_too && !shed.moved.is_empty() {
                closed.push(Lost {
                    target,
                    sites: shed.moved.iter().map(number).collect(),
                    before_ns,
                });
            }
        }
        lost.extend(closed.iter().cloned());
        let tell = self.closed.0.clone();
        // Taking probes out waits for the kernel; nothing waits for this.
        thread::spawn(move || {
            Attached::detach(vec![shed.old]);
            for closed in closed {
                let _ = tell.send(closed);
            }
        });
        Ok(())
    }

    /// The sites of a process that has ended may be another's.
    pub fn retire(&mut self, parts: Vec<Arc<Traced>>) {
        if self.retired.len() < MAX_RETIRED {
            self.retired.push(parts);
        }
    }

    /// Those of one in which the same was found.
    fn take_like(&mut self, parts: &[Arc<Traced>]) -> Option<Vec<Arc<Traced>>> {
        let found = self.retired.iter().position(|retired| {
            retired.len() == parts.len() && retired.iter().zip(parts).all(|(a, b)| a.has_same_sites(b))
        })?;
        Some(self.retired.swap_remove(found))
    }

    /// A process is not traced any more.
    pub fn forget(&mut self, pid: u32, name: impl Fn(u32) -> String) {
        // Of the many that an agent sees, nobody waits for a summary.
        if let Some(account) = self.accounts.remove(&pid)
            && self.ended.len() < MAX_ENDED
        {
            self.ended.push(report(pid, &account, name));
        }
        self.windows.remove(&pid);
        self.left.retain(|(of, _), _| *of != pid);
    }
}

/// What is to be written.
struct Told {
    pid: u32,
    change: ProcessChange,
}

/// A share of a processor in millionths.
fn ppm(share: f64) -> u64 {
    (share * 1e6).round() as u64
}

fn report(pid: u32, account: &Account, name: impl Fn(u32) -> String) -> ProcessBudget {
    let (budget, cost) = account.cost();
    let function = |seen: Seen| ShedFunction {
        function: name(seen.site),
        sheds: seen.sheds,
        windows: seen.windows,
        seen: seen.seen_ns as f64 / seen.of_ns.max(1) as f64,
    };
    ProcessBudget {
        pid,
        budget,
        cost,
        shed: account.seen(monotonic_ns()).into_iter().map(function).collect(),
    }
}

impl Holder for Live {
    fn parts(&self) -> &[Arc<Traced>] {
        &self.parts
    }

    fn targets(&self) -> Vec<u16> {
        vec![self.index]
    }

    fn probes<'a>(&'a mut self, kernel: &'a Kernel) -> (At<'a>, &'a [Arc<Traced>], &'a mut Vec<Attached>) {
        Live::probes(self, kernel)
    }
}

impl Session {
    /// What was found in a process, with sites of its own for one that was forked from it: each pays for its own.
    pub(super) fn own(&mut self, parts: Vec<Arc<Traced>>) -> anyhow::Result<Vec<Arc<Traced>>> {
        let retired = self.budget.as_mut().and_then(|budget| budget.take_like(&parts));
        if let Some(retired) = retired {
            return Ok(retired);
        }
        let own = parts.into_iter().map(|part| {
            let mut own = Traced::clone(&part);
            self.number(&mut own)?;
            Ok(Arc::new(own))
        });
        own.collect()
    }

    /// How sites are put into links.
    pub(super) fn grouping(&self) -> Grouping {
        match self.budget {
            Some(_) => Grouping::Few,
            None => Grouping::Files,
        }
    }

    /// When accounts are to be looked at next.
    pub fn next_account(&self) -> Option<Instant> {
        let accounts = self.budget.as_ref()?.accounts.values();
        let next = accounts.map(Account::next_ns).min()?;
        let left = next.saturating_sub(monotonic_ns());
        Some(Instant::now() + std::time::Duration::from_nanos(left))
    }

    /// Looks at the accounts that are due, and keeps the budget.
    pub fn keep_budget(&mut self) -> anyhow::Result<()> {
        let Some(budget) = &mut self.budget else {
            return Ok(());
        };
        let now = monotonic_ns();
        if let Some(host) = &mut budget.host
            && host.is_due(now)
        {
            let own = budget
                .accounts
                .iter()
                .filter(|(key, _)| group_number(**key).is_none());
            let own: u64 = own.map(|(_, account)| account.paid_ns()).sum();
            let paid = own + self.groups.all().map(Group::all_ns).sum::<u64>();
            let part = host.look(now, paid);
            budget
                .accounts
                .values_mut()
                .for_each(|account| account.allow(part));
        }
        let due = budget
            .accounts
            .iter()
            .filter(|(_, account)| account.next_ns() <= now);
        let due: Vec<u32> = due.map(|(pid, _)| *pid).collect();
        let (mut told, mut lost) = (Vec::new(), Vec::new());
        for pid in due {
            let Some(account) = budget.accounts.get_mut(&pid) else {
                continue;
            };
            let kernel = &self.kernel;
            let (holder, steps): (&mut dyn Holder, _) = match group_number(pid) {
                Some(number) => {
                    let Some(group) = self.groups.get_mut(number) else {
                        continue;
                    };
                    let paid = group.look(kernel)?;
                    let steps = account.look(now, paid, |site| group.site_cost_ns(kernel, site));
                    (group, steps)
                }
                None => {
                    let Some(live) = self.live.get_mut(&pid) else {
                        continue;
                    };
                    let paid = kernel.cost_ns(live.index.into())?;
                    let steps = account.look(now, paid, |site| kernel.site_cost_ns(site).unwrap_or(0));
                    (live, steps)
                }
            };
            for step in steps {
                match budget.step(&mut self.kernel, (pid, &mut *holder), step, &mut lost) {
                    Ok(one) => told.extend(one),
                    // One that has ended meanwhile is no more than that.
                    Err(error) if Process::open(pid).is_ok() => {
                        log::warn!("the budget of process {pid} cannot be kept: {error:#}");
                    }
                    Err(_) => {}
                }
            }
        }
        for lost in lost {
            if self.recorder.is_some() {
                Recorder::lost_calls(lost.clone(), &mut self.buffer);
            }
            self.pairing.loses(lost);
        }
        for Told { pid, change } in told {
            self.event(pid, &change);
        }
        Ok(())
    }

    /// Ends the calls whose returns are not seen any more, where probes are out by now.
    pub fn end_closed(&mut self, ring: &mut Ring) {
        let closed = self.budget.iter().flat_map(|budget| budget.closed.1.try_iter());
        let closed: Vec<Lost> = closed.collect();
        if closed.is_empty() {
            return;
        }
        // Returns that were seen before.
        self.drain_all(ring);
        for closed in closed {
            let Self {
                pairing,
                reporter,
                buffer,
                recorder,
                ..
            } = self;
            pairing.give_up(&closed, OVER_BUDGET, &mut |call| reporter.call(&call, buffer));
            if recorder.is_some() {
                Recorder::given_up(closed, buffer);
            }
        }
    }

    /// Writes what each process has paid since the last time.
    pub(super) fn tell_costs(&mut self) {
        let Some(budget) = &mut self.budget else {
            return;
        };
        let sites = &self.sites;
        let changes: Vec<Told> = budget
            .accounts
            .iter_mut()
            .map(|(pid, account)| {
                let (cost, shed) = account.cost_since();
                let change = ProcessChange::Cost {
                    cost_ppm: ppm(cost),
                    budget_ppm: ppm(account.cost().0),
                    shed: shed.into_iter().map(|site| name(sites, site)).collect(),
                };
                Told { pid: *pid, change }
            })
            .collect();
        for Told { pid, change } in changes {
            self.event(pid, &change);
        }
    }

    /// What each process has paid since the last time, and how many of its functions are not seen now.
    pub fn costs(&mut self) -> Vec<Cost> {
        let accounts = self.budget.iter_mut().flat_map(|budget| &mut budget.accounts);
        let mut all = Vec::new();
        for (holder, account) in accounts {
            let (cost, shed) = account.cost_since();
            let of_one = Cost {
                pid: *holder,
                cost_ppm: ppm(cost),
                budget_ppm: ppm(account.cost().0),
                shed: shed.len(),
            };
            let group = group_number(*holder).map(|number| self.groups.get_mut(number));
            match group {
                Some(Some(group)) => all.extend(group.costs(of_one.budget_ppm, of_one.shed)),
                Some(None) => {}
                None => all.push(of_one),
            }
        }
        all
    }

    /// What tracing may cost all processes together.
    pub fn set_host_budget(&mut self, share: Share) {
        if let Some(budget) = &mut self.budget {
            budget.host = Some(Host::new(share.of_one()));
        }
    }

    /// What each process has paid, for the summary.
    pub(super) fn budgets(&self) -> Vec<ProcessBudget> {
        let Some(budget) = &self.budget else {
            return Vec::new();
        };
        let name = |site| name(&self.sites, site);
        // A group's is that of no single process.
        let going_on = budget
            .accounts
            .iter()
            .filter(|(key, _)| group_number(**key).is_none());
        let going_on = going_on.map(|(pid, account)| report(*pid, account, name));
        let mut all: Vec<ProcessBudget> = budget.ended.iter().cloned().chain(going_on).collect();
        all.sort_by_key(|one| one.pid);
        all
    }
}
