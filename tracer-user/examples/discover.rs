//! `cargo run --release --example discover -- PID [GLOB-LESS PART OF A NAME]`: what discovery
//! finds in a process, and the time it takes.

use std::time::Instant;

use tracer_user::catalogue::discover::discover;
use tracer_user::cpython::Interpreter;
use tracer_user::process::Process;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let pid = args.next().unwrap_or_default().parse()?;
    let part = args.next();
    let start = Instant::now();
    let process = Process::open(pid)?;
    let interpreter = Interpreter::find(&process)?;
    let found = start.elapsed();
    let start = Instant::now();
    let discovery = discover(&process, &interpreter)?;
    let walked = start.elapsed();
    if let Some(part) = part {
        let named = |function: &&tracer_user::catalogue::discover::CFunction| {
            function.names().any(|name| name.contains(&part))
        };
        for function in discovery.functions.iter().filter(named) {
            println!("{function:x?}");
        }
    }
    for refused in &discovery.refused {
        println!(
            "refused: {} {:x?}: {}",
            refused.function, refused.ml_flags, refused.why
        );
    }
    println!(
        "Python {} in {}: interpreter found in {found:.1?}; {} functions in {} files ({} refused, cut: {:?}) in {walked:.1?}",
        interpreter.python_version_string(),
        interpreter.library().path.clone().unwrap_or_default().display(),
        discovery.functions.len(),
        discovery.files.len(),
        discovery.refused.len(),
        discovery.cut,
    );
    Ok(())
}
