//! The fuzzer's seeds, and what once was wrong, without a fuzzer.

use std::{fs, path::PathBuf, time::Instant};

use super::{TARGETS, image::Image, input::Input, walk::discovered};

/// One seed takes a few milliseconds, where nothing is built to be fast; what has no bound takes for ever.
const MAX_SECONDS: u64 = 60;

/// The seeds of a target, in order.
pub(super) fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

#[test]
fn every_seed_runs_through_its_target() {
    for (target, run) in TARGETS {
        let mut seeds: Vec<PathBuf> = fs::read_dir(corpus(target))
            .expect("seeds of every target")
            .map(|entry| entry.expect("a file").path())
            .collect();
        seeds.sort();
        assert!(seeds.len() >= 4, "{target} has too few seeds");
        for seed in seeds {
            eprintln!("{}", seed.display());
            let begin = Instant::now();
            run(&fs::read(&seed).expect("a seed"));
            assert!(
                begin.elapsed().as_secs() < MAX_SECONDS,
                "{} takes too long",
                seed.display()
            );
        }
    }
}

#[test]
fn the_fuzzer_has_these_targets() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("the manifest");
    let mut names: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"targets/")?.strip_suffix(".rs\""))
        .collect();
    names.sort_unstable();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
}

/// The seeds of the walk are memories as they should be: what is in them is found, and what has no end comes to a bound.
#[test]
fn what_is_in_made_up_memory_is_found() {
    let mut read = 0;
    for entry in fs::read_dir(corpus("walk")).expect("seeds") {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let seed = fs::read(&path).expect("a seed");
        // Without the first byte, which says how it is read.
        let image = Image::parse(&mut Input::new(&seed[1..])).expect("a memory");
        for by_snapshot in [false, true] {
            let (found, cut) = discovered(&image, &image.interpreter(), by_snapshot);
            match name.split_once('-').expect("a version").1 {
                "module" => {
                    assert!(
                        found.iter().any(|function| function == "m.f"),
                        "{name}: {found:?}"
                    );
                    assert_eq!(cut, None, "{name}");
                }
                "circle" => assert_eq!(cut, None, "{name}"),
                "modules" => assert_eq!(cut, Some("too many functions"), "{name}"),
                "types" => assert_eq!(cut, Some("too many objects"), "{name}"),
                _ => continue,
            }
            read += 1;
        }
    }
    assert!(read >= 4 * 2);
}
