use tracer_common::wire::{FrameRecord, KIND_RETURN, RecordHeader, Tag, value_word};

use super::*;
use crate::{bytecode::Operands, event::plain_site};

fn site(effect: &'static str) -> SiteMeta {
    plain_site("module.function", effect)
}

const PRINT: u32 = 0;
const WRITE: u32 = 1;
const OTHER: u32 = 2;
const NAMED: u32 = 3;
const NO_RETURN: u32 = 4;
const STORE: u32 = 5;
const BEGIN: u32 = 6;
const END: u32 = 7;

fn sites() -> [SiteMeta; 8] {
    [
        site("console.print"),
        site("file.write"),
        site("other.call"),
        SiteMeta {
            named: true,
            ..site("other.call")
        },
        SiteMeta {
            no_return: Some("return probe refused"),
            ..site("file.write")
        },
        SiteMeta {
            no_return: Some("a bytecode"),
            operands: Some(Operands::Item),
            run: None,
            ..site("memory.store_item")
        },
        SiteMeta {
            named: true,
            run: Some(Role::Resume),
            ..site("python.call")
        },
        SiteMeta {
            named: true,
            run: Some(Role::Return),
            ..site("python.call")
        },
    ]
}

/// A pairing, and what came out of it: id, parent, and how it ended (of a return: its tid).
struct Trace {
    pairing: Pairing,
    calls: Vec<(u64, Option<u64>, String)>,
}

impl Trace {
    fn new(nested: bool) -> Self {
        Self {
            pairing: Pairing::new(nested),
            calls: Vec::new(),
        }
    }

    fn feed(&mut self, kind: u8, site: u32, target: u16, tid: u32, sp: u64) {
        self.feed_words([
            u64::from(kind) | u64::from(target) << 16 | (RecordHeader::SIZE as u64) << 32,
            u64::from(site) | u64::from(tid) << 32,
            0,
            sp,
            0,
        ]);
    }

    /// An entry by an instruction of a frame.
    fn enter_from(&mut self, site: u32, sp: u64, instruction: u64) {
        let len = RecordHeader::SIZE + FrameRecord::SIZE;
        self.feed_words([
            u64::from(KIND_ENTRY) | (len as u64) << 32,
            u64::from(site) | 1 << 32,
            0,
            sp,
            1 << 32,
            0x1000,
            0x2000,
            instruction,
        ]);
    }

    /// A run of a Python function begins.
    fn begin(&mut self, sp: u64, frame: u64, previous: u64, flags: u8) {
        let words = [
            value_word(Tag::Activation, flags, 4),
            frame,
            previous,
            0x5000,
            0x6000,
        ];
        self.feed_run(KIND_ENTRY, BEGIN, sp, &words);
    }

    /// It ends.
    fn end(&mut self, sp: u64, frame: u64, flags: u8) {
        let words = [
            value_word(Tag::Activation, flags, 1),
            frame,
            value_word(Tag::Result, 0, 0),
            value_word(Tag::None, 0, 0),
        ];
        self.feed_run(KIND_RETURN, END, sp, &words);
    }

    fn feed_run(&mut self, kind: u8, site: u32, sp: u64, values: &[u64]) {
        let len = RecordHeader::SIZE + 8 * values.len();
        let mut words = vec![
            u64::from(kind) | (len as u64) << 32,
            u64::from(site) | 1 << 32,
            0,
            sp,
            0,
        ];
        words.extend(values);
        self.feed_all(&words);
    }

    fn feed_words<const N: usize>(&mut self, words: [u64; N]) {
        self.feed_all(&words);
    }

    fn feed_all(&mut self, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let record = Record::parse(bytes.into()).expect("a record");
        self.pairing
            .feed(record, &sites(), &mut |call| note(&mut self.calls, call));
    }

    fn enter(&mut self, site: u32, sp: u64) {
        self.feed(KIND_ENTRY, site, 0, 1, sp);
    }

    fn leave(&mut self, site: u32, sp: u64) {
        self.feed(KIND_RETURN, site, 0, 1, sp + 8);
    }

    fn finish(&mut self, target: Option<u16>) {
        self.pairing
            .finish(target, "ended", &mut |call| note(&mut self.calls, call));
    }

    /// What has come out since the last time.
    fn calls(&mut self) -> Vec<(u64, Option<u64>, String)> {
        std::mem::take(&mut self.calls)
    }
}

fn note(calls: &mut Vec<(u64, Option<u64>, String)>, call: Call) {
    let end = match call.end {
        End::Seen(leave) => {
            // The end of a run has a site of its own.
            let begins = call.entry.header.site;
            let expected = if begins == BEGIN { END } else { begins };
            assert_eq!(leave.header.site, expected);
            "seen".to_owned()
        }
        End::Unobserved(why) => why.to_owned(),
    };
    let end = match call.first {
        Some(first) => format!("{end}, begun by {first}"),
        None => end,
    };
    calls.push((call.id, call.parent, end));
}

fn ended(id: u64, parent: Option<u64>, end: &str) -> (u64, Option<u64>, String) {
    (id, parent, end.to_owned())
}

#[test]
fn a_call_comes_out_when_it_returns_inner_ones_first() {
    let mut trace = Trace::new(false);
    trace.enter(OTHER, 1000);
    trace.enter(OTHER, 900);
    assert_eq!(trace.calls(), []);
    trace.leave(OTHER, 900);
    assert_eq!(trace.calls(), [ended(2, Some(1), "seen")]);
    trace.enter(OTHER, 900);
    trace.leave(OTHER, 900);
    trace.leave(OTHER, 1000);
    assert_eq!(trace.calls(), [ended(3, Some(1), "seen"), ended(1, None, "seen")]);
    assert_eq!(trace.pairing.counts(), Counts::default());
}

#[test]
fn what_happens_inside_an_act_is_shown_only_when_asked_for() {
    let inside = |nested, inner| {
        let mut trace = Trace::new(nested);
        trace.enter(PRINT, 1000);
        trace.enter(inner, 900);
        trace.leave(inner, 900);
        trace.leave(PRINT, 1000);
        (trace.calls(), trace.pairing.counts().inner)
    };
    let outer = ended(1, None, "seen");
    let inner = ended(2, Some(1), "seen");
    assert_eq!(inside(false, WRITE), (vec![outer.clone()], 1));
    assert_eq!(inside(true, WRITE), (vec![inner.clone(), outer.clone()], 0));
    assert_eq!(inside(false, NAMED), (vec![inner, outer], 0));
}

#[test]
fn an_entry_that_comes_with_its_return_is_a_call_like_others() {
    let mut trace = Trace::new(false);
    trace.enter(OTHER, 1000);
    // Inside of one at 900 that was not chosen, and raises.
    trace.enter(WRITE, 800);
    trace.leave(WRITE, 800);
    trace.enter(NAMED, 900);
    trace.leave(NAMED, 900);
    trace.leave(OTHER, 1000);
    let expected = [
        ended(2, Some(1), "seen"),
        ended(3, Some(1), "seen"),
        ended(1, None, "seen"),
    ];
    assert_eq!(trace.calls(), expected);
    assert_eq!(trace.pairing.counts(), Counts::default());
}

#[test]
fn a_call_in_something_hidden_belongs_to_what_is_shown() {
    let mut trace = Trace::new(false);
    trace.enter(PRINT, 1000);
    trace.enter(WRITE, 900);
    trace.enter(NAMED, 800);
    trace.leave(NAMED, 800);
    assert_eq!(trace.calls(), [ended(3, Some(1), "seen")]);
}

#[test]
fn calls_whose_return_is_missing_end_when_the_stack_tells() {
    let mut trace = Trace::new(false);
    trace.enter(OTHER, 1000);
    trace.enter(OTHER, 900);
    // The stack has been unwound to here, and beyond the second call.
    trace.enter(OTHER, 950);
    assert_eq!(trace.calls(), [ended(2, Some(1), NOT_RECORDED)]);
    trace.leave(OTHER, 1000);
    assert_eq!(
        trace.calls(),
        [ended(3, Some(1), NOT_RECORDED), ended(1, None, "seen")]
    );
}

#[test]
fn a_call_that_ends_with_a_jump_returns_with_what_it_jumped_to() {
    let mut trace = Trace::new(false);
    trace.enter(OTHER, 1000);
    trace.enter(NAMED, 900);
    trace.enter(WRITE, 900);
    trace.enter(NAMED, 800);
    trace.leave(NAMED, 800);
    assert_eq!(trace.calls(), [ended(4, Some(3), "seen")]);
    trace.leave(WRITE, 900);
    trace.leave(NAMED, 900);
    let both = [ended(3, Some(1), "seen"), ended(2, Some(1), "seen")];
    assert_eq!(trace.calls(), both);
    trace.leave(OTHER, 1000);
    assert_eq!(trace.calls(), [ended(1, None, "seen")]);
}

#[test]
fn a_missing_return_is_no_jump_once_the_next_call_has_returned() {
    let mut trace = Trace::new(false);
    trace.enter(WRITE, 900);
    trace.enter(PRINT, 900);
    trace.leave(PRINT, 900);
    assert_eq!(trace.calls(), [ended(2, None, "seen")]);
    trace.enter(OTHER, 800);
    assert_eq!(trace.calls(), [ended(1, None, NOT_RECORDED)]);
    trace.leave(OTHER, 800);
    assert_eq!(trace.calls(), [ended(3, None, "seen")]);
}

#[test]
fn returns_without_an_entry_are_counted() {
    let mut trace = Trace::new(false);
    trace.leave(OTHER, 1000);
    trace.enter(OTHER, 1000);
    trace.leave(OTHER, 992);
    trace.leave(WRITE, 1000);
    // On another thread, and in another process.
    trace.feed(KIND_RETURN, OTHER, 0, 2, 1008);
    trace.feed(KIND_RETURN, OTHER, 1, 1, 1008);
    assert_eq!(trace.calls(), []);
    assert_eq!(trace.pairing.counts(), Counts { inner: 0, orphans: 5 });
    trace.leave(OTHER, 1000);
    assert_eq!(trace.calls(), [ended(1, None, "seen")]);
}

#[test]
fn a_site_without_a_return_probe_gives_its_calls_at_once() {
    let mut trace = Trace::new(false);
    trace.enter(NO_RETURN, 1000);
    assert_eq!(trace.calls(), [ended(1, None, "return probe refused")]);
    trace.enter(OTHER, 900);
    trace.leave(OTHER, 900);
    assert_eq!(trace.calls(), [ended(2, None, "seen")]);
}

#[test]
fn a_site_that_nobody_knows_is_passed_over() {
    let mut trace = Trace::new(false);
    trace.enter(99, 1000);
    trace.finish(None);
    assert_eq!(trace.calls(), []);
}

#[test]
fn beyond_the_most_calls_at_once_the_oldest_is_given_up() {
    let mut trace = Trace::new(false);
    for n in 0..=MAX_PENDING as u64 {
        trace.enter(OTHER, 1_000_000 - 8 * n);
    }
    assert_eq!(trace.calls(), [ended(1, None, NOT_RECORDED)]);
}

#[test]
fn the_end_of_a_process_ends_its_calls_in_the_order_of_entry() {
    let mut trace = Trace::new(false);
    trace.feed(KIND_ENTRY, OTHER, 0, 1, 1000);
    trace.feed(KIND_ENTRY, OTHER, 1, 1, 1000);
    trace.feed(KIND_ENTRY, OTHER, 0, 2, 1000);
    trace.feed(KIND_ENTRY, WRITE, 0, 1, 900);
    trace.finish(Some(0));
    assert_eq!(
        trace.calls(),
        [
            ended(1, None, "ended"),
            ended(3, None, "ended"),
            ended(4, Some(1), "ended")
        ]
    );
    trace.finish(None);
    assert_eq!(trace.calls(), [ended(2, None, "ended")]);
}

#[test]
fn what_a_bytecode_does_by_way_of_a_call_is_its_own_act() {
    let mut trace = Trace::new(false);
    trace.enter_from(STORE, 900, 8);
    trace.enter_from(WRITE, 800, 8);
    trace.leave(WRITE, 800);
    assert_eq!(trace.calls(), [(1, None, "a bytecode".to_owned())]);
    // Another instruction of the same frame, and one that is not below it.
    trace.enter_from(WRITE, 800, 10);
    trace.leave(WRITE, 800);
    trace.enter_from(STORE, 900, 12);
    trace.enter_from(WRITE, 950, 12);
    trace.leave(WRITE, 950);
    let ids: Vec<_> = trace
        .calls()
        .into_iter()
        .map(|(id, parent, _)| (id, parent))
        .collect();
    assert_eq!(ids, [(3, None), (4, None), (5, None)]);
    // The same instruction again, in a handler that is a function with a larger frame.
    trace.enter_from(STORE, 890, 12);
    assert_eq!(trace.calls(), [(6, None, "a bytecode".to_owned())]);
    assert_eq!(trace.pairing.counts().inner, 1);
}

#[test]
fn with_nested_a_call_has_the_bytecode_that_does_it_for_a_parent() {
    let mut trace = Trace::new(true);
    trace.enter_from(OTHER, 1000, 2);
    trace.enter_from(STORE, 900, 8);
    trace.enter_from(WRITE, 800, 8);
    trace.enter_from(PRINT, 700, 8);
    trace.leave(PRINT, 700);
    trace.leave(WRITE, 800);
    trace.leave(OTHER, 1000);
    let parents: Vec<_> = trace
        .calls()
        .into_iter()
        .map(|(id, parent, _)| (id, parent))
        .collect();
    assert_eq!(parents, [(2, Some(1)), (4, Some(3)), (3, Some(2)), (1, None)]);
    trace.finish(None);
}

#[test]
fn python_functions_and_c_functions_are_one_tree() {
    let mut trace = Trace::new(false);
    trace.begin(1000, 0x10, 0, 0);
    // One frame after the other in one call of the eval function; handlers differ in what they put on the stack.
    trace.begin(984, 0x20, 0x10, 0);
    trace.enter(OTHER, 990);
    trace.begin(500, 0x30, 0x20, 0);
    trace.end(500, 0x30, 0);
    trace.leave(OTHER, 990);
    trace.end(1000, 0x20, 0);
    trace.begin(1000, 0x20, 0x10, 0);
    trace.end(1000, 0x20, 0);
    trace.end(1000, 0x10, 0);
    assert_eq!(
        trace.calls(),
        [
            ended(4, Some(3), "seen"),
            ended(3, Some(2), "seen"),
            ended(2, Some(1), "seen"),
            ended(5, Some(1), "seen"),
            ended(1, None, "seen"),
        ]
    );
    assert_eq!(trace.pairing.counts(), Counts::default());
}

#[test]
fn a_generator_knows_the_run_that_began_it_until_it_is_over() {
    let mut trace = Trace::new(false);
    trace.begin(1000, 0x10, 0, 0);
    trace.end(1000, 0x10, RUN_YIELDED);
    trace.begin(800, 0x10, 0, RUN_RESUMED);
    trace.end(800, 0x10, RUN_YIELDED);
    trace.begin(1000, 0x10, 0, RUN_RESUMED);
    trace.end(1000, 0x10, 0);
    // Another one at its address, of which the beginning was not seen.
    trace.begin(1000, 0x10, 0, RUN_RESUMED);
    trace.end(1000, 0x10, RUN_YIELDED);
    trace.begin(1000, 0x10, 0, RUN_RESUMED);
    trace.end(1000, 0x10, 0);
    assert_eq!(
        trace.calls(),
        [
            ended(1, None, "seen"),
            ended(2, None, "seen, begun by 1"),
            ended(3, None, "seen, begun by 1"),
            ended(4, None, "seen"),
            ended(5, None, "seen"),
        ]
    );
}

#[test]
fn runs_whose_end_is_missing_end_when_something_tells() {
    let mut trace = Trace::new(false);
    trace.begin(1000, 0x10, 0, 0);
    trace.begin(1000, 0x20, 0x10, 0);
    // No frame begins while it runs.
    trace.begin(1000, 0x20, 0x10, 0);
    assert_eq!(trace.calls(), [ended(2, Some(1), NOT_RECORDED)]);
    // The frame behind it ends.
    trace.end(1000, 0x10, 0);
    assert_eq!(
        trace.calls(),
        [ended(3, Some(1), NOT_RECORDED), ended(1, None, "seen")]
    );
    // The eval function has been left.
    trace.begin(1000, 0x10, 0, 0);
    trace.enter(OTHER, 9000);
    assert_eq!(trace.calls(), [ended(4, None, NOT_RECORDED)]);
    trace.end(1000, 0x10, 0);
    assert_eq!(trace.pairing.counts().orphans, 1);
}

#[test]
fn where_stacks_are_switched_runs_end_in_any_order() {
    let mut trace = Trace::new(false);
    trace.pairing.switches(0, true);
    trace.begin(1000, 0x10, 0, 0);
    // Another greenlet's: what it was called from is not known to be the first.
    trace.begin(1000, 0x20, 0, 0);
    trace.begin(5000, 0x30, 0x10, 0);
    trace.end(5000, 0x30, 0);
    trace.end(1000, 0x10, 0);
    trace.end(1000, 0x20, 0);
    assert_eq!(
        trace.calls(),
        [
            ended(3, Some(1), "seen"),
            ended(1, None, "seen"),
            ended(2, None, "seen"),
        ]
    );
    trace.pairing.switches(0, false);
    trace.begin(1000, 0x10, 0, 0);
    trace.begin(9000, 0x20, 0, 0);
    assert_eq!(trace.calls(), [ended(4, None, NOT_RECORDED)]);
    trace.finish(None);
    assert_eq!(trace.calls(), [ended(5, None, "ended")]);
}

#[test]
fn what_has_lost_its_probe_hides_nothing() {
    let mut trace = Trace::new(false);
    let of = |target| Lost {
        target,
        sites: vec![PRINT],
        before_ns: 1,
    };
    trace.enter(PRINT, 100);
    trace.enter(WRITE, 80);
    trace.leave(WRITE, 80);
    // Of another process, and of what begins later.
    trace.pairing.loses(of(7));
    trace.pairing.loses(Lost {
        before_ns: 0,
        ..of(0)
    });
    trace.enter(WRITE, 80);
    trace.leave(WRITE, 80);
    assert_eq!(trace.calls, []);
    trace.pairing.loses(of(0));
    trace.enter(WRITE, 80);
    trace.leave(WRITE, 80);
    assert_eq!(trace.calls.len(), 1);
    assert_eq!(trace.calls[0].1, None, "it is inside of nothing");
    let Trace { pairing, calls } = &mut trace;
    pairing.give_up(&of(0), "taken out", &mut |call| {
        calls.push((call.id, call.parent, format!("{:?}", call.end)));
    });
    assert_eq!(trace.calls[1], (1, None, "Unobserved(\"taken out\")".to_owned()));
    // It is another one now.
    trace.enter(PRINT, 100);
    trace.enter(WRITE, 80);
    trace.leave(WRITE, 80);
    assert_eq!(trace.calls.len(), 2);
}
