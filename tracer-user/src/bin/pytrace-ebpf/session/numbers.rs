//! The numbers that stand for processes and sites in the kernel half, each for one at a time.

use std::{
    collections::HashSet,
    sync::mpsc::{Receiver, Sender, channel},
};

use anyhow::bail;
use tracer_common::limits::{MAX_SITES, MAX_TARGETS};

/// Numbers that serve nobody any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Returned {
    pub target: Option<u16>,
    pub sites: Vec<u32>,
}

/// Which numbers are in use.
#[derive(Default)]
pub struct Numbers {
    next_target: u16,
    next_site: u32,
    free_targets: Vec<u16>,
    /// Those that stand for nobody, though records of them may still come.
    gone: HashSet<u16>,
    free_sites: Vec<u32>,
    /// Those of processes that have ended serve others, once their probes are out: a trace that goes on for months sees many. Otherwise
    /// a site keeps its number: what was recorded of it refers to that.
    returned: Option<(Sender<Returned>, Receiver<Returned>)>,
}

impl Numbers {
    /// Those of processes that have ended are to serve others.
    pub fn of_many() -> Self {
        Self {
            returned: Some(channel()),
            ..Self::default()
        }
    }

    fn look(&mut self) {
        for returned in self.returned.iter().flat_map(|(_, returned)| returned.try_iter()) {
            self.free_targets.extend(returned.target);
            self.free_sites.extend(returned.sites);
        }
    }

    /// For a process.
    pub fn target(&mut self) -> anyhow::Result<u16> {
        self.look();
        let index = match self.free_targets.pop() {
            Some(index) => index,
            None if u32::from(self.next_target) >= MAX_TARGETS => {
                bail!("more than {MAX_TARGETS} processes at once")
            }
            None => {
                self.next_target += 1;
                self.next_target - 1
            }
        };
        self.gone.remove(&index);
        Ok(index)
    }

    /// It stands for nobody from now on.
    pub fn forget(&mut self, target: u16) {
        if self.returned.is_some() {
            self.gone.insert(target);
        }
    }

    /// Whether a record of it is of a process that is traced no more: it was under way.
    pub fn is_gone(&self, target: u16) -> bool {
        self.gone.contains(&target)
    }

    /// For that many sites.
    pub fn sites(&mut self, wanted: usize) -> anyhow::Result<Vec<u32>> {
        self.look();
        let free = self.free_sites.len().min(wanted);
        let all = self.next_site as usize + wanted - free;
        if all > MAX_SITES as usize {
            bail!("{all} functions are too many at once (at most {MAX_SITES}); narrow -e or -f");
        }
        let mut given = self.free_sites.split_off(self.free_sites.len() - free);
        given.extend(self.next_site..all as u32);
        self.next_site = all as u32;
        Ok(given)
    }

    /// A process that never had probes, or whose numbers may serve others at once.
    pub fn give_back_target(&mut self, target: u16) {
        self.free_targets.push(target);
    }

    /// Where numbers go once the probes are out; `None`: sites keep theirs.
    pub fn way_back(&self) -> Option<Sender<Returned>> {
        self.returned.as_ref().map(|(sender, _)| sender.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_keep_their_numbers_in_a_trace_of_a_few() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.sites(3).unwrap(), [0, 1, 2]);
        assert_eq!(numbers.sites(2).unwrap(), [3, 4]);
        assert!(numbers.way_back().is_none());
        assert_eq!((numbers.target().unwrap(), numbers.target().unwrap()), (0, 1));
        numbers.give_back_target(0);
        assert_eq!((numbers.target().unwrap(), numbers.target().unwrap()), (0, 2));
    }

    #[test]
    fn numbers_serve_others_once_they_are_back() {
        let mut numbers = Numbers::of_many();
        let (target, sites) = (numbers.target().unwrap(), numbers.sites(3).unwrap());
        assert_eq!(numbers.sites(1).unwrap(), [3]);
        numbers
            .way_back()
            .unwrap()
            .send(Returned {
                target: Some(target),
                sites,
            })
            .unwrap();
        numbers.forget(target);
        assert!(numbers.is_gone(target));
        let again = numbers.sites(5).unwrap();
        assert_eq!(again, [0, 1, 2, 4, 5]);
        assert_eq!(numbers.target().unwrap(), target);
        assert!(!numbers.is_gone(target));
        assert!(numbers.sites(0).unwrap().is_empty());
    }

    #[test]
    fn there_are_only_so_many() {
        let mut numbers = Numbers::of_many();
        assert!(numbers.sites(MAX_SITES as usize + 1).is_err());
        assert_eq!(
            numbers.sites(MAX_SITES as usize).unwrap().len(),
            MAX_SITES as usize
        );
        assert!(numbers.sites(1).is_err());
        for _ in 0..MAX_TARGETS {
            numbers.target().unwrap();
        }
        assert!(numbers.target().is_err());
    }
}
