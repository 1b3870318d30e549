//! The HTML document around a page's data.
//!
//! Nothing of a traced program can become markup or script: the data is JSON in an element that no browser runs, every `<` in
//! it is an escape, the script puts texts in as texts, and the policy allows this one script and this one style sheet, by their
//! hashes, and nothing from anywhere else.

use std::{
    io::{self, Write},
    sync::LazyLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

const TEMPLATE: &str = include_str!("web/page.html");
const STYLE: &str = concat!(
    include_str!("web/page.css"),
    include_str!("web/parts.css"),
    include_str!("web/print.css")
);
/// In this order: each may use what is before it.
const SCRIPT: &str = concat!(
    "(() => {\n'use strict';\n",
    include_str!("web/data.js"),
    include_str!("web/format.js"),
    include_str!("web/dom.js"),
    include_str!("web/filter.js"),
    include_str!("web/list.js"),
    include_str!("web/timeline.js"),
    include_str!("web/sites.js"),
    include_str!("web/calls.js"),
    include_str!("web/touched.js"),
    include_str!("web/flame.js"),
    include_str!("web/loss.js"),
    include_str!("web/detail.js"),
    include_str!("web/main.js"),
    "})();\n"
);

/// What the page may do: nothing but what it has in it.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// Appends the document.
pub fn write(data: &impl Serialize, out: &mut Vec<u8>) {
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        out.extend_from_slice(before.as_bytes());
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        match name {
            "policy" => out.extend_from_slice(POLICY.as_bytes()),
            "style" => out.extend_from_slice(STYLE.as_bytes()),
            "script" => out.extend_from_slice(SCRIPT.as_bytes()),
            "data" => write_inert(data, out),
            _ => {}
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
}

/// `sha256-…` of what an element has in it, for `Content-Security-Policy`.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn write_inert(data: &impl Serialize, out: &mut Vec<u8>) {
    // Memory takes everything, and the data is maps with texts as keys.
    let written = serde_json::to_writer(Inert(out), data);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// Takes JSON in, and appends it without `<`, which is there in texts only: so no tag and no comment begins in it.
struct Inert<'a>(&'a mut Vec<u8>);

impl Write for Inert<'_> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        for (i, piece) in json.split(|byte| *byte == b'<').enumerate() {
            if i != 0 {
                self.0.extend_from_slice(b"\\u003c");
            }
            self.0.extend_from_slice(piece);
        }
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
