//! The walk from `sys.modules` to C functions, and the reading of names.

use std::time::{Duration, Instant};

use super::image::{Image, places};
use super::input::Input;
use crate::{
    catalogue::discover,
    cpython::{self, Interpreter},
    process::Snapshot,
};

/// The input: whether memory is read by way of a [`Snapshot`], then see [`Image::parse`].
pub fn walk(data: &[u8]) {
    let mut input = Input::new(data);
    let by_snapshot = input.u8() & 1 == 1;
    let Some(image) = Image::parse(&mut input) else {
        return;
    };
    let interpreter = image.interpreter();
    let _ = discovered(&image, &interpreter, by_snapshot);
    let objects = interpreter.objects(&image);
    let deadline = Instant::now() + Duration::from_millis(200);
    cpython::fuzz::checks(&objects, &interpreter);
    for at in places() {
        cpython::fuzz::object(&objects, &interpreter, at, deadline);
        cpython::fuzz::functions(&image, at);
    }
    let _ = interpreter.interpreters(&image, 64);
}

/// What the walk finds, and why it ended before its time.
pub(super) fn discovered(
    image: &Image,
    interpreter: &Interpreter,
    by_snapshot: bool,
) -> (Vec<String>, Option<&'static str>) {
    match by_snapshot {
        true => discover::fuzz::walk(&Snapshot::new(image), interpreter),
        false => discover::fuzz::walk(image, interpreter),
    }
}
