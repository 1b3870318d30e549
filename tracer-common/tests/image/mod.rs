//! Hand-made objects laid out as CPython 3.12 lays them out.

use std::collections::BTreeMap;

use tracer_common::{
    attribution::Attribution,
    encode::{Memory, Slot},
    target::{CaptureLimits, FEATURE_LONG_TAG, KnownObjects, Offsets, Target},
};

use crate::host::ByRead;

/// Memory made of pieces; everything else is unmapped.
#[derive(Default)]
pub struct Image {
    pieces: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

impl Image {
    /// Puts words somewhere; their address.
    pub fn place(&mut self, words: &[u64]) -> u64 {
        self.next += 0x1000;
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.pieces.insert(self.next, bytes);
        self.next
    }

    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let (start, piece) = self.pieces.range(..=address).next_back()?;
        piece.get((address - start) as usize..)?.get(..len)
    }

    pub fn memory(&self) -> impl Memory + '_ {
        ByRead(|address, out: &mut [u8]| {
            let bytes = self.bytes(address, out.len());
            if let Some(bytes) = bytes {
                out.copy_from_slice(bytes);
            }
            bytes.is_some()
        })
    }
}

pub const NONE: u64 = 0x10;
pub const LONG: u64 = 0x20;
pub const LIST: u64 = 0x30;
pub const UNICODE: u64 = 0x40;
pub const DICT: u64 = 0x50;
pub const SET: u64 = 0x60;

pub fn target() -> Target {
    let offsets = Offsets::from_lookup(|key| {
        Some(match key {
            "PyObject.ob_type" => 8,
            "PyVarObject.ob_size" | "PyLongObject.size_or_tag" => 16,
            "PyLongObject.ob_digit" | "PyListObject.ob_item" => 24,
            "PyTupleObject.ob_item" => 24,
            "PyASCIIObject.length" => 16,
            "PyASCIIObject.state" => 32,
            "PyASCIIObject.state.kind" => 2,
            "setentry.key" | "PyDictValues.values" => 0,
            "sizeof.PyASCIIObject" => 40,
            "PyDictObject.ma_used" => 16,
            "PyDictObject.ma_keys" => 32,
            "PyDictObject.ma_values" => 40,
            "PyDictKeysObject.dk_log2_index_bytes" => 9,
            "PyDictKeysObject.dk_kind" => 10,
            "PyDictKeysObject.dk_nentries" => 24,
            "PyDictKeysObject.dk_indices" => 32,
            "PyBytesObject.ob_sval" => 32,
            "PyThreadState.cframe" => 56,
            "_PyCFrame.current_frame" => 0,
            "_PyInterpreterFrame.code" => 0,
            "_PyInterpreterFrame.instr" => 56,
            "_PyInterpreterFrame.owner" => 70,
            "_PyInterpreterFrame.previous" => 8,
            "PyCodeObject.co_code_adaptive" => 192,
            "PyCodeObject.co_filename" => 112,
            "PyCodeObject.co_firstlineno" => 68,
            "PyCodeObject.co_linetable" => 136,
            "PyCodeObject.co_qualname" => 128,
            "PySetObject.used" => 24,
            "PySetObject.mask" => 32,
            "PySetObject.table" => 40,
            _ => return None,
        })
    });
    Target {
        pidns_dev: 0,
        pidns_ino: 0,
        tstate_current: 0,
        interpreters_head: 0,
        known: KnownObjects {
            none: NONE,
            long_type: LONG,
            list_type: LIST,
            unicode_type: UNICODE,
            dict_type: DICT,
            set_type: SET,
            ..KnownObjects::default()
        },
        limits: CaptureLimits {
            max_str: 10,
            max_items: 3,
            max_depth: 2,
            stack: 0,
        },
        features: FEATURE_LONG_TAG,
        unicode_width: 0,
        extended_arg: 0,
        raise_varargs: 0,
        attribution: Attribution::NONE,
        offsets,
        _padding: Default::default(),
    }
}

pub fn new_slot() -> Box<Slot> {
    let mut slot = Box::<Slot>::default();
    slot.reset();
    slot
}
