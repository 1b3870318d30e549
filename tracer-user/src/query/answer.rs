//! What comes back: a table.

/// Rows that an answer holds at most, whatever the limit.
pub const MAX_ROWS: usize = 1_000_000;

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Int(i128),
    Float(f64),
    Text(String),
}

/// The answer to a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
    /// There are more rows than these.
    pub more: bool,
}

impl Answer {
    /// The position of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// Whether in some row `calls` is not the number of `events`: it is an estimate of calls that were sampled.
    pub fn is_estimate(&self) -> bool {
        let (Some(calls), Some(events)) = (self.column("calls"), self.column("events")) else {
            return false;
        };
        self.rows.iter().any(|row| row.get(calls) != row.get(events))
    }
}

/// How many rows a limit means; 0: as many as there may be.
pub fn rows_of(limit: usize) -> usize {
    match limit {
        0 => MAX_ROWS,
        limit => limit.min(MAX_ROWS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_differ_are_estimates() {
        let answer = |calls, events| Answer {
            columns: vec!["calls".into(), "events".into()],
            rows: vec![vec![Cell::Int(calls), Cell::Int(events)]],
            more: false,
        };
        assert!(answer(128, 1).is_estimate());
        assert!(!answer(2, 2).is_estimate());
        assert!(!Answer::default().is_estimate());
        assert_eq!((rows_of(0), rows_of(5)), (MAX_ROWS, 5));
    }
}
