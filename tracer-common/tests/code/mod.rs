//! Records that name code objects, on hand-made ones.

use crate::image::{Image, UNICODE, new_slot, target};
use tracer_common::{
    encode::{CODE_STRINGS, begin_code, code_key, code_string},
    target::Target,
    wire::Tag,
};

const BYTES: u64 = 0x70;

/// The tags, sizes and texts of what a record says of a code object; `None` from where on it could not be read.
fn strings(image: &Image, target: &Target, code: u64) -> Vec<Option<(u8, u64, Vec<u8>)>> {
    let mut slot = new_slot();
    begin_code(&mut slot, [code, 2, 3]);
    assert_eq!((slot.whole, slot.frames, slot.frame(0)), (1, 1, [code, 2, 3]));
    (0..CODE_STRINGS)
        .map(|part| {
            let at = slot.len as usize;
            code_string(&mut slot, target, &mut image.memory(), code, part)?;
            let bytes = (slot.words[at] >> 32) as usize;
            let data = slot.words[at + 2..].iter().flat_map(|word| word.to_le_bytes());
            Some((
                slot.words[at] as u8,
                slot.words[at + 1],
                data.take(bytes).collect(),
            ))
        })
        .collect()
}

fn word(text: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..text.len()].copy_from_slice(text);
    u64::from_le_bytes(bytes)
}

/// A compact ASCII `str`, of a few characters.
fn name(image: &mut Image, text: &[u8]) -> u64 {
    // `kind` 1, compact, ascii.
    let state = 1 << 2 | 1 << 5 | 1 << 6;
    image.place(&[1, UNICODE, text.len() as u64, 0, state, word(text)])
}

#[test]
fn a_code_object_is_named_by_its_file_its_function_and_its_lines() {
    let mut image = Image::default();
    let mut target = target();
    target.known.bytes_type = BYTES;
    let (file, function) = (name(&mut image, b"app.py"), name(&mut image, b"save"));
    let lines = image.place(&[1, BYTES, 3, 0, word(b"\x80\x01\x02")]);
    let mut code = |file, function, lines| {
        let mut words = [0; 24];
        (words[14], words[16], words[17]) = (file, function, lines);
        image.place(&words)
    };
    let whole = code(file, function, lines);
    let (lost, odd) = (code(file, 0xdead_0000, lines), code(lines, function, file));
    let file = Some((Tag::Str as u8, 6, b"app.py".to_vec()));
    let function = Some((Tag::Str as u8, 4, b"save".to_vec()));
    let lines = Some((Tag::Bytes as u8, 3, b"\x80\x01\x02".to_vec()));
    let said = |code| strings(&image, &target, code);
    assert_eq!(said(whole), [file.clone(), function.clone(), lines.clone()]);
    assert_eq!(said(lost), [file, None, lines]);
    // Something else than CPython's compiler puts there.
    assert_eq!(said(odd), [None, function, None]);
    assert_eq!(said(0xbad_0000), [None, None, None]);
}

#[test]
fn codes_are_known_by_process_address_and_fingerprint() {
    let key = code_key(1, [10, 20, 30]);
    assert_eq!(key, code_key(1, [10, 20, 31]), "wherever in it");
    for other in [
        code_key(2, [10, 20, 30]),
        code_key(1, [11, 20, 30]),
        code_key(1, [10, 21, 30]),
    ] {
        assert_ne!(other, key);
    }
}
