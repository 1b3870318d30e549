//! Records on their way to a collector: out of a spool, over gRPC and HTTP, while the collector and the sender go and come.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use tests::{Folder, Rotel, free_ports};
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};
use tracer_user::export::{
    batch::{Batch, Batcher, Signal},
    resource,
    sender::{Protocol, Queue, Sender, Settings, Snapshot, Status},
    spool::{Counters, Limits, Spool},
};

/// A spool with a sender at work.
struct Agent {
    runtime: Runtime,
    queue: Queue,
    status: Arc<Status>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn spool(folder: &Folder) -> Spool {
    let limits = Limits {
        max_bytes: 16 << 20,
        max_age: Duration::from_secs(3600),
    };
    Spool::open(&folder.file("state/spool.sqlite"), limits).expect("a spool")
}

impl Agent {
    fn start(folder: &Folder, protocol: Protocol, [grpc, http]: [u16; 2]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let queue = Queue::new(spool(folder));
        let port = match protocol {
            Protocol::Grpc => grpc,
            Protocol::Http => http,
        };
        let mut settings = Settings::new(&format!("http://127.0.0.1:{port}"), protocol);
        settings.retry.first = Duration::from_millis(50);
        settings.retry.most = Duration::from_millis(100);
        let status = Arc::new(Status::default());
        let _in = runtime.enter();
        let sender = Sender::new(queue.clone(), &settings, Arc::clone(&status)).expect("a sender");
        let (stop, stopped) = watch::channel(false);
        let task = runtime.spawn(sender.run(stopped));
        drop(_in);
        Self {
            runtime,
            queue,
            status,
            stop,
            task,
        }
    }

    /// Appends batches of records.
    fn append(&self, batches: &[u64]) {
        let resource = Arc::new(resource::of(vec![resource::text("service.name", "shop")]));
        for records in batches {
            let uids = self
                .runtime
                .block_on(self.queue.reserve(*records))
                .expect("names");
            let mut batcher = Batcher::new(uids);
            for time_unix_nano in 1..=*records {
                let record = LogRecord {
                    time_unix_nano,
                    event_name: "pytrace.call".into(),
                    ..LogRecord::default()
                };
                let full = batcher.push(&resource, &record, Instant::now());
                assert_eq!(full, None, "a batch is small here");
            }
            let batch = batcher.flush().expect("a batch");
            let dropped = self.runtime.block_on(self.queue.append(batch));
            assert_eq!(dropped.expect("it is written"), 0);
        }
    }

    /// Waits until a request has failed.
    fn until_it_fails(&self) {
        while self.status.snapshot().last.error.is_none() {
            std::thread::yield_now();
        }
    }

    fn counters(&self) -> Counters {
        let counters = self.runtime.block_on(self.queue.counters(Signal::Logs));
        counters.expect("counters")
    }

    fn stop(self) -> (Snapshot, Counters) {
        self.stop.send_replace(true);
        self.runtime.block_on(self.task).expect("it ends");
        let counters = self.runtime.block_on(self.queue.counters(Signal::Logs));
        (self.status.snapshot(), counters.expect("counters"))
    }
}

#[test]
fn all_that_is_appended_arrives_once() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let folder = Folder::new("export");
        let ports = free_ports();
        // The collector is not there yet.
        let agent = Agent::start(&folder, protocol, ports);
        agent.append(&[100, 1]);
        agent.until_it_fails();
        let Some(rotel) = Rotel::start(&folder, ports) else {
            return;
        };
        rotel.until(101);
        agent.append(&[2000]);
        rotel.until(2101);
        let mut arrived = rotel.stop();

        // It is down while records come, and the sender is started anew meanwhile.
        agent.append(&[10, 20]);
        agent.until_it_fails();
        let (snapshot, counters) = agent.stop();
        assert_eq!((snapshot.sent, counters.waiting), (2101, 30));
        let agent = Agent::start(&folder, protocol, ports);
        agent.append(&[5]);
        agent.until_it_fails();
        let rotel = Rotel::start(&folder, ports).expect("it was there before");
        rotel.until(35);
        let before = agent.counters().written;
        let (snapshot, counters) = agent.stop();
        assert_eq!((snapshot.sent, snapshot.refused, snapshot.rejected), (35, 0, 0));
        arrived.extend(rotel.stop());

        assert_eq!((before, counters.sent, counters.waiting), (2136, 2136, 0));
        assert_eq!(counters.dropped.all(), 0);
        let different: BTreeSet<&String> = arrived.iter().collect();
        assert_eq!(
            (arrived.len(), different.len()),
            (2136, 2136),
            "{protocol:?}: none twice"
        );
    }
}

#[test]
fn a_collector_gets_what_was_appended_but_for_what_was_dropped() {
    let folder = Folder::new("export");
    let ports = free_ports();
    let agent = Agent::start(&folder, Protocol::Grpc, ports);
    agent.append(&[3; 20]);
    let (_, counters) = agent.stop();
    assert_eq!(counters.waiting, 60);
    // From now on there is room for less than that.
    let limits = Limits {
        max_bytes: counters.bytes / 2,
        max_age: Duration::from_secs(3600),
    };
    let mut small = Spool::open(&folder.file("state/spool.sqlite"), limits).expect("a spool");
    let mut batcher = Batcher::new(small.reserve(1).expect("names"));
    batcher.push(&Arc::default(), &LogRecord::default(), Instant::now());
    let dropped = small
        .append(&batcher.flush().expect("a batch"))
        .expect("it is written");
    drop(small);
    assert!((30..60).contains(&dropped), "{dropped}");
    let Some(rotel) = Rotel::start(&folder, ports) else {
        return;
    };
    let agent = Agent::start(&folder, Protocol::Grpc, ports);
    rotel.until(61 - dropped as usize);
    let (_, counters) = agent.stop();
    let arrived = rotel.stop();
    assert_eq!(arrived.len() as u64, counters.written - counters.dropped.all());
    assert_eq!((counters.written, counters.dropped.full), (61, dropped));
}

/// Where the process of [`appends_and_sends`] has its spool.
const KILLED: &str = "PYTRACE_TEST_KILLED";

/// Not a test of its own: appends and takes out until it is killed, and says what was done.
#[test]
fn appends_and_sends() {
    let Some(folder) = std::env::var_os(KILLED) else {
        return;
    };
    let limits = Limits {
        max_bytes: 1 << 30,
        max_age: Duration::from_secs(3600),
    };
    let path = std::path::Path::new(&folder).join("state/spool.sqlite");
    let mut spool = Spool::open(&path, limits).expect("a spool");
    for number in 1..u64::MAX {
        let batch = Batch {
            signal: Signal::Logs,
            records: 1,
            first_ns: number,
            last_ns: number,
            body: number.to_le_bytes().to_vec(),
        };
        spool.append(&batch).expect("it is written");
        println!("\nappended {number}");
        if number % 3 == 0 {
            let waiting = spool.oldest().expect("it is read").expect("one waits");
            let number = waiting.body.request().expect("it is whole");
            spool.sent(&waiting, 0).expect("it is written");
            let number = u64::from_le_bytes(number.try_into().expect("a number"));
            println!("\nsent {number}");
        }
    }
}

#[test]
fn an_agent_that_is_killed_loses_nothing_and_sends_nothing_again() {
    for lines in [40, 57, 90] {
        let folder = Folder::new("killed");
        let mut child = tests::command(std::env::current_exe().expect("this program"))
            .args(["--exact", "appends_and_sends", "--nocapture"])
            .env(KILLED, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut all: Vec<String> = said
            .by_ref()
            .take(lines)
            .map(|line| line.expect("text"))
            .collect();
        child.kill().expect("it is there");
        child.wait().expect("it ends");
        // What was said until the end.
        all.extend(said.map_while(Result::ok));
        let those = |word: &str| -> BTreeSet<u64> {
            let numbers = all
                .iter()
                .filter_map(|line| line.strip_prefix(word)?.trim().parse().ok());
            numbers.collect()
        };
        let (appended, sent) = (those("appended "), those("sent "));
        assert!(appended.len() > 10 && sent.len() > 3, "{all:?}");
        let mut spool = spool(&folder);
        let mut waiting = BTreeSet::new();
        for batch in Spool::read_only(&folder.file("state/spool.sqlite")).expect("a spool") {
            waiting.insert(batch.expect("it is read").first_ns);
        }
        assert!(waiting.is_disjoint(&sent), "sent again");
        let known: BTreeSet<u64> = waiting.union(&sent).copied().collect();
        // One may have been taken out, which was not said any more.
        let unsaid: Vec<&u64> = appended.difference(&known).collect();
        assert!(unsaid.len() <= 1, "lost: {unsaid:?}");
        let counters = spool.counters(Signal::Logs).expect("counters");
        assert_eq!(counters.waiting, waiting.len() as u64);
        assert_eq!(counters.sent, (sent.len() + unsaid.len()) as u64);
        assert!(counters.written - appended.len() as u64 <= 1);
    }
}
