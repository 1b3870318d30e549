//! A row of the table of effects, and one of the table of what was lost.

use jiff::{Timestamp, tz::TimeZone};

/// An effect: one call, or as many as `weight` says. Texts that are not known are empty, numbers 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Unix time of its beginning, nanoseconds.
    pub time_ns: u64,
    /// `service.name`; `unknown_service:NAME` of the executable where there is none.
    pub service: String,
    /// `host.name`.
    pub host: String,
    /// `container.id`.
    pub container: String,
    pub pid: u64,
    pub tid: u64,
    /// Version of Python.
    pub python: String,
    /// Numbers of the call and of the call that it is inside of, in its trace; those of the parent: 0 is none.
    pub id: u64,
    pub parent: u64,
    /// The C function.
    pub function: String,
    /// `file.open`
    pub effect: String,
    /// `return`, `raise`, `yield` or `unobserved`.
    pub outcome: String,
    /// Type of the exception.
    pub error: String,
    pub message: String,
    /// The innermost Python frame.
    pub file: String,
    pub line: u64,
    pub caller: String,
    /// What it acts on.
    pub path: String,
    pub peer: String,
    pub sql: String,
    pub duration_ns: Option<u64>,
    /// Calls that it stands for, when only some were recorded.
    pub weight: u64,
    /// A value was masked.
    pub secret: bool,
    /// In hexadecimal.
    pub trace_id: String,
    pub span_id: String,
    pub body: String,
    /// `log.record.uid`: two records with the same are one.
    pub uid: String,
}

impl Effect {
    /// `file` of `file.open`.
    pub fn group(&self) -> &str {
        self.effect.split('.').next().unwrap_or_default()
    }
}

/// That something was not seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Unix time, nanoseconds; 0 where it is not known.
    pub time_ns: u64,
    pub service: String,
    pub host: String,
    pub container: String,
    pub pid: u64,
    /// The record's name, as `pytrace.loss`.
    pub event: String,
    /// Of which function, if of one.
    pub function: String,
    /// Events.
    pub lost: u64,
    /// For how long nothing of it was seen.
    pub unseen_ns: u64,
    pub uid: String,
}

/// `2026-03-01 12:01:07.412345`, UTC: how every engine writes the column `time`.
pub fn time_text(time_ns: u64) -> String {
    let time = Timestamp::from_nanosecond(time_ns.into()).unwrap_or(Timestamp::UNIX_EPOCH);
    // Digits after these are left out, as engines do that convert to microseconds.
    let micros = time.as_microsecond();
    let time = Timestamp::from_microsecond(micros).unwrap_or(time);
    let civil = time.to_zoned(TimeZone::UTC).datetime();
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second(),
        civil.subsec_nanosecond() / 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_microseconds() {
        assert_eq!(time_text(1_700_000_000_123_456_789), "2023-11-14 22:13:20.123456");
        assert_eq!(time_text(0), "1970-01-01 00:00:00.000000");
        assert_eq!(time_text(u64::MAX), "2554-07-21 23:34:33.709551");
    }

    #[test]
    fn a_group_is_what_is_before_the_point() {
        let effect = |name: &str| Effect {
            effect: name.into(),
            ..Effect::default()
        };
        assert_eq!(effect("file.open").group(), "file");
        assert_eq!(effect("exception").group(), "exception");
    }
}
