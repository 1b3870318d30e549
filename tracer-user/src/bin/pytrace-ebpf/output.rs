//! Where the bytes go. A thread of its own does the writing, so that a slow reader or a full
//! disk never keeps the daemon from taking its probes out.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    thread::{self, JoinHandle},
};

use anyhow::Context as _;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracer_user::recording::block::BlockWriter;

/// Chunks waiting to be written at most; each is at most about [`CHUNK`] bytes.
const QUEUE: usize = 16;
/// A chunk is handed over when it has grown to this.
pub const CHUNK: usize = 256 * 1024;

/// The writing thread and the way to it.
pub struct Output {
    queue: Sender<Vec<u8>>,
    writer: JoinHandle<io::Result<()>>,
}

/// Where events will go.
pub struct Opened(To);

impl Opened {
    /// As [`Output::open`]; nobody writes yet.
    pub fn new(path: Option<&Path>, to_stderr: bool) -> anyhow::Result<Self> {
        let to: Box<dyn Write + Send> = match path {
            None if to_stderr => Box::new(io::stderr()),
            None => Box::new(io::stdout()),
            Some(path) => {
                Box::new(create(path).with_context(|| format!("cannot create {}", path.display()))?)
            }
        };
        Ok(Self(match is_recording(path) {
            true => To::Recording(BlockWriter::new(to)?),
            false => To::Plain(to),
        }))
    }

    /// Starts the thread that writes.
    pub fn start(self) -> anyhow::Result<Output> {
        let (queue, chunks) = mpsc::channel(QUEUE);
        let writer = thread::Builder::new()
            .name("writer".into())
            .spawn(move || write_all(self.0, chunks))?;
        Ok(Output { queue, writer })
    }
}

impl Output {
    /// A file created with mode 0600; without one standard output, or standard error where the
    /// traced program keeps its own output.
    pub fn open(path: Option<&Path>, to_stderr: bool) -> anyhow::Result<Self> {
        Opened::new(path, to_stderr)?.start()
    }

    /// The queue to the writer.
    pub fn queue(&self) -> &Sender<Vec<u8>> {
        &self.queue
    }

    /// Waits until everything is written. That the reader went away is no error.
    pub fn finish(self) -> io::Result<()> {
        drop(self.queue);
        let failed = |_| Err(io::Error::other("the writer failed"));
        match self.writer.join().unwrap_or_else(failed) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

/// Whether the name asks for a recording.
pub fn is_recording(path: Option<&Path>) -> bool {
    has_ending(path, "pytrace")
}

/// Whether the name asks for Parquet.
pub fn is_parquet(path: Option<&Path>) -> bool {
    has_ending(path, "parquet")
}

fn has_ending(path: Option<&Path>, ending: &str) -> bool {
    path.and_then(Path::extension).is_some_and(|end| end == ending)
}

/// What the writer does with a chunk.
enum To {
    /// Writes it as it is.
    Plain(Box<dyn Write + Send>),
    /// Makes blocks of the items that it is.
    Recording(BlockWriter<Box<dyn Write + Send>>),
}

/// A new file only its owner may read, or an existing regular one emptied; symbolic links are not followed.
fn create(path: &Path) -> io::Result<std::fs::File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)?;
    Ok(file)
}

fn write_all(mut to: To, mut chunks: Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(chunk) = chunks.blocking_recv() {
        match &mut to {
            To::Plain(to) => to.write_all(&chunk).and_then(|()| to.flush())?,
            To::Recording(to) => to.write(&chunk)?,
        }
    }
    Ok(())
}
