//! What is done: a file for each command, which asks the cluster and shows what `view` makes of it.

mod act;
mod action;
mod check;
pub mod complete;
mod inspect;
mod install_url;
mod migrate;
mod revoke;
mod status;
mod wait;

use self::act::Verb;
use crate::{
    cli::{Cli, Command, Inspect},
    cluster::Cluster,
    failure::Result,
    screen::print,
};

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<()> {
    // Where only a file is read no cluster has to be there.
    let choose = || Cluster::choose(&cli.cluster);
    let cluster = match &cli.command {
        Command::Completion => return print(complete::SCRIPT),
        Command::Migrate(options) => return migrate::run(choose, options).await,
        _ => choose()?,
    };
    match cli.command {
        Command::Status(options) => status::run(&cluster, &options).await,
        Command::Inspect(Inspect::Secret(options)) => inspect::secret(&cluster, &options).await,
        Command::Rotate(options) => act::run(&cluster, Verb::Rotate, &options).await,
        Command::Reconcile(options) => act::run(&cluster, Verb::Reconcile, &options).await,
        Command::Verify(options) => act::run(&cluster, Verb::Verify, &options).await,
        Command::Suspend(options) => act::run(&cluster, Verb::Suspend, &options).await,
        Command::Resume(options) => act::run(&cluster, Verb::Resume, &options).await,
        Command::Revoke(options) => revoke::run(&cluster, &options).await,
        Command::InstallUrl(options) => install_url::run(&cluster, &options).await,
        Command::Check(options) => check::run(&cluster, &options).await,
        Command::Migrate(_) | Command::Completion => Ok(()),
    }
}
