//! `--sample`: of hot functions some calls, which stand for all; of rare ones all; and whatever raises.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{Folder, Program, Recording, Trace, Tracer, calls, interpreters, replay, tool};

/// What `sample.py` does.
const TRACED: [&str; 10] = [
    "-e",
    "file,exception",
    "-f",
    "*operator.getitem",
    "-f",
    "*operator.concat",
    "-f",
    "builtins.sorted",
    "--sample",
    "100",
];
/// Standard deviations that an estimate may be off.
const SIGMAS: f64 = 6.0;
/// Chosen calls of a line that are enough to estimate a deviation from.
const ENOUGH: u64 = 50;

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// By what the program calls it: `getitem` of `_operator.getitem`, methods by their whole names.
fn short(function: &str) -> &str {
    match function.split_once('.') {
        Some((_, name)) if !name.contains('.') => name,
        _ => function,
    }
}

fn weight(call: &Value) -> u64 {
    call["weight"].as_u64().unwrap_or(1)
}

fn is_own(call: &Value) -> bool {
    let frame = &call["stack"][0];
    text(&frame["file"]).ends_with("sample.py") && frame["function"] != "<module>"
}

/// Of one function and line.
#[derive(Debug, Default)]
struct Line {
    chosen: u64,
    sum: u64,
    heaviest: u64,
    variance: u64,
}

/// The calls that did not raise, by function and line.
fn lines(calls: &[Value]) -> BTreeMap<(String, u64), Line> {
    let mut lines: BTreeMap<_, Line> = BTreeMap::new();
    for call in calls.iter().filter(|call| call["outcome"] != "raise") {
        let function = call.get("op").unwrap_or(&call["function"]);
        let key = (
            short(text(function)).to_owned(),
            number(&call["stack"][0]["line"]),
        );
        let line = lines.entry(key).or_default();
        let weight = weight(call);
        line.chosen += 1;
        line.sum += weight;
        line.heaviest = line.heaviest.max(weight);
        line.variance += weight * (weight - 1);
    }
    lines
}

/// What is shown stands for what the program counted.
fn assert_estimates(shown: &[Value], truth: &Value) {
    let found = lines(shown);
    let mut heaviest: BTreeMap<&str, u64> = BTreeMap::new();
    for ((function, _), line) in &found {
        let most = heaviest.entry(function).or_default();
        *most = line.heaviest.max(*most);
    }
    let mut known = Vec::new();
    for row in truth["counts"].as_array().expect("rows") {
        let key = (text(&row[0]).to_owned(), number(&row[1]));
        let calls = number(&row[2]);
        let nothing = Line::default();
        let line = found.get(&key).unwrap_or(&nothing);
        let variance = match line.chosen {
            ENOUGH.. => line.variance,
            _ => calls * heaviest.get(&*key.0).map_or(0, |weight| weight - 1),
        };
        let off = line.sum.abs_diff(calls) as f64;
        assert!(
            off <= SIGMAS * (variance as f64).sqrt(),
            "{key:?}: {calls} calls, {line:?}, {off} off, {variance}"
        );
        known.push(key);
    }
    for (key, line) in &found {
        assert!(known.contains(key), "no such call: {key:?} {line:?}");
    }
}

/// All that raised, with what it was given.
fn assert_errors(shown: &[Value], truth: &Value) {
    let raised = shown.iter().filter(|call| call["outcome"] == "raise");
    let mut raised: Vec<String> = raised
        .map(|call| {
            assert_eq!(weight(call), 1, "{call}");
            let (function, last) = (short(text(&call["function"])), call["args"].as_array());
            let last = last.and_then(|args| args.last()).expect("an argument");
            let given = last.get("tuple").unwrap_or(last);
            if function == "getitem" {
                let args = &call["exception"]["args"];
                assert!(*args == json!([last]) || *args == last["tuple"], "{call}");
            }
            json!([function, call["stack"][0]["line"], given]).to_string()
        })
        .collect();
    raised.sort();
    let errors = truth["errors"].as_array().expect("errors");
    let mut errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.sort();
    assert_eq!(raised, errors);
}

/// Each rare call once.
fn assert_rare(shown: &[Value], truth: &Value) {
    let concat = shown
        .iter()
        .filter(|call| short(text(&call["function"])) == "concat");
    let mut rare: Vec<String> = concat
        .map(|call| {
            assert!(weight(call) == 1 && call.get("late").is_none(), "{call}");
            json!([call["args"][0]["tuple"], call["args"][1]["tuple"]]).to_string()
        })
        .collect();
    rare.sort();
    let known = truth["rare"].as_array().expect("calls");
    let mut known: Vec<String> = known.iter().map(ToString::to_string).collect();
    known.sort();
    assert_eq!(rare, known);
}

/// Each call of each function is one that was shown, hidden or skipped.
fn assert_add_up(trace: &Trace) {
    let sites = trace.summary["sites"].as_array().expect("sites");
    for site in sites.iter().chain([&trace.summary]) {
        let n = |field: &str| number(&site[field]);
        let became = ["delivered", "dropped", "filtered", "skipped"];
        assert_eq!(n("hits"), became.map(n).iter().sum::<u64>(), "{site}");
        let ended = became.map(|end| n(&format!("return_{end}")));
        assert_eq!(n("return_hits"), ended.iter().sum::<u64>(), "{site}");
    }
    assert_eq!(trace.summary["lost"], 0);
    assert_eq!(trace.summary["lost_returns"], 0);
    assert_eq!(trace.summary["inner"], 0, "acts are known in the kernel");
    assert_eq!(trace.header["sample"], 100);
}

/// The exact counters are what the program counted.
fn assert_counters(trace: &Trace, shown: &[Value], truth: &Value) {
    let errors = truth["errors"].as_array().expect("errors");
    for site in trace.summary["sites"].as_array().expect("sites") {
        let n = |field: &str| number(&site[field]);
        let function = short(text(&site["function"]));
        let rows = truth["counts"].as_array().expect("rows").iter();
        let counted: u64 = rows
            .filter(|row| row[0] == function)
            .map(|row| number(&row[2]))
            .sum();
        let raised = errors.iter().filter(|error| error[0] == function).count() as u64;
        // Of these the program knows all.
        if ["getitem", "sorted"].contains(&function) {
            assert_eq!(n("hits"), counted + raised, "{site}");
            assert_eq!(n("filtered"), 0, "{site}");
            let of_site = shown.iter().filter(|call| call["function"] == site["function"]);
            assert_eq!(n("delivered"), of_site.count() as u64, "{site}");
        }
        if function == "getitem" {
            assert!(n("delivered") < n("hits") / 20, "{site}");
        }
    }
    let sites = trace.summary["sites"].as_array().expect("sites").iter();
    let skipped = |name: &str| {
        let mut of_name = sites
            .clone()
            .filter(|site| short(text(&site["function"])) == name);
        of_name.any(|site| number(&site["skipped"]) != 0)
    };
    for name in [
        "getitem",
        "_io.TextIOWrapper.flush",
        "_io.FileIO.readinto",
        "sorted",
    ] {
        assert!(skipped(name), "{name}: {}", trace.summary);
    }
}

/// What was put into a buffer is there in those that were chosen.
fn assert_filled(shown: &[Value]) {
    let filled = shown
        .iter()
        .filter(|call| call["function"] == "_io.FileIO.readinto" && call["outcome"] == "return");
    for call in filled {
        assert_eq!(
            (&call["result"], &call["filled"]["bytearray"]),
            (&json!(9), &json!("c29tZSB0ZXh0")),
            "{call}"
        );
    }
}

/// As many exceptions came to a frame.
fn assert_exceptions(trace: &Trace, truth: &Value) {
    let raised = trace.events.iter().filter(|event| event["type"] == "bytecode");
    let raised: Vec<_> = raised.filter(|event| is_own(event)).collect();
    assert!(raised.iter().all(|event| weight(event) == 1));
    let errors = truth["errors"].as_array().expect("errors");
    assert_eq!(raised.len(), errors.len());
}

fn assert_true(trace: &Trace, truth: &Value) {
    assert_exceptions(trace, truth);
    let shown: Vec<Value> = calls(&trace.events).into_iter().filter(is_own).collect();
    assert_estimates(&shown, truth);
    assert_errors(&shown, truth);
    assert_rare(&shown, truth);
    assert_filled(&shown);
    assert_add_up(trace);
    assert_counters(trace, &shown, truth);
}

#[test]
fn what_is_shown_stands_for_what_the_program_counted() {
    for python in interpreters() {
        let mut program = Program::start(&python, "sample.py");
        let tracer = Tracer::attach(&program, &TRACED);
        let truth = program.run().remove(0);
        assert_true(&tracer.stop(), &truth);
        assert!(program.end());
    }
}

#[test]
fn so_it_does_without_session_programs() {
    for python in interpreters() {
        let mut program = Program::start(&python, "sample.py");
        let tracer = Tracer::attach_by_links(&program, &TRACED);
        let truth = program.run().remove(0);
        assert_true(&tracer.stop(), &truth);
        assert!(program.end());
    }
}

/// Truth of one function of the program.
fn only(truth: &Value, lines: impl Fn(u64) -> bool) -> Value {
    let kept = |rows: &Value| -> Value {
        let rows = rows.as_array().expect("rows").iter();
        rows.filter(|row| lines(number(&row[1]))).cloned().collect()
    };
    json!({"counts": kept(&truth["counts"]), "errors": kept(&truth["errors"]), "rare": truth["rare"]})
}

#[test]
fn filters_come_before_chance() {
    for python in interpreters() {
        let mut program = Program::start(&python, "sample.py");
        for links in [false, true] {
            let args = [&TRACED[..], &["--in", "hot"]].concat();
            let tracer = match links {
                true => Tracer::attach_by_links(&program, &args),
                false => Tracer::attach(&program, &args),
            };
            let truth = program.run().remove(0);
            let trace = tracer.stop();
            // Calls of `concat` are made by `hot` only.
            let mut lines = truth["counts"].as_array().expect("rows").iter();
            let concat = lines.find(|row| row[0] == "concat").expect("a row");
            let near = number(&concat[1]);
            let truth = only(&truth, |line| line.abs_diff(near) < 6);
            let shown = calls(&trace.events);
            let elsewhere = |call: &&Value| call["stack"][0]["function"] != "hot";
            assert_eq!(shown.iter().find(elsewhere), None);
            assert_estimates(&shown, &truth);
            assert_errors(&shown, &truth);
            assert_rare(&shown, &truth);
            assert_add_up(&trace);
            assert!(number(&trace.summary["filtered"]) > 20_000, "{}", trace.summary);
        }
        assert!(program.end());
    }
}

#[test]
fn bytecodes_are_chosen_and_what_does_their_work_is_not() {
    for python in interpreters() {
        let mut program = Program::start(&python, "sample.py");
        let effects = "memory.store_attr,memory.store_item,memory.set_item";
        let tracer = Tracer::attach(&program, &["-e", effects, "--sample", "100"]);
        let truth = program.run_with("stores").remove(0);
        let trace = tracer.stop();
        let own = |event: &&Value| event["stack"][0]["function"] == "stores";
        let shown: Vec<Value> = trace.events.iter().filter(own).cloned().collect();
        assert_estimates(&shown, &truth);
        assert_add_up(&trace);
        assert!(number(&trace.summary["skipped"]) > 15_000, "{}", trace.summary);
        assert!(program.end());
    }
}

#[test]
fn a_recording_of_some_calls_is_replayed_as_that() {
    for python in interpreters() {
        let folder = Folder::new("sample");
        let file = folder.file("x.pytrace");
        let mut program = Program::start(&python, "sample.py");
        let recording = Recording::of(&program, &file, &TRACED);
        let truth = program.run().remove(0);
        let said = recording.stop();
        assert!(said.contains("+ skipped "), "{said}");
        assert!(
            said.contains("_operator.getitem: ") || said.contains("operator.getitem: "),
            "{said}"
        );
        assert_true(&replay(&file, &[]), &truth);
        // The same calls, added up.
        let counted = replay(&file, &["-c"]);
        let getitem = |event: &&Value| {
            event["function"]
                .as_str()
                .is_some_and(|name| short(name) == "getitem")
        };
        let total = counted.events.iter().find(getitem).expect("a row");
        assert_eq!(
            (&total["estimated"], &total["errors"]),
            (&json!(true), &json!(200))
        );
        let name = file.to_str().expect("text");
        let tests = tool(&["testgen", name, "--function", "__main__.hot"]);
        assert_eq!(tests.code, Some(1), "{}", tests.stderr);
        assert!(tests.stderr.contains("--sample"), "{}", tests.stderr);
        assert!(program.end());
    }
}

#[test]
fn what_is_exact_already_takes_no_rate() {
    for args in [
        &["--pid", "1", "-c", "--sample", "10"][..],
        &["--pid", "1", "--sample", "0"],
        &["stat", "--pid", "1", "--sample", "10"],
        &["top", "--pid", "1", "--sample", "10"],
        &["profile", "--pid", "1", "--sample", "10"],
    ] {
        let printed = tool(args);
        assert_eq!(printed.code, Some(2), "{args:?}: {}", printed.stderr);
    }
}
