//! Handlers that were put together by hand.

use std::collections::HashMap;

use iced_x86::Register as X86;
use tracer_common::cookie::Register;

use super::sure::NOT_EQUAL;
use super::*;
use crate::bytecode::machine::Machine;

/// Where the handler begins, and where code begins that other bytecodes come to.
const CODE: u64 = 0x1000;
const SHARED: u64 = 0x1100;
const LEN: usize = 0x200;

const STORES_INSTRUCTION: &[u8] = &[0x4c, 0x89, 0x75, 0x38]; // mov %r14,0x38(%rbp)
const STORES_LASTI: &[u8] = &[0x89, 0x45, 0x60]; // mov %eax,0x60(%rbp)
const TESTS_RDX: &[u8] = &[0x48, 0x85, 0xd2]; // test %rdx,%rdx
const PUSHES_RDX: &[u8] = &[0x48, 0x89, 0x13, 0x48, 0x83, 0xc3, 0x08]; // mov %rdx,(%rbx); add $8,%rbx
const DISPATCHES: &[u8] = &[0xff, 0xe0]; // jmp *%rax
const JE: &[u8] = &[0x0f, 0x84];
const JNE: &[u8] = &[0x0f, 0x85];
const JMP: &[u8] = &[0xe9];
const CALL: &[u8] = &[0xe8];
const INSTR: FrameField = FrameField::Instr(0x38);

/// Machine code, as it is put together.
struct Code(Vec<u8>);

impl Code {
    /// With the frame's instruction stored.
    fn begun() -> Self {
        Self(Vec::new()).put(STORES_INSTRUCTION)
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn here(&self) -> u64 {
        CODE + self.0.len() as u64
    }

    fn branch(self, opcode: &[u8], to: u64) -> Self {
        let code = self.put(opcode);
        let by = to as i64 - code.here() as i64 - 4;
        code.put(&(by as i32).to_le_bytes())
    }

    /// The places in it, with `shared` behind.
    fn places_before(mut self, shared: &[u8], field: FrameField) -> Result<Vec<ReadSite>, ReadError> {
        self.0.resize((SHARED - CODE) as usize, 0xcc);
        self.0.extend(shared);
        self.0.resize(LEN, 0xcc);
        let machine = Machine::made_up(CODE, &self.0, HashMap::new(), HashMap::new());
        let others = (SHARED..CODE + LEN as u64).collect();
        Graph::of(&machine, &BTreeSet::from([CODE]), &others, X86::RBX, field)?.reads(&machine)
    }

    fn places(self) -> Result<Vec<ReadSite>, ReadError> {
        self.places_before(&[0xc3], INSTR)
    }
}

fn site(address: u64, condition: u8, source: Source) -> ReadSite {
    ReadSite {
        address,
        condition,
        source,
    }
}

#[test]
fn a_read_is_sure_where_something_was_found() {
    let code = Code::begun().put(TESTS_RDX);
    let branch = code.here();
    let found = code.branch(JE, SHARED).put(PUSHES_RDX).put(DISPATCHES).places();
    let source = Source::Register(Register::Rdx);
    assert_eq!(found, Ok(vec![site(branch, NOT_EQUAL, source)]));
}

#[test]
fn what_specialises_the_instruction_is_no_read_and_each_way_of_reading_has_a_place() {
    let code = Code::begun().put(&[0x84, 0xc9]); // test %cl,%cl
    // je behind the next five: call, jmp *%rax.
    let code = code
        .put(&[0x75, 0x07])
        .branch(CALL, SHARED)
        .put(DISPATCHES)
        .put(TESTS_RDX);
    let first = code.here();
    // jne to the push; then a second look.
    let code = code
        .put(&[0x75, 0x0f])
        .put(&[0x48, 0x8b, 0x51, 0x10])
        .put(TESTS_RDX); // mov 0x10(%rcx),%rdx
    let second = code.here();
    let found = code
        .branch(JE, SHARED)
        .put(&[0x66, 0x90])
        .put(PUSHES_RDX)
        .put(DISPATCHES)
        .places();
    let source = Source::Register(Register::Rdx);
    assert_eq!(
        found,
        Ok(vec![
            site(first, NOT_EQUAL, source),
            site(second, NOT_EQUAL, source)
        ])
    );
}

#[test]
fn a_value_that_is_loaded_later_is_found_in_memory_and_a_tag_is_no_matter() {
    let code = Code::begun().put(TESTS_RDX);
    let branch = code.here();
    let loads = [0x49, 0x8b, 0x56, 0x08, 0x48, 0x83, 0xca, 0x01]; // mov 8(%r14),%rdx; or $1,%rdx
    let found = code
        .branch(JNE, SHARED)
        .put(&loads)
        .put(PUSHES_RDX)
        .put(DISPATCHES)
        .places();
    assert_eq!(found, Ok(vec![site(branch, 4, Source::Memory(Register::R14, 1))]));
    // Through a register that is not known.
    let loads = [0x48, 0x8b, 0x52, 0x08, 0x48, 0x8b, 0x12]; // mov 8(%rdx),%rdx; mov (%rdx),%rdx
    let code = Code::begun().put(TESTS_RDX).branch(JE, SHARED).put(&loads);
    assert_eq!(
        code.put(PUSHES_RDX).put(DISPATCHES).places(),
        Err(ReadError::Value)
    );
}

#[test]
fn a_function_that_is_given_the_end_of_the_stack_pushes() {
    let asks = [0x48, 0x83, 0x3b, 0x01, 0x48, 0x8b, 0x4d, 0x40]; // cmpq $1,(%rbx); mov 0x40(%rbp),%rcx
    let gives = [0x48, 0x89, 0xd9]; // mov %rbx,%rcx
    let code = Code::begun().put(&gives).branch(CALL, SHARED).put(&asks);
    let branch = code.here();
    let found = code.branch(JE, SHARED).put(DISPATCHES).places();
    let source = Source::Memory(Register::Rbx, 0);
    assert_eq!(found, Ok(vec![site(branch, NOT_EQUAL, source)]));
    // It is not given.
    let code = Code::begun().branch(CALL, SHARED).put(&asks).branch(JE, SHARED);
    assert_eq!(code.put(DISPATCHES).places(), Err(ReadError::Unknown));
}

#[test]
fn a_way_that_may_read_unseen_is_refused() {
    // Two words at once.
    let pair = [0x0f, 0x11, 0x03, 0x48, 0x83, 0xc3, 0x10]; // movups %xmm0,(%rbx); add $16,%rbx
    let code = || Code::begun().put(TESTS_RDX).branch(JE, SHARED);
    assert_eq!(
        code().put(&pair).put(DISPATCHES).places(),
        Err(ReadError::Unknown)
    );
    // A push that others share.
    let found = code().branch(JMP, SHARED).places_before(PUSHES_RDX, INSTR);
    assert_eq!(found, Err(ReadError::Shared));
    // One below what is on the stack.
    let below = [0x48, 0x89, 0x53, 0xf8]; // mov %rdx,-8(%rbx)
    assert_eq!(code().put(&below).put(DISPATCHES).places(), Err(ReadError::Code));
    // Two pushes, the second of which may be left out.
    let second = [0x75, 0x03, 0x48, 0x89, 0x0b]; // jne behind it; mov %rcx,(%rbx)
    let found = code().put(PUSHES_RDX).put(&second).put(DISPATCHES).places();
    assert_eq!(found, Err(ReadError::Unknown));
    // No branch before the push.
    let code = Code::begun().put(PUSHES_RDX).put(DISPATCHES);
    assert_eq!(code.places(), Err(ReadError::Unknown));
    assert_eq!(
        Code::begun().branch(JMP, SHARED).places(),
        Err(ReadError::Unknown)
    );
}

#[test]
fn the_frame_has_to_know_the_instruction() {
    let read = |code: Code| code.put(TESTS_RDX).branch(JE, SHARED).put(PUSHES_RDX);
    let none = || Code(Vec::new());
    let lasti = FrameField::Lasti(0x60);
    let found = read(none()).put(DISPATCHES).places();
    assert_eq!(found, Err(ReadError::Instruction));
    // Up to 3.10 it does when the handler begins, and until it ends.
    let found = read(none())
        .put(STORES_LASTI)
        .put(DISPATCHES)
        .places_before(&[0xc3], lasti);
    assert_eq!(found.map(|found| found.len()), Ok(1));
    let found = read(none().put(STORES_LASTI))
        .put(DISPATCHES)
        .places_before(&[0xc3], lasti);
    assert_eq!(found, Err(ReadError::Instruction));
}
