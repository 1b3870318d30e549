//! Which C library a program needs: the newest of the symbol versions that it names.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use object::{
    Endianness,
    elf::{FileHeader64, SHN_UNDEF},
    read::elf::{FileHeader as _, Sym as _},
};

/// `GLIBC_2.34` is (2, 34).
pub type Version = (u32, u32);

/// The floor of a program, and the symbols that it is there for.
#[derive(Debug)]
pub struct Floor {
    pub version: Version,
    pub symbols: Vec<String>,
}

/// Reads it of the versions of the dynamic symbols that others have to define (`.gnu.version_r`).
///
/// # Errors
///
/// For a file that is no such program, and for one that names no version at all.
pub fn floor(program: &Path) -> anyhow::Result<Floor> {
    let data = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let header = FileHeader64::<Endianness>::parse(&*data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, &*data)?;
    let symbols = sections.symbols(endian, &*data, object::elf::SHT_DYNSYM)?;
    let versions = sections
        .versions(endian, &*data)?
        .context("its symbols have no versions")?;
    let mut found: Vec<(Version, String)> = Vec::new();
    for (index, symbol) in symbols.enumerate() {
        if symbol.st_shndx(endian) != SHN_UNDEF {
            continue;
        }
        let of = versions.version_index(endian, index);
        let Some(version) = versions.version(of.index())? else {
            continue;
        };
        if let Some(version) = parse(&String::from_utf8_lossy(version.name())) {
            let name = symbol.name(endian, symbols.strings())?;
            found.push((version, String::from_utf8_lossy(name).into_owned()));
        }
    }
    let Some(version) = found.iter().map(|(version, _)| *version).max() else {
        bail!("{} names no version of glibc", program.display());
    };
    let newest = found.into_iter().filter(|(of, _)| *of == version);
    Ok(Floor {
        version,
        symbols: newest.map(|(_, name)| name).collect(),
    })
}

/// `GLIBC_2.3.4` is of 2.3.
fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.strip_prefix("GLIBC_")?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_of_names() {
        assert_eq!(parse("GLIBC_2.34"), Some((2, 34)));
        assert_eq!(parse("GLIBC_2.2.5"), Some((2, 2)));
        for other in ["GCC_3.0", "GLIBC_PRIVATE", "GLIBC_2", ""] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn this_program_needs_some() {
        let own = std::env::current_exe().unwrap();
        let floor = floor(&own).unwrap();
        assert!(floor.version >= (2, 17), "{floor:?}");
        assert!(!floor.symbols.is_empty(), "{floor:?}");
    }
}
