//! A few of CPython's own regression tests, with and without trace: each case must become what it became.
//!
//! `cargo xtask regress` runs many more of them.

use tests::{
    Folder, binary, command, interpreters,
    regrtest::{Modules, Way},
};

/// Quick ones.
const MODULES: [&str; 2] = ["test_generators", "test_list"];
const TIMEOUT_SECS: u32 = 300;
/// Cases of the modules together, at least, in every version.
const CASES: usize = 50;

#[test]
fn cpythons_own_tests_have_the_outcomes_they_had() {
    let mut compared = 0;
    for python in interpreters() {
        let modules = Modules {
            python: &python,
            names: &MODULES,
            timeout_secs: TIMEOUT_SECS,
        };
        if !modules.exist() {
            println!("{}: its own tests are not there", python.display());
            continue;
        }
        let folder = Folder::new("regress");
        let run = |way| {
            let outcomes = modules.run(way, &binary(), folder.path(), 1, |program| command(program));
            outcomes.expect("the tests run")
        };
        let (untraced, traced) = (run(Way::Untraced), run(Way::Traced));
        assert!(untraced.cases() > CASES, "{}", untraced.cases());
        assert_eq!(untraced.differences(&traced), [].into(), "{}", traced.summary);
        assert!(traced.summary.contains(" 0 lost "), "{}", traced.summary);
        compared += 1;
    }
    if compared == 0 {
        println!("SKIPPED: no interpreter here has its own tests");
    }
}
