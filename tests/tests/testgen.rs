//! Recorded calls become tests, and these pass.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tests::{Folder, Program, Recording, binary, command, interpreters};

/// Function of `shop.py`; tests of it, and how many of them have to be skipped.
const FUNCTIONS: [(&str, u32, u32); 15] = [
    ("total", 2, 0),
    ("discount", 2, 0),
    ("lines", 1, 0),
    ("log", 2, 0),
    ("lottery", 1, 0),
    ("add", 2, 0),
    ("take", 2, 0),
    // A `datetime`, of which nothing but its type is recorded.
    ("today", 1, 1),
    ("save", 2, 0),
    ("ask", 1, 0),
    ("greet", 1, 0),
    ("Account.pay", 2, 0),
    ("Account.of", 1, 0),
    ("Account.fee", 1, 0),
    // An object in a list.
    ("audit", 1, 1),
];

/// Interpreters at most.
const MOST: usize = 3;

/// A virtual environment with pytest, kept from run to run; `None` where that cannot be had.
fn pytest(python: &Path) -> Option<PathBuf> {
    let name = python.display().to_string().replace('/', "_");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/pytest")
        .join(name);
    let inside = folder.join("bin/python");
    let works = |words: &[&str]| {
        let done = command(&inside).args(words).output();
        done.is_ok_and(|done| done.status.success())
    };
    if works(&["-c", "import pytest"]) {
        return Some(inside);
    }
    let made = command(python).arg("-m").arg("venv").arg(&folder).output();
    let installed = made.is_ok_and(|made| made.status.success())
        && works(&[
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "pytest",
        ]);
    installed.then_some(inside)
}

/// Whether the tests are to be had on that interpreter: pytest is, and the shop can be read.
fn is_new_enough(python: &Path) -> bool {
    let version = command(python)
        .args(["-c", "import sys; print(sys.version_info >= (3, 8))"])
        .output();
    version.is_ok_and(|version| version.stdout.starts_with(b"True"))
}

fn assert_tests_pass(python: &Path, pytest: &Path) {
    let folder = Folder::new("testgen");
    let to = folder.text("shop.pytrace");
    let world = folder.file("world");
    fs::create_dir(&world).expect("a folder");
    let mut program = Program::start(python, "shop_served.py");
    let options = ["-e", "world,time,random,memory", "--calls", "shop.py"];
    let recording = Recording::of(&program, Path::new(&to), &options);
    program.tell(&world.display().to_string());
    assert_eq!(program.line(), "done");
    recording.stop();
    program.tell("end");
    assert!(program.end());
    // What the recorded world had is gone.
    fs::remove_dir_all(&world).expect("the folder can be removed");
    let (mut all, mut skips) = (0, 0);
    for (function, tests, skipped) in FUNCTIONS {
        let file = folder.file(&format!("test_{}.py", function.replace('.', "_")));
        let made = command(binary())
            .args(["testgen", &to, "--function", &format!("shop.{function}"), "-o"])
            .arg(&file)
            .output()
            .expect("the tool starts");
        let said = String::from_utf8_lossy(&made.stderr);
        let expected = format!("{tests} tests of shop.{function}, {skipped} of them skipped");
        assert!(said.contains(&expected), "{}: {said}", python.display());
        all += tests;
        skips += skipped;
    }
    let ran = command(pytest)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .arg(folder.path())
        .output()
        .expect("pytest starts");
    let said = String::from_utf8_lossy(&ran.stdout);
    let expected = format!("{} passed, {skips} skipped", all - skips);
    assert!(said.contains(&expected), "{}: {said}", python.display());
    println!("{}: {expected}", python.display());
}

#[test]
fn tests_made_of_recorded_calls_pass() {
    let mut ran = 0;
    // Making an environment takes longer than all else.
    let mut pythons: Vec<PathBuf> = interpreters()
        .into_iter()
        .filter(|python| is_new_enough(python))
        .collect();
    while pythons.len() > MOST {
        pythons.remove(1);
    }
    for python in pythons {
        let Some(pytest) = pytest(&python) else {
            println!("{}: pytest cannot be installed", python.display());
            continue;
        };
        assert_tests_pass(&python, &pytest);
        ran += 1;
    }
    assert!(ran > 0 || interpreters().is_empty());
}
