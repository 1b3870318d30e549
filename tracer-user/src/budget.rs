//! What tracing may cost a process, and what is left out where it would cost more.
//!
//! An account gets a share of one processor's time and pays what the probes cost, as the kernel half adds it up. Where it is overdrawn,
//! the dearest sites go. What is then left over is for windows: for some milliseconds a site's probes are back, so that something is
//! seen of it, and it is known whether it is still that dear. Nothing here touches a process: it says what is to be done.

use std::{collections::BTreeMap, time::Duration};

/// How often an account is looked at, and how often while it overspends: so long a dear site goes on before it is noticed.
const LOOK: Duration = Duration::from_millis(50);
const LOOK_SOON: Duration = Duration::from_millis(10);

/// Nanoseconds of earnings that are kept at most: a program may do a lot for a moment.
const SAVED_NS: f64 = 1e9;
/// Of debts that are remembered.
const OWED_NS: f64 = 10e9;
/// Part of the budget that the sites that stay may take; the rest is for windows.
const STAYING: f64 = 0.6;
/// Lengths of windows, nanoseconds: as they are aimed at, and the shortest and longest.
const WINDOW_NS: f64 = 10e6;
const WINDOWS_NS: (f64, f64) = (2e6, 100e6);
/// What a process pays for probes that come and go, nanoseconds: its threads' caches of instructions and addresses are flushed twice.
const SWITCH_NS: f64 = 60e3;
/// Windows in a row in which a site has to be cheap to stay: it may do a lot in turns.
const CHEAP_WINDOWS: u32 = 3;
/// Of one processor, what every process may cost, however many there are.
const LEAST_SHARE: f64 = 1e-5;
/// How often it is looked at what all processes cost together.
const HOST_LOOK_NS: u64 = 500_000_000;
/// How far the part that each may spend goes up or down at a look.
const HOST_STEPS: (f64, f64) = (0.25, 1.25);
/// How old the costs of sites may be by which the dearest are chosen.
const FRESH_NS: u64 = 1_000_000_000;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// The site's probes are to go. `rate`: what it cost, in processors.
    Shed { site: u32, rate: f64 },
    /// They are to be there for a moment.
    Open { site: u32 },
    /// The moment is over.
    Close { site: u32 },
    /// They are there for a moment, and are to stay.
    Restore { site: u32 },
}

/// What was seen of a site that had to go at some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    pub site: u32,
    /// How often it had to go, and how often it was back for a moment.
    pub sheds: u64,
    pub windows: u64,
    /// How long its probes were there, and how long they might have been, nanoseconds.
    pub seen_ns: u64,
    pub of_ns: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Site {
    since_ns: u64,
    /// Its probes are there, since that time.
    there: Option<u64>,
    /// Cost at the last look at sites.
    cost_ns: u64,
    /// Processors that it takes while its probes are there, as last seen.
    rate: f64,
    last_window_ns: u64,
    cheap_windows: u32,
    sheds: u64,
    windows: u64,
    seen_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    site: u32,
    from_ns: u64,
    until_ns: u64,
    /// What the site had cost when it began.
    cost_ns: u64,
}

/// One process's account. Times are those of one clock, nanoseconds.
#[derive(Debug)]
pub struct Account {
    /// What it may cost, and what it may now, where all together must not cost more.
    own_share: f64,
    share: f64,
    began_ns: u64,
    looked_ns: u64,
    /// Cost at the beginning, and at the last look.
    first_ns: u64,
    paid_ns: u64,
    /// Time and cost when the cost was last asked for.
    told: (u64, u64),
    credit_ns: f64,
    sites: BTreeMap<u32, Site>,
    /// When the costs of sites were looked at.
    fresh_ns: u64,
    window: Option<Window>,
    /// More is paid than earned; or nothing is known yet.
    overspends: bool,
}

impl Account {
    /// `share`: of one processor. `paid_ns`: what the process's index has cost already.
    pub fn new(share: f64, now_ns: u64, paid_ns: u64) -> Self {
        Self {
            own_share: share,
            share,
            began_ns: now_ns,
            looked_ns: now_ns,
            first_ns: paid_ns,
            paid_ns,
            told: (now_ns, paid_ns),
            credit_ns: share * SAVED_NS,
            sites: BTreeMap::new(),
            fresh_ns: now_ns,
            window: None,
            overspends: true,
        }
    }

    /// Takes a site in, whose probes are there from now on, and what it has cost.
    pub fn add(&mut self, site: u32, now_ns: u64, cost_ns: u64) {
        let new = Site {
            since_ns: now_ns,
            there: Some(now_ns),
            cost_ns,
            ..Site::default()
        };
        self.sites.insert(site, new);
    }

    /// Lets it spend that part of its share only, from 0 to 1.
    pub fn allow(&mut self, part: f64) {
        self.share = (self.own_share * part).max(LEAST_SHARE);
    }

    /// What was paid since the account was opened, as of the last look.
    pub fn paid_ns(&self) -> u64 {
        self.paid_ns.saturating_sub(self.first_ns)
    }

    /// When there is something to be done at the earliest, if [`Self::look`] was called at `now_ns`.
    pub fn next_ns(&self) -> u64 {
        let wait = if self.overspends { LOOK_SOON } else { LOOK };
        let look = self.looked_ns + wait.as_nanos() as u64;
        self.window.map_or(look, |window| look.min(window.until_ns))
    }

    /// Looks at what has been paid: `paid_ns` in all, `cost_ns` by each site. What is returned is to be done.
    pub fn look(&mut self, now_ns: u64, paid_ns: u64, mut cost_ns: impl FnMut(u32) -> u64) -> Vec<Step> {
        let took = now_ns.saturating_sub(self.looked_ns) as f64;
        let spent = paid_ns.saturating_sub(self.paid_ns) as f64;
        self.looked_ns = now_ns;
        self.paid_ns = paid_ns;
        self.overspends = self.window.is_none() && spent > self.share * took;
        self.credit_ns += self.share * took - spent;
        self.credit_ns = self.credit_ns.clamp(-self.share * OWED_NS, self.most_saved());
        let mut steps = Vec::new();
        let ending = self.window.filter(|window| now_ns >= window.until_ns);
        if let Some(window) = ending {
            steps.push(self.end_window(window, now_ns, &mut cost_ns));
        }
        if self.window.is_none() && self.credit_ns < 0.0 && self.overspends {
            self.choose(now_ns, &mut cost_ns, &mut steps);
        } else if now_ns.saturating_sub(self.fresh_ns) > FRESH_NS {
            self.refresh(now_ns, &mut cost_ns);
        }
        if steps.is_empty() && self.window.is_none() {
            steps.extend(self.begin_window(now_ns, &mut cost_ns));
        }
        steps
    }

    /// A window needs what it needs, however small the share is.
    fn most_saved(&self) -> f64 {
        let dearest = self.out().map(|(_, site)| price(site, WINDOWS_NS.0));
        dearest.fold(self.share * SAVED_NS, f64::max)
    }

    fn out(&self) -> impl Iterator<Item = (u32, &Site)> {
        let out = self.sites.iter().filter(|(_, site)| site.there.is_none());
        out.map(|(number, site)| (*number, site))
    }

    /// Notes what sites have cost, and the rate of those whose probes were there all the time.
    fn refresh(&mut self, now_ns: u64, cost_ns: &mut impl FnMut(u32) -> u64) {
        let took = now_ns.saturating_sub(self.fresh_ns).max(1) as f64;
        let fresh_ns = self.fresh_ns;
        let window = self.window.map(|window| window.site);
        for (number, site) in &mut self.sites {
            let cost = cost_ns(*number);
            if site.there.is_some() && window != Some(*number) {
                let there = now_ns.saturating_sub(fresh_ns.max(site.since_ns)).max(1) as f64;
                site.rate = cost.saturating_sub(site.cost_ns) as f64 / there.min(took);
            }
            site.cost_ns = cost;
        }
        self.fresh_ns = now_ns;
    }

    /// The dearest sites go, until the others fit.
    fn choose(&mut self, now_ns: u64, cost_ns: &mut impl FnMut(u32) -> u64, steps: &mut Vec<Step>) {
        self.refresh(now_ns, cost_ns);
        let there = self.sites.iter().filter(|(_, site)| site.there.is_some());
        let mut there: Vec<(u32, f64)> = there.map(|(number, site)| (*number, site.rate)).collect();
        there.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let mut all: f64 = there.iter().map(|(_, rate)| rate).sum();
        for (number, rate) in there {
            if all <= self.share * STAYING || rate <= 0.0 {
                break;
            }
            all -= rate;
            if let Some(site) = self.sites.get_mut(&number) {
                site.leave(now_ns);
                site.sheds += 1;
                site.cheap_windows = 0;
                site.last_window_ns = now_ns;
            }
            steps.push(Step::Shed { site: number, rate });
        }
    }

    /// The site that was seen least recently, if there is enough left for it.
    fn begin_window(&mut self, now_ns: u64, cost_ns: &mut impl FnMut(u32) -> u64) -> Option<Step> {
        let (number, site) = self.out().min_by_key(|(_, site)| site.last_window_ns)?;
        let aim = price(site, WINDOW_NS).min(self.most_saved() * 0.9);
        if self.credit_ns < aim.max(price(site, WINDOWS_NS.0)) {
            return None;
        }
        let affordable = (self.credit_ns - SWITCH_NS) / site.rate.max(1e-6);
        let lasts = affordable.clamp(WINDOWS_NS.0, WINDOWS_NS.1);
        self.credit_ns -= SWITCH_NS;
        self.window = Some(Window {
            site: number,
            from_ns: now_ns,
            until_ns: now_ns + lasts as u64,
            cost_ns: cost_ns(number),
        });
        let site = self.sites.get_mut(&number)?;
        site.there = Some(now_ns);
        site.windows += 1;
        Some(Step::Open { site: number })
    }

    fn end_window(&mut self, window: Window, now_ns: u64, cost_ns: &mut impl FnMut(u32) -> u64) -> Step {
        self.window = None;
        let number = window.site;
        let there = self.sites.iter().filter(|(_, site)| site.there.is_some());
        let others = there.filter(|(other, _)| **other != number);
        let others: f64 = others.map(|(_, site)| site.rate).sum();
        let cost = cost_ns(number);
        let took = now_ns.saturating_sub(window.from_ns).max(1) as f64;
        let rate = cost.saturating_sub(window.cost_ns) as f64 / took;
        let is_cheap = others + rate <= self.share * STAYING;
        let Some(site) = self.sites.get_mut(&number) else {
            return Step::Close { site: number };
        };
        // It may have done little just now: the next window is longer, not as long as that would allow.
        site.rate = rate.max(site.rate / 2.0);
        site.cost_ns = cost;
        site.last_window_ns = now_ns;
        site.cheap_windows = if is_cheap { site.cheap_windows + 1 } else { 0 };
        if site.cheap_windows >= CHEAP_WINDOWS {
            site.cheap_windows = 0;
            site.rate = rate;
            return Step::Restore { site: number };
        }
        site.leave(now_ns);
        Step::Close { site: number }
    }

    /// The budget, and what was paid of one processor since the account was opened.
    pub fn cost(&self) -> (f64, f64) {
        let took = self.looked_ns.saturating_sub(self.began_ns).max(1) as f64;
        (self.own_share, self.paid_ns() as f64 / took)
    }

    /// What was paid since this was last asked, of one processor, and the sites that are not seen now.
    pub fn cost_since(&mut self) -> (f64, Vec<u32>) {
        let (since, paid) = self.told;
        self.told = (self.looked_ns, self.paid_ns);
        let took = self.looked_ns.saturating_sub(since).max(1) as f64;
        let cost = self.paid_ns.saturating_sub(paid) as f64 / took;
        let window = self.window.map(|window| window.site);
        let out = self.out().map(|(site, _)| site).chain(window).collect();
        (cost, out)
    }

    /// The sites that had to go at some time.
    pub fn seen(&self, now_ns: u64) -> Vec<Seen> {
        let shed = self.sites.iter().filter(|(_, site)| site.sheds != 0);
        shed.map(|(number, site)| {
            let going_on = site.there.map_or(0, |since| now_ns.saturating_sub(since));
            Seen {
                site: *number,
                sheds: site.sheds,
                windows: site.windows,
                seen_ns: site.seen_ns + going_on,
                of_ns: now_ns.saturating_sub(site.since_ns),
            }
        })
        .collect()
    }

    /// Whether the probes of a site are there.
    pub fn is_there(&self, site: u32) -> bool {
        self.sites.get(&site).is_some_and(|site| site.there.is_some())
    }
}

/// What all processes may cost together: where they cost more, each may spend a part of its share only.
#[derive(Debug)]
pub struct Host {
    share: f64,
    part: f64,
    looked_ns: Option<u64>,
    paid_ns: u64,
}

impl Host {
    /// `share`: of one processor.
    pub fn new(share: f64) -> Self {
        Self {
            share,
            part: 1.0,
            looked_ns: None,
            paid_ns: 0,
        }
    }

    /// Whether it is time for [`Self::look`].
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.looked_ns
            .is_none_or(|looked| now_ns.saturating_sub(looked) >= HOST_LOOK_NS)
    }

    /// The part of its share that each may spend, given what all have paid, those that are there now.
    pub fn look(&mut self, now_ns: u64, paid_ns: u64) -> f64 {
        let before = self.looked_ns.replace(now_ns);
        // Less: some have ended.
        let spent = paid_ns.saturating_sub(std::mem::replace(&mut self.paid_ns, paid_ns));
        if let Some(took) = before
            .map(|before| now_ns.saturating_sub(before))
            .filter(|took| *took != 0)
        {
            let wanted = self.share / (spent as f64 / took as f64).max(1e-9);
            self.part = (self.part * wanted.clamp(HOST_STEPS.0, HOST_STEPS.1)).clamp(0.0, 1.0);
        }
        self.part
    }
}

impl Site {
    fn leave(&mut self, now_ns: u64) {
        if let Some(since) = self.there.take() {
            self.seen_ns += now_ns.saturating_sub(since);
        }
    }
}

/// What a window of that length costs, with the probes coming and going.
fn price(site: &Site, window_ns: f64) -> f64 {
    site.rate * window_ns + SWITCH_NS
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
