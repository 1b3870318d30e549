//! How a line looks on a terminal: colours, and no wider than it is. What goes anywhere else is plain and whole.

use std::{
    io::IsTerminal as _,
    os::fd::{AsFd as _, BorrowedFd},
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use terminal_size::{Width, terminal_size_of};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The width is asked for again so often: terminals are resized.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Columns that arguments and outcome get together at least.
const LEAST: usize = 24;
/// What stands where something was cut.
const CUT: char = '…';

/// What a part of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Time, process and thread.
    When,
    /// File, line and Python function.
    Place,
    /// The C function.
    Function,
    Arguments,
    Returned,
    Raised,
    Unobserved,
    Duration,
}

impl Role {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::When | Self::Duration => Style::new().dimmed(),
            Self::Place => colour(AnsiColor::Cyan),
            Self::Function => Style::new().bold(),
            Self::Arguments | Self::Returned => Style::new(),
            Self::Raised => colour(AnsiColor::Red),
            Self::Unobserved => colour(AnsiColor::Yellow),
        }
    }

    /// May lose its end.
    fn gives(self) -> bool {
        matches!(
            self,
            Self::Arguments | Self::Returned | Self::Raised | Self::Unobserved
        )
    }
}

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    #[default]
    Auto,
    Always,
    Never,
}

/// Which of the standard streams lines go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Error,
}

impl Stream {
    fn is_terminal(self) -> bool {
        match self {
            Self::Out => std::io::stdout().is_terminal(),
            Self::Error => std::io::stderr().is_terminal(),
        }
    }

    fn width(self) -> Option<usize> {
        let (out, error) = (std::io::stdout(), std::io::stderr());
        let fd: BorrowedFd<'_> = match self {
            Self::Out => out.as_fd(),
            Self::Error => error.as_fd(),
        };
        terminal_size_of(fd).map(|(Width(columns), _)| usize::from(columns))
    }
}

/// How lines look.
#[derive(Debug, Default)]
pub struct Look {
    colour: bool,
    /// The terminal whose width counts, when it was asked for that, and the answer.
    terminal: Option<(Stream, Instant, Option<usize>)>,
}

impl Look {
    /// Where lines go to (`None`: a file), whether they may be wider than a terminal, and what was said of colours.
    pub fn new(stream: Option<Stream>, colour: Colour, wide: bool) -> Self {
        let terminal = stream.filter(|stream| stream.is_terminal());
        Self {
            colour: match colour {
                Colour::Always => true,
                Colour::Never => false,
                Colour::Auto => wants_colour(|name| std::env::var(name).ok(), terminal.is_some()),
            },
            terminal: terminal
                .filter(|_| !wide)
                .map(|stream| (stream, Instant::now(), stream.width())),
        }
    }

    /// Lines are what they are.
    pub fn is_plain(&self) -> bool {
        !self.colour && self.terminal.is_none()
    }

    fn columns(&mut self) -> Option<usize> {
        let (stream, asked, columns) = self.terminal.as_mut()?;
        if asked.elapsed() > ASK_AGAIN {
            (*asked, *columns) = (Instant::now(), stream.width());
        }
        *columns
    }

    /// Appends a line made of parts.
    pub fn line(&mut self, parts: &[(Role, String)], out: &mut Vec<u8>) {
        let columns = self.columns();
        write(parts, columns, self.colour, out);
    }
}

/// <https://no-color.org>, and `CLICOLOR_FORCE` of <https://bixense.com/clicolors>.
fn wants_colour(variable: impl Fn(&str) -> Option<String>, terminal: bool) -> bool {
    let set = |name| variable(name).is_some_and(|value| !value.is_empty());
    if set("NO_COLOR") {
        return false;
    }
    if set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE").as_deref() != Some("0") {
        return true;
    }
    terminal && variable("TERM").is_none_or(|term| term != "dumb")
}

fn write(parts: &[(Role, String)], columns: Option<usize>, colour: bool, out: &mut Vec<u8>) {
    let mut rooms = columns.map(|columns| rooms(parts, columns)).into_iter().flatten();
    for (role, text) in parts {
        let room = if role.gives() { rooms.next() } else { None };
        let style = if colour { role.style() } else { Style::new() };
        out.extend_from_slice(style.render().to_string().as_bytes());
        match room.and_then(|room| cut(text, room)) {
            Some(kept) => {
                out.extend_from_slice(kept.as_bytes());
                let mut mark = [0; 4];
                out.extend_from_slice(CUT.encode_utf8(&mut mark).as_bytes());
            }
            None => out.extend_from_slice(text.as_bytes()),
        }
        out.extend_from_slice(style.render_reset().to_string().as_bytes());
    }
    out.push(b'\n');
}

/// Columns for each part that gives some. Where both need more than there is, a result gets a third, and an exception,
/// which says more than the arguments, two thirds.
fn rooms(parts: &[(Role, String)], columns: usize) -> Vec<usize> {
    let width = |gives: bool| {
        parts
            .iter()
            .filter(move |(role, _)| role.gives() == gives)
            .map(|(_, text)| text.width())
    };
    let room = columns.saturating_sub(width(false).sum()).max(LEAST);
    let mut wanted = width(true);
    let arguments = wanted.next().unwrap_or(0);
    let outcome: usize = wanted.sum();
    if arguments + outcome <= room {
        return vec![arguments, outcome];
    }
    let share = match parts.iter().any(|(role, _)| *role == Role::Raised) {
        true => room * 2 / 3,
        false => room / 3,
    };
    let outcome = outcome.min(room.saturating_sub(arguments).max(share));
    vec![room - outcome, outcome]
}

/// The beginning of a text that leaves a column free for the mark; `None`: all of it has room.
fn cut(text: &str, room: usize) -> Option<&str> {
    if text.width() <= room {
        return None;
    }
    let mut used = 0;
    let end = text
        .char_indices()
        .find(|(_, c)| {
            used += c.width().unwrap_or(0);
            used + 1 > room
        })
        .map_or(text.len(), |(at, _)| at);
    text.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(arguments: &str, outcome: &str) -> Vec<(Role, String)> {
        vec![
            (Role::When, "12:00:00 1/2 ".to_owned()),
            (Role::Place, "app.py:8 save  ".to_owned()),
            (Role::Function, "open".to_owned()),
            (Role::Arguments, arguments.to_owned()),
            (Role::Returned, outcome.to_owned()),
            (Role::Duration, " <4us>".to_owned()),
        ]
    }

    fn line(parts: &[(Role, String)], columns: Option<usize>, colour: bool) -> String {
        let mut out = Vec::new();
        write(parts, columns, colour, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_never_wider_than_the_terminal() {
        let long = format!("('{}')", "x".repeat(300));
        let wide = format!("('{}')", "漢字".repeat(80));
        for columns in [70, 80, 123, 200] {
            for arguments in ["()", &long, &wide] {
                for outcome in [" = 3", &long, &wide] {
                    let line = line(&parts(arguments, outcome), Some(columns), false);
                    let shown = line.trim_end_matches('\n');
                    assert!(shown.width() <= columns, "{} > {columns}: {line}", shown.width());
                    assert!(shown.ends_with(" <4us>"), "{line}");
                    let fits = parts(arguments, outcome)
                        .iter()
                        .map(|(_, text)| text.width())
                        .sum::<usize>()
                        <= columns;
                    assert_eq!(shown.contains(CUT), !fits, "{line}");
                }
            }
        }
    }

    #[test]
    fn a_short_outcome_stays_whole() {
        let arguments = format!("('{}')", "x".repeat(300));
        let line = line(&parts(&arguments, " = 300"), Some(80), false);
        assert!(line.ends_with("x… = 300 <4us>\n"), "{line}");
    }

    #[test]
    fn colours_come_and_go_in_pairs() {
        let plain = line(&parts("('/x')", " = 3"), None, false);
        assert_eq!(plain, "12:00:00 1/2 app.py:8 save  open('/x') = 3 <4us>\n");
        let coloured = line(&parts("('/x')", " = 3"), None, true);
        assert_eq!(coloured.matches("\u{1b}[0m").count(), 4, "{coloured:?}");
        assert!(coloured.contains("\u{1b}[1mopen\u{1b}[0m"), "{coloured:?}");
    }

    #[test]
    fn the_environment_decides_on_colours() {
        let of = |variables: &[(&str, &str)], terminal| {
            let get = |name: &str| {
                variables
                    .iter()
                    .find(|(of, _)| *of == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            wants_colour(get, terminal)
        };
        assert!(of(&[("TERM", "xterm")], true));
        assert!(!of(&[("TERM", "xterm")], false));
        assert!(!of(&[("TERM", "dumb")], true));
        assert!(!of(&[("NO_COLOR", "1")], true));
        assert!(of(&[("NO_COLOR", "")], true));
        assert!(of(&[("CLICOLOR_FORCE", "1")], false));
        assert!(!of(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!of(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true));
    }
}
