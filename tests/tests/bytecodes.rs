//! Effects of bytecodes, against what the program wrote down.

use std::path::Path;

use serde_json::Value;
use tests::{Program, Tracer, command, interpreters, tool, version};

const STORES: &str = "memory.store_attr,memory.delete_attr,memory.store_global,memory.delete_global,memory.store_item,\
                      memory.delete_item,memory.append,memory.store_name,memory.delete_name";

/// What an event says of its effect: as the program writes it down.
fn told(event: &Value) -> Value {
    let frame = &event["stack"][0];
    let operand = |names: &[&str]| {
        let found = names.iter().map(|name| &event[*name]);
        found
            .into_iter()
            .find(|value| !value.is_null())
            .cloned()
            .unwrap_or_default()
    };
    let (op, value) = match event["type"].as_str() {
        Some("bytecode") => (event["op"].clone(), event["value"].clone()),
        _ => ("append".into(), event["args"][0].clone()),
    };
    let owner = match op.as_str() {
        Some("STORE_ATTR" | "DELETE_ATTR") => event["object"]["object"].clone(),
        _ => Value::Null,
    };
    let function = frame["function"].clone();
    let slice = || serde_json::json!({"slice": [event["start"], event["stop"], null]});
    let what = match event["start"].is_null() {
        true => operand(&["name", "key"]),
        false => slice(),
    };
    Value::from(vec![op, what, value, owner, function, frame["line"].clone()])
}

/// `__module__` and the like, which the compiler stores in a class's body.
fn of_the_class_statement(event: &Value) -> bool {
    event["op"] == "STORE_NAME" && event["name"].as_str().is_some_and(|name| name.starts_with("__"))
}

fn assert_every_store_is_seen_once(python: &Path) {
    let mut program = Program::start(python, "bytecodes.py");
    let tracer = Tracer::attach(&program, &["-e", STORES, "--in", "act_*"]);
    // The second time the code is specialised already.
    let rounds = ["go", "go", "settrace", "go"];
    let truth: Vec<Value> = rounds.iter().flat_map(|line| program.run_with(line)).collect();
    let truth: Vec<&Value> = truth.iter().filter_map(Value::as_array).flatten().collect();
    let trace = tracer.stop();
    let events: Vec<&Value> = trace
        .events
        .iter()
        .filter(|event| event["type"] == "bytecode" || event["type"] == "call")
        .filter(|event| !of_the_class_statement(event))
        .collect();
    for (event, truth) in events.iter().zip(&truth) {
        let mut told = told(event);
        // Where a name's index takes more than a byte, a specialised form does not tell it for certain.
        if told[1]["unreadable"].is_string() {
            assert!(
                truth[1].as_str().is_some_and(|name| name.starts_with('n')),
                "{event}"
            );
            told[1] = truth[1].clone();
        }
        assert_eq!(told, **truth, "{}: {event}", python.display());
    }
    assert_eq!(events.len(), truth.len(), "{}", python.display());
    assert_eq!(trace.summary["lost"], 0);
    let unknown = events
        .iter()
        .filter(|event| event["name"]["unreadable"].is_string())
        .count();
    println!(
        "{}: {} effects, {unknown} of unknown name",
        version(python),
        events.len()
    );
    assert!(program.end(), "the program went on as if nothing was");
}

#[test]
fn every_store_is_seen_once_whatever_form_the_bytecode_has() {
    for python in interpreters() {
        assert_every_store_is_seen_once(&python);
    }
}

/// What a build is made with, by its own account.
const OF_BUILD: &str = "import sysconfig; of = sysconfig.get_config_var; \
                        print('jit' if '-D_Py_JIT' in (of('PY_CORE_CFLAGS') or '') else '', \
                        'switch' if '--without-computed-gotos' in (of('CONFIG_ARGS') or '') else '')";

#[test]
fn what_a_build_keeps_from_being_seen_is_said() {
    for python in interpreters() {
        let program = Program::start(&python, "idle.py");
        let printed = tool(&["functions", "--pid", &program.pid().to_string(), "STORE_*"]);
        let of_build = command(&python).args(["-c", OF_BUILD]).output().expect("it runs");
        let of_build = String::from_utf8_lossy(&of_build.stdout).into_owned();
        let says = |what: &str| printed.stdout.contains(what);
        assert_eq!(
            says("partly unseen"),
            of_build.contains("jit"),
            "{}",
            python.display()
        );
        let refuses = of_build.contains("switch");
        assert_eq!(
            says("built without computed gotos"),
            refuses,
            "{}",
            python.display()
        );
        assert!(says("STORE_GLOBAL  "), "{}: {}", python.display(), printed.stdout);
    }
}

#[test]
fn the_print_statement_is_seen() {
    for python in interpreters() {
        if !version(&python).starts_with("Python 2") {
            continue;
        }
        let mut program = Program::start(&python, "print_statement.py");
        let tracer = Tracer::attach(&program, &["--in", "act_print"]);
        program.run();
        let trace = tracer.stop();
        let shown: Vec<(&str, &Value, u64)> = trace
            .events
            .iter()
            .filter(|event| event["type"] == "bytecode")
            .map(|event| {
                assert_eq!(event["effect"], "console.print");
                let line = event["stack"][0]["line"].as_u64().expect("a line");
                (event["op"].as_str().expect("an opcode"), &event["value"], line)
            })
            .collect();
        let mut expected = Vec::new();
        let values: Vec<Value> = (0..100).map(Value::from).chain(["last".into()]).collect();
        let lists: Vec<Value> = values
            .iter()
            .map(|value| Value::from(vec![value.clone()]))
            .collect();
        let three = Value::from("three");
        for (value, list) in values.iter().zip(&lists) {
            let none = &Value::Null;
            let of_line = |line: u64, op: &'static str, value| (op, value, line);
            expected.extend([
                of_line(3, "PRINT_ITEM", value),
                of_line(3, "PRINT_NEWLINE", none),
                of_line(4, "PRINT_ITEM", value),
                of_line(4, "PRINT_ITEM", list),
                of_line(4, "PRINT_ITEM", &three),
                of_line(4, "PRINT_NEWLINE", none),
                of_line(5, "PRINT_NEWLINE", none),
                of_line(6, "PRINT_ITEM", value),
            ]);
            if value == "last" {
                break;
            }
            expected.extend([
                of_line(6, "PRINT_ITEM", value),
                of_line(7, "PRINT_NEWLINE", none),
                of_line(8, "PRINT_ITEM", none),
                of_line(8, "PRINT_NEWLINE", none),
            ]);
        }
        assert_eq!(shown.len(), expected.len());
        for (shown, expected) in shown.iter().zip(&expected) {
            assert_eq!((shown.0, shown.2), (expected.0, expected.2));
            let value = match shown.1 {
                Value::Object(object) if object.contains_key("list") => &object["list"],
                value => value,
            };
            if expected.2 != 8 {
                assert_eq!(value, expected.1);
            }
        }
        assert!(program.end(), "the program went on as if nothing was");
    }
}
