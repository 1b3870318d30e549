//! `cargo xtask scale`: the load model of a fleet, as a page whose figures follow from the constants here.
//!
//! Each constant says where it is from. Measured ones are of one machine and small programs: they tell orders of magnitude.

use std::{fmt::Write as _, fs};

use anyhow::Context as _;

use crate::shell;

/// A number, what it is, and where it is from.
struct Constant {
    name: &'static str,
    value: f64,
    unit: &'static str,
    from: &'static str,
}

const fn constant(name: &'static str, value: f64, unit: &'static str, from: &'static str) -> Constant {
    Constant {
        name,
        value,
        unit,
        from,
    }
}

// What a host does.
const PROCESSES: Constant = constant("processes", 10.0, "a host", "assumed");
const EVENTS: Constant = constant(
    "events",
    20.0,
    "/s a process",
    "assumed: one request a second of a service with 18 effects each (service.md)",
);
const HOST_BUDGET: Constant = constant(
    "budget",
    0.10,
    "of a processor, a host",
    "the agent's own default",
);
const CALL: Constant = constant("tracing a call", 5.5, "us of the program", "measured (bench.md)");
const TOOL: Constant = constant(
    "reading a record",
    3.0,
    "us of the agent",
    "measured (bench.md: full speed, json)",
);
// What an event takes; each from 8,500 records of a program with files, sockets and SQLite, without values.
const RAW: Constant = constant("OTLP, raw", 494.0, "B a record", "measured; 1,282 with values");
const WIRE: Constant = constant("OTLP, gzip", 27.0, "B a record", "measured; 66 with values");
const LOGS: Constant = constant(
    "`otel_logs`",
    25.0,
    "B a row, compressed",
    "measured with chdb 4.4 (ClickHouse 26.9); 31 with values",
);
const EFFECTS: Constant = constant(
    "`effects`",
    10.5,
    "B a row, compressed",
    "measured with chdb 4.4 (ClickHouse 26.9); 12 with values",
);
const DIVERSITY: Constant = constant(
    "diversity",
    3.0,
    "times the compressed sizes",
    "assumed: one small program repeats itself more than a fleet does",
);
// What carries it.
const FLUSH: Constant = constant("a batch", 1.0, "s at most", "the agent's own bound");
const BATCH: Constant = constant("a batch", 524_288.0, "B raw at most", "the agent's own bound");
const SPOOL: Constant = constant("spool", 268_435_456.0, "B", "the agent's own default (256MiB)");
const COLLECTOR: Constant = constant("a collector", 20_000.0, "records/s a core", "assumed");
const REQUESTS: Constant = constant("a collector", 2_000.0, "requests/s a core", "assumed");
const COLLECTOR_CORES: Constant = constant("a collector", 4.0, "cores", "assumed");
const INSERT: Constant = constant(
    "a collector inserts",
    5.0,
    "s apart",
    "assumed: its batch processor's `timeout`",
);
const SERVER: Constant = constant(
    "a ClickHouse server",
    200_000.0,
    "rows/s, merges and views included",
    "assumed; one insert of 8,568 rows took 0.12 s here, both views filled (71,000 rows/s)",
);
const INSERTS: Constant = constant(
    "a ClickHouse server",
    10.0,
    "inserts/s",
    "assumed: each makes a part in each of three tables, which have to be merged",
);

const ALL: [&Constant; 19] = [
    &PROCESSES,
    &EVENTS,
    &HOST_BUDGET,
    &CALL,
    &TOOL,
    &RAW,
    &WIRE,
    &LOGS,
    &EFFECTS,
    &DIVERSITY,
    &FLUSH,
    &BATCH,
    &SPOOL,
    &COLLECTOR,
    &REQUESTS,
    &COLLECTOR_CORES,
    &INSERT,
    &SERVER,
    &INSERTS,
];

const HOSTS: [f64; 3] = [10.0, 1_000.0, 100_000.0];
const DAY: f64 = 86_400.0;

/// What a fleet of so many hosts makes, when each makes so many events.
struct Load {
    /// A second, as all below that are rates.
    events: f64,
    requests: f64,
    /// Bytes.
    wire: f64,
    collectors: f64,
    inserts: f64,
    servers: f64,
    /// Bytes a day: all tables, and only `effects`.
    stored: f64,
    effects: f64,
}

impl Load {
    fn of(hosts: f64, events_a_host: f64) -> Self {
        let events = hosts * events_a_host;
        let requests = hosts * (1.0 / FLUSH.value).max(events_a_host * RAW.value / BATCH.value);
        let cores = (events / COLLECTOR.value).max(requests / REQUESTS.value);
        let collectors = (cores / COLLECTOR_CORES.value).ceil();
        let inserts = collectors / INSERT.value;
        Self {
            events,
            requests,
            wire: events * WIRE.value * DIVERSITY.value,
            collectors,
            inserts,
            servers: (events / SERVER.value).max(inserts / INSERTS.value).ceil(),
            stored: events * DAY * (LOGS.value + EFFECTS.value) * DIVERSITY.value,
            effects: events * DAY * EFFECTS.value * DIVERSITY.value,
        }
    }
}

/// Events a second of a usual host, and the most that its budget lets be seen.
fn usual() -> f64 {
    PROCESSES.value * EVENTS.value
}

fn most() -> f64 {
    HOST_BUDGET.value / (CALL.value / 1e6)
}

/// Seconds of outage that the spool of a host covers.
fn outage(events_a_host: f64) -> f64 {
    SPOOL.value / (events_a_host * WIRE.value * DIVERSITY.value)
}

/// Writes `docs/scale.md`.
pub fn run() -> anyhow::Result<()> {
    let page = shell::root().join("docs/scale.md");
    fs::write(&page, text()).with_context(|| format!("cannot write {}", page.display()))
}

const HEAD: &str = "# How it scales

`cargo xtask scale` wrote this, from the constants at the end: a model, not a measurement of a fleet. Change a constant in
`xtask/src/scale.rs`, and the figures follow.

";

const FORMULAS: &str = "
    events/s         hosts x processes x events
    most events/s    hosts x budget / tracing a call
    requests/s       hosts x max(1 / batch time, events x raw / batch size)
    wire             events/s x gzip x diversity
    collectors       max(events/s / its records, requests/s / its requests) / its cores
    inserts/s        collectors / time between inserts
    servers          max(events/s / its rows, inserts/s / its inserts)
    stored a day     events/s x 86,400 x (otel_logs + effects) x diversity
    outage           spool / a host's wire
";

fn text() -> String {
    let mut out = HEAD.to_owned();
    let usual_title = format!("A usual fleet: {} events/s a host", number(usual()));
    let most_title = format!(
        "At the budget: {} events/s a host, more are not seen, and that is said",
        number(most())
    );
    for (title, events) in [(usual_title, usual()), (most_title, most())] {
        table(&mut out, &title, events);
    }
    out += "## Formulas\n";
    out += FORMULAS;
    gives_first(&mut out);
    out += "\n## Constants\n\n| | | | |\n| --- | --- | --- | --- |\n";
    for constant in ALL {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            constant.name,
            plain(constant.value),
            constant.unit,
            constant.from
        );
    }
    out
}

fn table(out: &mut String, title: &str, events: f64) {
    let loads = HOSTS.map(|hosts| Load::of(hosts, events));
    let _ = write!(out, "## {title}\n\n|");
    for hosts in HOSTS {
        let _ = write!(out, " | {} hosts", number(hosts));
    }
    *out += " |\n| --- | --- | --- | --- |\n";
    let mut row = |name: &str, of: fn(&Load) -> String| {
        let _ = write!(out, "| {name} |");
        for load in &loads {
            let _ = write!(out, " {} |", of(load));
        }
        *out += "\n";
    };
    row("events/s", |load| number(load.events));
    row("requests/s to collectors", |load| number(load.requests));
    row("on the wire", |load| format!("{}/s", bytes(load.wire)));
    row("collectors", |load| number(load.collectors));
    row("inserts/s into ClickHouse", |load| number(load.inserts));
    row("ClickHouse servers", |load| number(load.servers));
    row("stored a day", |load| bytes(load.stored));
    row("of that `effects`", |load| bytes(load.effects));
    let _ = writeln!(
        out,
        "\nEach host: {} of a processor for the agent to read records, {}/s on the wire; its spool covers an outage of {}.\n",
        percent(events * TOOL.value / 1e6),
        bytes(events * WIRE.value * DIVERSITY.value),
        time(outage(events))
    );
}

fn gives_first(out: &mut String) {
    let [_, thousand, most] = HOSTS.map(|hosts| Load::of(hosts, usual()));
    let _ = write!(
        out,
        "
## What gives first

- 10 hosts: nothing. One collector and one ClickHouse on one machine are idle most of the time.
- 1,000 hosts: the collectors, for the number of records ({} of {} cores each). ClickHouse sees few inserts as long as they batch; agents
  that wrote into it by themselves would be {} inserts a second, a hundred times what one server merges.
- 100,000 hosts: storage, {} a day, then collectors, {} of them. In this order: policies (what is not asked for costs nothing
  anywhere); counts by `/metrics` in place of records, where counts are enough; `otel_logs` with a TTL of a day, or with ENGINE = Null,
  whose view fills `effects` all the same ({} a day are left); collectors in two tiers, the first beside the agents.
- A hot host does not give: the budget bounds what is seen and sent, whatever the programs do, and what was not seen is counted. With the
  collector away the spool drops the oldest beyond its bound, and counts it.
",
        number(thousand.collectors),
        number(COLLECTOR_CORES.value),
        number(thousand.requests),
        bytes(most.stored),
        number(most.collectors),
        bytes(most.effects),
    );
}

/// With a comma between thousands; two digits of small ones.
fn number(value: f64) -> String {
    if value < 10.0 && value.fract() > 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// As a constant is written.
fn plain(value: f64) -> String {
    match value.fract() > 0.0 {
        true => value.to_string(),
        false => number(value),
    }
}

fn bytes(value: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let steps = (value.max(1.0).log10() / 3.0).floor().min(5.0);
    let scaled = value / 1000f64.powf(steps);
    let shown = match scaled < 100.0 && (scaled * 10.0).round() % 10.0 != 0.0 {
        true => format!("{scaled:.1}"),
        false => number(scaled),
    };
    format!("{shown} {}", units[steps as usize])
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn time(seconds: f64) -> String {
    match seconds {
        long if long >= 2.0 * DAY => format!("{} days", number(long / DAY)),
        long if long >= 7200.0 => format!("{} hours", number((long / 360.0).round() / 10.0)),
        short => format!("{} minutes", number(short / 60.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_constants_say() {
        let page = fs::read_to_string(shell::root().join("docs/scale.md")).unwrap();
        assert_eq!(page, text(), "`cargo xtask scale` writes it");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            ["0.2", "10", "1,000", "20,000,000"],
            [0.2, 10.0, 1e3, 2e7].map(number)[..]
        );
        assert_eq!(
            ["0 B", "999 B", "16.2 kB", "1 TB"].map(str::to_owned),
            [0.0, 999.0, 16_200.0, 1e12].map(bytes)
        );
        assert_eq!(
            ["5 minutes", "4.6 hours", "3 days"],
            [300.0, 16_560.0, 3.0 * DAY].map(time)[..]
        );
        assert_eq!((plain(10.5), plain(524_288.0)), ("10.5".into(), "524,288".into()));
    }

    #[test]
    fn twice_the_hosts_are_twice_the_load() {
        let (one, two) = (Load::of(1e3, 200.0), Load::of(2e3, 200.0));
        assert_eq!(
            (two.events, two.stored, two.requests),
            (2.0 * one.events, 2.0 * one.stored, 2.0 * one.requests)
        );
        assert!(
            Load::of(1.0, 1e6).requests > 900.0,
            "large batches are sent before their time"
        );
    }
}
