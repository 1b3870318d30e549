use super::*;
use crate::decode::value::{SequenceKind, Text};

fn redaction(patterns: &[&str], paths: &[&str], with: With) -> Result<Redaction, Error> {
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Redaction::new(&Settings {
        patterns: strings(patterns),
        paths: strings(paths),
        with,
        salt: "pepper".into(),
    })
}

#[test]
fn matches_are_replaced_and_counted() {
    let redaction = redaction(&["[0-9]{4}-[0-9]{4}", "x*"], &[], With::Drop).unwrap();
    assert_eq!(redaction.text("card 1234-5678 of Ada"), "card <redacted> of Ada");
    assert_eq!(redaction.text("of Ada"), "of Ada");
    assert_eq!(redaction.count(), 1);
}

#[test]
fn a_hash_is_of_salt_and_text() {
    let hashing = redaction(&["Ada"], &[], With::Hash).unwrap();
    // printf pepperAda | sha256sum
    assert_eq!(hashing.text("to Ada"), "to sha256:a361fc0516894a29");
    assert_eq!(hashing.text("to Ada"), hashing.text("to Ada"));
}

#[test]
fn paths_are_hidden_whole_below_and_inside_of_texts() {
    let redaction = redaction(&[], &["/home/*", "/srv/keys", "*.pem"], With::Drop).unwrap();
    for (text, shown) in [
        ("/home/ada/my notes.txt", "<redacted>"),
        ("/srv/keys", "<redacted>"),
        ("/srv/keys/a", "<redacted>"),
        ("/etc/x.pem", "<redacted>"),
        ("/srv/keysmith", "/srv/keysmith"),
        ("/var/home/ada", "/var/home/ada"),
        ("cat '/home/ada/x' /tmp/y", "cat '<redacted>' /tmp/y"),
        ("HOME=/home/ada\n", "HOME=<redacted>\n"),
        ("file:///home/ada", "file://<redacted>"),
        ("no path", "no path"),
    ] {
        assert_eq!(redaction.text(text), shown, "{text}");
    }
}

#[test]
fn nothing_is_hidden_unless_asked_for() {
    let redaction = Redaction::default();
    assert!(redaction.is_empty());
    assert!(matches!(redaction.text("/home/ada"), Cow::Borrowed("/home/ada")));
    assert_eq!(redaction.count(), 0);
}

#[test]
fn what_cannot_be_used_is_said() {
    let pattern = redaction(&["(a"], &[], With::Drop).unwrap_err();
    assert!(
        pattern
            .to_string()
            .starts_with("`(a` is not a regular expression"),
        "{pattern}"
    );
    let huge = redaction(&["(?:a{1000}){1000}"], &[], With::Drop).unwrap_err();
    assert!(matches!(huge, Error::Pattern { .. }), "{huge}");
    let glob = redaction(&[], &["[a"], With::Drop).unwrap_err();
    assert!(glob.to_string().starts_with("`[a` is not a glob"), "{glob}");
    let long = "x".repeat(MAX_LEN + 1);
    let long = redaction(&[&long], &[], With::Drop).unwrap_err();
    assert!(matches!(long, Error::TooLong(_)));
    let many = vec!["x"; MAX_COUNT + 1];
    assert_eq!(redaction(&many, &[], With::Drop).unwrap_err(), Error::TooMany);
}

#[test]
fn settings_have_no_other_names() {
    let read = |json: &str| serde_json::from_str::<Settings>(json);
    let settings = read(r#"{"patterns": ["a"], "paths": ["/b"], "with": "hash", "salt": "c"}"#).unwrap();
    assert_eq!(settings.with, With::Hash);
    assert_eq!(read("{}").unwrap(), Settings::default());
    assert!(read(r#"{"pattern": ["a"]}"#).is_err());
    assert!(read(r#"{"with": "stars"}"#).is_err());
}

#[test]
fn texts_are_found_at_every_depth_of_a_value() {
    let redaction = redaction(&["hush"], &[], With::Drop).unwrap();
    let utf32: Vec<u8> = "hush😀"
        .chars()
        .flat_map(|c| u32::from(c).to_le_bytes())
        .collect();
    let wide = Value::Str(Text {
        width: 4,
        data: &utf32,
        len: 9,
        unicode: false,
    });
    let bytes = |kind| Value::Bytes(kind, b"hush", 4);
    let masked = |text| Value::Masked(Some(text));
    let name = || Box::new(bytes(BytesKind::Bytes));
    let mut value = Value::Sequence {
        kind: SequenceKind::List,
        items: vec![
            wide,
            bytes(BytesKind::Str),
            bytes(BytesKind::ByteArray),
            masked(MaskedText::Str("hush".into(), false)),
            masked(MaskedText::Bytes(BytesKind::Bytes, b"hush".to_vec(), true)),
            Value::Slice(vec![bytes(BytesKind::Bytes)]),
            Value::Module { name: name(), id: 1 },
            Value::Function {
                module: name(),
                qualname: name(),
                id: 1,
            },
            Value::CFunction {
                name: b"f",
                module: name(),
                owner: None,
                id: 1,
            },
            Value::Exception {
                ty: TypeRef::default(),
                args: name(),
                id: 1,
            },
            Value::Int(5),
            Value::Masked(None),
            masked(MaskedText::Str("open".into(), false)),
        ],
        len: 13,
        id: 1,
    };
    redaction.value(&mut value);
    let all = format!("{value:?}");
    assert!(
        !all.contains("hush") && !all.contains("[104, 117, 115, 104"),
        "{all}"
    );
    assert!(
        all.contains("<redacted>😀") && all.contains("Str(\"open\", false)"),
        "{all}"
    );
    assert_eq!(redaction.count(), 11);
}

/// Names that give what they were asked for.
struct Known;

impl Names for Known {
    fn type_name(&mut self, _: u16, _: TypeRef) -> Option<Arc<str>> {
        Some("app.hush".into())
    }

    fn module_name(&mut self, _: u16, _: u64, _: u64) -> Option<Arc<str>> {
        Some("hush".into())
    }

    fn code(&mut self, _: u16, _: &FrameRecord) -> Option<Arc<Code>> {
        None
    }

    fn thread_name(&mut self, _: u16, _: u32) -> Option<Arc<str>> {
        Some("open".into())
    }
}

#[test]
fn names_are_texts_too() {
    let redaction = redaction(&["hush"], &[], With::Drop).unwrap();
    let mut names = RedactedNames {
        names: &mut Known,
        redaction: &redaction,
    };
    assert_eq!(
        names.type_name(0, TypeRef::default()).as_deref(),
        Some("app.<redacted>")
    );
    assert_eq!(names.module_name(0, 1, 2).as_deref(), Some("<redacted>"));
    assert_eq!(names.thread_name(0, 1).as_deref(), Some("open"));
    assert_eq!(names.code(0, &FrameRecord::default()), None);
    let id = FileId {
        inode: 1,
        generation: 2,
        device: 3,
        name: 4,
    };
    assert_eq!(names.file(0, 1, id), None);
}
