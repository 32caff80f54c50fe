//! What a person sees of the demo.

use std::io::{IsTerminal as _, Write, stdout};
use std::{env, fmt};

use anyhow::{Context as _, Result};

/// Where the demo is told.
pub struct Screen {
    out: Box<dyn Write + Send>,
    colours: bool,
    /// Whether the last line is empty.
    spaced: bool,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("colours", &self.colours).finish_non_exhaustive()
    }
}

impl Screen {
    /// Standard output, in colours if it is a terminal and `NO_COLOR` isn't set.
    #[must_use]
    pub fn stdout() -> Self {
        let colours = stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out: Box::new(stdout()), colours, spaced: false }
    }

    /// Anything else that takes text.
    #[must_use]
    pub fn plain(out: impl Write + Send + 'static) -> Self {
        Self { out: Box::new(out), colours: false, spaced: true }
    }

    /// The heading of a chapter.
    pub(super) fn chapter(&mut self, title: &str) -> Result<()> {
        let (space, title) = (if self.spaced { "" } else { "\n" }, self.bold(title));
        self.print(&format!("{space}{title}\n"))
    }

    /// A sentence or more.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        self.print(text)
    }

    /// Something that was to be shown, and is so.
    pub(super) fn done(&mut self, text: &str) -> Result<()> {
        let tick = self.painted("32", "✓");
        self.print(&format!("{tick} {text}"))
    }

    /// A command, and what it printed.
    pub(super) fn command(&mut self, arguments: &[&str], output: &str) -> Result<()> {
        let command = self.painted("36", &format!("$ kubectl {}", shell(arguments)));
        self.print(&format!("{command}\n{}\n", output.trim_end()))
    }

    /// Text that stands out, on a terminal.
    pub(super) fn bold(&self, text: &str) -> String {
        self.painted("1", text)
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn print(&mut self, text: &str) -> Result<()> {
        self.spaced = text.is_empty() || text.ends_with('\n');
        writeln!(self.out, "{text}").and_then(|()| self.out.flush()).context("nobody reads what the demo prints")
    }
}

/// Arguments as one would type them.
fn shell(arguments: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:@".contains(c);
    let quoted = |argument: &&str| {
        if argument.chars().all(plain) {
            (*argument).to_owned()
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        let patch = r#"{"spec":{"rotation":{"trigger":"it's"}}}"#;
        assert_eq!(
            shell(&["patch", "stok/web", "--patch", patch]),
            r#"patch stok/web --patch '{"spec":{"rotation":{"trigger":"it'\''s"}}}'"#
        );
    }
}
