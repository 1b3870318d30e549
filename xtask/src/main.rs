//! Project chores: `cargo xtask COMMAND`.

mod bench;
mod bpf_toolchain;
mod build;
mod coverage;
mod demo;
mod deny;
mod dist;
mod drivers;
mod effects;
mod engines;
#[path = "../../tests/src/environment.rs"]
mod environment;
mod fuzz;
mod layouts;
#[path = "../../tracer-user/tests/pythons/mod.rs"]
mod pythons;
mod real;
mod record;
mod regress;
#[path = "../../tests/src/regrtest.rs"]
mod regrtest;
mod rotel;
mod scale;
mod setup;
mod shell;
mod test;
mod venv;
mod vm;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Project chores of pytrace-ebpf")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building needs and is not there yet
    Setup,
    /// Set up and build target/release/pytrace-ebpf
    Build,
    /// Set up, build, start an example service, and show its side effects for ten seconds
    Demo,
    /// Set up, build, and check everything: format, lints, unit tests, verifier, end-to-end tests
    Test,
    /// Set up, build, and run the end-to-end tests
    E2e {
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Set up, and measure how much of the encoder and the decoder tests without root reach
    Coverage,
    /// Set up, build, and measure what tracing costs (as root)
    Bench {
        /// Write the results to docs/bench.md and docs/service.md too
        #[arg(long)]
        page: bool,
        /// Only this part, without the service: `budget`, `top`, ...
        #[arg(long, conflicts_with = "page")]
        part: Option<String>,
        /// Only with these versions of Python (3.12)
        pythons: Vec<String>,
    },
    /// Check licences, origins and known holes of all crates
    Deny,
    /// Set up, build, and pack what is installed, into target/dist: archive, Debian package, wheel, image, chart
    Dist {
        /// Then install it where nothing else of us is, and trace from there (as root)
        #[arg(long)]
        check: bool,
        /// Pack this binary; do not build
        #[arg(long, value_name = "PATH")]
        binary: Option<PathBuf>,
        /// Only these
        #[arg(value_enum)]
        what: Vec<dist::What>,
    },
    /// Set up, build, and run CPython's own regression tests with and without trace (as root): do outcomes differ?
    Regress {
        /// Interpreter that has the package `test`; repeatable. Default: 3.8, 3.11, 3.12 and 3.13 under ~/.pyenv/versions
        #[arg(long = "python", value_name = "PATH")]
        pythons: Vec<PathBuf>,
        /// Trace children too
        #[arg(long)]
        follow: bool,
        /// Modules, such as test_io. Default: those of the chore's own list
        modules: Vec<String>,
    },
    /// Fuzz what reads memory, files and records
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Only this target: sites, walk, lines, records or recording
        target: Option<String>,
    },
    /// Set up, build, and run a part of the end-to-end tests on Debian's kernels 6.1 and 6.12, in QEMU (as root; takes long)
    Vm {
        /// Only this kernel: 6.1 or 6.12
        #[arg(long)]
        kernel: Option<String>,
        /// Names of test files, such as life. Default: those of the chore's own list
        tests: Vec<String>,
    },
    /// Record the memory that the encoder's tests run over, of every interpreter and of those in PYTRACE_PYTHONS
    Record,
    /// Write docs/effects.md, the reference page of the catalogue
    Effects,
    /// Write docs/scale.md, the load of fleets of 10 to 100,000 hosts
    Scale,
    /// Write the object layouts of the interpreters under ~/.pyenv/versions and in PYTRACE_PYTHONS
    Layouts {
        /// Write nothing, fail where a file differs
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    coverage::compile_if_asked();
    match Cli::parse().command {
        Command::Setup => setup::run(),
        Command::Build => setup::run().and_then(|()| build::release()),
        Command::Demo => setup::run()
            .and_then(|()| build::release())
            .and_then(|()| demo::run(&build::binary())),
        Command::Test => setup::run().and_then(|()| test::run()),
        Command::E2e { filter } => setup::run().and_then(|()| test::e2e(filter.as_deref())),
        Command::Coverage => setup::run().and_then(|()| coverage::run()),
        Command::Bench { page, part, pythons } => setup::run()
            .and_then(|()| build::release())
            .and_then(|()| bench::run(&pythons, part.as_deref(), page)),
        Command::Deny => deny::run(),
        Command::Dist { check, binary, what } => dist::run(&what, binary, check),
        Command::Regress {
            pythons,
            follow,
            modules,
        } => setup::run()
            .and_then(|()| build::release())
            .and_then(|()| regress::run(pythons, follow, &modules)),
        Command::Fuzz { seconds, target } => {
            setup::run().and_then(|()| fuzz::run(seconds, target.as_deref()))
        }
        Command::Vm { kernel, tests } => setup::run()
            .and_then(|()| build::release())
            .and_then(|()| vm::run(kernel.as_deref(), &tests)),
        Command::Record => setup::run().and_then(|()| record::run()),
        Command::Effects => effects::run(),
        Command::Scale => scale::run(),
        Command::Layouts { check } => layouts::run(check),
    }
}
