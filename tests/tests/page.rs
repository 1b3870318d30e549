//! Pages of recordings, opened in a browser.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tests::{Folder, Program, Recording, Trace, interpreters, parse, programs, replay, tool};

/// The Python that drives a browser, where there is one; `cargo xtask test` installs both.
fn selenium() -> Option<PathBuf> {
    let python = std::env::var_os("PYTRACE_DRIVERS").map(PathBuf::from);
    let found = ["/usr/bin/chromium", "/usr/bin/chromedriver"]
        .iter()
        .all(|file| Path::new(file).exists());
    if python.is_none() || !found {
        println!("SKIPPED: no Python with selenium here, or no chromium and chromedriver");
    }
    python.filter(|_| found)
}

/// What a browser sees of each page.
fn browse(selenium: &Path, pages: &[String]) -> Vec<Value> {
    let output = tests::command(selenium)
        .arg(programs().join("browse.py"))
        .args(pages)
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed = String::from_utf8(output.stdout).expect("text");
    let seen: Vec<Value> = printed.lines().map(parse).collect();
    assert_eq!(seen.len(), pages.len(), "{said}");
    seen
}

fn report(recording: &str, page: &str, args: &[&str]) -> String {
    let printed = tool(&[&["report", recording, "-o", page], args].concat());
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    printed.stderr
}

/// Records what the program does when it is told; what it says it did.
fn record(python: &Path, file: &Path, order: &str) -> Value {
    let mut program = Program::start(python, "paged.py");
    let recording = Recording::of(&program, file, &["--stack", "8"]);
    program.tell(order);
    let truth = parse(&program.line());
    recording.stop();
    assert!(program.end());
    truth
}

fn events(trace: &Trace) -> impl Iterator<Item = &Value> {
    let kinds = ["call", "bytecode", "function"];
    trace
        .events
        .iter()
        .filter(move |event| kinds.iter().any(|kind| event["type"] == *kind))
}

/// Counts by a key, as the page is to show it.
fn counted<'a>(
    events: impl Iterator<Item = &'a Value>,
    key: impl Fn(&Value) -> Option<String>,
) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for key in events.filter_map(key) {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

/// Rows of a table: by the cell at `name`, the number at `number`.
fn column(seen: &Value, table: &str, name: usize, number: usize) -> BTreeMap<String, u64> {
    let rows = seen[table].as_array().expect("rows");
    rows.iter()
        .map(|row| {
            let name = row[name].as_str().expect("a name").to_owned();
            (name, row[number].as_u64().expect("a number"))
        })
        .collect()
}

/// The page says the same as `replay`, and as the program.
fn assert_true(seen: &Value, trace: &Trace, truth: &Value) {
    let raised = |event: &&Value| event["outcome"] == "raise";
    let all = events(trace).count() as u64;
    let errors = events(trace).filter(raised).count() as u64;
    assert_eq!(seen["stats"]["calls"], all);
    assert_eq!(seen["stats"]["errors"], errors);
    assert_eq!(seen["stats"]["lost"], trace.summary["lost"]);
    assert_eq!(seen["errors"], errors, "only the errors");
    assert_eq!(truth["errors"], errors, "what the program saw");

    let group = |event: &Value| Some(event["effect"].as_str()?.split('.').next()?.to_owned());
    let groups: BTreeMap<String, u64> = seen["groups"]
        .as_object()
        .expect("groups")
        .iter()
        .map(|(name, count)| {
            (
                name.clone(),
                count.as_str().and_then(|n| n.parse().ok()).expect("a number"),
            )
        })
        .collect();
    assert_eq!(groups, counted(events(trace), group));

    let function = |event: &Value| event["function"].as_str().map(str::to_owned);
    assert_eq!(column(seen, "functions", 1, 2), counted(events(trace), function));
    let failed = counted(events(trace).filter(raised), function);
    let shown: BTreeMap<String, u64> = column(seen, "functions", 1, 3)
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .collect();
    assert_eq!(shown, failed);

    let unlinked = events(trace).filter(|event| event["function"] == "posix.unlink");
    assert_eq!(seen["search"], unlinked.count() as u64);
    for (path, moved) in truth["files"].as_object().expect("files") {
        assert_eq!(
            column(seen, "touched", 0, 4)[path],
            moved[0].as_u64().expect("a number"),
            "read of {path}"
        );
        assert_eq!(
            column(seen, "touched", 0, 5)[path],
            moved[1].as_u64().expect("a number"),
            "written to {path}"
        );
    }
}

/// Nothing that the program said became more than text, and nothing was asked of a network.
fn assert_harmless(seen: &Value) {
    assert_eq!(
        seen["elements"],
        serde_json::json!([0, 2, 1, 0, 0]),
        "img, script, style, iframe, link"
    );
    assert_eq!(
        seen["said"],
        serde_json::json!([]),
        "what the browser complained of"
    );
    let asked = seen["asked"].as_array().expect("requests");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].as_str().is_some_and(|url| url.starts_with("file:///")));
    let title = seen["title"].as_str().expect("a title");
    assert!(title.ends_with("pytrace-ebpf report"), "{title}");
    let calls = seen["calls"].to_string();
    for text in [
        "</script><img src=x onerror=",
        "\\\\x1b]0;owned\\\\x07",
        "nnnnnnnn",
    ] {
        assert!(calls.contains(text), "{text}: {calls}");
    }
    let is_order =
        |c: char| c.is_control() && !matches!(c, '\n' | '\t') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert_eq!(seen["text"].as_str().expect("text").find(is_order), None);
}

#[test]
fn a_page_says_what_replay_says_and_does_no_harm() {
    let Some(selenium) = selenium() else { return };
    let mut pages = Vec::new();
    let mut expected = Vec::new();
    let folder = Folder::new("page");
    let pythons = interpreters();
    for (n, python) in pythons.iter().enumerate() {
        let recording = folder.text(&format!("{n}.pytrace"));
        let work = Folder::new("page-work");
        let truth = record(
            python,
            Path::new(&recording),
            &format!("work {}", work.path().display()),
        );
        let page = folder.text(&format!("{n}.html"));
        report(&recording, &page, &[]);
        let mode = fs::metadata(&page).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        expected.push((python, replay(Path::new(&recording), &[]), truth));
        pages.push(page);
    }
    if pages.is_empty() {
        return;
    }
    for (seen, (python, trace, truth)) in browse(&selenium, &pages).iter().zip(&expected) {
        println!("{}", python.display());
        assert_true(seen, trace, truth);
        assert_harmless(seen);
        assert_eq!(seen["drawn"], true);
        // When in its time a program does what depends on the machine.
        let all = events(trace).count() as u64;
        let [left, right] = [0, 1].map(|half| seen["brushed"][half].as_u64().expect("a number"));
        assert!(left + right > 0 && left.max(right) <= all, "{left} {right}");
        assert!(left.min(right) < all, "{left} {right}");
        assert!(
            seen["loss"]
                .as_str()
                .is_some_and(|text| text.contains("Nothing was lost."))
        );
        let first = seen["calls"][0][3].as_str().expect("a call");
        assert_eq!(seen["detail"].as_str().expect("a call"), first);
    }
}

#[test]
fn filters_choose_what_is_on_a_page() {
    let Some(python) = interpreters().pop() else {
        return;
    };
    let folder = Folder::new("page-filters");
    let recording = folder.text("x.pytrace");
    record(
        &python,
        Path::new(&recording),
        &format!("work {}", folder.path().display()),
    );
    let filters: [&[&str]; 3] = [
        &["--errors"],
        &["-e", "file.write"],
        &["--path", "*/file3", "--nested"],
    ];
    let pages: Vec<String> = (0..filters.len())
        .map(|n| folder.text(&format!("{n}.html")))
        .collect();
    for (page, args) in pages.iter().zip(filters) {
        report(&recording, page, args);
        let trace = replay(Path::new(&recording), args);
        let text = fs::read_to_string(page).expect("a page");
        let (_, rest) = text.split_once("id=\"data\">").expect("data");
        let data = parse(rest.split_once("</script>").expect("its end").0);
        let ids: Vec<&Value> = data["columns"]["id"].as_array().expect("ids").iter().collect();
        let mut expected: Vec<&Value> = events(&trace).map(|event| &event["id"]).collect();
        expected.sort_by_key(|id| id.as_u64());
        assert!(!ids.is_empty(), "{args:?}");
        assert_eq!(ids, expected, "{args:?}");
        assert_eq!(data["summary"], trace.summary);
        assert_eq!(
            data["about"]["shown_with"][0],
            args.join(" ").split(" --nested").next().expect("an option")
        );
    }
    // Where nothing passes there is a page too.
    let empty = folder.text("empty.html");
    report(&recording, &empty, &["--min-duration", "1000s"]);
}

#[test]
fn a_page_of_many_calls_is_still_one() {
    let (Some(selenium), Some(python)) = (selenium(), interpreters().pop()) else {
        return;
    };
    const CALLS: u64 = 100_000;
    let folder = Folder::new("page-many");
    let (recording, page) = (folder.text("x.pytrace"), folder.text("x.html"));
    let truth = record(&python, Path::new(&recording), &format!("flood {CALLS}"));
    report(&recording, &page, &[]);
    let trace = replay(Path::new(&recording), &[]);
    let seen = browse(&selenium, &[page]).remove(0);
    let lost = trace.summary["lost"].as_u64().expect("a number");
    let all = seen["stats"]["calls"].as_u64().expect("a number");
    assert_eq!(all, events(&trace).count() as u64);
    assert_eq!(seen["stats"]["lost"], lost);
    assert!(all + lost >= CALLS, "{all} and {lost} lost");
    assert_eq!(truth["errors"], CALLS);
    // Only what is in sight is there.
    assert!(seen["calls"].as_array().is_some_and(|rows| rows.len() < 200));
}

#[test]
fn what_makes_no_page_is_said_in_one_line() {
    let folder = Folder::new("page-refused");
    let torn = folder.file("x.pytrace");
    fs::write(&torn, b"no recording").expect("it can be written");
    let page = folder.text("x.html");
    for (args, code) in [
        (&["report", "/nowhere.pytrace", "-o", &page][..], 1),
        (&["report", torn.to_str().expect("text"), "-o", &page], 1),
        (&["report", "/nowhere.pytrace", "-o", &page, "-e", "nothing"], 2),
    ] {
        let printed = tool(args);
        assert_eq!(printed.code, Some(code), "{args:?} {}", printed.stderr);
        assert_eq!(printed.stderr.lines().count(), 1, "{}", printed.stderr);
    }
    assert!(!Path::new(&page).exists());
}
