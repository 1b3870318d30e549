//! Secrets inside a text: `password=…` of a connect string, `://user:…@` of a URL, `"token": "…"` of JSON,
//! the `Authorization` of HTTP, and `NAME=…` of an environment.

use std::ops::Range;

use crate::catalogue::effects::secrets;

/// What stands for a secret.
pub const STARS: &str = "***";

/// The text with its secrets masked; `None`: there are none. `cut`: there was more of it.
pub fn masked(text: &[u8], cut: bool) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(step) = text[at..].iter().position(|c| matches!(c, b'=' | b':')) {
        let sign = at + step;
        let secret = if text[sign] == b'=' {
            assigned(text, sign)
        } else {
            in_url(text, sign, cut)
                .or_else(|| in_json(text, sign))
                .or_else(|| in_header(text, sign))
        };
        at = sign + 1;
        if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
            at = secret.end.max(at);
            found.push(secret);
        }
    }
    if found.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for secret in found {
        out.extend_from_slice(&text[from..secret.start]);
        out.extend_from_slice(STARS.as_bytes());
        from = secret.end;
    }
    out.extend_from_slice(&text[from..]);
    Some(out)
}

fn is_name_char(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-')
}

/// The name that ends before `end`.
fn name_before(text: &[u8], end: usize) -> Range<usize> {
    let len = text[..end].iter().rev().take_while(|c| is_name_char(**c)).count();
    end - len..end
}

fn skip_spaces(text: &[u8], from: usize) -> usize {
    from + text[from..].iter().take_while(|c| **c == b' ').count()
}

/// Where the first of these is, or the end.
fn until(text: &[u8], from: usize, ends: impl Fn(u8) -> bool) -> usize {
    let len = text[from..].iter().position(|c| ends(*c));
    len.map_or(text.len(), |len| from + len)
}

/// What is inside quotes that begin at `from`; a backslash goes with what follows it.
fn quoted(text: &[u8], from: usize) -> Range<usize> {
    let quote = text[from];
    let mut at = from + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    from + 1..at.min(text.len())
}

/// `password=…`, `password = '…'`, and the whole rest of `NAME=…` and `--name=…`.
fn assigned(text: &[u8], sign: usize) -> Option<Range<usize>> {
    let spaces = text[..sign].iter().rev().take_while(|c| **c == b' ').count();
    let name = name_before(text, sign - spaces);
    let written = &text[name.clone()];
    let start = skip_spaces(text, sign + 1);
    if name.start == 0 && spaces == 0 {
        let variable = written.iter().all(|c| !c.is_ascii_lowercase()) && secrets::is_variable(written);
        let option = written.starts_with(b"--") && secrets::is_name(written);
        if variable || option {
            return Some(sign + 1..text.len());
        }
    }
    if !secrets::is_name(written) || matches!(text.get(start), None | Some(b'=')) {
        return None;
    }
    Some(value_at(text, start))
}

fn value_at(text: &[u8], start: usize) -> Range<usize> {
    match text.get(start) {
        Some(b'\'' | b'"') => quoted(text, start),
        _ => {
            let end =
                |c: u8| c.is_ascii_whitespace() || matches!(c, b'&' | b';' | b',' | b'\'' | b'"' | b')');
            start..until(text, start, end)
        }
    }
}

/// `://user:…@`; where the text is cut before the `@`, all that may be a password.
fn in_url(text: &[u8], sign: usize, cut: bool) -> Option<Range<usize>> {
    if !text[sign..].starts_with(b"://") {
        return None;
    }
    let start = sign + 3;
    let end = until(text, start, |c| {
        c.is_ascii_whitespace() || matches!(c, b'/' | b'?' | b'#' | b'\'' | b'"')
    });
    let authority = &text[start..end];
    let colon = authority.iter().position(|c| *c == b':')?;
    let password_end = match authority.iter().rposition(|c| *c == b'@') {
        Some(at) => start + at,
        None if cut && end == text.len() => end,
        None => return None,
    };
    (start + colon < password_end).then_some(start + colon + 1..password_end)
}

/// `"password": "…"`, with either quotes.
fn in_json(text: &[u8], sign: usize) -> Option<Range<usize>> {
    let name_end = sign.checked_sub(1)?;
    if !matches!(text[name_end], b'\'' | b'"') || !secrets::is_name(&text[name_before(text, name_end)]) {
        return None;
    }
    let start = skip_spaces(text, sign + 1);
    (start < text.len()).then(|| value_at(text, start))
}

/// `Authorization: Bearer …`, up to the end of the line.
fn in_header(text: &[u8], sign: usize) -> Option<Range<usize>> {
    let name = &text[name_before(text, sign)];
    let authorization = name.len() >= 13 && name[name.len() - 13..].eq_ignore_ascii_case(b"authorization");
    if !authorization {
        return None;
    }
    Some(skip_spaces(text, sign + 1)..until(text, sign, |c| matches!(c, b'\r' | b'\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(text: &str) -> String {
        match masked(text.as_bytes(), false) {
            Some(masked) => String::from_utf8(masked).expect("text stays text"),
            None => text.to_owned(),
        }
    }

    #[test]
    fn connect_strings() {
        assert_eq!(
            mask("host=db password=hunter2 user=u"),
            "host=db password=*** user=u"
        );
        assert_eq!(mask("password = 'it\\'s me' x"), "password = '***' x");
        assert_eq!(mask("Server=s;Pwd=a;Database=d"), "Server=s;Pwd=***;Database=d");
        assert_eq!(mask("postgres://u:p@ss@h:5432/d"), "postgres://u:***@h:5432/d");
        assert_eq!(mask("https://h/?token=abc&x=1"), "https://h/?token=***&x=1");
        assert_eq!(
            mask("redis://:p@h and redis://:q@h"),
            "redis://:***@h and redis://:***@h"
        );
    }

    #[test]
    fn environments_options_json_and_headers() {
        assert_eq!(mask("DB_PASSWORD=a b c"), "DB_PASSWORD=***");
        assert_eq!(mask("SIGNING_KEY=a b"), "SIGNING_KEY=***");
        assert_eq!(mask("--password=a b"), "--password=***");
        assert_eq!(
            mask(r#"{"password": "a\"b", "x": 1}"#),
            r#"{"password": "***", "x": 1}"#
        );
        assert_eq!(mask(r#"{"token":12}"#), r#"{"token":***"#);
        assert_eq!(
            mask("GET / HTTP/1.1\r\nAuthorization: Basic dTpw\r\nHost: h\r\n"),
            "GET / HTTP/1.1\r\nAuthorization: ***\r\nHost: h\r\n"
        );
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "",
            "=",
            ":",
            "PWD=/srv",
            "http://host:80/a@b",
            "x = 1; if password == 2: pass",
            "password=",
            "no password: sorry",
            "http://user@host/",
            "://",
            "key=1",
        ] {
            assert_eq!(mask(text), text);
        }
    }

    #[test]
    fn a_password_that_is_cut_is_masked_as_far_as_it_goes() {
        assert_eq!(masked(b"pg://u:hunt", true).as_deref(), Some(&b"pg://u:***"[..]));
        assert_eq!(masked(b"pg://u:hunt", false), None);
        assert_eq!(
            masked(b"password='hunt", true).as_deref(),
            Some(&b"password='***"[..])
        );
        assert_eq!(
            masked(b"password='hunt\\", true).as_deref(),
            Some(&b"password='***"[..])
        );
    }
}
