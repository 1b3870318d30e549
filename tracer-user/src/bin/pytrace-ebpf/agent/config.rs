//! The agent's configuration: TOML. What is wrong in it is said with the file, the line, and what was expected there.

use std::{
    fmt, fs,
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use tracer_common::limits::{MAX_DEPTH, MAX_FRAMES, MAX_ITEMS, MAX_STR, MAX_TARGETS};
use tracer_user::{
    catalogue::select::{Functions, Selection},
    export::{record::Values, redact, sender},
};

use crate::cli::{Share, seconds};

/// Bytes of a configuration at most.
const MAX_FILE: u64 = 1 << 20;

/// All of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub agent: Agent,
    pub budget: Budget,
    pub http: Http,
    /// Where events go; without, they are only counted.
    pub otlp: Option<sender::Settings>,
    pub spool: Spool,
    pub redact: redact::Settings,
    pub policy: Vec<Policy>,
}

/// `[agent]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Where it keeps what must survive it.
    pub state_dir: PathBuf,
    /// How often all processes are looked at; those that begin a program are noticed at once.
    pub scan: Interval,
    /// Processes traced at once, at most.
    pub max_processes: Processes,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/pytrace-ebpf".into(),
            scan: Interval(Duration::from_secs(5)),
            max_processes: Processes(200),
        }
    }
}

/// `[budget]`: what tracing may cost, of one processor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Each process, where its policy does not say.
    pub process: Share,
    /// All together.
    pub host: Share,
}

impl Default for Budget {
    fn default() -> Self {
        let share = |text: &str| text.parse().unwrap_or_else(|_| unreachable!("a share"));
        Self {
            process: share("1%"),
            host: share("10%"),
        }
    }
}

/// `[http]`: health and metrics.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    pub listen: Listen,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Listen(Some(SocketAddr::from(([127, 0, 0, 1], 9469)))),
        }
    }
}

/// `[spool]`: what is kept while the collector is away.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spool {
    pub max_bytes: Bytes,
    pub max_age: Age,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            max_bytes: Bytes(256 << 20),
            max_age: Age(Duration::from_secs(7 * 24 * 3600)),
        }
    }
}

/// `[[policy]]`: the first that matches a process says how it is traced.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    pub name: String,
    #[serde(rename = "match")]
    pub matches: Matches,
    /// `false`: it is not.
    pub trace: Yes,
    pub effects: Effects,
    pub functions: Vec<FunctionGlob>,
    pub stack: Bounded<1, MAX_FRAMES>,
    pub values: Values,
    pub max_str: Bounded<256, MAX_STR>,
    pub max_items: Bounded<16, MAX_ITEMS>,
    pub max_depth: Bounded<3, MAX_DEPTH>,
    pub budget: Option<Share>,
    /// `service.name` of processes that do not say their own.
    pub service: Option<String>,
}

/// Which processes: each key that is there has to match, by one of its globs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matches {
    /// Program and arguments, joined by spaces.
    pub command: Vec<Glob>,
    /// The program's path.
    pub executable: Vec<Glob>,
    /// Name or number.
    pub user: Vec<Glob>,
    pub cgroup: Vec<Glob>,
    /// The container's id.
    pub container: Vec<Glob>,
    /// The pod's uid.
    pub pod: Vec<Glob>,
    /// `OTEL_SERVICE_NAME`.
    pub service: Vec<Glob>,
}

/// A value that is `true` where nothing is said.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Yes(pub bool);

impl Default for Yes {
    fn default() -> Self {
        Self(true)
    }
}

/// A number up to `MOST`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u32")]
pub struct Bounded<const USUAL: u32, const MOST: u32>(pub u32);

impl<const USUAL: u32, const MOST: u32> Default for Bounded<USUAL, MOST> {
    fn default() -> Self {
        Self(USUAL)
    }
}

impl<const USUAL: u32, const MOST: u32> TryFrom<u32> for Bounded<USUAL, MOST> {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        match number <= MOST {
            true => Ok(Self(number)),
            false => Err(format!("{number} is too much: at most {MOST}")),
        }
    }
}

/// A number of processes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u32")]
pub struct Processes(pub u32);

impl TryFrom<u32> for Processes {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        match (1..=MAX_TARGETS).contains(&number) {
            true => Ok(Self(number)),
            false => Err(format!(
                "{number} processes: from 1 to {MAX_TARGETS} can be traced at once"
            )),
        }
    }
}

/// Declares a type of texts that are checked when they are read.
macro_rules! text {
    ($(#[$meta:meta])* $name:ident($inner:ty), $parse:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(pub $inner);

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let parse: fn(&str) -> Result<$inner, String> = $parse;
                parse(&text).map(Self)
            }
        }
    };
}

text! {
    /// `500ms`, `5s`.
    Interval(Duration),
    |text| match seconds(text)? {
        short if short < LEAST_INTERVAL => Err(format!("`{text}` is too short: at least {LEAST_INTERVAL:?}")),
        interval => Ok(interval),
    }
}
/// Looking at all processes costs some milliseconds.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

text! {
    /// `7d`, `12h`.
    Age(Duration),
    |text| {
        let age = text.parse::<jiff::Span>().ok();
        let age = age.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
        let age = age.and_then(|age| Duration::try_from(age).ok()).filter(|age| !age.is_zero());
        age.ok_or_else(|| format!("`{text}` is no time: write one like `7d` or `12h`"))
    }
}

text! {
    /// `256MiB`, `2GiB`.
    Bytes(u64),
    |text| {
        let (number, shift) = match (text.strip_suffix("MiB"), text.strip_suffix("GiB")) {
            (Some(number), _) => (number, 20),
            (_, Some(number)) => (number, 30),
            _ => (text, 0),
        };
        let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        bytes
            .filter(|bytes| *bytes >= LEAST_BYTES)
            .ok_or_else(|| format!("`{text}` is no size from 1MiB: write one like `256MiB` or `2GiB`"))
    }
}
const LEAST_BYTES: u64 = 1 << 20;

text! {
    /// An address and a port; `off`.
    Listen(Option<SocketAddr>),
    |text| match text {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            format!("`{text}` is no address: expected one with a port, as in `127.0.0.1:9469`, or `off`")
        }),
    }
}

text! {
    /// `-e`.
    Effects(String),
    |text| Selection::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl Default for Effects {
    fn default() -> Self {
        Self("world".to_owned())
    }
}

text! {
    /// `-f`.
    FunctionGlob(String),
    |text| Functions::parse(&[text.to_owned()]).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

text! {
    /// A glob: `*` stands for anything.
    Glob(GlobMatcher),
    |text| GlobBuilder::new(text)
        .literal_separator(false)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| error.to_string())
}

impl Glob {
    pub fn is(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// What is wrong with a configuration, in one line.
#[derive(Debug)]
pub struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Wrong {}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Wrong> {
        let read = || {
            let mut text = String::new();
            let file = fs::File::open(path)?;
            file.take(MAX_FILE + 1).read_to_string(&mut text)?;
            std::io::Result::Ok(text)
        };
        let text = read().map_err(|error| Wrong(format!("cannot read {}: {error}", path.display())))?;
        if text.len() as u64 > MAX_FILE {
            return Err(Wrong(format!("{}: more than {MAX_FILE} bytes", path.display())));
        }
        Self::parse(&text).map_err(|(line, what)| Wrong(format!("{}:{line}: {what}", path.display())))
    }

    /// Reads a text; or the line, and what is wrong there.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..start]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            (line, error.message().replace('\n', " "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_one_is_what_is_usual() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.budget.process, "1%".parse().unwrap());
        assert_eq!(config.budget.host, "10%".parse().unwrap());
        assert_eq!(config.http.listen.0.unwrap().port(), 9469);
        assert_eq!(config.agent.max_processes.0, 200);
        assert!(config.policy.is_empty());
    }

    #[test]
    fn all_of_it_is_read() {
        let config = Config::parse(
            r#"
            [agent]
            state_dir = "/tmp/x"
            scan = "500ms"
            max_processes = 10
            [budget]
            process = "0.5%"
            host = "3%"
            [http]
            listen = "off"
            [otlp]
            endpoint = "http://127.0.0.1:4317"
            headers = { api-key = "x" }
            [spool]
            max_bytes = "2GiB"
            max_age = "12h"
            [redact]
            patterns = ["[0-9]{16}"]
            with = "hash"
            [[policy]]
            name = "web"
            match = { command = ["*gunicorn*"], user = ["www-data", "33"] }
            effects = "net,file"
            functions = ["zlib.*"]
            values = "full"
            stack = 3
            budget = "2%"
            service = "shop"
            [[policy]]
            name = "rest"
            trace = false
            "#,
        )
        .unwrap();
        assert_eq!(config.agent.scan.0, Duration::from_millis(500));
        assert!(config.http.listen.0.is_none());
        assert_eq!(config.spool.max_bytes.0, 2 << 30);
        assert_eq!(config.spool.max_age.0, Duration::from_secs(12 * 3600));
        assert!(config.otlp.is_some());
        let [web, rest] = &config.policy[..] else {
            panic!("{config:?}")
        };
        assert!(web.matches.command[0].is("/usr/bin/python3 /usr/bin/gunicorn app:app"));
        assert_eq!((web.values, web.stack.0, web.trace.0), (Values::Full, 3, true));
        assert_eq!(
            (rest.values, rest.stack.0, rest.trace.0),
            (Values::None, 1, false)
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line, part) in [
            (
                "[agent]\nstate = 1\n",
                2,
                "expected one of `state_dir`, `scan`, `max_processes`",
            ),
            ("[budget]\n\nprocess = \"7\"\n", 3, "as in `1%`"),
            ("[[policy]]\neffects = \"fil\"\n", 2, "fil"),
            (
                "[[policy]]\nname = \"x\"\nvalues = \"some\"\n",
                3,
                "expected `full` or `none`",
            ),
            ("[[policy]]\nmatch = { command = [\"a[\"] }\n", 2, "a["),
            ("[[policy]]\nstack = 1000\n", 2, "at most 128"),
            ("[agent]\nscan = \"1ms\"\n", 2, "at least 100ms"),
            ("[agent]\nmax_processes = 0\n", 2, "from 1 to 240"),
            ("[http]\nlisten = \"9469\"\n", 2, "expected one with a port"),
            ("[spool]\nmax_bytes = \"5\"\n", 2, "like `256MiB`"),
            ("[spool]\nmax_age = \"soon\"\n", 2, "like `7d`"),
            ("[otlp]\nprotocol = \"grpc\"\n", 1, "endpoint"),
            ("a = [\n", 1, ""),
            ("\n\nx x\n", 3, ""),
        ] {
            let (at, what) = Config::parse(text).unwrap_err();
            assert_eq!(at, line, "{text}: {what}");
            assert!(what.contains(part) && !what.contains('\n'), "{text}: {what}");
        }
        let error = Config::read(Path::new("/nonexistent/agent.toml")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/agent.toml"), "{error}");
    }
}
