//! What `stat --format json` says, a line at a time, and what of an event is shown.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A line. Kinds that are not shown are [`Line::Other`].
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Line {
    Header {
        targets: Vec<Target>,
    },
    Stat(Row),
    Period {
        from_ns: u64,
        to_ns: u64,
        whole: bool,
    },
    Process {
        event: String,
        pid: u32,
        #[serde(default)]
        parent: Option<u32>,
        #[serde(flatten)]
        cost: Option<Cost>,
    },
    Loss {
        count: u64,
    },
    #[serde(other)]
    Other,
}

/// What tracing a process costs, of one processor, and which functions are seen for moments only.
#[derive(Clone, Debug, Deserialize)]
pub struct Cost {
    pub cost: f64,
    pub budget: f64,
    pub shed: Vec<String>,
}

/// A process that is traced.
#[derive(Debug, Deserialize)]
pub struct Target {
    pub pid: u32,
    pub python: String,
    pub executable: String,
}

/// Calls of one function, from one line.
#[derive(Debug, Deserialize)]
pub struct Row {
    #[serde(default)]
    pub pid: Option<u32>,
    pub function: String,
    pub effect: String,
    pub stack: Vec<Frame>,
    pub calls: u64,
    pub errors: u64,
    pub unobserved: u64,
    pub total_ns: u64,
    pub max_ns: u64,
    pub bytes: u64,
    /// Ends of buckets (`None`: the last one has none), and the calls in them.
    pub histogram: Vec<(Option<u64>, u64)>,
    pub whole: bool,
}

/// A place in Python code.
#[derive(Debug, Deserialize)]
pub struct Frame {
    pub function: String,
    pub file: String,
    pub line: Option<u32>,
}

impl Frame {
    /// As text shows it: `app.py:12 save`.
    pub fn place(&self) -> String {
        let file = self.file.rsplit('/').next().unwrap_or_default();
        match self.line {
            Some(line) => format!("{file}:{line} {}", self.function),
            None if self.file == "?" => "?".to_owned(),
            None => format!("{file}:? {}", self.function),
        }
    }
}

/// A call, as a trace has it.
#[derive(Debug, Deserialize)]
pub struct Event {
    pub effect: String,
    pub duration_ns: Option<u64>,
    pub outcome: String,
    #[serde(default)]
    pub target: Map<String, Value>,
}

/// Characters of a target that are kept.
const SHOWN: usize = 200;

impl Event {
    /// What the call acts on: a path or a peer before anything else that is known of it, its descriptor last.
    pub fn acts_on(&self) -> Option<String> {
        let known = |key: &&str| self.target.get(*key).is_some_and(|value| !value.is_null());
        let named = ["path", "peer"].into_iter().find(known);
        let other = || self.target.keys().map(String::as_str).find(|key| *key != "fd");
        let key = named.or_else(other).or_else(|| ["fd"].into_iter().find(known))?;
        let text = match &self.target[key] {
            Value::String(text) => text.clone(),
            value => format!("{key} {value}"),
        };
        Some(text.chars().take(SHOWN).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acts_on(target: &str) -> Option<String> {
        let event =
            format!(r#"{{"type":"call","effect":"x","duration_ns":1,"outcome":"return","target":{target}}}"#);
        serde_json::from_str::<Event>(&event).expect("an event").acts_on()
    }

    #[test]
    fn targets_have_one_name() {
        assert_eq!(acts_on(r#"{"fd":3,"path":"/tmp/x"}"#).as_deref(), Some("/tmp/x"));
        assert_eq!(
            acts_on(r#"{"fd":3,"peer":"1.2.3.4:5"}"#).as_deref(),
            Some("1.2.3.4:5")
        );
        assert_eq!(acts_on(r#"{"fd":3}"#).as_deref(), Some("fd 3"));
        assert_eq!(acts_on(r#"{"pid":7}"#).as_deref(), Some("pid 7"));
        assert_eq!(acts_on(r#"{"sql":"SELECT 1"}"#).as_deref(), Some("SELECT 1"));
        assert_eq!(acts_on("{}"), None);
    }
}
