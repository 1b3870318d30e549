fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::copy(
        "/tmp/w/bpf-target/bpfel-unknown-none/release/tracer-ebpf",
        format!("{out}/tracer-ebpf"),
    )
    .unwrap();
    println!("cargo:rerun-if-changed=/tmp/w/bpf-target/bpfel-unknown-none/release/tracer-ebpf");
}
