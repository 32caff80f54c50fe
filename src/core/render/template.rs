//! Renders a template: one value of `spec.secret.template.data`.
//!
//! minijinja reads it, and only that: its engine can't be bounded (`'x' * 10000000000`), so what it reads
//! is cut down to a subset (`subset.rs`) that this operator computes itself, counting (`evaluate.rs`).

use std::collections::BTreeMap;

use minijinja::{machinery::parse, syntax::SyntaxConfig};

use super::{bounds::Bounds, evaluate::evaluate, gate, mistake::Mistake, subset, value::Value};

/// The template's text, with `values` for those of the `names` that have one.
///
/// # Errors
/// The first mistake.
pub(super) fn render(
    source: &str,
    names: &[&'static str],
    values: &BTreeMap<&'static str, Value>,
    bounds: &mut Bounds,
) -> Result<String, Mistake> {
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    let syntax = syntax.map_err(|error| Mistake::of_syntax(&error))?;
    gate::admit(source, &syntax, bounds)?;
    let tree = parse(source, "", syntax).map_err(|error| Mistake::of_syntax(&error))?;
    let template = subset::template(&tree, names)?;
    evaluate(&template, values, bounds)
}
