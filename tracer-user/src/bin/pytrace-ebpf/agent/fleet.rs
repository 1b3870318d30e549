//! The processes that the agent knows, and where each is on its way: found, asked for, traced, refused. Nothing here touches a process:
//! what is to be done comes out as orders.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::{
    config::Config,
    orders::{Cost, Order, Said, Sharing},
    policy::{Decision, decide},
    processes::Info,
};

/// After so long a process that had not finished starting is tried again, each time after twice as long, up to the second; and so often.
const AGAIN: (Duration, Duration) = (Duration::from_millis(15), Duration::from_secs(1));
const MOST_TRIES: u32 = 60;

fn after(tries: u32) -> Duration {
    AGAIN.0.saturating_mul(1 << tries.min(10)).min(AGAIN.1)
}

/// Where a process is.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// No policy wants it.
    Unwanted,
    /// There is no room for more.
    Waits,
    Asked,
    Traced(Traced),
    /// It is to be traced in another way, once it is traced no more.
    Leaves,
    /// It has not finished starting.
    Starts {
        again: Instant,
        tries: u32,
    },
    Refused(String),
}

/// What is known of a process that is traced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traced {
    pub python: String,
    pub executable: String,
    pub functions: usize,
    /// What it cost last.
    pub cost: Cost,
}

/// A process.
#[derive(Debug)]
pub struct Member {
    pub info: Info,
    pub decision: Option<Decision>,
    pub stage: Stage,
    /// As it was asked for last.
    asked: Sharing,
}

/// From so many processes with one interpreter on, they share their probes, if all of them are traced: none that is not is to pay for
/// others' probes.
const SHARE_FROM: usize = 4;

/// Processes that have an interpreter, by what matters for sharing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    wanted: usize,
    unwanted: usize,
    /// Of those that are wanted.
    switching: usize,
}

impl Count {
    /// How one of them is to be traced. `shared`: some share probes already, and may go on.
    fn sharing(self, switches: bool, shared: bool) -> Sharing {
        let least = if shared { 1 } else { SHARE_FROM };
        let of_its_kind = if switches {
            self.switching
        } else {
            self.wanted - self.switching
        };
        if self.unwanted != 0 || of_its_kind < least {
            Sharing::Own
        } else if switches {
            Sharing::SharedApart
        } else if self.switching == 0 {
            Sharing::Shared
        } else {
            Sharing::Own
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Fleet {
    members: BTreeMap<u32, Member>,
    /// How those are traced that have an interpreter, and switch C stacks or not.
    sharing: HashMap<((u64, u64), bool), Sharing>,
    /// Processes that may be traced at once.
    most: usize,
}

impl Fleet {
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn get(&self, pid: u32) -> Option<&Member> {
        self.members.get(&pid)
    }

    /// A process was found.
    pub fn found(&mut self, info: Info, config: &Config) {
        let decision = decide(config, &info);
        let stage = match decision {
            Some(_) => Stage::Waits,
            None => Stage::Unwanted,
        };
        let member = Member {
            info,
            decision,
            stage,
            asked: Sharing::Own,
        };
        self.members.insert(member.info.pid, member);
    }

    /// A process has gone.
    pub fn gone(&mut self, pid: u32) {
        self.members.remove(&pid);
    }

    /// There are other policies now.
    pub fn decide_anew(&mut self, config: &Config, orders: &mut Vec<Order>) {
        self.most = config.agent.max_processes.0 as usize;
        orders.push(Order::Rules {
            host: config.budget.host,
            redact: config.redact.clone(),
        });
        for (pid, member) in &mut self.members {
            let decision = decide(config, &member.info);
            let before = member.decision.as_ref().map(|decision| &decision.manner);
            let is_other = before != decision.as_ref().map(|decision| &decision.manner);
            member.decision = decision;
            if !is_other {
                continue;
            }
            let is_wanted = member.decision.is_some();
            member.stage = match member.stage {
                Stage::Asked | Stage::Traced(_) | Stage::Leaves => {
                    orders.push(Order::Release { pid: *pid });
                    Stage::Leaves
                }
                _ if is_wanted => Stage::Waits,
                _ => Stage::Unwanted,
            };
        }
    }

    /// What the tracer says; false: that is not about a process that is known, which may be one now.
    pub fn said(&mut self, said: &Said, now: Instant) -> bool {
        let (Said::Attached { pid, .. }
        | Said::Refused { pid, .. }
        | Said::Ended { pid }
        | Said::Switches { pid }) = said
        else {
            return true;
        };
        let Some(member) = self.members.get_mut(pid) else {
            return false;
        };
        if let Said::Switches { .. } = said {
            member.info.switches = true;
            return true;
        }
        let tries = match member.stage {
            Stage::Starts { tries, .. } => tries,
            _ => 0,
        };
        match said {
            // It was released before that was known.
            Said::Attached { .. } if member.stage == Stage::Leaves => {}
            Said::Attached {
                python,
                executable,
                functions,
                ..
            } => {
                member.stage = Stage::Traced(Traced {
                    python: python.clone(),
                    executable: executable.clone(),
                    functions: *functions,
                    cost: Cost::default(),
                });
            }
            Said::Refused { later: true, .. } if tries < MOST_TRIES => {
                member.stage = Stage::Starts {
                    again: now + after(tries),
                    tries: tries + 1,
                };
            }
            Said::Refused { why, .. } => member.stage = Stage::Refused(why.clone()),
            // Traced no more, and to be traced in another way; or it has ended, which is noticed elsewhere.
            _ => {
                member.stage = match member.decision {
                    Some(_) => Stage::Waits,
                    None => Stage::Unwanted,
                };
            }
        }
        true
    }

    /// What processes cost.
    pub fn costs(&mut self, costs: &[Cost]) {
        for cost in costs {
            if let Some(Member {
                stage: Stage::Traced(traced),
                ..
            }) = self.members.get_mut(&cost.pid)
            {
                traced.cost = cost.clone();
            }
        }
    }

    /// The tracer has ended: nothing is traced.
    pub fn tracer_ended(&mut self) {
        for member in self.members.values_mut() {
            member.stage = match (&member.stage, &member.decision) {
                (Stage::Refused(why), Some(_)) => Stage::Refused(why.clone()),
                (_, Some(_)) => Stage::Waits,
                (_, None) => Stage::Unwanted,
            };
        }
    }

    /// Finds out who is to share probes; those who do otherwise are released, to be asked for again.
    fn share(&mut self, orders: &mut Vec<Order>) {
        let mut counts: HashMap<(u64, u64), Count> = HashMap::new();
        for member in self.members.values() {
            let count = counts.entry(member.info.library).or_default();
            match member.stage {
                Stage::Unwanted | Stage::Refused(_) => count.unwanted += 1,
                _ => {
                    count.wanted += 1;
                    count.switching += usize::from(member.info.switches);
                }
            }
        }
        let mut sharing = HashMap::new();
        for (pid, member) in &mut self.members {
            let key = (member.info.library, member.info.switches);
            let before = self.sharing.get(&key).copied().unwrap_or_default();
            let count = counts.get(&member.info.library).copied().unwrap_or_default();
            let now = match member.stage {
                Stage::Unwanted | Stage::Refused(_) => continue,
                _ => *sharing
                    .entry(key)
                    .or_insert_with(|| count.sharing(member.info.switches, before != Sharing::Own)),
            };
            if matches!(member.stage, Stage::Asked | Stage::Traced(_)) && member.asked != now {
                orders.push(Order::Release { pid: *pid });
                member.stage = Stage::Leaves;
            }
        }
        self.sharing = sharing;
    }

    /// Asks for what there is room for.
    pub fn ask(&mut self, now: Instant, orders: &mut Vec<Order>) {
        self.share(orders);
        let busy = |member: &&Member| matches!(member.stage, Stage::Asked | Stage::Traced(_) | Stage::Leaves);
        let mut room = self
            .most
            .saturating_sub(self.members.values().filter(busy).count());
        for (pid, member) in &mut self.members {
            let is_due = match member.stage {
                Stage::Waits => true,
                Stage::Starts { again, .. } => again <= now,
                _ => false,
            };
            let Some(decision) = member.decision.as_ref().filter(|_| is_due && room > 0) else {
                continue;
            };
            room -= 1;
            let key = (member.info.library, member.info.switches);
            let mut manner = decision.manner.clone();
            manner.sharing = self.sharing.get(&key).copied().unwrap_or_default();
            member.asked = manner.sharing;
            orders.push(Order::Trace {
                pid: *pid,
                began: member.info.began,
                manner,
            });
            // That it was tried is kept until it is attached.
            if member.stage == Stage::Waits {
                member.stage = Stage::Asked;
            } else if let Stage::Starts { again, .. } = &mut member.stage {
                *again = now + AGAIN.1 * 10;
            }
        }
    }

    /// When [`Self::ask`] has something to do at the latest.
    pub fn next(&self) -> Option<Instant> {
        let again = self.members.values().filter_map(|member| match member.stage {
            Stage::Starts { again, .. } => Some(again),
            _ => None,
        });
        again.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(pid: u32) -> Info {
        Info {
            pid,
            began: 100 + u64::from(pid),
            executable: "/usr/bin/python3".into(),
            command: format!("python3 app{pid}.py"),
            user: ["root".into(), "0".into()],
            cgroup: String::new(),
            container: None,
            pod: None,
            library: (1, 7),
            switches: false,
            service: None,
        }
    }

    fn config(text: &str) -> Config {
        Config::parse(text).unwrap()
    }

    fn attached(pid: u32) -> Said {
        Said::Attached {
            pid,
            python: "3.12.1".into(),
            executable: "/usr/bin/python3".into(),
            functions: 200,
            refused: 0,
            unseen: None,
        }
    }

    fn asked(fleet: &mut Fleet, now: Instant) -> Vec<u32> {
        let mut orders = Vec::new();
        fleet.ask(now, &mut orders);
        let pid = |order| match order {
            Order::Trace { pid, began, .. } => {
                assert_eq!(began, 100 + u64::from(pid));
                pid
            }
            other => panic!("{other:?}"),
        };
        orders.into_iter().map(pid).collect()
    }

    fn fleet(config: &Config, pids: &[u32]) -> Fleet {
        let mut fleet = Fleet::default();
        fleet.decide_anew(config, &mut Vec::new());
        pids.iter().for_each(|pid| fleet.found(info(*pid), config));
        fleet
    }

    #[test]
    fn as_many_are_asked_for_as_there_is_room() {
        let config = config("[agent]\nmax_processes = 2\n");
        let now = Instant::now();
        let mut fleet = fleet(&config, &[1, 2, 3]);
        assert_eq!(asked(&mut fleet, now), [1, 2]);
        assert!(asked(&mut fleet, now).is_empty());
        assert!(fleet.said(&attached(1), now));
        assert!(asked(&mut fleet, now).is_empty());
        fleet.gone(1);
        assert_eq!(asked(&mut fleet, now), [3]);
        assert!(!fleet.said(&attached(1), now));
    }

    #[test]
    fn one_that_starts_is_tried_again_but_not_for_ever() {
        let mut fleet = fleet(&config(""), &[1]);
        let mut now = Instant::now();
        let later = Said::Refused {
            pid: 1,
            why: "starts".into(),
            later: true,
        };
        for _ in 0..=MOST_TRIES {
            assert_eq!(asked(&mut fleet, now), [1]);
            fleet.said(&later, now);
            assert!(asked(&mut fleet, now).is_empty());
            now += AGAIN.1;
        }
        assert_eq!(fleet.get(1).unwrap().stage, Stage::Refused("starts".into()));
        assert_eq!(fleet.next(), None);
    }

    #[test]
    fn other_policies_take_effect() {
        let (traced, other) = (config(""), config("[[policy]]\nvalues = 'full'\n"));
        let none = config("[[policy]]\ntrace = false\n");
        let now = Instant::now();
        let mut fleet = fleet(&traced, &[1]);
        asked(&mut fleet, now);
        fleet.said(&attached(1), now);
        let mut orders = Vec::new();
        fleet.decide_anew(&traced, &mut orders);
        assert!(
            matches!(orders[..], [Order::Rules { .. }]),
            "nothing else has changed"
        );
        orders.clear();
        fleet.decide_anew(&other, &mut orders);
        assert!(matches!(orders[1], Order::Release { pid: 1 }));
        assert!(asked(&mut fleet, now).is_empty());
        fleet.said(&Said::Ended { pid: 1 }, now);
        assert_eq!(asked(&mut fleet, now), [1]);
        fleet.said(&attached(1), now);
        fleet.decide_anew(&none, &mut orders);
        fleet.said(&Said::Ended { pid: 1 }, now);
        assert_eq!(fleet.get(1).unwrap().stage, Stage::Unwanted);
        fleet.decide_anew(&traced, &mut orders);
        assert_eq!(asked(&mut fleet, now), [1]);
    }

    #[test]
    fn many_with_one_interpreter_share_their_probes() {
        let everything = config("");
        let now = Instant::now();
        let mut fleet = fleet(&everything, &[1, 2, 3]);
        let trace = |fleet: &mut Fleet| {
            let mut orders = Vec::new();
            fleet.ask(now, &mut orders);
            let mut released = Vec::new();
            let mut asked = Vec::new();
            for order in orders {
                match order {
                    Order::Release { pid } => released.push(pid),
                    Order::Trace { pid, manner, .. } => {
                        asked.push((pid, manner.sharing));
                        fleet.said(&attached(pid), now);
                    }
                    other @ Order::Rules { .. } => panic!("{other:?}"),
                }
            }
            released.iter().for_each(|pid| {
                fleet.said(&Said::Ended { pid: *pid }, now);
            });
            (released, asked)
        };
        let own = |pid| (pid, Sharing::Own);
        let shared = |pid| (pid, Sharing::Shared);
        assert_eq!(trace(&mut fleet), (vec![], vec![own(1), own(2), own(3)]));
        fleet.found(info(4), &everything);
        assert_eq!(trace(&mut fleet), (vec![1, 2, 3], vec![shared(4)]));
        assert_eq!(trace(&mut fleet), (vec![], vec![shared(1), shared(2), shared(3)]));
        // Fewer may go on.
        fleet.gone(4);
        assert_eq!(trace(&mut fleet), (vec![], vec![]));
        // One that switches stacks: none of the others may have a return probe where it comes by.
        fleet.said(&Said::Switches { pid: 2 }, now);
        assert_eq!(trace(&mut fleet).0, [1, 2, 3]);
        assert_eq!(trace(&mut fleet), (vec![], vec![own(1), own(2), own(3)]));
        assert_eq!(trace(&mut fleet), (vec![], vec![]));
    }

    #[test]
    fn processes_that_switch_stacks_share_apart_from_others() {
        let count = |wanted, unwanted, switching| Count {
            wanted,
            unwanted,
            switching,
        };
        for (count, switches, shared, expected) in [
            (count(4, 0, 0), false, false, Sharing::Shared),
            (count(3, 0, 0), false, false, Sharing::Own),
            (count(3, 0, 0), false, true, Sharing::Shared),
            (count(4, 1, 0), false, false, Sharing::Own),
            (count(4, 1, 0), false, true, Sharing::Own),
            (count(9, 0, 4), true, false, Sharing::SharedApart),
            (count(9, 0, 4), false, false, Sharing::Own),
            (count(9, 0, 3), true, false, Sharing::Own),
            (count(9, 0, 9), true, false, Sharing::SharedApart),
        ] {
            assert_eq!(count.sharing(switches, shared), expected, "{count:?}");
        }
    }

    #[test]
    fn what_cannot_be_traced_is_not_asked_for_again() {
        let now = Instant::now();
        let mut fleet = fleet(&config(""), &[1, 2]);
        asked(&mut fleet, now);
        fleet.said(
            &Said::Refused {
                pid: 1,
                why: "PyPy".into(),
                later: false,
            },
            now,
        );
        fleet.said(&attached(2), now);
        fleet.costs(&[
            Cost {
                pid: 2,
                cost_ppm: 5,
                ..Cost::default()
            },
            Cost::default(),
        ]);
        let Stage::Traced(traced) = &fleet.get(2).unwrap().stage else {
            panic!()
        };
        assert_eq!(traced.cost.cost_ppm, 5);
        fleet.tracer_ended();
        assert_eq!(asked(&mut fleet, now), [2]);
    }
}
