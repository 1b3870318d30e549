//! One traced process: from pid to the sites to probe.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use tracer_common::{
    cookie::{COOKIE_REGISTERS, Convention, Register, ReturnKind, SelfKind},
    handle::HandleKind,
    limits::USUAL_SITES,
    load::Module,
};
use tracer_user::{
    bytecode::{self, BytecodeSite, EXPORTED, Operands, Operation, RunSite, UNSEEN_IN_JIT},
    catalogue::{
        discover::{CFunction, Discovery, MappedFile, discover},
        effects,
        select::{Functions, Selection},
    },
    cpython::{Interpreter, start},
    event::{
        Deletion, PYTHON_CALL, SiteMeta,
        naming::{is_deletion, method_of},
    },
    process::{Mapping, Process},
    sites::{self, Plan, Starts},
};

use crate::harm;

/// Of a call that a specialised bytecode does itself.
const IN_LINE: &str = "the interpreter does it without a call: whether it succeeds is not observed";
/// Of every other bytecode.
const NO_END: &str = "whether a bytecode succeeds is not observed";
/// And of a read of a global.
const ONLY_READ: &str = "a read that finds nothing is not shown";
/// Of a function that must not have a return probe.
pub const NOT_APART: &str = "a return probe could end this process, and the kernel would give it that of another traced process: the \
                         function has no instruction apart from where return probes are";
/// Bytes of a function looked at to choose the instruction.
const CODE_WINDOW: usize = 4096;

/// What the user asked to see.
pub struct Wanted {
    pub effects: Selection,
    pub functions: Functions,
    /// Runs of Python functions.
    pub runs: bool,
    /// As it was given: the same for the same.
    pub given: String,
}

impl Wanted {
    /// Nothing is to be probed.
    pub fn is_nothing(&self) -> bool {
        self.effects.is_empty() && self.functions.is_empty() && !self.runs
    }
}

/// A place in a file: device, inode, offset of the function.
pub type Place = ((u32, u32), u64, u64);

/// A function that will be probed.
#[derive(Clone)]
pub struct Site {
    pub meta: SiteMeta,
    /// No Python code runs inside.
    pub leaf: bool,
    /// Its index among all sites; given by the session.
    pub number: u32,
    pub plan: Plan,
    /// Where it is entered in a process in which it gets no return probe, see [`sites::apart`].
    pub apart: Option<Plan>,
    /// It is where runs of Python functions begin or end.
    pub run: Option<RunSite>,
    /// Index into [`Traced::discovery`]'s files.
    pub file: usize,
    pub file_offset: u64,
}

/// A process found to be traceable, and what in it is wanted.
#[derive(Clone)]
pub struct Traced {
    pub process: Arc<Process>,
    pub interpreter: Arc<Interpreter>,
    pub discovery: Discovery,
    pub sites: Vec<Site>,
    /// Functions that were wanted but cannot be probed, and why.
    pub refused: Vec<(String, String)>,
    /// What of the wanted bytecodes and functions cannot be seen, though they are probed.
    pub unseen: Option<&'static str>,
    /// The files, by [`Discovery::files`], where the probes are those of other processes too, which may stay longer.
    pub opened: Vec<Option<Arc<File>>>,
}

impl Traced {
    /// Looks the process over. Nothing is changed in it.
    pub fn find(pid: u32, wanted: &Wanted) -> anyhow::Result<Self> {
        let process = Process::open(pid)?;
        harm::check(&process)?;
        let interpreter = Interpreter::find(&process)?;
        Self::look(process, Arc::new(interpreter), wanted, &HashSet::new())
    }

    /// Forgets the functions that were found and are not to be probed, but for those that say where to watch: most of the memory that is
    /// needed for a process.
    pub fn forget_functions(&mut self) {
        let functions = std::mem::take(&mut self.discovery.functions).into_iter();
        let tells_of_modules = |function: &CFunction| start::LOAD.contains(&function.function.as_str());
        self.discovery.functions = functions.filter(tells_of_modules).collect();
        self.discovery.refused = Vec::new();
    }

    /// Opens the files that its sites are in.
    pub fn open_files(&mut self) -> anyhow::Result<()> {
        self.opened = vec![None; self.discovery.files.len()];
        for site in &self.sites {
            let opened = &mut self.opened[site.file];
            if opened.is_none() {
                let mapping = &self.discovery.files[site.file].mapping;
                *opened = Some(Arc::new(self.process.open_mapping(mapping)?));
            }
        }
        Ok(())
    }

    /// An opened file, as a path.
    pub fn opened(&self, file: usize) -> anyhow::Result<PathBuf> {
        let opened = self.opened.get(file).and_then(Option::as_ref);
        let opened = opened.context("the file is not open")?;
        Ok(format!("/proc/self/fd/{}", opened.as_raw_fd()).into())
    }

    /// Whether the same was found in that process, which runs the same program.
    pub fn has_same_sites(&self, other: &Self) -> bool {
        let place = |site: &Site| (site.file, site.file_offset);
        Arc::ptr_eq(&self.interpreter, &other.interpreter)
            && self.sites.iter().map(place).eq(other.sites.iter().map(place))
    }

    /// Looks it, or a process that was forked from it, over again, for what has come since: functions that are not at these places.
    pub fn find_new(&self, pid: u32, wanted: &Wanted, known: &HashSet<Place>) -> anyhow::Result<Self> {
        let process = Process::open(pid)?;
        Self::look(process, Arc::clone(&self.interpreter), wanted, known)
    }

    fn look(
        process: Process,
        interpreter: Arc<Interpreter>,
        wanted: &Wanted,
        known: &HashSet<Place>,
    ) -> anyhow::Result<Self> {
        let discovery = match wanted.is_nothing() {
            true => Discovery::default(),
            false => discover(&process, &interpreter)?,
        };
        let mut traced = Self {
            process: Arc::new(process),
            interpreter,
            discovery,
            sites: Vec::new(),
            refused: Vec::new(),
            unseen: None,
            opened: Vec::new(),
        };
        traced.choose(wanted, known)?;
        Ok(traced)
    }

    fn choose(&mut self, wanted: &Wanted, known: &HashSet<Place>) -> anyhow::Result<()> {
        let harm = harm::Policy::of(&self.process)?;
        let system = System {
            is_python2: self.interpreter.layout().is_python2(),
            is_glibc: self.process.has_mapping_named("libc.so.6")
                || self.process.has_mapping_named("libc-2."),
        };
        let mut files: HashMap<usize, CodeFile> = HashMap::new();
        for function in &self.discovery.functions {
            let file = &self.discovery.files[function.file];
            if known.contains(&(file.dev, file.inode, function.file_offset)) {
                continue;
            }
            let Some((meta, leaf)) = meta(function, wanted, harm, system) else {
                continue;
            };
            if function.is_common() && !wanted.functions.names(&function.function, &function.aliases) {
                self.refused.push((function.function.clone(), common(function)));
                continue;
            }
            let file = files
                .entry(function.file)
                .or_insert_with(|| CodeFile::open(&self.process, &file.mapping));
            match file.plans(function) {
                Ok((_, None)) if meta.no_return.is_some() => {
                    self.refused
                        .push((function.function.clone(), NOT_APART.to_owned()));
                }
                Ok((plan, apart)) => self.sites.push(Site {
                    meta,
                    leaf,
                    number: 0,
                    plan,
                    apart,
                    run: None,
                    file: function.file,
                    file_offset: function.file_offset,
                }),
                Err(why) => self.refused.push((function.function.clone(), why)),
            }
        }
        // The interpreter does not change while it runs.
        if known.is_empty() {
            self.choose_bytecodes(wanted);
            if wanted.runs {
                self.choose_runs()?;
            }
            let by_handlers = |site: &Site| {
                site.run.is_some() || site.meta.operands.is_some() || site.meta.no_return == Some(IN_LINE)
            };
            if self.sites.iter().any(by_handlers) && bytecode::may_compile(&self.process, &self.interpreter) {
                self.unseen = Some(UNSEEN_IN_JIT);
            }
        }
        let refused = self.discovery.refused.iter();
        self.refused.extend(
            refused
                .filter(|function| wanted.functions.matches(&function.function, &function.aliases))
                .map(|function| (function.function.clone(), function.why.to_owned())),
        );
        Ok(())
    }

    /// Adds the bytecodes that have wanted effects.
    fn choose_bytecodes(&mut self, wanted: &Wanted) {
        let named = |operation: &Operation| match operation.function {
            Some(function) => wanted.functions.matches::<&str>(function, &[]),
            None => wanted.functions.names::<&str>(operation.op, &[]),
        };
        let is_wanted = |operation: &Operation| wanted.effects.wants(operation.effect) || named(operation);
        for planned in bytecode::plan(&self.process, &self.interpreter, is_wanted) {
            match planned.sites {
                Ok(sites) => sites
                    .into_iter()
                    .for_each(|site| self.add_bytecode(&site, named(planned.operation))),
                Err(why) => self.refused.push((planned.form.to_owned(), why.to_string())),
            }
        }
        for op in EXPORTED {
            if !Operation::find(op).is_some_and(is_wanted) {
                continue;
            }
            match bytecode::exported(&self.process, &self.interpreter, op) {
                // Shown wherever it happens.
                Some(Ok(site)) => self.add_bytecode(&site, true),
                Some(Err(why)) => self.refused.push((op.to_owned(), why.to_string())),
                None => {}
            }
        }
    }

    /// Adds the places where runs of Python functions begin and end: all, or the reason why not.
    fn choose_runs(&mut self) -> anyhow::Result<()> {
        let found = bytecode::runs(&self.process, &self.interpreter)
            .context("--calls: Python functions cannot be traced in this process")?;
        for run in found {
            let (file, file_offset) = self
                .locate(run.address)
                .context("--calls: the interpreter's code is in no file")?;
            self.sites.push(Site {
                meta: SiteMeta {
                    function: format!("Python functions ({})", run.form).into(),
                    module_len: 0,
                    aliases: [].into(),
                    effect: PYTHON_CALL,
                    wanted: true,
                    deletion: None,
                    convention: Convention::NoArgs,
                    self_kind: SelfKind::Module,
                    return_kind: ReturnKind::Object,
                    named: true,
                    no_return: None,
                    handle: HandleKind::None,
                    operands: None,
                    run: Some(run.role),
                    target: &[],
                },
                leaf: true,
                number: 0,
                plan: Plan {
                    offset: 0,
                    registers: [run.frame; COOKIE_REGISTERS],
                    price: run.price,
                },
                apart: None,
                run: Some(run),
                file,
                file_offset,
            });
        }
        Ok(())
    }

    /// The file that an address is in, by its index, and where.
    fn locate(&mut self, address: u64) -> Option<(usize, u64)> {
        let (mapping, file_offset) = self.process.locate(address)?;
        let files = &mut self.discovery.files;
        let is_there = |file: &MappedFile| (file.dev, file.inode) == (mapping.dev, mapping.inode);
        let file = files.iter().position(is_there).unwrap_or_else(|| {
            files.push(MappedFile::of(mapping));
            files.len() - 1
        });
        Some((file, file_offset))
    }

    fn add_bytecode(&mut self, site: &BytecodeSite, named: bool) {
        let Some((file, file_offset)) = self.locate(site.address) else {
            return;
        };
        let operation = site.operation;
        let function = operation.function.unwrap_or(operation.op);
        let plan = Plan {
            offset: 0,
            registers: site.registers,
            price: site.price,
        };
        self.sites.push(Site {
            meta: SiteMeta {
                function: Arc::from(function),
                module_len: operation.function.and_then(|name| name.find('.')).unwrap_or(0),
                aliases: [].into(),
                effect: operation.effect,
                wanted: true,
                deletion: None,
                convention: site.convention,
                self_kind: site.self_kind,
                return_kind: ReturnKind::Status,
                named,
                no_return: Some(match operation.operands {
                    _ if operation.function.is_some() => IN_LINE,
                    Operands::Read => ONLY_READ,
                    _ => NO_END,
                }),
                handle: HandleKind::None,
                operands: operation.function.is_none().then_some(operation.operands),
                run: None,
                target: &[],
            },
            // It never has a return probe.
            leaf: true,
            number: 0,
            plan,
            // Bytecodes are no functions that return: nobody has a return probe there.
            apart: Some(plan),
            run: None,
            file,
            file_offset,
        });
    }

    /// Where its sites are.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.sites.iter().map(|site| {
            let file = &self.discovery.files[site.file];
            (file.dev, file.inode, site.file_offset)
        })
    }

    /// Where it can be seen that a module was loaded: files to attach to, the offsets of instructions
    /// in them whose functions return when a module is there, and where the module is at that instruction.
    pub fn load_points(&self, process: &Process) -> Vec<(PathBuf, u64, Module)> {
        let functions = self.discovery.functions.iter();
        let found: Vec<_> = functions
            .filter(|function| start::LOAD.contains(&function.function.as_str()))
            .filter_map(|function| {
                let mapping = &self.discovery.files[function.file].mapping;
                let (plan, _) = CodeFile::open(process, mapping).plans(function).ok()?;
                let offset = function.file_offset + u64::from(plan.offset);
                // The first is the module of the function itself.
                let module = Module::Object(plan.registers[1]);
                Some((process.mapping_link(mapping), offset, module))
            })
            .collect();
        if found.is_empty() {
            let found = self.symbol(process, &[start::LOAD_PYTHON2]);
            // The first C argument.
            let named = |(path, offset)| (path, offset, Module::Name(Register::Rdi));
            return found.map(named).into_iter().collect();
        }
        found
    }

    /// Where a forked child passes before it runs Python code.
    pub fn fork_point(&self, process: &Process) -> Option<(PathBuf, u64)> {
        self.symbol(process, &start::FORKED)
    }

    fn symbol(&self, process: &Process, names: &[&'static str]) -> Option<(PathBuf, u64)> {
        let mapping = self.interpreter.library();
        let code = start::Code::of(process.open_mapping(mapping).ok()?)?;
        let found = code.offsets(names);
        let first = names
            .iter()
            .find_map(|name| found.iter().find(|(known, _)| known == name))?;
        Some((process.mapping_link(mapping), first.1))
    }
}

/// What else decides where a file object has its descriptor.
#[derive(Clone, Copy)]
struct System {
    is_python2: bool,
    is_glibc: bool,
}

/// What the events of a function will say; `None`: nobody asked for it.
/// Also: whether no Python code runs inside.
fn meta(
    function: &CFunction,
    wanted: &Wanted,
    harm: harm::Policy,
    system: System,
) -> Option<(SiteMeta, bool)> {
    let named = wanted.functions.matches(&function.function, &function.aliases);
    let entry = |deletes: bool| {
        let mut names = function.names();
        names.find_map(|name| (is_deletion(method_of(name)) == deletes).then(|| effects::find(name))?)
    };
    let wants = |entry: Option<&effects::Effect>| {
        named || entry.is_some_and(|entry| wanted.effects.wants(entry.effect))
    };
    let (sets, deletes) = (entry(false), entry(true));
    if !wants(sets) && !wants(deletes) {
        return None;
    }
    let effect = |entry: Option<&effects::Effect>| entry.map_or(effects::OTHER, |entry| entry.effect);
    let leaf = [sets, deletes].into_iter().flatten().all(|entry| entry.leaf);
    let leaf = leaf && (sets.is_some() || deletes.is_some());
    let aliases = function.aliases.iter();
    let target = sets.or(deletes).map_or(&[][..], |entry| entry.target);
    let meta = SiteMeta {
        function: Arc::from(function.function.as_str()),
        module_len: function.module_len,
        aliases: aliases.map(|alias| Arc::from(alias.as_str())).collect(),
        effect: effect(sets),
        wanted: wants(sets),
        deletion: deletes.map(|entry| Deletion {
            effect: entry.effect,
            wanted: wants(deletes),
        }),
        convention: function.convention,
        self_kind: function.self_kind,
        return_kind: function.return_kind,
        named,
        no_return: harm.no_return(leaf),
        operands: None,
        run: None,
        handle: effects::handle_of(
            function.names(),
            function.self_kind,
            target,
            system.is_python2,
            system.is_glibc,
        ),
        target,
    };
    Some((meta, leaf))
}

/// Why a function is not traced for a wildcard.
fn common(function: &CFunction) -> String {
    let name = &function.function;
    format!(
        "{} types share it; `-f {name}` alone asks for it",
        function.slot_of
    )
}

/// A file whose functions are probed.
struct CodeFile {
    file: Option<File>,
    starts: Starts,
}

impl CodeFile {
    fn open(process: &Process, mapping: &Mapping) -> Self {
        let open = || process.open_mapping(mapping).ok();
        Self {
            file: open(),
            starts: open().map(Starts::of).unwrap_or_default(),
        }
    }

    /// Where a function is probed, and where it is entered if it must not have a return probe.
    fn plans(&self, function: &CFunction) -> Result<(Plan, Option<Plan>), String> {
        let file = self.file.as_ref().ok_or("its file cannot be opened")?;
        if self.starts.goes_over(function.file_offset) {
            return Err(sites::Refusal::Inside.to_string());
        }
        let mut code = [0; CODE_WINDOW];
        let len = file
            .read_at(&mut code, function.file_offset)
            .map_err(|error| error.to_string())?;
        let (code, address) = (&code[..len], function.ml_meth);
        let (convention, self_kind) = (function.convention, function.self_kind);
        let plan = sites::plan(code, address, convention, self_kind).map_err(|error| error.to_string())?;
        Ok((plan, sites::apart(code, address, convention, self_kind)))
    }
}

/// All processes asked for; an error where one of them cannot be traced or nothing is left to probe.
pub fn find_all(pids: &[u32], wanted: &Wanted) -> anyhow::Result<Vec<Traced>> {
    let mut traced = Vec::new();
    for pid in pids {
        let found = Traced::find(*pid, wanted);
        if found.is_err() {
            // One that has ended meanwhile is no more than that.
            Process::open(*pid)?;
        }
        traced.push(found?);
    }
    let sites: usize = traced.iter().map(|traced| traced.sites.len()).sum();
    if sites == 0 && !wanted.is_nothing() {
        let refused = traced.iter().flat_map(|traced| &traced.refused).next();
        if let Some((function, why)) = refused {
            bail!("{function} cannot be probed: {why}");
        }
        bail!(
            "nothing to trace: no function there has these effects or names; see `pytrace-ebpf functions --pid {}`",
            pids[0]
        );
    }
    if sites > USUAL_SITES as usize {
        bail!("{sites} functions are too many at once (at most {USUAL_SITES}); narrow -e or -f");
    }
    Ok(traced)
}
