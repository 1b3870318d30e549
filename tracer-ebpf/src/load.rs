//! Extension modules that are executed: told to the daemon when they are there. Where one comes that switches C stacks, the
//! process's returns are spared from the entry on.

use aya_ebpf::{
    EbpfContext as _,
    bindings::pt_regs,
    helpers::generated::{bpf_get_attach_cookie, bpf_probe_read_user_str},
    programs::ProbeContext,
};
use tracer_common::{
    encode::Memory as _,
    load::{NAME_WORDS, Packed, switches_stacks},
    target::{ABSENT, Target},
    watch::LOADED,
};

use crate::{
    maps::{SPARED, TARGETS},
    memory::User,
    probe::{is_return, save_registers, whose},
    watch,
};

/// Whether returns of that target are not to be probed.
#[inline(always)]
pub fn is_spared(target: u32) -> bool {
    SPARED.get(target).is_some_and(|spared| *spared != 0)
}

/// True, at the entry: the return is not to be probed.
#[inline(always)]
pub fn session(ctx: &ProbeContext) -> bool {
    // SAFETY: the context is the one the kernel gave this program.
    let cookie = Packed(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    if is_return(ctx) {
        watch::tell_here(LOADED, cookie.stops());
        return false;
    }
    let Some(target) = whose(cookie.target()) else {
        return true;
    };
    if is_spared(target) {
        return true;
    }
    let mut registers = [0; 16];
    save_registers(ctx.as_ptr().cast::<pt_regs>(), &mut registers);
    let module = registers[cookie.register() & 15];
    let name = if cookie.is_name() {
        text(module)
    } else {
        TARGETS.get(target).and_then(|target| name_of(target, module))
    };
    if !name.is_some_and(switches_stacks) {
        return false;
    }
    let Some(spared) = SPARED.get_ptr_mut(target) else {
        return false;
    };
    // SAFETY: map values live as long as the program; one word, which only ever becomes 1 here.
    unsafe { spared.write_volatile(1) };
    watch::tell_here(LOADED, cookie.stops());
    true
}

/// The first bytes of a C string.
#[inline(always)]
fn text(address: u64) -> Option<[u64; NAME_WORDS]> {
    let mut name = [0; NAME_WORDS];
    let size = (8 * NAME_WORDS) as u32;
    // SAFETY: the buffer has the size given; the helper checks the address.
    let read = unsafe { bpf_probe_read_user_str(name.as_mut_ptr().cast(), size, address as *const _) };
    (read > 0).then_some(name)
}

/// The first bytes of a module's name, if it is of ASCII (`PyModuleObject.md_name`).
#[inline(always)]
fn name_of(target: &Target, module: u64) -> Option<[u64; NAME_WORDS]> {
    let o = &target.offsets;
    if o.md_name == ABSENT {
        return None;
    }
    let name = User.pointer(module.wrapping_add(o.md_name as u64))?;
    // It was read a moment ago by who executes the module. Its NUL ends it: what follows is not the name.
    text(name.wrapping_add(o.unicode_ascii_data as u64))
}
