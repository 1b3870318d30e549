//! Equal stacks, added up; and the samples of a while, to be taken off calls in progress.

use std::collections::{HashMap, VecDeque};

use super::{Thread, Wait, Weight};

/// Different stacks at most; what comes then is counted together.
pub(super) const MAX_STACKS: usize = 128 * 1024;
/// Frames in all of them together at most.
const MAX_NUMBERS: usize = 16 << 20;
/// Samples of one thread that are remembered at most: the last 11 minutes at 99 Hz.
const MAX_SAMPLES: usize = 64 * 1024;
/// Threads whose samples are remembered at most.
const MAX_THREADS: usize = 4096;

/// Weights by stack.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    weights: HashMap<(Thread, Box<[u32]>), Weight>,
    numbers: usize,
    full: bool,
}

impl Stacks {
    /// Adds to a stack, or, where there is no room for another one, to `others`.
    pub(super) fn add(&mut self, of: Thread, frames: Vec<u32>, weight: Weight, others: impl FnOnce() -> u32) {
        let mut key = (of, frames.into_boxed_slice());
        let has_room = self.weights.len() < MAX_STACKS && self.numbers < MAX_NUMBERS;
        if !has_room && !self.weights.contains_key(&key) {
            self.full = true;
            key.0.tid = 0;
            key.1 = Box::new([others()]);
        }
        let len = key.1.len();
        let sum = self.weights.entry(key).or_insert_with(|| {
            self.numbers += len;
            Weight::default()
        });
        sum.samples += weight.samples;
        sum.waited_ns = sum.waited_ns.saturating_add(weight.waited_ns);
    }

    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn threads(&self) -> impl Iterator<Item = Thread> {
        self.weights.keys().map(|(thread, _)| *thread)
    }

    pub(super) fn sorted(&self) -> Vec<(Thread, &[u32], Weight)> {
        let all = self.weights.iter();
        let mut all: Vec<_> = all
            .map(|((thread, frames), weight)| (*thread, &**frames, *weight))
            .collect();
        all.sort_by_key(|(thread, frames, _)| (*thread, *frames));
        all
    }
}

/// When a thread was sampled lately, in order.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<u64>);

impl Samples {
    pub(super) fn add(all: &mut HashMap<(u16, u32), Self>, thread: (u16, u32), time_ns: u64) {
        if all.len() >= MAX_THREADS && !all.contains_key(&thread) {
            // Threads come and go.
            all.clear();
        }
        let samples = &mut all.entry(thread).or_default().0;
        if samples.len() >= MAX_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(time_ns);
    }

    /// How many there were while a call ran. What is before the end of an outermost one is forgotten: no call that ends later has it
    /// inside.
    pub(super) fn between(all: &mut HashMap<(u16, u32), Self>, thread: (u16, u32), wait: &Wait<'_>) -> u64 {
        let Some(samples) = all.get_mut(&thread) else {
            return 0;
        };
        let before = samples.0.partition_point(|time| *time < wait.began_ns);
        let until = samples.0.partition_point(|time| *time <= wait.ended_ns);
        if wait.outermost {
            samples.0.drain(..until);
        }
        until.saturating_sub(before) as u64
    }
}
