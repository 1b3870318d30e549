use tracer_user::{attach::*, catalogue::discover::discover, cpython::Interpreter, process::Process};
use tracer_common::{cookie::*, target::CaptureLimits, wire::Tag};
fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let pid: u32 = args.next().unwrap().parse()?;
    let name = args.next().unwrap();
    let process = Process::open(pid)?;
    let interpreter = Interpreter::find(&process)?;
    let discovery = discover(&process, &interpreter)?;
    let f = discovery.functions.iter().find(|f| f.function == name).unwrap();
    let mut kernel = Kernel::load(KernelOptions { ring_bytes: 1 << 20, sites: 16 })?;
    kernel.set_target(0, interpreter.target(&process, CaptureLimits { stack: 3, ..Default::default() }))?;
    let cookie = SiteCookie { site: 0, target: 0, registers: [Register::Rdi, Register::Rsi, Register::Rdx, Register::Rcx, Register::R8], convention: f.convention, self_kind: f.self_kind, return_kind: ReturnKind::Object }.pack();
    let path = process.mapping_link(&discovery.files[f.file].mapping);
    let point = [Point { offset: f.file_offset, cookie }];
    let _r = Link::attach(kernel.leave(), Probe::Return, &path, &point, pid)?;
    let _e = Link::attach(kernel.entry(), Probe::Entry, &path, &point, pid)?;
    let mut ring = kernel.take_events()?;
    for _ in 0..10 {
        std::thread::sleep(std::time::Duration::from_millis(300));
        while let Some(item) = ring.next() {
            let words: Vec<u64> = item.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect();
            println!("kind {} len {} tid {} flags {} frames {}", item[0], item.len(), words[1] >> 32, words[4] as u32, words[4] >> 32);
            for w in &words[5..] { print!("  {w:x}({:?})", Tag::from_u8(*w as u8)); }
            println!();
        }
        println!("{:?}", kernel.counters(0)?);
    }
    Ok(())
}
