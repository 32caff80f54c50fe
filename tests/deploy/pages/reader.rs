//! Who follows the pages: does what their commands say, and what they leave to the reader.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use dev::book;
use tempfile::TempDir;

use super::{CLIENT, CUSTOMERS, PERMANENT, SECRET};
use crate::{ROOT, chart::judges, release::World};

/// Languages of blocks that hold no commands.
const NO_COMMANDS: [&str; 4] = ["go", "promql", "rust,no_run", "yaml"];

/// What stands before a command whose answer is shown.
const PROMPT: &str = "$ ";

/// Who follows the pages: a directory with what they name of the repository, filled in, and the programs.
pub(super) struct Reader {
    pub(super) dir: TempDir,
    /// Those that were neither run nor explained, by page.
    pub(super) open: BTreeMap<String, Vec<String>>,
}

impl Reader {
    pub(super) fn new(world: &World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for part in ["deploy", "crds"] {
            let copied = Command::new("cp").arg("-r").arg(Path::new(ROOT).join(part)).arg(dir.path()).status().unwrap();
            assert!(copied.success());
        }
        for part in ["bin", "home/.local/bin"] {
            fs::create_dir_all(dir.path().join(part)).unwrap();
        }
        let plugin = Path::new(env!("CARGO_BIN_EXE_shopify-token-operator")).with_file_name("kubectl-shopify_token");
        assert!(plugin.exists(), "build it first: cargo build --workspace");
        for (name, program) in
            [("kubectl", world.cluster.kubectl()), ("helm", judges().helm.clone()), ("kubectl-shopify_token", plugin)]
        {
            symlink(program, dir.path().join("bin").join(name)).unwrap();
        }
        fs::copy(world.cluster.kubeconfig_path(), dir.path().join("kubeconfig")).unwrap();
        for (sample, key, value) in [
            ("app", "client_id", CLIENT),
            ("app", "client_secret", SECRET),
            ("custom", "token", PERMANENT),
            ("customer_account", "client_id", CUSTOMERS),
            ("customer_account", "client_secret", SECRET),
        ] {
            let file = dir.path().join(format!("deploy/samples/{sample}.yaml"));
            let text = fs::read_to_string(&file).unwrap();
            let filled = text.replace(&format!("{key}: \"\""), &format!("{key}: {value}"));
            assert_ne!(text, filled, "{sample}: {key}");
            fs::write(file, filled).unwrap();
        }
        let commands = |page: &String| {
            let code = book::code(&fs::read_to_string(Path::new(ROOT).join(page)).unwrap());
            let shell = code.into_iter().filter(|(language, text)| match language.as_deref() {
                Some("sh") => true,
                // What the tour shows is compared with the demo, all of it: tests/demo.rs.
                Some("text") => text.starts_with(PROMPT) && page != "docs/tour.md",
                Some(language) => {
                    assert!(
                        NO_COMMANDS.contains(&language),
                        "{page}: commands are in blocks of `sh`, not of {language:?}"
                    );
                    false
                }
                None => false,
            });
            shell.map(|(_, text)| text).collect::<Vec<_>>()
        };
        let mut open: BTreeMap<_, _> =
            book::pages("").unwrap().into_iter().map(|page| (page.clone(), commands(&page))).collect();
        open.retain(|_, blocks| !blocks.is_empty());
        Self { dir, open }
    }

    /// Takes the page's next block that begins so.
    pub(super) fn next(&mut self, page: &str, begins: &str) -> String {
        let blocks = self.open.get_mut(page).unwrap_or_else(|| panic!("{page} has no commands"));
        let at = blocks.iter().position(|block| block.starts_with(begins));
        blocks.remove(at.unwrap_or_else(|| panic!("{page} has no further block that begins with {begins}")))
    }

    /// Runs the page's next block that begins so, as it stands there.
    pub(super) async fn runs(&mut self, page: &str, begins: &str) -> String {
        self.types(page, begins, "").await
    }

    /// The same; `typed` is what the reader types when asked.
    pub(super) async fn types(&mut self, page: &str, begins: &str, typed: &str) -> String {
        let block = self.next(page, begins);
        self.shell(page, &block, typed).await
    }

    /// What the pages leave to the reader.
    pub(super) async fn prepares(&self, commands: &str) -> String {
        self.shell("prepared", commands, "").await
    }

    /// Types what the page's next block has after a prompt, whatever comes of it: all lines that it shows are printed.
    pub(super) async fn sees(&mut self, page: &str, begins: &str) {
        let block = self.next(page, begins);
        let (command, shown) = block.strip_prefix(PROMPT).unwrap().split_once('\n').unwrap();
        let told = self.shell(page, &format!("{command} 2>&1 || true"), "").await;
        let printed: BTreeSet<String> = told.lines().map(lasting).collect();
        for line in shown.lines() {
            assert!(printed.contains(&lasting(line)), "{page}: {command} doesn't print {line:?}:\n{told}");
        }
    }

    async fn shell(&self, page: &str, commands: &str, typed: &str) -> String {
        let dir = self.dir.path();
        let path = format!("{}:/usr/bin:/bin", dir.join("bin").display());
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", commands]).current_dir(dir);
        shell.env_clear().env("PATH", path).env("HOME", dir.join("home")).env("KUBECONFIG", dir.join("kubeconfig"));
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = shell.spawn().unwrap();
        running.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = tokio::task::spawn_blocking(move || running.wait_with_output().unwrap()).await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{page}: {commands}\n{said}{told}");
        said
    }
}

/// A line without what differs from run to run: numbers, times, ports.
fn lasting(line: &str) -> String {
    let lasts = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
    line.split_whitespace().filter(lasts).collect::<Vec<_>>().join(" ")
}
