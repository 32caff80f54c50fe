//! What a person sees while waiting: a bar on a terminal, else plain lines.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a log gets a line.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// One step of a long wait; gone from the terminal when dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    title: String,
    style: Style,
    last_line: Instant,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Bar,
    Lines,
    Quiet,
}

impl Progress {
    /// A step of unknown length.
    pub(crate) fn new(title: &str, quiet: bool) -> Self {
        Self::start(title, ProgressBar::no_length(), "{spinner} {prefix} {elapsed} {wide_msg}", quiet)
    }

    /// A step of `total` parts.
    pub(crate) fn with_total(title: &str, total: usize, quiet: bool) -> Self {
        let bar = ProgressBar::new(total as u64);
        Self::start(title, bar, "{prefix}\n{bar:40} {pos}/{len} {elapsed} {wide_msg}", quiet)
    }

    fn start(title: &str, bar: ProgressBar, template: &str, quiet: bool) -> Self {
        let style = match (quiet, stderr().is_terminal()) {
            (true, _) => Style::Quiet,
            (false, true) => Style::Bar,
            (false, false) => Style::Lines,
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the templates are constants"));
        bar.set_prefix(title.to_owned());
        if style == Style::Bar {
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            // Hides itself where there is no terminal, but not for `quiet`.
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let progress = Self { bar, title: title.to_owned(), style, last_line: Instant::now() };
        progress.line(&format!("{title} …"));
        progress
    }

    /// Shows what is being done.
    pub(crate) fn note(&mut self, message: &str) {
        self.bar.set_message(message.to_owned());
        self.line_if_due(|title| format!("{title}: {message}"));
    }

    /// One more part is done.
    pub(crate) fn advance(&mut self, part: &str) {
        self.bar.inc(1);
        self.bar.set_message(part.to_owned());
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or_default());
        self.line_if_due(|title| format!("{title}: {done} of {total}"));
    }

    /// The step is done.
    pub(crate) fn finish(self) {
        let elapsed = self.bar.elapsed().as_secs();
        self.bar.finish_and_clear();
        self.line(&format!("{}: done in {elapsed} s", self.title));
    }

    fn line_if_due(&mut self, text: impl FnOnce(&str) -> String) {
        if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            self.line(&text(&self.title));
        }
    }

    fn line(&self, text: &str) {
        if self.style == Style::Lines
            && let Err(error) = writeln!(stderr(), "{text}")
        {
            tracing::debug!(%error, "nobody reads standard error");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
