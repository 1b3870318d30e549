//! The code of an interpreter's reads of globals as an input of the fuzzer ([`super::super::fuzz::handlers_of`]).
//!
//! It is too far apart to be taken as it is. So what [`reads`] looks at is laid out closely, in its order: distances only become
//! shorter, and branches lead where they led.

use std::collections::BTreeMap;

use iced_x86::{FlowControl, Instruction};

use super::*;
use crate::{
    bytecode::{
        checks::{LOOK_AT_TOP, UNTIL_LOOK},
        code::{Straight, instruction},
        fuzz::names,
        machine::Machine,
    },
    cpython::Interpreter,
    process::Process,
};

/// Functions, which are behind the code where nothing is; the last one has no name that matters.
const FUNCTIONS: usize = 0xf000;
const NAMELESS: usize = 0xff00;
/// `int3`: no way goes on there.
const END: u8 = 0xcc;
/// An opcode without a handler here.
const NOWHERE: u16 = u16::MAX;

/// What such an input is made of.
struct Seed<'a> {
    machine: &'a Machine,
    names: &'a [&'static str],
    code: Vec<u8>,
    targets: [u16; 256],
    /// Where the instructions of the interpreter are in `code`.
    moved: BTreeMap<u64, usize>,
    /// Functions that are called, by their place in `names`.
    called: Vec<usize>,
}

/// The input, and how many places are found in the interpreter. `None`: it has no such code.
pub(crate) fn seed(process: &Process, interpreter: &Interpreter) -> Option<(Vec<u8>, usize)> {
    let names = &names();
    let opcodes = Opcodes::of(interpreter.version())?;
    let field = FrameField::of(&interpreter.layout().offsets);
    let handlers = Handlers::find(process, interpreter).ok()?;
    let machine = Machine::of(process, interpreter, names).ok()?;
    let is_form = |name: &str| name.starts_with("LOAD_GLOBAL");
    let (forms, others): (Vec<u8>, Vec<u8>) = (0..=u8::MAX)
        .filter(|opcode| opcodes.is_assigned(*opcode))
        .partition(|opcode| opcodes.name(*opcode).is_some_and(is_form));
    let found = reads(&machine, &handlers, opcodes, field, is_form);
    let shared: HashSet<u64> = others
        .iter()
        .flat_map(|opcode| Region::new(&machine, handlers.of(*opcode), MAX_OTHER, true))
        .collect();
    let entries: BTreeSet<u64> = forms.iter().map(|opcode| handlers.of(*opcode)).collect();
    let stack = value_stack(&machine, &handlers, opcodes)?;
    let graph = Graph::of(&machine, &entries, &shared, stack, field).ok()?;
    let mut seed = Seed::new(&machine, names);
    // What is shared is where another bytecode comes to.
    let leaves: BTreeSet<u64> = graph
        .nodes
        .values()
        .flat_map(|node| node.leaves.iter().copied())
        .collect();
    // These tell the value stack's register.
    let lookers: Vec<u8> = LOOK_AT_TOP
        .iter()
        .filter_map(|name| opcodes.number(name))
        .collect();
    let behind = leaves
        .iter()
        .flat_map(|leaf| Straight::new(&machine, *leaf, MAX_BEHIND));
    let looks = lookers
        .iter()
        .flat_map(|opcode| Straight::new(&machine, handlers.of(*opcode), UNTIL_LOOK));
    let mut all: BTreeSet<u64> = behind.chain(looks).map(|instruction| instruction.ip()).collect();
    all.extend(graph.nodes.keys());
    seed.put(&all)?;
    for opcode in forms.iter().chain(&lookers) {
        seed.targets[usize::from(*opcode)] = *seed.moved.get(&handlers.of(*opcode))? as u16;
    }
    let another = others
        .iter()
        .find(|opcode| seed.targets[usize::from(**opcode)] == NOWHERE)?;
    seed.targets[usize::from(*another)] = seed.code.len() as u16;
    for leaf in leaves {
        seed.branch_to(*seed.moved.get(&leaf)?);
    }
    // Instructions are read with as many bytes as the longest has.
    seed.code.extend([END; 16]);
    Some((seed.input(), found.map_or(0, |places| places.len())))
}

impl<'a> Seed<'a> {
    fn new(machine: &'a Machine, names: &'a [&'static str]) -> Self {
        Self {
            machine,
            names,
            code: Vec::new(),
            targets: [NOWHERE; 256],
            moved: BTreeMap::new(),
            called: Vec::new(),
        }
    }

    /// Lays these instructions out.
    fn put(&mut self, all: &BTreeSet<u64>) -> Option<()> {
        let all: Vec<Instruction> = all
            .iter()
            .map(|at| instruction(self.machine, *at))
            .collect::<Option<_>>()?;
        let mut next = None;
        for instruction in &all {
            // As far apart as they were, or nearer.
            if next != Some(instruction.ip()) {
                self.code.push(END);
            }
            next = Some(instruction.next_ip());
            self.moved.insert(instruction.ip(), self.code.len());
            let bytes = self.machine.read_bytes(instruction.ip(), instruction.len());
            self.code.extend(bytes.ok()?);
        }
        for instruction in &all {
            self.lead(instruction);
        }
        Some(())
    }

    /// Has a branch or a call lead to where that is now.
    fn lead(&mut self, instruction: &Instruction) {
        let is_call = match instruction.flow_control() {
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => false,
            FlowControl::Call => true,
            _ => return,
        };
        let known = self.moved.get(&instruction.near_branch_target()).copied();
        let to = match known {
            Some(to) => to,
            None if is_call => self.function(instruction),
            None => NAMELESS,
        };
        let end = self.moved[&instruction.ip()] + instruction.len();
        let by = to as i32 - end as i32;
        // A short one to what is not here leads to the next instruction.
        match instruction.len() {
            2 => self.code[end - 1] = i8::try_from(by).unwrap_or(0) as u8,
            _ => self.code[end - 4..end].copy_from_slice(&by.to_le_bytes()),
        }
    }

    /// Where the function is that is called.
    fn function(&mut self, call: &Instruction) -> usize {
        let name = self.machine.called(call);
        let Some(name) = name.and_then(|name| self.names.iter().position(|known| *known == name)) else {
            return NAMELESS;
        };
        let known = self.called.iter().position(|called| *called == name);
        let n = known.unwrap_or_else(|| {
            self.called.push(name);
            self.called.len() - 1
        });
        FUNCTIONS + 16 * n
    }

    /// `je` there.
    fn branch_to(&mut self, to: usize) {
        self.code.extend([0x0f, 0x84]);
        let end = self.code.len() + 4;
        self.code.extend((to as i32 - end as i32).to_le_bytes());
    }

    /// As the fuzzer takes it.
    fn input(&self) -> Vec<u8> {
        let mut input = vec![0, 0, self.called.len() as u8];
        for (n, name) in self.called.iter().enumerate() {
            input.push(0);
            input.extend(((FUNCTIONS + 16 * n) as u16).to_le_bytes());
            input.push(*name as u8);
        }
        input.extend(self.targets.iter().flat_map(|target| target.to_le_bytes()));
        input.extend(&self.code);
        input
    }
}
