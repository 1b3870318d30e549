//! Bounds that both halves keep. The kernel half enforces them; the user half refuses
//! settings beyond them.

/// Bytes of one wire record at most, header included. A power of two.
pub const RECORD_MAX: usize = 64 * 1024;
/// `--max-str`: bytes of one string captured at most (a power of two).
pub const MAX_STR: u32 = 32 * 1024;
/// `--max-items`: items of one container captured at most.
pub const MAX_ITEMS: u32 = 4096;
/// `--max-depth`: nesting levels at most.
pub const MAX_DEPTH: u32 = 8;
/// `--stack`: Python frames per event at most.
pub const MAX_FRAMES: u32 = 128;
/// Digits (30 bits each) of an `int` captured at most: 35 digits hold 1,050 bits.
pub const MAX_INT_DIGITS: u32 = 35;
/// Bytes of a C string (`ml_name`) captured at most.
pub const MAX_C_NAME: u32 = 64;
/// Work items of one record: encoder steps before it gives up and marks the record cut.
pub const MAX_STEPS: u32 = 16 * 1024;
/// Thread states looked at to find the current thread's.
pub const MAX_THREADS: u32 = 32 * 1024;
/// Traced processes at once. Their indices are below [`crate::share::GROUPS`].
pub const MAX_TARGETS: u32 = 240;
/// Probe sites at once: what the agent needs for 200 processes.
pub const MAX_SITES: u32 = 64 * 1024;
/// Probe sites at once of a trace of a few processes, and where calls are added up.
pub const USUAL_SITES: u32 = 16 * 1024;

const _: () = assert!(RECORD_MAX.is_power_of_two());
const _: () = assert!(MAX_STR.is_power_of_two());
const _: () = assert!(MAX_FRAMES.is_power_of_two());
const _: () = assert!(USUAL_SITES <= MAX_SITES && MAX_SITES <= 1 << 20);
const _: () = assert!(MAX_STR as usize * 2 <= RECORD_MAX);
