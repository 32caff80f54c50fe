//! As a plugin of the real kubectl, found in PATH; and on a terminal.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::{plugin::BINARY, world::World};

/// A kubectl that finds the plugin, and nothing else, in PATH; whoever runs the tests has said nothing on colours.
fn kubectl(world: &World, path: &Path) -> Command {
    let binary = Path::new(BINARY);
    let link = |name: &str, target: &Path| {
        if !path.join(name).exists() {
            symlink(target, path.join(name)).unwrap();
        }
    };
    link("kubectl-shopify_token", binary);
    link("kubectl_complete-shopify_token", &dev::repository("kubectl/kubectl_complete-shopify_token"));
    let mut command = Command::new(world.cluster.kubectl());
    command.env_clear().env("KUBECONFIG", world.cluster.kubeconfig_path()).env("HOME", path).stdin(Stdio::null());
    command.env("PATH", format!("{}:/usr/bin:/bin", path.display()));
    command
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_finds_the_plugin_and_passes_its_exit_code_on() {
    let world = World::with_admin("kubectl").await;
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| kubectl(&world, dir.path()).args(arguments).output().unwrap();
    let listed = text(&run(&["plugin", "list"]));
    assert!(listed.contains("kubectl-shopify_token"), "{listed}");
    let status = run(&["shopify-token", "status", "-n", &world.namespace]);
    assert!(status.status.success() && text(&status).contains("ClientCredentials"), "{status:?}");
    let missing = run(&["shopify-token", "status", "none", "-n", &world.namespace]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
    let help = text(&run(&["shopify-token", "--help"]));
    assert!(help.contains("Usage: kubectl shopify-token [OPTIONS] <COMMAND>"), "{help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_completes_commands_and_names() {
    let world = World::new("complete").await;
    for name in ["web", "web-2", "admin"] {
        world.token(name, json!({"source": {"custom": {"tokenRef": {"name": "t", "key": "k"}}}})).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let complete = |line: &[&str]| {
        let all = [&["__complete", "shopify-token"], line].concat();
        let output = kubectl(&world, dir.path()).args(&all).output().unwrap();
        let candidates = String::from_utf8(output.stdout).unwrap();
        candidates.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["st"]), ["status", ":4"]);
    assert_eq!(complete(&["status", "-n", &world.namespace, "w"]), ["web", "web-2", ":4"]);
    assert_eq!(complete(&["rotate", "-n", &world.namespace, "--wait", "a"]), ["admin", ":4"]);
    assert_eq!(complete(&["inspect", "secret", "--namespace", &world.namespace, "web-"]), ["web-2", ":4"]);
    let namespaces = complete(&["status", "-n", &world.namespace[..12]]);
    assert!(namespaces.contains(&world.namespace), "{namespaces:?}");
    assert_eq!(complete(&["status", "--context", "lo"]), ["local", ":4"]);
    // Nothing to complete with, and nothing said over the prompt.
    assert_eq!(complete(&["status", "--context", "none", "w"]), [":4"]);
}

/// What a terminal shows, and how the command ended there.
struct Shown {
    text: String,
    code: Option<i32>,
}

/// Runs it on a terminal where somebody has typed this.
fn on_a_terminal(mut command: Command, typed: &str) -> Shown {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal = fs::OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let other = || terminal.try_clone().unwrap();
    let mut child = command.stdin(other()).stdout(other()).stderr(other()).spawn().unwrap();
    drop((command, terminal));
    let mut controller = File::from(controller);
    controller.write_all(typed.as_bytes()).unwrap();
    let mut shown = Vec::new();
    // A terminal whose other side is gone ends in an error.
    let _ = controller.read_to_end(&mut shown);
    Shown { code: child.wait().unwrap().code(), text: String::from_utf8(shown).unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals_that_want_them() {
    let world = World::with_admin("colours").await;
    world.change("admin", json!({"spec": {"suspend": true}})).await;
    world.because("admin", "Suspended", "Suspended").await;
    let dir = tempfile::tempdir().unwrap();
    let status = |variables: &[(&str, &str)]| {
        let mut command = kubectl(&world, dir.path());
        command.env("TERM", "xterm").envs(variables.iter().copied());
        command.args(["shopify-token", "status", "-n", &world.namespace]);
        let shown = on_a_terminal(command, "");
        assert_eq!(shown.code, Some(0), "{}", shown.text);
        shown.text
    };
    let shown = status(&[]);
    assert!(shown.contains("\x1b[2madmin"), "{shown:?}");
    for variables in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = status(&[variables]);
        assert!(shown.contains("Suspended") && !shown.contains('\x1b'), "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_revokes_is_asked() {
    let world = World::with_admin("asked").await;
    let dir = tempfile::tempdir().unwrap();
    let revoke = |typed: &str| {
        let mut command = kubectl(&world, dir.path());
        command.env("TERM", "xterm").args(["shopify-token", "revoke", "admin", "-n", &world.namespace]);
        on_a_terminal(command, typed)
    };
    for answer in ["n\n", "\n", "perhaps\n"] {
        let shown = revoke(answer);
        assert_eq!(shown.code, Some(1), "{}", shown.text);
        assert!(shown.text.contains("Go on? [y/N]") && shown.text.contains("nothing was deleted"), "{}", shown.text);
        assert!(shown.text.contains("Shopify can't revoke its credential, which works until 20"), "{}", shown.text);
    }
    assert!(world.tokens().get_opt("admin").await.unwrap().is_some());
    let shown = revoke("y\n");
    assert_eq!(shown.code, Some(0), "{}", shown.text);
    world.gone("admin").await;
}
