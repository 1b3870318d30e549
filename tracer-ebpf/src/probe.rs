//! What the two programs do.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, pt_regs},
    helpers::{
        bpf_get_func_ip, bpf_ktime_get_ns,
        generated::{bpf_get_attach_cookie, bpf_loop, bpf_ringbuf_output},
    },
    programs::{ProbeContext, RetProbeContext},
};
use aya_log_ebpf::warn;
use tracer_common::{
    cookie::{COOKIE_REGISTERS, Packed, SelfKind},
    counters::{Control, SiteCounters},
    encode::{
        Progress, Slot, as_call, begin_entry, begin_filled, begin_handle, begin_return, innermost_frame,
        is_raise, new_exception, operands, positional, read, step,
    },
    filter::{CallKey, FILTER_CODE, FILTER_THREAD, THREAD_HIDDEN, THREAD_NEW, thread_key},
    guard,
    handle::HandleKind,
    limits::{MAX_FRAMES, MAX_STEPS, RECORD_MAX},
    target::Target,
    wire::{FLAG_CUT, FLAG_NEW_THREAD, FLAG_NO_TSTATE, FLAG_SPARED, KIND_ENTRY, KIND_RETURN, RecordHeader},
};

use crate::{
    atomic, attribution, budget, codes, count, filter, handle, load,
    maps::{CONTROL, EVENTS, FILLING, TARGETS, WAKE},
    memory::User,
    paths, scratch, thread,
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
    })
}

impl Hit {
    #[inline(always)]
    pub fn is_guard(&self) -> bool {
        guard::is_guard(self.cookie.convention())
    }

    /// The call that was entered here.
    #[inline(always)]
    fn call(&self) -> CallKey {
        filter::call(self.sp, self.cookie.site())
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
/// goes through the encoder once.
#[inline(always)]
pub fn session(ctx: &ProbeContext) -> bool {
    let regs = registers(ctx.as_ptr());
    let mut place = MaybeUninit::uninit();
    let Some(hit) = hit(ctx.as_ptr(), regs.rsp, &mut place) else {
        return true;
    };
    let returns = is_return(ctx);
    let slot = if returns {
        depart::<true>(hit, regs.rax)
    } else if budget::is_shut(hit) {
        None
    } else {
        enter::<true>(ctx, hit)
    };
    let spared = slot.is_none_or(|slot| record(slot, hit) & FLAG_SPARED != 0);
    budget::charge(hit, returns);
    spared
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
        && let Some(slot) = depart::<false>(hit, regs.rax)
    {
        record(slot, hit);
    }
    budget::charge(hit, true);
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
    let slot = arrive::<SESSION>(ctx.as_ptr(), hit)?;
    if hit.control.filters & FILTER_CODE != 0 {
        let frame = slot.innermost;
        if !filter::frames(slot, hit.target, hit.cookie.target(), frame) && hide::<SESSION>(hit) {
            scratch::give_back(slot);
            count::one(&mut hit.counters.filtered);
            return None;
        }
        // They are written already.
        slot.innermost = 0;
    }
    if SESSION && !hit.cookie.is_leaf() && load::is_spared(hit.cookie.target()) {
        slot.flags |= FLAG_SPARED;
    }
    attribution::find(slot, hit.target, hit.cookie.target());
    begin::<SESSION>(slot, hit);
    Some(slot)
}

/// Encodes what was begun and hands it over; its flags.
#[inline(always)]
fn record(slot: &'static mut Slot, hit: &mut Hit) -> u32 {
    // SAFETY: the helper has no preconditions.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    let slot = encode(slot, hit.target);
    if slot.kind == KIND_ENTRY as u32 && hit.cookie.handle() != HandleKind::None as u8 {
        add_handle(slot, hit);
    }
    let flags = slot.flags;
    finish(slot, hit, time_ns);
    flags
}

/// Leaves a call out, its return included; false if that cannot be.
#[inline(always)]
fn hide<const SESSION: bool>(hit: &Hit) -> bool {
    SESSION || filter::hide(hit.call())
}

/// Looks at who comes: a slot with the registers, the arguments and the thread's innermost frame. `None`, and counted, where there
/// is nothing to do.
#[inline(never)]
fn arrive<const SESSION: bool>(ctx: *mut c_void, hit: &mut Hit) -> Option<&'static mut Slot> {
    let tid = thread::id(hit.target);
    hit.tid = tid;
    let mut flags = 0;
    if hit.control.filters & FILTER_THREAD != 0 {
        match filter::thread(hit.cookie.target(), tid) {
            THREAD_HIDDEN if hide::<SESSION>(hit) => {
                count::one(&mut hit.counters.filtered);
                return None;
            }
            THREAD_NEW => flags |= FLAG_NEW_THREAD,
            _ => {}
        }
    }
    let Some(slot) = scratch::take(hit.control) else {
        count::one(&mut hit.counters.dropped);
        count::one(&mut hit.control.dropped);
        return None;
    };
    slot.reset();
    slot.kind = KIND_ENTRY as u32;
    slot.flags = flags;
    save_registers(ctx.cast::<pt_regs>(), &mut slot.registers);
    for i in 0..COOKIE_REGISTERS {
        slot.arguments[i] = slot.registers[hit.cookie.register(i as u32) as usize & 15];
    }
    let tstate = thread::state(slot, hit.target, hit.cookie.target(), tid);
    if tstate == 0 {
        slot.flags |= FLAG_NO_TSTATE;
        warn!(
            &ProbeContext::new(ctx),
            "no thread state found for thread {}", tid
        );
    }
    slot.tstate = tstate;
    slot.innermost = innermost_frame(slot, hit.target, &mut User, tstate);
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

/// Begins the record of a call that is shown.
#[inline(never)]
fn begin<const SESSION: bool>(slot: &mut Slot, hit: &Hit) -> u64 {
    if !SESSION && hit.control.filters != 0 {
        // One whose return never came may have been there.
        filter::take_hidden(hit.call());
    }
    let (arguments, frame) = (slot.arguments, slot.innermost);
    note_buffer(hit, arguments);
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

/// Begins the record of a call that returns `value`. `None`, and counted, where there is nothing to do.
#[inline(never)]
fn depart<const SESSION: bool>(hit: &mut Hit, value: u64) -> Option<&'static mut Slot> {
    count::one(&mut hit.counters.return_hits);
    if !SESSION
        && hit.control.filters != 0
        && filter::take_hidden(filter::call(hit.entered(), hit.cookie.site()))
    {
        count::one(&mut hit.counters.return_filtered);
        return None;
    }
    let Some(slot) = scratch::take(hit.control) else {
        count::one(&mut hit.counters.return_dropped);
        count::one(&mut hit.control.dropped);
        return None;
    };
    slot.reset();
    slot.kind = KIND_RETURN as u32;
    hit.tid = thread::id(hit.target);
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
#[inline(always)]
fn note_buffer(hit: &Hit, arguments: [u64; COOKIE_REGISTERS]) {
    if hit.cookie.fills() == 0 {
        return;
    }
    let (convention, position) = (hit.cookie.convention(), hit.cookie.fills() - 1);
    let buffer = positional(hit.target, &mut User, convention, arguments, position);
    let _ = FILLING.insert([thread_key(hit.cookie.target(), hit.tid), hit.sp], buffer, 0);
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
fn finish(slot: &mut Slot, hit: &mut Hit, time_ns: u64) -> u64 {
    let is_entry = slot.kind == KIND_ENTRY as u32;
    let header = RecordHeader {
        kind: slot.kind as u8,
        convention: hit.cookie.convention(),
        target: hit.cookie.target() as u16,
        site: hit.cookie.site(),
        tid: hit.tid,
        time_ns,
        sp: hit.sp,
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

/// Runs the encoder until nothing is left to encode.
#[inline(always)]
pub fn encode<'a>(slot: &'a mut Slot, target: &'static Target) -> &'a mut Slot {
    let mut work = Work { slot, target };
    // SAFETY: `turn` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(MAX_STEPS, turn as *mut c_void, (&raw mut work).cast(), 0);
    }
    let slot = work.slot;
    if slot.depth != 0 {
        slot.flags |= FLAG_CUT;
    }
    slot
}

/// Hands a record over; false if the ring buffer is full.
#[inline(always)]
pub fn send(slot: &mut Slot, header: RecordHeader) -> bool {
    let len = (slot.finish(header) as u64).min(RECORD_MAX as u64);
    // SAFETY: `len` is at most RECORD_MAX, half of the buffer.
    unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            slot.words.as_mut_ptr().cast(),
            len,
            wakeup(),
        ) == 0
    }
}

/// Wakes the daemon only if it asked for it: waking costs the target an interrupt.
#[inline(always)]
fn wakeup() -> u64 {
    let Some(wake) = WAKE.get_ptr_mut(0) else { return 0 };
    // SAFETY: map values live as long as the program; the daemon's write is one word.
    let wake = unsafe { &mut *wake };
    if *wake != 0 && atomic::swap(wake, 0) != 0 {
        BPF_RB_FORCE_WAKEUP as u64
    } else {
        BPF_RB_NO_WAKEUP as u64
    }
}

struct Work<'a> {
    slot: &'a mut Slot,
    target: &'static Target,
}

/// One step of the encoder; 1 ends the loop.
#[inline(never)]
extern "C" fn turn(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `record` passes its own state.
    let work = unsafe { &mut *context.cast::<Work<'_>>() };
    match step(work.slot, work.target, &mut User) {
        Progress::More => 0,
        Progress::Done => 1,
    }
}
