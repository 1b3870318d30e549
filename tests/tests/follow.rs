//! `--follow`: children, whatever way they come, and however short they live.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;
use tests::{Folder, Run, interpreters, program, version};

const FORKS: usize = 12;

/// The files that were opened in the folder, with how often and by which process.
fn opened<'a>(events: &'a [Value], folder: &Folder) -> BTreeMap<&'a str, Vec<u64>> {
    let mut opened: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let inside = folder.text("");
    for event in events.iter().filter(|event| event["function"] == "posix.open") {
        let path = event["args"][0].as_str().unwrap_or_default();
        if let Some(name) = path.strip_prefix(&inside) {
            assert_eq!(event["outcome"], "return");
            opened
                .entry(name)
                .or_default()
                .push(event["pid"].as_u64().unwrap_or(0));
        }
    }
    opened
}

/// An interpreter of another version than this one.
fn other_than(python: &PathBuf, all: &[PathBuf]) -> PathBuf {
    let mut others = all.iter().filter(|other| version(other) != version(python));
    others.next_back().unwrap_or(python).clone()
}

#[test]
fn every_child_is_seen_from_its_first_act() {
    let all = interpreters();
    for python in &all {
        let folder = Folder::new("family");
        let other = other_than(python, &all);
        let script = program("family.py");
        let forks = FORKS.to_string();
        let command = [
            python.as_os_str(),
            script.as_ref(),
            folder.path().as_os_str(),
            other.as_os_str(),
            forks.as_ref(),
        ];
        let ran = Run::start(&["--follow", "-e", "file.open"], &command).wait();
        assert!(ran.status.success(), "{}", ran.stderr);
        let opened = opened(&ran.events, &folder);
        let mut expected: Vec<String> = (0..FORKS).map(|n| format!("forked-{n}")).collect();
        expected.extend(["grandchild", "other", "parent", "same", "shell"].map(str::to_owned));
        expected.sort();
        assert_eq!(
            opened.keys().copied().collect::<Vec<_>>(),
            expected,
            "{}",
            ran.stderr
        );
        for (name, pids) in &opened {
            assert_eq!(pids.len(), 1, "{name} is opened once");
        }
        let forked: Vec<&Value> = ran
            .happened("fork")
            .into_iter()
            .map(|event| &event["pid"])
            .collect();
        for (name, pids) in &opened {
            if name.starts_with("forked") || *name == "grandchild" {
                assert!(forked.contains(&&Value::from(pids[0])), "{name}: {forked:?}");
            }
        }
        let executables: Vec<&Value> = ran
            .happened("exec")
            .into_iter()
            .map(|event| &event["executable"])
            .collect();
        let real = |path: &PathBuf| Value::from(path.canonicalize().unwrap().display().to_string());
        assert!(executables.contains(&&real(&other)), "{executables:?}");
        assert!(executables.contains(&&real(python)), "{executables:?}");
        // Every traced process ends once.
        let mut ended: Vec<u64> = ran
            .happened("exit")
            .iter()
            .filter_map(|e| e["pid"].as_u64())
            .collect();
        ended.sort_unstable();
        let count = ended.len();
        ended.dedup();
        assert_eq!(ended.len(), count);
        for pids in opened.values() {
            assert!(ended.contains(&pids[0]), "{pids:?} of {ended:?}");
        }
    }
}

#[test]
fn pools_of_every_kind() {
    for python in interpreters() {
        if version(&python).starts_with("Python 2.") {
            continue;
        }
        let folder = Folder::new("pool");
        let script = program("pool.py");
        let command = [python.as_os_str(), script.as_ref(), folder.path().as_os_str()];
        let ran = Run::start(&["--follow", "-e", "file.open"], &command).wait();
        assert!(ran.status.success(), "{}", ran.stderr);
        let opened = opened(&ran.events, &folder);
        assert_eq!(opened.len(), 12, "{opened:?} {}", ran.stderr);
        for (name, pids) in opened {
            assert_eq!(pids.len(), 1, "{name}");
        }
    }
}

#[test]
fn what_a_child_imports_is_looked_for_in_the_child() {
    let mut seen = 0;
    for python in interpreters() {
        let script = program("forked_import.py");
        let args = ["--follow", "-e", "none", "-f", "mmap.mmap*"];
        let ran = Run::start(&args, &[python.as_os_str(), script.as_ref()]).wait();
        assert_eq!(ran.output, ["0 0"], "{}", ran.stderr);
        if ran.happened("load").is_empty() {
            // The module is part of this interpreter.
            continue;
        }
        seen += 1;
        let calls = ran.events.iter();
        let lengths: Vec<&Value> = calls
            .filter(|event| event["function"] == "mmap.mmap")
            .map(|event| &event["args"][1])
            .collect();
        assert_eq!(lengths, [4096, 8192, 12288, 16384, 20480], "{}", python.display());
    }
    assert!(seen > 4, "{seen}");
}
