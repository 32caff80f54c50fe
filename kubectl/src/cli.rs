//! The command line.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use shopify_token_operator::{core::vocabulary::OPERATOR, selector};

/// Where every Shopify credential stands, and what a person does with it.
///
/// Credentials are never printed.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-shopify_token",
    bin_name = "kubectl shopify-token",
    version,
    after_help = EXIT_CODES,
    max_term_width = 100
)]
pub struct Cli {
    /// Which cluster, and as whom.
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// What is done.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  as asked
  1  the cluster, a right, or an answer that can't be used
  2  the command line is wrong
  3  no such object, or several of that name
  4  a person has to act: Stalled, refused by Shopify, or found wrong by check
  5  not within --timeout";

/// Which cluster, and as whom: the flags that kubectl has, too.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterOptions {
    /// Namespace. Default: that of the context.
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig. Default: the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig. Default: those of KUBECONFIG, or ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
    /// User to impersonate.
    #[arg(id = "as", long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Group to impersonate; may be repeated.
    #[arg(long, global = true, value_name = "GROUP")]
    pub as_group: Vec<String>,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show where tokens stand; of a single one its life on a time scale, and what to do.
    Status(StatusOptions),
    /// Look into what the operator has written.
    #[command(subcommand)]
    Inspect(Inspect),
    /// Issue a new credential now: one rotation, with the overlap of the spec.
    ///
    /// Sets the annotation tokens.shopify-operator.dev/rotate-at. What can't be issued again is verified and read anew.
    Rotate(ActionOptions),
    /// Look at everything now, verify the credential, and end a back-off.
    ///
    /// Sets the annotation reconcile.fluxcd.io/requestedAt. With --wait until the token is Ready.
    Reconcile(ActionOptions),
    /// Ask Shopify now whether the credential works.
    ///
    /// Sets the annotation reconcile.fluxcd.io/requestedAt. With --wait until Shopify has said so: exit code 4 if it refuses.
    Verify(ActionOptions),
    /// Have the operator issue, check and revoke nothing until it is resumed.
    ///
    /// Sets spec.suspend to true. Deleting the token still revokes.
    Suspend(ActionOptions),
    /// Let the operator go on.
    ///
    /// Sets spec.suspend to false.
    Resume(ActionOptions),
    /// Delete a token, which revokes its credential where Shopify can; says before what will happen, and asks.
    Revoke(RevokeOptions),
    /// Print where a merchant or customer approves what a token waits for.
    InstallUrl(InstallUrlOptions),
    /// Look whether all is there that is needed: the cluster, your rights, the CRDs, the operator, Shopify.
    Check(CheckOptions),
    /// Write a ShopifyApp and ShopifyTokens in place of what keeps a Secret up to date now, as YAML to review.
    ///
    /// Nothing is changed in the cluster, and no value of a Secret is printed but the shop's domain.
    Migrate(MigrateOptions),
    /// Print the script by which kubectl completes this plugin's commands and the names in the cluster.
    ///
    /// Put it into PATH as kubectl_complete-shopify_token, executable.
    Completion,
}

/// What can be looked into.
#[derive(Debug, Subcommand)]
pub enum Inspect {
    /// Show keys, sizes, ages and the record of a token's Secrets; never a value.
    Secret(SecretOptions),
}

/// Which ShopifyTokens.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// ShopifyTokens by name, as in `web` or `stok/web`.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Look in every namespace.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Those with these labels, as in `team=web,tier!=test`.
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = label_selector, conflicts_with = "names")]
    pub selector: Option<String>,
}

/// Options of `status`.
#[derive(Args, Debug)]
pub struct StatusOptions {
    /// Which.
    #[command(flatten)]
    pub selection: Selection,
    /// Form of what is printed.
    #[arg(short, long, value_enum)]
    pub output: Option<Output>,
    /// Go on, and show every change.
    #[arg(short, long)]
    pub watch: bool,
}

/// Form of what is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// A table with more columns.
    Wide,
    /// The objects as the API server has them.
    Json,
    /// The same as YAML.
    Yaml,
    /// Their names, for other commands.
    Name,
}

/// Options of `inspect secret`.
#[derive(Args, Debug)]
pub struct SecretOptions {
    /// The ShopifyToken, whose Secrets are all shown; or one Secret, as in `secret/web`.
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Options of an action.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("which").args(["names", "selector", "all"]).required(true)))]
pub struct ActionOptions {
    /// Which.
    #[command(flatten)]
    pub selection: Selection,
    /// All of the namespace, or with -A of every namespace.
    #[arg(long, conflicts_with_all = ["names", "selector"])]
    pub all: bool,
    /// Until when.
    #[command(flatten)]
    pub wait: WaitOptions,
}

/// How long a command goes on.
#[derive(Args, Clone, Copy, Debug)]
pub struct WaitOptions {
    /// Go on until it is done, and tell how it goes.
    #[arg(long)]
    pub wait: bool,
    /// How long at most, with --wait.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

impl WaitOptions {
    /// How long at most.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Options of `revoke`.
#[derive(Args, Debug)]
pub struct RevokeOptions {
    /// The ShopifyToken.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Don't ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Until when.
    #[command(flatten)]
    pub wait: WaitOptions,
}

/// Options of `install-url`.
#[derive(Args, Debug)]
pub struct InstallUrlOptions {
    /// The ShopifyToken.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Open it in the browser, too.
    #[arg(long)]
    pub open: bool,
}

/// Options of `check`.
#[derive(Args, Debug)]
pub struct CheckOptions {
    /// Look at the tokens of every namespace.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Namespace that the operator runs in.
    #[arg(long, value_name = "NAMESPACE", default_value = OPERATOR)]
    pub operator_namespace: String,
    /// Name of the lease that it holds. Default: those that its Deployments name, or shopify-token-operator.
    #[arg(long, value_name = "NAME")]
    pub lease_name: Option<String>,
}

/// Options of `migrate`.
#[derive(Args, Debug)]
pub struct MigrateOptions {
    /// What there is now: the Secret that a cron job writes, as in `secret/NAME`, or the generator of External Secrets, as
    /// in `webhook/NAME`.
    #[arg(value_name = "KIND/NAME")]
    pub from: String,
    /// Read the objects from this file instead of the cluster; `-` is standard input.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub filename: Option<PathBuf>,
    /// Domain of the shop, as in `acme.myshopify.com`, where what there is doesn't say it.
    #[arg(long, value_name = "DOMAIN")]
    pub shop: Option<String>,
    /// Name of the ShopifyToken, and of the ShopifyApp beside it. Default: that of the Secret or generator.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// At most a year: longer than anyone waits.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = Duration::from(humantime::Duration::from_str(text).map_err(|error| error.to_string())?);
    let longest = Duration::from_hours(8760);
    (duration <= longest).then_some(duration).ok_or_else(|| "it is at most 8760h".to_owned())
}

fn label_selector(text: &str) -> Result<String, String> {
    selector::parse(text).map(|selector| selector.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (line, said) in [
            ("status -l /team", "'--selector <SELECTOR>'"),
            ("status -l team=web web", "cannot be used with"),
            ("status -o xml", "possible values: wide, json, yaml, name"),
            ("inspect secret", "<NAME>"),
            ("rotate", "required arguments were not provided"),
            ("rotate --all web", "cannot be used with"),
            ("rotate web --timeout 5", "time unit needed"),
            ("rotate web --timeout 9000h", "at most 8760h"),
        ] {
            let line = ["kubectl shopify-token"].into_iter().chain(line.split(' '));
            let message = Cli::try_parse_from(line).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
    }
}
