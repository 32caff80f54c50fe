//! What checkov says of all that is deployed and of the Dockerfile: mended, or explained in `checkov.yaml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Output,
};

use dev::{Checkov, skipped};
use serde::Deserialize;
use serde_json::Value;

use super::{ROOT, chart, conform::kustomizations};

/// All that can be mended by who deploys is, by values of the chart.
const STRICT: &str = "\
image: {digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', pullPolicy: Always}
resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {cpu: '1', memory: 256Mi}}
";

/// A check of checkov's, and the kind of object, or the file, in which it has found something.
type Finding = (String, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explained {
    of: BTreeSet<String>,
    /// The one directory in which it is; else it may be in any.
    only: Option<String>,
    because: String,
}

/// Names of the variables that take their value from a Secret.
fn from_secrets(value: &Value) -> BTreeSet<String> {
    let here = value.pointer("/valueFrom/secretKeyRef").map(|_| value["name"].as_str().unwrap().to_owned());
    let fields = value.as_object().into_iter().flat_map(|object| object.values());
    let below = fields.chain(value.as_array().into_iter().flatten());
    below.flat_map(from_secrets).chain(here).collect()
}

/// What it finds in each directory of `dir`, all of a directory together.
async fn findings(dir: &Path) -> BTreeMap<String, BTreeSet<Finding>> {
    let mut command = Checkov::locate(false).await.unwrap().command(dir);
    command.current_dir(dir).args(["--framework", "kubernetes", "dockerfile", "--output", "json", "--soft-fail"]);
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().into_string().unwrap();
        command.args(["--directory", &name]);
        found.insert(name, BTreeSet::new());
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    // A report for each directory, of that and those before.
    let reports = serde_json::Deserializer::from_slice(&stdout).into_iter::<Value>().map(Result::unwrap);
    for report in reports.last().unwrap().as_array().unwrap() {
        assert_eq!(report["summary"]["parsing_errors"], 0, "{report}");
        for failed in report["results"]["failed_checks"].as_array().unwrap() {
            let of = |field: &str| failed[field].as_str().unwrap();
            let path = Path::new(of("file_abs_path")).strip_prefix(dir).unwrap();
            let name = path.iter().next().unwrap().to_str().unwrap();
            let object = of("resource").trim_start_matches('/').split('.').next().unwrap();
            found.get_mut(name).unwrap().insert((of("check_id").to_owned(), object.to_owned()));
        }
    }
    found
}

#[tokio::test]
async fn what_checkov_finds_is_mended_or_explained() {
    if let Err(missing) = Checkov::python() {
        return skipped(&format!("{missing:#}"));
    }
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, file: &str, text: &str| {
        let part = dir.path().join(name);
        fs::create_dir_all(&part).unwrap();
        fs::write(part.join(file), text).unwrap();
    };
    let name = |from: &str| from.replace('/', "-");
    let kustomized = kustomizations();
    for (from, text) in &kustomized {
        write(&name(from), "objects.yaml", text);
    }
    // This one is for a cluster that has the base, whose NetworkPolicy knows it.
    let (_, base) = kustomized.iter().find(|(from, _)| *from == "deploy/base").unwrap();
    write(&name("deploy/uninstall"), "base.yaml", base);
    // The default, and of each option what is other then.
    for (option, _) in chart::OPTIONS {
        let rendering = format!("{ROOT}/tests/deploy/renderings/{option}.yaml");
        write("chart", &format!("{option}.yaml"), &fs::read_to_string(rendering).unwrap());
    }
    let renderings = chart::OPTIONS.iter().map(|(option, _)| format!("{ROOT}/tests/deploy/renderings/{option}.yaml"));
    let renderings = renderings.map(|file| fs::read_to_string(file).unwrap());
    let texts = kustomized.iter().map(|(_, text)| text.clone()).chain(renderings);
    let objects = texts.flat_map(|text| serde_saphyr::from_multiple::<Value>(&text).unwrap());
    let variables: BTreeSet<String> = objects.flat_map(|object| from_secrets(&object)).collect();
    assert_eq!(variables, BTreeSet::from(["HTTPS_PROXY".to_owned()]), "what CKV_K8S_35 is explained by");
    write("strict", "objects.yaml", &chart::text(STRICT));
    write("image", "Dockerfile", &fs::read_to_string(format!("{ROOT}/Dockerfile")).unwrap());
    // The judge judges.
    let wrong = base.replace("allowPrivilegeEscalation: false", "privileged: true");
    assert_ne!(&wrong, base);
    write("wrong", "objects.yaml", &wrong);

    let mut found = findings(dir.path()).await;
    let wrong = found.remove("wrong").unwrap();
    assert!(wrong.contains(&("CKV_K8S_16".to_owned(), "Deployment".to_owned())), "{wrong:?}");
    let strict = found.remove("strict").unwrap();
    let token = ["Deployment", "Job"].map(|kind| ("CKV_K8S_38".to_owned(), kind.to_owned()));
    assert_eq!(strict, BTreeSet::from(token), "what no value of the chart mends");

    let explained = fs::read_to_string(format!("{ROOT}/tests/deploy/checkov.yaml")).unwrap();
    let explained: BTreeMap<String, Explained> = serde_saphyr::from_str(&explained).unwrap();
    for (check, Explained { because, .. }) in &explained {
        assert!(because.ends_with('.'), "{check} isn't explained in a sentence");
    }
    let of = |(check, explained): (&String, &Explained)| -> Vec<Finding> {
        explained.of.iter().map(|object| (check.clone(), object.clone())).collect()
    };
    for (from, found) in &found {
        let here = explained.iter().filter(|(_, explained)| explained.only.as_ref().is_none_or(|only| only == from));
        let here: BTreeSet<Finding> = here.flat_map(of).collect();
        let new: Vec<_> = found.difference(&here).collect();
        assert!(new.is_empty(), "{from}: neither mended nor explained in tests/deploy/checkov.yaml: {new:?}");
    }
    let explained: BTreeSet<Finding> = explained.iter().flat_map(of).collect();
    let found = found.into_values().flatten().collect();
    let idle: Vec<_> = explained.difference(&found).collect();
    assert!(idle.is_empty(), "tests/deploy/checkov.yaml explains what isn't found: {idle:?}");
}
