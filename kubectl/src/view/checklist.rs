//! What `check` has found, a line each: as it should be, or with what to do.

use crate::{
    screen::{Tone, bold},
    view::remedy::wrapped,
};

/// How something was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grade {
    /// As it should be.
    Fine,
    /// Works, and should be looked at.
    Doubtful,
    /// Doesn't work.
    Wrong,
    /// Can't be told.
    Unknown,
}

/// What was found of one thing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How it is.
    pub grade: Grade,
    /// What it is about.
    pub subject: &'static str,
    /// What is so.
    pub found: String,
    /// What to do, unless it is as it should be.
    remedy: Option<String>,
}

impl Finding {
    /// Something that is as it should be.
    #[must_use]
    pub fn fine(subject: &'static str, found: impl Into<String>) -> Self {
        Self { grade: Grade::Fine, subject, found: found.into(), remedy: None }
    }

    /// Something that works and should be looked at, and how.
    #[must_use]
    pub fn doubtful(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Doubtful, subject, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Something that doesn't work, and what to do.
    #[must_use]
    pub fn wrong(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Wrong, subject, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Something that can't be told, and how to find out.
    #[must_use]
    pub fn unknown(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Grade::Unknown, subject, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// As a line, and what to do below it.
    #[must_use]
    pub fn line(&self) -> String {
        let (sign, tone) = match self.grade {
            Grade::Fine => ("ok", Tone::Good),
            Grade::Doubtful => ("look", Tone::Waits),
            Grade::Wrong => ("wrong", Tone::Bad),
            Grade::Unknown => ("?", Tone::Quiet),
        };
        let found = wrapped(&self.found, 84, "                     ");
        let mut line = format!(
            "{}  {}  {}\n",
            tone.paint(format!("{sign:5}")),
            bold(format!("{:12}", self.subject)),
            found.trim()
        );
        if let Some(remedy) = &self.remedy {
            let remedy = wrapped(&format!("do: {remedy}"), 84, "                     ");
            line.push_str(&remedy);
        }
        line
    }
}
