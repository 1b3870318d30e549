//! The process that traces for the agent: the tool itself, started as a program of its own. It alone has probes; it has no way to the
//! network, and when it ends, for whatever reason, the kernel takes them out.

use std::process::Stdio;

use anyhow::Context as _;
use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    task::JoinHandle,
};

use super::orders::{self, Frame, Order};

/// Frames that may wait for the agent. Where the agent is slow, the tracer waits, and what the kernel has no room for is counted as lost.
const FRAMES: usize = 4096;

/// A tracer.
pub struct Tracer {
    child: Child,
    /// A few for each process. It never waits for room: the tracer may wait for the agent.
    orders: Option<mpsc::UnboundedSender<Order>>,
    frames: mpsc::Receiver<Frame>,
    reading: JoinHandle<()>,
}

impl Tracer {
    pub fn start(verbose: u8) -> anyhow::Result<Self> {
        let tool = std::env::current_exe().context("the tool itself")?;
        let mut command = Command::new(tool);
        command.arg("tracer").stdin(Stdio::piped()).stdout(Stdio::piped());
        for _ in 0..verbose {
            command.arg("-v");
        }
        let mut child = command.spawn().context("starting the tracer")?;
        let mut stdout = BufReader::with_capacity(1 << 16, child.stdout.take().context("its output")?);
        let stdin = child.stdin.take().context("its input")?;
        let (send, frames) = mpsc::channel(FRAMES);
        let reading = tokio::spawn(async move {
            loop {
                match orders::next(&mut stdout).await {
                    Ok(Some(frame)) => {
                        if send.send(frame).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => return log::error!("the tracer's output ends: {error}"),
                }
            }
        });
        let (orders, queue) = mpsc::unbounded_channel();
        tokio::spawn(write(stdin, queue));
        Ok(Self {
            child,
            orders: Some(orders),
            frames,
            reading,
        })
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it says next; `None`: it has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        self.frames.recv().await
    }

    /// Tells it what to do. One that has ended is noticed by [`Self::next`].
    pub fn tell(&self, order: Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }

    /// Tells it to take its probes out and end; frames still come.
    pub fn end(&mut self) {
        self.orders = None;
    }

    /// How it ended.
    pub async fn wait(mut self) -> String {
        self.reading.abort();
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

/// Writes orders; its end ends the tracer.
async fn write(mut to: ChildStdin, mut queue: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = queue.recv().await {
        let Ok(mut line) = serde_json::to_vec(&order) else {
            continue;
        };
        line.push(b'\n');
        if to.write_all(&line).await.is_err() {
            return;
        }
    }
}
