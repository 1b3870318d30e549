//! Names of types and code objects, read when an event needs them and only believed when the
//! object still is the one the kernel half saw.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracer_common::fingerprint;
use tracer_common::wire::{FrameRecord, TypeRef};

use super::objects::{MAX_NAME, ObjectError, Objects};
use super::{Interpreter, qualnames};
use crate::decode::handle::FileId;
use crate::decode::names::{Code, FunctionName, Names};
use crate::decode::path::named_path;
use crate::decode::record::Record;
use crate::decode::value::{Activation, code_names};
use crate::event::handle::{whole_bytes, whole_text};
use crate::process::{Process, ReadMemory};

/// Bytes of one line table at most.
const MAX_LINETABLE: u64 = 1024 * 1024;
/// Bases of a type looked at, as the kernel half does.
const MAX_BASES: u32 = 8;
/// Modules whose functions' names are remembered at most.
const MAX_MODULES: usize = 1024;
/// Entries of one cache at most.
const MAX_ENTRIES: usize = 64 * 1024;
/// Bytes that cached names and line tables hold at most.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// How long a failure is remembered: long enough that a busy call site with a dead type does not
/// cost a read per event, short enough that a page which was away for a moment is asked again.
const FAILURE_HOLDS: Duration = Duration::from_millis(200);

/// How long the qualified names of a module may take: events wait for them. Those of a large module take a tenth of it.
const QUALNAMES_TAKE: Duration = Duration::from_secs(2);

/// The names of several traced processes, by target index.
#[derive(Default)]
pub struct ProcessNames {
    targets: HashMap<u16, Target>,
    /// By family, as all that follows.
    types: Cache<(u32, TypeRef), str>,
    /// By address of the module and of its dict.
    modules: Cache<(u32, u64, u64), str>,
    codes: Cache<(u32, u64, u64), Code>,
    functions: Cache<(u32, u64, u64), FunctionName>,
    /// By address of the globals: what the module's code objects are called, and when that was read.
    qualnames: HashMap<(u32, u64), (Instant, HashMap<u64, String>)>,
    /// Paths of open files that the kernel half found none of.
    files: Cache<(u32, FileId), str>,
    /// Paths that the kernel half found, by [`FileId::name`].
    paths: Cache<(u32, u64), str>,
    families: u32,
}

/// A traced process.
struct Target {
    process: Arc<Process>,
    interpreter: Arc<Interpreter>,
    /// Processes that were forked from one another have the same objects at the same addresses, and share what is known
    /// of them. One that ends at once may never be read itself.
    family: u32,
}

impl ProcessNames {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a traced process, or puts another one in its index's place.
    pub fn insert(&mut self, target: u16, process: Arc<Process>, interpreter: Arc<Interpreter>) {
        self.families += 1;
        self.insert_in(target, process, interpreter, self.families);
    }

    /// Adds a process that was forked from another one.
    pub fn insert_fork(
        &mut self,
        target: u16,
        parent: u16,
        process: Arc<Process>,
        interpreter: Arc<Interpreter>,
    ) {
        match self.targets.get(&parent).map(|parent| parent.family) {
            Some(family) => self.insert_in(target, process, interpreter, family),
            None => self.insert(target, process, interpreter),
        }
    }

    fn insert_in(&mut self, target: u16, process: Arc<Process>, interpreter: Arc<Interpreter>, family: u32) {
        self.remove(target);
        self.targets.insert(
            target,
            Target {
                process,
                interpreter,
                family,
            },
        );
    }

    /// Takes in names of types that were found otherwise.
    pub fn know_types(&mut self, target: u16, types: &[(TypeRef, Arc<str>)]) {
        let Some(Target { family, .. }) = self.targets.get(&target) else {
            return;
        };
        for (ty, name) in types {
            self.types.put((*family, *ty), name.clone(), name.len());
        }
    }

    /// Takes in what a code record ([`tracer_common::wire::KIND_CODE`]) says; the frame with that code object, if
    /// all of it was captured.
    pub fn learn(&mut self, record: &Record) -> Option<FrameRecord> {
        let target = self.targets.get(&record.header.target)?;
        let line_format = target.interpreter.layout().line_format;
        let frame = record.frames().next()?;
        let [file, function, linetable] = code_names(record.values())?;
        let code = Code {
            function: whole_text(&function)?,
            file: whole_text(&file)?,
            first_line: frame.first_line,
            linetable: whole_bytes(&linetable)?.to_vec(),
            line_format,
        };
        let bytes = size(&code);
        self.codes.put(
            (target.family, frame.code, frame.fingerprint),
            Arc::new(code),
            bytes,
        );
        Some(frame)
    }

    /// Takes in what a path record ([`tracer_common::wire::KIND_PATH`]) says.
    pub fn learn_path(&mut self, record: &Record) {
        if let Some((name, path)) = named_path(record.values())
            && let Some(target) = self.targets.get(&record.header.target)
        {
            let bytes = path.len();
            self.paths.put((target.family, name), path.into(), bytes);
        }
    }

    /// Forgets a process and, after the last of its family, all names read from it, when its index is about to be
    /// reused.
    pub fn remove(&mut self, target: u16) {
        let Some(Target { family, .. }) = self.targets.remove(&target) else {
            return;
        };
        if self.targets.values().any(|other| other.family == family) {
            return;
        }
        self.types.retain(|(of, _)| *of != family);
        self.modules.retain(|(of, ..)| *of != family);
        self.codes.retain(|(of, ..)| *of != family);
        self.functions.retain(|(of, ..)| *of != family);
        self.qualnames.retain(|(of, _), _| *of != family);
        self.files.retain(|(of, _)| *of != family);
        self.paths.retain(|(of, _)| *of != family);
    }
}

impl ProcessNames {
    /// The qualified name of a code object that does not have it itself (up to 3.10), if it is found.
    fn qualname(&mut self, target: u16, code: u64, globals: u64) -> Option<String> {
        let found = self.targets.get(&target)?;
        if found.interpreter.has_qualnames() {
            return None;
        }
        let key = (found.family, globals);
        if let Some((read, names)) = self.qualnames.get(&key) {
            if let Some(name) = names.get(&code) {
                return Some(name.clone());
            }
            if read.elapsed() < FAILURE_HOLDS {
                return None;
            }
        }
        let objects = found.interpreter.objects(&*found.process);
        let deadline = Instant::now() + QUALNAMES_TAKE;
        let names = qualnames::of_module(&objects, &found.interpreter, globals, deadline).unwrap_or_default();
        let name = names.get(&code).cloned();
        if self.qualnames.len() >= MAX_MODULES {
            self.qualnames.clear();
        }
        self.qualnames.insert(key, (Instant::now(), names));
        name
    }
}

impl Names for ProcessNames {
    fn type_name(&mut self, target: u16, of: TypeRef) -> Option<Arc<str>> {
        let target = self.targets.get(&target)?;
        self.types.get((target.family, of), || {
            let name = read_type(&target.interpreter.objects(&*target.process), of).ok()?;
            let bytes = name.len();
            Some((name, bytes))
        })
    }

    fn module_name(&mut self, target: u16, module: u64, dict: u64) -> Option<Arc<str>> {
        let target = self.targets.get(&target)?;
        self.modules.get((target.family, module, dict), || {
            let objects = target.interpreter.objects(&*target.process);
            let name: Arc<str> = read_module(&objects, &target.interpreter, module, dict)
                .ok()?
                .into();
            let bytes = name.len();
            Some((name, bytes))
        })
    }

    fn code(&mut self, target: u16, frame: &FrameRecord) -> Option<Arc<Code>> {
        let target = self.targets.get(&target)?;
        self.codes
            .get((target.family, frame.code, frame.fingerprint), || {
                let objects = target.interpreter.objects(&*target.process);
                let code = read_code(&objects, frame.code, frame.fingerprint).ok()?;
                let bytes = size(&code);
                Some((Arc::new(code), bytes))
            })
    }

    fn function(&mut self, target: u16, frame: &FrameRecord, of: &Activation) -> Option<Arc<FunctionName>> {
        let code = self.code(target, frame)?;
        let found = self.targets.get(&target)?;
        let key = (found.family, frame.code, frame.fingerprint);
        if let Some(name) = self.functions.found.get(&key) {
            return Some(name.clone());
        }
        let objects = found.interpreter.objects(&*found.process);
        let read = || qualnames::module_name(&objects, of.globals).ok();
        let module = of.module.clone().map_or_else(read, |module| Some(Some(module)));
        // What could not be read is asked for again.
        let is_whole = module.is_some();
        let module = module.flatten();
        let known = self.qualname(target, frame.code, of.globals);
        let name = FunctionName {
            module: module.unwrap_or_default(),
            qualname: known.unwrap_or_else(|| code.function.clone()),
        };
        let bytes = name.module.len() + name.qualname.len();
        let name = Arc::new(name);
        if is_whole {
            self.functions.put(key, name.clone(), bytes);
        }
        Some(name)
    }

    /// The name it has now. In another pid namespace its id would be another thread's.
    fn thread_name(&mut self, target: u16, tid: u32) -> Option<Arc<str>> {
        let target = self.targets.get(&target)?;
        target.process.thread_name(tid).map(Arc::from)
    }

    fn file(&mut self, target: u16, fd: u32, id: FileId) -> Option<Arc<str>> {
        let target = self.targets.get(&target)?;
        if let Some(path) = self.paths.found.get(&(target.family, id.name)) {
            return Some(path.clone());
        }
        // Its path is lost, or too long.
        self.files.get((target.family, id), || {
            let path = target.process.path_of_fd(fd, id.inode, id.device)?;
            let bytes = path.len();
            Some((path.into(), bytes))
        })
    }
}

/// A bounded memory of what was found, and for a moment of what was not.
struct Cache<K, V: ?Sized> {
    found: HashMap<K, Arc<V>>,
    bytes: usize,
    failed: HashMap<K, Instant>,
}

impl<K, V: ?Sized> Default for Cache<K, V> {
    fn default() -> Self {
        Self {
            found: HashMap::new(),
            bytes: 0,
            failed: HashMap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash, V: ?Sized> Cache<K, V> {
    /// The cached value, or what `read` finds: the value and its size in bytes.
    fn get(&mut self, key: K, read: impl FnOnce() -> Option<(Arc<V>, usize)>) -> Option<Arc<V>> {
        if let Some(value) = self.found.get(&key) {
            return Some(value.clone());
        }
        if let Some(when) = self.failed.get(&key)
            && when.elapsed() < FAILURE_HOLDS
        {
            return None;
        }
        match read() {
            Some((value, bytes)) => {
                self.put(key, value.clone(), bytes);
                Some(value)
            }
            None => {
                if self.failed.len() >= MAX_ENTRIES {
                    self.failed.clear();
                }
                self.failed.insert(key, Instant::now());
                None
            }
        }
    }

    /// Remembers a value of so many bytes.
    fn put(&mut self, key: K, value: Arc<V>, bytes: usize) {
        // Starting anew is simple, and rare: a program has fewer types and code objects.
        if self.found.len() >= MAX_ENTRIES || self.bytes + bytes > MAX_BYTES {
            self.found.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.failed.remove(&key);
        self.found.insert(key, value);
    }

    fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.found.retain(|key, _| keep(key));
        self.failed.retain(|key, _| keep(key));
    }
}

/// Bytes that a code object's names hold.
fn size(code: &Code) -> usize {
    code.function.len() + code.file.len() + code.linetable.len()
}

const CHANGED: &str = "object of that fingerprint";

/// Checks before and after: the name read in between is that of the fingerprint's object.
fn verified<T>(
    expected: u64,
    now: impl Fn() -> Result<u64, ObjectError>,
    read: impl FnOnce() -> Result<T, ObjectError>,
) -> Result<T, ObjectError> {
    let check = || match now()? {
        found if found == expected => Ok(()),
        _ => Err(ObjectError::Absent(CHANGED)),
    };
    check()?;
    let value = read()?;
    check()?;
    Ok(value)
}

pub(super) fn read_type<M: ReadMemory>(
    objects: &Objects<'_, M>,
    of: TypeRef,
) -> Result<Arc<str>, ObjectError> {
    verified(
        of.fingerprint,
        || type_fingerprint(objects, of.address),
        || Ok(objects.type_name(of.address)?.to_string().into()),
    )
}

/// Is it of type `module`, or of a subclass?
fn is_module<M: ReadMemory>(
    objects: &Objects<'_, M>,
    interpreter: &Interpreter,
    object: u64,
) -> Result<bool, ObjectError> {
    let mut ty = objects.type_of(object)?;
    for _ in 0..MAX_BASES {
        if ty == interpreter.known().module_type || ty == 0 {
            break;
        }
        ty = objects.field(ty, objects.layout.offsets.tp_base)?;
    }
    Ok(ty == interpreter.known().module_type)
}

/// The name of a module, if it still is a module and has that dict.
fn read_module<M: ReadMemory>(
    objects: &Objects<'_, M>,
    interpreter: &Interpreter,
    module: u64,
    dict: u64,
) -> Result<String, ObjectError> {
    if !is_module(objects, interpreter, module)?
        || objects.field(module, objects.layout.offsets.md_dict)? != dict
    {
        return Err(ObjectError::Absent(CHANGED));
    }
    objects.module_name(module)
}

/// [`fingerprint::type_object`] of a type as it is now.
pub fn type_fingerprint<M: ReadMemory>(objects: &Objects<'_, M>, ty: u64) -> Result<u64, ObjectError> {
    let offsets = &objects.layout.offsets;
    if objects.is_old_class(ty) {
        return Ok(fingerprint::old_class(
            objects.field(ty, offsets.cl_name)?,
            objects.field(ty, offsets.cl_bases)?,
            objects.field(ty, offsets.cl_dict)?,
        ));
    }
    let tp_name = objects.field(ty, offsets.tp_name)?;
    // As bpf_probe_read_user_str fills a zeroed buffer of 16: 15 bytes and a NUL.
    let mut name = objects.memory.read_cstr(tp_name, 15)?;
    name.resize(16, 0);
    Ok(fingerprint::type_object(
        tp_name,
        words(&name),
        objects.field(ty, offsets.tp_base)?,
        objects.field(ty, offsets.tp_basicsize)?,
    ))
}

pub(super) fn read_code<M: ReadMemory>(
    objects: &Objects<'_, M>,
    code: u64,
    expected: u64,
) -> Result<Code, ObjectError> {
    let offsets = &objects.layout.offsets;
    let string = |offset| objects.string(objects.field(code, offset)?, MAX_NAME);
    verified(
        expected,
        || code_fingerprint(objects, code),
        || {
            Ok(Code {
                function: string(offsets.co_qualname)?,
                file: string(offsets.co_filename)?,
                first_line: objects
                    .memory
                    .read_u32(code.wrapping_add(offsets.co_firstlineno.into()))?,
                line_format: objects.layout.line_format,
                linetable: objects.bytes(objects.field(code, offsets.co_linetable)?, MAX_LINETABLE)?,
            })
        },
    )
}

/// [`fingerprint::code_object`] of a code object as it is now.
pub fn code_fingerprint<M: ReadMemory>(objects: &Objects<'_, M>, code: u64) -> Result<u64, ObjectError> {
    let offsets = &objects.layout.offsets;
    let linetable = objects.field(code, offsets.co_linetable)?;
    let first = objects
        .memory
        .read_bytes(linetable.wrapping_add(offsets.ob_sval.into()), 16)?;
    let (file, name) = (
        objects.field(code, offsets.co_filename)?,
        objects.field(code, offsets.co_qualname)?,
    );
    let text = |text: u64| text_fingerprint(objects, text);
    Ok(fingerprint::code_object(
        [file, name, linetable],
        [text(file)?, text(name)?],
        objects
            .memory
            .read_u32(code.wrapping_add(offsets.co_firstlineno.into()))?,
        objects.field(linetable, offsets.ob_size)?,
        words(&first),
    ))
}

/// [`fingerprint::Text::fingerprint`] of a string as it is now.
fn text_fingerprint<M: ReadMemory>(objects: &Objects<'_, M>, address: u64) -> Result<u64, ObjectError> {
    let word = |offset: u16| objects.memory.read_u64(address.wrapping_add(offset.into())).ok();
    let text = fingerprint::Text::new(&objects.layout.offsets, word).ok_or(ObjectError::Absent(CHANGED))?;
    let bytes = objects.memory.read_bytes(address, text.head() as usize)?;
    let mut head = [0; fingerprint::TEXT_WORDS];
    for (word, chunk) in head.iter_mut().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_le_bytes(whole);
    }
    let tail = match text.tail() {
        Some(offset) => words(&objects.memory.read_bytes(address.wrapping_add(offset), 16)?),
        None => [0, 0],
    };
    Ok(text.fingerprint(&head, tail))
}

fn words(bytes: &[u8]) -> [u64; 2] {
    let word = |n: usize| {
        bytes
            .get(n..n + 8)
            .and_then(|word| word.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    };
    [word(0), word(8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_once_and_a_failure_is_not_repeated_at_once() {
        let mut cache: Cache<u32, str> = Cache::default();
        assert_eq!(cache.get(1, || None), None);
        assert_eq!(cache.get(1, || panic!("asked again too soon")), None);
        let name: Arc<str> = "builtins.int".into();
        assert_eq!(cache.get(2, || Some((name.clone(), 12))), Some(name.clone()));
        assert_eq!(cache.get(2, || panic!("known")), Some(name));
        cache.retain(|key| *key != 2);
        assert_eq!(cache.get(2, || None), None);
    }

    #[test]
    fn a_cache_stays_below_its_bounds() {
        let mut cache: Cache<usize, str> = Cache::default();
        for n in 0..MAX_ENTRIES + 10 {
            cache.get(n, || Some(("x".into(), MAX_BYTES / 4)));
            assert!(cache.bytes <= MAX_BYTES);
        }
        for n in 0..MAX_ENTRIES + 10 {
            cache.get(n + MAX_ENTRIES * 2, || None);
        }
        assert!(cache.found.len() <= 4 && cache.failed.len() <= MAX_ENTRIES);
    }
}
