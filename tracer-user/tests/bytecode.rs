//! The handlers of every interpreter that is here, against what it says of its own opcodes.

mod asked;
mod pythons;

use std::collections::HashMap;

use asked::Python;
use serde::Deserialize;
use tracer_user::bytecode::{Dispatch, Handlers, opcodes::Opcodes, plan};
use tracer_user::cpython::Interpreter;
use tracer_user::process::Process;

/// Prints the opcodes of the interpreter when asked.
const ORACLE: &str = "\
import json, opcode, sys
print('ready')
sys.stdout.flush()
sys.stdin.readline()
names = dict(getattr(opcode, '_specialized_opmap', {}), **opcode.opmap)
build = __import__('sysconfig').get_config_var('CONFIG_ARGS') or ''
print(json.dumps({'opcodes': names, 'tail_calls': '--with-tail-call-interp' in build}))
sys.stdout.flush()
sys.stdin.readline()
";

#[derive(Deserialize)]
struct Answer {
    opcodes: HashMap<String, u32>,
    tail_calls: bool,
}

#[test]
fn handlers_are_found_and_numbers_are_the_interpreters_own() {
    let mut tried = 0;
    for program in pythons::all() {
        let Some(mut python) = Python::start(&program, &["-c", ORACLE]) else {
            continue;
        };
        let answer: Answer = python.ask();
        let process = Process::open(python.child.id()).unwrap();
        let interpreter = Interpreter::find(&process).unwrap();
        let handlers = Handlers::find(&process, &interpreter).unwrap();
        let opcodes = Opcodes::of(interpreter.version()).unwrap();
        for (name, number) in &answer.opcodes {
            // Of the compiler alone (above a byte), or without a handler.
            let Ok(number) = u8::try_from(*number) else {
                continue;
            };
            if name == "STOP_CODE" {
                continue;
            }
            // Python 2 calls them `SLICE+1`; names of other versions are identifiers.
            let name = name.replace('+', "_").replace("_0", "");
            assert_eq!(
                opcodes.number(&name),
                Some(number),
                "{name} of {}",
                program.display()
            );
        }
        for planned in plan(&process, &interpreter, |_| true) {
            let sites = planned
                .sites
                .unwrap_or_else(|why| panic!("{} of {}: {why}", planned.form, program.display()));
            assert!(!sites.is_empty());
        }
        let expected = match answer.tail_calls {
            true => Dispatch::TailCalls,
            false => Dispatch::ComputedGoto,
        };
        assert_eq!(handlers.dispatch, expected, "{}", program.display());
        println!(
            "BYTECODE: {} {:?}, {} opcodes",
            interpreter.python_version_string(),
            handlers.dispatch,
            answer.opcodes.len()
        );
        tried += 1;
    }
    assert!(tried > 0);
}
