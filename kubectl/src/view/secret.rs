//! A Secret as it may be shown: its keys, sizes and ages, and the operator's record; never a value.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry},
};
use kube::ResourceExt;
use shopify_token_operator::{
    core::{
        identity::Identity,
        record::{self, Record},
        vocabulary::PREFIX,
    },
    time::{self, Timestamp},
};

use super::{
    span::{length, relative},
    state::at,
    table::plain,
};
use crate::screen::{Tone, bold, harmless};

/// What is known of a Secret without its values.
#[derive(Clone, Debug)]
pub struct Facts {
    name: String,
    namespace: String,
    type_: String,
    born: Option<Timestamp>,
    deleted: bool,
    keys: Vec<Key>,
    /// Annotations of ours, without their prefix.
    ours: BTreeMap<String, String>,
    record: Option<Record>,
    holder: Option<Identity>,
}

#[derive(Clone, Debug)]
struct Key {
    name: String,
    /// Bytes of its value.
    size: usize,
    /// Who wrote it last, and when, as far as the API server has noted it.
    writer: Option<(String, Option<Timestamp>)>,
}

impl Facts {
    /// Of a Secret; its values stay behind.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        let sizes = secret.data.iter().flatten().map(|(name, value)| (name.clone(), value.0.len()));
        let writers = secret.managed_fields().to_vec();
        let keys = sizes.map(|(name, size)| Key { writer: writer(&writers, &name), name, size }).collect();
        let annotations = secret.annotations();
        let ours =
            annotations.iter().filter_map(|(name, text)| Some((name.strip_prefix(PREFIX)?.to_owned(), harmless(text))));
        Self {
            name: secret.name_any(),
            namespace: secret.namespace().unwrap_or_default(),
            type_: harmless(secret.type_.as_deref().unwrap_or_default()),
            born: at(secret.metadata.creation_timestamp.as_ref()),
            deleted: secret.metadata.deletion_timestamp.is_some(),
            keys,
            ours: ours.collect(),
            record: Record::parse(annotations),
            holder: record::holder(annotations),
        }
    }

    /// Name of the Secret.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The manager whose fields hold the key, the latest if it has several.
fn writer(entries: &[ManagedFieldsEntry], key: &str) -> Option<(String, Option<Timestamp>)> {
    let key = format!("f:{key}");
    // What was applied as `stringData` is noted under that name.
    let has = |fields: &FieldsV1| {
        ["f:data", "f:stringData"].iter().any(|part| fields.0.get(part).is_some_and(|data| data.get(&key).is_some()))
    };
    let entries = entries.iter().filter(|entry| entry.fields_v1.as_ref().is_some_and(has));
    let written =
        entries.map(|entry| (harmless(entry.manager.as_deref().unwrap_or_default()), at(entry.time.as_ref())));
    written.max_by_key(|(_, time)| *time)
}

/// What a Secret is to the token that is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The one that applications mount.
    Current,
    /// One that an older spec named.
    Older,
    /// The one with the refresh token, which is the operator's alone.
    Record,
    /// Nobody asked for a token.
    Named,
}

impl Part {
    const fn told(self) -> &'static str {
        match self {
            Self::Current => "what applications mount",
            Self::Older => "under an older name, until its overlap is over",
            Self::Record => "the operator's own, with the refresh token",
            Self::Named => "",
        }
    }
}

/// The Secret as text.
#[must_use]
pub fn secret(facts: &Facts, part: Part, now: Timestamp) -> String {
    let place = bold(format!("Secret {}/{}", facts.namespace, facts.name));
    let part = if part.told().is_empty() { String::new() } else { format!("  {}", part.told()) };
    let age = facts.born.map_or(String::new(), |born| format!(", {} old", length(now - born)));
    let deleted = if facts.deleted { ", being deleted" } else { "" };
    let mut text = format!("{place}{part}\n  {}{age}{deleted}\n", facts.type_);
    text.push_str(&whose(facts));

    let mut table = plain(&["KEY", "BYTES", "WRITTEN", "BY"]);
    for key in &facts.keys {
        let (by, written) = key.writer.clone().map_or(("-".to_owned(), None), |(by, time)| (by, time));
        let written = written.map_or_else(|| "-".to_owned(), |at| relative(at, now));
        table.add_row([key.name.clone(), key.size.to_string(), written, by]);
    }
    text.push('\n');
    text.push_str(&indented(&table.trim_fmt()));
    if facts.keys.is_empty() {
        text.push_str("  no keys\n");
    }

    if !facts.ours.is_empty() {
        let mut table = plain(&["RECORD", ""]);
        for (name, value) in &facts.ours {
            let seen = time::parse(value).map(|at| format!("{value}, {}", relative(at, now)));
            table.add_row([name.clone(), seen.unwrap_or_else(|| value.clone())]);
        }
        text.push('\n');
        text.push_str(&indented(&table.trim_fmt()));
    }
    text
}

/// Whose credential it says that it holds.
fn whose(facts: &Facts) -> String {
    let tone = |tone: Tone, text: &str| format!("  {}\n", tone.paint(text));
    match (&facts.record, &facts.holder) {
        (Some(record), _) if record.place.as_ref().is_some_and(|place| *place != facts.name) => {
            tone(Tone::Waits, "a copy: its record was written under another name, so it is nobody's")
        }
        (Some(record), _) if record.token.namespace != facts.namespace => {
            tone(Tone::Waits, "a copy: its record is of another namespace, so it is nobody's here")
        }
        (Some(record), _) => format!("  holds revision {} of ShopifyToken {}\n", record.revision, record.token.name),
        (None, Some(_)) => tone(Tone::Bad, "its record can't be read: it counts as one that has lost its credential"),
        (None, None) if facts.ours.is_empty() => "  no record: the operator hasn't written it\n".to_owned(),
        (None, None) => String::new(),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect::<Vec<_>>().concat()
}
