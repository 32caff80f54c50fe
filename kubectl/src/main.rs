//! The plugin's process.

use std::process::ExitCode;

use clap::Parser;
use kubectl_shopify_token::{
    cli::Cli,
    command,
    failure::{Code, Failure, Result},
    screen::tell,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "__complete") {
        return exit(command::complete::run(arguments.collect()));
    }
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime
        .map_err(|error| Failure::new(Code::Failed, format!("no runtime: {error}")))
        .and_then(|runtime| runtime.block_on(command::run(cli)));
    exit(ended)
}

fn exit(ended: Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure);
            failure.exit_code()
        }
    }
}
