//! ClickHouse over its HTTP interface.
//!
//! Values go as parameters of the request (`param_NAME`, `{NAME:String}`); servers before version 20 have none, and get
//! them as literals ([`super::engine::quote`]). Nothing that is asked changes anything (`readonly`).

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{Uri, header::HeaderValue};
use serde::Deserialize;

use super::{
    Answer, Cell, Engine, QueryError,
    answer::rows_of,
    http::Http,
    parameter::{Bound, Value},
};

/// From this version on there are parameters, `Map` and `DateTime64`.
const MODERN: u32 = 20;
/// Characters of a server's message that are shown.
const SHOWN: usize = 2000;

/// Who asks.
#[derive(Clone, Default)]
pub struct Credentials {
    pub user: Option<String>,
    pub password: Option<String>,
}

/// A server, or a cluster behind one.
pub struct ClickHouse {
    http: Http,
    base: String,
    database: Option<String>,
    /// Goes on without shards that do not answer.
    partial: bool,
    version: String,
    engine: Engine,
}

/// Of the shards of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shards {
    pub cluster: String,
    pub all: u64,
    pub answered: u64,
    /// Where they are: `host:port`.
    pub places: Vec<String>,
}

impl ClickHouse {
    /// Connects to `http://host:8123/database`; `partial`: answers of a cluster are taken without the shards that are
    /// not there.
    ///
    /// # Errors
    ///
    /// An address that is none or has a password in it, a server that does not answer.
    pub fn connect(url: &str, credentials: &Credentials, partial: bool) -> Result<Self, QueryError> {
        let (base, database) = address(url)?;
        let mut server = Self {
            http: Http::new(authorization(credentials))?,
            base,
            database,
            partial,
            version: String::new(),
            engine: Engine::ClickHouse18,
        };
        let answer = server.request("SELECT version() AS version", &[], 1)?;
        if let Some(Cell::Text(version)) = answer.rows.first().and_then(|row| row.first()) {
            server.version.clone_from(version);
        }
        let major = server
            .version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        if major.is_some_and(|major: u32| major >= MODERN) {
            server.engine = Engine::ClickHouse;
        }
        Ok(server)
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Asks; at most so many rows.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn ask(&self, sql: &str, bound: &[Bound], limit: usize) -> Result<Answer, QueryError> {
        let sql = self.engine.render(sql, bound)?;
        self.request(&sql, bound, limit)
    }

    fn request(&self, sql: &str, bound: &[Bound], limit: usize) -> Result<Answer, QueryError> {
        let most = rows_of(limit);
        let mut uri = format!("{}/?default_format=JSONCompact", self.base);
        let mut set = |name: &str, value: &str| {
            let _ = write!(uri, "&{name}={}", percent(value));
        };
        if let Some(database) = &self.database {
            set("database", database);
        }
        // The whole answer, or an error: no half of one.
        set("wait_end_of_query", "1");
        set("output_format_json_quote_64bit_integers", "0");
        set("readonly", "2");
        set("max_result_rows", &(most + 1).to_string());
        set("result_overflow_mode", "break");
        set("skip_unavailable_shards", if self.partial { "1" } else { "0" });
        if self.engine == Engine::ClickHouse {
            for Bound { name, value } in bound {
                match value {
                    // The server reads them as it reads a field of TSV.
                    Value::Text(text) | Value::Like(text) => set(&format!("param_{name}"), &field(text)),
                    Value::Number(number) => set(&format!("param_{name}"), &number.to_string()),
                }
            }
        }
        let uri: Uri = uri
            .parse()
            .map_err(|error| QueryError::Asked(format!("{}: {error}", self.base)))?;
        let response = self.http.post(&uri, sql.to_owned())?;
        let text = String::from_utf8_lossy(&response.body);
        if !response.is_success {
            return Err(self.refused(&text));
        }
        if text.trim().is_empty() {
            return Ok(Answer::default());
        }
        let table: Table = serde_json::from_str(&text).map_err(|_| self.refused(&text))?;
        Ok(table.answer(most))
    }

    fn refused(&self, said: &str) -> QueryError {
        let mut text: String = said.trim().chars().take(SHOWN).collect();
        // All connection tries failed: of a shard.
        if !self.partial && (text.contains("Code: 279") || text.contains("ALL_CONNECTION_TRIES_FAILED")) {
            text.push_str("; --partial asks the other shards");
        }
        QueryError::ClickHouse(text)
    }

    /// How many shards of the table of effects answer, if it is spread over several.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn shards(&self) -> Result<Option<Shards>, QueryError> {
        let table = self.request(
            "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'effects'",
            &[],
            1,
        )?;
        let Some(cluster) = first_text(&table).and_then(cluster_of) else {
            return Ok(None);
        };
        let name = super::engine::quote(&cluster).map_err(|why| QueryError::Server(why.into()))?;
        let places = self.request(
            &format!(
                "SELECT shard_num, host_name, port FROM system.clusters WHERE cluster = {name} ORDER BY shard_num"
            ),
            &[],
            0,
        )?;
        let answered = self.request(
            &format!("SELECT count(*) AS answered FROM cluster({name}, system.one)"),
            &[],
            1,
        )?;
        let mut numbers: Vec<&Cell> = places.rows.iter().filter_map(|row| row.first()).collect();
        numbers.dedup();
        let place = |row: &Vec<Cell>| match row.as_slice() {
            [_, Cell::Text(host), Cell::Int(port)] => Some(format!("{host}:{port}")),
            _ => None,
        };
        Ok(Some(Shards {
            cluster,
            all: numbers.len() as u64,
            answered: match answered.rows.first().and_then(|row| row.first()) {
                Some(Cell::Int(count)) => u64::try_from(*count).unwrap_or(0),
                _ => 0,
            },
            places: places.rows.iter().filter_map(place).collect(),
        }))
    }
}

fn first_text(answer: &Answer) -> Option<&str> {
    match answer.rows.first()?.first()? {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

/// The cluster of `Distributed(cluster, database, table)`; newer servers quote its name.
fn cluster_of(engine: &str) -> Option<String> {
    let arguments = engine.strip_prefix("Distributed(")?;
    let first = arguments.split([',', ')']).next()?.trim();
    Some(first.trim_matches(['\'', '"', '`']).to_owned())
}

/// The server and the database of `http://host:8123/database`.
fn address(url: &str) -> Result<(String, Option<String>), QueryError> {
    let none = |why: &str| QueryError::Asked(format!("{why}; an address is http://HOST:8123/DATABASE"));
    let uri: Uri = url.parse().map_err(|_| none("this is no address"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(none("this is no address"));
    };
    if authority.as_str().contains('@') {
        return Err(none(
            "user and password are not taken from an address, where others see them: set CLICKHOUSE_USER and CLICKHOUSE_PASSWORD",
        ));
    }
    if uri.query().is_some() {
        return Err(none("an address has no parameters here"));
    }
    let database = match uri.path().trim_matches('/') {
        "" => None,
        path if path.contains('/') => return Err(none("a database has no `/` in its name")),
        path => Some(path.to_owned()),
    };
    Ok((format!("{scheme}://{authority}"), database))
}

/// Whether a password would go over a network as it is.
pub fn is_in_the_clear(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let is_here = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    uri.scheme_str() == Some("http") && !is_here
}

fn authorization(credentials: &Credentials) -> Option<HeaderValue> {
    if credentials.user.is_none() && credentials.password.is_none() {
        return None;
    }
    let user = credentials.user.as_deref().unwrap_or("default");
    let password = credentials.password.as_deref().unwrap_or_default();
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What is no letter, digit or one of `-._~`, as `%XX` (RFC 3986).
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// A field of tab-separated values.
fn field(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out
}

/// The format JSONCompact.
#[derive(Deserialize)]
struct Table {
    meta: Vec<Column>,
    data: Vec<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

impl Table {
    fn answer(self, most: usize) -> Answer {
        let more = self.data.len() > most;
        let rows = self.data.into_iter().take(most);
        Answer {
            columns: self.meta.into_iter().map(|column| column.name).collect(),
            rows: rows.map(|row| row.into_iter().map(cell).collect()).collect(),
            more,
        }
    }
}

fn cell(value: serde_json::Value) -> Cell {
    use serde_json::Value as Json;
    match value {
        Json::Null => Cell::Null,
        Json::Bool(value) => Cell::Int(value.into()),
        Json::String(text) => Cell::Text(text),
        Json::Number(number) => match (number.as_i128(), number.as_f64()) {
            (Some(number), _) => Cell::Int(number),
            (None, Some(number)) => Cell::Float(number),
            (None, None) => Cell::Null,
        },
        other => Cell::Text(other.to_string()),
    }
}

#[cfg(test)]
#[path = "clickhouse_tests.rs"]
mod tests;
