//! Some of many calls: which of a function's calls are recorded where it is called more often than a rate that was asked for.
//!
//! A call is chosen by chance, one of 2^shift, and the shift depends on nothing but what was called before. So a chosen call stands for
//! 2^shift, and the sum of what all chosen ones stand for is right on average, whatever the pattern of the calls is. Threads
//! may write over each other's counts here: that makes the shift less fitting, not untrue.

const SECOND_NS: u64 = 1_000_000_000;
/// How long a function has to be called less often than the rate until all its calls are recorded again.
const PATIENCE_NS: u64 = SECOND_NS / 8;
/// One of 2^30 calls at least is chosen.
pub const MAX_SHIFT: u32 = 30;
/// The shortest and the longest window: 2^27 ns are 0.13 s, 2^33 are 8.6 s.
const WINDOWS: [u64; 2] = [27, 33];
/// Calls of a window at least, where the longest one is not too short for that.
const LEAST_QUOTA: u64 = 8;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Rate {
    /// Between two calls that come at the rate; 0: all calls are recorded.
    pub interval_ns: u64,
    /// A window is 2^window ns long.
    pub window: u64,
    /// Calls to be recorded in a window.
    pub quota: u64,
}

impl Rate {
    /// So many calls a second and function, 1 at least.
    pub const fn per_second(calls: u32) -> Self {
        let calls = if calls == 0 { 1 } else { calls as u64 };
        let mut window = WINDOWS[0];
        while window < WINDOWS[1] && (calls << window) / SECOND_NS < LEAST_QUOTA {
            window += 1;
        }
        let quota = (calls << window) / SECOND_NS;
        Self {
            interval_ns: SECOND_NS / calls,
            window,
            quota: if quota == 0 { 1 } else { quota },
        }
    }
}

/// How often a function is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SiteRate {
    /// When its calls so far were all due, had they come one an interval.
    pub due_ns: u64,
    /// When the window began.
    pub window_ns: u64,
    /// Calls in it.
    pub calls: u64,
    /// Of these: chosen since the shift is what it is.
    pub chosen: u64,
    /// One of 2^shift calls is chosen.
    pub shift: u64,
}

impl SiteRate {
    /// Whether to record a call that begins now: the shift by which it was chosen.
    #[inline(always)]
    pub fn choose(&mut self, rate: &Rate, now_ns: u64, random: u32) -> Option<u32> {
        let is_rare = self.is_rare(rate, now_ns);
        self.begin_window(rate, now_ns);
        self.calls = self.calls.wrapping_add(1);
        if is_rare {
            return Some(0);
        }
        let shift = self.shift as u32 & 31;
        if random & ((1 << shift) - 1) != 0 {
            return None;
        }
        self.chosen = self.chosen.wrapping_add(1);
        if self.chosen > rate.quota && shift < MAX_SHIFT {
            self.shift = shift as u64 + 1;
            self.chosen = 0;
        }
        Some(shift)
    }

    /// Whether no more calls came in any second than the rate says, and for some time now.
    #[inline(always)]
    fn is_rare(&mut self, rate: &Rate, now_ns: u64) -> bool {
        let before = if self.due_ns > now_ns { self.due_ns } else { now_ns };
        let due = before.wrapping_add(rate.interval_ns);
        let most = now_ns.wrapping_add(SECOND_NS + PATIENCE_NS);
        self.due_ns = if due > most { most } else { due };
        due <= now_ns.wrapping_add(SECOND_NS)
    }

    /// Begins another window where the last one is over. Where it had few calls, the shift goes down by one for each window since; up it
    /// goes in the window itself. Without a loop or a table, which would be many paths for the verifier.
    #[inline(always)]
    fn begin_window(&mut self, rate: &Rate, now_ns: u64) {
        let windows = now_ns.saturating_sub(self.window_ns) >> (rate.window & 63);
        if windows == 0 {
            return;
        }
        if self.calls >> (self.shift & 63) <= rate.quota / 2 || windows > 1 {
            self.shift = self.shift.saturating_sub(windows);
        }
        self.window_ns = now_ns;
        self.calls = 0;
        self.chosen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::per_second(100);

    /// splitmix64: no chance, but no pattern either.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u32 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ mixed >> 31) as u32
        }
    }

    /// What came of calls at these times.
    #[derive(Debug, Default)]
    struct Came {
        chosen: u64,
        weight: u64,
        /// Of the estimate.
        variance: u64,
    }

    fn play(site: &mut SiteRate, rate: &Rate, random: &mut Random, times: impl Iterator<Item = u64>) -> Came {
        let mut came = Came::default();
        for now in times {
            if let Some(shift) = site.choose(rate, now, random.next()) {
                came.chosen += 1;
                came.weight += 1 << shift;
                came.variance += (1 << shift) * ((1 << shift) - 1);
            }
        }
        came
    }

    /// `calls` at even distances in `ns`, after the machine has run for an hour.
    fn steadily(from_ns: u64, ns: u64, calls: u64) -> impl Iterator<Item = u64> {
        (0..calls).map(move |n| 3600 * SECOND_NS + from_ns + n * ns / calls)
    }

    fn is_near(came: &Came, calls: u64) -> bool {
        let off = came.weight.abs_diff(calls);
        off * off <= 36 * came.variance
    }

    #[test]
    fn what_is_rare_is_recorded_in_full() {
        let mut random = Random(1);
        for spread in [SECOND_NS, SECOND_NS / 100, 1000] {
            let mut site = SiteRate::default();
            for second in 0..20 {
                let times = steadily(second * SECOND_NS, spread, 100);
                let came = play(&mut site, &RATE, &mut random, times);
                assert_eq!((came.chosen, came.weight), (100, 100), "{spread} {second}");
            }
        }
    }

    #[test]
    fn of_what_is_hot_about_the_rate_is_recorded() {
        let mut random = Random(7);
        for calls in [150, 1_000, 20_000, 300_000] {
            let mut site = SiteRate::default();
            play(&mut site, &RATE, &mut random, steadily(0, SECOND_NS, calls));
            let mut all = Came::default();
            for second in 1..6 {
                let times = steadily(second * SECOND_NS, SECOND_NS, calls);
                let came = play(&mut site, &RATE, &mut random, times);
                all.chosen += came.chosen;
                all.weight += came.weight;
                all.variance += came.variance;
            }
            assert!((5 * 40..=5 * 130).contains(&all.chosen), "{calls}: {all:?}");
            assert!(is_near(&all, 5 * calls), "{calls}: {all:?}");
        }
    }

    #[test]
    fn a_burst_gives_few_and_then_rare_calls_are_whole_again() {
        let mut random = Random(3);
        let mut site = SiteRate::default();
        let burst = play(
            &mut site,
            &RATE,
            &mut random,
            steadily(0, SECOND_NS / 20, 200_000),
        );
        assert!(
            (100..500).contains(&burst.chosen) && is_near(&burst, 200_000),
            "{burst:?}"
        );
        // A second and a bit for what was too much, whatever it was.
        let after = play(
            &mut site,
            &RATE,
            &mut random,
            steadily(SECOND_NS / 2, SECOND_NS, 50),
        );
        assert_eq!((after.chosen, after.weight), (50, 50));
    }

    #[test]
    fn the_sum_is_right_on_average_whatever_the_pattern() {
        let mut sum = 0i64;
        let mut variance = 0;
        let mut calls = 0;
        for seed in 1..400 {
            let mut random = Random(seed);
            let mut site = SiteRate::default();
            for (at, n) in [(0, 3_000), (100, 20), (400, 50_000), (450, 10), (1200, 700)] {
                let times = steadily(at * 1_000_000, 20_000_000, n);
                let came = play(&mut site, &RATE, &mut random, times);
                sum += came.weight as i64;
                variance += came.variance;
                calls += n as i64;
            }
        }
        let off = (sum - calls).unsigned_abs();
        assert!(off * off < 16 * variance, "{sum} of {calls}, {variance}");
    }

    #[test]
    fn windows_fit_the_rate() {
        assert_eq!((RATE.interval_ns, RATE.window, RATE.quota), (10_000_000, 27, 13));
        let slow = Rate::per_second(1);
        assert_eq!((slow.interval_ns, slow.window, slow.quota), (SECOND_NS, 33, 8));
        let fast = Rate::per_second(1_000_000);
        assert_eq!((fast.interval_ns, fast.window, fast.quota), (1000, 27, 134_217));
        let mut random = Random(5);
        let mut site = SiteRate::default();
        let hot = play(
            &mut site,
            &slow,
            &mut random,
            steadily(0, 40 * SECOND_NS, 400_000),
        );
        assert!(hot.chosen < 400 && is_near(&hot, 400_000), "{hot:?}");
    }

    #[test]
    fn what_threads_leave_behind_is_bounded() {
        let mut site = SiteRate {
            due_ns: u64::MAX,
            window_ns: u64::MAX,
            calls: u64::MAX,
            chosen: u64::MAX,
            shift: u64::MAX,
        };
        for now in [0, 1, SECOND_NS, u64::MAX] {
            site.choose(&RATE, now, 0);
            site.choose(&RATE, now, u32::MAX);
        }
    }
}
