//! Items: what a recording consists of. An item is a word (kind in bits 0..8, length in bits 8..32) and that many
//! bytes: a wire record as it is, or JSON. JSON takes unknown fields, so a version can learn more without becoming
//! another one.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tracer_common::{counters::SiteCounters, target::CaptureLimits};

use super::site::SiteItem;
use crate::{
    decode::{linetable::LineFormat, names::Code, pair::Lost},
    sink::{ProcessChange, TargetInfo},
};

/// Bytes of an item's first word.
pub(super) const HEAD: usize = 4;
/// Bytes of an item at most: room for the largest line table.
pub(super) const MAX_ITEM: usize = 4 * 1024 * 1024;

/// Declares the items: number, name, and what is in them.
macro_rules! items {
    ($($(#[$doc:meta])* $number:literal $name:ident($content:ty),)*) => {
        /// One item of a recording.
        #[derive(Debug)]
        pub enum Item {
            $($(#[$doc])* $name($content),)*
            /// 0: a wire record, as it came from the kernel.
            Record(Bytes),
        }

        impl Item {
            /// Appends the item; false where it is too large, then nothing is appended.
            pub fn append(&self, out: &mut Vec<u8>) -> bool {
                match self {
                    $(Self::$name(content) => append_json($number, content, out),)*
                    Self::Record(record) => append_record(record, out),
                }
            }

            fn parse(kind: u8, content: Bytes) -> Result<Self, String> {
                Ok(match kind {
                    RECORD => Self::Record(content),
                    $($number => Self::$name(json(&content)?),)*
                    _ => return Err(format!("an item of kind {kind} is unknown")),
                })
            }
        }
    };
}

const RECORD: u8 = 0;

items! {
    /// Once, first.
    1 Header(Header),
    /// A traced process, before the first record of it. Those before the start are what the trace began with.
    2 Target(TargetItem),
    /// A site, before its first record. Sites are numbered in their order.
    3 Site(SiteItem),
    /// The probes are in.
    4 Start(()),
    /// A type, before the first record that has it.
    5 Type(TypeItem),
    /// A module of Python 2.
    6 Module(ModuleItem),
    /// A code object.
    7 Code(CodeItem),
    /// A process is not traced any more, or not as what it was.
    8 Gone(Gone),
    /// Records were lost.
    9 Loss(Loss),
    /// Once, last: the counters of the sites that have any.
    10 End(Vec<SiteCount>),
    /// Something happened to a process.
    11 Process(ProcessItem),
    /// The path of an open file.
    13 File(FileItem),
    /// Sites that from now on have no return probe, and why.
    12 Spared(Spared),
    /// A thread, before its first record.
    14 Thread(ThreadItem),
    /// A Python function, before the first record of a run of it.
    15 Function(FunctionItem),
    /// Calls whose ends may not be seen any more: their probes went, to keep the budget.
    16 Lost(Lost),
    /// Those of them that are in progress end there.
    17 GivenUp(Lost),
}

/// What holds for the whole recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Name and version of the tool that wrote it.
    pub tool: String,
    /// Unix time of `CLOCK_MONOTONIC` 0, nanoseconds: the times of records count from there.
    pub epoch_ns: u64,
    pub limits: Limits,
    pub filter: Filter,
    /// Of functions that are called more often than that in a second only some calls are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u32>,
}

/// How much of values and stacks was captured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Limits {
    pub max_str: u32,
    pub max_items: u32,
    pub max_depth: u32,
    pub stack: u32,
}

impl From<CaptureLimits> for Limits {
    fn from(limits: CaptureLimits) -> Self {
        let CaptureLimits {
            max_str,
            max_items,
            max_depth,
            stack,
        } = limits;
        Self {
            max_str,
            max_items,
            max_depth,
            stack,
        }
    }
}

/// What was to be shown of what was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub errors: bool,
    pub min_duration: Option<Duration>,
    pub max_events: Option<u64>,
    pub nested: bool,
    /// Globs of what calls act on.
    #[serde(default)]
    pub paths: Vec<String>,
    #[serde(default)]
    pub peers: Vec<String>,
    /// And of their tasks' names.
    #[serde(default)]
    pub tasks: Vec<String>,
}

/// A traced process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetItem {
    /// Its index in records.
    pub index: u16,
    #[serde(flatten)]
    pub info: TargetInfo,
    /// It switches C stacks (greenlet).
    #[serde(default)]
    pub switches: bool,
}

/// Target, address, fingerprint and name.
#[derive(Debug, Serialize, Deserialize)]
pub struct TypeItem(pub u16, pub u64, pub u64, pub String);

/// Target, address, address of its dict, and name.
#[derive(Debug, Serialize, Deserialize)]
pub struct ModuleItem(pub u16, pub u64, pub u64, pub String);

/// Target, thread id, and the name it had at its first record.
#[derive(Debug, Serialize, Deserialize)]
pub struct ThreadItem(pub u16, pub u32, pub String);
/// Target, inode, generation, device, name (see [`crate::decode::handle::FileId`]) and path.
#[derive(Debug, Serialize, Deserialize)]
pub struct FileItem(pub u16, pub u64, pub u32, pub u32, pub u64, pub String);

/// Target, address and fingerprint of the code object, module, qualified name.
#[derive(Debug, Serialize, Deserialize)]
pub struct FunctionItem(pub u16, pub u64, pub u64, pub String, pub String);

/// A code object, see [`Code`].
#[derive(Debug, Serialize, Deserialize)]
pub struct CodeItem {
    pub target: u16,
    pub address: u64,
    pub fingerprint: u64,
    function: String,
    file: String,
    first_line: u32,
    line_format: LineFormat,
    /// Base64.
    linetable: String,
}

impl CodeItem {
    /// To be written.
    pub fn new(target: u16, address: u64, fingerprint: u64, code: &Code) -> Self {
        let Code {
            function,
            file,
            first_line,
            linetable,
            line_format,
        } = code;
        Self {
            target,
            address,
            fingerprint,
            function: function.clone(),
            file: file.clone(),
            first_line: *first_line,
            line_format: *line_format,
            linetable: STANDARD.encode(linetable),
        }
    }

    /// As it was read from the process. A line table that is no Base64 is empty: no lines are known.
    pub fn into_code(self) -> Code {
        Code {
            function: self.function,
            file: self.file,
            first_line: self.first_line,
            linetable: STANDARD.decode(self.linetable).unwrap_or_default(),
            line_format: self.line_format,
        }
    }
}

/// No record with that target index comes any more, until a [`TargetItem`] gives it to another process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Gone {
    pub target: u16,
    /// The process lives, and runs another program.
    pub replaced: bool,
}

/// Something happened to a process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessItem {
    pub pid: u32,
    /// Unix time, nanoseconds.
    pub time_ns: u64,
    pub change: ProcessChange,
}

/// Sites by number, and why their calls end unobserved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spared(pub Vec<u32>, pub String);

/// Records were lost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Loss {
    pub count: u64,
    /// Unix time, nanoseconds.
    pub since_ns: u64,
}

/// A site's number and its [`SiteCounters`], in the order of their fields. The last ones may be missing where they are 0: a recording
/// has those that its tool knew, and ten at least.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteCount(pub u32, pub Vec<u64>);

/// Counters that each recording has.
const COUNTERS: usize = 10;

impl SiteCount {
    /// To be written.
    pub fn new(site: u32, counters: &SiteCounters) -> Self {
        let mut counters = *counters;
        let mut numbers: Vec<u64> = fields(&mut counters).map(|field| *field).into();
        while numbers.len() > COUNTERS && numbers.last() == Some(&0) {
            numbers.pop();
        }
        Self(site, numbers)
    }

    /// As the kernel counted.
    pub fn counters(&self) -> SiteCounters {
        let mut counters = SiteCounters::default();
        for (field, number) in fields(&mut counters).into_iter().zip(&self.1) {
            *field = *number;
        }
        counters
    }
}

/// All of them, named, so that a new one is not forgotten here.
fn fields(counters: &mut SiteCounters) -> [&mut u64; 12] {
    let SiteCounters {
        hits,
        delivered,
        dropped,
        filtered,
        return_hits,
        return_delivered,
        return_dropped,
        return_filtered,
        truncated,
        faults,
        skipped,
        return_skipped,
    } = counters;
    [
        hits,
        delivered,
        dropped,
        filtered,
        return_hits,
        return_delivered,
        return_dropped,
        return_filtered,
        truncated,
        faults,
        skipped,
        return_skipped,
    ]
}

/// Appends a wire record; false where it is too large.
pub fn append_record(record: &[u8], out: &mut Vec<u8>) -> bool {
    append(RECORD, record, out)
}

fn append_json(kind: u8, content: &impl Serialize, out: &mut Vec<u8>) -> bool {
    serde_json::to_vec(content).is_ok_and(|content| append(kind, &content, out))
}

fn append(kind: u8, content: &[u8], out: &mut Vec<u8>) -> bool {
    if content.len() > MAX_ITEM {
        return false;
    }
    let word = u32::from(kind) | (content.len() as u32) << 8;
    out.extend_from_slice(&word.to_le_bytes());
    out.extend_from_slice(content);
    true
}

/// Kind and length of the item that begins there.
pub(super) fn head(bytes: &[u8]) -> Option<(u8, usize)> {
    let word = u32::from_le_bytes(*bytes.first_chunk::<HEAD>()?);
    Some((word as u8, (word >> 8) as usize))
}

/// Takes the first item off the bytes of a block.
pub(super) fn take(bytes: &mut Bytes) -> Result<Item, String> {
    let (kind, len) = head(bytes).ok_or("an item has no whole head")?;
    if bytes.len() - HEAD < len {
        return Err(format!("an item of {len} bytes does not fit"));
    }
    let mut item = bytes.split_to(HEAD + len);
    Item::parse(kind, item.split_off(HEAD))
}

fn json<T: DeserializeOwned>(content: &[u8]) -> Result<T, String> {
    serde_json::from_slice(content).map_err(|error| format!("an item cannot be read: {error}"))
}
