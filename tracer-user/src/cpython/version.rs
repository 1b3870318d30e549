//! Versions of CPython.

use std::fmt;

use crate::decode::linetable::LineFormat;

/// `PY_VERSION_HEX`, Include/patchlevel.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// The first release candidate of a minor version: what tells a minor version where no more is known.
    pub const fn of_minor(major: u8, minor: u8) -> Self {
        Self((major as u32) << 24 | (minor as u32) << 16 | 0xc1)
    }

    pub fn major(self) -> u8 {
        (self.0 >> 24) as u8
    }

    pub fn minor(self) -> u8 {
        (self.0 >> 16) as u8
    }

    pub fn micro(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// An alpha or beta: structs may still change until the first release candidate.
    pub fn is_unfinished(self) -> bool {
        self.0 & 0xff < 0xc0
    }

    pub fn is_same_minor(self, other: Self) -> bool {
        self.0 >> 16 == other.0 >> 16
    }

    /// How its code objects keep line numbers.
    pub fn line_format(self) -> LineFormat {
        match (self.major(), self.minor()) {
            (2, _) => LineFormat::Unsigned,
            (3, ..=9) => LineFormat::Signed,
            (3, 10) => LineFormat::Ranges,
            _ => LineFormat::Locations,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major(), self.minor(), self.micro())?;
        let level = match self.0 >> 4 & 0xf {
            0xa => "a",
            0xb => "b",
            0xc => "rc",
            _ => return Ok(()),
        };
        write!(f, "{level}{}", self.0 & 0xf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_print_as_python_prints_them() {
        for (hex, text) in [
            (0x0207_12f0, "2.7.18"),
            (0x030d_00f0, "3.13.0"),
            (0x030f_00c1, "3.15.0rc1"),
            (0x030f_00a3, "3.15.0a3"),
        ] {
            assert_eq!(Version(hex).to_string(), text);
        }
        assert!(Version(0x030f_00b4).is_unfinished());
        assert!(!Version(0x030f_00c1).is_unfinished());
        assert!(Version::of_minor(3, 8).is_same_minor(Version(0x0308_12f0)));
    }
}
