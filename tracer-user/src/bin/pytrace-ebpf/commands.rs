//! The commands that trace nothing.

use std::io::Write as _;

use tracer_common::guard::is_guard;
use tracer_user::{
    bytecode::{self, EXPORTED, Operation, UNSEEN_IN_JIT},
    catalogue::{
        reference,
        select::{Functions, Selection},
    },
    event::PYTHON_CALL,
    sink::escape::plainly,
    sites::Price,
};

use crate::target::{Site, Traced, Wanted};

/// Writes a line, in which names may be the process's own.
macro_rules! row {
    ($out:expr, $($format:tt)*) => {
        writeln!($out, "{}", plainly(&format!($($format)*)))
    };
}

/// Prints what can be traced in a process.
pub fn functions(pid: u32, glob: Option<&str>) -> anyhow::Result<()> {
    let wanted = Wanted {
        effects: Selection::parse("none")?,
        runs: false,
        given: String::new(),
        functions: Functions::parse(&[glob.unwrap_or("*").to_owned()]).map_err(crate::Usage::from)?,
    };
    let traced = Traced::find(pid, &wanted)?;
    // Bytecodes come below, by their forms.
    let is_function = |site: &&Site| site.meta.operands.is_none() && !is_guard(site.meta.convention as u8);
    let mut sites: Vec<_> = traced.sites.iter().filter(is_function).collect();
    sites.sort_by(|a, b| a.meta.function.cmp(&b.meta.function));
    let mut out = std::io::stdout().lock();
    for site in sites {
        let price = match site.price() {
            Price::Emulated => "emulated",
            Price::SingleStepped => "single-stepped",
        };
        let file = &traced.discovery.files[site.file].path;
        let line = row!(
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
    let matches = |operation: &Operation| {
        wanted.functions.matches::<&str>(operation.op, &[])
            || operation
                .function
                .is_some_and(|name| wanted.functions.matches::<&str>(name, &[]))
    };
    for planned in bytecode::plan(&traced.process, &traced.interpreter, matches) {
        let effect = planned.operation.effect;
        let line = match planned.sites {
            Ok(_) => row!(out, "{:<48} {effect:<20} bytecode", planned.form),
            Err(why) => row!(out, "{:<48} refused: {why}", planned.form),
        };
        if line.is_err() {
            return Ok(());
        }
    }
    for operation in EXPORTED.iter().filter_map(|op| Operation::find(op)) {
        if !matches(operation) {
            continue;
        }
        let line = match bytecode::exported(&traced.process, &traced.interpreter, operation.op) {
            Some(Ok(_)) => row!(out, "{:<48} {:<20} statement", operation.op, operation.effect),
            Some(Err(why)) => row!(out, "{:<48} refused: {why}", operation.op),
            None => Ok(()),
        };
        if line.is_err() {
            return Ok(());
        }
    }
    if glob.is_none() {
        let line = match bytecode::runs(&traced.process, &traced.interpreter) {
            Ok(_) => row!(out, "{:<48} {:<20} --calls", "Python functions", PYTHON_CALL),
            Err(why) => row!(out, "{:<48} refused: {why}", "Python functions"),
        };
        if line.is_err() {
            return Ok(());
        }
    }
    if bytecode::may_compile(&traced.process, &traced.interpreter)
        && row!(out, "{:<48} partly unseen: {UNSEEN_IN_JIT}", "bytecodes").is_err()
    {
        return Ok(());
    }
    for (function, why) in &traced.refused {
        if row!(out, "{function:<48} refused: {why}").is_err() {
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
