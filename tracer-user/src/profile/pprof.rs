//! The format of pprof: `perftools.profiles.Profile` of
//! <https://github.com/google/pprof/blob/main/proto/profile.proto>, compressed by gzip. The fields that are written, under the
//! numbers that they have there.

use std::{
    collections::HashMap,
    io::{self, Write as _},
};

use flate2::{Compression, write::GzEncoder};
use prost::Message;

use super::{Named, Profile, Thread, Weight, waited_ns};

#[derive(Clone, PartialEq, Message)]
pub struct Proto {
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// The first is empty.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub period: i64,
}

/// What is measured in what, as indices into the string table.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct ValueType {
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// A stack, innermost frame first.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Label {
    #[prost(int64, tag = "1")]
    pub key: i64,
    #[prost(int64, tag = "2")]
    pub str: i64,
    #[prost(int64, tag = "3")]
    pub num: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Location {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Line {
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    #[prost(int64, tag = "2")]
    pub line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Function {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(int64, tag = "2")]
    pub name: i64,
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    #[prost(int64, tag = "4")]
    pub filename: i64,
    #[prost(int64, tag = "5")]
    pub start_line: i64,
}

/// Writes it.
pub fn write(profile: &Profile, out: &mut Vec<u8>) -> io::Result<()> {
    let mut zip = GzEncoder::new(out, Compression::default());
    zip.write_all(&proto(profile).encode_to_vec())?;
    zip.finish()?;
    Ok(())
}

/// The strings, each once.
#[derive(Default)]
struct Strings {
    all: Vec<String>,
    numbers: HashMap<String, i64>,
}

impl Strings {
    fn number(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.all.len() as i64;
        self.all.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn value_type(&mut self, what: &str, unit: &str) -> ValueType {
        ValueType {
            r#type: self.number(what),
            unit: self.number(unit),
        }
    }
}

/// The profile as a message.
pub fn proto(profile: &Profile) -> Proto {
    let mut strings = Strings::default();
    strings.number("");
    let cpu = strings.value_type("cpu", "nanoseconds");
    let mut sample_type = Vec::new();
    let (on, off) = (profile.options.rate != 0, profile.options.waits);
    if off {
        sample_type.push(strings.value_type("waiting", "nanoseconds"));
    }
    if on {
        sample_type.push(strings.value_type("samples", "count"));
        // The last one is what pprof shows first.
        sample_type.push(cpu);
    }
    let values = |weight: Weight| {
        let mut values = Vec::new();
        if off {
            values.push(signed(waited_ns(weight)));
        }
        if on {
            values.push(signed(weight.samples));
            values.push(signed(weight.samples.saturating_mul(profile.period_ns())));
        }
        values
    };
    let (pid, tid) = (strings.number("pid"), strings.number("thread_id"));
    let labels = |thread: Thread| {
        let all = [(pid, thread.pid), (tid, thread.tid)].into_iter();
        let all = all.filter(|(_, number)| *number != 0);
        all.map(|(key, number)| Label {
            key,
            str: 0,
            num: number.into(),
        })
        .collect()
    };
    let sample = profile
        .stacks()
        .into_iter()
        .map(|(thread, frames, weight)| Sample {
            location_id: frames.iter().rev().map(|number| u64::from(*number) + 1).collect(),
            value: values(weight),
            label: labels(thread),
        })
        .filter(|sample| sample.value.iter().any(|value| *value != 0))
        .collect();
    let (function, location) = functions(profile.frames().all(), &mut strings);
    Proto {
        sample_type,
        sample,
        location,
        function,
        string_table: strings.all,
        time_nanos: signed(profile.began_ns),
        duration_nanos: signed(profile.duration.as_nanos() as u64),
        period_type: on.then_some(cpu),
        period: signed(profile.period_ns()),
    }
}

/// One location a frame, one function for all frames that differ by their line only.
fn functions(frames: &[Named], strings: &mut Strings) -> (Vec<Function>, Vec<Location>) {
    let (mut functions, mut locations) = (Vec::new(), Vec::new());
    let mut numbers = HashMap::new();
    for (frame, id) in frames.iter().zip(1..) {
        let name = match frame.waiting {
            true => frame.label(false),
            false => frame.function.clone(),
        };
        let name = strings.number(&name);
        let file = strings.number(&frame.file);
        let function_id = *numbers.entry((name, file, frame.first_line)).or_insert_with(|| {
            let id = functions.len() as u64 + 1;
            functions.push(Function {
                id,
                name,
                system_name: name,
                filename: file,
                start_line: frame.first_line.into(),
            });
            id
        });
        let line = Line {
            function_id,
            line: frame.line.into(),
        };
        locations.push(Location { id, line: vec![line] });
    }
    (functions, locations)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
