use super::*;

/// A process in a made-up time.
struct Simulation {
    now_ns: u64,
    account: Account,
    /// What each site costs while its probes are there, in processors; by its number.
    rates: Vec<f64>,
    paid: Vec<f64>,
    steps: Vec<(u64, Step)>,
}

impl Simulation {
    fn new(share: f64, rates: &[f64]) -> Self {
        let mut account = Account::new(share, 0, 0);
        for site in 0..rates.len() {
            account.add(site as u32, 0, 0);
        }
        Self {
            now_ns: 0,
            account,
            rates: rates.to_vec(),
            paid: vec![0.0; rates.len()],
            steps: Vec::new(),
        }
    }

    fn all_paid(&self) -> f64 {
        self.paid.iter().sum()
    }

    fn run_until(&mut self, seconds: f64) {
        while self.now_ns < (seconds * 1e9) as u64 {
            // The daemon comes a little late.
            let next = self.account.next_ns() + 300_000;
            for (site, paid) in self.paid.iter_mut().enumerate() {
                if self.account.is_there(site as u32) {
                    *paid += self.rates[site] * (next - self.now_ns) as f64;
                }
            }
            self.now_ns = next;
            let (all, paid) = (self.all_paid() as u64, self.paid.clone());
            let steps = self.account.look(next, all, |site| paid[site as usize] as u64);
            self.steps.extend(steps.into_iter().map(|step| (next, step)));
        }
    }

    fn count(&self, of: impl Fn(&Step) -> bool) -> usize {
        self.steps.iter().filter(|(_, step)| of(step)).count()
    }
}

#[test]
fn a_site_called_a_million_times_a_second_stays_within_the_budget() {
    for share in [0.001, 0.01, 0.05] {
        let mut simulation = Simulation::new(share, &[0.7, 0.0002, 0.00001]);
        simulation.run_until(1.0);
        let first = simulation.all_paid();
        simulation.run_until(31.0);
        let cost = (simulation.all_paid() - first) / 30e9;
        assert!(cost <= share * 1.05, "{share}: {cost}");
        // Half of it is used: something is seen.
        let windows = simulation.count(|step| matches!(step, Step::Open { site: 0 }));
        assert!(windows > 5, "{share}: {windows}");
        assert!(cost >= share * 0.5 || share <= 0.001, "{share}: {cost}");
        assert_eq!(simulation.count(|step| matches!(step, Step::Shed { .. })), 1);
        let seen = simulation.account.seen(simulation.now_ns);
        let [seen] = seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!((seen.site, seen.sheds, seen.windows), (0, 1, windows as u64));
        let expected = simulation.paid[0] / 0.7;
        let off = (seen.seen_ns as f64 - expected).abs() / expected;
        assert!(
            off < 0.05 && seen.of_ns == simulation.now_ns,
            "{seen:?} {expected}"
        );
        assert!(simulation.account.is_there(1) && simulation.account.is_there(2));
    }
}

#[test]
fn what_fits_is_never_taken_out() {
    let mut simulation = Simulation::new(0.01, &[0.004, 0.005]);
    simulation.run_until(60.0);
    assert_eq!(simulation.steps, []);
    let (share, cost) = simulation.account.cost();
    assert!(share == 0.01 && (cost - 0.009).abs() < 1e-4);
}

#[test]
fn a_moment_of_work_is_paid_from_what_was_saved() {
    let mut simulation = Simulation::new(0.01, &[0.0]);
    simulation.run_until(10.0);
    simulation.rates[0] = 0.1;
    simulation.run_until(10.05);
    simulation.rates[0] = 0.0;
    simulation.run_until(12.0);
    assert_eq!(simulation.steps, []);
}

#[test]
fn a_site_that_has_become_cheap_comes_back_to_stay() {
    let mut simulation = Simulation::new(0.01, &[0.5]);
    simulation.run_until(5.0);
    assert!(!simulation.account.is_there(0) || simulation.account.window.is_some());
    simulation.rates[0] = 0.001;
    simulation.run_until(15.0);
    assert_eq!(simulation.count(|step| matches!(step, Step::Restore { .. })), 1);
    assert!(simulation.account.is_there(0));
    simulation.rates[0] = 0.5;
    simulation.run_until(17.0);
    assert_eq!(simulation.count(|step| matches!(step, Step::Shed { .. })), 2);
}

#[test]
fn the_dearest_go_first_and_all_have_their_turn() {
    let rates = [0.02, 0.001, 0.02, 0.002, 0.02, 0.02, 0.0001];
    let mut simulation = Simulation::new(0.01, &rates);
    simulation.run_until(2.0);
    let first = simulation.all_paid();
    simulation.run_until(62.0);
    let cost = (simulation.all_paid() - first) / 60e9;
    assert!(cost <= 0.0105, "{cost}");
    let seen = simulation.account.seen(simulation.now_ns);
    assert_eq!(
        seen.iter().map(|seen| seen.site).collect::<Vec<_>>(),
        [0, 2, 4, 5]
    );
    let windows: Vec<u64> = seen.iter().map(|seen| seen.windows).collect();
    let (fewest, most) = (windows.iter().min(), windows.iter().max());
    assert!(
        fewest.is_some_and(|n| *n > 3) && fewest.map(|n| n + 2) >= most.copied(),
        "{windows:?}"
    );
}

#[test]
fn one_window_at_a_time_and_each_is_ended() {
    let mut simulation = Simulation::new(0.01, &[0.3, 0.3]);
    simulation.run_until(30.0);
    let mut open = None;
    for (_, step) in &simulation.steps {
        match step {
            Step::Open { site } => assert_eq!(open.replace(*site), None),
            Step::Close { site } | Step::Restore { site } => assert_eq!(open.take(), Some(*site)),
            Step::Shed { .. } => assert_eq!(open, None),
        }
    }
}
