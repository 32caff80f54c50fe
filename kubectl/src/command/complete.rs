//! Completion by kubectl's convention for plugins: `kubectl_complete-shopify_token ARGUMENT…`, the last of which is to be
//! completed, prints a candidate a line, and at the end a colon and what the shell shall do (cobra's directives).

use std::{ffi::OsString, time::Duration};

use clap::{CommandFactory, FromArgMatches};
use clap_complete::{
    CompletionCandidate,
    engine::{ArgValueCompleter, complete},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::ListParams, config::Kubeconfig};
use tokio::time::timeout;

use crate::{
    cli::{Cli, ClusterOptions},
    cluster::Cluster,
    failure::Result,
    screen::print,
};

/// The script by which kubectl asks for completions.
pub const SCRIPT: &str = include_str!("../../kubectl_complete-shopify_token");
/// Whoever presses Tab waits no longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than these nobody looks through.
const MOST: u32 = 500;
/// No files where there are no candidates.
const NO_FILES: u8 = 4;
/// No blank after the candidate: a path goes on.
const NO_SPACE: u8 = 2;

/// Prints what the last of the arguments may be.
pub fn run(arguments: Vec<OsString>) -> Result<()> {
    print(&candidates(arguments))
}

fn candidates(mut arguments: Vec<OsString>) -> String {
    if arguments.is_empty() {
        arguments.push(OsString::new());
    }
    let options = options(&arguments);
    let line: Vec<OsString> = [OsString::from("kubectl-shopify_token")].into_iter().chain(arguments).collect();
    let last = line.len() - 1;
    let mut command = with_names(Cli::command(), &options);
    let found = complete(&mut command, line, last, std::env::current_dir().ok().as_deref()).unwrap_or_default();
    let mut text = String::new();
    let mut directive = NO_FILES;
    for candidate in found.iter().filter(|candidate| !candidate.is_hide_set()) {
        let value = candidate.get_value().to_string_lossy();
        if value.ends_with('/') || value.ends_with('=') {
            directive |= NO_SPACE;
        }
        text.push_str(&value);
        if let Some(help) = candidate.get_help() {
            text.extend(["\t", help.to_string().lines().next().unwrap_or_default()]);
        }
        text.push('\n');
    }
    text + &format!(":{directive}\n")
}

/// The flags of the cluster that were typed already; whatever else is on the line may be incomplete.
fn options(arguments: &[OsString]) -> ClusterOptions {
    let line = [OsString::from("kubectl-shopify_token")].into_iter().chain(arguments.iter().cloned());
    let Ok(matches) = Cli::command().ignore_errors(true).disable_help_flag(true).try_get_matches_from(line) else {
        return ClusterOptions::default();
    };
    let mut leaf = &matches;
    while let Some((_, deeper)) = leaf.subcommand() {
        leaf = deeper;
    }
    ClusterOptions::from_arg_matches(leaf).unwrap_or_default()
}

/// The definition, whose names are completed from the cluster.
fn with_names(command: clap::Command, options: &ClusterOptions) -> clap::Command {
    let (of_tokens, of_namespaces) = (options.clone(), options.clone());
    let tokens = ArgValueCompleter::new(move |typed: &std::ffi::OsStr| starting(typed, ask(&of_tokens, token_names)));
    let namespaces =
        ArgValueCompleter::new(move |typed: &std::ffi::OsStr| starting(typed, ask(&of_namespaces, namespace_names)));
    let contexts = ArgValueCompleter::new(|typed: &std::ffi::OsStr| starting(typed, context_names()));
    completed(command, &tokens, &namespaces, &contexts)
}

fn completed(
    command: clap::Command,
    tokens: &ArgValueCompleter,
    namespaces: &ArgValueCompleter,
    contexts: &ArgValueCompleter,
) -> clap::Command {
    command
        .mut_args(|arg| match arg.get_id().as_str() {
            "names" | "name" if arg.is_positional() => arg.add(tokens.clone()),
            "namespace" | "operator_namespace" => arg.add(namespaces.clone()),
            "context" => arg.add(contexts.clone()),
            _ => arg,
        })
        .mut_subcommands(|command| completed(command, tokens, namespaces, contexts))
}

fn starting(typed: &std::ffi::OsStr, names: Vec<String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    names.into_iter().filter(|name| name.starts_with(&*typed)).map(CompletionCandidate::new).collect()
}

/// What the cluster answers in time; nothing where it doesn't.
fn ask<F>(options: &ClusterOptions, question: impl FnOnce(Cluster) -> F) -> Vec<String>
where
    F: Future<Output = std::result::Result<Vec<String>, kube::Error>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    runtime.block_on(async {
        let Ok(cluster) = Cluster::choose(options) else { return Vec::new() };
        timeout(PATIENCE, question(cluster)).await.ok().and_then(std::result::Result::ok).unwrap_or_default()
    })
}

fn context_names() -> Vec<String> {
    let contexts = Kubeconfig::read().map(|kubeconfig| kubeconfig.contexts).unwrap_or_default();
    contexts.into_iter().map(|context| context.name).collect()
}

async fn token_names(cluster: Cluster) -> std::result::Result<Vec<String>, kube::Error> {
    let list = cluster.tokens(Some(&cluster.namespace)).list_metadata(&ListParams::default().limit(MOST)).await?;
    Ok(list.items.iter().map(ResourceExt::name_any).collect())
}

async fn namespace_names(cluster: Cluster) -> std::result::Result<Vec<String>, kube::Error> {
    let list = Api::<Namespace>::all(cluster.client).list_metadata(&ListParams::default().limit(MOST)).await?;
    Ok(list.items.iter().map(ResourceExt::name_any).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completions(line: &[&str]) -> String {
        candidates(line.iter().map(OsString::from).collect())
    }

    #[test]
    fn commands_and_flags_are_completed() {
        assert_eq!(
            completions(&["re"]).lines().map(|line| line.split('\t').next().unwrap()).collect::<Vec<_>>(),
            ["reconcile", "resume", "revoke", ":4"]
        );
        assert!(completions(&["status", "-o", ""]).starts_with("wide\tA table with more columns\njson\t"));
        assert!(completions(&["status", "--all-n"]).starts_with("--all-namespaces\t"));
    }

    #[test]
    fn flags_count_wherever_they_stand() {
        let of = |line: &[&str]| {
            let line: Vec<_> = line.iter().map(OsString::from).collect();
            let options = options(&line);
            (options.namespace, options.context)
        };
        let both = (Some("shop".to_owned()), Some("c".to_owned()));
        assert_eq!(of(&["status", "-n", "shop", "--context=c", ""]), both);
        assert_eq!(of(&["--context", "c", "inspect", "secret", "-nshop", "w"]), both);
        assert_eq!(of(&["rotate", "--context", "c", "--namespace=shop", "--wa"]), both);
    }
}
