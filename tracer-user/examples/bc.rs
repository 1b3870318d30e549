use std::collections::HashSet;
use tracer_user::bytecode::{Handlers, calls::calls_of, opcodes::Opcodes};
use tracer_user::cpython::Interpreter;
use tracer_user::process::{Process, ReadMemory, Snapshot};
fn main() {
    let pid: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let process = Process::open(pid).unwrap();
    let interpreter = Interpreter::find(&process).unwrap();
    let handlers = Handlers::find(&process, &interpreter).unwrap();
    let opcodes = Opcodes::of(interpreter.version()).unwrap();
    let memory = Snapshot::new(&process);
    let others: HashSet<u64> = (0..=255).map(|n| handlers.of(n)).collect();
    print!("{}", interpreter.python_version_string());
    for (op, f) in std::env::args().skip(2).map(|a| {
        let (a, b) = a.split_once('=').unwrap();
        (a.to_owned(), u64::from_str_radix(b, 16).unwrap())
    }) {
        let Some(number) = opcodes.number(&op) else {
            print!(" {op}:none");
            continue;
        };
        let resolve = |target: u64| {
            // PLT stub: [endbr64] [bnd] jmp [rip+x]
            let b = memory.read_bytes(target, 16).unwrap_or_default();
            for i in [0usize, 4, 5] {
                if b.len() > i + 6 && b[i] == 0xff && b[i + 1] == 0x25 {
                    let d = i32::from_le_bytes(b[i + 2..i + 6].try_into().unwrap());
                    return memory
                        .read_u64(target.wrapping_add(i as u64 + 6).wrapping_add(d as i64 as u64))
                        .unwrap_or(target);
                }
            }
            target
        };
        let found = calls_of(&memory, handlers.of(number), |t| resolve(t) == f);
        print!(
            " {op}:{:x?}",
            found
                .iter()
                .map(|a| a.wrapping_sub(handlers.of(number)) as i64)
                .collect::<Vec<_>>()
        );
    }
    println!();
}
