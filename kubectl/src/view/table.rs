//! Tokens as a table, a line for each.

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use shopify_token_operator::{api::ShopifyTokenStatus, time::Timestamp};

use super::{
    span::{length, relative},
    state::{State, at, awaits_approval},
};
use crate::{
    objects::Object,
    screen::{Tone, harmless},
};

/// Which columns there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Columns {
    /// The namespace, before the name.
    pub namespace: bool,
    /// What `-o wide` adds.
    pub wide: bool,
}

/// Nothing to tell in a cell.
const NONE: &str = "-";

/// The table, heading included unless it was printed already; a line that isn't as it should be in its colour.
#[must_use]
pub fn tokens(objects: &[Object], columns: Columns, heading: bool, now: Timestamp) -> String {
    let mut table = plain(&header(columns));
    let mut tones = vec![Tone::Plain];
    for object in objects {
        let (cells, tone) = row(object, columns, now);
        table.add_row(cells);
        tones.push(tone);
    }
    let lines = table.trim_fmt();
    let lines = lines.lines().zip(tones).skip(usize::from(!heading));
    lines
        .map(|(line, tone)| if tone == Tone::Plain { format!("{line}\n") } else { format!("{}\n", tone.paint(line)) })
        .collect()
}

/// A table without lines, as kubectl prints them.
#[must_use]
pub fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3)).set_cell_alignment(CellAlignment::Left);
    }
    table
}

fn header(columns: Columns) -> Vec<&'static str> {
    let first: &[_] = if columns.namespace { &["NAMESPACE"] } else { &[] };
    let always = ["NAME", "SOURCE", "SHOP", "READY", "REASON", "EXPIRES", "RENEWAL", "AGE"];
    let wide: &[_] = if columns.wide { &["SECRET", "REVISION", "VERIFIED", "IN OVERLAP", "SCOPES"] } else { &[] };
    [first, &always, wide].concat()
}

fn row(object: &Object, columns: Columns, now: Timestamp) -> (Vec<String>, Tone) {
    let none = || NONE.to_owned();
    let mut cells = Vec::new();
    if columns.namespace {
        cells.push(object.namespace.clone());
    }
    cells.push(object.name.clone());
    let age = at(object.raw.metadata.creation_timestamp.as_ref()).map_or_else(none, |born| length(now - born));
    let Some(token) = &object.token else {
        cells.extend(["?", "?", "?", "Unreadable", NONE, NONE].map(str::to_owned));
        cells.push(age);
        return (cells, Tone::Waits);
    };
    let state = State::of(token);
    let empty = ShopifyTokenStatus::default();
    let status = token.status.as_ref().unwrap_or(&empty);
    let kind = token.spec.source().map_or_else(|| "?".to_owned(), |source| source.kind().as_str().to_owned());
    let seen_from_now = |time: Option<Timestamp>| time.map(|at| relative(at, now));
    let expires = match (seen_from_now(at(status.expires_at.as_ref())), &status.issued_at) {
        (Some(when), _) => when,
        (None, Some(_)) => "never".to_owned(),
        (None, None) => none(),
    };
    let renewal = at(status.renewal_time.as_ref()).filter(|_| !awaits_approval(status));
    let renewal = seen_from_now(renewal).unwrap_or_else(none);
    cells.extend([kind, token.spec.shop.clone(), state.ready, state.reason, expires, renewal, age]);
    if columns.wide {
        cells.extend([
            token.secret_name().to_owned(),
            status.revision.map_or_else(none, |revision| revision.to_string()),
            seen_from_now(at(status.last_verified_time.as_ref())).unwrap_or_else(none),
            status.previous.len().to_string(),
            if status.scopes.is_empty() { none() } else { harmless(&status.scopes.join(",")) },
        ]);
    }
    let tone = if state.tone == Tone::Good { Tone::Plain } else { state.tone };
    (cells, tone)
}
