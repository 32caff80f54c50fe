//! `docs/kubectl.md` is what the command line takes and prints, the guide to migrate is what it writes; krew's manifest is whole.
//!
//! `make docs` writes the generated part anew: `UPDATE_DOCS=1 cargo test --test docs`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what is missing should be named")]

use std::{
    env, fs,
    io::Write as _,
    process::{Command as Process, Stdio},
    sync::Mutex,
};

use clap::{Command, CommandFactory, Parser as _};
use kubectl_shopify_token::cli::Cli;
use serde_json::Value;

/// Two tests write parts of one page.
static WRITES: Mutex<()> = Mutex::new(());

#[test]
fn help_is_what_the_command_line_takes() {
    let _alone = WRITES.lock();
    let path = dev::repository("docs/kubectl.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- help -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /help -->\n").unwrap();
    let mut definition = Cli::command().term_width(100);
    definition.build();
    let help = help(&mut definition);
    let wanted = format!("{before}<!-- help -->\n{help}<!-- /help -->\n{after}");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == wanted, "docs/kubectl.md is out of date: run `make docs`");
    for command in definition.get_subcommands().filter(|command| command.get_name() != "help") {
        let called = format!("kubectl shopify-token {}", command.get_name());
        assert!(before.contains(&called) || after.contains(&called), "no example of `{called}`");
    }
}

/// The help of each command below its heading; what stands in all of them once.
fn help(command: &mut Command) -> String {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.clone().term_width(100).render_long_help().to_string();
    let own = if name.matches(' ').count() > 1 { help.split("\nCluster:\n").next().unwrap() } else { &help };
    let lines: Vec<&str> = own.trim_end().lines().map(str::trim_end).collect();
    let mut text = format!("\n### `{name}`\n\n```text\n{}\n```\n", lines.join("\n"));
    for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
        text.push_str(&self::help(below));
    }
    text
}

/// Every command of the plugin that a page shows, without what a shell makes of the rest of its line.
#[test]
fn commands_of_the_pages_are_taken() {
    let mut seen = 0;
    for page in dev::book::pages("").unwrap() {
        for (language, code) in dev::book::code(&fs::read_to_string(dev::repository(&page)).unwrap()) {
            for line in code.lines() {
                let line = line.strip_prefix("$ ").unwrap_or(line);
                let Some(command) = line.strip_prefix("kubectl shopify-token ") else { continue };
                let ends = |word: &&str| !matches!(*word, "#" | ">" | "|" | "||");
                let words: Vec<&str> = command.split_whitespace().take_while(ends).collect();
                // In a sentence a command may be named alone.
                let is_named = language.is_none() && words.len() < 3;
                let known = |word: &&str| Cli::command().find_subcommand(word).is_some();
                let taken = Cli::try_parse_from(["kubectl-shopify_token"].iter().chain(&words));
                seen += 1;
                if let Err(refused) = taken {
                    assert!(is_named && words.first().is_some_and(known), "{page}: {line}\n{refused}");
                }
            }
        }
    }
    assert!(seen > 30, "{seen} commands");
}

/// What stands after one mark and before another.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    text.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).unwrap_or_else(|| panic!("no {begin}")).0
}

/// The examples of the guide, in its own words: what there is, given to the command, becomes what it shows.
#[test]
fn the_guide_to_migrate_shows_what_is_written() {
    let path = dev::repository("docs/guides/migrate.md");
    let mut wanted = fs::read_to_string(&path).unwrap();
    for (example, object) in [("cron", "secret/cron"), ("eso", "webhook/shopify")] {
        let given = between(&wanted, &format!("<!-- from {example} -->\n```yaml\n"), "\n```\n");
        let mut plugin = Process::new(env!("CARGO_BIN_EXE_kubectl-shopify_token"));
        plugin.env_clear().args(["migrate", object, "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = plugin.spawn().unwrap();
        running.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
        let output = running.wait_with_output().unwrap();
        assert!(output.status.success(), "{object}");
        assert!(wanted.contains(&format!("kubectl shopify-token migrate {object} ")), "{object}");
        let (begin, end) = (format!("<!-- to {example} -->\n"), format!("<!-- end {example} -->\n"));
        let shown = between(&wanted, &begin, &end).to_owned();
        let made = format!("```yaml\n{}```\n", String::from_utf8(output.stdout).unwrap());
        wanted = wanted.replace(&format!("{begin}{shown}{end}"), &format!("{begin}{made}{end}"));
    }
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == wanted, "docs/guides/migrate.md is out of date: run `make docs`");
}

/// What the page shows of them is what a test has them print.
#[test]
fn sessions_are_what_the_command_line_prints() {
    let _alone = WRITES.lock();
    let path = dev::repository("docs/kubectl.md");
    let mut wanted = fs::read_to_string(&path).unwrap();
    let view = "view/snapshots/kubectl_shopify_token__view__tests";
    let secret = "command/migrate/snapshots/kubectl_shopify_token__command__migrate__secret__tests";
    for (command, snapshot) in [
        ("status", format!("{view}__all_as_a_table.snap")),
        ("status web", format!("{view}__storefront.snap")),
        ("inspect secret web", format!("{view}__a_secret_without_its_values.snap")),
        ("migrate secret/cron", format!("{secret}__a_cron_job_with_an_app.snap")),
    ] {
        let begin = format!("```text\n$ kubectl shopify-token {command}\n");
        let shown = between(&wanted, &begin, "```\n").to_owned();
        let snapshot = fs::read_to_string(dev::repository("kubectl/src").join(snapshot)).unwrap();
        // What stands above it says where it is from.
        let (_, printed) = snapshot.strip_prefix("---\n").unwrap().split_once("---\n").unwrap();
        wanted = wanted.replace(&format!("{begin}{shown}```\n"), &format!("{begin}{printed}```\n"));
    }
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == wanted, "docs/kubectl.md is out of date: run `make docs`");
}

#[test]
fn the_manifest_of_krew_is_whole() {
    let text = fs::read_to_string(dev::repository("deploy/krew/shopify-token.yaml")).unwrap();
    let manifest: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(
        (&manifest["apiVersion"], &manifest["kind"]),
        (&"krew.googlecontainertools.github.com/v1alpha2".into(), &"Plugin".into())
    );
    // krew takes the name for the command, and makes its file of it: dashes are underscores there.
    assert_eq!(manifest["metadata"]["name"], "shopify-token");
    let spec = &manifest["spec"];
    let short = spec["shortDescription"].as_str().unwrap();
    assert!(short.len() <= 50 && !short.to_lowercase().contains("kubectl"), "as krew's guide wants it: {short}");
    assert_eq!(spec["version"], format!("v{}", env!("CARGO_PKG_VERSION")));
    let mut seen = Vec::new();
    for platform in spec["platforms"].as_array().unwrap() {
        let labels = &platform["selector"]["matchLabels"];
        let (os, arch) = (labels["os"].as_str().unwrap(), labels["arch"].as_str().unwrap());
        let archive = format!("kubectl-shopify_token-{os}-{arch}.tar.gz");
        assert!(platform["uri"].as_str().unwrap().ends_with(&archive), "{platform}");
        assert_eq!(platform["sha256"].as_str().unwrap(), format!("SHA256_{os}_{arch}"), "filled in at the release");
        assert_eq!(platform["bin"], "kubectl-shopify_token");
        seen.push(format!("{os}/{arch}"));
    }
    assert_eq!(seen, ["linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"]);
}
