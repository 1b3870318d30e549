//! What Pythoscope's tracer promised, on every version: see `promised.py`.

use std::path::Path;

use serde_json::Value;
use tests::{Program, Tracer, interpreters, version, without_ids};

const OPTIONS: [&str; 22] = [
    "-e",
    "memory,console,code.compile,code.exec",
    "--calls",
    "promised*.py",
    // Its own helpers, to be left out with what they do.
    "--calls",
    "truth_value.py",
    "-f",
    "builtins.complex",
    "-f",
    "builtins.divmod",
    "-f",
    "builtins.abs",
    "-f",
    "builtins.sorted",
    "-f",
    "builtins.setattr",
    "-f",
    "builtins.delattr",
    "-f",
    "builtins.list.*",
    "--max-depth",
    "4",
];

/// What a program cannot say of itself, or does besides what it says.
fn is_besides(event: &Value) -> bool {
    let function = event["function"].as_str().unwrap_or_default();
    let method = function.rsplit('.').next().unwrap_or_default();
    let is_list = function.contains(".list.");
    // Its own helpers, the slots of lists, and what files do to be written.
    [
        "node", "call", "raises", "run", "op", "raised", "before", "encode",
    ]
    .contains(&method)
        || ["<listcomp>", "<genexpr>"].contains(&method)
        || is_list && method.starts_with("__")
        || function.contains("_io.")
}

/// What somebody else's code does: `sorted` makes a list, the compiler sets of names, imports read files.
fn is_by_the_way(event: &Value, events: &[&Value]) -> bool {
    let around = events.iter().find(|around| around["id"] == event["parent"]);
    let file = event["stack"][0]["file"].as_str().unwrap_or_default();
    let is_own = file.ends_with("promised.py") || file.ends_with("promised_module.py");
    let in_c = around.is_some_and(|around| around["type"] == "call");
    let of_memory = event["effect"]
        .as_str()
        .is_some_and(|effect| effect.starts_with("memory."));
    // Up to 3.9 making a class extends lists; in Python 2 an import compiles by C code alone.
    let makes_class =
        around.is_some_and(|around| ["<module>", "case_modules_and_methods"].contains(&name(around)));
    // What the bodies of modules and classes are made of.
    let of_body = event["op"] == "STORE_NAME";
    event["type"] != "function" && (!is_own || of_body || (in_c || makes_class) && of_memory)
}

/// The event around one, except for those by the way.
fn parent<'e>(event: &'e Value, events: &[&'e Value]) -> &'e Value {
    let around = events.iter().find(|around| around["id"] == event["parent"]);
    match around {
        Some(around) if is_by_the_way(around, events) => parent(around, events),
        _ => &event["parent"],
    }
}

fn name(event: &Value) -> &str {
    let name = event["function"]
        .as_str()
        .or(event["op"].as_str())
        .unwrap_or_default();
    match event["type"] == "function" {
        true => name.rsplit('.').next().unwrap_or(name),
        false => name,
    }
}

fn plain(value: &Value) -> Value {
    let mut value = value.clone();
    without_ids(&mut value);
    value
}

fn field_of(event: &Value, field: &str) -> Value {
    plain(event.get(field).unwrap_or(&Value::Null))
}

/// Whether an event is what a node says, as far as it says it, and so is what is in it.
fn assert_is(event: &Value, node: &Value, events: &[&Value], at: &str) {
    assert_eq!(event["type"], node["kind"], "{at}: {event} {node}");
    assert_eq!(Some(name(event)), node["name"].as_str(), "{at}: {event} {node}");
    for field in ["args", "kwargs", "result", "exception", "self"] {
        if let Some(known) = node
            .get(field)
            .filter(|known| !known.is_null() || field == "result")
        {
            assert_eq!(field_of(event, field), plain(known), "{at}: {field} of {event}");
        }
    }
    if let Some(Value::Object(operands)) = node.get("operands") {
        for (field, known) in operands {
            assert_eq!(field_of(event, field), plain(known), "{at}: {field} of {event}");
        }
    }
    assert_inside(event, node["in"].as_array().expect("a list"), events, at);
}

/// Whether what is in an event is what the nodes say.
fn assert_inside(event: &Value, nodes: &[Value], events: &[&Value], at: &str) {
    let inside: Vec<&&Value> = events
        .iter()
        .filter(|inner| *parent(inner, events) == event["id"] && !is_by_the_way(inner, events))
        .collect();
    let told: Vec<&str> = nodes.iter().filter_map(|node| node["name"].as_str()).collect();
    let seen: Vec<&str> = inside.iter().map(|inner| name(inner)).collect();
    assert_eq!(seen, told, "{at}: in {event}");
    for (inner, node) in inside.iter().zip(nodes) {
        assert_is(inner, node, events, at);
    }
}

fn assert_promises_kept(python: &Path) {
    let mut program = Program::start(python, "promised.py");
    let tracer = Tracer::attach(&program, &OPTIONS);
    let told = program.run();
    let trace = tracer.stop();
    let mut events: Vec<&Value> = trace
        .events
        .iter()
        .filter(|event| event["id"].is_number() && !is_besides(event))
        .collect();
    events.sort_by_key(|event| event["id"].as_u64());
    for case in &told {
        let run = events.iter().find(|event| name(event) == case["case"]);
        let at = format!("{}: {}", python.display(), case["case"]);
        let run = run.unwrap_or_else(|| panic!("{at} was not seen"));
        assert_inside(run, case["did"].as_array().expect("a list"), &events, &at);
    }
    assert_eq!(trace.summary["lost"], 0);
    println!("{}: {} cases", version(python), told.len());
    assert!(program.end());
}

#[test]
fn what_pythoscope_promised_is_kept() {
    for python in interpreters() {
        assert_promises_kept(&python);
    }
}
