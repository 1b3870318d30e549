//! Folded stacks, one a line: `frame;frame;frame microseconds`, outermost first. What flame graph tools read.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
};

use super::Profile;

const NS_PER_US: u64 = 1000;

/// All stacks that have one text, with their time in microseconds; in alphabetical order.
pub fn lines(profile: &Profile) -> BTreeMap<String, u64> {
    let pids: BTreeSet<u32> = profile.pids();
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (thread, frames, weight) in profile.stacks() {
        let labels = frames
            .iter()
            .map(|number| profile.frames().get(*number).label(profile.options.lines));
        let roots = profile.roots(thread, &pids).into_iter();
        let names: Vec<String> = roots.chain(labels).map(|label| label.replace(';', ":")).collect();
        let sum = sums.entry(names.join(";")).or_default();
        *sum = sum.saturating_add(profile.time_ns(weight));
    }
    for ns in sums.values_mut() {
        *ns = (*ns + NS_PER_US / 2) / NS_PER_US;
    }
    sums.retain(|_, time| *time != 0);
    sums
}

/// Writes them.
pub fn write(profile: &Profile, out: &mut Vec<u8>) {
    for (stack, time) in lines(profile) {
        let _ = writeln!(out, "{stack} {time}");
    }
}
