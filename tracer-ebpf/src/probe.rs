//! What the two programs do.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    EbpfContext as _,
    bindings::pt_regs,
    helpers::{bpf_get_func_ip, bpf_ktime_get_ns, generated::bpf_get_attach_cookie},
    programs::{ProbeContext, RetProbeContext},
};
use aya_log_ebpf::warn;
use tracer_common::{
    cookie::{COOKIE_REGISTERS, Packed, SelfKind},
    counters::{Control, SiteCounters},
    encode::{
        Slot, as_call, begin_entry, begin_filled, begin_handle, begin_return, innermost_frame, is_raise,
        new_exception, operands, positional, read,
    },
    filter::{CallKey, FILTER_CODE, FILTER_THREAD, THREAD_HIDDEN, THREAD_NEW, thread_key},
    guard,
    handle::HandleKind,
    limits::MAX_FRAMES,
    share::{GROUPS, Sharer},
    target::Target,
    wire::{FLAG_NEW_THREAD, FLAG_NO_TSTATE, FLAG_SPARED, KIND_ENTRY, KIND_RETURN, RecordHeader},
};

use crate::{
    attribution, budget, codes, count, filter, handle, load,
    maps::{CONTROL, FILLING, REPLACED, SITE_FACTS, TARGETS, TRACED},
    memory::User,
    paths,
    record::{encode, send},
    scratch, skip, thread, watch,
};

/// Bytes by which a function's stack pointer is higher at its return than at its entry.
const RETURN_ADDRESS: u64 = 8;

/// What both programs find out first. It is in the frame of the program, and its parts are functions of their own that are
/// given it: each has its frame while it runs, so the deepest path is a small frame and the encoder's. Kernels before
/// 6.13 give all frames of a path together 512 bytes (`MAX_BPF_STACK`, kernel/bpf/verifier.c).
pub struct Hit {
    pub cookie: Packed,
    pub target: &'static Target,
    pub counters: &'static mut SiteCounters,
    pub control: &'static mut Control,
    pub sp: u64,
    pub tid: u32,
    /// [`budget::begin`].
    pub began: u32,
    /// What becomes of the call, where only some are recorded ([`skip`]).
    pub choice: u32,
}

/// `None`: the site is not known. `place`: where in the frame it is to be; moved it would be there twice.
#[inline(always)]
pub fn hit(ctx: *mut c_void, sp: u64, place: &mut MaybeUninit<Hit>) -> Option<&mut Hit> {
    if find(ctx, sp, place) == 0 {
        return None;
    }
    // SAFETY: it was written.
    Some(unsafe { place.assume_init_mut() })
}

/// 0: the site is not known.
#[inline(never)]
fn find(ctx: *mut c_void, sp: u64, to: &mut MaybeUninit<Hit>) -> u64 {
    match look_up(ctx, sp) {
        Some(hit) => {
            to.write(hit);
            1
        }
        None => 0,
    }
}

#[inline(always)]
fn look_up(ctx: *mut c_void, sp: u64) -> Option<Hit> {
    // SAFETY: the context is the one the kernel gave this program.
    let cookie = Packed(unsafe { bpf_get_attach_cookie(ctx) });
    let cookie = cookie.with_target(whose(cookie.target())?);
    if is_replaced(cookie.target()) {
        return None;
    }
    let counters = count::of(cookie.site())?;
    let target = TARGETS.get(cookie.target())?;
    let control = CONTROL.get_ptr_mut(0)?;
    // SAFETY: map values live as long as the program; what changes is only touched atomically.
    let control = unsafe { &mut *control };
    Some(Hit {
        cookie,
        target,
        counters,
        began: budget::begin(control),
        control,
        sp,
        tid: 0,
        choice: 0,
    })
}

/// The target whose probe it is. `None`: it is shared, and the process is none of those that share it.
#[inline(always)]
pub fn whose(target: u32) -> Option<u32> {
    if target < GROUPS.start {
        return Some(target);
    }
    // SAFETY: map values are plain words.
    let sharer = unsafe { TRACED.get(watch::process()) }.copied()?;
    Sharer(sharer).target(target)
}

/// Whether the process runs another program by now.
#[inline(always)]
pub fn is_replaced(target: u32) -> bool {
    REPLACED.get(target).is_some_and(|replaced| *replaced != 0)
}

impl Hit {
    #[inline(always)]
    pub fn is_guard(&self) -> bool {
        guard::is_guard(self.cookie.convention())
    }

    /// The call that was entered here.
    #[inline(always)]
    pub fn call(&self) -> CallKey {
        filter::call(self.sp, self.cookie.site())
    }

    /// What the daemon said of the site: bits of [`tracer_common::aggregate::site`].
    #[inline(always)]
    pub fn facts(&self) -> u64 {
        SITE_FACTS.get(self.cookie.site()).copied().unwrap_or(0)
    }

    /// Stack pointer at the entry of the call that returns here.
    #[inline(always)]
    pub fn entered(&self) -> u64 {
        self.sp.wrapping_sub(RETURN_ADDRESS)
    }
}

/// Copies the registers to where they can be indexed: the verifier allows reads of the context
/// at constant offsets only.
#[inline(always)]
pub fn save_registers(regs: *const pt_regs, to: &mut [u64; 16]) {
    macro_rules! save {
        ($($name:ident),*) => {
            // SAFETY: a uprobe's context is the thread's registers. Volatile, so that the
            // compiler does not merge the reads into one at a computed address.
            [$(unsafe { (&raw const (*regs).$name).read_volatile() }),*]
        };
    }
    *to = save!(
        rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
    );
}

/// Whether a program that serves both runs at a return: there the next instruction is the caller's, not the one that is
/// probed (`uprobe_handle_trampoline`, kernel/events/uprobes.c).
#[inline(always)]
pub fn is_return(ctx: &ProbeContext) -> bool {
    // SAFETY: the context is the one the kernel gave this program.
    unsafe { bpf_get_func_ip(ctx.as_ptr()) != registers(ctx.as_ptr()).rip }
}

/// Serves entry and return. True, at the entry: the return is not to be probed.
///
/// Both ways come together before what they record is encoded, with nothing but the slot that tells them apart: so the verifier
/// goes through the encoder once, and once more for the entry that is recorded at its return.
#[inline(always)]
pub fn session(ctx: &ProbeContext) -> bool {
    let regs = registers(ctx.as_ptr());
    let mut place = MaybeUninit::uninit();
    let Some(hit) = hit(ctx.as_ptr(), regs.rsp, &mut place) else {
        return true;
    };
    let returns = is_return(ctx);
    let slot = if returns {
        returned::<true>(hit, regs.rax)
    } else if budget::is_shut(hit) {
        None
    } else {
        enter::<true>(ctx, hit)
    };
    let over = match slot {
        Some(slot) => record(slot, hit) & FLAG_SPARED != 0,
        None => hit.choice & skip::AWAITED == 0,
    };
    budget::charge(hit, returns);
    over
}

/// The entry program.
#[inline(always)]
pub fn entry(ctx: &ProbeContext) {
    let mut place = MaybeUninit::uninit();
    let Some(hit) = hit(ctx.as_ptr(), registers(ctx.as_ptr()).rsp, &mut place) else {
        return;
    };
    if !budget::is_shut(hit)
        && let Some(slot) = enter::<false>(ctx, hit)
    {
        record(slot, hit);
    }
    budget::charge(hit, false);
}

/// The return program.
#[inline(always)]
pub fn leave(ctx: &RetProbeContext) {
    let regs = registers(ctx.as_ptr());
    let mut place = MaybeUninit::uninit();
    let Some(hit) = hit(ctx.as_ptr(), regs.rsp, &mut place) else {
        return;
    };
    if !budget::is_shut(hit)
        && let Some(slot) = returned::<false>(hit, regs.rax)
    {
        record(slot, hit);
    }
    budget::charge(hit, true);
}

/// Begins the record of a return, behind the entry's where that was waited with. `None`, and counted, where there is nothing to do.
#[inline(always)]
fn returned<const SESSION: bool>(hit: &mut Hit, value: u64) -> Option<&'static mut Slot> {
    let end = leaves::<SESSION>(hit, value);
    if end == skip::OVER {
        return None;
    }
    if skip::is_on() && end != skip::RECORD {
        let Some(slot) = skip::late(hit) else {
            count::one(&mut hit.counters.return_dropped);
            count::one(&mut hit.control.dropped);
            return None;
        };
        record(slot, hit);
    }
    depart(hit, value, end)
}

/// The thread's registers.
#[inline(always)]
pub fn registers(ctx: *mut c_void) -> &'static pt_regs {
    // SAFETY: they are the context of a uprobe, and of its return, as long as the program runs.
    unsafe { &*ctx.cast::<pt_regs>() }
}

/// Begins the record of a call. `None`, and counted, where there is nothing to do. `SESSION`: of functions only, and whoever is
/// left out here has no probed return.
#[inline(always)]
fn enter<const SESSION: bool>(ctx: &ProbeContext, hit: &mut Hit) -> Option<&'static mut Slot> {
    if !SESSION && hit.is_guard() && !guard::goes_on(hit.cookie, registers(ctx.as_ptr()).eflags) {
        return None;
    }
    count::one(&mut hit.counters.hits);
    let flags = who::<SESSION>(hit);
    if flags == LEFT_OUT || skip::is_on() && skip::begins::<SESSION>(ctx.as_ptr(), hit) != skip::RECORD {
        return None;
    }
    let slot = arrive::<SESSION>(ctx.as_ptr(), hit, flags)?;
    if hit.control.filters & FILTER_CODE != 0 {
        if write_frames(slot, hit) == 0 && hide::<SESSION>(hit) {
            scratch::give_back(slot);
            count::one(&mut hit.counters.filtered);
            return None;
        }
        // They are written already.
        slot.innermost = 0;
        if skip::is_on() && skip::choose(ctx.as_ptr(), hit) != skip::RECORD {
            scratch::give_back(slot);
            return None;
        }
    }
    slot.weight_log2 = hit.choice;
    if SESSION && !hit.cookie.is_leaf() && load::is_spared(hit.cookie.target()) {
        slot.flags |= FLAG_SPARED;
    }
    attribution::find(slot, hit.target, hit.cookie.target());
    note::<SESSION>(slot, hit);
    begin(slot, hit);
    Some(slot)
}

/// Writes the frames that a record shows; 0 if each of them is known to be left out.
#[inline(never)]
fn write_frames(slot: &mut Slot, hit: &Hit) -> u64 {
    let frame = slot.innermost;
    filter::frames(slot, hit.target, hit.cookie.target(), frame) as u64
}

/// Encodes what was begun and hands it over; its flags.
#[inline(always)]
fn record(slot: &'static mut Slot, hit: &mut Hit) -> u32 {
    if slot.time_ns == 0 {
        // SAFETY: the helper has no preconditions.
        slot.time_ns = unsafe { bpf_ktime_get_ns() };
    }
    let slot = encode(slot, hit.target);
    if slot.kind == KIND_ENTRY as u32 && hit.cookie.handle() != HandleKind::None as u8 {
        add_handle(slot, hit);
    }
    let flags = slot.flags;
    finish(slot, hit);
    flags
}

/// Leaves a call out, its return included; false if that cannot be.
#[inline(always)]
fn hide<const SESSION: bool>(hit: &Hit) -> bool {
    SESSION || filter::hide(hit.call())
}

/// The thread's calls are left out.
const LEFT_OUT: u64 = u64::MAX;

/// Looks at who comes: flags of the record, or [`LEFT_OUT`], which is counted.
#[inline(never)]
fn who<const SESSION: bool>(hit: &mut Hit) -> u64 {
    hit.tid = thread::id(hit.target);
    if hit.control.filters & FILTER_THREAD == 0 {
        return 0;
    }
    match filter::thread(hit.cookie.target(), hit.tid) {
        THREAD_HIDDEN if hide::<SESSION>(hit) => {
            count::one(&mut hit.counters.filtered);
            LEFT_OUT
        }
        THREAD_NEW => FLAG_NEW_THREAD as u64,
        _ => 0,
    }
}

/// A slot with the registers, the arguments and the thread's innermost frame. `None`, and counted, where there is nothing to do.
#[inline(never)]
fn arrive<const SESSION: bool>(ctx: *mut c_void, hit: &mut Hit, flags: u64) -> Option<&'static mut Slot> {
    let Some(slot) = scratch::take(hit.control) else {
        if skip::is_on() {
            skip::forget(hit);
        }
        count::one(&mut hit.counters.dropped);
        count::one(&mut hit.control.dropped);
        return None;
    };
    slot.reset();
    slot.kind = KIND_ENTRY as u32;
    slot.flags = flags as u32;
    slot.sp = hit.sp;
    save_registers(ctx.cast::<pt_regs>(), &mut slot.registers);
    for i in 0..COOKIE_REGISTERS {
        slot.arguments[i] = slot.registers[hit.cookie.register(i as u32) as usize & 15];
    }
    let tstate = find_frame(slot, hit);
    if tstate == 0 {
        warn!(
            &ProbeContext::new(ctx),
            "no thread state found for thread {}", hit.tid
        );
    }
    if !SESSION && hit.is_guard() {
        take_operands(slot, hit.target, hit.cookie);
    }
    let raises = !SESSION && hit.cookie.self_kind() == SelfKind::Exception as u8;
    if raises && !take_exception(slot, hit.target, tstate) {
        scratch::give_back(slot);
        count::one(&mut hit.counters.filtered);
        return None;
    }
    Some(slot)
}

/// Puts the thread's state and its innermost frame into the slot; the state, 0: there is none.
#[inline(always)]
pub fn find_frame(slot: &mut Slot, hit: &Hit) -> u64 {
    let tstate = thread::state(slot, hit.target, hit.cookie.target(), hit.tid);
    if tstate == 0 {
        slot.flags |= FLAG_NO_TSTATE;
    }
    slot.tstate = tstate;
    slot.innermost = innermost_frame(slot, hit.target, &mut User, tstate);
    tstate
}

/// Notes what the return of a call that is shown has to know.
#[inline(always)]
fn note<const SESSION: bool>(slot: &Slot, hit: &Hit) {
    if !SESSION && hit.control.filters != 0 {
        // One whose return never came may have been there.
        filter::take_hidden(hit.call());
    }
    if hit.cookie.fills() != 0 {
        note_buffer(slot, hit);
    }
}

/// Begins the record of a call that is shown.
#[inline(never)]
pub fn begin(slot: &mut Slot, hit: &Hit) -> u64 {
    let (arguments, frame) = (slot.arguments, slot.innermost);
    begin_entry(
        slot,
        hit.target,
        &mut User,
        as_call(hit.cookie.convention()),
        hit.cookie.self_kind(),
        arguments,
        frame,
    );
    0
}

/// Adds what the kernel knows of the descriptor that the call is about.
#[inline(never)]
fn add_handle(slot: &mut Slot, hit: &Hit) -> u64 {
    let (handle, convention) = (hit.cookie.handle(), hit.cookie.convention());
    let arguments = slot.arguments;
    if let Some(fd) = begin_handle(slot, hit.target, &mut User, handle, convention, arguments)
        && let Some(found) = handle::finish(slot, fd)
    {
        paths::send_new(&found, hit.control, hit.cookie.target(), hit.tid);
    }
    0
}

/// Puts the operands of a bytecode, which is at its last check or sure of what it reads, in the place of arguments. A
/// function of its own, and through the slot: so the verifier does not tell them apart any more in what follows.
#[inline(never)]
fn take_operands(slot: &mut Slot, target: &Target, cookie: Packed) {
    let (frame, register) = (slot.innermost, slot.arguments[0]);
    if guard::is_read(cookie) {
        slot.arguments = read(target, &mut User, cookie, register, frame);
        return;
    }
    let end = guard::stack_end(cookie, register, frame).unwrap_or(0);
    slot.arguments = operands(target, &mut User, cookie.convention(), end, frame);
}

/// Puts the thread's exception in the place of arguments; false where it only passes by, from another frame.
#[inline(never)]
fn take_exception(slot: &mut Slot, target: &Target, tstate: u64) -> bool {
    match new_exception(target, &mut User, tstate, slot.innermost) {
        Some(arguments) => {
            slot.arguments = arguments;
            true
        }
        None => false,
    }
}

/// Counts a return: [`skip::RECORD`], [`skip::OVER`] where there is nothing to do, or, where the entry is recorded only now, the time.
#[inline(never)]
fn leaves<const SESSION: bool>(hit: &mut Hit, value: u64) -> u64 {
    count::one(&mut hit.counters.return_hits);
    if !SESSION
        && hit.control.filters != 0
        && filter::take_hidden(filter::call(hit.entered(), hit.cookie.site()))
    {
        count::one(&mut hit.counters.return_filtered);
        return skip::OVER;
    }
    hit.tid = thread::id(hit.target);
    if skip::is_on() {
        return skip::ends(hit, value);
    }
    skip::RECORD
}

/// Begins the record of a call that returns `value`. `None`, and counted: there is no slot. `time_ns`: when it returned, 0: now.
#[inline(never)]
fn depart(hit: &mut Hit, value: u64, time_ns: u64) -> Option<&'static mut Slot> {
    let Some(slot) = scratch::take(hit.control) else {
        count::one(&mut hit.counters.return_dropped);
        count::one(&mut hit.control.dropped);
        return None;
    };
    slot.reset();
    slot.kind = KIND_RETURN as u32;
    slot.sp = hit.sp;
    slot.time_ns = time_ns;
    let kind = hit.cookie.return_kind();
    // Only an exception needs the thread state.
    let tstate = if is_raise(kind, value) {
        thread::state(slot, hit.target, hit.cookie.target(), hit.tid)
    } else {
        0
    };
    let buffer = noted_buffer(hit);
    if buffer != 0 && !is_raise(kind, value) {
        begin_filled(slot, hit.cookie.fills() - 1, buffer);
    }
    begin_return(slot, hit.target, &mut User, kind, value, tstate);
    Some(slot)
}

/// Keeps the address of the buffer that the call is to fill until it returns.
#[inline(never)]
fn note_buffer(slot: &Slot, hit: &Hit) -> u64 {
    let (convention, position) = (hit.cookie.convention(), hit.cookie.fills() - 1);
    let buffer = positional(hit.target, &mut User, convention, slot.arguments, position);
    let _ = FILLING.insert([thread_key(hit.cookie.target(), hit.tid), hit.sp], buffer, 0);
    0
}

/// The buffer that the returning call was given, 0: none.
#[inline(always)]
fn noted_buffer(hit: &Hit) -> u64 {
    if hit.cookie.fills() == 0 {
        return 0;
    }
    let key = [thread_key(hit.cookie.target(), hit.tid), hit.entered()];
    // SAFETY: map values are plain words; a torn read cannot happen on x86-64.
    let buffer = unsafe { FILLING.get(key) }.copied().unwrap_or(0);
    let _ = FILLING.remove(key);
    buffer
}

/// Hands a record over, counts what became of it, and gives the slot back.
#[inline(never)]
fn finish(slot: &mut Slot, hit: &mut Hit) -> u64 {
    let is_entry = slot.kind == KIND_ENTRY as u32;
    let header = RecordHeader {
        kind: slot.kind as u8,
        convention: hit.cookie.convention(),
        target: hit.cookie.target() as u16,
        site: hit.cookie.site(),
        tid: hit.tid,
        time_ns: slot.time_ns,
        sp: slot.sp,
        ..RecordHeader::default()
    };
    count::losses(slot, hit.counters);
    if is_entry {
        // First, so that who judges the call by its code knows it.
        let whose = (hit.cookie.target(), hit.tid);
        codes::send_new(slot, hit.target, hit.control, User, whose, MAX_FRAMES);
    }
    let delivered = send(slot, header);
    if !delivered {
        count::one(&mut hit.control.dropped);
    }
    scratch::give_back(slot);
    count::one(match (is_entry, delivered) {
        (true, true) => &mut hit.counters.delivered,
        (true, false) => &mut hit.counters.dropped,
        (false, true) => &mut hit.counters.return_delivered,
        (false, false) => &mut hit.counters.return_dropped,
    });
    0
}
