//! The end of a trace: probes out, what is left of the records, the summary.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tracer_user::recording::Recorder;

use super::{Session, TRACING_ENDED};
use crate::{probes::Attached, report::print_summary, ring::Ring};

impl Session {
    /// Takes all probes out.
    pub fn detach(&mut self) {
        if let Some(sampler) = &mut self.sampler {
            sampler.stop();
        }
        let lives = self.live.drain();
        let lives = lives.map(|(_, live)| (live.attached, (live.watch, live.loads)));
        let (attached, watch): (Vec<_>, Vec<_>) = lives.unzip();
        drop(watch);
        Attached::detach(attached.into_iter().flatten().collect());
    }

    /// After detaching: the rest of the records, the summary, the last bytes out.
    pub async fn finish(mut self, ring: &mut Ring) -> anyhow::Result<()> {
        while self.take(ring) != 0 {}
        // In the order in which a recording has them.
        self.check_loss()?;
        self.unobserved(None, TRACING_ENDED);
        self.start(&[]);
        let sites = self.sites.len() as u32;
        let mut counters = (0..sites)
            .map(|site| self.kernel.counters(site))
            .collect::<Result<Vec<_>, _>>()?;
        self.judge.tally().settle(&mut counters);
        self.run_judge.tally().settle(&mut counters);
        if let (Some(plan), Some(sampler)) = (&self.profile, &self.sampler) {
            plan.shared.lock().counts.lost = sampler.counters()?.dropped;
        }
        let inner = self.pairing.counts().inner;
        self.add_up(true)?;
        let budgets = self.budgets();
        let mut summary = self
            .reporter
            .summary(&counters, inner, None, budgets, &mut self.buffer);
        let unmatched = self.judge.unmatched().into_iter();
        summary
            .unmatched
            .splice(0..0, unmatched.chain(self.run_judge.unmatched()));
        if self.recorder.is_some() {
            Recorder::end(&counters, &mut self.buffer);
        }
        if self.has_output() {
            let mut again = signal(SignalKind::interrupt())?;
            tokio::select! {
                () = self.send() => {}
                _ = again.recv() => std::process::exit(crate::INTERRUPTED),
            }
        }
        // Where both are seen on one terminal, the summary comes after the events.
        let last = self.to_stderr || std::io::stdout().is_terminal();
        let profile = self.profile.take();
        let print = || match &profile {
            Some(plan) => plan.print_summary(&summary),
            None => print_summary(&summary),
        };
        if !last {
            print();
        }
        // Whoever asks a second time does not want to wait for the reader of the output.
        let mut again = signal(SignalKind::interrupt())?;
        let written = tokio::task::spawn_blocking(move || self.output.finish());
        let result = tokio::select! {
            written = written => written?,
            _ = again.recv() => std::process::exit(crate::INTERRUPTED),
        };
        if last {
            print();
        }
        result.context("cannot write the output")
    }
}
