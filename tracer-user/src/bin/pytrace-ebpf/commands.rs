//! The commands that trace nothing.

use std::io::Write as _;

use anyhow::bail;
use tracer_user::{
    attach::{Kernel, KernelOptions},
    catalogue::{
        reference,
        select::{Functions, Selection},
    },
    sites::Price,
};

use crate::target::{Traced, Wanted};

/// Prints what can be traced in a process.
pub fn functions(pid: u32, glob: Option<&str>) -> anyhow::Result<()> {
    let wanted = Wanted {
        effects: Selection::parse("none")?,
        functions: Functions::parse(&[glob.unwrap_or("*").to_owned()]).map_err(crate::Usage::from)?,
    };
    let traced = Traced::find(pid, &wanted)?;
    let mut sites: Vec<_> = traced.sites.iter().collect();
    sites.sort_by(|a, b| a.meta.function.cmp(&b.meta.function));
    let mut out = std::io::stdout().lock();
    for site in sites {
        let price = match site.plan.price {
            Price::Emulated => "emulated",
            Price::SingleStepped => "single-stepped",
        };
        let file = &traced.discovery.files[site.file].path;
        let line = writeln!(
            out,
            "{:<48} {:<20} {:<16} {:<14} {}",
            site.meta.function,
            site.meta.effect,
            format!("{:?}", site.meta.convention),
            price,
            file.display()
        );
        if line.is_err() {
            return Ok(());
        }
    }
    for (function, why) in &traced.refused {
        if writeln!(out, "{function:<48} refused: {why}").is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Prints the catalogue.
pub fn effects(markdown: bool) -> anyhow::Result<()> {
    let mut text = String::new();
    if markdown {
        reference::markdown(&mut text)?;
    } else {
        reference::text(&mut text)?;
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Says what works here.
pub fn doctor(pid: Option<u32>) -> anyhow::Result<()> {
    let release = nix::sys::utsname::uname()?;
    println!(
        "kernel         {} {}",
        release.release().to_string_lossy(),
        release.machine().to_string_lossy()
    );
    match Kernel::load(KernelOptions {
        filters: 0,
        ring_bytes: 1 << 20,
        sites: 1,
        log_level: 0,
        empty: false,
    }) {
        Ok(_) => println!("BPF programs   load (uprobe_multi, sleepable, bpf_loop)"),
        Err(error) => bail!("BPF programs do not load: {error}"),
    }
    if let Some(pid) = pid {
        let wanted = Wanted {
            effects: Selection::parse("world")?,
            functions: Functions::parse::<String>(&[])?,
        };
        let traced = Traced::find(pid, &wanted)?;
        let emulated = traced
            .sites
            .iter()
            .filter(|site| site.plan.price == Price::Emulated)
            .count();
        let unobserved = traced
            .sites
            .iter()
            .filter(|site| site.meta.no_return.is_some())
            .count();
        println!(
            "process        {pid}, Python {}",
            traced.interpreter.python_version_string()
        );
        println!("functions      {} found", traced.discovery.functions.len());
        println!(
            "world          {} sites, {emulated} of them on emulated instructions",
            traced.sites.len()
        );
        if let Some(why) = traced.sites.iter().find_map(|site| site.meta.no_return) {
            println!("return probes  refused for {unobserved} sites: {why}");
        }
    }
    Ok(())
}
