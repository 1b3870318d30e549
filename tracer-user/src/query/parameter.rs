//! Named parameters of questions: globs, texts, moments.

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

use super::QueryError;

/// Bytes of a value at most.
const MAX_VALUE: usize = 4096;

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `*` stands for any characters, `?` for one.
    Glob,
    Text,
    /// A moment; see [`moment`].
    Time,
}

/// A parameter of a question.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    /// What it is when it is not given; none: it has to be.
    pub default: Option<&'static str>,
    pub about: &'static str,
}

/// A value as an engine gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    /// A pattern of LIKE.
    Like(String),
    Number(u64),
}

/// A parameter with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    pub name: String,
    pub value: Value,
}

/// `NAME=VALUE`
///
/// # Errors
///
/// A name that is none, a value that is too long.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(format!("`{name}` is no name of a parameter"));
    }
    if value.len() > MAX_VALUE {
        return Err(format!("the value of {name} has more than {MAX_VALUE} bytes"));
    }
    Ok((name.into(), value.into()))
}

/// Binds what was given to the parameters of a question. `now`: what times that are relative count from.
///
/// # Errors
///
/// One that the question has not, or that is missing, or no time.
pub fn bind(
    parameters: &[Parameter],
    given: &[(String, String)],
    now: Timestamp,
) -> Result<Vec<Bound>, QueryError> {
    let asked = |why: String| Err(QueryError::Asked(why));
    for (name, _) in given {
        if !parameters.iter().any(|parameter| parameter.name == name) {
            let known: Vec<&str> = parameters.iter().map(|parameter| parameter.name).collect();
            return asked(format!(
                "there is no parameter `{name}`; there are: {}",
                known.join(", ")
            ));
        }
    }
    let mut bound = Vec::new();
    for parameter in parameters {
        let name = parameter.name;
        let given = given.iter().rev().find(|(given, _)| given == name);
        let Some(value) = given.map(|(_, value)| value.as_str()).or(parameter.default) else {
            return asked(format!("{name} is missing ({}): `-p {name}=…`", parameter.about));
        };
        let value = match parameter.kind {
            Kind::Text => Value::Text(value.into()),
            Kind::Glob => Value::Like(like(value)),
            Kind::Time => match moment(value, now) {
                Ok(ns) => Value::Number(ns),
                Err(why) => return asked(format!("{name}: {why}")),
            },
        };
        bound.push(Bound {
            name: name.into(),
            value,
        });
    }
    Ok(bound)
}

/// The pattern of LIKE that matches what a glob does.
pub fn like(glob: &str) -> String {
    let mut out = String::with_capacity(glob.len());
    for c in glob.chars() {
        match c {
            '*' => out.push('%'),
            '?' => out.push('_'),
            '%' | '_' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Unix time in nanoseconds of `2026-03-01`, `2026-03-01 12:00` (local time), `2026-03-01T12:00:00Z`, `@1700000000`
/// (seconds), `15m`, `2h`, `7d` (so long ago).
///
/// # Errors
///
/// Another text.
pub fn moment(text: &str, now: Timestamp) -> Result<u64, String> {
    let none = || {
        format!(
            "`{text}` is no time; `2026-03-01`, `2026-03-01 12:00`, `2026-03-01T12:00:00Z`, `@1700000000`, `2h` (ago) are"
        )
    };
    let found = if text == "0" {
        Some(Timestamp::UNIX_EPOCH)
    } else if let Some(seconds) = text.strip_prefix('@') {
        seconds
            .parse()
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
    } else if let Some(ago) = ago(text) {
        now.checked_sub(ago).ok()
    } else if let Ok(moment) = text.parse::<Timestamp>() {
        Some(moment)
    } else {
        let civil = text
            .parse::<civil::DateTime>()
            .or_else(|_| text.parse::<civil::Date>().map(|date| date.at(0, 0, 0, 0)));
        let zoned = civil
            .ok()
            .and_then(|civil| civil.to_zoned(TimeZone::system()).ok());
        zoned.map(|zoned| zoned.timestamp())
    };
    let found = found.ok_or_else(none)?;
    u64::try_from(found.as_nanosecond()).map_err(|_| none())
}

/// `2h`
fn ago(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().last()?;
    let number: i64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .ok()
        .filter(|n| *n >= 0)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86400,
        _ => return None,
    };
    Some(SignedDuration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
#[path = "parameter_tests.rs"]
mod tests;
