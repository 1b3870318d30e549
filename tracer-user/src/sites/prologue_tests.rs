//! Prologues as compilers wrote them, read off the builds named beside them.

use super::*;
use tracer_common::cookie::Register::{self, R8, Rbx, Rcx, Rdi, Rdx, Rsi};

const ADDRESS: u64 = 0x31_3620;

fn plan_of(code: &[u8], convention: Convention, self_kind: SelfKind) -> Result<Plan, Refusal> {
    plan(code, ADDRESS, convention, self_kind)
}

fn emulated(offset: u32, registers: [Register; COOKIE_REGISTERS]) -> Result<Plan, Refusal> {
    Ok(Plan {
        offset,
        registers,
        price: Price::Emulated,
    })
}

const UNMOVED: [Register; COOKIE_REGISTERS] = [Rdi, Rsi, Rdx, Rcx, R8];

#[test]
fn a_function_that_starts_with_push_is_probed_there() {
    // os_unlink, CPython 3.12.1: push %r12; mov %rsi,%rdi
    let code = [0x41, 0x54, 0x48, 0x89, 0xf7];
    assert_eq!(
        plan_of(&code, Convention::FastCallKeywords, SelfKind::Module),
        emulated(0, UNMOVED)
    );
}

#[test]
fn arguments_are_followed_to_the_first_emulated_instruction() {
    // builtin_abs, CPython 3.12.1: mov %rsi,%rdi; jmp PyNumber_Absolute@plt
    let code = [0x48, 0x89, 0xf7, 0xe9, 0x68, 0x41, 0xdf, 0xff];
    let moved = [Rdi, Rsi, Rdx, Rcx, R8];
    assert_eq!(
        plan_of(&code, Convention::O, SelfKind::Module),
        emulated(3, moved)
    );
    // A method's self would be lost by then.
    let start = Plan {
        offset: 0,
        registers: UNMOVED,
        price: Price::SingleStepped,
    };
    assert_eq!(plan_of(&code, Convention::O, SelfKind::Bound), Ok(start));
}

#[test]
fn an_argument_that_was_moved_is_found_in_its_new_register() {
    // endbr64; mov %rsi,%rbx-like copies before the push: f3 0f 1e fa; 48 89 f3; 31 f6; 55
    let code = [0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x89, 0xf3, 0x31, 0xf6, 0x55];
    assert_eq!(
        plan_of(&code, Convention::O, SelfKind::Bound),
        emulated(9, [Rdi, Rbx, Rdx, Rcx, R8])
    );
}

#[test]
fn endbr64_before_push_costs_nothing() {
    // gcc -fcf-protection: endbr64; push %rbp; mov %rsp,%rbp
    let code = [0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5];
    assert_eq!(
        plan_of(&code, Convention::VarArgs, SelfKind::Bound),
        emulated(4, UNMOVED)
    );
}

#[test]
fn once_the_stack_pointer_moves_only_the_start_is_left() {
    // time_monotonic, CPython 3.12.1: sub $0x18,%rsp; xor %esi,%esi; lea 0x8(%rsp),%rdi; call
    let code = [
        0x48, 0x83, 0xec, 0x18, 0x31, 0xf6, 0x48, 0x8d, 0x7c, 0x24, 0x08, 0xe8, 0, 0, 0, 0,
    ];
    let start = Plan {
        offset: 0,
        registers: UNMOVED,
        price: Price::SingleStepped,
    };
    assert_eq!(plan_of(&code, Convention::NoArgs, SelfKind::Module), Ok(start));
}

#[test]
fn a_conditional_jump_is_emulated_too() {
    // test %rsi,%rsi; je +16
    let code = [0x48, 0x85, 0xf6, 0x74, 0x10, 0x90];
    assert_eq!(
        plan_of(&code, Convention::O, SelfKind::Bound),
        emulated(3, UNMOVED)
    );
}

#[test]
fn a_loop_back_into_the_prologue_forbids_its_middle() {
    // mov %rsi,%rax; push %rbp; jmp back to the push
    let code = [0x48, 0x89, 0xf0, 0x55, 0xeb, 0xfd];
    let start = Plan {
        offset: 0,
        registers: UNMOVED,
        price: Price::SingleStepped,
    };
    assert_eq!(plan_of(&code, Convention::O, SelfKind::Bound), Ok(start));
}

#[test]
fn what_uprobes_refuse_is_refused_before() {
    let module = SelfKind::Module;
    assert_eq!(plan_of(&[], Convention::O, module), Err(Refusal::Undecodable));
    assert_eq!(plan_of(&[0xcc], Convention::O, module), Err(Refusal::Breakpoint));
    // lock incl (%rax); cs nopw
    assert_eq!(
        plan_of(&[0xf0, 0xff, 0x00], Convention::O, module),
        Err(Refusal::Unprobeable)
    );
    let cs_nop = [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
    assert_eq!(plan_of(&cs_nop, Convention::O, module), Err(Refusal::Unprobeable));
}

#[test]
fn a_five_byte_nop_is_never_chosen() {
    // nopl 0x0(%rax,%rax,1); push %rbp: Linux 6.18 may turn the nop into a call.
    let code = [0x0f, 0x1f, 0x44, 0x00, 0x00, 0x55];
    assert_eq!(
        plan_of(&code, Convention::O, SelfKind::Bound),
        emulated(5, UNMOVED)
    );
}

fn apart_of(code: &[u8], convention: Convention, self_kind: SelfKind) -> Option<(u32, Price)> {
    apart(code, ADDRESS, convention, self_kind).map(|plan| (plan.offset, plan.price))
}

#[test]
fn apart_from_return_probes_is_where_the_stack_pointer_has_moved() {
    // push %r12; push %rbp; mov %rdi,%rbp
    let two = [0x41, 0x54, 0x55, 0x48, 0x89, 0xfd];
    let found = apart_of(&two, Convention::O, SelfKind::Bound);
    assert_eq!(found, Some((2, Price::Emulated)));
    // os_unlink, CPython 3.12.1: push %r12; mov %rsi,%rdi; there is no other push.
    let one = [0x41, 0x54, 0x48, 0x89, 0xf7];
    let found = apart_of(&one, Convention::FastCallKeywords, SelfKind::Module);
    assert_eq!(found, Some((2, Price::SingleStepped)));
    // time_monotonic, CPython 3.12.1: sub $0x18,%rsp; xor %esi,%esi; …
    let sub = [
        0x48, 0x83, 0xec, 0x18, 0x31, 0xf6, 0x48, 0x8d, 0x7c, 0x24, 0x08, 0xe8, 0, 0, 0, 0,
    ];
    let found = apart_of(&sub, Convention::NoArgs, SelfKind::Module);
    assert_eq!(found, Some((11, Price::Emulated)));
}

#[test]
fn an_argument_is_followed_to_where_it_is_apart() {
    // push %rbx; mov %rdi,%rbx; xor %edi,%edi; push %rbp
    let code = [0x53, 0x48, 0x89, 0xfb, 0x31, 0xff, 0x55];
    let found = apart(&code, ADDRESS, Convention::O, SelfKind::Bound).unwrap();
    assert_eq!((found.offset, found.registers[0]), (6, Rbx));
    // push %rbx; xor %edi,%edi; push %rbp: it is lost.
    let lost = [0x53, 0x31, 0xff, 0x55];
    let found = apart_of(&lost, Convention::O, SelfKind::Bound);
    assert_eq!(found, Some((1, Price::SingleStepped)));
}

#[test]
fn the_places_of_return_probes_are_not_apart() {
    // builtin_abs, CPython 3.12.1: mov %rsi,%rdi; jmp: the start, and the first emulated instruction.
    let code = [0x48, 0x89, 0xf7, 0xe9, 0x68, 0x41, 0xdf, 0xff];
    assert_eq!(apart_of(&code, Convention::O, SelfKind::Module), None);
    // push %rbx; L: dec %edx; jne L: a branch leads there.
    let back = [0x53, 0xff, 0xca, 0x75, 0xfc];
    assert_eq!(apart_of(&back, Convention::NoArgs, SelfKind::Module), None);
}

#[test]
fn a_function_at_the_end_of_all_addresses_is_walked_too() {
    // mov %rsi,%rbx; push %rbp
    let code = [0x48, 0x89, 0xf3, 0x55];
    for address in [u64::MAX, u64::MAX - 3] {
        assert_eq!(
            plan(&code, address, Convention::O, SelfKind::Bound),
            emulated(3, [Rdi, Rbx, Rdx, Rcx, R8])
        );
    }
}
