//! The image: made by `deploy/image/build` twice, looked into, and run from its root file system as Kubernetes would run it.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use dev::{shared_cluster, skipped};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::ROOT;

/// A user that the image doesn't know.
const SOMEBODY: &str = "4711";
const PATIENCE: Duration = Duration::from_mins(1);

/// An image, unpacked: its manifest's digest, its configuration, its root file system.
struct Image {
    digest: String,
    config: Value,
    root: PathBuf,
}

fn runs(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn image(dir: &Path) -> Image {
    let mut build = Command::new(format!("{ROOT}/deploy/image/build"));
    build.env("REPOSITORY", "acme/tokens");
    let archive = runs(build.arg(env!("CARGO_BIN_EXE_shopify-token-operator")).arg(dir));
    runs(Command::new("tar").arg("-xf").arg(archive.trim()).arg("-C").arg(dir));
    let json = |file: PathBuf| -> Value { serde_json::from_slice(&fs::read(file).unwrap()).unwrap() };
    let digest = |value: &Value| value["digest"].as_str().unwrap().to_owned();
    let blob = |digest: &str| dir.join("blobs").join(digest.replace(':', "/"));
    let index = json(dir.join("index.json"));
    let manifest = digest(&index["manifests"][0]);
    let described = json(blob(&manifest));
    let root = dir.join("root");
    fs::create_dir(&root).unwrap();
    for layer in described["layers"].as_array().unwrap() {
        runs(Command::new("tar").arg("-xzf").arg(blob(&digest(layer))).arg("-C").arg(&root));
    }
    Image { config: json(blob(&digest(&described["config"])))["config"].clone(), digest: manifest, root }
}

/// Every file of a directory, from there.
fn files(root: &Path, dir: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files(root, &entry.path(), all);
        } else {
            all.push(entry.path().strip_prefix(root).unwrap().to_owned());
        }
    }
}

/// A command in the image: its root read-only, of a user it doesn't know, without a capability.
fn inside(image: &Image, kubeconfig: &Path) -> Command {
    let mut command = Command::new("bwrap");
    command.arg("--ro-bind").arg(&image.root).arg("/").args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"]);
    command.arg("--ro-bind").arg(kubeconfig).arg("/run/kubeconfig");
    command.args(["--unshare-user", "--unshare-pid", "--uid", SOMEBODY, "--gid", SOMEBODY, "--cap-drop", "ALL"]);
    command.args(["--die-with-parent", "--clearenv", "--setenv", "KUBECONFIG", "/run/kubeconfig"]);
    command
}

fn entrypoint(image: &Image) -> Vec<String> {
    serde_json::from_value(image.config["Entrypoint"].clone()).unwrap()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Whether the tools are there that no registry of crates or Go modules has; said so, where they aren't.
fn has_tools() -> bool {
    let missing = ["buildah", "bwrap"].into_iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
    if let Some(tool) = missing {
        skipped(&format!("{tool} is not in PATH (apt-get install buildah bubblewrap)"));
    }
    missing.is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_no_more_than_it_needs_and_runs_as_anybody() {
    if !has_tools() {
        return;
    }
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let image = image(one.path());
    assert_eq!(image.digest, self::image(two.path()).digest, "of the same commit and binary");

    let Value::Object(labels) = &image.config["Labels"] else { panic!("{}", image.config) };
    let label = |name: &str| labels[&format!("org.opencontainers.image.{name}")].as_str().unwrap();
    assert_eq!((label("title"), label("version")), ("shopify-token-operator", env!("CARGO_PKG_VERSION")));
    // None where there is no repository.
    let revision = Command::new("git").args(["-C", ROOT, "rev-parse", "HEAD"]).output().unwrap().stdout;
    let revision = str::from_utf8(&revision).unwrap().trim();
    assert_eq!((label("licenses"), label("revision")), (env!("CARGO_PKG_LICENSE"), revision));
    assert_eq!([label("source"), label("url")], ["https://github.com/acme/tokens"; 2]);
    assert_eq!((&image.config["User"], &image.config["Cmd"]), (&json!("65532:65532"), &json!(["run"])));
    let mut all = Vec::new();
    files(&image.root, &image.root, &mut all);
    let known = |file: &PathBuf| {
        let text = file.to_str().unwrap();
        text.starts_with("lib") && (text.contains(".so"))
            || text.starts_with("etc/")
            || text == "usr/local/bin/shopify-token-operator"
    };
    assert!(all.iter().all(known), "{all:?}");
    for file in &all {
        let mode = fs::metadata(image.root.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o6022, 0, "{}: {mode:o}", file.display());
    }

    let cluster = shared_cluster().unwrap();
    let name = "image";
    let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    let namespaces: Api<Namespace> = Api::all(cluster.client().await.unwrap());
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let kubeconfig = one.path().join("kubeconfig");
    // With the certificates in it, for there are no other files of this machine in there.
    fs::write(&kubeconfig, runs(cluster.kubectl_command().args(["config", "view", "--raw", "--flatten"]))).unwrap();
    let told = runs(inside(&image, &kubeconfig).args(entrypoint(&image)).arg("--version"));
    assert_eq!(told.trim(), format!("shopify-token-operator {}", env!("CARGO_PKG_VERSION")));

    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = inside(&image, &kubeconfig);
    command.args(entrypoint(&image)).args(["run", "--watch-namespaces", name, "--lease-name", name]);
    command.args(["--lease-namespace", name, "--admin-addr", &address.to_string()]).stderr(Stdio::null());
    let _running = Running(command.spawn().unwrap());
    let (deadline, url) = (Instant::now() + PATIENCE, format!("http://{address}/readyz"));
    while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
        assert!(Instant::now() < deadline, "not ready after {PATIENCE:?}");
        sleep(Duration::from_millis(100)).await;
    }
}
