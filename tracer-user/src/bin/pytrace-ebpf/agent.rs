//! `pytrace-ebpf agent`: traces the Python processes of a machine by policies, and sends what they do to a collector.
//!
//! Two processes: the agent itself, which finds processes, decides, and talks to the network; and a tracer
//! ([`tracer`]), which alone has probes in processes.

mod config;
mod exporter;
pub mod feed;
mod fleet;
mod http;
mod metrics;
pub mod orders;
mod policy;
mod processes;
mod tracer;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval},
};

use self::{
    config::Config,
    exporter::{Counts, Exporter},
    fleet::Fleet,
    http::{Server, SharedAnswers},
    metrics::Metrics,
    orders::{Frame, Order, Said},
    processes::{Changes, Processes},
    tracer::Tracer,
};
use crate::{cli::AgentArgs, logging::say, trace::until};
use tracer_user::process::began;

/// After so long a tracer that has ended is started again, each time after twice as long, up to the second.
const RESTART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// One that was there for so long did not fail at once.
const LASTED: Duration = Duration::from_secs(60);
/// So long after a process began a program, or was forked, it is looked at.
const SETTLES: Duration = Duration::from_millis(10);
/// Processes that wait to be looked at, at most; beyond, the next look at all finds them.
const MAX_DUE: usize = 4096;
/// How long the tracer may take to take its probes out at the end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs until it is told to stop.
pub fn run(args: &AgentArgs) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    if args.check {
        say!(
            "{} is well: {} policies",
            args.config.display(),
            config.policy.len()
        );
        return Ok(());
    }
    if args.check_health {
        return match config.http.listen.0 {
            Some(address) => http::ask(address),
            None => anyhow::bail!(
                "`listen` is off in {}: nobody can be asked",
                args.config.display()
            ),
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut agent = Agent::new(args, config).await?;
        agent.until_stopped(&mut signals).await;
        agent.end().await;
        Ok(())
    })
}

/// What it is told from outside.
struct Signals {
    stop: [Signal; 2],
    reload: Signal,
}

/// One of them.
enum Told {
    Stop,
    Reload,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            stop: [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?],
            reload: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        let [interrupt, terminate] = &mut self.stop;
        tokio::select! {
            _ = interrupt.recv() => Told::Stop,
            _ = terminate.recv() => Told::Stop,
            _ = self.reload.recv() => Told::Reload,
        }
    }
}

struct Agent {
    path: PathBuf,
    verbose: u8,
    config: Config,
    processes: Processes,
    fleet: Fleet,
    tracer: Option<Tracer>,
    /// When the tracer was started, and after how long it is started again.
    started: Instant,
    restart: Duration,
    restarts: Option<Instant>,
    scan: Interval,
    /// Processes to be looked at, by when.
    due: BTreeMap<Instant, u32>,
    metrics: Metrics,
    answers: SharedAnswers,
    server: Option<Server>,
    exporter: Option<Exporter>,
}

impl Agent {
    async fn new(args: &AgentArgs, config: Config) -> anyhow::Result<Self> {
        let answers = SharedAnswers::default();
        let counts = Counts::default();
        let metrics = Metrics::new(|registry| counts.register(registry));
        metrics.loaded(true);
        let mut agent = Self {
            path: args.config.clone(),
            verbose: args.verbose,
            processes: Processes::default(),
            fleet: Fleet::default(),
            tracer: None,
            started: Instant::now(),
            restart: RESTART.0,
            restarts: Some(Instant::now()),
            scan: every(config.agent.scan.0),
            due: BTreeMap::new(),
            metrics,
            answers,
            server: None,
            exporter: Exporter::new(&config, counts).await?,
            config,
        };
        agent.listen().await?;
        agent.fleet.decide_anew(&agent.config, &mut Vec::new());
        Ok(agent)
    }

    async fn listen(&mut self) -> anyhow::Result<()> {
        self.server = None;
        if let Some(address) = self.config.http.listen.0 {
            let server = Server::start(address, Arc::clone(&self.answers)).await;
            self.server =
                Some(server.map_err(|error| anyhow::anyhow!("cannot listen at {address}: {error}"))?);
            log::info!("health and metrics are at http://{address}");
        }
        Ok(())
    }

    async fn until_stopped(&mut self, signals: &mut Signals) {
        loop {
            let next = [self.restarts, self.fleet.next(), self.due.keys().next().copied()];
            let next = next.into_iter().flatten().min();
            tokio::select! {
                told = signals.next() => match told {
                    Told::Stop => return,
                    Told::Reload => self.reload().await,
                },
                () = due(&mut self.exporter) => self.keep().await,
                frame = frame(&mut self.tracer) => match frame {
                    Some(frame) => self.frame(frame).await,
                    None => self.tracer_ended().await,
                },
                _ = self.scan.tick() => {
                    let changes = self.processes.scan();
                    self.changed(changes);
                }
                () = until(next.map(Into::into)) => self.look(),
            }
            self.ask();
        }
    }

    /// Does what is due.
    fn look(&mut self) {
        let now = Instant::now();
        if self.restarts.is_some_and(|at| at <= now) {
            self.start_tracer();
        }
        let later = self.due.split_off(&now);
        for pid in std::mem::replace(&mut self.due, later).into_values() {
            // It may have been found among all meanwhile.
            if self.fleet.get(pid).is_none() {
                let changes = self.processes.again(pid);
                self.changed(changes);
            }
        }
    }

    fn changed(&mut self, changes: Changes) {
        changes.gone.into_iter().for_each(|pid| self.fleet.gone(pid));
        for info in changes.new {
            log::debug!("found process {}: {}", info.pid, info.command);
            self.fleet.found(info, &self.config);
        }
    }

    fn tell(&self, orders: Vec<Order>) {
        if let Some(tracer) = &self.tracer {
            orders.into_iter().for_each(|order| tracer.tell(order));
        }
    }

    fn ask(&mut self) {
        if self.tracer.is_some() {
            let mut orders = Vec::new();
            self.fleet.ask(Instant::now(), &mut orders);
            self.tell(orders);
        }
    }

    fn start_tracer(&mut self) {
        self.restarts = None;
        self.started = Instant::now();
        match Tracer::start(self.verbose.saturating_sub(1)) {
            Ok(tracer) => {
                log::info!("the tracer is process {}", tracer.pid().unwrap_or_default());
                self.tracer = Some(tracer);
                self.metrics.tracer_started();
                let mut orders = Vec::new();
                self.fleet.decide_anew(&self.config, &mut orders);
                self.tell(orders);
            }
            Err(error) => {
                log::error!("{error:#}");
                self.again();
            }
        }
    }

    /// The tracer is started again, after a while.
    fn again(&mut self) {
        if self.started.elapsed() > LASTED {
            self.restart = RESTART.0;
        }
        self.restarts = Some(Instant::now() + self.restart);
        self.restart = (self.restart * 2).min(RESTART.1);
    }

    async fn tracer_ended(&mut self) {
        let Some(tracer) = self.tracer.take() else { return };
        let how = tracer.wait().await;
        let what = format!("the tracer has ended ({how}) and is started again");
        log::error!("{what}");
        self.unwell(Some(what));
        self.fleet.tracer_ended();
        self.again();
    }

    fn unwell(&self, why: Option<String>) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).unwell = why;
    }

    async fn keep(&mut self) {
        if let Some(exporter) = &mut self.exporter {
            exporter.keep().await;
        }
    }

    async fn frame(&mut self, frame: Frame) {
        let said = match frame {
            Frame::Said(said) => said,
            Frame::Record { pid, time_ns, record } => {
                if let Some(exporter) = &mut self.exporter {
                    exporter.record(pid, time_ns, &record).await;
                }
                return;
            }
        };
        if !matches!(said, Said::Figures(_)) {
            log::debug!("the tracer says {said:?}");
        }
        match &said {
            Said::Ready => {
                self.unwell(None);
                // From here on it is told which programs begin.
                self.processes.forget_others();
                let changes = self.processes.scan();
                self.changed(changes);
            }
            Said::Begins { pid } | Said::Forked { pid } => {
                if matches!(said, Said::Begins { .. }) {
                    // What was known of it is over.
                    self.fleet.gone(*pid);
                }
                if self.due.len() < MAX_DUE {
                    let mut at = Instant::now() + SETTLES;
                    while self.due.contains_key(&at) {
                        at += Duration::from_nanos(1);
                    }
                    self.due.insert(at, *pid);
                }
            }
            Said::Attached {
                pid,
                python,
                functions,
                refused,
                unseen,
                ..
            } => {
                let command = self.fleet.get(*pid).map_or("", |member| &member.info.command);
                log::info!(
                    "traces process {pid} (Python {python}): {functions} functions, {refused} cannot be{}: {command}",
                    unseen
                        .as_ref()
                        .map_or(String::new(), |what| format!("; partly unseen: {what}"))
                );
            }
            Said::Refused {
                pid,
                why,
                later: false,
            } => log::warn!("process {pid} is not traced: {why}"),
            Said::Ended { pid } => {
                // One that was released is to be traced in another way.
                let member = self.fleet.get(*pid);
                if member.is_some_and(|member| began(*pid) != Some(member.info.began)) {
                    self.fleet.gone(*pid);
                }
            }
            Said::Refused { .. } | Said::Switches { .. } => {}
            Said::Figures(figures) => {
                if let Some(exporter) = &self.exporter {
                    exporter.count().await;
                }
                self.fleet.costs(&figures.costs);
                let fleet = &self.fleet;
                self.metrics.figures(figures, fleet, |pid| service(fleet, pid));
                self.answers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .metrics = self.metrics.text();
            }
        }
        self.fleet.said(&said, Instant::now());
        let Some(exporter) = &mut self.exporter else {
            return;
        };
        match said {
            Said::Attached { pid, .. } => {
                if let Some(member) = self.fleet.get(pid) {
                    exporter.attached(member, &service(&self.fleet, pid));
                }
            }
            Said::Ended { pid } | Said::Begins { pid } => exporter.forget(pid),
            _ => {}
        }
    }

    /// Reads the configuration again; where it is wrong, the one before stays in force.
    async fn reload(&mut self) {
        let config = Config::read(&self.path);
        self.metrics.loaded(config.is_ok());
        let before = match config {
            Ok(config) => std::mem::replace(&mut self.config, config),
            Err(error) => return log::error!("{error}; what was read before stays in force"),
        };
        if before.agent.state_dir != self.config.agent.state_dir
            || before.otlp.is_some() != self.config.otlp.is_some()
        {
            log::warn!(
                "`state_dir`, and whether there is a collector, change only when the agent is started again"
            );
        }
        if let Some(exporter) = &mut self.exporter
            && let Err(error) = exporter.reload(&self.config).await
        {
            log::error!("{error:#}; events go where they went before");
        }
        self.scan = every(self.config.agent.scan.0);
        if before.http.listen.0 != self.config.http.listen.0
            && let Err(error) = self.listen().await
        {
            log::error!("{error:#}");
        }
        let mut orders = Vec::new();
        self.fleet.decide_anew(&self.config, &mut orders);
        self.tell(orders);
        log::info!(
            "{} is in force: {} policies",
            self.path.display(),
            self.config.policy.len()
        );
    }

    /// Has the probes taken out, and takes what still comes.
    async fn end(mut self) {
        let Some(mut tracer) = self.tracer.take() else {
            if let Some(exporter) = self.exporter.take() {
                exporter.end().await;
            }
            return;
        };
        tracer.end();
        let rest = async {
            while let Some(frame) = tracer.next().await {
                self.frame(frame).await;
            }
            tracer.wait().await
        };
        match tokio::time::timeout(PATIENCE, rest).await {
            Ok(how) => log::info!("the tracer has ended ({how})"),
            Err(_) => log::warn!("the tracer still takes its probes out; it ends by itself"),
        }
        if let Some(exporter) = self.exporter.take() {
            exporter.end().await;
        }
    }
}

/// What a process is called.
fn service(fleet: &Fleet, pid: u32) -> String {
    let Some(member) = fleet.get(pid) else {
        return "unknown".to_owned();
    };
    let of_policy = member
        .decision
        .as_ref()
        .and_then(|decision| decision.service.clone());
    let named = member.info.service.clone().or(of_policy);
    // As OpenTelemetry's SDKs name what has no name (semantic conventions, `service.name`).
    named.unwrap_or_else(|| "unknown_service:python".to_owned())
}

async fn due(exporter: &mut Option<Exporter>) {
    match exporter {
        Some(exporter) => exporter.due().await,
        None => std::future::pending().await,
    }
}

async fn frame(tracer: &mut Option<Tracer>) -> Option<Frame> {
    match tracer {
        Some(tracer) => tracer.next().await,
        None => std::future::pending().await,
    }
}

fn every(time: Duration) -> Interval {
    let mut interval = interval(time);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
