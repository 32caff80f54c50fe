//! Who follows the pages: does what their commands say, in blocks and in sentences, and what they leave to the reader.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output, Stdio},
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
    /// The same of commands in sentences.
    pub(super) said: BTreeMap<String, BTreeSet<String>>,
}

/// Whether words in a sentence are a command of kubectl or helm. Fewer than three name one; of the plugin's all are tried by its
/// own tests (kubectl/tests/docs.rs), and goals of make in tests/docs/commands.rs.
fn is_command(words: &str) -> bool {
    let program = words.split(' ').next().unwrap_or_default();
    ["kubectl", "helm"].contains(&program)
        && words.split_whitespace().count() > 2
        && !words.starts_with("kubectl shopify-token ")
}

/// Commands in the sentences of a page. What has changed is no page to follow.
fn said(page: &str) -> BTreeSet<String> {
    let code = if page == "CHANGELOG.md" { Vec::new() } else { book::code(&read(page)) };
    let words = code.into_iter().filter(|(language, _)| language.is_none()).map(|(_, words)| words);
    words.filter(|words| is_command(words)).collect()
}

fn read(page: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(page)).unwrap()
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
            let code = book::code(&read(page));
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
        let said = book::pages("").unwrap().into_iter().map(|page| (page.clone(), said(&page))).collect();
        Self { dir, open, said }
    }

    /// Takes the page's next block that begins so.
    pub(super) fn next(&mut self, page: &str, begins: &str) -> String {
        let blocks = self.open.get_mut(page).unwrap_or_else(|| panic!("{page} has no commands"));
        let at = blocks.iter().position(|block| block.starts_with(begins));
        blocks.remove(at.unwrap_or_else(|| panic!("{page} has no further block that begins with {begins}")))
    }

    /// Takes the command in a sentence of the page that begins so.
    pub(super) fn next_said(&mut self, page: &str, begins: &str) -> String {
        let said = self.said.get_mut(page).unwrap_or_else(|| panic!("there is no {page}"));
        let found = said.iter().find(|command| command.starts_with(begins)).cloned();
        let found = found.unwrap_or_else(|| panic!("{page} doesn't say {begins}, or it was taken: {said:?}"));
        said.remove(&found);
        found
    }

    /// Runs the command in a sentence of the page that begins so, with what a person puts in.
    pub(super) async fn does(&mut self, page: &str, begins: &str, filled: &[(&str, &str)]) -> String {
        let command = self.next_said(page, begins);
        let command = filled.iter().fold(command, |command, (gap, value)| command.replace(gap, value));
        self.shell(page, &command, "").await
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

    /// The same without its first line.
    pub(super) async fn runs_rest(&mut self, page: &str, begins: &str) -> String {
        let block = self.next(page, begins);
        let (_, rest) = block.split_once('\n').unwrap();
        self.shell(page, rest, "").await
    }

    /// What the pages leave to the reader.
    pub(super) async fn prepares(&self, commands: &str) -> String {
        self.shell("prepared", commands, "").await
    }

    /// Types what the page's next block has after a prompt, which ends with this code: all lines that it shows are printed.
    pub(super) async fn sees(&mut self, page: &str, begins: &str, code: i32) {
        let block = self.next(page, begins);
        let (command, shown) = block.strip_prefix(PROMPT).unwrap().split_once('\n').unwrap();
        let output = self.typed(&format!("{command} 2>&1"), "").await;
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{page}: {command}:\n{told}");
        let printed: BTreeSet<String> = told.lines().map(lasting).collect();
        for line in shown.lines() {
            assert!(printed.contains(&lasting(line)), "{page}: {command} doesn't print {line:?}:\n{told}");
        }
    }

    async fn shell(&self, page: &str, commands: &str, typed: &str) -> String {
        let output = self.typed(commands, typed).await;
        let said = String::from_utf8(output.stdout).unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{page}: {commands}\n{said}{told}");
        said
    }

    async fn typed(&self, commands: &str, typed: &str) -> Output {
        let dir = self.dir.path();
        let path = format!("{}:/usr/bin:/bin", dir.join("bin").display());
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", commands]).current_dir(dir);
        shell.env_clear().env("PATH", path).env("HOME", dir.join("home")).env("KUBECONFIG", dir.join("kubeconfig"));
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = shell.spawn().unwrap();
        running.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        tokio::task::spawn_blocking(move || running.wait_with_output().unwrap()).await.unwrap()
    }
}

/// A line without what differs from run to run: numbers, times, ports.
fn lasting(line: &str) -> String {
    let lasts = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
    line.split_whitespace().filter(lasts).collect::<Vec<_>>().join(" ")
}
