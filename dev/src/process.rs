//! Child processes that can't outlive this one.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// A child process, killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` and appends its output to `<name>.log` in `dir`.
    pub(crate) fn spawn(name: &'static str, mut command: Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = spawn(command).with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// An error with the end of the log when the process has ended.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process; done when it is gone.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Asks the process to end and waits; an error when it doesn't in time, or when it fails.
    pub(crate) async fn terminate(&mut self, within: Duration) -> Result<()> {
        self.ensure_running()?;
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + within;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.ended(status)),
                None => ensure!(Instant::now() < deadline, "{} did not end within {within:?}", self.name),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn ended(&self, status: ExitStatus) -> anyhow::Error {
        let ended = format!("{} ended with {status}", self.name);
        match fs::read_to_string(&self.log) {
            Ok(output) => anyhow!("{ended}:\n{}", tail(&output, 20)),
            Err(error) => anyhow!(error).context(ended),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::error!(name = self.name, %error, "cannot end the child process");
        }
    }
}

/// Starts `command` as a child that the kernel kills when this process ends, however it ends.
pub(crate) fn spawn(mut command: Command) -> Result<Child> {
    // A group of its own: Ctrl-C in a terminal reaches this process only, which ends its children
    // in its own order.
    command.process_group(0);
    die_with_parent(&mut command);
    let (reply, child) = mpsc::channel();
    SPAWNER.send(Spawn { command, reply }).context("the thread that starts child processes has ended")?;
    let child = child.recv().context("the thread that starts child processes has ended")?;
    Ok(child?)
}

struct Spawn {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

/// The kernel sends the death signal when the *thread* that started the child ends, so this one
/// starts them all and lives as long as the process.
static SPAWNER: LazyLock<mpsc::Sender<Spawn>> = LazyLock::new(|| {
    let (sender, requests) = mpsc::channel::<Spawn>();
    thread::spawn(move || {
        for Spawn { mut command, reply } in requests {
            if let Err(mpsc::SendError(Ok(mut unwanted))) = reply.send(command.spawn())
                && let Err(error) = unwanted.kill()
            {
                tracing::error!(%error, "cannot end a child process that nobody waits for");
            }
        }
    });
    sender
});

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "only the child itself can ask for the signal, between fork and exec")]
fn die_with_parent(command: &mut Command) {
    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let ask_for_signal = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the call.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    };
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe { command.pre_exec(ask_for_signal) };
}

/// Other systems have no such signal: there, killing this process with SIGKILL leaves children.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

/// The last `count` lines.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
