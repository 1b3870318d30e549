//! `subprocess` and `multiprocessing` with `--follow`: what each process did is seen to be done by that process.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{Folder, Ran, Run, interpreters, parse, program, version};

/// The one call of a function with this in its first argument, or that acts on this path.
fn act<'a>(ran: &'a Ran, function: &str, path: &Value) -> &'a Value {
    let found: Vec<&Value> = ran
        .events
        .iter()
        .filter(|event| event["effect"] == function)
        .filter(|event| &event["args"][0] == path || &event["target"]["path"] == path)
        .collect();
    let [one] = found[..] else {
        panic!("{} calls of {function} with {path}: {found:?}", found.len());
    };
    one
}

/// A process wrote that file; nobody else did.
fn assert_written(ran: &Ran, did: &Value) {
    let open = act(ran, "file.open", &did["path"]);
    assert_eq!(
        (&open["pid"], &open["outcome"]),
        (&did["pid"], &json!("return")),
        "{open}"
    );
    let by_it = ran.events.iter().filter(|event| event["pid"] == did["pid"]);
    let writes: Vec<&Value> = by_it
        .filter(|event| event["effect"] == "file.write" && event["self"]["id"] == open["result"]["id"])
        .filter(|event| event["args"][0] == did["text"])
        .collect();
    assert!(!writes.is_empty(), "{did}");
}

/// Who was started by whom, as the trace has it.
fn parents(ran: &Ran) -> BTreeMap<u64, u64> {
    let of = |event: &Value| Some((event["pid"].as_u64()?, event["parent"].as_u64()?));
    ran.happened("fork")
        .into_iter()
        .chain(ran.happened("exec"))
        .filter_map(of)
        .collect()
}

#[test]
fn each_process_is_seen_to_do_its_own_work() {
    for python in interpreters() {
        if version(&python).starts_with("Python 2.") {
            // It has no start methods.
            continue;
        }
        let folder = Folder::new("processes");
        let script = program("real/processes.py");
        let command = [python.as_os_str(), script.as_ref(), folder.path().as_os_str()];
        let ran = Run::start(&["--follow", "-e", "file.open,file.write,process,net"], &command).wait();
        assert!(ran.status.success(), "{}", ran.stderr);
        let did: Vec<Value> = ran.output.iter().map(|line| parse(line)).collect();
        assert_eq!(did.len(), 2 + 3 * 7);
        let parents = parents(&ran);
        for one in &did {
            assert_written(&ran, one);
            let pid = one["pid"].as_u64().expect("a pid");
            assert_eq!(
                parents.get(&pid),
                one["parent"].as_u64().as_ref(),
                "{one}: {parents:?}"
            );
        }
        // From 3.13 on `subprocess` takes the C library's way where it can.
        let spawned = [
            ran.calls_of("_posixsubprocess.fork_exec"),
            ran.calls_of("posix.posix_spawn"),
        ]
        .concat();
        for one in did.iter().filter(|one| one["how"] == "subprocess") {
            let spawn = spawned.iter().find(|spawn| spawn["result"] == one["pid"]);
            let spawn = spawn.unwrap_or_else(|| panic!("{one}: {spawned:?}"));
            assert_eq!(spawn["pid"], one["parent"]);
            assert_eq!(spawn["target"]["pid"], one["pid"]);
            let argv = &spawn["target"]["argv"]["list"];
            assert_eq!((&argv[1], &argv[3]), (&json!("-c"), &one["path"]), "{spawn}");
        }
        println!(
            "{}: {} pieces of work by {} processes",
            version(&python),
            did.len(),
            parents.len()
        );
    }
}
