//! `docs/effects.md` is the catalogue as it is.

use std::{fs, path::Path};

use tracer_user::catalogue::reference;

#[test]
fn the_reference_page_is_current() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/effects.md");
    let written = fs::read_to_string(&page).unwrap_or_default();
    let mut current = String::new();
    reference::markdown(&mut current).expect("writes to a string");
    assert!(
        written == current,
        "{} is not current: cargo xtask effects writes it",
        page.display()
    );
}
