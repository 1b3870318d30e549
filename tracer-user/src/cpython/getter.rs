//! Which variable, or which field of its argument, a small function returns, told by its machine code.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::process::ReadMemory;

/// Bytes of a function looked at.
const CODE: usize = 48;
/// Pieces of a function that jumps on.
const MAX_JUMPS: usize = 4;

/// The address of the variable whose value a function returns that does nothing else: it is loaded into
/// `rax` last, through a pointer (the global offset table's) where there is one. `None`: another kind of
/// function, or one that cannot be read.
pub(super) fn returned_variable<M: ReadMemory>(memory: &M, function: u64) -> Option<u64> {
    let code = memory.read_bytes(function, CODE).ok()?;
    let mut rax = None;
    let mut loaded_from = None;
    for instruction in &mut Decoder::with_ip(64, &code, function, DecoderOptions::NONE) {
        if instruction.flow_control() == FlowControl::Return {
            return loaded_from;
        }
        if instruction.is_invalid() || instruction.flow_control() != FlowControl::Next {
            return None;
        }
        if !writes_rax(&instruction) {
            continue;
        }
        let address = address(&instruction, rax)?;
        if instruction.mnemonic() == Mnemonic::Lea {
            (rax, loaded_from) = (Some(address), None);
        } else {
            (rax, loaded_from) = (memory.read_u64(address).ok(), Some(address));
        }
    }
    None
}

/// The offset of the field that a function reads first of its first argument, as one does that returns it. `None`: another kind of
/// function, or one that cannot be read.
pub(crate) fn first_field<M: ReadMemory>(memory: &M, function: u64) -> Option<u16> {
    let mut selves = vec![Register::RDI];
    let mut next = function;
    for _ in 0..MAX_JUMPS {
        let code = memory.read_bytes(next, CODE).ok()?;
        let mut jump = None;
        for instruction in &mut Decoder::with_ip(64, &code, next, DecoderOptions::NONE) {
            if instruction.is_invalid() {
                return None;
            }
            if reads_memory(&instruction) && selves.contains(&instruction.memory_base()) {
                return field_of(&instruction);
            }
            match instruction.flow_control() {
                FlowControl::Next => {}
                FlowControl::UnconditionalBranch => {
                    jump = Some(instruction.near_branch_target());
                    break;
                }
                _ => return None,
            }
            copy_self(&instruction, &mut selves);
        }
        next = jump?;
    }
    None
}

fn reads_memory(instruction: &Instruction) -> bool {
    instruction.op_kinds().any(|kind| kind == OpKind::Memory) && instruction.mnemonic() != Mnemonic::Lea
}

fn field_of(instruction: &Instruction) -> Option<u16> {
    let is_word = instruction.memory_size().size() == 8 && instruction.memory_index() == Register::None;
    let reads = matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Cmp)
        && (instruction.op0_kind() == OpKind::Register || instruction.mnemonic() == Mnemonic::Cmp);
    let offset = u16::try_from(instruction.memory_displacement64()).ok()?;
    (is_word && reads && offset.is_multiple_of(8)).then_some(offset)
}

/// Keeps account of the registers that have the argument.
fn copy_self(instruction: &Instruction, selves: &mut Vec<Register>) {
    if instruction.op_count() == 0 || instruction.op0_kind() != OpKind::Register {
        return;
    }
    if matches!(
        instruction.mnemonic(),
        Mnemonic::Push | Mnemonic::Cmp | Mnemonic::Test
    ) {
        return;
    }
    let written = instruction.op0_register().full_register();
    let copies = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op1_kind() == OpKind::Register
        && instruction.op1_register().size() == 8
        && selves.contains(&instruction.op1_register());
    selves.retain(|register| *register != written);
    if copies {
        selves.push(written);
    }
}

fn writes_rax(instruction: &Instruction) -> bool {
    instruction.op_count() > 0
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().full_register() == Register::RAX
        && instruction.mnemonic() != Mnemonic::Cmp
        && instruction.mnemonic() != Mnemonic::Test
}

/// The memory operand's address: relative to the instruction, or to what `rax` is.
fn address(instruction: &Instruction, rax: Option<u64>) -> Option<u64> {
    let loads = matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Lea)
        && instruction.op0_register() == Register::RAX
        && instruction.op1_kind() == OpKind::Memory
        && instruction.memory_index() == Register::None;
    match instruction.memory_base() {
        _ if !loads => None,
        Register::RIP => Some(instruction.ip_rel_memory_address()),
        Register::RAX => Some(rax?.wrapping_add(instruction.memory_displacement64())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ReadError;

    /// Code at 0x1000, and one word elsewhere.
    struct Memory<'a> {
        code: &'a [u8],
        word: (u64, u64),
    }

    impl ReadMemory for Memory<'_> {
        fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
            let mut code = self.code.to_vec();
            code.resize(CODE, 0xcc);
            match addr {
                0x1000 => out.copy_from_slice(&code),
                addr if addr == self.word.0 => out.copy_from_slice(&self.word.1.to_le_bytes()),
                _ => return Err(ReadError { addr, len: out.len() }),
            }
            Ok(())
        }
    }

    fn returned(code: &[u8], word: (u64, u64)) -> Option<u64> {
        returned_variable(&Memory { code, word }, 0x1000)
    }

    #[test]
    fn a_variable_beside_the_code_or_behind_a_pointer() {
        // mov rax, [rip+0x100]; ret
        let code = [0x48, 0x8b, 0x05, 0, 1, 0, 0, 0xc3];
        assert_eq!(returned(&code, (0, 0)), Some(0x1107));
        // endbr64; push rbp; mov rbp, rsp; mov rax, [rip+1]; pop rbp; ret
        let code = [
            0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x48, 0x8b, 0x05, 1, 0, 0, 0, 0x5d, 0xc3,
        ];
        assert_eq!(returned(&code, (0, 0)), Some(0x1010));
        // mov rax, [rip+0x100]; mov rax, [rax+0x5c8]; ret
        let code = [
            0x48, 0x8b, 0x05, 0, 1, 0, 0, 0x48, 0x8b, 0x80, 0xc8, 5, 0, 0, 0xc3,
        ];
        assert_eq!(returned(&code, (0x1107, 0x9000)), Some(0x95c8));
        // lea rax, [rip+0x100]; mov rax, [rax+8]; ret
        let code = [0x48, 0x8d, 0x05, 0, 1, 0, 0, 0x48, 0x8b, 0x40, 8, 0xc3];
        assert_eq!(returned(&code, (0, 0)), Some(0x110f));
    }

    #[test]
    fn a_field_of_the_argument() {
        let field = |code: &[u8]| first_field(&Memory { code, word: (0, 0) }, 0x1000);
        // mov rax, [rdi+0x80]; test rax, rax; je
        let code = [0x48, 0x8b, 0x87, 0x80, 0, 0, 0, 0x48, 0x85, 0xc0, 0x74, 5];
        assert_eq!(field(&code), Some(0x80));
        // endbr64; push rbx; mov rbx, rdi; mov rdi, [rbx+0x88]
        let code = [
            0xf3, 0x0f, 0x1e, 0xfa, 0x53, 0x48, 0x89, 0xfb, 0x48, 0x8b, 0xbb, 0x88, 0, 0, 0,
        ];
        assert_eq!(field(&code), Some(0x88));
        // mov rdi, rsi; mov rax, [rdi+0x80]; ret
        let code = [0x48, 0x89, 0xf7, 0x48, 0x8b, 0x87, 0x80, 0, 0, 0, 0xc3];
        assert_eq!(field(&code), None);
        // mov [rdi+0x80], rax: a store
        assert_eq!(field(&[0x48, 0x89, 0x87, 0x80, 0, 0, 0, 0xc3]), None);
        // mov eax, [rdi+0x80]: half of a field
        assert_eq!(field(&[0x8b, 0x87, 0x80, 0, 0, 0, 0xc3]), None);
        // xor eax, eax; ret
        assert_eq!(field(&[0x31, 0xc0, 0xc3]), None);
        assert_eq!(field(&[]), None);
    }

    #[test]
    fn other_functions_tell_nothing() {
        // jmp; xor eax, eax; ret
        assert_eq!(returned(&[0xeb, 0, 0x31, 0xc0, 0xc3], (0, 0)), None);
        assert_eq!(returned(&[0x31, 0xc0, 0xc3], (0, 0)), None);
        // mov rax, fs:[0]; ret
        assert_eq!(
            returned(&[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0xc3], (0, 0)),
            None
        );
        assert_eq!(returned(&[0xc3], (0, 0)), None);
        assert_eq!(returned(&[], (0, 0)), None);
    }
}
