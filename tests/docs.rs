//! The documentation names everything that users match on; parts of it are generated.
//!
//! `make docs` writes those anew: `UPDATE_DOCS=1 cargo test --test docs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what is missing should be named")]

use std::{env, fs, path::Path, sync::Mutex};

use clap::{Arg, CommandFactory};
use secrecy::SecretString;
use serde_json::json;
use shopify_token_operator::{
    api::{ShopifyTokenSpec, SourceKind},
    cli::Cli,
    core::{
        customer::Discovery,
        identity::Identity,
        leave::Leave,
        record::{Fields, Parent, Record, mark},
        render::{ClientValues, Values, render},
        vocabulary::{EventReason, FINALIZER, PREFIX, REQUESTED_AT, ROTATE_AT, Reason},
    },
    time::Timestamp,
};

#[path = "docs/book.rs"]
mod book;
#[path = "docs/commands.rs"]
mod commands;
#[path = "docs/events.rs"]
mod events;
#[path = "docs/fields.rs"]
mod fields;
#[path = "docs/metrics.rs"]
mod metrics;

/// Several tests write parts of one page.
static WRITES: Mutex<()> = Mutex::new(());

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// What a heading is followed by, up to the next heading of its level or above.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let level = heading.split(' ').next().unwrap().len();
    let start = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no section {heading:?}"));
    let body = &text[start + heading.len() + 2..];
    let ends = |line: &str| line.starts_with('#') && line.split(' ').next().is_some_and(|marks| marks.len() <= level);
    let end = body.lines().take_while(|line| !ends(line)).map(|line| line.len() + 1).sum::<usize>();
    &body[..end.min(body.len())]
}

#[test]
fn every_source_has_a_page() {
    let text = read("docs/sources.md");
    let kinds = [
        SourceKind::ClientCredentials,
        SourceKind::Offline,
        SourceKind::Storefront,
        SourceKind::Delegate,
        SourceKind::Custom,
        SourceKind::CustomerAccount,
    ];
    for kind in kinds {
        // As the spec spells it, and as a file is named.
        let (first, rest) = kind.as_str().split_at(1);
        let name = format!("{}{rest}", first.to_lowercase());
        let dashed = |c: char| if c.is_uppercase() { format!("-{}", c.to_lowercase()) } else { c.to_string() };
        let file = format!("sources/{}.md", name.chars().map(dashed).collect::<String>());
        assert!(text.contains(&format!("[`{name}`]({file})")), "{name} isn't among those to choose from");
        let page = read(&format!("docs/{file}"));
        assert!(page.starts_with(&format!("# `{name}`: ")) && page.contains("\n**For** "), "{file}");
        for part in ["## At Shopify", "## In the cluster", "## When it fails", "## How it ends"] {
            assert!(!section(&page, part).trim().is_empty(), "{file}: {part}");
        }
    }
}

#[test]
fn every_reason_has_an_entry() {
    let text = read("docs/reasons.md");
    let (conditions, events) = text.split_once("\n## Events\n").unwrap();
    let of_token_valid = ["Verified", "Rejected", "Unreachable", "NotChecked", "Suspended"];
    for reason in Reason::ALL.iter().map(|r| r.as_str()).chain(of_token_valid) {
        let entry = section(conditions, &format!("### `{reason}`"));
        assert!(!entry.trim().is_empty(), "{reason} has an empty entry");
    }
    for reason in EventReason::ALL {
        let kind = if reason.is_warning() { "### Warnings" } else { "### Normal" };
        let entry = section(section(events, kind), &format!("#### `{}`", reason.as_str()));
        assert!(!entry.trim().is_empty(), "{} has an empty entry", reason.as_str());
    }
}

/// Who reads of a reason that doesn't exist looks for it in vain.
#[test]
fn every_entry_has_a_reason() {
    let text = read("docs/reasons.md");
    let (conditions, events) = text.split_once("\n## Events\n").unwrap();
    let named = |text: &str, mark: &str| -> Vec<String> {
        let headings = text.lines().filter_map(|line| line.strip_prefix(mark)?.strip_suffix('`'));
        headings.map(str::to_owned).collect()
    };
    let of_token_valid = ["Verified", "Rejected", "Unreachable", "NotChecked", "Suspended"];
    for name in named(conditions, "### `") {
        assert!(Reason::parse(&name).is_some() || of_token_valid.contains(&&*name), "{name} is no reason");
    }
    for name in named(events, "#### `") {
        assert!(EventReason::ALL.iter().any(|r| r.as_str() == name), "{name} is no event");
    }
}

#[test]
fn events_are_those_that_are_told() {
    generated("events", &events::table(&read("docs/reasons.md")));
}

#[test]
fn metrics_are_those_that_are_registered() {
    generated("metrics", &metrics::tables());
}

#[test]
fn every_key_of_a_secret_is_named() {
    let text = read("docs/reference.md");
    let token = SecretString::from("x");
    let values = |client| Values {
        value: &token,
        previous_value: Some(&token),
        older_values: std::slice::from_ref(&token),
        shop_domain: "acme.myshopify.com",
        api_version: "2026-10",
        scopes: &[],
        expires_at: Some(Timestamp::default()),
        session: Some(&token),
        client,
    };
    let id = || "shp_1".to_owned();
    let endpoints = Discovery::KEYS.map(|key| (key, "https://shopify.com/authentication/1".to_owned())).into();
    let client = ClientValues { client_id: id(), previous_client_id: Some(id()), endpoints };
    let of_token = [None, Some("Hydrogen"), Some("Node"), Some("Ruby"), Some("Python")];
    let of_token = of_token.map(|preset| (SourceKind::Storefront, values(None), preset));
    let of_client = [None, Some("Hydrogen"), Some("OIDC")];
    let of_client = of_client.map(|preset| (SourceKind::CustomerAccount, values(Some(client.clone())), preset));
    for (kind, values, preset) in of_token.into_iter().chain(of_client) {
        let spec: ShopifyTokenSpec =
            serde_json::from_value(json!({"shop": "acme.myshopify.com", "source": {}, "secret": {"preset": preset}}))
                .unwrap();
        let row = preset.map(|preset| format!("| `{preset}` |"));
        for key in render(&spec, kind, &values).unwrap().keys() {
            let keys = section(&text, "### Keys").lines().filter_map(|line| line.split('|').nth(1));
            let default = keys.into_iter().any(|cell| cell.contains(&format!("`{key}`")));
            let line = row.as_ref().and_then(|row| text.lines().find(|line| line.starts_with(row.as_str())));
            assert!(default || line.is_some_and(|line| line.contains(&format!("`{key}`"))), "{preset:?}: {key}");
        }
    }
}

#[test]
fn every_annotation_is_named() {
    let text = read("docs/reference.md");
    let whole = Record {
        token: Identity { namespace: "shop".into(), name: "web".into(), uid: "0a1b".into() },
        revision: 2,
        issued_at: Timestamp::default(),
        expires_at: Some(Timestamp::default()),
        refresh_expires_at: Some(Timestamp::default()),
        token_id: Some("1".into()),
        scopes: vec![],
        inputs: "i".into(),
        content: "c".into(),
        api_version: "2026-10".into(),
        asked_version: Some("2025-10".into()),
        issuer: Some("id".into()),
        client_secret: Some("hash".into()),
        client_secret_since: Some(Timestamp::default()),
        old_secret_until: Some(Timestamp::default()),
        admin: Some("admin".into()),
        parent: Some(Parent { revision: 7, issued_at: Some(Timestamp::default()) }),
        discovery: Some(
            serde_json::from_value(json!({
                "issuer": "https://shopify.com", "authorization_endpoint": "https://shopify.com",
                "token_endpoint": "https://shopify.com", "end_session_endpoint": "https://shopify.com",
                "jwks_uri": "https://shopify.com", "graphql_api": "https://shopify.com",
            }))
            .unwrap(),
        ),
        made_of: Some("filled=1".into()),
        previous: vec![],
        rollout: Some(2),
        restarted: Some(2),
        handled_trigger: Some("t".into()),
        handled_rotate_at: Some("r".into()),
        fields: Fields::default(),
        place: Some("web".into()),
        leave: Some(Leave::Delete),
    };
    let record = section(&text, "### The record");
    for annotation in whole.annotations().keys() {
        let name = annotation.strip_prefix(PREFIX).unwrap();
        assert!(record.contains(&format!("`{name}`")), "{annotation}");
    }
    let (mark, _) = mark(Timestamp::default());
    assert!(record.contains(&format!("`{}`", mark.strip_prefix(PREFIX).unwrap())), "{mark}");
    for name in [ROTATE_AT, REQUESTED_AT, FINALIZER] {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn flags_are_what_the_command_line_takes() {
    let definition = Cli::command();
    let run = definition.find_subcommand("run").unwrap();
    let flags = run.get_arguments().chain(definition.get_arguments()).filter(|a| a.get_env().is_some()).map(row);
    generated("flags", &format!("| flag | variable | default | |\n|---|---|---|---|\n{}", flags.collect::<String>()));
}

#[test]
fn fields_are_what_the_definitions_have() {
    generated("fields", &fields::tables());
}

/// A part of the reference, between two marks, is this text.
fn generated(mark: &str, text: &str) {
    let file = "docs/reference.md";
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->\n"));
    let _alone = WRITES.lock();
    let page = read(file);
    let (before, rest) = page.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    let wanted = format!("{before}{begin}{text}{end}{after}");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), &wanted).unwrap();
    }
    assert!(read(file) == wanted, "{file} is out of date: run `make docs`");
}

fn row(flag: &Arg) -> String {
    let text = |value: Option<&std::ffi::OsStr>| value.map(|v| v.to_string_lossy().into_owned());
    let default = text(flag.get_default_values().first().map(std::convert::AsRef::as_ref));
    let default = default.filter(|value| !value.is_empty()).map(|value| format!("`{value}`")).unwrap_or_default();
    let help = flag.get_help().unwrap().to_string().replace('\n', " ");
    format!("| `--{}` | `{}` | {default} | {help} |\n", flag.get_long().unwrap(), text(flag.get_env()).unwrap())
}
