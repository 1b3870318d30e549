//! `pytrace-ebpf query`: questions about the effects of a recording, of a spool, of a fleet.

mod source;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    time::SystemTime,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tracer_user::{
    query::{
        Answer, Cell, Engine, QueryError,
        clickhouse::{ClickHouse, Credentials, Shards, is_in_the_clear},
        parameter::{self, Bound, Kind, Value},
        print,
        questions::{QUESTIONS, Question},
        store::Store,
    },
    sink::escape::plainly,
};

use crate::{
    Usage,
    cli::{OUTPUT, WHICH},
    logging::say,
};

/// What was lost, by kind of record.
const LOST: &str = "SELECT event, sum(lost) AS lost, count(*) AS records FROM {losses} WHERE time_ns >= :since OR time_ns = 0 GROUP BY event";

const EXAMPLES: &str = "Examples:
  # Which lines of code read keys, in a recording
  pytrace-ebpf query who-touched --on calls.pytrace -p path='*.pem'
  # What the fleet does since a deploy that it did not do before
  pytrace-ebpf query new-effects --on https://clickhouse:8443/default --since '2026-03-01 12:00'
  # Any SQL over the table `effects` (its columns: query --schema sqlite)
  pytrace-ebpf query 'SELECT service, sum(weight) AS calls FROM effects GROUP BY service' --on calls.otlp.jsonl
  # The questions and their parameters
  pytrace-ebpf query --list
";

/// Options of `query`.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
#[command(
    after_help = "ClickHouse gets user and password from CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.\nCalls are counted by sum(weight): of sampled ones that is an estimate, right on average."
)]
pub struct QueryArgs {
    /// A question by its name (`--list`), or SQL over the tables `effects` and `losses`
    #[arg(value_name = "NAME|SQL")]
    pub question: Option<String>,
    /// A recording, the agent's spool, a file of OTLP/JSON lines, or ClickHouse: `http://HOST:8123/DATABASE`
    #[arg(long, value_name = "SOURCE")]
    pub on: Option<String>,
    /// A parameter: `:NAME` in SQL; repeatable
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = parameter::pair, help_heading = WHICH)]
    pub parameters: Vec<(String, String)>,
    /// Only what began since: `2026-03-01 12:00` (local time), `2026-03-01T12:00:00Z`, `@1700000000`, `2h` (ago)
    #[arg(long, value_name = "TIME", help_heading = WHICH)]
    pub since: Option<String>,
    /// For people; an object a line; comma-separated values
    #[arg(long, value_enum, default_value_t = QueryFormat::Table, help_heading = OUTPUT)]
    pub format: QueryFormat,
    /// Rows at most; 0: all, up to a million
    #[arg(long, value_name = "N", default_value_t = 100, help_heading = OUTPUT)]
    pub limit: usize,
    /// Whole texts on a terminal, where long ones are cut otherwise
    #[arg(long, help_heading = OUTPUT)]
    pub wide: bool,
    /// Of a cluster, what the shards have that answer; how many do not is said
    #[arg(long, help_heading = WHICH)]
    pub partial: bool,
    /// The questions and their parameters
    #[arg(long, conflicts_with_all = ["question", "schema"])]
    pub list: bool,
    /// Do not ask: print the SQL of the question, for the engine of SOURCE or for this one
    #[arg(long, value_name = "ENGINE", num_args = 0..=1, require_equals = true, value_enum, conflicts_with = "schema")]
    #[expect(clippy::option_option, reason = "clap: not given, given, given with a value")]
    pub sql: Option<Option<EngineName>>,
    /// The tables of an engine: `query --schema clickhouse | clickhouse-client --multiquery`
    #[arg(long, value_name = "ENGINE", value_enum, conflicts_with = "question")]
    pub schema: Option<EngineName>,
}

/// `query --format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueryFormat {
    Table,
    Json,
    Csv,
}

/// An [`Engine`], by its name.
#[derive(Clone, Copy, Debug)]
pub struct EngineName(Engine);

impl ValueEnum for EngineName {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Self(Engine::Sqlite),
                Self(Engine::ClickHouse),
                Self(Engine::ClickHouse18),
                Self(Engine::DuckDb),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.0.name().into())
    }
}

/// Asks, and prints the answer.
pub fn run(args: &QueryArgs) -> anyhow::Result<()> {
    if args.list {
        return write(list().as_bytes());
    }
    if let Some(EngineName(engine)) = args.schema {
        return write(engine.schema().as_bytes());
    }
    let Some(text) = &args.question else {
        return Err(Usage("what is asked? A question's name (`query --list`) or SQL".into()).into());
    };
    let asked = Asked::of(text, args)?;
    if let Some(engine) = args.sql {
        let engine = match (engine, args.on.as_deref()) {
            (Some(EngineName(engine)), _) => engine,
            (None, Some(on)) if is_server(on) => connect(on, args)?.engine(),
            (None, _) => Engine::Sqlite,
        };
        let sql = engine.render(asked.sql(engine), &asked.bound).map_err(usage)?;
        return write(format!("{sql};\n").as_bytes());
    }
    let Some(on) = &args.on else {
        return Err(Usage(
            "of what? `--on calls.pytrace`, a spool, OTLP/JSON lines, or http://CLICKHOUSE:8123".into(),
        )
        .into());
    };
    let source = match is_server(on) {
        true => Source::Server(Box::new(connect(on, args)?)),
        false if args.partial => {
            return Err(Usage("--partial is for a cluster: one file is there or not".into()).into());
        }
        false => Source::Store(Box::new(source::read(Path::new(on))?)),
    };
    let answer = source.answer(&asked, args)?;
    print_answer(&answer, args)?;
    source.losses(&asked.since);
    Ok(())
}

/// Where effects are.
enum Source {
    Store(Box<Store>),
    Server(Box<ClickHouse>),
}

impl Source {
    fn answer(&self, asked: &Asked<'_>, args: &QueryArgs) -> anyhow::Result<Answer> {
        match self {
            Self::Store(store) => store
                .ask(asked.sql(Engine::Sqlite), &asked.bound, args.limit)
                .map_err(usage),
            Self::Server(server) => {
                let before = if args.partial { server.shards()? } else { None };
                let answer = server
                    .ask(asked.sql(server.engine()), &asked.bound, args.limit)
                    .map_err(usage)?;
                if let Some(before) = before {
                    // One may have gone while the question was asked.
                    let after = server.shards()?.unwrap_or_default();
                    say_missing(&before, &after);
                }
                Ok(answer)
            }
        }
    }

    /// Says that something was not seen.
    fn losses(&self, since: &Bound) {
        let bound = std::slice::from_ref(since);
        let answer = match self {
            Self::Store(store) => store.ask(LOST, bound, 0),
            Self::Server(server) => server.ask(LOST, bound, 0),
        };
        match answer {
            Ok(answer) => {
                let (lost, windows) = lost(&answer);
                if lost != 0 {
                    say!("{lost} events were lost and are in no answer (`query losses`)");
                }
                if windows != 0 {
                    say!("of some functions only moments were seen (`query losses`)");
                }
            }
            Err(error) => say!("whether events were lost is not known: {error}"),
        }
    }
}

/// Events that were lost, and how many times a function was not seen for a time. The summary of a trace counts again
/// what was said when it happened.
fn lost(answer: &Answer) -> (i128, i128) {
    let (mut told, mut in_all, mut windows) = (0, 0, 0);
    for row in &answer.rows {
        let [Cell::Text(event), Cell::Int(lost), Cell::Int(records)] = row.as_slice() else {
            continue;
        };
        match event.as_str() {
            "pytrace.summary" => in_all += lost,
            "pytrace.process.window" => windows += records,
            _ => told += lost,
        }
    }
    (told.max(in_all), windows)
}

fn say_missing(before: &Shards, after: &Shards) {
    let answered = before.answered.min(after.answered);
    if answered < before.all {
        say!(
            "{} of {} shards of {} did not answer: what they hold is missing (shards: {})",
            before.all - answered,
            before.all,
            before.cluster,
            before.places.join(", ")
        );
    }
}

/// What is asked.
struct Asked<'a> {
    question: Option<&'static Question>,
    text: &'a str,
    bound: Vec<Bound>,
    /// The moment from which on effects are asked for; 0 if none is named.
    since: Bound,
}

impl<'a> Asked<'a> {
    fn of(text: &'a str, args: &QueryArgs) -> anyhow::Result<Self> {
        let now = jiff::Timestamp::try_from(SystemTime::now())?;
        let mut given = args.parameters.clone();
        if let Some(since) = &args.since {
            given.push(("since".into(), since.clone()));
        }
        let question = question(text)?;
        let bound = match question {
            Some(question) => {
                let names = question.one_of;
                let is_given = |name: &&str| {
                    given
                        .iter()
                        .any(|(given, value)| given == *name && !value.is_empty())
                };
                if !names.is_empty() && !names.iter().any(is_given) {
                    let ways: Vec<String> = names.iter().map(|name| format!("`-p {name}=…`")).collect();
                    return Err(Usage(format!("{} wants {}", question.name, ways.join(" or "))).into());
                }
                parameter::bind(question.parameters, &given, now).map_err(usage)?
            }
            None => of_sql(&given, now)?,
        };
        let since = bound.iter().find(|bound| bound.name == "since").cloned();
        // What was lost before may have been what is new.
        let since = since.filter(|_| question.is_none_or(|question| question.name != "new-effects"));
        Ok(Self {
            question,
            text,
            bound,
            since: since.unwrap_or(Bound {
                name: "since".into(),
                value: Value::Number(0),
            }),
        })
    }

    fn sql(&self, engine: Engine) -> &str {
        self.question.map_or(self.text, |question| question.sql(engine))
    }
}

/// The question of that name; none where the text is SQL.
fn question(text: &str) -> Result<Option<&'static Question>, Usage> {
    match Question::find(text) {
        None if !text.trim().contains(char::is_whitespace) => Err(Usage(format!(
            "there is no question `{text}`; `query --list` names them"
        ))),
        found => Ok(found),
    }
}

/// Parameters of one's own SQL: texts, but for the moment.
fn of_sql(given: &[(String, String)], now: jiff::Timestamp) -> Result<Vec<Bound>, Usage> {
    let bind = |(name, value): &(String, String)| {
        let value = match name.as_str() {
            "since" => Value::Number(parameter::moment(value, now).map_err(Usage)?),
            _ => Value::Text(value.clone()),
        };
        let name = name.clone();
        Ok(Bound { name, value })
    };
    given.iter().map(bind).collect()
}

fn is_server(on: &str) -> bool {
    on.starts_with("http://") || on.starts_with("https://")
}

fn connect(on: &str, args: &QueryArgs) -> anyhow::Result<ClickHouse> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let credentials = Credentials {
        user: variable("CLICKHOUSE_USER"),
        password: variable("CLICKHOUSE_PASSWORD"),
    };
    if credentials.password.is_some() && is_in_the_clear(on) {
        say!("the password goes over the network as it is: use https");
    }
    ClickHouse::connect(on, &credentials, args.partial).map_err(usage)
}

/// What was asked wrongly is an error of usage.
fn usage(error: QueryError) -> anyhow::Error {
    match error {
        QueryError::Asked(why) => Usage(why).into(),
        other => other.into(),
    }
}

fn print_answer(answer: &Answer, args: &QueryArgs) -> anyhow::Result<()> {
    let is_terminal = io::stdout().is_terminal();
    let text = match args.format {
        QueryFormat::Table => print::table(answer, is_terminal && !args.wide).into_bytes(),
        QueryFormat::Json => print::json(answer),
        QueryFormat::Csv => print::csv(answer, is_terminal).into_bytes(),
    };
    write(&text)?;
    if answer.more {
        say!("there are more rows than these {}: --limit", answer.rows.len());
    }
    if answer.is_estimate() {
        say!("calls were sampled: `calls` are sums of weights, right on average; `events` were seen");
    }
    Ok(())
}

/// That nobody reads to the end is no error.
fn write(text: &[u8]) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the answer")
        }
        _ => Ok(()),
    }
}

fn list() -> String {
    let mut out = String::new();
    for question in QUESTIONS {
        out.push_str(&format!("{:<14}{}\n", question.name, question.about));
        for parameter in question.parameters {
            let must = match (parameter.default, question.one_of.contains(&parameter.name)) {
                (None, _) => " (must be given)",
                (_, true) => " (this, or another that is marked so)",
                _ => "",
            };
            let kind = match parameter.kind {
                Kind::Glob => "GLOB",
                Kind::Text => "TEXT",
                Kind::Time => "TIME",
            };
            let name = format!("-p {}={kind}", parameter.name);
            out.push_str(&format!("    {name:<18} {}{must}\n", plainly(parameter.about)));
        }
    }
    out
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
