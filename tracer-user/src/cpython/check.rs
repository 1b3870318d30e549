//! Whether a process's objects look as a layout says: the content of `sys` is known.

use tracer_common::target::KnownObjects;

use super::Version;
use super::objects::{ObjectError, Objects};
use crate::process::ReadMemory;

/// Characters of `sys.version`.
const MAX_VERSION: u64 = 1024;
/// `sys.maxunicode` of a build whose `Py_UNICODE` has 16 bits (Python 2).
const NARROW: u32 = 0xffff;

/// What `sys` says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sys {
    pub version: Version,
    /// The first word of `sys.version`: `3.11.2`, `3.13.0rc1`.
    pub version_string: String,
    /// Bytes per `Py_UNICODE` of Python 2; 0 elsewhere.
    pub unicode_width: u32,
}

/// Reads `sys.hexversion` and `sys.version` by way of the interpreter's `modules`. The error is one
/// line: what is not as it should be.
pub(super) fn sys<M: ReadMemory>(objects: &Objects<'_, M>) -> Result<Sys, String> {
    let user = &objects.layout.user;
    let at = |what: &'static str| move |error: ObjectError| format!("{what}: {error}");
    let modules = objects
        .user_field(objects.interp, user.interp_modules)
        .map_err(at("sys.modules"))?;
    let sys = objects
        .dict_get(modules, "sys")
        .map_err(at("sys.modules"))?
        .ok_or("no sys in sys.modules")?;
    let dict = objects
        .field(sys, objects.layout.offsets.md_dict)
        .map_err(at("sys"))?;
    if objects.user_field(objects.interp, user.interp_sysdict) != Ok(dict) {
        return Err("sys has another dict than the interpreter says".into());
    }
    let value = |name: &'static str| {
        objects
            .dict_get(dict, name)
            .map_err(at(name))?
            .ok_or_else(|| format!("no sys.{name}"))
    };
    let number = |name: &'static str| objects.small_int(value(name)?).map_err(at(name));
    let version = Version(number("hexversion")?);
    let text = objects
        .string(value("version")?, MAX_VERSION)
        .map_err(at("sys.version"))?;
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.starts_with(&version.to_string()) {
        return Err(format!("sys.version is {first:?}, sys.hexversion {version}"));
    }
    let unicode_width = match objects.layout.is_python2() {
        false => 0,
        true if number("maxunicode")? == NARROW => 2,
        true => 4,
    };
    Ok(Sys {
        version,
        version_string: first.to_owned(),
        unicode_width,
    })
}

/// Looks at what [`sys`] did not pass by. The error is one line.
pub(super) fn rest<M: ReadMemory>(objects: &Objects<'_, M>, known: &KnownObjects) -> Result<(), String> {
    let modules = objects.user_field(objects.interp, objects.layout.user.interp_modules);
    let sys = modules.and_then(|modules| objects.dict_get(modules, "sys"));
    match sys {
        Ok(Some(sys)) if objects.type_of(sys) == Ok(known.module_type) => {}
        _ => return Err("sys is not a module".into()),
    }
    let attributes = objects
        .type_dict(known.object_type)
        .and_then(|dict| objects.dict(dict));
    match attributes {
        Ok(attributes) if !attributes.is_empty() => Ok(()),
        Ok(_) => Err("object has no attributes".into()),
        Err(error) => Err(format!("the dict of object: {error}")),
    }
}
