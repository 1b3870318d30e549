//! Decimal digits of an int of which only the most significant binary digits are known.

use num_bigint::BigUint;

/// Bits of one CPython digit (`PyLong_SHIFT`).
const DIGIT_BITS: u64 = 30;
/// Above this many 30-bit digits the decimal digits are not worked out (their number would need
/// numbers as large as the int itself).
const MAX_DIGITS: u64 = 2_000;
/// Decimal digits shown of a cut int.
const SHOWN: usize = 64;

/// Leading decimal digits that are certain, and how many there are in all.
/// `None` where that is out of reach.
pub fn leading_decimals(top: &BigUint, captured: u32, digits: u64) -> Option<(String, u64)> {
    if digits > MAX_DIGITS || digits < u64::from(captured) {
        return None;
    }
    let shift = (digits - u64::from(captured)) * DIGIT_BITS;
    // The int lies in [top, top + 1) * 2**shift.
    let low = (top << shift).to_string();
    let high = ((top + 1u32) << shift).to_string();
    if low.len() != high.len() {
        return None;
    }
    let certain = low.bytes().zip(high.bytes()).take_while(|(a, b)| a == b).count();
    Some((low[..certain.min(SHOWN)].to_owned(), low.len() as u64))
}

/// Bits of such an int.
pub fn bits(top: &BigUint, captured: u32, digits: u64) -> u64 {
    top.bits().saturating_add(
        digits
            .saturating_sub(u64::from(captured))
            .saturating_mul(DIGIT_BITS),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leading_digits_of_a_cut_power_of_ten_are_right() {
        // 3 * 10**400 has 1331 bits: 45 digits of 30 bits, of which 35 are captured.
        let int = BigUint::from(10u32).pow(400) * 3u32;
        let digits = int.bits().div_ceil(30);
        let top = &int >> ((digits - 35) * 30);
        let (decimals, len) = leading_decimals(&top, 35, digits).unwrap();
        assert_eq!(len, 401);
        assert!(
            decimals.starts_with("300000") || decimals.starts_with("29999"),
            "{decimals}"
        );
    }
}
