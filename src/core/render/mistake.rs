//! What is wrong with a template, and where.

use std::borrow::Cow;

use minijinja::machinery::Span;

/// What is wrong with a template. Never says what stands in the template, or what a value is.
pub(super) struct Mistake {
    /// Where, if known.
    pub place: Option<Place>,
    /// What, for people.
    pub what: Cow<'static, str>,
}

impl Mistake {
    /// One that minijinja found. Its own text may quote the template.
    pub(super) fn of_syntax(error: &minijinja::Error) -> Self {
        let place = error.line().map(|line| Place { line, column: None });
        Self {
            place,
            what: "this isn't Jinja: a tag, bracket, quote or block isn't closed, or a sign stands where it can't"
                .into(),
        }
    }
}

/// A place in a template.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: Option<usize>,
}

impl Place {
    /// Where a piece of syntax begins.
    pub(super) fn of(span: Span) -> Self {
        Self { line: span.start_line.into(), column: Some(usize::from(span.start_col) + 1) }
    }

    /// A mistake here.
    pub(super) fn mistake(self, what: impl Into<Cow<'static, str>>) -> Mistake {
        Mistake { place: Some(self), what: what.into() }
    }
}
