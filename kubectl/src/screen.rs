//! What is printed, and in which colours: only on a terminal, and not where `NO_COLOR` is set.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::failure::{Code, Failure, Result};

/// How something stands, which colours tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Not as it should be, and heals by itself.
    Waits,
    /// A person has to act.
    Bad,
    /// Left alone on purpose.
    Quiet,
    /// Nothing in particular.
    Plain,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Waits => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Quiet => Style::new().dimmed(),
            Self::Plain => Style::new(),
        }
    }

    /// The text in the tone's colour, which standard output leaves out where it isn't wanted.
    #[must_use]
    pub fn paint(self, text: impl fmt::Display) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// The text as one that moves no cursor and paints nothing: whoever may write it could else draw on this terminal.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The text as a heading.
#[must_use]
pub fn bold(text: impl fmt::Display) -> String {
    let style = Style::new().bold();
    format!("{style}{text}{style:#}")
}

/// Prints to standard output. Who has stopped reading, as `head` does, ends the command in silence.
pub fn print(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|error| Failure::of_output(&error)),
    }
}

/// Tells a person how it goes, on standard error: nobody reads it by a program, and it doesn't matter if it can't be.
pub fn tell(text: impl fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Whether a person looks at standard output.
#[must_use]
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Makes room for what is shown anew, on a terminal.
pub const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// JSON as kubectl prints it.
pub fn json(value: &impl Serialize) -> Result<String> {
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut text = Vec::new();
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, indent));
    let text = written.map_err(unprintable).and_then(|()| String::from_utf8(text).map_err(unprintable))?;
    Ok(text + "\n")
}

/// The same as YAML.
pub fn yaml(value: &impl Serialize) -> Result<String> {
    serde_saphyr::to_string(value).map_err(unprintable)
}

fn unprintable(error: impl fmt::Display) -> Failure {
    Failure::new(Code::Failed, format!("what is there can't be printed: {error}"))
}
