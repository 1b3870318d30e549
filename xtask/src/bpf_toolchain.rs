//! Which compiler builds the BPF crate. Shared by `xtask` and, through `#[path]`, by the build
//! script of `tracer-user`, so it uses the standard library only.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The compilation target of BPF programs.
pub const BPF_TARGET: &str = "bpfel-unknown-none";
/// Debian's compiler, when rustc-web is installed.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// For all crates of the program. bpf-linker passes LLVM `-bpf-expand-memcpy-in-order` unless told not to, with which
/// each clearing of a buffer becomes a loop over its bytes, and the verifier walks every round.
const FLAGS: &str =
    "-C target-cpu=v3 -C debuginfo=2 -C link-arg=--btf -C link-arg=--disable-expand-memcpy-in-order";

/// A compiler that can build for BPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// Has the target's core library prebuilt (Debian: rustc-web, libstd-rust-web-dev-bpf).
    Prebuilt(PathBuf),
    /// A nightly toolchain of rustup with rust-src, which builds core itself.
    Nightly,
}

/// Everything a BPF build needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    pub compiler: Compiler,
    pub linker: PathBuf,
}

/// The compiler, if there is one.
pub fn compiler() -> Option<Compiler> {
    let debian = PathBuf::from(DEBIAN_RUSTC);
    if sysroot(&debian).is_some_and(|root| root.join("lib/rustlib").join(BPF_TARGET).is_dir()) {
        return Some(Compiler::Prebuilt(debian));
    }
    let output = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .output()
        .ok()?;
    let root = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let sources = root.join("lib/rustlib/src/rust/library/core");
    (output.status.success() && sources.is_dir()).then_some(Compiler::Nightly)
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// bpf-linker, from PATH or where `cargo install` puts it.
pub fn linker() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    env::split_paths(&path)
        .chain(cargo_home.or(home).map(|home| home.join("bin")))
        .map(|dir| dir.join("bpf-linker"))
        .find(|linker| linker.is_file())
}

/// Compiler and linker, or what is missing.
pub fn find() -> Result<Toolchain, String> {
    let compiler = compiler().ok_or("no Rust compiler with a BPF target")?;
    let linker = linker().ok_or("no bpf-linker")?;
    Ok(Toolchain { compiler, linker })
}

impl Toolchain {
    /// The command that builds (`verb` "build") or lints the BPF crate of the workspace at `root`.
    pub fn cargo(&self, root: &Path, verb: &str, target_dir: &Path) -> Command {
        let mut command = match &self.compiler {
            Compiler::Prebuilt(rustc) => {
                let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").arg(verb);
                command
            }
            Compiler::Nightly => {
                let mut command = Command::new("rustup");
                command
                    .args(["run", "nightly", "cargo", verb, "-Z", "build-std=core"])
                    .env_remove("RUSTC");
                command
            }
        };
        // What cargo sets for a build script or a linter is not meant for this build.
        for name in [
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
        ] {
            command.env_remove(name);
        }
        let linker = format!("linker={}", self.linker.display());
        command
            .current_dir(root)
            .env("RUSTFLAGS", format!("{FLAGS} -C {linker}"))
            .args(["--release", "--package", "tracer-ebpf", "--target", BPF_TARGET])
            .arg("--target-dir")
            .arg(target_dir);
        command
    }
}
