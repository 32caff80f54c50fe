//! The plugin's binary, as kubectl runs it.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use crate::world::{CANARY, World};

/// The binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_kubectl-shopify_token");

/// How it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// It did what was asked.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.out
    }

    /// It ended with this code, and said this on standard error.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, said: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for text in said {
            assert!(self.err.contains(text), "{text:?} isn't in {self:#?}");
        }
        self
    }
}

/// A text whose lines were broken somewhere.
pub(crate) fn unbroken(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The binary in the world's namespace, as an administrator.
pub(crate) fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = of(&world.cluster.kubeconfig_path(), arguments);
    command.args(["-n", &world.namespace]);
    command
}

/// The binary with a kubeconfig, and nothing else of this process but PATH.
pub(crate) fn of(kubeconfig: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("KUBECONFIG", kubeconfig).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end. No credential of the simulator is ever printed.
pub(crate) async fn run(mut command: Command) -> Run {
    let output = timeout(Duration::from_mins(1), command.output()).await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let run = Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
    assert!(!run.out.contains(CANARY) && !run.err.contains(CANARY), "a credential is printed: {run:#?}");
    run
}

/// The same in the world's namespace, as an administrator.
pub(crate) async fn plugin(world: &World, arguments: &[&str]) -> Run {
    run(command(world, arguments)).await
}
