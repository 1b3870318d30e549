//! A flame graph: an SVG file that a browser shows, with search and zoom.

use inferno::flamegraph::{self, Options};

use super::{Profile, folded};

/// Writes it.
pub fn write(profile: &Profile, title: &str, out: &mut Vec<u8>) -> std::io::Result<()> {
    let folded = folded::lines(profile);
    if folded.is_empty() {
        // Inferno refuses to draw nothing.
        out.extend_from_slice(EMPTY.as_bytes());
        return Ok(());
    }
    let lines: Vec<String> = folded
        .into_iter()
        .map(|(stack, time)| format!("{stack} {time}"))
        .collect();
    let mut options = Options::default();
    options.title = title.to_owned();
    options.count_name = "us".to_owned();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), out).map_err(std::io::Error::other)
}

/// What is drawn where nothing was seen.
const EMPTY: &str = "<?xml version=\"1.0\" standalone=\"no\"?>\n\
    <svg version=\"1.1\" xmlns=\"http://www.w3.org/2000/svg\" width=\"600\" height=\"40\">\
    <text x=\"10\" y=\"25\">no samples</text></svg>\n";
