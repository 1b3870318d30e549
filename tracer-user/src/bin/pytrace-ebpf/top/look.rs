//! Values of calls, which sums do not have: of one call site, or what all calls act on.

use std::{ffi::OsString, process::ExitStatus, time::Duration};

use tokio::{task::JoinHandle, time::Instant};

use super::{
    model::{Model, Site, Wanted},
    tracer::{Said, Tracer},
};
use crate::cli::TopArgs;

/// Events that one look takes at most, and the rest between two looks: what is hot is not traced all the time.
const EVENTS: &str = "200";
const REST: Duration = Duration::from_secs(1);

/// Looks at values: a tracer, for some events, now and then.
#[derive(Default)]
pub struct Look {
    tracer: Option<Tracer>,
    wanted: Option<Wanted>,
    /// When it is to be traced again.
    pub again: Option<Instant>,
    /// Those that detach, beside what goes on.
    ending: Vec<JoinHandle<Option<ExitStatus>>>,
}

impl Look {
    /// These values are wanted, and no others.
    pub fn want(&mut self, wanted: Option<Wanted>) {
        if self.wanted != wanted {
            self.again = wanted.is_some().then(Instant::now);
            self.wanted = wanted;
            self.stop();
        }
    }

    /// One look has ended; another one, after a rest.
    pub fn again(&mut self, again: bool) {
        self.stop();
        self.again = (again && self.wanted.is_some()).then(|| Instant::now() + REST);
    }

    pub fn begin(&mut self, args: &TopArgs, model: &mut Model) -> anyhow::Result<()> {
        self.again = None;
        let args = match &self.wanted {
            Some(Wanted::Site(site)) => look_at(site, &args.pids),
            Some(Wanted::Targets) => {
                model.look();
                args.traced(&["--format", "json", "--max-events", EVENTS])
            }
            None => return Ok(()),
        };
        self.tracer = Some(Tracer::start(&args)?);
        Ok(())
    }

    pub async fn next(&mut self) -> Said {
        match &mut self.tracer {
            Some(tracer) => tracer.next().await,
            None => std::future::pending().await,
        }
    }

    /// Lets the tracer detach by itself.
    fn stop(&mut self) {
        if let Some(tracer) = self.tracer.take() {
            self.ending.retain(|ending| !ending.is_finished());
            self.ending.push(tokio::spawn(tracer.end(|_| {})));
        }
    }

    /// Waits until all probes are out.
    pub async fn end(mut self) {
        self.stop();
        for ending in self.ending {
            let _ = ending.await;
        }
    }
}

/// What the tool is called with to see the calls of a site.
fn look_at(site: &Site, all: &[u32]) -> Vec<OsString> {
    let mut args: Vec<OsString> = [
        "--effects",
        "none",
        "--color",
        "never",
        "--wide",
        "--nested",
        "--max-events",
        EVENTS,
    ]
    .map(OsString::from)
    .into();
    let pids = site.pid.as_ref().map_or(all, std::slice::from_ref);
    args.extend(
        pids.iter()
            .flat_map(|pid| ["--pid".into(), pid.to_string().into()]),
    );
    // A slot may go by several names (`list.__setitem__|list.__delitem__`).
    let names = site.function.split('|').filter(|name| *name != "...");
    args.extend(names.flat_map(|name| ["--function".into(), OsString::from(name)]));
    args
}

/// An event, as text, if it is of that call site: its time, and the call itself.
pub fn of_site(site: &Site, line: &str) -> Option<String> {
    let (head, call) = line.split_once(&format!(" {}  ", site.place))?;
    let time = head.split(' ').next()?;
    Some(format!("{time} {call}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_call_site() {
        let site = Site {
            pid: Some(7),
            function: "list.__setitem__|list.__delitem__".to_owned(),
            place: "x.py:3 save".to_owned(),
        };
        let line = "21:29:54.618630 7/7 x.py:3 save  list.__setitem__([1], 0, 2) = None <1us>";
        let call = "21:29:54.618630 list.__setitem__([1], 0, 2) = None <1us>";
        assert_eq!(of_site(&site, line).as_deref(), Some(call));
        assert_eq!(of_site(&site, &line.replace("py:3", "py:33")), None);
        let args = look_at(&site, &[8, 9]);
        let ends = [
            "--pid",
            "7",
            "--function",
            "list.__setitem__",
            "--function",
            "list.__delitem__",
        ];
        assert!(args.ends_with(&ends.map(OsString::from)), "{args:?}");
    }
}
