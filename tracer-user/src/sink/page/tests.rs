use std::sync::Arc;

use serde_json::Value as Json;
use tracer_common::counters::SiteCounters;

use super::*;
use crate::{
    catalogue::effects::{From, TargetPart},
    decode::{
        linetable::LineFormat,
        names::{Code, NoNames},
        value::{Arguments, BytesKind, Value},
    },
    event::{
        SiteMeta,
        call::{Frame, Outcome},
        plain_site,
    },
    sink::{Began, SiteSummary},
};

const WRITE: &str = "posix.write";
const PATH: &[TargetPart] = &[TargetPart {
    key: "path",
    from: From::Argument {
        position: 0,
        name: "path",
    },
}];
const START: u64 = 1_700_000_000_000_000_000;
/// What a name may be made of to be more than text: markup, a comment, orders to a terminal, text that runs backwards.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)><!--\u{1b}]0;owned\u{7}\u{202e}{{script}}";

fn write_site() -> SiteMeta {
    SiteMeta {
        target: PATH,
        ..plain_site(WRITE, "file.write")
    }
}

/// A write of `n` bytes to `path`.
fn call<'a>(id: u64, meta: &'a SiteMeta, path: &'a str, n: i64) -> CallEvent<'a> {
    let bytes = Value::Bytes(BytesKind::Bytes, path.as_bytes(), path.len() as u64);
    CallEvent {
        id,
        parent: None,
        target: 0,
        pid: 7,
        tid: 8,
        time_ns: START + id,
        duration_ns: Some(10),
        meta,
        function: WRITE,
        module_len: meta.module_len,
        effect: meta.effect,
        arguments: Arguments {
            args: vec![bytes],
            args_len: 1,
            ..Arguments::default()
        },
        outcome: Outcome::Returned(Value::Int(n)),
        stack: Vec::new(),
        handle: None,
        weight: 1,
        late: false,
        run: None,
    }
}

fn frame(function: &str, file: &str) -> Frame {
    Frame {
        code: Some(Arc::new(Code {
            function: function.into(),
            file: file.into(),
            first_line: 1,
            linetable: Vec::new(),
            line_format: LineFormat::Signed,
        })),
        line: Some(3),
    }
}

fn push(page: &mut Page, call: &CallEvent<'_>) {
    let mut names = TypeNames {
        names: &mut NoNames,
        target: 0,
    };
    page.call(call, &mut names, &mut Vec::new());
}

fn finish(mut page: Page, summary: &Summary) -> String {
    let mut out = Vec::new();
    page.summary(summary, &mut out);
    String::from_utf8(out).expect("a page is text")
}

/// The data of a page, read as a browser reads it: up to the first end of a script.
fn data(page: &str) -> Json {
    let (_, rest) = page.split_once("id=\"data\">").expect("data");
    let (json, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(json).expect("JSON")
}

#[test]
fn rows_are_in_the_order_in_which_calls_began() {
    let meta = write_site();
    let mut page = Page::default();
    let mut inner = call(5, &meta, "/inner", 3);
    inner.parent = Some(4);
    let mut stray = call(6, &meta, "/inner", 2);
    stray.parent = Some(1);
    for call in [&inner, &stray, &call(4, &meta, "/outer", 8)] {
        push(&mut page, call);
    }
    let data = data(&finish(page, &Summary::default()));
    let columns = &data["columns"];
    assert_eq!(data["start_ns"], (START + 4).to_string());
    assert_eq!(columns["id"], serde_json::json!([4, 5, 6]));
    assert_eq!(columns["time"], serde_json::json!([0, 1, 2]));
    // No parent; the first row; one that is not here.
    assert_eq!(columns["parent"], serde_json::json!([-1, 0, -2]));
    assert_eq!(columns["moved"], serde_json::json!([8, 3, 2]));
    let names: Vec<&str> = ["/outer", "/inner", "/inner"].to_vec();
    for (place, name) in names.into_iter().enumerate() {
        let touched = columns["touched"][place].as_u64().expect("a place") as usize;
        assert_eq!(data["touched"][touched], serde_json::json!(["file", name]));
    }
    assert_eq!(
        data["touched"].as_array().map(Vec::len),
        Some(2),
        "each is there once"
    );
}

#[test]
fn nothing_of_a_traced_program_becomes_markup() {
    let meta = write_site();
    let empty = finish(Page::default(), &Summary::default());
    let mut page = Page::new(About {
        recording: HOSTILE.into(),
        recorded_by: HOSTILE.into(),
        recorded_with: vec![HOSTILE.into()],
        shown_with: vec![HOSTILE.into()],
        ..About::default()
    });
    page.header(
        &Began {
            targets: &[TargetInfo {
                pid: 7,
                python: HOSTILE.into(),
                executable: HOSTILE.into(),
                functions: 1,
                unseen: Some(HOSTILE.into()),
                budget: None,
            }],
            sample: None,
        },
        &mut Vec::new(),
    );
    let mut hostile = call(1, &meta, HOSTILE, 1);
    hostile.function = HOSTILE;
    hostile.module_len = 0;
    hostile.stack = vec![frame(HOSTILE, HOSTILE)];
    push(&mut page, &hostile);
    hostile.outcome = Outcome::Unobserved(HOSTILE);
    hostile.id = 2;
    push(&mut page, &hostile);
    let exec = ProcessChange::Exec {
        executable: HOSTILE.into(),
        parent: None,
    };
    page.process(7, &exec, START, &mut Vec::new());
    let summary = Summary {
        sites: vec![SiteSummary {
            function: HOSTILE.into(),
            counters: SiteCounters::default(),
        }],
        ..Summary::default()
    };
    let page = finish(page, &summary);
    let marks = |page: &str| page.matches('<').count();
    assert_eq!(marks(&page), marks(&empty), "all of it is escaped");
    let is_order = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert_eq!(page.find(is_order), None);
    let data = data(&page);
    let shown = HOSTILE
        .replace('\u{1b}', "\\u{1b}")
        .replace('\u{7}', "\\u{7}")
        .replace('\u{202e}', "\\u{202e}");
    assert_eq!(data["lines"][0][0], shown);
    assert_eq!(data["touched"][0][1], shown);
}

#[test]
fn what_is_too_long_is_cut_and_counted() {
    let meta = write_site();
    let long = "é".repeat(40_000);
    let mut page = Page::default();
    push(&mut page, &call(1, &meta, &long, 1));
    let data = data(&finish(page, &Summary::default()));
    assert_eq!(data["cut_texts"], 2, "the arguments, and the path");
    let path = data["touched"][0][1].as_str().expect("a path");
    assert!(path.ends_with('…') && path.len() < 5000, "{}", path.len());
}

#[test]
fn calls_that_are_too_many_are_counted() {
    let meta = write_site();
    let mut page = Page::default();
    for id in 0..rows::MAX_ROWS as u64 + 3 {
        push(&mut page, &call(id, &meta, "/x", 1));
    }
    let data = data(&finish(page, &Summary::default()));
    assert_eq!(data["left_out"], 3);
    assert_eq!(
        data["columns"]["id"].as_array().map(Vec::len),
        Some(rows::MAX_ROWS)
    );
}

#[test]
fn the_policy_allows_this_script_and_this_style_only() {
    let page = finish(Page::default(), &Summary::default());
    let (_, rest) = page
        .split_once("Content-Security-Policy\" content=\"")
        .expect("a policy");
    let (policy, _) = rest.split_once('"').expect("its end");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    for from_elsewhere in [
        "http:",
        "https:",
        "src=",
        "href=",
        "url(",
        "@import",
        "innerHTML",
        "insertAdjacentHTML",
    ] {
        assert!(!page.contains(from_elsewhere), "{from_elsewhere}");
    }
}
