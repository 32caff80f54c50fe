//! The command line: flags, their environment variables, and what is refused at start.

use std::{collections::BTreeSet, env, net::SocketAddr, path::PathBuf, str::FromStr};

use chrono::TimeDelta;
use clap::{
    ArgAction, ArgMatches, Args, Command as Definition, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::Resettable, parser::ValueSource,
};

use crate::{
    api::crd,
    core::{public_url::PublicUrl, vocabulary::OPERATOR},
    selector,
    shopify::{ConnectTo, parse_connect_to},
    telemetry::{Format, Level},
};

/// cert-manager for Shopify tokens: issues, refreshes, rotates and revokes Shopify credentials into Kubernetes Secrets.
///
/// Each option can be set by the environment variable of the same name, too: `--admin-addr` by `ADMIN_ADDR`; `--otlp-endpoint`
/// by `OTEL_EXPORTER_OTLP_ENDPOINT`. The kubeconfig is found as kubectl finds it; `HTTPS_PROXY` and `NO_PROXY` count.
#[derive(Debug, Parser)]
#[command(name = OPERATOR, version)]
pub struct Cli {
    /// What is printed.
    #[command(flatten)]
    pub log: LogOptions,
    /// What is done.
    #[command(subcommand)]
    pub command: Command,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    Run(RunOptions),
    /// Print the CustomResourceDefinitions.
    Crd,
    /// Revoke what should be revoked, then take off every finalizer, so that the CustomResourceDefinitions can go.
    Uninstall(UninstallOptions),
    /// Print the version.
    Version,
}

/// What is printed.
#[derive(Args, Clone, Debug)]
pub struct LogOptions {
    /// Form of the log lines, `json` or `text`; JSON unless stderr is a terminal.
    #[arg(long, env, global = true, value_enum, ignore_case = true, display_order = 100)]
    pub log_format: Option<Format>,
    /// The least important lines that are printed: `error`, `warn`, `info`, `debug` or `trace`.
    #[arg(long, env, global = true, value_enum, ignore_case = true, default_value = "info", display_order = 100)]
    pub log_level: Level,
}

/// How Shopify is reached, when not as everyone reaches it.
#[derive(Args, Clone, Debug, Default)]
pub struct ShopifyOptions {
    /// Where every connection to Shopify goes instead of the name in its URL: a loopback address, or a name under
    /// `.svc` or `.svc.cluster.local`. URLs, Host and TLS name checks stay the same.
    #[arg(long, env, value_name = "HOST:PORT", value_parser = parse_connect_to)]
    pub shopify_connect_to: Option<ConnectTo>,
    /// PEM file with certificate authorities to trust in addition.
    #[arg(long, env, value_name = "FILE")]
    pub shopify_ca_file: Option<PathBuf>,
}

/// The lease that the working instance holds.
#[derive(Args, Clone, Debug)]
pub struct LeaseOptions {
    /// Work only while holding a lease, so that several replicas can run.
    #[arg(
        long,
        env,
        action = ArgAction::Set,
        default_value_t = true,
        default_missing_value = "true",
        value_parser = boolean,
        num_args = 0..=1,
        require_equals = true
    )]
    pub leader_elect: bool,
    /// Namespace of the lease. Default: the operator's own; outside a cluster that of the kubeconfig's context.
    #[arg(long, env, value_name = "NAMESPACE", value_parser = namespace)]
    pub lease_namespace: Option<String>,
    /// Name of the lease.
    #[arg(long, env, value_name = "NAME", default_value = OPERATOR, value_parser = object_name)]
    pub lease_name: String,
}

/// Options of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// Namespaces to watch, comma-separated. Default: all.
    #[arg(long, env, value_name = "NAMESPACES", value_parser = namespaces, default_value = "", hide_default_value = true)]
    pub watch_namespaces: Namespaces,
    /// Label selector of the ShopifyTokens and ShopifyApps that this instance serves. Default: all.
    #[arg(long, env, value_name = "SELECTOR", value_parser = label_selector)]
    pub selector: Option<String>,
    /// Reconciles at a time, and twice as many calls to Kubernetes, lists and watches apart.
    #[arg(long, env, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// Whose turn it is among several replicas.
    #[command(flatten)]
    pub lease: LeaseOptions,
    /// Where livez, readyz and metrics are served. `[::]` is every address, IPv4 ones included, and serves IPv4 alone
    /// where there is no IPv6.
    #[arg(long, env, value_name = "ADDRESS:PORT", default_value = "[::]:8080")]
    pub admin_addr: SocketAddr,
    /// URL under which merchants reach the install pages, such as `https://tokens.example.com`: https unless it is a
    /// loopback address. Without it there are none.
    #[arg(long, env, value_name = "URL")]
    pub public_url: Option<PublicUrl>,
    /// Where the install pages are served, once there is a public URL.
    #[arg(long, env, value_name = "ADDRESS:PORT", default_value = "[::]:8081")]
    pub oauth_addr: SocketAddr,
    /// The collector that takes traces, by OTLP over HTTP: such as `http://otel-collector.observability:4318`. Without it
    /// there are none. OpenTelemetry's other variables count, too: see docs/monitoring.md.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Whether the collector is named on the command line, so by somebody who means this operator.
    #[arg(skip)]
    pub otlp_by_flag: bool,
    /// How long a revocation is tried before the deleted object is let go, such as `1h` or `30m`.
    #[arg(long, env, value_name = "DURATION", default_value = "1h", value_parser = time_delta)]
    pub revocation_timeout: TimeDelta,
    /// How Shopify is reached.
    #[command(flatten)]
    pub shopify: ShopifyOptions,
}

/// Options of `uninstall`.
#[derive(Args, Clone, Debug)]
pub struct UninstallOptions {
    /// Namespaces to clear, comma-separated: those that the operator watches. Default: all.
    #[arg(long, env, value_name = "NAMESPACES", value_parser = namespaces, default_value = "", hide_default_value = true)]
    pub watch_namespaces: Namespaces,
    /// The running operator's: taken from it first, so that it stops.
    #[command(flatten)]
    pub lease: LeaseOptions,
    /// Names of further leases, comma-separated: those of the other instances where several share the objects by
    /// `--selector`.
    #[arg(long, env, value_name = "NAMES", value_parser = object_names, default_value = "", hide_default_value = true)]
    pub further_leases: Names,
    /// How long revocations are tried before the finalizers are taken off all the same.
    #[arg(long, env = "UNINSTALL_TIMEOUT", value_name = "DURATION", default_value = "5m", value_parser = time_delta)]
    pub timeout: TimeDelta,
    /// How Shopify is reached.
    #[command(flatten)]
    pub shopify: ShopifyOptions,
}

impl Cli {
    /// Reads the command line and the environment. Ends the process, with a message, when they are wrong.
    #[must_use]
    pub fn read() -> Self {
        let matches = without_empty_variables(Self::command()).get_matches();
        Self::of(&matches).unwrap_or_else(|error| error.exit())
    }

    fn of(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut cli = Self::from_arg_matches(matches)?;
        if let (Command::Run(options), Some((_, matches))) = (&mut cli.command, matches.subcommand()) {
            options.otlp_by_flag = matches.value_source("otlp_endpoint") == Some(ValueSource::CommandLine);
        }
        Ok(cli)
    }
}

/// A variable that is there but empty, as templates leave them, counts as one that isn't there.
fn without_empty_variables(definition: Definition) -> Definition {
    definition
        .mut_args(|arg| {
            let value = arg.get_env().and_then(env::var_os);
            if value.is_some_and(|v| v.is_empty()) { arg.env(Resettable::Reset) } else { arg }
        })
        .mut_subcommands(without_empty_variables)
}

/// Both CustomResourceDefinitions as YAML, as `crds/` holds them.
pub fn crds() -> Result<String, serde_saphyr::ser::Error> {
    let mut documents = format!("# Generated by `{OPERATOR} crd`; do not edit.\n");
    for crd in crd::all() {
        documents.push_str("---\n");
        documents.push_str(&serde_saphyr::to_string(&crd)?);
    }
    Ok(documents)
}

/// Namespaces; none stands for all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Namespaces(pub Vec<String>);

/// Blanks around a comma, commas too many and a name that comes twice do no harm, as with other operators.
fn namespaces(text: &str) -> Result<Namespaces, String> {
    let names: BTreeSet<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    names.into_iter().map(namespace).collect::<Result<_, _>>().map(Namespaces)
}

/// Names of objects; there may be none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names(pub Vec<String>);

fn object_names(text: &str) -> Result<Names, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(object_name).collect::<Result<_, _>>().map(Names)
}

/// As Go's `strconv.ParseBool` reads it, which other operators' flags go by, in any case.
fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_lowercase().as_str() {
        "1" | "t" | "true" => Ok(true),
        "0" | "f" | "false" => Ok(false),
        _ => Err("it is true or false".to_owned()),
    }
}

fn namespace(text: &str) -> Result<String, String> {
    if text.len() <= 63 && is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err("a namespace is at most 63 lower-case letters, digits and `-`, with a letter or digit at either end"
            .to_owned())
    }
}

fn object_name(text: &str) -> Result<String, String> {
    if text.len() <= 253 && text.split('.').all(is_dns_label) {
        Ok(text.to_owned())
    } else {
        Err("a name is at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at either end"
            .to_owned())
    }
}

fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(alphanumeric) && text.ends_with(alphanumeric) && text.chars().all(|c| alphanumeric(c) || c == '-')
}

fn label_selector(text: &str) -> Result<String, String> {
    selector::parse(text).map(|selector| selector.to_string())
}

/// Longer than anyone waits, and short enough that no time of day overflows with it.
const LONGEST_HOURS: i64 = 365 * 24;

fn time_delta(text: &str) -> Result<TimeDelta, String> {
    let duration = humantime::Duration::from_str(text).map_err(|e| e.to_string())?;
    let delta = TimeDelta::from_std(duration.into()).ok();
    let delta = delta.filter(|delta| *delta <= TimeDelta::hours(LONGEST_HOURS));
    delta.ok_or_else(|| format!("it is at most {LONGEST_HOURS}h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(flags: &[&str]) -> Result<RunOptions, String> {
        let line = [OPERATOR, "run"].iter().chain(flags);
        let matches = Cli::command().try_get_matches_from(line).map_err(|e| e.to_string())?;
        match Cli::of(&matches).map_err(|e| e.to_string())?.command {
            Command::Run(options) => Ok(options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let options = run(&[]).unwrap();
        assert_eq!(options.watch_namespaces.0, Vec::<String>::new());
        assert_eq!(options.selector, None);
        assert_eq!(options.concurrency, 16);
        assert!(options.lease.leader_elect);
        assert_eq!(options.lease.lease_namespace, None);
        assert_eq!(options.lease.lease_name, "shopify-token-operator");
        assert_eq!(options.admin_addr.to_string(), "[::]:8080");
        assert_eq!(options.oauth_addr.to_string(), "[::]:8081");
        assert_eq!((options.otlp_endpoint, options.otlp_by_flag), (None, false));
        assert_eq!(options.revocation_timeout, TimeDelta::hours(1));
        assert_eq!(options.shopify.shopify_connect_to, None);
        assert_eq!(options.shopify.shopify_ca_file, None);
    }

    #[test]
    fn every_option_has_a_variable_of_the_same_name() {
        let definition = Cli::command();
        let run = definition.find_subcommand("run").unwrap();
        let options = definition.get_arguments().chain(run.get_arguments());
        for option in options.filter(|o| !matches!(o.get_id().as_str(), "help" | "version")) {
            let variable = match option.get_long().unwrap() {
                // OpenTelemetry's own.
                "otlp-endpoint" => "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
                long => long.replace('-', "_").to_uppercase(),
            };
            assert_eq!(option.get_env().unwrap(), &*variable);
        }
    }

    #[test]
    fn flags_are_read() {
        let options = run(&[
            "--watch-namespaces=shop,web",
            "--selector",
            "shard in (b, a),!legacy",
            "--leader-elect=false",
            "--revocation-timeout=90m",
        ])
        .unwrap();
        assert_eq!(options.watch_namespaces.0, ["shop", "web"]);
        assert_eq!(options.selector.unwrap(), "shard in (a,b),!legacy");
        assert!(!options.lease.leader_elect);
        assert_eq!(options.revocation_timeout, TimeDelta::minutes(90));
        assert!(run(&["--leader-elect"]).unwrap().lease.leader_elect);
        assert!(run(&["--otlp-endpoint=http://collector:4318"]).unwrap().otlp_by_flag);
    }

    #[test]
    fn flags_are_as_lenient_as_those_of_other_operators() {
        for text in ["team-a,team-b", "team-a, team-b", " team-a ,team-b,", "team-a,,team-b", "team-b,team-a,team-b"] {
            let options = run(&[&format!("--watch-namespaces={text}")]).unwrap();
            assert_eq!(options.watch_namespaces.0, ["team-a", "team-b"], "{text:?}");
        }
        assert!(run(&["--watch-namespaces=Team"]).is_err());
        for (text, on) in [("True", true), ("TRUE", true), ("1", true), ("False", false), ("f", false)] {
            assert_eq!(run(&[&format!("--leader-elect={text}")]).unwrap().lease.leader_elect, on, "{text}");
        }
        assert!(run(&["--leader-elect=perhaps"]).is_err());
        for text in ["INFO", "Debug", "warn"] {
            assert!(run(&[&format!("--log-level={text}")]).is_ok(), "{text}");
        }
        assert!(run(&["--log-format=JSON"]).is_ok());
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (flag, value, said) in [
            ("--watch-namespaces", "shop,Web", "a namespace is"),
            ("--selector", "team in web", "isn't a label's key"),
            ("--concurrency", "0", "0 is not in 1..=65535"),
            ("--lease-name", "a b", "a name is"),
            ("--lease-namespace", "a.b", "a namespace is"),
            ("--admin-addr", "8080", "invalid socket address"),
            ("--revocation-timeout", "1", "time unit needed"),
            ("--revocation-timeout", "-1h", "expected number"),
            ("--revocation-timeout", "300000years", "at most 8760h"),
            ("--public-url", "tokens.example.com", "write a URL, as in https://tokens.example.com"),
            ("--public-url", "http://tokens.example.com", "https, or http on a loopback address"),
            ("--public-url", "https://tokens.example.com/oauth", "scheme, host and port alone"),
            ("--log-level", "loud", "possible values"),
        ] {
            let message = run(&[&format!("{flag}={value}")]).unwrap_err();
            assert!(message.contains(flag) && message.contains(said), "{message}");
        }
    }

    #[test]
    fn the_definitions_are_printed_as_two_documents() {
        let yaml = crds().unwrap();
        let documents: Vec<&str> = yaml.split("---\n").collect();
        assert_eq!(documents.len(), 3);
        assert_eq!(documents[0], "# Generated by `shopify-token-operator crd`; do not edit.\n");
        for (document, name) in documents[1..].iter().zip(["shopifyapps", "shopifytokens"]) {
            let crd: serde_json::Value = serde_saphyr::from_str(document).unwrap();
            assert_eq!(crd["metadata"]["name"], format!("{name}.tokens.shopify-operator.dev"));
        }
    }
}
