//! One traced process: from pid to the sites to probe.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::File,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use tracer_common::{
    activation,
    cookie::{COOKIE_REGISTERS, Convention, ReturnKind, SelfKind, SiteCookie},
    handle::HandleKind,
    limits::MAX_SITES,
};
use tracer_user::{
    attach::{Kernel, Link, Point, Probe},
    bytecode::{self, BytecodeSite, EXPORTED, Operation, RunSite, UNSEEN_IN_JIT},
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
    process::Process,
    sites::{self, Plan, Price, Starts},
};

use crate::harm;

/// Of a call that a specialised bytecode does itself.
const IN_LINE: &str = "the interpreter does it without a call: whether it succeeds is not observed";
/// Of every other bytecode.
const NO_END: &str = "whether a bytecode succeeds is not observed";
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
}

/// A place in a file: device, inode, offset of the function.
pub type Place = ((u32, u32), u64, u64);

/// A function that will be probed.
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
pub struct Traced {
    pub process: Arc<Process>,
    pub interpreter: Arc<Interpreter>,
    pub discovery: Discovery,
    pub sites: Vec<Site>,
    /// Functions that were wanted but cannot be probed, and why.
    pub refused: Vec<(String, String)>,
    /// What of the wanted bytecodes and functions cannot be seen, though they are probed.
    pub unseen: Option<&'static str>,
}

impl Traced {
    /// Looks the process over. Nothing is changed in it.
    pub fn find(pid: u32, wanted: &Wanted) -> anyhow::Result<Self> {
        let process = Process::open(pid)?;
        let interpreter = Interpreter::find(&process)?;
        Self::look(process, Arc::new(interpreter), wanted, &HashSet::new())
    }

    /// Looks it over again, for what has come since: functions that are not at these places.
    pub fn find_new(&self, wanted: &Wanted, known: &HashSet<Place>) -> anyhow::Result<Self> {
        let process = Process::open(self.process.pid())?;
        Self::look(process, Arc::clone(&self.interpreter), wanted, known)
    }

    fn look(
        process: Process,
        interpreter: Arc<Interpreter>,
        wanted: &Wanted,
        known: &HashSet<Place>,
    ) -> anyhow::Result<Self> {
        let discovery = discover(&process, &interpreter)?;
        let mut traced = Self {
            process: Arc::new(process),
            interpreter,
            discovery,
            sites: Vec::new(),
            refused: Vec::new(),
            unseen: None,
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
        let files: Vec<Option<File>> = self
            .discovery
            .files
            .iter()
            .map(|file| self.process.open_mapping(&file.mapping).ok())
            .collect();
        let mut starts: HashMap<usize, Starts> = HashMap::new();
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
            let starts = starts.entry(function.file).or_insert_with(|| {
                let mapping = &self.discovery.files[function.file].mapping;
                self.process
                    .open_mapping(mapping)
                    .map(Starts::of)
                    .unwrap_or_default()
            });
            if starts.goes_over(function.file_offset) {
                self.refused
                    .push((function.function.clone(), sites::Refusal::Inside.to_string()));
                continue;
            }
            match plans(files.get(function.file).and_then(Option::as_ref), function) {
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
                no_return: Some(if operation.function.is_some() {
                    IN_LINE
                } else {
                    NO_END
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

    /// Puts the probes into a process, return probes first: this one, or one that was forked from it.
    /// `index` is that process's place among all targets; `switches`: it switches C stacks.
    pub fn attach(
        &self,
        kernel: &Kernel,
        process: &Process,
        index: u8,
        switches: bool,
    ) -> anyhow::Result<Attached> {
        let mut attached = Attached::default();
        for (file, mapped) in self.discovery.files.iter().enumerate() {
            for part in Part::IN_ORDER {
                if switches && part == Part::LeaveOther {
                    continue;
                }
                let link = self.link(part, kernel, process, (file, mapped), index, switches)?;
                attached.links[part as usize].extend(link);
            }
        }
        Ok(attached)
    }

    /// Enters functions in which Python code may run anew, where the return probes of other processes are not; after
    /// [`Attached::spare_stack_switches`].
    pub fn enter_apart(
        &self,
        attached: &mut Attached,
        kernel: &Kernel,
        process: &Process,
        index: u8,
    ) -> anyhow::Result<()> {
        for file in self.discovery.files.iter().enumerate() {
            let link = self.link(Part::EnterOther, kernel, process, file, index, true)?;
            attached.links[Part::EnterOther as usize].extend(link);
        }
        Ok(())
    }

    /// The probes of one part in one file.
    fn link(
        &self,
        part: Part,
        kernel: &Kernel,
        process: &Process,
        (file, mapped): (usize, &MappedFile),
        index: u8,
        switches: bool,
    ) -> anyhow::Result<Option<Link>> {
        let sites = self.sites.iter();
        let points: Vec<Point> = sites
            .filter(|site| site.file == file && part.has(site))
            .filter_map(|site| {
                let plan = site.plan_in(part, switches)?;
                Some(Point {
                    offset: site.file_offset + u64::from(plan.offset),
                    cookie: site.cookie(index, plan),
                })
            })
            .collect();
        if points.is_empty() {
            return Ok(None);
        }
        let (program, probe) = match part {
            Part::EnterLeaf | Part::EnterOther => (kernel.entry(), Probe::Entry),
            Part::LeaveLeaf | Part::LeaveOther => (kernel.leave(), Probe::Return),
            Part::EndRun | Part::BeginRun => {
                let program = kernel.run().context("the program for --calls is not loaded")?;
                (program, Probe::Entry)
            }
        };
        let path: PathBuf = process.mapping_link(&mapped.mapping);
        Link::attach(program, probe, &path, &points, process.pid())
            .with_context(|| format!("cannot probe {}", mapped.path.display()))
            .map(Some)
    }

    /// All places where probes of it may be, by file.
    pub fn all_points(&self, process: &Process) -> Vec<(PathBuf, Vec<Point>)> {
        let of_file = |(file, mapped): (usize, &MappedFile)| {
            let sites = self.sites.iter().filter(|site| site.file == file);
            let offsets: BTreeSet<u64> = sites
                .flat_map(|site| {
                    let plans = [Some(&site.plan), site.apart.as_ref()];
                    plans.map(|plan| Some(site.file_offset + u64::from(plan?.offset)))
                })
                .flatten()
                .collect();
            let points = offsets.into_iter().map(|offset| Point { offset, cookie: 0 });
            (process.mapping_link(&mapped.mapping), points.collect())
        };
        let files = self.discovery.files.iter().enumerate();
        let files = files.map(of_file).collect::<Vec<_>>();
        let watched = self.load_points(process).into_iter();
        let watched = watched.map(|(path, offset)| (path, vec![Point { offset, cookie: 0 }]));
        files
            .into_iter()
            .chain(watched)
            .filter(|(_, points)| !points.is_empty())
            .collect()
    }

    /// Where it can be seen that a module was loaded: files to attach to, and the offsets of instructions
    /// in them whose functions return when a module is there.
    pub fn load_points(&self, process: &Process) -> Vec<(PathBuf, u64)> {
        let functions = self.discovery.functions.iter();
        let found: Vec<_> = functions
            .filter(|function| start::LOAD.contains(&function.function.as_str()))
            .filter_map(|function| {
                let mapping = &self.discovery.files[function.file].mapping;
                let (plan, _) = plans(process.open_mapping(mapping).ok().as_ref(), function).ok()?;
                let offset = function.file_offset + u64::from(plan.offset);
                Some((process.mapping_link(mapping), offset))
            })
            .collect();
        if found.is_empty() {
            return self.symbol(process, &[start::LOAD_PYTHON2]).into_iter().collect();
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

impl Site {
    /// What each call costs the process as it is when it is looked at.
    pub fn price(&self) -> Price {
        let plan = self.plan_in(Part::EnterOther, false);
        plan.unwrap_or(&self.plan).price
    }

    /// Whether it must go when the process begins to switch C stacks.
    pub fn goes_with_switches(&self) -> bool {
        self.plan_in(Part::EnterOther, true).is_none()
    }

    /// Where a part of its probes is, in a process that switches C stacks or not; `None`: nowhere.
    fn plan_in(&self, part: Part, switches: bool) -> Option<&Plan> {
        let enters = matches!(part, Part::EnterLeaf | Part::EnterOther);
        let spared = self.meta.no_return.is_some() || switches && !self.leaf;
        match enters && spared {
            true => self.apart.as_ref(),
            false => Some(&self.plan),
        }
    }

    /// What the probe knows of it; `target`: index of the process.
    fn cookie(&self, target: u8, plan: &Plan) -> u64 {
        if let Some(run) = &self.run {
            return activation::Place {
                site: self.number,
                target,
                role: run.role,
                frame: run.frame,
                value: run.value,
                if_equal: run.if_equal,
            }
            .pack();
        }
        SiteCookie {
            site: self.number,
            target,
            registers: plan.registers,
            convention: self.meta.convention,
            self_kind: self.meta.self_kind,
            return_kind: self.meta.return_kind,
            fills: fills(&self.meta),
            handle: self.meta.handle,
        }
        .pack()
    }
}

/// Which argument is a buffer that the function fills, under whichever of its names.
fn fills(meta: &SiteMeta) -> Option<u8> {
    let names = std::iter::once(&meta.function).chain(&*meta.aliases);
    names
        .filter_map(|name| effects::find(name))
        .find_map(|effect| effect.fills)
}

/// The probes of one process, by when they may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    EnterLeaf,
    EnterOther,
    LeaveLeaf,
    LeaveOther,
    BeginRun,
    EndRun,
}

impl Part {
    const COUNT: usize = 6;
    /// In which they go in: no call begins to be followed whose end nobody sees.
    const IN_ORDER: [Self; Self::COUNT] = [
        Self::LeaveLeaf,
        Self::LeaveOther,
        Self::EndRun,
        Self::BeginRun,
        Self::EnterLeaf,
        Self::EnterOther,
    ];

    fn has(self, site: &Site) -> bool {
        let returns = site.run.is_none() && site.meta.no_return.is_none();
        match self {
            Self::EnterLeaf => site.run.is_none() && site.leaf,
            Self::EnterOther => site.run.is_none() && !site.leaf,
            Self::LeaveLeaf => site.leaf && returns,
            Self::LeaveOther => !site.leaf && returns,
            Self::BeginRun => site.run.as_ref().is_some_and(|run| run.role.begins()),
            Self::EndRun => site.run.as_ref().is_some_and(|run| !run.role.begins()),
        }
    }
}

/// What else decides where a file object has its descriptor.
#[derive(Clone, Copy)]
struct System {
    is_python2: bool,
    is_glibc: bool,
}

/// The probes of one process.
#[derive(Default)]
pub struct Attached {
    /// By [`Part`].
    links: [Vec<Link>; Part::COUNT],
}

impl Attached {
    /// Takes all probes out: entry probes first, so that no call starts to be followed whose end
    /// nobody sees.
    pub fn detach(all: Vec<Self>) {
        let mut enter = Vec::new();
        let mut leave = Vec::new();
        for one in all {
            let [enter_leaf, enter_other, leave_leaf, leave_other, begin, end] = one.links;
            enter.extend([enter_leaf, enter_other, begin]);
            leave.extend([leave_leaf, leave_other, end]);
        }
        close(enter);
        close(leave);
    }

    /// Takes out the probes of functions in which Python code may run: where they are, the kernel gives the process
    /// the return probes of other processes too.
    pub fn spare_stack_switches(&mut self) {
        let parts = [Part::LeaveOther, Part::EnterOther];
        close(
            parts
                .map(|part| std::mem::take(&mut self.links[part as usize]))
                .into(),
        );
    }
}

/// Closes links side by side: each waits for the kernel's grace periods, not for work.
fn close(links: Vec<Vec<Link>>) {
    std::thread::scope(|scope| {
        for link in links.into_iter().flatten() {
            scope.spawn(move || drop(link));
        }
    });
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

/// Where a function is probed, and where it is entered if it must not have a return probe.
fn plans(file: Option<&File>, function: &CFunction) -> Result<(Plan, Option<Plan>), String> {
    let file = file.ok_or("its file cannot be opened")?;
    let mut code = [0; CODE_WINDOW];
    let len = file
        .read_at(&mut code, function.file_offset)
        .map_err(|error| error.to_string())?;
    let (code, address) = (&code[..len], function.ml_meth);
    let (convention, self_kind) = (function.convention, function.self_kind);
    let plan = sites::plan(code, address, convention, self_kind).map_err(|error| error.to_string())?;
    Ok((plan, sites::apart(code, address, convention, self_kind)))
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
    if sites == 0 {
        let refused = traced.iter().flat_map(|traced| &traced.refused).next();
        if let Some((function, why)) = refused {
            bail!("{function} cannot be probed: {why}");
        }
        bail!(
            "nothing to trace: no function there has these effects or names; see `pytrace-ebpf functions --pid {}`",
            pids[0]
        );
    }
    if sites > MAX_SITES as usize {
        bail!("{sites} functions are too many at once (at most {MAX_SITES}); narrow -e or -f");
    }
    Ok(traced)
}
