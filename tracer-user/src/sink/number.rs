//! Numbers as Python writes them.

use std::io::Write as _;

/// Appends `repr(float)`: the shortest digits that give the number back, an exponent below 1e-4
/// and from 1e16 on (`PyOS_double_to_string`, Python/pystrtod.c). `inf`, `nan` as such.
///
/// Where several shortest texts give the number back, Python takes the nearest, and of two that are
/// equally near the even one.
pub fn float(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    let shortest = scientific(value);
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    positional(&digits, exponent, out);
}

/// The shortest digits with an exponent: `1.5e-7`.
fn scientific(value: f64) -> String {
    let shortest = format!("{value:e}");
    let digits = shortest
        .bytes()
        .take_while(|c| *c != b'e')
        .filter(u8::is_ascii_digit)
        .count();
    // Rounds to the nearest, ties to even.
    let nearest = format!("{value:.*e}", digits.saturating_sub(1));
    if nearest.parse() == Ok(value) {
        nearest
    } else {
        shortest
    }
}

/// `digits`, of which the first counts `10 ** exponent`.
fn positional(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let Ok(point) = usize::try_from(exponent + 1) else {
        out.extend_from_slice(b"0.");
        out.extend((exponent + 1..0).map(|_| b'0'));
        return out.extend_from_slice(digits);
    };
    if point == 0 {
        out.push(b'0');
    }
    let (whole, fraction) = digits.split_at(point.min(digits.len()));
    out.extend_from_slice(whole);
    out.extend((whole.len()..point).map(|_| b'0'));
    out.push(b'.');
    out.extend_from_slice(if fraction.is_empty() { b"0" } else { fraction });
}

/// A part of a complex number: like a float, but whole numbers without `.0`.
pub fn complex_part(value: f64, out: &mut Vec<u8>) {
    let start = out.len();
    float(value, out);
    if out[start..].ends_with(b".0") {
        out.truncate(out.len() - 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_as_in_python() {
        for (value, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (5e-324, "5e-324"),
            (1e300, "1e+300"),
            (4_530_134_311_740_289.0 / 4.0, "1132533577935072.2"),
            (0.5, "0.5"),
            (1234.5, "1234.5"),
            (100.0, "100.0"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut out = Vec::new();
            float(value, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
