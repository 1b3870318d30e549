//! What is generated from the command line's own description: completions for shells, the man page.

use std::io::{self, Write as _};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::cli::{Cli, EXAMPLES};

const NAME: &str = "pytrace-ebpf";

/// Prints the completions for a shell.
pub fn completions(shell: Shell) {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut text);
    print(&text);
}

/// Prints the manual page of the tool, or of one of its commands.
pub fn manual(of: Option<&str>) -> anyhow::Result<()> {
    let mut text = Vec::new();
    render(of, &mut text)?;
    print(&text);
    Ok(())
}

/// That nobody reads to the end is no error.
fn print(text: &[u8]) {
    let _ = io::stdout().write_all(text);
}

fn render(of: Option<&str>, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut all = Cli::command();
    all.build();
    let command = match of {
        None => all.name(NAME),
        Some(name) => command(&all, name)?,
    };
    let page = Man::new(command);
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    if of.is_none() {
        examples().to_writer(out)?;
    }
    page.render_options_section(out)?;
    if of.is_none() {
        page.render_subcommands_section(out)?;
        page.render_extra_section(out)?;
        page.render_version_section(out)?;
    }
    Ok(())
}

/// The command of that name, called as its page is.
fn command(all: &Command, name: &str) -> Result<Command, crate::Usage> {
    let found = all.find_subcommand(name).filter(|command| !command.is_hide_set());
    match found {
        Some(command) => Ok(command
            .clone()
            .name(format!("{NAME}-{name}"))
            .bin_name(format!("{NAME} {name}"))),
        None => Err(crate::Usage(format!(
            "there is no command `{name}`; `{NAME} --help` lists them"
        ))),
    }
}

/// The examples of `--help`: what is done, and how.
fn examples() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["EXAMPLES"]);
    for (what, how) in EXAMPLES {
        page.control("TP", []);
        page.text([roman(*how)]);
        page.text([roman(*what)]);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let all = Cli::command();
        for command in all.get_subcommands().filter(|command| !command.is_hide_set()) {
            let mut page = Vec::new();
            render(Some(command.get_name()), &mut page).expect("a page");
            let page = String::from_utf8(page).expect("text");
            assert!(page.contains(".SH SYNOPSIS"), "{}: {page}", command.get_name());
        }
        assert!(render(Some("guard"), &mut Vec::new()).is_err(), "a hidden one");
    }

    #[test]
    fn the_page_has_every_option_and_example() {
        let mut page = Vec::new();
        render(None, &mut page).expect("a page");
        let page = String::from_utf8(page).expect("text").replace("\\-", "-");
        for option in Cli::command().get_arguments().filter(|arg| !arg.is_hide_set()) {
            let long = option.get_long().expect("every option has a long name");
            assert!(page.contains(&format!("--{long}")), "--{long} is missing");
        }
        assert!(EXAMPLES.iter().all(|(what, _)| page.contains(what)));
    }
}
