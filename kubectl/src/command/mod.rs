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
    // Where nothing is asked of a cluster none has to be there.
    let choose = || Cluster::choose(&cli.cluster);
    match &cli.command {
        Command::Status(options) => status::run(&choose()?, options).await,
        Command::Inspect(Inspect::Secret(options)) => inspect::secret(&choose()?, options).await,
        Command::Rotate(options) => act::run(&choose()?, Verb::Rotate, options).await,
        Command::Reconcile(options) => act::run(&choose()?, Verb::Reconcile, options).await,
        Command::Verify(options) => act::run(&choose()?, Verb::Verify, options).await,
        Command::Suspend(options) => act::run(&choose()?, Verb::Suspend, options).await,
        Command::Resume(options) => act::run(&choose()?, Verb::Resume, options).await,
        Command::Revoke(options) => revoke::run(&choose()?, options).await,
        Command::InstallUrl(options) => install_url::run(&choose()?, options).await,
        Command::Check(options) => check::run(&choose()?, options).await,
        Command::Migrate(options) => migrate::run(choose, options).await,
        Command::Completion => print(complete::SCRIPT),
    }
}
