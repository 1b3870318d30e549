//! What the agent says of itself and of what it traces, for Prometheus (`/metrics`).

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{
    fleet::{Fleet, Stage},
    orders::{Effect, Figures},
};

/// Series of events at most: services times effects.
const MAX_SERIES: usize = 4096;
/// What stands for the services beyond.
const OTHERS: &str = "other";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    service: String,
    effect: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProcessLabels {
    pid: u32,
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    events: Family<EventLabels, Counter>,
    errors: Family<EventLabels, Counter>,
    series: std::collections::HashSet<EventLabels>,
    lost: Counter,
    processes: Family<StageLabels, Gauge>,
    costs: Family<ProcessLabels, Gauge<f64, AtomicU64>>,
    shed: Family<ProcessLabels, Gauge>,
    cost: Gauge<f64, AtomicU64>,
    reloads: Family<ResultLabels, Counter>,
    tracers: Counter,
    /// Lost records that the tracer has counted so far.
    lost_before: u64,
}

impl Metrics {
    /// `more`: registers what others count.
    pub fn new(more: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("pytrace");
        let mut metrics = Self {
            registry: Registry::default(),
            events: Family::default(),
            errors: Family::default(),
            series: Default::default(),
            lost: Counter::default(),
            processes: Family::default(),
            costs: Family::default(),
            shed: Family::default(),
            cost: Gauge::default(),
            reloads: Family::default(),
            tracers: Counter::default(),
            lost_before: 0,
        };
        registry.register(
            "events",
            "Side effects seen, of sampled ones as estimated",
            metrics.events.clone(),
        );
        registry.register("errors", "Side effects that raised", metrics.errors.clone());
        registry.register(
            "lost",
            "Records lost between kernel and tracer",
            metrics.lost.clone(),
        );
        registry.register(
            "processes",
            "Python processes found, by what became of them",
            metrics.processes.clone(),
        );
        registry.register(
            "process_cost_ratio",
            "What tracing a process costs, of one processor",
            metrics.costs.clone(),
        );
        registry.register(
            "process_shed_functions",
            "Functions seen for moments only, to keep the budget",
            metrics.shed.clone(),
        );
        registry.register(
            "cost_ratio",
            "What tracing costs all processes, of one processor",
            metrics.cost.clone(),
        );
        registry.register("config_loads", "Configurations read", metrics.reloads.clone());
        registry.register(
            "tracer_starts",
            "Starts of the process that traces",
            metrics.tracers.clone(),
        );
        more(&mut registry);
        metrics.registry = registry;
        metrics
    }

    /// A configuration was read, or was wrong.
    pub fn loaded(&self, well: bool) {
        let result = if well { "ok" } else { "error" };
        self.reloads.get_or_create(&ResultLabels { result }).inc();
    }

    /// A tracer was started.
    pub fn tracer_started(&mut self) {
        self.tracers.inc();
        self.lost_before = 0;
    }

    /// The tracer's figures.
    pub fn figures(&mut self, figures: &Figures, fleet: &Fleet, service: impl Fn(u32) -> String) {
        self.lost.inc_by(figures.lost.saturating_sub(self.lost_before));
        self.lost_before = figures.lost.max(self.lost_before);
        for Effect {
            pid,
            effect,
            calls,
            errors,
        } in &figures.effects
        {
            let mut labels = EventLabels {
                service: service(*pid),
                effect: effect.clone(),
            };
            if !self.series.contains(&labels) && self.series.len() >= MAX_SERIES {
                labels.service = OTHERS.to_owned();
            }
            self.events.get_or_create(&labels).inc_by(*calls);
            if *errors != 0 {
                self.errors.get_or_create(&labels).inc_by(*errors);
            }
            self.series.insert(labels);
        }
        self.costs.clear();
        self.shed.clear();
        let mut all = 0;
        for cost in &figures.costs {
            all += cost.cost_ppm;
            let labels = ProcessLabels {
                pid: cost.pid,
                service: service(cost.pid),
            };
            self.costs.get_or_create(&labels).set(cost.cost_ppm as f64 / 1e6);
            self.shed.get_or_create(&labels).set(cost.shed as i64);
        }
        self.cost.set(all as f64 / 1e6);
        self.processes(fleet);
    }

    fn processes(&self, fleet: &Fleet) {
        self.processes.clear();
        for member in fleet.members() {
            let state = match member.stage {
                Stage::Unwanted => "unwanted",
                Stage::Waits => "waiting",
                Stage::Asked | Stage::Starts { .. } => "starting",
                Stage::Traced(_) => "traced",
                Stage::Leaves => "leaving",
                Stage::Refused(_) => "refused",
            };
            self.processes.get_or_create(&StageLabels { state }).inc();
        }
    }

    /// As Prometheus reads them.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A string takes all.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::orders::Cost;

    #[test]
    fn figures_become_lines() {
        let mut metrics = Metrics::new(|_| {});
        let effect = |pid, calls, errors| Effect {
            pid,
            effect: "file.open".into(),
            calls,
            errors,
        };
        let mut figures = Figures {
            events: 3,
            lost: 2,
            costs: vec![Cost {
                pid: 7,
                cost_ppm: 2500,
                budget_ppm: 10_000,
                shed: 1,
            }],
            effects: vec![effect(7, 3, 1)],
        };
        let service = |pid| format!("service-{pid}");
        metrics.figures(&figures, &Fleet::default(), service);
        figures.lost = 5;
        metrics.figures(&figures, &Fleet::default(), service);
        metrics.loaded(true);
        metrics.loaded(false);
        metrics.tracer_started();
        let text = metrics.text();
        for line in [
            "pytrace_events_total{service=\"service-7\",effect=\"file.open\"} 6",
            "pytrace_errors_total{service=\"service-7\",effect=\"file.open\"} 2",
            "pytrace_lost_total 5",
            "pytrace_process_cost_ratio{pid=\"7\",service=\"service-7\"} 0.0025",
            "pytrace_process_shed_functions{pid=\"7\",service=\"service-7\"} 1",
            "pytrace_cost_ratio 0.0025",
            "pytrace_config_loads_total{result=\"error\"} 1",
            "pytrace_tracer_starts_total 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        // One that is new counts anew.
        figures.lost = 1;
        metrics.figures(&figures, &Fleet::default(), service);
        assert!(metrics.text().contains("pytrace_lost_total 6"));
    }

    #[test]
    fn services_beyond_a_bound_are_one() {
        let mut metrics = Metrics::new(|_| {});
        let effects = (0..MAX_SERIES as u32 + 10).map(|pid| Effect {
            pid,
            effect: "x".into(),
            calls: 1,
            errors: 0,
        });
        let figures = Figures {
            effects: effects.collect(),
            ..Figures::default()
        };
        metrics.figures(&figures, &Fleet::default(), |pid| pid.to_string());
        assert!(
            metrics
                .text()
                .contains("pytrace_events_total{service=\"other\",effect=\"x\"} 10")
        );
    }
}
