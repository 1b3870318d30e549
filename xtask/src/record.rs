//! `cargo xtask record`: the memory that the encoder's tests run over.

use crate::{pythons, shell};

/// Records the encoder's test program on every interpreter there is, those of `PYTRACE_PYTHONS` too.
pub fn run() -> anyhow::Result<()> {
    let folder = shell::root().join("tracer-user/tests/recorded");
    for python in pythons::all() {
        let mut record = shell::cargo(&[
            "run",
            "--quiet",
            "--package",
            "tracer-user",
            "--example",
            "record",
        ]);
        shell::run(record.arg("--").arg(python).arg(&folder))?;
    }
    Ok(())
}
