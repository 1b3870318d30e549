//! What a terminal gets: colours, and lines no longer than it is wide. Files and pipes get neither.

use std::io::{self, IsTerminal};

use anstream::{AutoStream, stream::RawStream};
use terminal_size::terminal_size_of;
use tracer_user::sink::{
    Sink,
    terminal::{Terminal, Width},
    text::Text,
};

use crate::cli::{Colour, OutputArgs};

/// The sink for text. `to_stderr`: events go there where no file is named.
pub fn text(options: &OutputArgs, to_stderr: bool) -> Box<dyn Sink> {
    let (colour, is_terminal) = match (&options.output, to_stderr) {
        (Some(_), _) => (false, false),
        (None, true) => (has_colour(&io::stderr()), io::stderr().is_terminal()),
        (None, false) => (has_colour(&io::stdout()), io::stdout().is_terminal()),
    };
    let colour = match options.color {
        Colour::Auto => colour,
        Colour::Always => true,
        Colour::Never => false,
    };
    let is_cut = is_terminal && !options.wide;
    let plain = Text::default().attributed(options.show_tasks);
    if !colour && !is_cut {
        return Box::new(plain);
    }
    let width: Width = match is_cut {
        false => Box::new(|| None),
        true => Box::new(move || columns(to_stderr)),
    };
    Box::new(Terminal::new(plain, colour, width))
}

/// `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE`, `TERM=dumb`, and whether it is a terminal at all.
fn has_colour(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != anstream::ColorChoice::Never
}

/// Columns of the terminal now. One that does not know (a serial line says 0) does not get its lines cut.
fn columns(to_stderr: bool) -> Option<usize> {
    let size = if to_stderr {
        terminal_size_of(io::stderr())
    } else {
        terminal_size_of(io::stdout())
    };
    size.map(|(width, _)| usize::from(width.0))
        .filter(|width| *width != 0)
}
