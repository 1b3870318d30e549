//! The file format of www.speedscope.app: `sampled` profiles, one for time on processors and one for time in traced calls
//! (<https://www.speedscope.app/file-format-schema.json>).

use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

use super::{Named, Profile, Weight, waited_ns};

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: &'a str,
    shared: Shared<'a>,
    profiles: Vec<Sampled>,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Vec<Vec<u32>>,
    weights: Vec<u64>,
}

/// Writes it.
pub fn write(profile: &Profile, name: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let named = profile.frames().all();
    let mut frames: Vec<Frame<'_>> = named
        .iter()
        .map(|frame| of(frame, profile.options.lines))
        .collect();
    let mut roots = Roots::new(profile, named.len());
    let on = |weight: Weight| weight.samples.saturating_mul(profile.period_ns());
    let mut profiles = Vec::new();
    if profile.options.rate != 0 {
        profiles.push(sampled(profile, &mut roots, "on processors", on));
    }
    if profile.options.waits {
        profiles.push(sampled(profile, &mut roots, "in traced calls", waited_ns));
    }
    frames.extend(roots.names.into_iter().map(|name| Frame {
        name,
        file: "",
        line: None,
    }));
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: concat!("pytrace-ebpf ", env!("CARGO_PKG_VERSION")),
        name,
        shared: Shared { frames },
        profiles,
    };
    serde_json::to_writer(&mut *out, &file)?;
    out.push(b'\n');
    Ok(())
}

fn of(frame: &Named, lines: bool) -> Frame<'_> {
    let line = if lines { frame.line } else { frame.first_line };
    Frame {
        name: match frame.waiting {
            true => frame.label(lines),
            false => frame.function.clone(),
        },
        file: &frame.file,
        line: (line != 0).then_some(line),
    }
}

/// Frames for processes and threads, behind all others.
struct Roots {
    pids: BTreeSet<u32>,
    first: usize,
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Roots {
    fn new(profile: &Profile, first: usize) -> Self {
        Self {
            pids: profile.pids(),
            first,
            names: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    fn number(&mut self, name: String) -> u32 {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = (self.first + self.names.len()) as u32;
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }
}

fn sampled(
    profile: &Profile,
    roots: &mut Roots,
    name: &'static str,
    weight_of: impl Fn(Weight) -> u64,
) -> Sampled {
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    for (thread, frames, weight) in profile.stacks() {
        let weight = weight_of(weight);
        if weight == 0 {
            continue;
        }
        let before = profile.roots(thread, &roots.pids);
        let before = before.into_iter().map(|name| roots.number(name));
        samples.push(before.chain(frames.iter().copied()).collect());
        weights.push(weight);
    }
    Sampled {
        kind: "sampled",
        name,
        unit: "nanoseconds",
        start_value: 0,
        end_value: weights
            .iter()
            .fold(0, |sum: u64, weight| sum.saturating_add(*weight)),
        samples,
        weights,
    }
}
