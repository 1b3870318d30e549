//! Builds the kernel half and puts it where `attach` embeds it.

#[path = "../xtask/src/bpf_toolchain.rs"]
mod bpf_toolchain;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::exit,
};

fn main() {
    if let Err(error) = build() {
        eprintln!("error: the kernel half cannot be built: {error}");
        exit(1);
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let root = manifest.parent().unwrap_or(&manifest).to_owned();
    watch(&root);
    let toolchain = bpf_toolchain::find().map_err(|what| format!("{what}; run `cargo xtask setup`"))?;
    let target_dir = out.join("bpf");
    let status = toolchain
        .cargo(&root, "build", &target_dir)
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err("see above; if tools are missing, run `cargo xtask setup`".into());
    }
    let object = target_dir
        .join(bpf_toolchain::BPF_TARGET)
        .join("release/tracer-ebpf");
    fs::copy(&object, out.join("tracer-ebpf")).map_err(|error| format!("{}: {error}", object.display()))?;
    Ok(())
}

fn watch(root: &Path) {
    for path in [
        "tracer-ebpf/src",
        "tracer-ebpf/Cargo.toml",
        "tracer-common/src",
        "tracer-common/Cargo.toml",
        "xtask/src/bpf_toolchain.rs",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo:rerun-if-changed={}", root.join(path).display());
    }
}
