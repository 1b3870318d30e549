//! How many bytes a value has, on hand-made objects.

use crate::image::{Image, LONG, NONE, UNICODE, target};
use tracer_common::encode::{UNKNOWN_SIZE, bytes_in};

const BYTES: u64 = 0x70;
const BYTEARRAY: u64 = 0x80;
const TUPLE: u64 = 0x90;

#[test]
fn values_say_how_many_bytes_they_have_or_count() {
    let mut image = Image::default();
    // `lv_tag`: digits << 3, sign in the lowest bits (0: positive, 2: negative).
    let mut int = |tag: u64, digits: u64| image.place(&[1, LONG, tag, digits]);
    let (small, large, zero) = (int(1 << 3, 120), int(2 << 3, 5 | 3 << 32), int(1, 0));
    let (negative, huge) = (int(1 << 3 | 2, 1), int(3 << 3, 1));
    let data = image.place(&[1, BYTES, 4096, 0]);
    let array = image.place(&[1, BYTEARRAY, 17, 0]);
    let text = image.place(&[1, UNICODE, 33, 0, 0]);
    let received = image.place(&[1, TUPLE, 2, data, NONE]);
    let other = image.place(&[1, 0xabc0, 3, 0]);
    let mut target = target();
    target.known.bytes_type = BYTES;
    target.known.bytearray_type = BYTEARRAY;
    target.known.tuple_type = TUPLE;
    let size = |object| bytes_in(&target, &mut image.memory(), object);
    assert_eq!([small, large, zero].map(size), [120, 5 | 3 << 30, 0]);
    assert_eq!(
        [data, array, text, received, NONE].map(size),
        [4096, 17, 33, 4096, 0]
    );
    assert_eq!(
        [negative, huge, other, 0xdead_0000, 0].map(size),
        [UNKNOWN_SIZE; 5]
    );
}
