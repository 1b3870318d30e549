//! What is on the screen, without the screen.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, VecDeque},
};

use tracer_user::sink::escape::plainly;

use super::{
    feed::{Cost, Event, Line, Row},
    numbers::Numbers,
};

/// Lines of a call site's latest values that are kept.
const LATEST: usize = 200;

/// A function, and the line that calls it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    pub pid: Option<u32>,
    pub function: String,
    pub place: String,
}

/// What the rows of the table are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Sites,
    Effects,
    Processes,
    /// Of a sample of calls: files, peers, whatever calls act on.
    Targets,
}

impl View {
    pub const ALL: [Self; 4] = [Self::Sites, Self::Effects, Self::Processes, Self::Targets];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sites => "call sites",
            Self::Effects => "effects",
            Self::Processes => "processes",
            Self::Targets => "targets",
        }
    }

    /// What one row is.
    pub fn one(self) -> &'static str {
        match self {
            Self::Sites => "call site",
            Self::Effects => "effect",
            Self::Processes => "process",
            Self::Targets => "target",
        }
    }
}

/// By which the rows are sorted, the largest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    Calls,
    Errors,
    #[default]
    Time,
    Mean,
    Max,
    Bytes,
}

impl Order {
    pub const ALL: [Self; 6] = [
        Self::Calls,
        Self::Errors,
        Self::Time,
        Self::Mean,
        Self::Max,
        Self::Bytes,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Errors => "errors",
            Self::Time => "time",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Bytes => "bytes",
        }
    }

    fn of(self, numbers: &Numbers) -> u64 {
        match self {
            Self::Calls => numbers.calls,
            Self::Errors => numbers.errors,
            Self::Time => numbers.total_ns,
            Self::Mean => numbers.mean_ns().unwrap_or(0),
            Self::Max => numbers.max_ns,
            Self::Bytes => numbers.bytes,
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What it is of, and where that is.
    pub name: String,
    pub place: String,
    /// For call sites.
    pub site: Option<Site>,
    pub numbers: Numbers,
}

/// What is known of the calls of a site.
#[derive(Clone, Debug, Default)]
struct Known {
    effect: String,
    now: Numbers,
    all: Numbers,
}

/// A process.
#[derive(Clone, Debug, Default)]
struct Process {
    what: String,
    gone: bool,
    cost: Option<Cost>,
}

/// A call site that is looked at.
#[derive(Clone, Debug, Default)]
pub struct Drill {
    pub site: Site,
    /// Its latest calls, as text.
    pub latest: VecDeque<String>,
    pub numbers: Numbers,
}

/// Values that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Of one call site.
    Site(Site),
    /// Of all calls: what they act on.
    Targets,
}

/// The state of the screen.
#[derive(Debug, Default)]
pub struct Model {
    sites: HashMap<Site, Known>,
    /// What came since the last period's end.
    coming: HashMap<Site, (String, Numbers)>,
    /// What came in the whole trace, at its end.
    whole: HashMap<Site, (String, Numbers)>,
    processes: BTreeMap<u32, Process>,
    /// What the calls of the last look acted on, by name and effect; and how many were looked at.
    targets: HashMap<(String, String), Numbers>,
    pub looked_at: u64,
    /// Seconds that the numbers of now are of.
    pub seconds: f64,
    /// Seconds since the last look that was shown.
    waiting: f64,
    pub lost: u64,
    pub view: View,
    pub order: Order,
    /// Numbers since the beginning, not those of now.
    pub since_start: bool,
    pub paused: bool,
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    pub help: bool,
    pub selected: usize,
    pub drill: Option<Drill>,
    /// The rows as they are shown.
    pub rows: Vec<Shown>,
    pub sum: Numbers,
    /// What the user is told.
    pub message: Option<String>,
}

impl Model {
    /// Takes in a line; true: there is something new to show.
    pub fn take(&mut self, line: Line) -> bool {
        match line {
            Line::Header { targets } => {
                for target in targets {
                    let what =
                        plainly(&format!("Python {} {}", target.python, target.executable)).into_owned();
                    let process = Process {
                        what,
                        ..Process::default()
                    };
                    self.processes.insert(target.pid, process);
                }
                true
            }
            Line::Stat(row) => {
                self.add(&row);
                false
            }
            Line::Period { whole: true, .. } => {
                self.end();
                true
            }
            Line::Period { from_ns, to_ns, .. } => {
                self.period(to_ns.saturating_sub(from_ns) as f64 / 1e9);
                true
            }
            Line::Process {
                event,
                pid,
                parent,
                cost,
            } => {
                // One that was forked is what its parent is.
                let of_parent = parent.and_then(|parent| self.processes.get(&parent));
                let begun = of_parent.cloned().unwrap_or_default();
                let process = self.processes.entry(pid).or_insert(begun);
                process.gone = event == "exit";
                process.cost = cost.or(process.cost.take());
                true
            }
            Line::Loss { count } => {
                self.lost = self.lost.saturating_add(count);
                true
            }
            Line::Other => false,
        }
    }

    fn add(&mut self, row: &Row) {
        let place = row
            .stack
            .first()
            .map_or_else(|| "?".to_owned(), |frame| frame.place());
        let site = Site {
            pid: row.pid,
            function: plainly(&row.function).into_owned(),
            place: plainly(&place).into_owned(),
        };
        let rows = if row.whole {
            &mut self.whole
        } else {
            &mut self.coming
        };
        let effect = || plainly(&row.effect).into_owned();
        let (_, numbers) = rows.entry(site).or_insert_with(|| (effect(), Numbers::default()));
        numbers.join(&Numbers::of(row));
    }

    /// Tracing has ended, and all there was is known: what came after the last period too.
    fn end(&mut self) {
        for (site, (effect, numbers)) in self.whole.drain() {
            let known = self.sites.entry(site).or_default();
            known.effect = effect;
            known.all = numbers;
        }
        self.arrange();
    }

    /// While it is paused what comes waits: then all that has come is of the first period after.
    fn period(&mut self, seconds: f64) {
        self.waiting += seconds;
        if self.paused {
            return;
        }
        for known in self.sites.values_mut() {
            known.now = Numbers::default();
        }
        for (site, (effect, numbers)) in self.coming.drain() {
            let known = self.sites.entry(site).or_default();
            known.effect = effect;
            known.all.join(&numbers);
            known.now = numbers;
        }
        self.seconds = std::mem::take(&mut self.waiting);
        self.arrange();
    }

    /// Makes the rows.
    pub fn arrange(&mut self) {
        let mut rows: HashMap<(String, String, Option<Site>), Numbers> = HashMap::new();
        let mut sum = Numbers::default();
        let filter = self.filter.to_lowercase();
        for (site, known) in &self.sites {
            let numbers = if self.since_start { &known.all } else { &known.now };
            if numbers.calls == 0 && numbers.ended() == 0 || !self.matches(site, &known.effect, &filter) {
                continue;
            }
            sum.join(numbers);
            let key = match self.view {
                View::Sites => (self.named(site), site.place.clone(), Some(site.clone())),
                View::Effects => (known.effect.clone(), String::new(), None),
                View::Processes => self.process(site.pid),
                View::Targets => continue,
            };
            rows.entry(key).or_default().join(numbers);
        }
        self.sum = sum;
        if self.view == View::Targets {
            let found = self.targets.iter().filter(|((name, effect), _)| {
                name.to_lowercase().contains(&filter) || effect.to_lowercase().contains(&filter)
            });
            rows.extend(found.map(|((name, effect), n)| ((name.clone(), effect.clone(), None), n.clone())));
        }
        self.rows = rows
            .into_iter()
            .map(|((name, place, site), numbers)| Shown {
                name,
                place,
                site,
                numbers,
            })
            .collect();
        let order = self.order;
        self.rows.sort_by_cached_key(|row| {
            let numbers = &row.numbers;
            let first = Reverse((order.of(numbers), numbers.total_ns, numbers.calls));
            (first, row.name.clone(), row.place.clone(), row.site.clone())
        });
        self.selected = self.selected.min(self.rows.len().saturating_sub(1));
        if let Some(drill) = &mut self.drill {
            drill.numbers = self
                .sites
                .get(&drill.site)
                .map(|known| known.all.clone())
                .unwrap_or_default();
        }
    }

    /// A function, and whether not all of its calls are seen.
    fn named(&self, site: &Site) -> String {
        let process = site.pid.and_then(|pid| self.processes.get(&pid));
        let cost = process.and_then(|process| process.cost.as_ref());
        match cost {
            Some(cost) if cost.shed.contains(&site.function) => format!("{} (moments)", site.function),
            _ => site.function.clone(),
        }
    }

    /// Of the process that pays most: what tracing costs it, and its budget, of one processor.
    pub fn cost(&self) -> Option<(f64, f64)> {
        let costs = self.processes.values().filter(|process| !process.gone);
        let costs = costs.filter_map(|process| process.cost.as_ref());
        costs
            .map(|cost| (cost.cost, cost.budget))
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
    }

    fn process(&self, pid: Option<u32>) -> (String, String, Option<Site>) {
        let Some(pid) = pid else {
            return ("?".to_owned(), String::new(), None);
        };
        let process = self.processes.get(&pid);
        let gone = if process.is_some_and(|process| process.gone) {
            " (ended)"
        } else {
            ""
        };
        let what = process.map(|process| process.what.clone()).unwrap_or_default();
        let cost = process.and_then(|process| process.cost.as_ref());
        let cost = cost.map_or_else(String::new, |cost| {
            let (cost, budget) = (cost.cost * 100.0, cost.budget * 100.0);
            format!("{cost:.2}% of {budget}%  ")
        });
        (format!("{pid}{gone}"), format!("{cost}{what}"), None)
    }

    /// `filter`: in lower case.
    fn matches(&self, site: &Site, effect: &str, filter: &str) -> bool {
        let pid = site.pid.map(|pid| pid.to_string());
        let parts = [
            &site.function,
            &site.place,
            effect,
            pid.as_deref().unwrap_or_default(),
        ];
        filter.is_empty() || parts.iter().any(|part| part.to_lowercase().contains(filter))
    }

    /// Processes that run.
    pub fn running(&self) -> usize {
        self.processes.values().filter(|process| !process.gone).count()
    }

    /// Whose values are wanted now. While it is paused, nobody's: what is there stays, and nothing is traced for it.
    pub fn wanted(&self) -> Option<Wanted> {
        if self.paused {
            return None;
        }
        match &self.drill {
            Some(drill) => Some(Wanted::Site(drill.site.clone())),
            None => (self.view == View::Targets).then_some(Wanted::Targets),
        }
    }

    /// A look at what calls act on begins.
    pub fn look(&mut self) {
        self.targets.clear();
        self.looked_at = 0;
    }

    /// Takes in a call of that look.
    pub fn event(&mut self, event: &Event) {
        self.looked_at += 1;
        if let Some(name) = event.acts_on() {
            let key = (plainly(&name).into_owned(), plainly(&event.effect).into_owned());
            self.targets.entry(key).or_default().add(event);
        }
    }

    /// What a number is divided by to be one of a second.
    pub fn divisor(&self) -> f64 {
        if self.since_start || self.seconds <= 0.0 {
            1.0
        } else {
            self.seconds
        }
    }

    /// A line of the site that is looked at.
    pub fn latest(&mut self, line: String) {
        if let Some(drill) = &mut self.drill {
            if drill.latest.len() == LATEST {
                drill.latest.pop_front();
            }
            drill.latest.push_back(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pid: u32, function: &str, line: u32, calls: u64, errors: u64, whole: bool) -> String {
        format!(
            r#"{{"type":"stat","pid":{pid},"function":"{function}","effect":"file.open","stack":[{{"function":"work","file":"/a/x.py","line":{line}}}],"calls":{calls},"errors":{errors},"unobserved":0,"total_ns":{},"max_ns":9,"bytes":1,"unsized":0,"histogram":[[8,{calls}]],"from_ns":0,"to_ns":1,"whole":{whole}}}"#,
            calls * 6
        )
    }

    fn period(seconds: u64, whole: bool) -> String {
        let ns = seconds * 1_000_000_000;
        format!(r#"{{"type":"period","from_ns":0,"to_ns":{ns},"whole":{whole}}}"#)
    }

    fn feed(model: &mut Model, lines: &[String]) {
        for line in lines {
            model.take(serde_json::from_str(line).expect("a line"));
        }
    }

    fn calls(model: &Model) -> Vec<(&str, u64)> {
        model
            .rows
            .iter()
            .map(|row| (row.name.as_str(), row.numbers.calls))
            .collect()
    }

    #[test]
    fn numbers_of_now_and_since_the_start() {
        let mut model = Model::default();
        let first = [
            row(1, "posix.open", 3, 5, 1, false),
            row(2, "posix.stat", 4, 9, 0, false),
            period(1, false),
        ];
        feed(&mut model, &first);
        assert_eq!(calls(&model), [("posix.stat", 9), ("posix.open", 5)]);
        feed(
            &mut model,
            &[row(1, "posix.open", 3, 2, 0, false), period(2, false)],
        );
        assert_eq!(calls(&model), [("posix.open", 2)]);
        assert_eq!(model.divisor(), 2.0);
        model.since_start = true;
        model.arrange();
        assert_eq!(calls(&model), [("posix.stat", 9), ("posix.open", 7)]);
        assert_eq!(
            (model.sum.errors, model.sum.mean_ns(), model.sum.below_ns(0.99)),
            (1, Some(6), Some(8))
        );
        // What came after the last period is in the sum of all.
        feed(
            &mut model,
            &[row(1, "posix.open", 3, 20, 4, true), period(9, true)],
        );
        assert_eq!(calls(&model), [("posix.open", 20), ("posix.stat", 9)]);
    }

    #[test]
    fn what_comes_while_paused_is_shown_after() {
        let mut model = Model::default();
        feed(&mut model, &[row(1, "a", 3, 5, 0, false), period(1, false)]);
        model.paused = true;
        feed(
            &mut model,
            &[
                row(1, "a", 3, 7, 0, false),
                period(1, false),
                row(1, "a", 3, 8, 0, false),
                period(1, false),
            ],
        );
        assert_eq!(calls(&model), [("a", 5)]);
        model.paused = false;
        feed(&mut model, &[period(1, false)]);
        assert_eq!((calls(&model), model.divisor()), (vec![("a", 15)], 3.0));
    }

    #[test]
    fn processes_come_and_go() {
        let mut model = Model::default();
        feed(
            &mut model,
            &[
                r#"{"type":"header","targets":[{"pid":1,"python":"3.12.1","executable":"/p"}]}"#.to_owned(),
                r#"{"type":"process","event":"fork","pid":2,"parent":1,"time_ns":0}"#.to_owned(),
                r#"{"type":"process","event":"exit","pid":1,"time_ns":0}"#.to_owned(),
                row(1, "a", 3, 5, 0, false),
                row(2, "a", 3, 4, 0, false),
                period(1, false),
            ],
        );
        model.view = View::Processes;
        model.arrange();
        let shown: Vec<_> = model
            .rows
            .iter()
            .map(|row| (row.name.as_str(), row.place.as_str()))
            .collect();
        assert_eq!(
            shown,
            [("1 (ended)", "Python 3.12.1 /p"), ("2", "Python 3.12.1 /p")]
        );
        assert_eq!(model.running(), 1);
    }

    #[test]
    fn what_calls_act_on_is_of_one_look() {
        let mut model = Model {
            view: View::Targets,
            ..Model::default()
        };
        assert_eq!(model.wanted(), Some(Wanted::Targets));
        model.paused = true;
        assert_eq!(model.wanted(), None);
        model.paused = false;
        let event = |path: &str, outcome: &str| -> Event {
            let line = format!(
                r#"{{"type":"call","effect":"file.open","duration_ns":7,"outcome":"{outcome}","target":{{"path":"{path}"}}}}"#
            );
            serde_json::from_str(&line).expect("an event")
        };
        model.look();
        for (path, outcome) in [("/a", "return"), ("/b", "raise"), ("/b", "return")] {
            model.event(&event(path, outcome));
        }
        model.order = Order::Calls;
        model.arrange();
        assert_eq!((calls(&model), model.looked_at), (vec![("/b", 2), ("/a", 1)], 3));
        let numbers = &model.rows[0].numbers;
        assert_eq!(
            (numbers.errors, numbers.mean_ns(), numbers.below_ns(1.0)),
            (1, Some(7), Some(8))
        );
        model.filter = "/A".to_owned();
        model.arrange();
        assert_eq!(calls(&model), [("/a", 1)]);
        model.look();
        model.arrange();
        assert!(model.rows.is_empty());
    }

    #[test]
    fn rows_are_grouped_sorted_and_filtered() {
        let mut model = Model::default();
        feed(
            &mut model,
            &[
                row(1, "a", 3, 5, 2, false),
                row(1, "b", 4, 9, 0, false),
                row(2, "a", 3, 1, 3, false),
                period(1, false),
            ],
        );
        model.order = Order::Errors;
        model.arrange();
        assert_eq!(calls(&model), [("a", 1), ("a", 5), ("b", 9)]);
        model.view = View::Effects;
        model.arrange();
        assert_eq!(calls(&model), [("file.open", 15)]);
        model.view = View::Processes;
        model.arrange();
        assert_eq!(calls(&model), [("2", 1), ("1", 14)]);
        model.view = View::Sites;
        model.filter = "X.PY:4".to_owned();
        model.arrange();
        assert_eq!(calls(&model), [("b", 9)]);
    }
}
