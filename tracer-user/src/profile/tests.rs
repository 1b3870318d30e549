use std::{io::Read as _, sync::Arc, time::Duration};

use flate2::read::GzDecoder;
use prost::Message as _;
use tracer_common::wire::{FLAG_CUT, FLAG_FRAME_FAULT, FLAG_NO_TSTATE};

use super::*;
use crate::decode::{linetable::LineFormat, names::Code};

const MS: u64 = 1_000_000;

fn frame(function: &str, file: &str, first_line: u32, line: u32) -> Frame {
    Frame {
        code: Some(Arc::new(Code {
            function: function.to_owned(),
            file: file.to_owned(),
            first_line,
            linetable: Vec::new(),
            line_format: LineFormat::Locations,
        })),
        line: Some(line),
    }
}

fn stack(line: u32) -> Vec<Frame> {
    vec![
        frame("Shop.save", "/srv/shop/orders.py", 10, line),
        frame("<module>", "/srv/shop/__init__.py", 1, 7),
    ]
}

const ONE: Thread = Thread {
    target: 0,
    pid: 100,
    tid: 101,
};
const OTHER: Thread = Thread {
    target: 1,
    pid: 200,
    tid: 201,
};

fn options() -> Options {
    Options {
        rate: 100,
        waits: true,
        depth: 2,
        lines: false,
        threads: false,
    }
}

fn wait(function: &str, began_ns: u64, ended_ns: u64) -> Wait<'_> {
    Wait {
        function,
        began_ns,
        ended_ns,
        outermost: true,
    }
}

/// Three samples at two lines of a function, and a call of 45 ms with one of 10 ms inside.
fn profile(options: Options) -> Profile {
    let mut profile = Profile::new(options, 5);
    profile.sample(ONE, MS, &stack(12), 0);
    profile.sample(ONE, 11 * MS, &stack(12), 0);
    profile.sample(ONE, 21 * MS, &stack(13), 0);
    profile.wait(ONE, &wait("time.sleep", 15 * MS, 60 * MS), &stack(14));
    profile.duration = Duration::from_millis(60);
    profile
}

fn text(profile: &Profile) -> String {
    let mut out = Vec::new();
    folded::write(profile, &mut out);
    String::from_utf8(out).expect("text")
}

#[test]
fn samples_and_waits_add_up() {
    let expected = "\
<module> (shop/__init__.py:1);Shop.save (shop/orders.py:10) 30000
<module> (shop/__init__.py:1);Shop.save (shop/orders.py:10);time.sleep [waiting] 35000
";
    assert_eq!(text(&profile(options())), expected);
    let lines = Options {
        lines: true,
        ..options()
    };
    let expected = "\
<module> (shop/__init__.py:7);Shop.save (shop/orders.py:12) 20000
<module> (shop/__init__.py:7);Shop.save (shop/orders.py:13) 10000
<module> (shop/__init__.py:7);Shop.save (shop/orders.py:14);time.sleep [waiting] 35000
";
    assert_eq!(text(&profile(lines)), expected);
}

#[test]
fn what_is_missing_is_shown() {
    let mut profile = Profile::new(options(), 0);
    profile.sample(ONE, 0, &stack(12), FLAG_FRAME_FAULT);
    profile.sample(ONE, 0, &[], FLAG_NO_TSTATE | FLAG_FRAME_FAULT);
    profile.sample(ONE, 0, &stack(12), FLAG_CUT);
    profile.sample(ONE, 0, &[], FLAG_NO_TSTATE);
    profile.sample(ONE, 0, &[], 0);
    let gone = Frame {
        code: None,
        line: None,
    };
    profile.sample(ONE, 0, std::slice::from_ref(&gone), 0);
    let deep = [stack(14), vec![gone]].concat();
    profile.wait(ONE, &wait("select.select", 0, MS), &deep);
    let shop = "<module> (shop/__init__.py:1);Shop.save (shop/orders.py:10)";
    let expected = format!(
        "[more frames];{shop} 10000\n[more frames];{shop};select.select [waiting] 1000\n[no Python] 20000\n\
         [unknown] 10000\n[unreadable] 10000\n[unreadable];{shop} 10000\n"
    );
    // The samples at 0 count as inside of the call, so that it waited less than nothing: 6 of 10 ms.
    assert_eq!(
        text(&profile),
        expected.replace(
            &format!("[more frames];{shop};select.select [waiting] 1000\n"),
            ""
        )
    );
    assert_eq!(
        profile.line(),
        "pytrace-ebpf: 6 samples at 100 Hz, 0 lost, 2 unreadable, 1 cut, 2 outside of Python; 1 calls, 0 of them unobserved"
    );
}

#[test]
fn processes_and_threads_are_told_apart() {
    let mut profile = Profile::new(
        Options {
            threads: true,
            ..options()
        },
        0,
    );
    profile.name_thread(101, || Some("worker".to_owned()));
    profile.sample(ONE, 0, &[frame("f", "a.py", 1, 1)], 0);
    profile.sample(OTHER, 0, &[frame("f;g", "a.py", 1, 1)], 0);
    let expected =
        "process 100;thread 101 worker;f (a.py:1) 10000\nprocess 200;thread 201;f:g (a.py:1) 10000\n";
    assert_eq!(text(&profile), expected);
}

#[test]
fn a_sample_is_taken_off_one_call_only() {
    let mut profile = Profile::new(options(), 0);
    profile.sample(ONE, 15 * MS, &[], 0);
    let inner = Wait {
        outermost: false,
        ..wait("inner", 10 * MS, 30 * MS)
    };
    profile.wait(ONE, &inner, &[]);
    profile.wait(ONE, &wait("outer", 0, 40 * MS), &[]);
    // It is forgotten with the end of the outer one; another thread's is no part of it.
    profile.sample(OTHER, 45 * MS, &[], 0);
    profile.wait(ONE, &wait("next", 0, 50 * MS), &[]);
    let waits: Vec<String> = text(&profile)
        .lines()
        .filter(|line| line.contains("waiting"))
        .map(|line| line.split_once(';').expect("a process").1.to_owned())
        .collect();
    let expected = [
        "inner [waiting] 10000",
        "next [waiting] 50000",
        "outer [waiting] 30000",
    ];
    assert_eq!(waits, expected);
}

#[test]
fn pprof_says_the_same() {
    let profile = profile(options());
    let mut zipped = Vec::new();
    pprof::write(&profile, &mut zipped).expect("it can be written");
    let mut bytes = Vec::new();
    GzDecoder::new(&zipped[..]).read_to_end(&mut bytes).expect("gzip");
    let proto = pprof::Proto::decode(&bytes[..]).expect("a message");
    let text = |at: i64| proto.string_table[at as usize].as_str();
    let types: Vec<_> = proto
        .sample_type
        .iter()
        .map(|of| (text(of.r#type), text(of.unit)))
        .collect();
    let expected = [
        ("waiting", "nanoseconds"),
        ("samples", "count"),
        ("cpu", "nanoseconds"),
    ];
    assert_eq!(types, expected);
    let line = |id: &u64| {
        let location = proto.location.iter().find(|location| location.id == *id);
        let line = location.expect("it is there").line[0];
        let function = proto
            .function
            .iter()
            .find(|function| function.id == line.function_id);
        let function = function.expect("it is there");
        format!(
            "{} {}:{} {}",
            text(function.name),
            text(function.filename),
            function.start_line,
            line.line
        )
    };
    let samples: Vec<(Vec<String>, Vec<i64>)> = proto
        .sample
        .iter()
        .map(|sample| {
            (
                sample.location_id.iter().map(line).collect(),
                sample.value.clone(),
            )
        })
        .collect();
    let module = "<module> /srv/shop/__init__.py:1 7".to_owned();
    let save = |line: u32| format!("Shop.save /srv/shop/orders.py:10 {line}");
    let mut expected = vec![
        (vec![save(12), module.clone()], vec![0, 2, 20_000_000]),
        (vec![save(13), module.clone()], vec![0, 1, 10_000_000]),
        (
            vec!["time.sleep [waiting] :0 0".to_owned(), save(14), module],
            vec![35_000_000, 0, 0],
        ),
    ];
    expected.sort();
    let mut samples = samples;
    samples.sort();
    assert_eq!(samples, expected);
    assert_eq!((proto.period, proto.duration_nanos), (10_000_000, 60_000_000));
    assert_eq!(proto.function.len(), 3);
}

#[test]
fn speedscope_says_the_same() {
    let mut out = Vec::new();
    speedscope::write(&profile(options()), "shop", &mut out).expect("it can be written");
    let file: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    let frames = file["shared"]["frames"].as_array().expect("frames");
    let named = |sample: &serde_json::Value| {
        let names = sample.as_array().expect("numbers").iter();
        let names = names.map(|number| frames[number.as_u64().expect("a number") as usize]["name"].clone());
        names.collect::<Vec<_>>()
    };
    let (on, off) = (&file["profiles"][0], &file["profiles"][1]);
    assert_eq!(
        (&on["endValue"], &off["endValue"]),
        (&(30 * MS).into(), &(35 * MS).into())
    );
    assert_eq!(named(&on["samples"][0]), ["<module>", "Shop.save"]);
    assert_eq!(
        named(&off["samples"][0]),
        ["<module>", "Shop.save", "time.sleep [waiting]"]
    );
}

#[test]
fn a_flame_graph_shows_names_and_no_markup_of_the_program() {
    let mut profile = Profile::new(options(), 0);
    profile.sample(ONE, 0, &[frame("<script>", "x.py\n", 1, 1)], 0);
    let mut out = Vec::new();
    flamegraph::write(&profile, "<b>", &mut out).expect("it can be written");
    let svg = String::from_utf8(out).expect("text");
    assert!(svg.contains("&lt;script&gt; (x.py\\u{a}:1)"), "{svg}");
    assert!(svg.contains("&lt;b&gt;") && !svg.contains("<b>"), "{svg}");
    let mut out = Vec::new();
    flamegraph::write(&Profile::new(options(), 0), "", &mut out).expect("it can be written");
    assert!(out.starts_with(b"<?xml"));
}

#[test]
fn there_is_a_bound_to_what_is_kept() {
    let mut profile = Profile::new(options(), 0);
    let bound = stacks::MAX_STACKS as u32;
    for n in 0..bound + 10 {
        profile.sample(ONE, 0, &[frame("f", "a.py", n, n)], 0);
    }
    let stacks = profile.stacks();
    assert!(stacks.len() <= stacks::MAX_STACKS + 1);
    let all: u64 = stacks.iter().map(|(.., weight)| weight.samples).sum();
    assert_eq!(all, u64::from(bound) + 10);
    assert!(profile.line().ends_with("some are counted together"));
}
