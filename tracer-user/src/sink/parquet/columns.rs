//! The columns, in one table: name, type, and where a call has what belongs there.

use std::sync::Arc;

use parquet::{
    basic::{LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::ByteArray,
    errors::Result,
    schema::types::{Type, TypePtr},
};

use super::super::{json, json_value, plain_text::plain_text};
use crate::{
    decode::value::Value,
    event::{
        call::{CallEvent, Frame, Outcome, TypeNames},
        target::TargetValue,
    },
};

/// A column.
pub struct Column {
    name: &'static str,
    /// A row may have nothing there.
    optional: bool,
    what: What,
}

/// Its type, and its cell of a call; none only in optional columns.
enum What {
    Number(fn(&CallEvent<'_>) -> Option<u64>),
    /// Unix time in nanoseconds; the file has microseconds, which every reader takes for a time.
    Time(fn(&CallEvent<'_>) -> u64),
    /// May be negative.
    Signed(fn(&CallEvent<'_>) -> Option<i64>),
    Text(fn(&CallEvent<'_>, &mut TypeNames<'_>) -> Option<String>),
    /// Appends JSON, as the JSON format has it; nothing: none.
    Json(fn(&CallEvent<'_>, &mut TypeNames<'_>, &mut Vec<u8>)),
}

impl Column {
    const fn new(name: &'static str, what: What) -> Self {
        Self {
            name,
            optional: false,
            what,
        }
    }

    const fn optional(name: &'static str, what: What) -> Self {
        Self {
            name,
            optional: true,
            what,
        }
    }
}

/// All of them. `target_*` repeat the parts of `target` that are asked for most, as plain values; a text that was cut
/// ends with `…` there.
pub const COLUMNS: &[Column] = &[
    Column::new("id", What::Number(|call| Some(call.id))),
    Column::optional("parent", What::Number(|call| call.parent)),
    Column::new("time", What::Time(|call| call.time_ns)),
    Column::new("time_ns", What::Number(|call| Some(call.time_ns))),
    Column::optional("duration_ns", What::Number(|call| call.duration_ns)),
    Column::new("pid", What::Number(|call| Some(call.pid.into()))),
    Column::new("tid", What::Number(|call| Some(call.tid.into()))),
    Column::new("function", What::Text(|call, _| Some(call.function.into()))),
    Column::new("effect", What::Text(|call, _| Some(call.effect.into()))),
    Column::new("outcome", What::Text(|call, _| Some(ending(call).into()))),
    Column::optional("error_type", What::Text(error_type)),
    Column::optional("why", What::Text(why)),
    Column::optional(
        "file",
        What::Text(|call, _| Some(frame(call)?.code.as_ref()?.file.to_string())),
    ),
    Column::optional("line", What::Number(|call| frame(call)?.line.map(u64::from))),
    Column::optional(
        "python_function",
        What::Text(|call, _| Some(frame(call)?.code.as_ref()?.function.to_string())),
    ),
    Column::optional("target_path", What::Text(|call, _| target_text(call, "path"))),
    Column::optional("target_peer", What::Text(|call, _| target_text(call, "peer"))),
    Column::optional("target_fd", What::Signed(target_fd)),
    Column::optional("target_sql", What::Text(|call, _| target_text(call, "sql"))),
    Column::optional("target", What::Json(target)),
    Column::optional("self", What::Json(self_)),
    Column::new(
        "args",
        What::Json(|call, names, out| json_value::list(&call.arguments.args, names, out)),
    ),
    Column::new("args_len", What::Number(|call| Some(call.arguments.args_len))),
    Column::new(
        "kwargs",
        What::Json(|call, names, out| json::keywords(&call.arguments.kwargs, names, out)),
    ),
    Column::new("kwargs_len", What::Number(|call| Some(call.arguments.kwargs_len))),
    Column::optional("filled", What::Json(filled)),
    // 1: of the last arguments nothing may be known.
    Column::new("cut", What::Number(|call| Some(call.arguments.cut.into()))),
    Column::optional("result", What::Json(result)),
    Column::optional("exception", What::Json(exception)),
    Column::optional(
        "greenlet_id",
        What::Number(|call| call.arguments.attribution.greenlet_id()),
    ),
    Column::optional(
        "task",
        What::Text(|call, _| call.arguments.attribution.task.as_ref()?.name()),
    ),
    Column::optional(
        "task_id",
        What::Number(|call| Some(call.arguments.attribution.task.as_ref()?.id)),
    ),
    Column::optional("task_coroutine", What::Text(coroutine)),
    Column::optional(
        "trace_id",
        What::Text(|call, _| Some(format!("{:032x}", call.arguments.attribution.span?.trace_id))),
    ),
    Column::optional(
        "span_id",
        What::Text(|call, _| Some(format!("{:016x}", call.arguments.attribution.span?.span_id))),
    ),
    // Calls that this one stands for; 1: its values are as at the call's end.
    Column::new("weight", What::Number(|call| Some(call.weight))),
    Column::new("late", What::Number(|call| Some(call.late.into()))),
    Column::new("stack", What::Json(|call, _, out| json::frames(&call.stack, out))),
];

fn ending(call: &CallEvent<'_>) -> &'static str {
    match call.outcome {
        Outcome::Returned(_) => "return",
        Outcome::Yielded(_) => "yield",
        Outcome::Raised(_) => "raise",
        Outcome::Unobserved(_) => "unobserved",
    }
}

fn error_type(call: &CallEvent<'_>, names: &mut TypeNames<'_>) -> Option<String> {
    match &call.outcome {
        Outcome::Raised(raised) => Some(names.of(raised.ty?).to_string()),
        _ => None,
    }
}

fn why(call: &CallEvent<'_>, _: &mut TypeNames<'_>) -> Option<String> {
    match call.outcome {
        Outcome::Unobserved(why) => Some(why.into()),
        _ => None,
    }
}

/// The innermost.
fn frame<'c>(call: &'c CallEvent<'_>) -> Option<&'c Frame> {
    call.stack.first()
}

fn target_part<'c, 'a>(call: &'c CallEvent<'a>, key: &str) -> Option<TargetValue<'c, 'a>> {
    let mut parts = call.target_parts();
    parts.find_map(|(other, part)| (other == key).then_some(part))
}

fn target_text(call: &CallEvent<'_>, key: &str) -> Option<String> {
    match target_part(call, key)? {
        TargetValue::Text(text) => Some(text.into_owned()),
        TargetValue::Value(value) => plain_text(value),
        TargetValue::Number(_) => None,
    }
}

fn target_fd(call: &CallEvent<'_>) -> Option<i64> {
    match target_part(call, "fd")? {
        TargetValue::Number(fd) => Some(fd.into()),
        TargetValue::Value(Value::Int(fd) | Value::Long(fd)) => Some(*fd),
        _ => None,
    }
}

fn coroutine(call: &CallEvent<'_>, names: &mut TypeNames<'_>) -> Option<String> {
    match &call.arguments.attribution.task.as_ref()?.coroutine {
        Value::Object { ty, .. } => Some(names.of(*ty).to_string()),
        name => plain_text(name),
    }
}

fn target(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    if call.target_parts().next().is_some() {
        json::target_object(call, names, out);
    }
}

fn self_(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    if let Some(self_) = &call.arguments.self_ {
        json_value::value(self_, names, out);
    }
}

fn filled(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    if let Some((_, filled)) = &call.arguments.filled {
        json_value::value(filled, names, out);
    }
}

fn result(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    if let Outcome::Returned(result) | Outcome::Yielded(result) = &call.outcome {
        json_value::value(result, names, out);
    }
}

fn exception(call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
    if let Outcome::Raised(raised) = &call.outcome {
        json::exception(raised, names, out);
    }
}

/// The schema of a file.
pub fn schema() -> Result<TypePtr> {
    let field = |column: &Column| {
        let (physical, logical) = match column.what {
            What::Number(_) | What::Signed(_) => (Physical::INT64, None),
            What::Time(_) => (
                Physical::INT64,
                Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            ),
            What::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            What::Json(_) => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        };
        let field = Type::primitive_type_builder(column.name, physical)
            .with_logical_type(logical)
            .with_repetition(match column.optional {
                true => Repetition::OPTIONAL,
                false => Repetition::REQUIRED,
            })
            .build()?;
        Ok(Arc::new(field))
    };
    let fields = COLUMNS.iter().map(field).collect::<Result<_>>()?;
    let call = Type::group_type_builder("call").with_fields(fields).build()?;
    Ok(Arc::new(call))
}

/// A column's cells of the rows that are held: those that are there, and in an optional column which are (their
/// definition levels: 1 there, 0 not).
pub enum Cells {
    Numbers {
        present: Option<Vec<i16>>,
        numbers: Vec<i64>,
    },
    Texts {
        present: Option<Vec<i16>>,
        texts: Vec<ByteArray>,
    },
}

impl Cells {
    /// Those of a column, none yet.
    pub fn of(column: &Column) -> Self {
        let present = column.optional.then(Vec::new);
        match column.what {
            What::Number(_) | What::Signed(_) | What::Time(_) => Self::Numbers {
                present,
                numbers: Vec::new(),
            },
            What::Text(_) | What::Json(_) => Self::Texts {
                present,
                texts: Vec::new(),
            },
        }
    }

    /// Takes in a call's; how many bytes of memory that took.
    pub fn push(&mut self, column: &Column, call: &CallEvent<'_>, names: &mut TypeNames<'_>) -> usize {
        let cell = Cell::of(column, call, names);
        let (Self::Numbers { present, .. } | Self::Texts { present, .. }) = self;
        if let Some(present) = present {
            present.push(cell.is_some().into());
        }
        match (self, cell) {
            (Self::Numbers { numbers, .. }, Some(Cell::Number(number))) => {
                numbers.push(number);
                size_of::<i64>()
            }
            (Self::Texts { texts, .. }, Some(Cell::Text(text))) => {
                let bytes = text.len() + size_of::<ByteArray>();
                texts.push(text.into());
                bytes
            }
            _ => 0,
        }
    }
}

/// What a row has in a column.
enum Cell {
    Number(i64),
    Text(Vec<u8>),
}

impl Cell {
    fn of(column: &Column, call: &CallEvent<'_>, names: &mut TypeNames<'_>) -> Option<Self> {
        // No id, time or length of these comes near the limit.
        let number = |number: u64| Self::Number(number.try_into().unwrap_or(i64::MAX));
        match column.what {
            What::Number(of) => of(call).map(number),
            What::Signed(of) => of(call).map(Self::Number),
            What::Time(of) => Some(number(of(call) / 1000)),
            What::Text(of) => of(call, names).map(|text| Self::Text(text.into())),
            What::Json(of) => {
                let mut text = Vec::new();
                of(call, names, &mut text);
                (!text.is_empty()).then_some(Self::Text(text))
            }
        }
    }
}
