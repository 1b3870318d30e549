//! Tasks and spans on hand-made objects: found, absent, unreadable.

mod host;
mod image;
mod operands;

use image::{DICT, Image, LONG, NONE, UNICODE, new_slot, target};
use tracer_common::{
    attribution::{Attribution, hamt_hash},
    encode::{SEARCH_STEPS, Slot, begin_entry, begin_search, end_search, search_step},
    target::{ABSENT, Target},
    wire::{FLAG_UNATTRIBUTED, RecordHeader, Tag, value_word},
};

const TASK_TYPE: u64 = 0x70;
const COROUTINE: u64 = 0x80;
const VAR: u64 = 0x90;
const SPAN_KEY: u64 = 0xa0;

/// As 3.12: the loop in the thread's dict, the tasks in another.
fn process(current_tasks: u64) -> Target {
    let mut target = target();
    target.known.coroutine_type = COROUTINE;
    let o = &mut target.offsets;
    (o.tstate_dict, o.tstate_context, o.tstate_active_bit) = (0, 8, 0);
    (o.gen_qualname, o.tp_base) = (32, 16);
    (o.context_vars, o.hamt_root, o.tp_name, o.tp_flags) = (16, 16, 24, 32);
    (o.hamt_bitmap, o.hamt_bitmap_array) = (24, 32);
    (o.hamt_array, o.hamt_collision) = (16, 32);
    target.attribution = Attribution {
        task_type: TASK_TYPE,
        current_tasks,
        task_coro: 24,
        task_name: 32,
        ..Attribution::NONE
    };
    target
}

/// A dict of 3.12 with a general table: hash, key, value.
fn dict(image: &mut Image, pairs: &[(u64, u64)]) -> u64 {
    let mut keys = vec![1, 3 << 8 | 3, 0, pairs.len() as u64, 0];
    for (key, value) in pairs {
        keys.extend([0, *key, *value]);
    }
    let keys = image.place(&keys);
    let used = pairs.iter().filter(|(_, value)| *value != 0).count() as u64;
    image.place(&[1, DICT, used, 0, keys, 0])
}

fn text(image: &mut Image, text: &str) -> u64 {
    let mut words = vec![1, UNICODE, text.len() as u64, 0, 0x64];
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize((text.len() + 8) & !7, 0);
    words.extend(
        bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word)),
    );
    image.place(&words)
}

/// A task with a coroutine and a name.
fn task(image: &mut Image, ty: u64, name: &str) -> u64 {
    let name = text(image, name);
    let qualname = text(image, "load");
    let coroutine = image.place(&[1, COROUTINE, 0, 0, qualname, 0, 0, 0]);
    image.place(&[1, ty, 0, coroutine, name])
}

fn search(slot: &mut Slot, target: &Target, image: &Image, tstate: u64) {
    if begin_search(slot, target, &mut image.memory(), tstate) {
        for _ in 0..SEARCH_STEPS {
            if !search_step(slot, target, &mut image.memory()) {
                break;
            }
        }
        end_search(slot);
    }
}

/// What an entry record says behind its header, up to its arguments; and the record's flags.
fn told(target: &Target, image: &Image, tstate: u64) -> (Vec<u64>, u32) {
    let mut slot = new_slot();
    search(&mut slot, target, image, tstate);
    begin_entry(&mut slot, target, &mut image.memory(), 0, 0, [0; 5], 0);
    host::run(&mut slot, target, &mut image.memory(), |_| ());
    slot.finish(RecordHeader::default());
    let words = &slot.words[RecordHeader::SIZE / 8..slot.len as usize];
    let end = words.iter().position(|word| *word == value_word(Tag::Args, 0, 0));
    (words[..end.expect("arguments")].to_vec(), slot.flags)
}

/// The words of a task with a name of up to eight characters.
fn told_task(task: u64, name: &str) -> Vec<u64> {
    let text = |text: &str| {
        let mut word = [0; 8];
        word[..text.len()].copy_from_slice(text.as_bytes());
        let len = text.len();
        [
            value_word(Tag::Str, 1, len as u32),
            len as u64,
            u64::from_le_bytes(word),
        ]
    };
    let start = [value_word(Tag::Task, 0, 0), task];
    let end = [value_word(Tag::End, 0, 0)];
    [&start[..], &text(name), &text("load"), &end].concat()
}

/// A thread state whose dict has a running loop, behind other keys and a deleted one.
fn thread(image: &mut Image, running: u64) -> u64 {
    let key = text(image, "__asyncio_running_event_loop__");
    let other = text(image, "__asyncio_running_event_loop!!");
    let dict = dict(image, &[(other, 0x1234), (0, 0), (key, running)]);
    image.place(&[dict, 0])
}

#[test]
fn the_task_of_the_threads_own_loop_is_told() {
    let mut image = Image::default();
    let (mine, others) = (
        task(&mut image, TASK_TYPE, "mine"),
        task(&mut image, TASK_TYPE, "others"),
    );
    let tasks = dict(
        &mut image,
        &[(0x1000_0010, others), (0x1000_0020, 0), (0x1000_0030, mine)],
    );
    let target = process(tasks);
    let told_of = |image: &mut Image, running| {
        let tstate = thread(image, running);
        told(&target, image, tstate)
    };
    assert_eq!(told_of(&mut image, 0x1000_0030), (told_task(mine, "mine"), 0));
    assert_eq!(told_of(&mut image, 0x1000_0010), (told_task(others, "others"), 0));
    // A loop between two tasks, none at all, one that no task runs on.
    assert_eq!(told_of(&mut image, 0x1000_0020), (vec![], 0));
    assert_eq!(told_of(&mut image, NONE), (vec![], 0));
    assert_eq!(told_of(&mut image, 0x1000_0040), (vec![], 0));
    // A thread without a dict.
    let bare = image.place(&[0, 0]);
    assert_eq!(told(&target, &image, bare), (vec![], 0));
    let damaged = image.place(&[0xdead_0000, 0]);
    assert_eq!(told(&target, &image, damaged), (vec![], FLAG_UNATTRIBUTED));
}

/// Later versions have the task in the thread's state.
#[test]
fn only_tasks_of_asyncios_own_making_are_read() {
    let mut image = Image::default();
    let mut target = process(0);
    target.offsets.asyncio_running_task = 16;
    let derived = image.place(&[1, 0, TASK_TYPE]);
    let foreign = image.place(&[1, 0, 0]);
    let told_of = |image: &mut Image, task| {
        let tstate = image.place(&[0, 0, task]);
        told(&target, image, tstate)
    };
    let own = task(&mut image, derived, "own");
    assert_eq!(told_of(&mut image, own), (told_task(own, "own"), 0));
    let other = task(&mut image, foreign, "other");
    let null = value_word(Tag::Null, 0, 0);
    let only_id = vec![
        value_word(Tag::Task, 0, 0),
        other,
        null,
        null,
        value_word(Tag::End, 0, 0),
    ];
    assert_eq!(told_of(&mut image, other), (only_id, 0));
    assert_eq!(told_of(&mut image, 0), (vec![], 0));
    assert_eq!(told_of(&mut image, 0xdead_0000), (vec![], FLAG_UNATTRIBUTED));
    // A type that is its own base: a search ends.
    let endless = image.place(&[1, 0, 0x4242]);
    let circle = task(&mut image, endless, "circle");
    assert_eq!(told_of(&mut image, circle), (vec![], FLAG_UNATTRIBUTED));
}

const GREENLET_TYPE: u64 = 0x60;

/// A thread whose vector of thread-local storage has these, behind what every vector begins with.
fn thread_with_storage(image: &mut Image, storage: &[u64]) -> u64 {
    let mut vector = vec![storage.len() as u64, 0, 1, 0];
    vector.extend(storage.iter().flat_map(|block| [*block, 0]));
    let vector = image.place(&vector) + 16;
    let fs = image.place(&[0, vector]);
    image.place(&[0, 0, 0, fs])
}

/// As glibc and greenlet 2 and newer have it.
#[test]
fn the_current_greenlet_is_told_unless_it_is_the_first() {
    let mut image = Image::default();
    let mut target = process(0);
    target.attribution.task_type = 0;
    let ty = image.place(&[1, 0, 0, 0, 0, 0, 0, 0]);
    target.attribution.greenlet_type = ty;
    target.attribution.greenlet_module = 2;
    target.attribution.greenlet_state = 8;
    target.offsets.tstate_thread_id = 24;
    let derived = image.place(&[1, 0, ty, 0, 0, 0, 0, 0]);
    let own = image.place(&[1, ty, 0]);
    let subclass = image.place(&[1, derived, 0]);
    let other = image.place(&[1, COROUTINE, 0]);
    let told_of = |image: &mut Image, current| {
        let state = image.place(&[own, current]);
        let block = image.place(&[1, state]);
        let tstate = thread_with_storage(image, &[0, block]);
        told(&target, image, tstate)
    };
    for greenlet in [subclass, image.place(&[1, ty, 0])] {
        let (words, flags) = told_of(&mut image, greenlet);
        assert_eq!(words[..2], [value_word(Tag::Greenlet, 0, 0), 0]);
        assert_eq!(words[2] as u8, Tag::Object as u8);
        assert_eq!(words[5..], [greenlet, value_word(Tag::End, 0, 0)]);
        assert_eq!(flags, 0);
    }
    assert_eq!(told_of(&mut image, own), (vec![], 0));
    assert_eq!(told_of(&mut image, 0), (vec![], 0));
    // What is no greenlet, and what cannot be read.
    assert_eq!(told_of(&mut image, other), (vec![], FLAG_UNATTRIBUTED));
    assert_eq!(told_of(&mut image, 0xdead_0000), (vec![], FLAG_UNATTRIBUTED));
    // Threads that have never been in greenlet: a short vector, storage that was not given out, a state that was not made.
    let unmade = image.place(&[0, 1]);
    for storage in [&[0][..], &[0, 0], &[0, u64::MAX], &[0, unmade]] {
        let tstate = thread_with_storage(&mut image, storage);
        assert_eq!(told(&target, &image, tstate), (vec![], 0), "{storage:?}");
    }
}

#[test]
fn greenlet_and_task_are_told_of_one_call() {
    let mut image = Image::default();
    let mut target = process(0);
    target.offsets.asyncio_running_task = 16;
    target.offsets.tstate_thread_id = 24;
    target.attribution.greenlet_type = GREENLET_TYPE;
    target.attribution.greenlet_module = 1;
    let task = task(&mut image, TASK_TYPE, "mine");
    let greenlet = image.place(&[1, GREENLET_TYPE, 0]);
    let state = image.place(&[0, greenlet]);
    let block = image.place(&[state]);
    let vector = image.place(&[1, 0, 1, 0, block, 0]) + 16;
    let fs = image.place(&[0, vector]);
    let tstate = image.place(&[0, 0, task, fs]);
    let (words, flags) = told(&target, &image, tstate);
    assert_eq!(flags, 0);
    let of_task = told_task(task, "mine");
    let tags = |tag| words.contains(&value_word(tag, 0, 0));
    assert!(tags(Tag::Greenlet) && tags(Tag::Task));
    assert!(words.windows(of_task.len()).any(|part| part == of_task));
    // A thread whose storage cannot be read has its task all the same.
    let tstate = image.place(&[0, 0, task, 0xdead_0000]);
    assert_eq!(told(&target, &image, tstate), (of_task, FLAG_UNATTRIBUTED));
}

/// A node type of the tree of a context's variables.
fn node_type(image: &mut Image, name: &[u8; 8]) -> u64 {
    let name = image.place(&[u64::from_le_bytes(*name)]);
    image.place(&[0, 0, 0, name, 0])
}

#[test]
fn the_span_is_found_through_every_kind_of_node() {
    let mut image = Image::default();
    let mut target = process(0);
    target.attribution.task_type = 0;
    target.attribution.context_var = VAR;
    target.attribution.context_var_hash = hamt_hash(0b00010_00001_00011);
    target.attribution.span_key = SPAN_KEY;
    target.attribution.span_context_name = 0xb0;
    target.offsets.tp_dictoffset = 40;
    let number = |image: &mut Image, n: u64| image.place(&[1, LONG, 1 << 3, n]);
    let (trace_id, span_id) = (number(&mut image, 5), number(&mut image, 6));
    // Flags of `dict` and `tuple`; instances of the class have their dict at 16.
    let dict_type = image.place(&[0, 0, 0, 0, 1 << 29]);
    let tuple_type = image.place(&[0, 0, 0, 0, 1 << 26]);
    let class = image.place(&[0, 0, 0, 0, 0, 16]);
    let context = image.place(&[1, tuple_type, 6, trace_id, span_id]);
    let attributes = dict(&mut image, &[(0xb1, 1), (0xb0, context)]);
    let span = image.place(&[1, class, attributes]);
    let keys = image.place(&[1, 3 << 8 | 3, 0, 1, 0, 0, SPAN_KEY, span]);
    let spans = image.place(&[1, dict_type, 1, 0, keys, 0]);
    let bitmap = node_type(&mut image, b"hamt_bit");
    let array = node_type(&mut image, b"hamt_arr");
    let collision = node_type(&mut image, b"hamt_col");
    let last = image.place(&[1, collision, 4, 0, 0x91, 1, VAR, spans]);
    // The third part of the hash is 2, one bit is before it.
    let third = image.place(&[1, bitmap, 0, 0b110, 0x92, 1, 0, last]);
    let mut children = vec![1, array];
    children.extend([0; 32]);
    children[2 + 1] = third;
    let second = image.place(&children);
    let first = image.place(&[1, bitmap, 0, 1 << 3, 0, second]);
    let tstate = |image: &mut Image, root| {
        let vars = image.place(&[1, 0, root]);
        let context = image.place(&[1, 0, vars]);
        image.place(&[0, context])
    };
    let int = |n| [value_word(Tag::Int64, 0, 0), n];
    let found = [
        &[value_word(Tag::Span, 0, 0), 0][..],
        &int(5),
        &int(6),
        &[value_word(Tag::End, 0, 0)],
    ]
    .concat();
    let with = tstate(&mut image, first);
    assert_eq!(told(&target, &image, with), (found.clone(), 0));
    let at_once = image.place(&[1, bitmap, 0, 1 << 3, VAR, spans]);
    let with = tstate(&mut image, at_once);
    assert_eq!(told(&target, &image, with), (found, 0));
    // Another variable there, none there, no node, no context.
    let other = image.place(&[1, bitmap, 0, 1 << 3, 0x93, spans]);
    let with = tstate(&mut image, other);
    assert_eq!(told(&target, &image, with), (vec![], 0));
    let empty = image.place(&[1, bitmap, 0, 1 << 4, VAR, spans]);
    let with = tstate(&mut image, empty);
    assert_eq!(told(&target, &image, with), (vec![], 0));
    let with = tstate(&mut image, span);
    assert_eq!(told(&target, &image, with).1, FLAG_UNATTRIBUTED);
    let with = image.place(&[0, 0]);
    assert_eq!(told(&target, &image, with), (vec![], 0));
    // Nodes in a circle.
    let circle = image.place(&[1, array]);
    let with = tstate(&mut image, circle);
    assert_eq!(told(&target, &image, with).1, FLAG_UNATTRIBUTED);
    assert_eq!(target.attribution.task_name, 32);
    assert_eq!(Attribution::NONE.task_name, ABSENT);
}
