//! The named questions: SQL for every engine, in `questions/*.sql`.
//!
//! `{effects}` and `{losses}` stand for the tables ([`Engine::render`]); calls are counted by `sum(weight)`, in the column
//! `calls`, and the records that were seen in `events`.

use super::{
    Engine,
    parameter::{Kind, Parameter},
};

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub name: &'static str,
    pub about: &'static str,
    pub parameters: &'static [Parameter],
    /// At least one of these parameters has to be given.
    pub one_of: &'static [&'static str],
    sql: &'static str,
    /// Where ClickHouse has a better way.
    clickhouse: Option<&'static str>,
}

impl Question {
    /// The one of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        QUESTIONS.iter().find(|question| question.name == name)
    }

    /// Its text, before [`Engine::render`].
    pub fn sql(&self, engine: Engine) -> &'static str {
        let own = self.clickhouse.filter(|_| engine.is_clickhouse());
        own.unwrap_or(self.sql).trim_end()
    }
}

const SINCE: Parameter = Parameter {
    name: "since",
    kind: Kind::Time,
    default: Some("0"),
    about: "only what began since then; --since is the same",
};
const SERVICE: Parameter = Parameter {
    name: "service",
    kind: Kind::Glob,
    default: Some("*"),
    about: "only services of this name, a glob",
};
const HOST: Parameter = Parameter {
    name: "host",
    kind: Kind::Glob,
    default: Some("*"),
    about: "only hosts of this name, a glob",
};
/// Parameters that every question has.
const COMMON: &[Parameter] = &[SINCE, SERVICE, HOST];

/// All of them.
pub const QUESTIONS: &[Question] = &[
    Question {
        name: "who-touched",
        about: "Who acted on a path or a peer, from which line, how often, when first and last",
        parameters: &[
            Parameter {
                name: "path",
                kind: Kind::Glob,
                default: Some(""),
                about: "a glob of the whole path: `/etc/*`, `*.pem`; `*` is any characters",
            },
            Parameter {
                name: "peer",
                kind: Kind::Glob,
                default: Some(""),
                about: "a glob of the whole peer: `10.0.0.7:*`, `*:5432`",
            },
            SINCE,
            SERVICE,
            HOST,
        ],
        one_of: &["path", "peer"],
        sql: include_str!("questions/who-touched.sql"),
        clickhouse: None,
    },
    Question {
        name: "new-effects",
        about: "Effects, by function, target and line, that occur since a moment and not before it",
        parameters: &[
            Parameter {
                default: None,
                about: "the moment, as a deploy's",
                ..SINCE
            },
            SERVICE,
            HOST,
        ],
        one_of: &[],
        sql: include_str!("questions/new-effects.sql"),
        clickhouse: None,
    },
    Question {
        name: "slowest",
        about: "Call sites by the 99th percentile of their durations",
        parameters: COMMON,
        one_of: &[],
        sql: include_str!("questions/slowest.sql"),
        clickhouse: Some(include_str!("questions/slowest-clickhouse.sql")),
    },
    Question {
        name: "errors",
        about: "Exceptions by call site and type",
        parameters: COMMON,
        one_of: &[],
        sql: include_str!("questions/errors.sql"),
        clickhouse: None,
    },
    Question {
        name: "secrets",
        about: "Which services use secrets: values that were masked, files of keys and passwords, the environment as far as it is set or copied",
        parameters: COMMON,
        one_of: &[],
        sql: include_str!("questions/secrets.sql"),
        clickhouse: None,
    },
    Question {
        name: "trace",
        about: "What was done under one trace id, in order",
        parameters: &[
            Parameter {
                name: "trace_id",
                kind: Kind::Text,
                default: None,
                about: "32 hexadecimal digits",
            },
            SINCE,
            SERVICE,
            HOST,
        ],
        one_of: &[],
        sql: include_str!("questions/trace.sql"),
        clickhouse: None,
    },
    Question {
        name: "top",
        about: "The most frequent call sites",
        parameters: COMMON,
        one_of: &[],
        sql: include_str!("questions/top.sql"),
        clickhouse: None,
    },
    Question {
        name: "peers",
        about: "Who talks to whom",
        parameters: COMMON,
        one_of: &[],
        sql: include_str!("questions/peers.sql"),
        clickhouse: None,
    },
    Question {
        name: "losses",
        about: "What was not seen: events that were lost, functions of which only moments were seen",
        parameters: COMMON,
        one_of: &[],
        sql: include_str!("questions/losses.sql"),
        clickhouse: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_in_the_text() {
        for question in QUESTIONS {
            for engine in Engine::ALL {
                let sql = question.sql(engine);
                for parameter in question.parameters {
                    let name = format!(":{}", parameter.name);
                    assert!(sql.contains(&name), "{}: {name}", question.name);
                }
                assert!(sql.contains("{effects}") || sql.contains("{losses}"));
            }
            for name in question.one_of {
                assert!(
                    question
                        .parameters
                        .iter()
                        .any(|parameter| parameter.name == *name)
                );
            }
        }
    }
}
