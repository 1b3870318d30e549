//! The table in SQLite: filled once, then only asked.
//!
//! It is a temporary database: pages beyond a cache of fixed size go into an unlinked file of the temporary directory.

use rusqlite::{
    Connection, Row, Statement, ToSql,
    functions::FunctionFlags,
    hooks::{AuthAction, Authorization},
    types::ValueRef,
};

use super::{
    Answer, Cell, Engine, QueryError,
    answer::rows_of,
    effect::{Effect, Loss, time_text},
    parameter::{Bound, Value},
    rows::Row as Read,
};

/// Kilobytes of pages kept in memory.
const CACHE_KB: i64 = 64 << 10;
const INSERT_EFFECT: &str = "INSERT OR IGNORE INTO effects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)";
const INSERT_LOSS: &str =
    "INSERT OR IGNORE INTO losses VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub effects: u64,
    /// Records that had come before.
    pub twice: u64,
}

/// A table that is being filled.
pub struct Filling {
    connection: Connection,
    counts: Counts,
}

impl Filling {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// No temporary file, as a full disk.
    pub fn begin() -> Result<Self, QueryError> {
        // A database without a name is temporary (sqlite.org/inmemorydb.html).
        let connection = Connection::open("")?;
        connection.pragma_update(None, "cache_size", -CACHE_KB)?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.execute_batch(Engine::Sqlite.schema())?;
        connection.execute_batch("BEGIN")?;
        Ok(Self {
            connection,
            counts: Counts::default(),
        })
    }

    /// Takes in a row.
    ///
    /// # Errors
    ///
    /// A full disk.
    pub fn insert(&mut self, row: &Read) -> Result<(), QueryError> {
        match row {
            Read::Effect(effect) => {
                let mut statement = self.connection.prepare_cached(INSERT_EFFECT)?;
                let is_new = insert_effect(&mut statement, effect)? != 0;
                self.counts.effects += u64::from(is_new);
                self.counts.twice += u64::from(!is_new);
            }
            Read::Loss(loss) => {
                let mut statement = self.connection.prepare_cached(INSERT_LOSS)?;
                insert_loss(&mut statement, loss)?;
            }
        }
        Ok(())
    }

    /// Now it can be asked.
    ///
    /// # Errors
    ///
    /// A full disk.
    pub fn finish(self) -> Result<Store, QueryError> {
        let Self {
            mut connection,
            counts,
        } = self;
        connection.execute_batch("COMMIT")?;
        like_of_clickhouse(&connection)?;
        connection.flush_prepared_statement_cache();
        connection.pragma_update(None, "query_only", "ON")?;
        connection.authorizer(Some(|context: rusqlite::hooks::AuthContext<'_>| {
            use AuthAction as Action;
            match context.action {
                Action::Function { function_name }
                    if function_name.eq_ignore_ascii_case("load_extension") =>
                {
                    Authorization::Deny
                }
                Action::Select | Action::Read { .. } | Action::Function { .. } | Action::Recursive => {
                    Authorization::Allow
                }
                _ => Authorization::Deny,
            }
        }))?;
        Ok(Store { connection, counts })
    }
}

/// SQLite's numbers have a sign.
fn int(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn insert_effect(statement: &mut Statement<'_>, effect: &Effect) -> rusqlite::Result<usize> {
    let values: [&dyn ToSql; 29] = [
        &time_text(effect.time_ns),
        &int(effect.time_ns),
        &effect.service,
        &effect.host,
        &effect.container,
        &int(effect.pid),
        &int(effect.tid),
        &effect.python,
        &int(effect.id),
        &int(effect.parent),
        &effect.function,
        &effect.effect,
        &effect.group(),
        &effect.outcome,
        &effect.error,
        &effect.message,
        &effect.file,
        &int(effect.line),
        &effect.caller,
        &effect.path,
        &effect.peer,
        &effect.sql,
        &effect.duration_ns.map(int),
        &int(effect.weight),
        &effect.secret,
        &effect.trace_id,
        &effect.span_id,
        &effect.body,
        &effect.uid,
    ];
    statement.execute(values)
}

fn insert_loss(statement: &mut Statement<'_>, loss: &Loss) -> rusqlite::Result<usize> {
    let values: [&dyn ToSql; 11] = [
        &time_text(loss.time_ns),
        &int(loss.time_ns),
        &loss.service,
        &loss.host,
        &loss.container,
        &int(loss.pid),
        &loss.event,
        &loss.function,
        &int(loss.lost),
        &int(loss.unseen_ns),
        &loss.uid,
    ];
    statement.execute(values)
}

/// The table, for questions only: nothing that they say changes it, or reads a file.
pub struct Store {
    connection: Connection,
    counts: Counts,
}

impl Store {
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Asks; at most so many rows.
    ///
    /// # Errors
    ///
    /// What SQLite says of the text, or of a parameter that was not given.
    pub fn ask(&self, sql: &str, bound: &[Bound], limit: usize) -> Result<Answer, QueryError> {
        let sql = Engine::Sqlite.render(sql, bound)?;
        let mut statement = self.connection.prepare(&sql)?;
        for at in 1..=statement.parameter_count() {
            let name = statement.parameter_name(at).unwrap_or("?").to_owned();
            let found = bound
                .iter()
                .find(|bound| Some(bound.name.as_str()) == name.get(1..));
            match found.map(|bound| &bound.value) {
                Some(Value::Text(text) | Value::Like(text)) => statement.raw_bind_parameter(at, text)?,
                Some(Value::Number(number)) => statement.raw_bind_parameter(at, int(*number))?,
                None => {
                    return Err(QueryError::Asked(format!("{name} has no value: `-p NAME=VALUE`")));
                }
            }
        }
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut answer = Answer {
            columns,
            ..Answer::default()
        };
        let most = rows_of(limit);
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            if answer.rows.len() == most {
                answer.more = true;
                break;
            }
            answer.rows.push(cells(row, answer.columns.len())?);
        }
        Ok(answer)
    }
}

fn cells(row: &Row<'_>, columns: usize) -> Result<Vec<Cell>, QueryError> {
    let cell = |at| {
        Ok(match row.get_ref(at)? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Int(number.into()),
            ValueRef::Real(number) => Cell::Float(number),
            ValueRef::Text(text) | ValueRef::Blob(text) => Cell::Text(String::from_utf8_lossy(text).into()),
        })
    };
    (0..columns).map(cell).collect()
}

/// `LIKE` as ClickHouse has it, so that one question means the same: case counts, and a backslash quotes.
fn like_of_clickhouse(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("like", 2, flags, |context| {
        let text = |at| match context.get_raw(at) {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
            ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
        };
        // `text LIKE pattern` is like(pattern, text).
        Ok(text(0)
            .zip(text(1))
            .map(|(pattern, text)| is_like(&text, &pattern)))
    })
}

/// Whether the whole text matches: `%` is any characters, `_` one, `\` quotes the next.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Behind the last `%`, and how much of the text it takes.
    let mut back: Option<(usize, usize)> = None;
    while at < text.len() {
        let (matches, length) = match pattern.get(of) {
            Some('%') => {
                back = Some((of + 1, at));
                of += 1;
                continue;
            }
            Some('_') => (true, 1),
            Some('\\') if of + 1 < pattern.len() => (pattern[of + 1] == text[at], 2),
            Some(c) => (*c == text[at], 1),
            None => (false, 0),
        };
        if matches {
            (at, of) = (at + 1, of + length);
        } else if let Some((behind, taken)) = &mut back {
            *taken += 1;
            (at, of) = (*taken, *behind);
        } else {
            return false;
        }
    }
    pattern[of..].iter().all(|c| *c == '%')
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
