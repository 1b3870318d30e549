use bytes::Bytes;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::{Field, Row, RowAccessor as _},
};
use tracer_common::cookie::{Convention, SelfKind};

use super::*;
use crate::{
    catalogue::effects::{From, TargetPart},
    decode::{
        names::NoNames,
        value::{Arguments, BytesKind, Value},
    },
    event::{SiteMeta, call::Outcome, plain_site},
};

const UNLINK: &str = "posix.unlink";
const PATH: &[TargetPart] = &[TargetPart {
    key: "path",
    from: From::Argument {
        position: 0,
        name: "path",
    },
}];

fn unlink() -> SiteMeta {
    SiteMeta {
        convention: Convention::FastCall,
        self_kind: SelfKind::Bound,
        target: PATH,
        ..plain_site(UNLINK, "file.delete")
    }
}

/// A call of it with a path of `len` bytes.
fn call<'a>(id: u64, meta: &'a SiteMeta, path: &'a [u8], len: u64) -> CallEvent<'a> {
    CallEvent {
        id,
        parent: (id % 2 == 1).then(|| id - 1),
        target: 0,
        pid: 7,
        tid: 8,
        time_ns: 1_700_000_000_000_000_000 + id,
        duration_ns: None,
        meta,
        function: UNLINK,
        module_len: meta.module_len,
        effect: meta.effect,
        arguments: Arguments {
            args: vec![Value::Bytes(BytesKind::Bytes, path, len)],
            args_len: 1,
            ..Arguments::default()
        },
        outcome: Outcome::Unobserved("it ended"),
        stack: Vec::new(),
        handle: None,
        weight: 1,
        late: false,
        run: None,
    }
}

/// A sink, and what it wrote.
#[derive(Default)]
struct Written {
    sink: Parquet,
    out: Vec<u8>,
}

impl Written {
    fn call(&mut self, call: &CallEvent<'_>) {
        let mut names = TypeNames {
            names: &mut NoNames,
            target: 0,
        };
        self.sink.call(call, &mut names, &mut self.out);
    }

    fn finish(mut self) -> SerializedFileReader<Bytes> {
        self.sink.summary(&Summary::default(), &mut self.out);
        SerializedFileReader::new(Bytes::from(self.out)).expect("a Parquet file")
    }
}

fn rows(file: &SerializedFileReader<Bytes>) -> Vec<Row> {
    let rows = file.get_row_iter(None).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

#[test]
fn rows_leave_memory_in_groups() {
    let meta = unlink();
    let mut written = Written::default();
    for id in 0..MAX_ROWS as u64 + 3 {
        assert_eq!(written.out.is_empty(), id < MAX_ROWS as u64);
        written.call(&call(id, &meta, b"/x", 2));
    }
    let file = written.finish();
    let groups = file.metadata().row_groups();
    let sizes: Vec<_> = groups.iter().map(|group| group.num_rows()).collect();
    assert_eq!(sizes, [MAX_ROWS as i64, 3]);
    for (id, row) in rows(&file).iter().enumerate() {
        let id = id as i64;
        assert_eq!(row.get_long(0).ok(), Some(id));
        assert_eq!(row.get_long(1).ok(), (id % 2 == 1).then(|| id - 1));
    }
}

#[test]
fn large_rows_leave_memory_sooner() {
    let meta = unlink();
    let path = vec![b'x'; MAX_BYTES / 4];
    let mut written = Written::default();
    while written.out.is_empty() {
        written.call(&call(0, &meta, &path, path.len() as u64));
    }
    assert!(written.finish().metadata().row_group(0).num_rows() <= 2);
}

#[test]
fn a_trace_without_calls_is_a_file() {
    let file = Written::default().finish();
    assert_eq!(rows(&file).len(), 0);
}

#[test]
fn a_row_says_what_is_not_there() {
    let meta = unlink();
    let mut written = Written::default();
    written.call(&call(4, &meta, b"/a\xff", 9));
    let rows = rows(&written.finish());
    let [row] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    let text = |text: &str| Field::Str(text.into());
    let expected = [
        ("id", Field::Long(4)),
        ("parent", Field::Null),
        ("duration_ns", Field::Null),
        ("function", text(UNLINK)),
        ("effect", text("file.delete")),
        ("outcome", text("unobserved")),
        ("error_type", Field::Null),
        ("why", text("it ended")),
        ("line", Field::Null),
        ("target_path", text("/a\u{fffd}…")),
        ("target_fd", Field::Null),
        ("target", text(r#"{"path":{"bytes":"L2H/","len":9}}"#)),
        ("self", Field::Null),
        ("args", text(r#"[{"bytes":"L2H/","len":9}]"#)),
        ("kwargs", text("{}")),
        ("result", Field::Null),
        ("exception", Field::Null),
        ("stack", text("[]")),
    ];
    for (name, field) in expected {
        let found = row.get_column_iter().find(|(other, _)| *other == name);
        assert_eq!(found.map(|(_, field)| field), Some(&field), "{name}");
    }
}
