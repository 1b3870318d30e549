//! Dialects: one text of a question for all of them.

use super::{
    QueryError,
    parameter::{Bound, Value},
};

/// What a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    /// From version 20 on.
    ClickHouse,
    /// Debian's 18.16: no parameters, no `Map`, no `DateTime64`.
    ClickHouse18,
    /// Over the Parquet file that `replay` makes of a recording.
    DuckDb,
}

impl Engine {
    pub const ALL: [Self; 4] = [Self::Sqlite, Self::ClickHouse, Self::ClickHouse18, Self::DuckDb];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::ClickHouse => "clickhouse",
            Self::ClickHouse18 => "clickhouse-18",
            Self::DuckDb => "duckdb",
        }
    }

    /// The tables that questions are asked of, and what they are made from.
    pub fn schema(self) -> &'static str {
        match self {
            Self::Sqlite => include_str!("sqlite/schema.sql"),
            Self::ClickHouse => include_str!("clickhouse/schema.sql"),
            Self::ClickHouse18 => include_str!("clickhouse/schema-18.sql"),
            Self::DuckDb => include_str!("duckdb/schema.sql"),
        }
    }

    pub fn is_clickhouse(self) -> bool {
        matches!(self, Self::ClickHouse | Self::ClickHouse18)
    }

    /// Replaces `:name` of these parameters by what the engine takes for one, or by the value where it has none, and
    /// `{effects}` and `{losses}` by the tables. Texts and comments of the SQL stay as they are.
    ///
    /// # Errors
    ///
    /// A value that cannot be written as a literal.
    pub fn render(self, sql: &str, bound: &[Bound]) -> Result<String, QueryError> {
        let mut out = String::with_capacity(sql.len() + 64);
        let mut rest = sql;
        while let Some(c) = rest.chars().next() {
            let taken = match c {
                '\'' | '"' | '`' => quoted(rest, c),
                '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
                // A cast.
                ':' if rest.starts_with("::") => 2,
                ':' => {
                    let name = word(&rest[1..]);
                    if let Some(bound) = bound.iter().find(|bound| bound.name == name) {
                        self.parameter(bound, &mut out)?;
                        rest = &rest[1 + name.len()..];
                        continue;
                    }
                    1
                }
                '{' => match ["effects", "losses"]
                    .iter()
                    .find(|name| rest[1..].starts_with(**name) && rest[1 + name.len()..].starts_with('}'))
                {
                    Some(name) => {
                        out.push_str(name);
                        // A record that came twice is one.
                        if self.is_clickhouse() {
                            out.push_str(" FINAL");
                        }
                        rest = &rest[name.len() + 2..];
                        continue;
                    }
                    None => 1,
                },
                c => c.len_utf8(),
            };
            out.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
        Ok(out)
    }

    fn parameter(self, bound: &Bound, out: &mut String) -> Result<(), QueryError> {
        let name = &bound.name;
        match (self, &bound.value) {
            (Self::Sqlite, _) => out.push_str(&format!(":{name}")),
            // There no character quotes others, unless one is named.
            (Self::DuckDb, Value::Like(_)) if out.trim_end().ends_with("LIKE") => {
                out.push_str(&format!("${name} ESCAPE '\\'"))
            }
            (Self::DuckDb, _) => out.push_str(&format!("${name}")),
            (Self::ClickHouse, Value::Number(_)) => out.push_str(&format!("{{{name}:UInt64}}")),
            (Self::ClickHouse, _) => out.push_str(&format!("{{{name}:String}}")),
            (Self::ClickHouse18, Value::Number(number)) => out.push_str(&number.to_string()),
            (Self::ClickHouse18, Value::Like(text) | Value::Text(text)) => {
                out.push_str(&quote(text).map_err(|why| QueryError::Asked(format!("{name}: {why}")))?);
            }
        }
        Ok(())
    }
}

/// Bytes of a quoted text, both quotes included: a doubled quote and one behind a backslash are part of it.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            characters.next();
        } else if c == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// A name at the beginning of a text.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

/// A literal for ClickHouse before it had parameters: everything that is not a plain character is escaped.
///
/// # Errors
///
/// A text with a zero byte: no such text is in the table.
pub fn quote(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\0' => return Err("a zero byte is in no text"),
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('\'');
    Ok(out)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
