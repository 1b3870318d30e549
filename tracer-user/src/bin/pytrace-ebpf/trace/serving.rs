//! A trace for the agent: which processes, and how, is told while it goes on.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval},
};
use tracer_common::target::CaptureLimits;
use tracer_user::{
    catalogue::select::{Functions, Selection},
    cpython::InterpreterError,
    process::{self, Stage},
};

use super::{Stop, Trace, runtime};
use crate::{
    agent::{
        feed::{Feed, Rules},
        orders::{Figures, Manner, Order, Said, push_said},
    },
    cli::{OutputArgs, Share, TraceArgs},
    filters::judge,
    output::Output,
    privileges,
    session::How,
    target::{Traced, Wanted},
};

/// Orders that may wait.
const ORDERS: usize = 256;
/// How often figures are sent.
const FIGURES: Duration = Duration::from_secs(1);
/// Bytes of an order at most.
const MAX_ORDER: u64 = 1 << 20;
/// After so many processes that were looked over, memory is given back, though more are waiting.
const MANY: u32 = 32;
/// Texts that are kept once, at most.
const MAX_TEXTS: usize = 100_000;
/// Processes looked over at once: it takes some 10 to 50 ms of a processor each, and the memory of what is found.
const LOOKING: usize = 2;

/// What comes from the agent, and from looking processes over for it.
pub struct Serving {
    orders: mpsc::Receiver<Order>,
    waiting: VecDeque<Order>,
    /// Those that are looked over now, and of these, those that are not to be traced after all.
    looking_at: Vec<u32>,
    released: HashSet<u32>,
    found: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
    figures: Interval,
    rules: Rules,
    texts: HashSet<Arc<str>>,
    /// Processes that were looked over since memory was given back.
    looked: u32,
}

/// A process that was looked over.
pub struct Found {
    pid: u32,
    began: u64,
    manner: Manner,
    traced: anyhow::Result<(Traced, How)>,
}

/// Something to be done.
pub enum Event {
    Order(Order),
    Found(Box<Found>),
    Figures,
    /// The agent has gone.
    Over,
}

impl Serving {
    fn new(rules: Rules) -> Self {
        let (send, orders) = mpsc::channel(ORDERS);
        tokio::spawn(async move {
            let mut lines = BufReader::new(tokio::io::stdin());
            let mut line = String::new();
            loop {
                line.clear();
                match (&mut lines).take(MAX_ORDER).read_line(&mut line).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                match serde_json::from_str(&line) {
                    Ok(order) => {
                        if send.send(order).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => log::error!("the agent said what is no order: {error}"),
                }
            }
        });
        let mut figures = interval(FIGURES);
        figures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            orders,
            waiting: VecDeque::new(),
            looking_at: Vec::new(),
            released: HashSet::new(),
            found: mpsc::channel(LOOKING),
            figures,
            rules,
            texts: HashSet::new(),
            looked: 0,
        }
    }

    /// Has texts that are the same in many processes kept once.
    fn intern(&mut self, traced: &mut Traced) {
        if self.texts.len() > MAX_TEXTS {
            self.texts.clear();
        }
        let texts = &mut self.texts;
        let mut intern = |text: &mut Arc<str>| match texts.get(text) {
            Some(known) => *text = Arc::clone(known),
            None => {
                texts.insert(Arc::clone(text));
            }
        };
        traced
            .discovery
            .types
            .iter_mut()
            .for_each(|(_, name)| intern(name));
        for site in &mut traced.sites {
            intern(&mut site.meta.function);
            // Nobody else has them yet.
            if let Some(aliases) = Arc::get_mut(&mut site.meta.aliases) {
                aliases.iter_mut().for_each(&mut intern);
            }
        }
    }

    async fn next(&mut self) -> Event {
        if self.looking_at.len() < LOOKING
            && let Some(order) = self.waiting.pop_front()
        {
            return Event::Order(order);
        }
        tokio::select! {
            found = self.found.1.recv() => match found {
                Some(found) => Event::Found(Box::new(found)),
                None => Event::Over,
            },
            order = self.orders.recv() => order.map_or(Event::Over, Event::Order),
            _ = self.figures.tick() => Event::Figures,
        }
    }

    /// Looks a process over, beside everything else.
    fn look(&mut self, pid: u32, began: u64, manner: Manner) {
        self.looking_at.push(pid);
        self.looked += 1;
        let send = self.found.0.clone();
        tokio::task::spawn_blocking(move || {
            let traced = how(&manner).and_then(|how| {
                let mut traced = Traced::find(pid, &how.wanted)?;
                traced.forget_functions();
                Ok((traced, how))
            });
            let _ = send.blocking_send(Found {
                pid,
                began,
                manner,
                traced,
            });
        });
    }
}

/// The next thing, where there is an agent.
pub async fn next(serving: &mut Option<Serving>) -> Event {
    match serving {
        Some(serving) => serving.next().await,
        None => std::future::pending().await,
    }
}

fn how(manner: &Manner) -> anyhow::Result<How> {
    Ok(How {
        wanted: Arc::new(Wanted {
            effects: Selection::parse(&manner.effects)?,
            functions: Functions::parse(&manner.functions)?,
            runs: false,
            given: format!("{} {:?} {}", manner.effects, manner.functions, manner.budget),
        }),
        limits: CaptureLimits {
            max_str: manner.max_str,
            max_items: manner.max_items,
            max_depth: manner.max_depth,
            stack: manner.stack,
        },
        budget: Some(manner.budget),
        sharing: manner.sharing,
    })
}

/// What a trace for the agent begins with.
fn args(budget: Share, verbose: u8) -> TraceArgs {
    TraceArgs {
        pids: Vec::new(),
        effects: "world".to_owned(),
        functions: Vec::new(),
        calls: Vec::new(),
        sample: None,
        output: OutputArgs::of_secrets(false),
        stack: 1,
        max_str: 256,
        max_items: 16,
        max_depth: 3,
        duration: None,
        follow: false,
        ring: 16 << 20,
        budget: Some(budget),
        empty: false,
        verbose,
    }
}

/// Traces what the agent says until that ends, or says so.
pub fn serve(verbose: u8) -> anyhow::Result<()> {
    let args = args("1%".parse().map_err(anyhow::Error::msg)?, verbose);
    privileges::reduce_before_output()?;
    privileges::confine(Stage::Begins);
    runtime()?.block_on(async {
        let mut stop = Stop::Signals(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let output = Output::open(None, false)?;
        privileges::reduce()?;
        let wanted = super::wanted(&args)?;
        let judge = judge(&args.output.shown.filters, args.stack)?;
        let rules = Rules::default();
        let feed = Box::new(Feed::new(Rules::clone(&rules)));
        let mut trace = Trace::new(&args, wanted, judge, output, false, None, Some(feed))?;
        privileges::confine(Stage::Traces);
        trace.serving = Some(Serving::new(rules));
        trace.session.start(&[]);
        trace.until_stopped(&mut stop).await?;
        trace.finish().await
    })
}

impl Trace<'_> {
    /// Does what is to be done; false: the agent has gone.
    pub(super) fn serve(&mut self, event: Event) -> anyhow::Result<bool> {
        match event {
            Event::Over => return Ok(false),
            Event::Figures => self.tell_figures()?,
            Event::Order(Order::Rules { host, redact }) => {
                self.session.set_host_budget(host);
                if let Some(serving) = &self.serving {
                    serving.rules.redact(&redact);
                }
            }
            Event::Order(Order::Release { pid }) => self.release(pid),
            Event::Order(order @ Order::Trace { .. }) => self.look(order),
            Event::Found(found) => self.found(*found),
        }
        Ok(true)
    }

    fn say(&mut self, said: &Said) {
        self.session.write(|out| push_said(said, out));
    }

    fn look(&mut self, order: Order) {
        let Some(serving) = &mut self.serving else { return };
        if serving.looking_at.len() >= LOOKING {
            serving.waiting.push_back(order);
        } else if let Order::Trace { pid, began, manner } = order {
            serving.look(pid, began, manner);
        }
    }

    fn release(&mut self, pid: u32) {
        if let Some(serving) = &mut self.serving {
            serving
                .waiting
                .retain(|order| !matches!(order, Order::Trace { pid: of, .. } if *of == pid));
            if serving.looking_at.contains(&pid) {
                serving.released.insert(pid);
                return;
            }
        }
        if let Err(error) = self.session.stop(pid) {
            log::warn!("process {pid}: {error:#}");
        }
        self.session.drain_all(&mut self.ring);
        if self.session.released(pid) {
            self.watching.ended(pid);
        }
        // Whoever asked waits for that.
        self.say(&Said::Ended { pid });
    }

    /// Traces a process that was looked over.
    fn found(&mut self, found: Found) {
        self.give_memory_back();
        let Found {
            pid,
            began,
            manner,
            mut traced,
        } = found;
        if let Some(serving) = &mut self.serving {
            serving.looking_at.retain(|one| *one != pid);
            if serving.released.remove(&pid) {
                return self.say(&Said::Ended { pid });
            }
            if let Ok((traced, _)) = &mut traced {
                serving.intern(traced);
            }
        }
        // Another process may have its id by now.
        let is_there = || process::began(pid) == Some(began);
        if self.session.is_traced(pid) {
            return;
        }
        if !is_there() {
            return self.say(&Said::Ended { pid });
        }
        let admitted = traced.and_then(|(traced, how)| {
            let (refused, unseen) = (traced.refused.len(), traced.unseen);
            if let Some(serving) = &self.serving {
                serving.rules.set(pid, manner.values);
            }
            let info = self.session.admit_as(traced, how)?;
            self.watching.follow(pid).context("cannot follow it")?;
            self.watching.trace(&mut self.session, pid)?;
            Ok((info, refused, unseen))
        });
        let said = match admitted {
            Ok((info, refused, unseen)) => {
                self.watch_exit(pid);
                Said::Attached {
                    pid,
                    python: info.python,
                    executable: info.executable,
                    functions: info.functions,
                    refused,
                    unseen: unseen.map(str::to_owned),
                }
            }
            Err(_) if !is_there() => Said::Ended { pid },
            Err(error) => Said::Refused {
                pid,
                later: matches!(error.downcast_ref(), Some(InterpreterError::NotInitialised(_))),
                why: format!("{error:#}"),
            },
        };
        self.say(&said);
        if self.session.switches(pid) {
            // It may have come to since the agent looked at it.
            self.say(&Said::Switches { pid });
        }
    }

    /// Gives memory back that looking processes over needed: the C library keeps it otherwise.
    fn give_memory_back(&mut self) {
        let Some(serving) = &mut self.serving else { return };
        let is_done = serving.looking_at.is_empty() && serving.waiting.is_empty();
        if serving.looked >= MANY || is_done && serving.looked != 0 {
            serving.looked = 0;
            tokio::task::spawn_blocking(process::give_memory_back);
        }
    }

    fn tell_figures(&mut self) -> anyhow::Result<()> {
        self.give_memory_back();
        self.session.close_empty_groups();
        let figures = Figures {
            events: self.session.reporter.events(),
            lost: self.session.kernel.dropped()? + self.session.late,
            costs: self.session.costs(),
            effects: self
                .serving
                .as_ref()
                .map_or_else(Vec::new, |serving| serving.rules.take_counts()),
        };
        self.say(&Said::Figures(figures));
        Ok(())
    }
}
