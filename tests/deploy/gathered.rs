//! What `deploy/release` gathers.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    process::{Command, Output},
};

use dev::shared_cluster;
use serde_json::Value;

use super::{ROOT, chart::judges};

const ELSEWHERE: &str = "kubectl-shopify_token-darwin-arm64.tar.gz";

const SBOMS: [&str; 2] = ["kubectl-shopify_token.cdx.json", "shopify-token-operator.cdx.json"];
const REPOSITORY: &str = "acme/tokens";
/// In place of both binaries, for what is gathered asks nothing of what they do: those of the tests are too large.
const BINARY: &str = "/bin/bash";

/// Gathers a release in a directory, which is published there.
fn release(operator: &Path, dir: &Path, repository: &str) -> Output {
    let mut release = Command::new(format!("{ROOT}/deploy/release"));
    release.env("HELM", &judges().helm).env("KUBECTL", shared_cluster().unwrap().kubectl());
    // Whatever remote this checkout has.
    release.env("REPOSITORY", repository).env("GIT_DIR", dir).env("SOURCE_DATE_EPOCH", "1790000000");
    release.arg(operator).arg(BINARY).arg(dir).output().unwrap()
}

/// The files of a release, by name, with their checksums.
fn gathered(dir: &Path) -> BTreeMap<String, String> {
    let output = release(BINARY.as_ref(), dir, REPOSITORY);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let checked =
        Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(dir).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let sums = fs::read_to_string(dir.join("SHA256SUMS")).unwrap();
    sums.lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
        .collect()
}

/// krew's manifest offers each archive of the plugin that is there, with its checksum, and no other.
fn assert_krew_finds(manifest: &str, all: &BTreeMap<String, String>) {
    let manifest: Value = serde_saphyr::from_str(manifest).unwrap();
    let offered = manifest["spec"]["platforms"].as_array().unwrap().iter().map(|platform| {
        let of = |value: &Value| value.as_str().unwrap().to_owned();
        (of(&platform["uri"]).rsplit_once('/').unwrap().1.to_owned(), of(&platform["sha256"]))
    });
    let archives = all.iter().filter(|(name, _)| name.starts_with("kubectl-shopify_token-"));
    let archives: BTreeMap<_, _> = archives.map(|(name, sum)| (name.clone(), sum.clone())).collect();
    assert_eq!(offered.collect::<BTreeMap<_, _>>(), archives);
    assert_eq!(archives.len(), 2);
}

#[test]
fn a_release_is_whole_and_the_same_each_time() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(one.path().join("SHA256SUMS"), "of the release before").unwrap();
    // Made on another machine, and of cargo's metadata.
    for dir in [&one, &two] {
        for name in SBOMS.into_iter().chain([ELSEWHERE]) {
            fs::write(dir.path().join(name), name).unwrap();
        }
    }
    let (mut all, mut again) = (gathered(one.path()), gathered(two.path()));
    let platform = format!("linux-{}", if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" });
    let chart = format!("shopify-token-operator-{}.tgz", env!("CARGO_PKG_VERSION"));
    let names = [
        "crds.yaml".to_owned(),
        "install.yaml".to_owned(),
        ELSEWHERE.to_owned(),
        format!("kubectl-shopify_token-{platform}.tar.gz"),
        SBOMS[0].to_owned(),
        chart.clone(),
        format!("shopify-token-operator-{platform}.tar.gz"),
        SBOMS[1].to_owned(),
        "shopify-token.yaml".to_owned(),
    ];
    assert_eq!(all.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    // helm writes the time into its archive.
    assert!(all.remove(&chart).is_some() && again.remove(&chart).is_some());
    assert_eq!(all, again);
    let read = |name: &str| fs::read_to_string(one.path().join(name)).unwrap();
    let installed = read("install.yaml");
    assert!(["Deployment", "ClusterRole", "CustomResourceDefinition"].iter().all(|kind| installed.contains(kind)));
    assert_krew_finds(&read("shopify-token.yaml"), &all);
    assert_eq!(read("crds.yaml").matches("kind: CustomResourceDefinition").count(), 2);

    let packed = Command::new("tar").arg("-xzOf").arg(one.path().join(&chart)).output().unwrap().stdout;
    let packed = String::from_utf8(packed).unwrap();
    for (text, link) in [
        (&packed, "home: https://github.com/acme/tokens\n"),
        (&packed, "runbook_url: https://github.com/acme/tokens/blob/main/docs/monitoring.md#shopifytokenexpiring\n"),
        (&read("shopify-token.yaml"), "uri: https://github.com/acme/tokens/releases/download/v"),
    ] {
        assert!(text.contains(link), "{link}");
    }
    for text in [packed, installed, read("shopify-token.yaml"), read("crds.yaml")] {
        assert!(!text.contains("OWNER"), "{text}");
    }
}

/// What can't be shipped isn't gathered: nothing is there then.
#[test]
fn a_release_of_nobody_too_large_or_not_whole_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("operator");
    let refused = |operator: &Path, repository: &str, says: &str| {
        let output = release(operator, dir.path(), repository);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(says), "{says:?} isn't said: {told}");
        assert!(!dir.path().join("SHA256SUMS").exists());
    };
    refused(BINARY.as_ref(), "", "What is published says where it comes from: say REPOSITORY=owner/name");
    refused(BINARY.as_ref(), "OWNER/tokens", "OWNER/tokens is no repository at GitHub");
    refused(
        BINARY.as_ref(),
        REPOSITORY,
        "shopify-token-operator.cdx.json is missing: `make release` writes both SBOMs",
    );
    for name in SBOMS {
        fs::write(dir.path().join(name), name).unwrap();
    }
    File::create(&large).unwrap().set_len(15 * 1024 * 1024 + 1).unwrap();
    refused(&large, REPOSITORY, "operator has 15728641 bytes, and what is shipped has 15728640 at most (15 MiB)");
}
