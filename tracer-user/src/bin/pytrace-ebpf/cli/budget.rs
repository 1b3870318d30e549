//! A share of a processor: `--budget`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Of one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share {
    ppm: u32,
}

/// Millionths: from 0.01 % to a whole processor.
const RANGE: std::ops::RangeInclusive<f64> = 100.0..=1e6;

impl Share {
    /// From 0 to 1.
    pub fn of_one(self) -> f64 {
        f64::from(self.ppm) / 1e6
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.ppm) / 1e4)
    }
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text
            .strip_suffix('%')
            .and_then(|number| number.parse::<f64>().ok());
        percent
            .map(|percent| (percent * 1e4).round())
            .filter(|ppm| RANGE.contains(ppm))
            .map(|ppm| Self { ppm: ppm as u32 })
            .ok_or_else(|| "a share of one processor from 0.01% to 100%, as in `1%`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_printed_as_it_is_given() {
        for text in ["1%", "0.25%", "100%", "0.01%", "33.3333%"] {
            assert_eq!(
                text.parse::<Share>().map(|share| share.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn a_share_is_given_in_percent() {
        let ppm = |text: &str| text.parse::<Share>().map(|share| share.ppm).ok();
        assert_eq!(ppm("1%"), Some(10_000));
        assert_eq!(ppm("0.25%"), Some(2_500));
        assert_eq!(ppm("100%"), Some(1_000_000));
        for wrong in ["1", "0%", "0.001%", "101%", "-1%", "nan%", "%", ""] {
            assert_eq!(ppm(wrong), None, "{wrong}");
        }
        assert!(("1%".parse::<Share>().unwrap_or(Share { ppm: 0 }).of_one() - 0.01).abs() < 1e-9);
    }
}
