//! From the `PyMethodDef`s and slots that were seen to functions with one name each.

use std::collections::{BTreeSet, HashMap};

use tracer_common::cookie::{Convention, ReturnKind, SelfKind};

use super::slots::Signature;

/// `METH_*`, Include/methodobject.h and Include/cpython/methodobject.h.
pub mod meth {
    pub const VARARGS: u32 = 0x1;
    pub const KEYWORDS: u32 = 0x2;
    pub const NOARGS: u32 = 0x4;
    pub const O: u32 = 0x8;
    pub const STATIC: u32 = 0x20;
    pub const FASTCALL: u32 = 0x80;
    pub const METHOD: u32 = 0x200;
}

/// The bits that say how the C function is called; the others only say how it is looked up.
const CALLING: u32 = meth::VARARGS | meth::KEYWORDS | meth::NOARGS | meth::O | meth::FASTCALL | meth::METHOD;

/// The calling convention that flags ask for, as `PyCMethod_New` (Objects/methodobject.c) reads
/// them. `None`: a combination that CPython refuses.
pub const fn convention(ml_flags: u32) -> Option<Convention> {
    const VARARGS_KEYWORDS: u32 = meth::VARARGS | meth::KEYWORDS;
    const FASTCALL_KEYWORDS: u32 = meth::FASTCALL | meth::KEYWORDS;
    const METHOD: u32 = meth::METHOD | FASTCALL_KEYWORDS;
    Some(match ml_flags & CALLING {
        meth::NOARGS => Convention::NoArgs,
        meth::O => Convention::O,
        meth::VARARGS => Convention::VarArgs,
        VARARGS_KEYWORDS => Convention::VarArgsKeywords,
        meth::FASTCALL => Convention::FastCall,
        FASTCALL_KEYWORDS => Convention::FastCallKeywords,
        METHOD => Convention::Method,
        _ => return None,
    })
}

/// How well an object tells what its function is called; the lower, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// A function of a module, a slot, or a descriptor of the type that defines it.
    Definition,
    /// A static method: bound to a type that may have inherited it.
    OfType,
    /// A method bound to an instance, whose type may be a subclass (`random.random`).
    Bound,
}

/// What says how a C function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// `ml_flags` of a `PyMethodDef`.
    Method(u32),
    /// The slot of a type. `None`: a slot whose arguments are not read.
    Slot(Option<Signature>),
}

/// One way to a function.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub module: String,
    pub qualname: String,
    pub rank: Rank,
    /// The type it belongs to; 0: a module's function.
    pub owner: u64,
    /// Types above the owner. A type that takes over its base's slot in so many words does not name it.
    pub depth: u64,
    /// Address of the `PyMethodDef` or the slot's `wrapperbase`: tells which is first in a table.
    pub definition: u64,
    /// Address of the C function.
    pub ml_meth: u64,
    pub called: Called,
    pub self_kind: SelfKind,
    /// The name it was reached by.
    pub reached: String,
}

/// A function under its own name.
#[derive(Clone, Debug)]
pub(super) struct Merged {
    pub function: String,
    pub module_len: usize,
    pub aliases: Vec<String>,
    pub ml_meth: u64,
    /// Of its method table entries, without repetition.
    pub ml_flags: Vec<u32>,
    pub signature: Result<Signature, &'static str>,
    pub self_kind: SelfKind,
    /// Types that have it in a slot.
    pub slot_of: usize,
}

/// Makes one function of all ways to the same C function. The result does not depend on the
/// order of the ways; it is sorted by name.
pub(super) fn merge(found: Vec<Found>) -> Vec<Merged> {
    let mut ways: HashMap<u64, Vec<Found>> = HashMap::new();
    for way in found {
        ways.entry(way.ml_meth).or_default().push(way);
    }
    let mut merged: Vec<Merged> = ways.into_values().filter_map(merge_ways).collect();
    merged.sort_by(|a, b| (&a.function, a.ml_meth).cmp(&(&b.function, b.ml_meth)));
    merged
}

/// Names that come first in their method table though nobody uses them
/// (Modules/_threadmodule.c, `lock_methods`).
const LEGACY: &[&str] = &["lock.acquire_lock", "lock.release_lock", "lock.locked_lock"];

/// Is there a better name if there is another one? `__exit__` says less than `release`.
fn second_name(qualname: &str) -> bool {
    let name = qualname.rsplit('.').next().unwrap_or_default();
    LEGACY.contains(&qualname) || name.starts_with("__") && name.ends_with("__")
}

fn merge_ways(ways: Vec<Found>) -> Option<Merged> {
    // Of two entries of a method table the first is the name, the later one is a legacy name
    // (`_thread.allocate_lock` before `_thread.allocate`).
    let first = ways.iter().min_by_key(|way| {
        let foreign = !matches!(way.module.as_str(), "builtins" | "__builtin__");
        let second = second_name(&way.qualname);
        let place = (way.definition, way.depth);
        (way.rank, foreign, second, place, &way.module, &way.qualname)
    })?;
    let function = format!("{}.{}", first.module, first.qualname);
    let slots = ways.iter().filter(|way| matches!(way.called, Called::Slot(_)));
    // A method may be a module's function too (`unicodedata.normalize`): what it is called on is needed to
    // tell the two apart.
    let bound = ways.iter().any(|way| way.self_kind == SelfKind::Bound);
    let self_kind = match first.self_kind {
        SelfKind::Module if bound => SelfKind::Bound,
        kind => kind,
    };
    Some(Merged {
        module_len: first.module.len(),
        aliases: aliases(&ways, &function),
        function,
        ml_meth: first.ml_meth,
        ml_flags: flags(&ways, first),
        signature: signature(&ways),
        self_kind,
        slot_of: slots.map(|way| way.owner).collect::<BTreeSet<_>>().len(),
    })
}

/// All names but the function's own.
fn aliases(ways: &[Found], function: &str) -> Vec<String> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for way in ways {
        names.insert(format!("{}.{}", way.module, way.qualname));
        names.insert(way.reached.clone());
    }
    // Asked for by one name on every version.
    let renamed = names
        .iter()
        .filter_map(|name| Some(format!("builtins.{}", name.strip_prefix("__builtin__.")?)));
    names.extend(renamed.collect::<Vec<_>>());
    names.remove(function);
    names.into_iter().collect()
}

/// The flags of all method table entries, the one that says how the function is called first.
fn flags(ways: &[Found], first: &Found) -> Vec<u32> {
    let of = |way: &Found| match way.called {
        Called::Method(ml_flags) => Some(ml_flags),
        Called::Slot(_) => None,
    };
    let mut rest: Vec<u32> = ways.iter().filter_map(of).collect();
    rest.sort_unstable();
    let mut flags: Vec<u32> = of(first).into_iter().chain(rest).collect();
    let mut seen = BTreeSet::new();
    flags.retain(|flags| seen.insert(*flags));
    if let Some(n) = flags.iter().position(|flags| flags & CALLING == meth::NOARGS) {
        flags.swap(0, n);
    }
    flags
}

/// What holds for the function under all its names.
fn signature(ways: &[Found]) -> Result<Signature, &'static str> {
    let mut all = Vec::new();
    for way in ways {
        all.push(match way.called {
            Called::Method(ml_flags) => Signature {
                convention: convention(ml_flags).ok_or("its flags are none that CPython knows")?,
                returns: ReturnKind::Object,
            },
            Called::Slot(signature) => signature.ok_or("the arguments of such a slot are not read")?,
        });
    }
    let Signature { convention, returns } = all[0];
    // Python calls it with NULL, or nothing, under one of its names, so it does not look at its second
    // argument under any (`lock.release` is also `lock.__exit__`).
    let convention = if all.iter().any(|one| one.convention == Convention::NoArgs) {
        Convention::NoArgs
    } else if all.iter().all(|one| one.convention == convention) {
        convention
    } else {
        return Err("two names for it disagree on how it is called");
    };
    let same = |returns| all.iter().all(|one| one.returns == returns);
    let object = |one: &Signature| matches!(one.returns, ReturnKind::Object | ReturnKind::Iterator);
    let returns = if same(returns) {
        returns
    } else if all.iter().all(object) {
        ReturnKind::Iterator
    } else {
        return Err("two names for it disagree on what it returns");
    };
    Ok(Signature { convention, returns })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(module: &str, qualname: &str, rank: Rank, definition: u64, ml_flags: u32) -> Found {
        Found {
            module: module.into(),
            qualname: qualname.into(),
            rank,
            owner: 0,
            depth: 0,
            definition,
            ml_meth: 0x1000,
            called: Called::Method(ml_flags),
            self_kind: SelfKind::Bound,
            reached: format!("x.{qualname}"),
        }
    }

    fn slot(module: &str, qualname: &str, owner: u64, depth: u64, definition: u64) -> Found {
        let name = qualname.rsplit('.').next().expect("a name");
        Found {
            owner,
            depth,
            called: Called::Slot(super::super::slots::signature(name, false)),
            ..way(module, qualname, Rank::Definition, definition, 0)
        }
    }

    fn convention_of(merged: &Merged) -> Result<Convention, &'static str> {
        merged.signature.map(|signature| signature.convention)
    }

    #[test]
    fn the_base_names_a_slot_and_the_first_of_its_names_is_its_own() {
        let mut ways = vec![
            slot("builtins", "ValueError.__delattr__", 2, 3, 16),
            slot("builtins", "BaseException.__delattr__", 1, 2, 16),
            slot("builtins", "ValueError.__setattr__", 2, 3, 8),
            slot("builtins", "BaseException.__setattr__", 1, 2, 8),
        ];
        for _ in 0..2 {
            let merged = merge(ways.clone());
            assert_eq!(merged.len(), 1);
            assert_eq!(merged[0].function, "builtins.BaseException.__setattr__");
            assert_eq!(merged[0].slot_of, 2);
            assert_eq!(
                merged[0].signature,
                Ok(Signature {
                    convention: Convention::KeyValue,
                    returns: ReturnKind::Status
                })
            );
            assert!(merged[0].ml_flags.is_empty());
            ways.reverse();
        }
    }

    #[test]
    fn a_slot_that_is_a_method_too_has_to_be_called_the_same_way() {
        let method = |name, flags| way("m", name, Rank::Definition, 8, flags);
        let merged = merge(vec![
            method("T.__getitem__", meth::O | 0x40),
            slot("m", "T.__getitem__", 1, 2, 16),
        ]);
        assert_eq!(convention_of(&merged[0]), Ok(Convention::O));
        let merged = merge(vec![
            method("T.next", meth::NOARGS),
            slot("m", "T.__next__", 1, 2, 16),
        ]);
        assert_eq!(merged[0].function, "m.T.next");
        let returns = merged[0].signature.map(|signature| signature.returns);
        assert_eq!(returns, Ok(ReturnKind::Iterator));
        let merged = merge(vec![
            method("T.contains", meth::O),
            slot("m", "T.__contains__", 1, 2, 16),
        ]);
        assert_eq!(
            merged[0].signature,
            Err("two names for it disagree on what it returns")
        );
        let merged = merge(vec![slot("m", "T.__get__", 1, 2, 16)]);
        assert!(merged[0].signature.is_err());
    }

    #[test]
    fn the_defining_type_names_the_function() {
        let mut ways = vec![
            way("random", "Random.random", Rank::Bound, 8, meth::NOARGS),
            way("_random", "Random.random", Rank::Definition, 8, meth::NOARGS),
        ];
        for _ in 0..2 {
            let merged = merge(ways.clone());
            assert_eq!(merged.len(), 1);
            assert_eq!(merged[0].function, "_random.Random.random");
            assert_eq!(merged[0].module_len, "_random".len());
            assert_eq!(merged[0].aliases, ["random.Random.random", "x.Random.random"]);
            assert_eq!(convention_of(&merged[0]), Ok(Convention::NoArgs));
            ways.reverse();
        }
    }

    #[test]
    fn the_first_entry_of_a_method_table_names_the_function() {
        let merged = merge(vec![
            way("_thread", "allocate", Rank::Definition, 64, meth::NOARGS),
            way("_thread", "allocate_lock", Rank::Definition, 32, meth::NOARGS),
        ]);
        assert_eq!(merged[0].function, "_thread.allocate_lock");
        let merged = merge(vec![
            way("_thread", "lock.release_lock", Rank::Definition, 32, meth::NOARGS),
            way("_thread", "lock.release", Rank::Definition, 64, meth::NOARGS),
            way("_thread", "lock.__exit__", Rank::Definition, 16, meth::VARARGS),
        ]);
        assert_eq!(merged[0].function, "_thread.lock.release");
    }

    #[test]
    fn builtins_of_python_2_are_found_by_their_later_name_too() {
        let merged = merge(vec![way("__builtin__", "abs", Rank::Definition, 8, meth::O)]);
        assert_eq!(merged[0].function, "__builtin__.abs");
        assert_eq!(merged[0].aliases, ["builtins.abs", "x.abs"]);
    }

    #[test]
    fn two_conventions_for_one_function_are_refused() {
        let merged = merge(vec![
            way("m", "f", Rank::Definition, 8, meth::VARARGS),
            way("m", "g", Rank::Definition, 16, meth::O),
        ]);
        assert!(merged[0].signature.is_err());
        assert_eq!(merged[0].ml_flags, [meth::VARARGS, meth::O]);
        let merged = merge(vec![
            way("m", "f", Rank::Definition, 8, meth::O),
            way("m", "g", Rank::Definition, 16, meth::NOARGS),
        ]);
        assert_eq!(
            convention_of(&merged[0]),
            Ok(Convention::NoArgs),
            "the argument is ignored"
        );
        assert_eq!(merged[0].ml_flags, [meth::NOARGS, meth::O]);
        let merged = merge(vec![
            way("m", "f", Rank::Definition, 8, meth::O),
            way("m", "g", Rank::Definition, 16, meth::O | 0x40),
        ]);
        assert_eq!(
            convention_of(&merged[0]),
            Ok(Convention::O),
            "METH_COEXIST is no conflict"
        );
    }

    #[test]
    fn conventions_are_those_of_pycmethod_new() {
        assert_eq!(convention(0x282), Some(Convention::Method));
        assert_eq!(convention(0x80 | 0x10), Some(Convention::FastCall));
        assert_eq!(convention(0x3), Some(Convention::VarArgsKeywords));
        assert_eq!(convention(0x2), None);
        assert_eq!(convention(0xc), None);
    }
}
