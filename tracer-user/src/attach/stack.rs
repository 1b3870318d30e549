//! What programs take of the kernel's stack: the sum of all frames on the deepest path is bounded (`MAX_BPF_STACK`,
//! 512 bytes), each frame rounded up to 32 bytes (`check_max_stack_depth`, kernel/bpf/verifier.c at v6.1), since 6.9 to 16.
//! And that uprobe programs stay on the stack of the task (tracer-ebpf/src/stack.rs says why).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use aya_obj::{Object, ProgramSection, generated::bpf_insn};

use super::OBJECT;

const MAX_STACK: u64 = 512;
/// As kernels before 6.9 round, and newer ones.
const ROUND: [u64; 2] = [32, 16];

/// `call`, and `ld_imm64` of 16 bytes (include/uapi/linux/bpf.h).
const CALL: u8 = 0x85;
const LOAD_64: u8 = 0x18;
const ADD_IMM: u8 = 0x07;
const MOVE: u8 = 0xbf;
/// What the source register of these two says: a function of the program, its address.
const PSEUDO_CALL: u8 = 1;
const PSEUDO_FUNC: u8 = 4;
/// The register that points behind the frame.
const FRAME: u8 = 10;

/// The offset of the function that an instruction calls or takes the address of.
fn target(at: usize, instruction: &bpf_insn) -> Option<usize> {
    let is_target = matches!(
        (instruction.code, instruction.src_reg()),
        (CALL, PSEUDO_CALL) | (LOAD_64, PSEUDO_FUNC)
    );
    is_target.then(|| (at as i64 + 1 + i64::from(instruction.imm)) as usize)
}

/// Bytes that the instructions of one function use below the frame pointer.
fn frame(instructions: &[bpf_insn]) -> u64 {
    let mut deepest = 0;
    for (n, instruction) in instructions.iter().enumerate() {
        let memory_class = instruction.code & 7;
        let offset = match memory_class {
            // Loads, and stores.
            1 if instruction.src_reg() == FRAME => i64::from(instruction.off),
            2 | 3 if instruction.dst_reg() == FRAME => i64::from(instruction.off),
            _ if instruction.code == MOVE && instruction.src_reg() == FRAME => {
                let next = instructions.get(n + 1);
                let added =
                    next.filter(|next| next.code == ADD_IMM && next.dst_reg() == instruction.dst_reg());
                added.map_or(0, |next| i64::from(next.imm))
            }
            _ => 0,
        };
        deepest = deepest.max(offset.min(0).unsigned_abs());
    }
    deepest
}

/// Bytes on the deepest path from the function at `start` on.
fn depth(start: usize, functions: &BTreeMap<usize, &[bpf_insn]>, round: u64) -> u64 {
    let Some(instructions) = functions.get(&start) else {
        return 0;
    };
    let called: BTreeSet<usize> = instructions
        .iter()
        .enumerate()
        .filter_map(|(n, instruction)| target(start + n, instruction))
        .collect();
    let below = called
        .into_iter()
        .map(|function| depth(function, functions, round))
        .max();
    frame(instructions).max(1).next_multiple_of(round) + below.unwrap_or(0)
}

/// Only kernels that have session programs load them.
const NEW: [&str; 3] = ["pytrace_session", "pytrace_load", "pytrace_stat"];

/// `bpf_tail_call`.
const TAIL_CALL: i32 = 12;

/// What is loaded as one program: its functions by their offsets, its own at 0.
fn functions(code: &[bpf_insn]) -> BTreeMap<usize, &[bpf_insn]> {
    let mut starts: BTreeSet<usize> = code
        .iter()
        .enumerate()
        .filter_map(|(at, instruction)| target(at, instruction))
        .collect();
    starts.insert(0);
    let ends: Vec<usize> = starts.iter().copied().skip(1).chain([code.len()]).collect();
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| (*start, &code[*start..end]))
        .collect()
}

fn linked() -> Object {
    let mut object = Object::parse(OBJECT).expect("the object can be read");
    let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_calls(&text).expect("it can be linked");
    object
}

#[test]
fn every_program_fits_the_stack() {
    let object = linked();
    for (name, program) in &object.programs {
        let functions = functions(&object.functions[&program.function_key()].instructions);
        let depth = depth(0, &functions, ROUND[usize::from(NEW.contains(&name.as_str()))]);
        assert!(depth <= MAX_STACK, "{name}: {depth} bytes");
        if name == "pytrace_entry" {
            assert!(functions.len() > 5 && depth > 256, "{name}: {depth} bytes");
        }
    }
}

/// Without it the kernel faults where a program waits for a page and another task runs the same program (found in a test of many
/// programs on a machine that had just started).
#[test]
fn uprobe_programs_keep_the_tasks_stack() {
    let object = linked();
    let mut seen = 0;
    for (name, program) in &object.programs {
        let is_uprobe = matches!(
            program.section,
            ProgramSection::UProbe { .. } | ProgramSection::URetProbe { .. }
        );
        let code = &object.functions[&program.function_key()].instructions;
        let is_tail_call = |one: &bpf_insn| one.code == CALL && one.src_reg() == 0 && one.imm == TAIL_CALL;
        let own = functions(code)[&0].iter().filter(|one| is_tail_call(one)).count();
        let all = code.iter().filter(|one| is_tail_call(one)).count();
        // In the program itself: elsewhere it would bound the frames above to 256 bytes.
        let expected = usize::from(is_uprobe && name != "pytrace_empty");
        assert_eq!((own, all), (expected, expected), "{name}");
        seen += expected;
    }
    assert!(seen >= 9, "{seen}");
}
