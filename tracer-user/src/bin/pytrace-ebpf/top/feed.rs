//! What `stat --format json` says, a line at a time.

use serde::Deserialize;

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
    },
    Loss {
        count: u64,
    },
    #[serde(other)]
    Other,
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
