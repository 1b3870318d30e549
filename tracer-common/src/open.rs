//! A thread's calls in progress, as the kernel half keeps them where it has to know what a call is inside of. A stack grows down, so a
//! call that begins above another one's stack pointer tells that the other one is over.

use crate::cookie::COOKIE_REGISTERS;

/// Calls in progress that a thread may have one inside the other; of more the end is not seen.
pub const MAX_OPEN: usize = 16;

/// Threads whose calls in progress are known at once; of more, those that did nothing for longest are forgotten.
pub const MAX_CALLERS: u32 = 16 * 1024;

const LAST: usize = MAX_OPEN - 1;
const _: () = assert!(MAX_OPEN.is_power_of_two());

/// A call in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct OpenCall {
    /// Stack pointer at its entry.
    pub sp: u64,
    /// Site; bits 20..32: the generation of the probe that saw it begin ([`crate::budget`]); and bits 32..: index of its [`crate::aggregate::Aggregate`], or what became of it ([`SHOWN`], …).
    pub site: u64,
    pub start_ns: u64,
    /// Bytes it was given to write. Highest bit: calls inside are part of one act.
    pub bytes: u64,
}

/// Where the generation is in [`OpenCall::site`].
pub const GENERATION: u32 = 20;

impl OpenCall {
    /// The site.
    #[inline(always)]
    pub fn number(&self) -> u32 {
        self.site as u32 & ((1 << GENERATION) - 1)
    }

    /// That of the probe that saw it begin.
    #[inline(always)]
    pub fn generation(&self) -> u32 {
        self.site as u32 >> GENERATION
    }
}

/// In [`OpenCall::bytes`].
pub const INSIDE_ACT: u64 = 1 << 63;

/// In [`OpenCall::site`], where some of the calls are recorded: this one is.
pub const SHOWN: u64 = 0;
/// It is not, unless it raises.
pub const SKIPPED: u64 = 1 << 32;
/// It is part of another call's act.
pub const HIDDEN: u64 = 2 << 32;

/// Outermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct OpenCalls {
    depth: u64,
    calls: [OpenCall; MAX_OPEN],
}

impl OpenCalls {
    /// Forgets calls that are over, though their return was not seen, by one of that site that begins there. One at the same stack
    /// pointer may have gone on in the other by a jump; then both return.
    #[inline(always)]
    pub fn close_above(&mut self, sp: u64, site: u32) {
        let mut depth = self.depth;
        for _ in 0..MAX_OPEN {
            if depth == 0 {
                break;
            }
            let open = &self.calls[depth.wrapping_sub(1) as usize & LAST];
            if !(open.sp < sp || open.sp == sp && open.number() == site) {
                break;
            }
            depth -= 1;
        }
        self.depth = depth;
    }

    /// Whether what begins there is part of an act in progress. One at the same stack pointer has nothing inside, nor has one that is
    /// `gone`: its end is not seen any more, so it may be over.
    #[inline(always)]
    pub fn is_inside_act(&self, sp: u64, gone: impl Fn(&OpenCall) -> bool) -> bool {
        let mut depth = self.depth;
        for _ in 0..MAX_OPEN {
            if depth == 0 {
                return false;
            }
            let open = &self.calls[depth.wrapping_sub(1) as usize & LAST];
            if open.sp != sp && !gone(open) {
                return open.bytes & INSIDE_ACT != 0;
            }
            depth -= 1;
        }
        false
    }

    /// Whether there is room for one more.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.depth < MAX_OPEN as u64
    }

    /// Adds one; false if there is no room.
    #[inline(always)]
    pub fn open(&mut self, open: OpenCall) -> bool {
        let depth = self.depth;
        if depth >= MAX_OPEN as u64 {
            return false;
        }
        self.calls[depth as usize & LAST] = open;
        self.depth = depth + 1;
        true
    }

    /// Takes the one of that site off that began there, with what is above it, which is over as well; zeros: there is none.
    #[inline(always)]
    pub fn close(&mut self, sp: u64, site: u32) -> OpenCall {
        let mut depth = self.depth;
        for _ in 0..MAX_OPEN {
            if depth == 0 {
                break;
            }
            depth -= 1;
            let open = self.calls[depth as usize & LAST];
            if open.sp == sp && open.number() == site {
                self.depth = depth;
                return open;
            }
        }
        OpenCall::default()
    }

    /// None is in progress any more.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.depth = 0;
    }
}

/// A thread's calls in progress where some are recorded, with what is needed to record one of the others at its return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KeptCalls {
    pub open: OpenCalls,
    /// Not 0: C stacks are switched in the process since.
    pub spared: u64,
    /// The registers at the call that is looked at.
    pub registers: [u64; 16],
    /// Where that is in Python code ([`crate::encode::place`]).
    pub here: [u64; 2],
    /// The latest bytecode: where it was, and its stack pointer, 0: there was none that is an act. Its end is not seen.
    bytecode: [u64; 2],
    bytecode_sp: u64,
    /// C arguments, by the place of the call in `open`.
    arguments: [[u64; COOKIE_REGISTERS]; MAX_OPEN],
}

impl KeptCalls {
    /// The bytecode that is [`Self::here`] is an act, at that stack pointer, or (0) none.
    #[inline(always)]
    pub fn begin_bytecode(&mut self, sp: u64) {
        self.bytecode = self.here;
        self.bytecode_sp = sp;
    }

    /// Whether what begins there may be the latest bytecode's work.
    #[inline(always)]
    pub fn may_be_of_bytecode(&self, sp: u64) -> bool {
        sp < self.bytecode_sp
    }

    /// Whether what is [`Self::here`] is: the same instruction runs.
    #[inline(always)]
    pub fn is_of_bytecode(&self) -> bool {
        self.here == self.bytecode && self.here[0] != 0
    }

    /// The place of the arguments of the call that is opened next, or was closed last.
    #[inline(always)]
    pub fn arguments(&mut self) -> &mut [u64; COOKIE_REGISTERS] {
        &mut self.arguments[self.open.depth as usize & LAST]
    }

    /// The call that was closed last.
    #[inline(always)]
    pub fn closed(&self) -> OpenCall {
        self.open.calls[self.open.depth as usize & LAST]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(sp: u64, site: u64, bytes: u64) -> OpenCall {
        OpenCall {
            sp,
            site,
            start_ns: sp + 1,
            bytes,
        }
    }

    #[test]
    fn what_begins_above_ends_what_is_below() {
        let mut open = OpenCalls::default();
        assert!(open.open(call(100, 1, 0)) && open.open(call(80, 2, INSIDE_ACT)));
        assert!(open.is_inside_act(60, |_| false));
        // By a jump: beside the one at 80, inside of the one at 100.
        assert!(!open.is_inside_act(80, |_| false));
        open.close_above(80, 3);
        assert_eq!(open.depth, 2);
        // The same function there again.
        open.close_above(80, 2);
        assert_eq!(open.depth, 1);
        open.close_above(101, 2);
        assert_eq!(open.depth, 0);
    }

    #[test]
    fn what_has_lost_its_end_has_nothing_inside() {
        let mut open = OpenCalls::default();
        assert!(open.open(call(100, 1 | 7 << GENERATION, INSIDE_ACT)) && open.open(call(80, 2, 0)));
        // One that is no act, inside of one that may be over.
        let gone = |one: &OpenCall| one.generation() == 7;
        assert!(!open.is_inside_act(60, gone));
        open.close(80, 2);
        assert!(!open.is_inside_act(60, gone) && open.is_inside_act(60, |_| false));
        assert_eq!(open.close(100, 1).number(), 1);
    }

    #[test]
    fn a_return_ends_what_was_inside() {
        let mut open = OpenCalls::default();
        for (sp, site) in [(100, 1), (80, 2 | SKIPPED), (60, 3)] {
            assert!(open.open(call(sp, site, 0)));
        }
        assert_eq!(open.close(70, 2), OpenCall::default());
        assert_eq!(open.close(80, 2), call(80, 2 | SKIPPED, 0));
        assert_eq!(open.close(60, 3), OpenCall::default());
        assert_eq!(open.close(100, 1), call(100, 1, 0));
    }

    #[test]
    fn the_latest_bytecode_is_known_by_its_place() {
        let mut kept = KeptCalls::default();
        assert!(!kept.may_be_of_bytecode(0));
        kept.here = [7, 8];
        kept.begin_bytecode(100);
        assert!(kept.may_be_of_bytecode(99) && !kept.may_be_of_bytecode(100));
        assert!(kept.is_of_bytecode());
        kept.here = [7, 9];
        assert!(!kept.is_of_bytecode());
        // No place is known, neither then nor now.
        kept.here = [0; 2];
        kept.begin_bytecode(100);
        assert!(!kept.is_of_bytecode());
    }

    #[test]
    fn there_is_an_end_to_the_room() {
        let mut kept = KeptCalls::default();
        for n in 0..MAX_OPEN as u64 {
            assert!(kept.open.has_room());
            *kept.arguments() = [n; COOKIE_REGISTERS];
            assert!(kept.open.open(call(1000 - n, n, 0)));
        }
        assert!(!kept.open.has_room() && !kept.open.open(call(1, 1, 0)));
        assert_eq!(kept.open.close(990, 10).site, 10);
        assert_eq!(
            (*kept.arguments(), kept.closed().sp),
            ([10; COOKIE_REGISTERS], 990)
        );
        kept.open.clear();
        assert!(!kept.open.is_inside_act(1, |_| false));
    }
}
