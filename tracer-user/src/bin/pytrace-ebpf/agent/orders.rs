//! What the agent and its tracer tell each other. The agent's orders are JSON, one a line; the tracer answers in frames: a length, a kind,
//! and JSON or a log record.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tracer_user::export::{record::Values, redact::Settings};

use crate::cli::Share;

/// What the tracer is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Trace a process, which began at that time ([`tracer_user::process::began`]): another one may have its id by now.
    Trace { pid: u32, began: u64, manner: Manner },
    /// Trace it no longer.
    Release { pid: u32 },
    /// What tracing may cost all processes together, and what is hidden of all.
    Rules { host: Share, redact: Settings },
}

/// How a process is traced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manner {
    pub effects: String,
    pub functions: Vec<String>,
    pub stack: u32,
    pub max_str: u32,
    pub max_items: u32,
    pub max_depth: u32,
    /// Whether arguments and results leave the host.
    pub values: Values,
    pub budget: Share,
    pub sharing: Sharing,
}

/// Whether a process has probes of its own, or those of all that are traced in the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    #[default]
    Own,
    /// None of the processes that have the file switches C stacks.
    Shared,
    /// All of them do: probes are where no return probe can be.
    SharedApart,
}

/// What the tracer says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It is loaded.
    Ready,
    Attached {
        pid: u32,
        python: String,
        executable: String,
        functions: usize,
        /// Functions that were wanted but cannot be probed there.
        refused: usize,
        /// What of the wanted cannot be seen, if anything.
        unseen: Option<String>,
    },
    /// It cannot be traced; `later`: it has not finished starting.
    Refused { pid: u32, why: String, later: bool },
    /// It has ended, or is traced no more.
    Ended { pid: u32 },
    /// A process begins a program; what ran in it before is traced no more.
    Begins { pid: u32 },
    /// A traced process has made another one.
    Forked { pid: u32 },
    /// It has come to switch C stacks.
    Switches { pid: u32 },
    /// Since the last time.
    Figures(Figures),
}

/// What tracing has done and cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Events and lost records, since the tracer began.
    pub events: u64,
    pub lost: u64,
    /// By process.
    pub costs: Vec<Cost>,
    /// Since the last time.
    pub effects: Vec<Effect>,
}

/// Calls of one effect in one process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    pub pid: u32,
    pub effect: String,
    pub calls: u64,
    /// Of these, that raised.
    pub errors: u64,
}

/// What tracing a process costs, in millionths of a processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub pid: u32,
    pub cost_ppm: u64,
    pub budget_ppm: u64,
    /// Functions that are not seen now, but for moments.
    pub shed: usize,
}

/// A frame as it comes.
#[derive(Debug)]
pub enum Frame {
    Said(Said),
    /// An encoded `LogRecord` of a process, 0: of none.
    Record {
        pid: u32,
        /// Unix time, nanoseconds.
        time_ns: u64,
        record: Vec<u8>,
    },
}

const SAID: u8 = 1;
const RECORD: u8 = 2;
/// Bytes before a record: process and time.
const RECORD_HEAD: usize = 12;
/// Bytes of a frame at most: more than the largest record becomes as text.
const MAX_FRAME: usize = 8 << 20;

/// Appends a frame.
pub fn push_said(said: &Said, out: &mut Vec<u8>) {
    if let Ok(json) = serde_json::to_vec(said) {
        push(SAID, &json, |_| {}, out);
    }
}

/// Appends one with a record of a process and a time that `encode` appends.
pub fn push_record(pid: u32, time_ns: u64, encode: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    let mut head = [0; RECORD_HEAD];
    head[..4].copy_from_slice(&pid.to_le_bytes());
    head[4..].copy_from_slice(&time_ns.to_le_bytes());
    push(RECORD, &head, encode, out);
}

fn push(kind: u8, head: &[u8], encode: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind);
    out.extend_from_slice(head);
    encode(out);
    let len = out.len() - start - 4;
    if len > MAX_FRAME {
        log::warn!("an event of {len} bytes is left out");
        out.truncate(start);
        return;
    }
    out[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
}

/// The next frame; `None`: there is none any more.
pub async fn next(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let len = match from.read_u32_le().await {
        Ok(len) => len as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if len == 0 || len > MAX_FRAME {
        return Err(io::Error::other(format!("a frame of {len} bytes")));
    }
    let mut frame = vec![0; len];
    from.read_exact(&mut frame).await?;
    let (kind, body) = (frame[0], &frame[1..]);
    match kind {
        SAID => Ok(Some(Frame::Said(serde_json::from_slice(body)?))),
        RECORD if body.len() >= RECORD_HEAD => {
            let (head, record) = body.split_at(RECORD_HEAD);
            let (pid, time) = head.split_at(4);
            Ok(Some(Frame::Record {
                pid: u32::from_le_bytes(pid.try_into().unwrap_or_default()),
                time_ns: u64::from_le_bytes(time.try_into().unwrap_or_default()),
                record: record.to_vec(),
            }))
        }
        _ => Err(io::Error::other(format!("a frame of kind {kind}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<Frame>, io::Result<()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut from, mut frames) = (bytes, Vec::new());
            loop {
                match next(&mut from).await {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => return (frames, Ok(())),
                    Err(error) => return (frames, Err(error)),
                }
            }
        })
    }

    #[test]
    fn frames_come_as_they_were_pushed() {
        let mut out = Vec::new();
        push_said(&Said::Ended { pid: 7 }, &mut out);
        push_record(8, 1 << 60, |out| out.extend_from_slice(b"record"), &mut out);
        push_record(9, 0, |_| {}, &mut out);
        let (frames, end) = read(&out);
        end.unwrap();
        assert!(matches!(&frames[0], Frame::Said(Said::Ended { pid: 7 })));
        assert!(
            matches!(&frames[1], Frame::Record { pid: 8, time_ns: 0x1000_0000_0000_0000, record } if record == b"record")
        );
        assert!(matches!(&frames[2], Frame::Record { pid: 9, time_ns: 0, record } if record.is_empty()));
        assert_eq!(frames.len(), 3);
        // It was killed while it wrote.
        assert!(read(&out[..out.len() - 1]).1.is_err());
        assert_eq!(read(&out[..out.len() - 1]).0.len(), 2);
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for wrong in [
            &[0, 0, 0, 0][..],
            &[1, 0, 0, 0, 77],
            &[3, 0, 0, 0, RECORD, 1, 2],
            &[3, 0, 0, 0, SAID, b'{', b'}'],
            &[255, 255, 255, 255, 1],
        ] {
            assert!(read(wrong).1.is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_record_that_is_too_large_is_left_out() {
        let mut out = Vec::new();
        push_record(1, 0, |out| out.resize(MAX_FRAME + 100, 0), &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn orders_are_lines() {
        let manner = Manner {
            effects: "world".into(),
            functions: vec!["builtins.abs".into()],
            stack: 1,
            max_str: 256,
            max_items: 16,
            max_depth: 3,
            values: Values::None,
            budget: "1%".parse().unwrap(),
            sharing: Sharing::Own,
        };
        let order = Order::Trace {
            pid: 1,
            began: 2,
            manner: manner.clone(),
        };
        let line = serde_json::to_string(&order).unwrap();
        assert!(
            !line.contains('\n') && line.contains("\"budget\":\"1%\""),
            "{line}"
        );
        let Order::Trace { manner: read, .. } = serde_json::from_str(&line).unwrap() else {
            panic!("{line}");
        };
        assert_eq!(read, manner);
    }
}
