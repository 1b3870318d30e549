//! All figures in one table: what was measured down, the interpreters across.

use std::fmt::Write as _;

/// Something measured.
pub struct Figure {
    pub what: String,
    /// With its unit.
    pub value: String,
    /// What it should be; empty where nothing is promised.
    pub target: &'static str,
}

impl Figure {
    pub fn new(what: impl Into<String>, value: impl Into<String>, target: &'static str) -> Self {
        Self {
            what: what.into(),
            value: value.into(),
            target,
        }
    }
}

struct Row {
    what: String,
    target: &'static str,
    /// By column.
    values: Vec<String>,
}

/// The figures of all interpreters so far.
#[derive(Default)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    /// Adds what was measured with another interpreter.
    pub fn add(&mut self, interpreter: String, figures: Vec<Figure>) {
        let column = self.columns.len();
        self.columns.push(interpreter);
        for Figure { what, value, target } in figures {
            let found = self.rows.iter().position(|row| row.what == what);
            let at = found.unwrap_or_else(|| {
                self.rows.push(Row {
                    what,
                    target,
                    values: Vec::new(),
                });
                self.rows.len() - 1
            });
            let row = &mut self.rows[at];
            row.values.resize(column, String::new());
            row.values.push(value);
        }
    }

    /// As a table of Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("| | wanted | {} |\n", self.columns.join(" | "));
        let _ = writeln!(text, "|{}", " --- |".repeat(self.columns.len() + 2));
        for row in &self.rows {
            let mut values = row.values.clone();
            values.resize(self.columns.len(), String::new());
            let _ = writeln!(text, "| {} | {} | {} |", row.what, row.target, values.join(" | "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_interpreter_lacks_is_an_empty_place() {
        let mut table = Table::default();
        let figure = |what, value| Figure::new(what, value, "");
        table.add(
            "3.8".into(),
            vec![figure("call", "1 ns"), figure("attach", "2 ms")],
        );
        table.add(
            "3.12".into(),
            vec![figure("call", "3 ns"), figure("monitoring", "4 ns")],
        );
        assert_eq!(
            table.markdown(),
            "| | wanted | 3.8 | 3.12 |\n| --- | --- | --- | --- |\n| call |  | 1 ns | 3 ns |\n| attach |  | 2 ms |  |\n\
             | monitoring |  |  | 4 ns |\n"
        );
    }
}
