//! The text format for a terminal: with colours, and no line longer than the terminal is wide.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthChar as _;

use super::{
    Began, ProcessChange, Sink, Summary,
    text::{self, Text},
};
use crate::event::call::{CallEvent, Outcome, TypeNames};

const PLAIN: Style = Style::new();
const DIM: Style = Style::new().dimmed();
const PLACE: Style = AnsiColor::Cyan.on_default();
const FUNCTION: Style = Style::new().bold();
const TEXT: Style = AnsiColor::Green.on_default();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const CHANGE: Style = AnsiColor::Yellow.on_default();

/// Stands at the end of a line that was cut.
const CUT: char = '…';
/// Narrower terminals are taken for this wide: what is left would say nothing.
const MIN_WIDTH: usize = 20;

/// Columns of the terminal as it is now; `None`: lines are not cut.
pub type Width = Box<dyn Fn() -> Option<usize> + Send>;

/// Text with colours, cut to a width.
pub struct Terminal {
    text: Text,
    colour: bool,
    width: Width,
    line: Line,
}

impl Terminal {
    /// `width` is asked at every line, so that a resized terminal is followed.
    pub fn new(text: Text, colour: bool, width: Width) -> Self {
        Self {
            text,
            colour,
            width,
            line: Line::default(),
        }
    }

    /// Appends the lines gathered so far.
    fn flush(&mut self, out: &mut Vec<u8>) {
        let width = (self.width)().map(|columns| columns.max(MIN_WIDTH));
        self.line.write(self.colour, width, out);
        self.line.clear();
    }
}

impl Sink for Terminal {
    fn header(&mut self, began: &Began<'_>, out: &mut Vec<u8>) {
        self.text.header(began, out);
    }

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
        let line = &mut self.line;
        self.text.start(call, line.styled(DIM));
        text::place(call.stack.first(), line.styled(PLACE));
        self.text.attribution(call, line.styled(DIM));
        line.styled(PLAIN).extend_from_slice(b"  ");
        text::function(call, line.styled(FUNCTION));
        line.values(|out| text::arguments(call, names, out));
        match &call.outcome {
            Outcome::Returned(_) | Outcome::Yielded(_) => line.values(|out| text::outcome(call, names, out)),
            _ => text::outcome(call, names, line.styled(ERROR)),
        }
        text::length(call, line.styled(DIM));
        text::chosen(call, line.styled(DIM));
        self.flush(out);
        for frame in call.stack.iter().skip(1) {
            self.line.styled(DIM).extend_from_slice(b"    from ");
            text::place(Some(frame), self.line.styled(PLACE));
            self.flush(out);
        }
    }

    fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>) {
        self.text.process(pid, change, time_ns, self.line.styled(CHANGE));
        self.flush(out);
    }

    fn loss(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>) {
        self.text.loss(count, since_ns, self.line.styled(ERROR));
        self.flush(out);
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.text.summary(summary, out);
    }
}

/// A line without control characters, and where which style begins.
#[derive(Default)]
struct Line {
    text: Vec<u8>,
    styles: Vec<(usize, Style)>,
}

impl Line {
    fn clear(&mut self) {
        self.text.clear();
        self.styles.clear();
    }

    /// What is appended to this is in that style.
    fn styled(&mut self, style: Style) -> &mut Vec<u8> {
        self.styles.push((self.text.len(), style));
        &mut self.text
    }

    /// Appends values as Python writes them; what stands in quotes is in the style of texts.
    fn values(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        write(self.styled(PLAIN));
        let mut quote = None;
        let mut escaped = false;
        for (at, byte) in self.text.iter().enumerate().skip(start) {
            match quote {
                None if matches!(byte, b'\'' | b'"') => {
                    quote = Some(*byte);
                    self.styles.push((at, TEXT));
                }
                Some(_) if escaped => escaped = false,
                Some(_) if *byte == b'\\' => escaped = true,
                Some(end) if *byte == end => {
                    quote = None;
                    self.styles.push((at + 1, PLAIN));
                }
                _ => {}
            }
        }
    }

    /// Appends it to `out`, with a line feed.
    fn write(&self, colour: bool, width: Option<usize>, out: &mut Vec<u8>) {
        let whole = String::from_utf8_lossy(&self.text);
        let whole = whole.trim_end_matches('\n');
        let shown = width.map_or(whole.len(), |columns| fitting(whole, columns));
        if colour {
            self.coloured(&whole[..shown], out);
        } else {
            out.extend_from_slice(&whole.as_bytes()[..shown]);
        }
        if shown < whole.len() {
            out.extend_from_slice(CUT.encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.push(b'\n');
    }

    fn coloured(&self, shown: &str, out: &mut Vec<u8>) {
        let ends = self.styles.iter().skip(1).map(|(at, _)| *at);
        for ((from, style), to) in self.styles.iter().zip(ends.chain([shown.len()])) {
            let part = shown.get(*from..to.min(shown.len())).unwrap_or_default();
            if !part.is_empty() {
                out.extend_from_slice(format!("{style}{part}{style:#}").as_bytes());
            }
        }
    }
}

/// Bytes of `text` that fit into so many columns; one of them is for the mark if not all do.
fn fitting(text: &str, columns: usize) -> usize {
    let mut used = 0;
    // Where the text has to end if it is cut.
    let mut cut = None;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns.saturating_sub(1) {
            cut = cut.or(Some(at));
        }
        if used > columns {
            return cut.unwrap_or(at);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let mut line = Line::default();
        line.styled(DIM).extend_from_slice(b"12:00 ");
        line.styled(FUNCTION).extend_from_slice(b"open");
        line.values(|out| out.extend_from_slice(br"('a\'b', 3)"));
        line
    }

    fn written(line: &Line, colour: bool, width: Option<usize>) -> String {
        let mut out = Vec::new();
        line.write(colour, width, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn without_colour_and_width_a_line_is_as_it_was() {
        assert_eq!(written(&line(), false, None), "12:00 open('a\\'b', 3)\n");
        assert_eq!(written(&line(), false, Some(21)), "12:00 open('a\\'b', 3)\n");
    }

    #[test]
    fn texts_have_their_own_colour_and_escaped_quotes_do_not_end_them() {
        assert_eq!(
            written(&line(), true, None),
            "\x1b[2m12:00 \x1b[0m\x1b[1mopen\x1b[0m(\x1b[32m'a\\'b'\x1b[0m, 3)\n"
        );
    }

    #[test]
    fn a_cut_line_is_marked_and_its_colour_ends() {
        assert_eq!(written(&line(), false, Some(10)), "12:00 ope…\n");
        assert_eq!(
            written(&line(), true, Some(10)),
            "\x1b[2m12:00 \x1b[0m\x1b[1mope\x1b[0m…\n"
        );
    }

    #[test]
    fn wide_and_combining_characters_take_the_columns_they_take() {
        assert_eq!(fitting("日本語", 6), "日本語".len());
        assert_eq!(fitting("日本語", 5), "日本".len());
        assert_eq!(fitting("日本語", 4), "日".len());
        assert_eq!(fitting("e\u{301}a", 2), "e\u{301}a".len());
        assert_eq!(fitting("e\u{301}abc", 2), "e\u{301}".len());
        assert_eq!(fitting("", 20), 0);
    }
}
