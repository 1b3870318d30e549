use tracer_user::attach::*;
fn main() {
    match Kernel::load(KernelOptions { ring_bytes: 1<<20, sites: 16 }) { Ok(_) => println!("ok"), Err(e) => { eprintln!("{e}"); std::process::exit(1) } }
}
