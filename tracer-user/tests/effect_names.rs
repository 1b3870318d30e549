//! Every name in the table of effects is one that some interpreter gives to the function itself.
//!
//! Asked are the interpreters that are there.

mod pythons;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tracer_user::catalogue::effects::{DRIVERS, EFFECTS, Effect, find};

/// Reads names; writes for each that is there: the name, a tab, and what it calls itself.
const SCRIPT: &str = r#"
from __future__ import print_function
import importlib, sys

def qualname(thing):
    return getattr(thing, "__qualname__", thing.__name__)

def own_name(thing):
    if isinstance(thing, type):
        return thing.__module__ + "." + qualname(thing)
    owner = getattr(thing, "__objclass__", None)
    if owner is None and isinstance(getattr(thing, "__self__", None), type):
        owner = thing.__self__
    if owner is None:
        return str(thing.__module__) + "." + qualname(thing)
    return owner.__module__ + "." + qualname(owner) + "." + thing.__name__

# Types that their module does not name.
def hidden(module, name):
    if (module.__name__, name) == ("posix", "ScandirIterator"):
        with module.scandir("/") as iterator:
            return type(iterator)
    if name == "lock" and module.__name__ in ("_thread", "thread"):
        return type(module.allocate_lock())
    if (module.__name__, name) == ("select", "poll"):
        return type(module.poll())
    if module.__name__ in ("builtins", "__builtin__") and name in ("code", "function"):
        return type(hidden.__code__) if name == "code" else type(hidden)
    if (module.__name__, name) == ("builtins", "lazy_import"):
        return importlib.import_module("types").LazyImportType
    if (module.__name__, name) == ("_ctypes", "PyCFuncPtr"):
        return module.CFuncPtr
    return None

print("version", sys.version_info[1] if sys.version_info[0] == 3 else 0, sep="\t")
for name in sys.stdin.read().split():
    path = name.split(".")
    try:
        thing = importlib.import_module(path.pop(0))
        found = hidden(thing, path[0])
        if found is not None:
            thing = found
            path.pop(0)
        for part in path:
            thing = getattr(thing, part)
        # Written in Python there, or what every object has.
        if type(thing).__name__ in ("function", "instancemethod"):
            continue
        if getattr(thing, "__objclass__", None) is object:
            continue
        print(name, own_name(thing), sep="\t")
    except (ImportError, AttributeError):
        continue
"#;

/// What the interpreter calls those of `names` that it has; its minor version under `version`.
fn ask(python: &PathBuf, names: &BTreeSet<&str>) -> BTreeMap<String, String> {
    let mut child = Command::new(python)
        .args(["-E", "-s", "-W", "ignore", "-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the interpreter starts");
    let list: Vec<&str> = names.iter().copied().collect();
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin
        .write_all(list.join("\n").as_bytes())
        .expect("the interpreter reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the interpreter ends");
    assert!(output.status.success(), "{} failed", python.display());
    String::from_utf8(output.stdout)
        .expect("names are text")
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, own)| (name.to_owned(), own.to_owned()))
        .collect()
}

/// The minor version that a function came with.
fn since(name: &str) -> Option<u8> {
    find(name).and_then(|effect| effect.since)
}

#[test]
fn every_name_is_the_functions_own_somewhere() {
    let interpreters = pythons::all();
    if interpreters.is_empty() {
        eprintln!("skipped: no interpreter to ask");
        return;
    }
    let pythons_own = |effect: &&Effect| !DRIVERS.contains(effect);
    let names: BTreeSet<&str> = EFFECTS
        .iter()
        .filter(pythons_own)
        .flat_map(|effect| effect.names)
        .copied()
        // Python has no name for the destructor of a type made in C.
        .filter(|name| !name.ends_with(".__del__"))
        .collect();
    let mut missing = names.clone();
    let mut other_names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut newest = 0;
    for python in &interpreters {
        let mut answers = ask(python, &names);
        let version = answers.remove("version").and_then(|minor| minor.parse().ok());
        let minor: u8 = version.expect("its version");
        newest = newest.max(minor);
        let too_early: Vec<_> = answers
            .keys()
            .filter(|name| since(name).is_some_and(|since| minor < since))
            .collect();
        assert!(
            too_early.is_empty(),
            "{} has {too_early:?} already",
            python.display()
        );
        let absent: Vec<_> = names
            .iter()
            .filter(|name| !answers.contains_key(**name))
            .collect();
        eprintln!(
            "{}: {} of {} names, without {absent:?}",
            python.display(),
            answers.len(),
            names.len()
        );
        for (name, own) in answers {
            if own == name {
                missing.remove(name.as_str());
            } else {
                other_names.entry(name).or_default().insert(own);
            }
        }
    }
    // Nobody can be asked about what only a newer version has.
    let wrong: Vec<_> = missing
        .iter()
        .filter(|name| since(name).is_none_or(|since| since <= newest))
        .map(|name| (name, other_names.get(*name)))
        .collect();
    assert!(
        wrong.is_empty(),
        "names that no interpreter gives (and what it says instead): {wrong:#?}"
    );

    // An own name that differs must be in the table too, or calls there go unseen.
    let unseen: Vec<_> = other_names
        .iter()
        .filter(|(_, owns)| !owns.iter().all(|own| names.contains(own.as_str())))
        .collect();
    assert!(
        unseen.is_empty(),
        "functions with yet another name in some version: {unseen:#?}"
    );
}
