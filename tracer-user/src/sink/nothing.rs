//! No output: where calls are only counted, since what is written is a recording.

use super::{Began, ProcessChange, Sink, Summary};
use crate::event::call::{CallEvent, TypeNames};

/// Writes nothing.
#[derive(Debug, Default)]
pub struct Nothing;

impl Sink for Nothing {
    fn header(&mut self, _: &Began<'_>, _: &mut Vec<u8>) {}
    fn call(&mut self, _: &CallEvent<'_>, _: &mut TypeNames<'_>, _: &mut Vec<u8>) {}
    fn process(&mut self, _: u32, _: &ProcessChange, _: u64, _: &mut Vec<u8>) {}
    fn loss(&mut self, _: u64, _: u64, _: &mut Vec<u8>) {}
    fn summary(&mut self, _: &Summary, _: &mut Vec<u8>) {}
}
