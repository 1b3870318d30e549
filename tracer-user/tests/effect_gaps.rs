//! Nothing that acts is forgotten: every C function of the modules through which Python acts has an effect, or
//! somebody looked at it and put it into `no_effect.txt`.
//!
//! Asked are the interpreters that are there.

mod pythons;

use std::collections::BTreeSet;
use std::process::Command;

use tracer_user::catalogue::effects::find;

/// Prints the names of functions.
const SCRIPT: &str = include_str!("effect_gaps.py");

/// Functions that tell, compute or convert, that change only what the process keeps for itself, or that are
/// a small part of an act which has an effect.
const NO_EFFECT: &str = include_str!("no_effect.txt");

/// Under this name, or the one it has in Python 2.
fn has_effect(name: &str) -> bool {
    find(name).is_some() || find(&name.replace("builtins.", "__builtin__.")).is_some()
}

#[test]
fn every_function_has_an_effect_or_was_looked_at() {
    let without: BTreeSet<&str> = NO_EFFECT.lines().filter(|line| !line.starts_with('#')).collect();
    let both: Vec<_> = without.iter().filter(|name| find(name).is_some()).collect();
    assert!(both.is_empty(), "they have an effect after all: {both:?}");
    let mut forgotten = BTreeSet::new();
    for python in pythons::all() {
        let output = Command::new(&python)
            .args(["-E", "-s", "-W", "ignore", "-c", SCRIPT])
            .output()
            .expect("the interpreter starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", python.display());
        let names: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
            .lines()
            // Found under both names.
            .map(|name| name.replace("__builtin__.", "builtins."))
            .collect();
        println!("{}: {} functions", python.display(), names.len());
        forgotten.extend(
            names
                .into_iter()
                .filter(|name| !has_effect(name) && !without.contains(&**name)),
        );
    }
    let forgotten: Vec<_> = forgotten.into_iter().collect();
    assert!(
        forgotten.is_empty(),
        "neither in the catalogue nor in no_effect.txt:\n{}",
        forgotten.join("\n")
    );
}
