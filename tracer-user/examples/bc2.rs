use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Register};
use std::collections::{HashMap, HashSet};
use tracer_user::bytecode::{
    Handlers,
    guards::{Loop, last_guards},
    opcodes::Opcodes,
};
use tracer_user::cpython::Interpreter;
use tracer_user::process::{Process, ReadMemory, Snapshot};
fn ins(m: &impl ReadMemory, at: u64) -> Option<Instruction> {
    let b = m.read_bytes(at, 15).ok()?;
    let mut d = Decoder::with_ip(64, &b, at, DecoderOptions::NONE);
    let i = d.decode();
    (!i.is_invalid()).then_some(i)
}
fn main() {
    let pid: u32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let process = Process::open(pid).unwrap();
    let interpreter = Interpreter::find(&process).unwrap();
    let handlers = Handlers::find(&process, &interpreter).unwrap();
    let opcodes = Opcodes::of(interpreter.version()).unwrap();
    let m = Snapshot::new(&process);
    println!("{}", interpreter.python_version_string());
    // SP vote
    let mut votes: HashMap<Register, usize> = HashMap::new();
    for op in [
        "POP_TOP",
        "UNARY_INVERT",
        "UNARY_NEGATIVE",
        "UNARY_NOT",
        "GET_ITER",
        "DELETE_SUBSCR",
        "STORE_FAST",
        "GET_LEN",
        "POP_JUMP_IF_NONE",
        "LIST_EXTEND",
    ] {
        let Some(n) = opcodes.number(op) else { continue };
        let mut at = handlers.of(n);
        for _ in 0..12 {
            let Some(i) = ins(&m, at) else { break };
            if i.memory_displacement64() as i64 == -8 && i.memory_base() != Register::None {
                *votes.entry(i.memory_base()).or_default() += 1;
                break;
            }
            if i.flow_control() != FlowControl::Next {
                break;
            }
            at = i.next_ip();
        }
    }
    println!("  votes {votes:?}");
    let stack = *votes.iter().max_by_key(|v| v.1).unwrap().0;
    let instr = interpreter.layout().offsets.frame_instr as u64;
    // 3.11's miss: the most common branch target of specialised handlers
    let fams = ["STORE_ATTR", "STORE_SUBSCR"];
    let spec = [
        "STORE_ATTR_INSTANCE_VALUE",
        "STORE_ATTR_SLOT",
        "STORE_ATTR_WITH_HINT",
        "STORE_SUBSCR_DICT",
        "STORE_SUBSCR_LIST_INT",
        "PRECALL_NO_KW_LIST_APPEND",
        "CALL_NO_KW_LIST_APPEND",
        "CALL_LIST_APPEND",
    ];
    let mut targets: HashMap<u64, HashSet<u8>> = HashMap::new();
    for n in 0..=255u8 {
        if opcodes.name(n).is_none() {
            continue;
        }
        let mut at = handlers.of(n);
        for _ in 0..40 {
            let Some(i) = ins(&m, at) else { break };
            match i.flow_control() {
                FlowControl::Next => {}
                FlowControl::ConditionalBranch => {
                    targets.entry(i.near_branch_target()).or_default().insert(n);
                }
                _ => break,
            }
            at = i.next_ip();
        }
    }
    let mut t: Vec<_> = targets.iter().map(|(a, s)| (s.len(), *a)).collect();
    t.sort();
    t.reverse();
    println!("  common {:x?}", &t[..4]);
    for s in spec {
        let Some(n) = opcodes.number(s) else { continue };
        let fam = if s.contains("LIST_APPEND") {
            if opcodes.number("PRECALL").is_some() {
                "PRECALL"
            } else {
                "CALL"
            }
        } else {
            fams.iter().find(|f| s.starts_with(**f)).unwrap()
        };
        let mut g: HashSet<u64> = HashSet::new();
        if interpreter.version().minor() == 11 {
            g.insert(t[0].1);
        }
        let mut q = std::collections::VecDeque::from([handlers.of(opcodes.number(fam).unwrap())]);
        while let Some(mut at) = q.pop_front() {
            while g.len() < 300 && g.insert(at) {
                let Some(i) = ins(&m, at) else { break };
                match i.flow_control() {
                    FlowControl::Next => {}
                    FlowControl::ConditionalBranch => q.push_back(i.near_branch_target()),
                    FlowControl::UnconditionalBranch => {
                        q.push_back(i.near_branch_target());
                        break;
                    }
                    _ => break,
                };
                at = i.next_ip();
            }
        }
        let e = Loop {
            stack,
            frame_instruction: instr,
            given_back: &g,
        };
        let h = handlers.of(n);
        println!(
            "  {s} {:x?}",
            last_guards(&m, h, &e).map(|v| v
                .into_iter()
                .map(|g| (g.address.wrapping_sub(h) as i64, g.condition, g.stack, g.offset))
                .collect::<Vec<_>>())
        );
    }
}
