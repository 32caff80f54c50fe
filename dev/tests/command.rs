//! The command leaves nothing behind, however it ends.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A `dev` that keeps its clusters in `temp`.
fn dev(temp: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev"));
    command
        .args(arguments)
        .env("TMPDIR", temp.path())
        .env_remove("DEV_CLUSTER_DIR")
        .env_remove("NO_SKIPS")
        .current_dir(temp.path());
    command
}

fn with_cluster(temp: &TempDir, script: &str) -> Output {
    dev(temp, &["with-cluster", "--", "sh", "-c", script]).output().unwrap()
}

/// Starts `dev up` and waits until it has said where the cluster is.
fn up(temp: &TempDir) -> Child {
    let mut child = dev(temp, &["up"]).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = stdout.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("Logs and the audit log are in")));
    child
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn directories(temp: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(temp.path()).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Names of the processes that were started with a file in `temp`.
fn processes(temp: &TempDir) -> Vec<String> {
    let uses = |cmdline: &Path| {
        let arguments = fs::read(cmdline).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(temp.path().to_str().unwrap())
    };
    fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|process| uses(&process.join("cmdline")))
        .map(|process| fs::read_to_string(process.join("comm")).unwrap_or_default())
        .collect()
}

fn wait_until_no_process_uses(temp: &TempDir) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !processes(temp).is_empty() {
        assert!(Instant::now() < deadline, "alive: {:?}", processes(temp));
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_command_gets_a_cluster_and_its_exit_code_is_handed_on() {
    let temp = tempfile::tempdir().unwrap();
    let output = with_cluster(&temp, r#""$DEV_CLUSTER_DIR/kubectl" get --raw /readyz; exit 7"#);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok");
    assert_eq!(processes(&temp), [""; 0]);
    assert_eq!(directories(&temp), [""; 0].map(PathBuf::from));
}

#[test]
#[ignore = "the next one runs it"]
fn one_that_is_skipped() {
    dev::skipped("there is no judge here");
}

#[test]
fn what_was_skipped_is_told_at_the_end_and_fails_where_nothing_may_be() {
    let temp = tempfile::tempdir().unwrap();
    let test = format!("'{}' --ignored --exact one_that_is_skipped", std::env::current_exe().unwrap().display());
    let output = with_cluster(&temp, &format!("{test} && {test}"));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    let end = "Skipped, at least in part (NO_SKIPS=1 makes it fail):\n  2 times: there is no judge here\n";
    assert!(told.ends_with(end), "{told}");

    let output = with_cluster(&temp, &format!("NO_SKIPS=1 {test}"));
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(101), "{told}");
    assert!(told.contains("NO_SKIPS is set, and this would be skipped: there is no judge here"), "{told}");
}

#[test]
fn ctrl_c_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = up(&temp);
    assert!(processes(&temp).len() >= 2, "{:?}", processes(&temp));

    signal(&child, Signal::INT);

    assert!(child.wait().unwrap().success());
    assert_eq!(processes(&temp), [""; 0]);
    assert_eq!(directories(&temp), [""; 0].map(PathBuf::from));
}

#[test]
fn sigterm_during_the_start_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = dev(&temp, &["up"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while processes(&temp).is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(5));
    }

    signal(&child, Signal::TERM);

    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    assert_eq!(processes(&temp), [""; 0]);
    assert_eq!(directories(&temp), [""; 0].map(PathBuf::from));
}

#[test]
fn after_sigkill_no_process_lives_and_the_next_run_removes_the_files() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = up(&temp);

    signal(&child, Signal::KILL);
    child.wait().unwrap();

    wait_until_no_process_uses(&temp);
    assert_eq!(directories(&temp).len(), 1);
    let output = with_cluster(&temp, r#"ls -d "$TMPDIR"/*"#);
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen.lines().count(), 1, "{output:?}");
    assert_eq!(directories(&temp), [""; 0].map(PathBuf::from));
}
