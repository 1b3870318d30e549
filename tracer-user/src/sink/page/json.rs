//! A page's data as JSON: tables of what comes again, and columns of numbers, one for each field of a row.

use std::{cell::RefCell, collections::HashMap};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Value, json};

use super::{
    Page,
    moved::{Moved, direction},
    rows::{Ending, Row, Rows},
};
use crate::{
    catalogue::effects::{group, group_of},
    sink::json::summary_of,
};

/// A number that stands for none.
const NONE: i64 = -1;
/// Something, but not on this page, or not known.
const SOMETHING: i64 = -2;

/// The data of a page.
pub struct Data<'a>(pub &'a Page);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let page = self.0;
        let rows = &page.rows;
        let start_ns = rows.rows.first().map_or(0, |row| row.time_ns);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("about", &page.about)?;
        map.serialize_entry("targets", &page.targets)?;
        map.serialize_entry("summary", &summary_of(&page.summary))?;
        map.serialize_entry("sample", &page.sample)?;
        map.serialize_entry("left_out", &rows.left_out)?;
        map.serialize_entry("cut_texts", &rows.cut)?;
        // Browsers keep numbers as doubles, which have no room for it.
        map.serialize_entry("start_ns", &start_ns.to_string())?;
        map.serialize_entry("endings", &Ending::NAMES)?;
        map.serialize_entry("threads", &rows.threads)?;
        map.serialize_entry("functions", &functions(rows))?;
        map.serialize_entry("effects", &effects(rows))?;
        map.serialize_entry("lines", &lines(rows))?;
        map.serialize_entry("stacks", &rows.stacks)?;
        map.serialize_entry("texts", &rows.texts)?;
        map.serialize_entry("touched", &rows.touched)?;
        map.serialize_entry("columns", &Columns(rows, start_ns))?;
        map.serialize_entry("losses", &page.losses(start_ns))?;
        map.serialize_entry("processes", &page.processes(start_ns))?;
        map.serialize_entry("changes_left_out", &page.changes_left_out)?;
        map.end()
    }
}

fn functions(rows: &Rows) -> Vec<[&str; 3]> {
    let functions = rows.functions.iter();
    functions
        .map(|function| [&*function.name, &*function.short, function.kind])
        .collect()
}

fn effects(rows: &Rows) -> Vec<Value> {
    let of = |effect: &&'static str| {
        let name = group_of(effect);
        let group = group(name);
        json!({
            "effect": effect,
            "group": name,
            "doc": group.map(|group| group.doc),
            "direction": direction(effect),
        })
    };
    rows.effects.iter().map(of).collect()
}

fn lines(rows: &Rows) -> Vec<(&str, &str, i64)> {
    let lines = rows.lines.iter();
    lines
        .map(|line| (&*line.function, &*line.file, line.line.map_or(NONE, i64::from)))
        .collect()
}

/// Rows, each field by itself.
struct Columns<'a>(&'a Rows, u64);

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(rows, start_ns) = *self;
        let rows = &rows.rows;
        let places: HashMap<u64, i64> = rows.iter().map(|row| row.id).zip(0..).collect();
        let parent = |row: &Row| {
            let place = |id| places.get(&id).copied().unwrap_or(SOMETHING);
            row.parent.map_or(NONE, place)
        };
        let mut map = serializer.serialize_map(None)?;
        let mut column = |name, of: &dyn Fn(&Row) -> i64| {
            let column = Column(RefCell::new(rows.iter().map(of)));
            map.serialize_entry(name, &column)
        };
        column("id", &|row| signed(row.id))?;
        column("parent", &parent)?;
        column("time", &|row| signed(row.time_ns.saturating_sub(start_ns)))?;
        column("duration", &|row| row.duration_ns.map_or(NONE, signed))?;
        column("weight", &|row| signed(row.weight))?;
        column("thread", &|row| row.thread.into())?;
        column("function", &|row| row.function.into())?;
        column("effect", &|row| row.effect.into())?;
        column("ending", &|row| row.ending as i64)?;
        column("stack", &|row| row.stack.into())?;
        column("arguments", &|row| row.arguments.into())?;
        column("outcome", &|row| row.outcome.into())?;
        column("error", &|row| row.error.map_or(NONE, i64::from))?;
        column("touched", &|row| match row.touched[0] {
            None if row.unnamed => SOMETHING,
            touched => touched.map_or(NONE, i64::from),
        })?;
        column("touched_too", &|row| row.touched[1].map_or(NONE, i64::from))?;
        column("moved", &|row| match row.moved {
            Moved::Nothing => NONE,
            Moved::Unknown => SOMETHING,
            Moved::Amount(amount) => signed(amount),
        })?;
        map.end()
    }
}

/// The numbers of a column, once.
struct Column<I>(RefCell<I>);

impl<I: Iterator<Item = i64>> Serialize for Column<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&mut *self.0.borrow_mut())
    }
}

/// Numbers of a recording may be anything.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
