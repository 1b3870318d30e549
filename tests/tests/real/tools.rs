//! Command line tools under `run`: the files that they leave can be rebuilt from the trace, byte for byte.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tests::{Folder, Level, Ran, Run, assert_same_files, interpreters, on_disk, program, rebuilt, version};

/// Enough to see every byte that is written here.
const WIDE: [&str; 4] = ["-e", "file", "--max-str", "32768"];

/// Runs a Python module as a program, traced.
fn run(python: &Path, at: &Path, options: &[&str], words: &[&str]) -> Ran {
    let mut command = vec![python.display().to_string(), "-m".to_owned()];
    command.extend(words.iter().map(|word| (*word).to_owned()));
    let ran = Run::start_in(at, &[&WIDE, options].concat(), &command).wait();
    assert!(ran.status.success(), "{}", ran.stderr);
    ran
}

/// A wheel, made by that Python.
fn wheel(python: &Path, folder: &Folder) -> PathBuf {
    let made = tests::command(python)
        .arg(program("real/wheel.py"))
        .arg(folder.path())
        .output()
        .expect("the interpreter starts");
    PathBuf::from(String::from_utf8(made.stdout).expect("a path").trim())
}

fn has_module(python: &Path, name: &str) -> bool {
    let mut import = tests::command(python);
    import.args(["-c", &format!("import {name}")]);
    import.output().is_ok_and(|output| output.status.success())
}

/// At which level paths can be seen, and with what options. What is given as a `pathlib.Path` or opened by an `opener`, only
/// the calls inside show as text; Python 2 has neither.
fn level(python: &Path) -> (Level, &'static [&'static str]) {
    match version(python).starts_with("Python 2.") {
        true => (Level::Program, &[]),
        false => (Level::Descriptor, &["--nested"]),
    }
}

/// Was a file opened by that path by the program itself, not inside another call?
fn opened_by_name(ran: &Ran, path: &str) -> bool {
    ran.events
        .iter()
        .any(|event| event["effect"] == "file.open" && event["parent"].is_null() && event["args"][0] == path)
}

#[test]
fn pip_installs_a_wheel() {
    let mut pips = 0;
    for python in interpreters() {
        if !has_module(&python, "pip") {
            println!("{}: it has no pip", python.display());
            continue;
        }
        pips += 1;
        let folder = Folder::new("pip");
        let wheel = wheel(&python, &folder);
        let into = folder.path().join("prefix");
        let (level, options) = level(&python);
        let quiet = [
            "--no-index",
            "--no-deps",
            "--no-cache-dir",
            "--disable-pip-version-check",
        ];
        let mut words = vec!["pip", "install"];
        words.extend(quiet);
        let (into_text, wheel) = (into.display().to_string(), wheel.display().to_string());
        words.extend(["--prefix", &into_text, &wheel]);
        let ran = run(&python, folder.path(), options, &words);
        let installed = on_disk(&into);
        assert!(installed.keys().any(|path| path.ends_with("parcel/large.txt")));
        for path in installed
            .keys()
            .filter(|path| path.contains("/parcel/") && !path.ends_with(".pyc"))
        {
            assert!(opened_by_name(&ran, path), "{path}");
        }
        println!(
            "{}: {} files, {} events",
            version(&python),
            installed.len(),
            ran.events.len()
        );
        assert_same_files(&rebuilt(&ran.events, level, &into), &installed, &version(&python));
    }
    assert!(pips > 0 || interpreters().is_empty());
}

#[test]
fn archives_and_formatted_json() {
    for python in interpreters() {
        let folder = Folder::new("tools");
        let at = folder.path();
        let numbers: Vec<String> = (0..200).map(|n| format!("{{\"n\": {n}}}")).collect();
        fs::write(at.join("in.json"), format!("[{}]", numbers.join(","))).expect("a file");
        let (level, options) = level(&python);
        let out = at.join("out");
        fs::create_dir(&out).expect("a folder");
        let json = run(
            &python,
            at,
            options,
            &["json.tool", "in.json", &folder.text("out/out.json")],
        );
        assert_same_files(
            &rebuilt(&json.events, level, &out),
            &on_disk(&out),
            &version(&python),
        );
        if version(&python).starts_with("Python 2.") {
            // Its `tarfile` is no program.
            continue;
        }
        let made = at.join("made");
        fs::create_dir(&made).expect("a folder");
        let tar = folder.text("made/all.tar");
        let pack = run(&python, at, options, &["tarfile", "-c", &tar, "out", "in.json"]);
        assert_same_files(
            &rebuilt(&pack.events, level, &made),
            &on_disk(&made),
            &version(&python),
        );
        let again = at.join("again");
        let unpack = run(
            &python,
            at,
            options,
            &["tarfile", "-e", &tar, &again.display().to_string()],
        );
        assert_same_files(
            &rebuilt(&unpack.events, level, &again),
            &on_disk(&again),
            &version(&python),
        );
        let lines = |path: &str| fs::read(at.join(path)).expect("a file");
        assert_eq!(lines("again/out/out.json"), lines("out/out.json"));
    }
}
