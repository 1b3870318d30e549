//! Answers as a table, as JSON (an object a line) and as CSV (RFC 4180).

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr as _;

use super::{Answer, Cell};
use crate::sink::{
    escape::{json_text, plainly},
    number::float,
    text::duration,
};

/// Columns of a cell on a terminal at most; `…` stands for the rest.
const MAX_CELL: usize = 60;

/// A table for people. Columns of nanoseconds (`p99_ns`) are shown as times (`1.2ms`). `cut`: long texts are.
pub fn table(answer: &Answer, cut: bool) -> String {
    let heads: Vec<&str> = answer.columns.iter().map(|name| head(name)).collect();
    let cells = |row: &Vec<Cell>| -> Vec<String> {
        let cells = row.iter().zip(&answer.columns);
        cells.map(|(cell, name)| shown(cell, name, cut)).collect()
    };
    let rows: Vec<Vec<String>> = answer.rows.iter().map(cells).collect();
    let width = |at: usize| {
        let texts = rows.iter().filter_map(|row| row.get(at)).map(String::as_str);
        texts
            .chain([heads[at]])
            .map(|text| text.width())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let to_the_right: Vec<bool> = (0..heads.len())
        .map(|at| {
            answer
                .rows
                .iter()
                .all(|row| !matches!(row.get(at), Some(Cell::Text(_))))
        })
        .collect();
    let mut out = String::new();
    let mut line = |texts: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (at, text) in texts.enumerate() {
            let space = " ".repeat(widths[at].saturating_sub(text.width()));
            match to_the_right[at] {
                true => line.extend([&space, text]),
                false => line.extend([text, &space]),
            }
            line.push_str("  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    };
    line(&mut heads.iter().copied());
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

/// A column of times has no unit in its head: the cells have.
fn head(name: &str) -> &str {
    match name.strip_suffix("_ns") {
        Some(short) if name != "time_ns" => short,
        _ => name,
    }
}

fn shown(cell: &Cell, column: &str, cut: bool) -> String {
    match cell {
        Cell::Null => "-".into(),
        Cell::Int(number) if head(column) != column => {
            let mut out = Vec::new();
            duration((*number).try_into().unwrap_or(0), &mut out);
            String::from_utf8_lossy(&out).into_owned()
        }
        Cell::Int(number) => number.to_string(),
        Cell::Float(number) => of_float(*number),
        Cell::Text(text) => {
            let text = plainly(text);
            match cut && text.chars().count() > MAX_CELL {
                // Of a path the end says more.
                true if text.starts_with('/') => {
                    let skipped = text.chars().count() + 1 - MAX_CELL;
                    "…".chars().chain(text.chars().skip(skipped)).collect()
                }
                true => text.chars().take(MAX_CELL - 1).chain(['…']).collect(),
                false => text.into_owned(),
            }
        }
    }
}

fn of_float(number: f64) -> String {
    let mut out = Vec::new();
    float(number, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// An object a line. A number that is none (nan) is null.
pub fn json(answer: &Answer) -> Vec<u8> {
    let mut out = Vec::new();
    for row in &answer.rows {
        out.push(b'{');
        for (at, (name, cell)) in answer.columns.iter().zip(row).enumerate() {
            if at != 0 {
                out.push(b',');
            }
            json_text(name, &mut out);
            out.push(b':');
            match cell {
                Cell::Text(text) => json_text(text, &mut out),
                Cell::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
                Cell::Float(number) if number.is_finite() => float(*number, &mut out),
                Cell::Null | Cell::Float(_) => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b"}\n");
    }
    out
}

/// With a line of names first. `escaped`: texts are, for a terminal.
pub fn csv(answer: &Answer, escaped: bool) -> String {
    let mut out = String::new();
    let mut line = |fields: &mut dyn Iterator<Item = Cow<'_, str>>| {
        for (at, field) in fields.enumerate() {
            if at != 0 {
                out.push(',');
            }
            let field = if escaped {
                plainly(&field).into_owned()
            } else {
                field.into_owned()
            };
            match field.contains(['"', ',', '\n', '\r']) {
                true => out.extend(["\"", &field.replace('"', "\"\""), "\""]),
                false => out.push_str(&field),
            }
        }
        out.push_str("\r\n");
    };
    line(&mut answer.columns.iter().map(|name| name.as_str().into()));
    for row in &answer.rows {
        line(&mut row.iter().map(|cell| match cell {
            Cell::Null => "".into(),
            Cell::Int(number) => number.to_string().into(),
            Cell::Float(number) => of_float(*number).into(),
            Cell::Text(text) => text.as_str().into(),
        }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        let text = |text: &str| Cell::Text(text.into());
        Answer {
            columns: ["path", "calls", "p99_ns", "share"].map(str::to_owned).to_vec(),
            rows: vec![
                vec![
                    text("/a\x1b[31m,\"b\""),
                    Cell::Int(12),
                    Cell::Int(1_250_000),
                    Cell::Float(0.5),
                ],
                vec![text("é"), Cell::Int(7), Cell::Null, Cell::Float(f64::NAN)],
            ],
            more: false,
        }
    }

    #[test]
    fn tables_are_aligned_and_nothing_orders_the_terminal_about() {
        let expected = "path              calls    p99  share\n\
            /a\\u{1b}[31m,\"b\"     12  1.2ms    0.5\n\
            é                     7      -    nan\n";
        assert_eq!(table(&answer(), true), expected);
    }

    #[test]
    fn long_texts_are_cut_where_they_say_least() {
        let long = |text: &str| shown(&Cell::Text(text.into()), "path", true);
        let path = long(&format!("/{}/end", "x".repeat(100)));
        assert!(path.starts_with('…') && path.ends_with("x/end"), "{path}");
        assert_eq!(path.chars().count(), MAX_CELL);
        let text = long(&"y".repeat(100));
        assert_eq!((text.chars().count(), text.ends_with('…')), (MAX_CELL, true));
        assert_eq!(shown(&Cell::Text("y".repeat(100)), "path", false).len(), 100);
    }

    #[test]
    fn json_and_csv_keep_the_values() {
        let text = String::from_utf8(json(&answer())).unwrap();
        assert_eq!(
            text,
            "{\"path\":\"/a\\u001b[31m,\\\"b\\\"\",\"calls\":12,\"p99_ns\":1250000,\"share\":0.5}\n\
             {\"path\":\"é\",\"calls\":7,\"p99_ns\":null,\"share\":null}\n"
        );
        assert_eq!(
            csv(&answer(), false),
            "path,calls,p99_ns,share\r\n\"/a\x1b[31m,\"\"b\"\"\",12,1250000,0.5\r\né,7,,nan\r\n"
        );
        assert!(!csv(&answer(), true).contains('\x1b'));
    }
}
