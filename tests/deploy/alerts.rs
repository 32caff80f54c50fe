//! The alerts: each is tried by promtool, documented, and leads to what it says of itself.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{
    ROOT,
    chart::{OPTIONS, judges, objects},
    kustomize::kustomization,
};

fn read(path: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{path}")).unwrap()
}

fn rules() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("deploy/chart/monitoring/rules.yaml")).unwrap();
    rules["groups"][0]["rules"].as_array().unwrap().clone()
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-').collect::<String>().replace(' ', "-")
}

/// Whether a link into the repository's documentation names a page, and a heading in it if it names one.
pub(crate) fn leads_somewhere(link: &str) -> bool {
    let (_, path) = link.rsplit_once("/blob/main/").unwrap();
    let (page, heading) = path.split_once('#').map_or((path, None), |(page, heading)| (page, Some(heading)));
    let Ok(page) = fs::read_to_string(format!("{ROOT}/{page}")) else { return false };
    let mut headings = page.lines().filter(|l| l.starts_with('#')).map(|l| anchor(l.trim_start_matches(['#', ' '])));
    heading.is_none_or(|heading| headings.any(|anchor| anchor == heading))
}

/// Runs promtool in a directory: whether it is content, and what it says.
fn judged(arguments: &[&str], dir: &Path) -> (bool, String) {
    let output = Command::new(&judges().promtool).args(arguments).current_dir(dir).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn promtool(arguments: &[&str], dir: &Path) {
    let (content, said) = judged(arguments, dir);
    assert!(content, "{said}");
}

#[test]
fn promtool_sees_each_alert_fire_and_not_fire() {
    promtool(&["check", "rules", "--lint=all", "deploy/chart/monitoring/rules.yaml"], Path::new(ROOT));
    promtool(&["test", "rules", "--diff", "tests/deploy/alerts.yaml"], Path::new(ROOT));
}

/// An expression with each of its operands left out. One stands in a line that begins with its operator, and of two that `or`
/// joins the first one is the line above.
fn shortened(expression: &str) -> Vec<String> {
    let lines: Vec<&str> = expression.lines().map(str::trim).collect();
    let mut shortened = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if ["or ", "and ", "unless "].iter().any(|operator| line.starts_with(operator)) {
            shortened.push([&lines[..at], &lines[at + 1..]].concat().join("\n"));
        }
        if let Some(second) = line.strip_prefix("or ") {
            shortened.push([&lines[..at - 1], &[second], &lines[at + 1..]].concat().join("\n"));
        }
    }
    shortened
}

#[test]
fn no_operand_of_an_alert_could_be_left_out() {
    let tests: Value = serde_saphyr::from_str(&read("tests/deploy/alerts.yaml")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, content: &Value| fs::write(dir.path().join(file), content.to_string()).unwrap();
    let mut count = 0;
    for mut rule in rules() {
        let mut tests = tests.clone();
        tests["rule_files"] = json!(["rules.yaml"]);
        for test in tests["tests"].as_array_mut().unwrap() {
            test["alert_rule_test"].as_array_mut().unwrap().retain(|case| case["alertname"] == rule["alert"]);
        }
        tests["tests"].as_array_mut().unwrap().retain(|test| test["alert_rule_test"] != json!([]));
        write("tests.yaml", &tests);
        let whole = rule["expr"].as_str().unwrap().to_owned();
        let mut passes = |expression: &str| {
            rule["expr"] = expression.into();
            write("rules.yaml", &json!({"groups": [{"name": "one", "rules": [rule]}]}));
            promtool(&["check", "rules", "--lint=all", "rules.yaml"], dir.path());
            judged(&["test", "rules", "tests.yaml"], dir.path()).0
        };
        for expression in shortened(&whole) {
            assert!(passes(&whole), "{whole}");
            assert!(!passes(&expression), "no case needs more than {expression}");
            count += 1;
        }
    }
    assert!(count > 8, "{count}");
}

/// Of a release with shards: its rules know their leases.
#[test]
fn promtool_sees_a_shard_without_a_leader() {
    let (_, shards) = OPTIONS.iter().find(|(name, _)| *name == "shards").unwrap();
    let objects = objects(&format!("{shards}monitoring: {{prometheusRule: {{enabled: true}}}}\n"));
    let rule = objects.iter().find(|object| object["kind"] == "PrometheusRule").unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rules.yaml"), rule["spec"].to_string()).unwrap();
    fs::write(dir.path().join("tests.yaml"), read("tests/deploy/leaders.yaml")).unwrap();
    promtool(&["check", "rules", "--lint=all", "rules.yaml"], dir.path());
    promtool(&["test", "rules", "--diff", "tests.yaml"], dir.path());
}

#[test]
fn every_alert_is_tried_both_ways_and_documented() {
    let tests: Value = serde_saphyr::from_str(&read("tests/deploy/alerts.yaml")).unwrap();
    let cases = tests["tests"].as_array().unwrap().iter().flat_map(|t| t["alert_rule_test"].as_array().unwrap());
    let tried: BTreeSet<(&str, bool)> = cases
        .map(|case| (case["alertname"].as_str().unwrap(), !case["exp_alerts"].as_array().unwrap().is_empty()))
        .collect();
    let monitoring = read("docs/monitoring.md");
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        assert!(tried.contains(&(name, true)) && tried.contains(&(name, false)), "{name} isn't tried both ways");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        let row = monitoring.lines().find(|line| line.starts_with(&format!("| [`{name}`](")));
        assert!(row.is_some_and(|row| row.contains(&format!("| {severity} |"))), "docs/monitoring.md lacks {name}");
        let runbook = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert!(leads_somewhere(runbook), "{runbook} leads nowhere");
    }
}

/// The label `job` of what a `ServiceMonitor` among these objects has scraped, as prometheus-operator makes it: what `jobLabel`
/// names on the Service, or the Service's name.
fn job(objects: &[Value]) -> String {
    let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    let monitor = of_kind("ServiceMonitor").next().expect("a ServiceMonitor");
    let port = &monitor["spec"]["endpoints"][0]["port"];
    let none = Map::new();
    let labels = |value: &Value| value.as_object().unwrap_or(&none).clone();
    let wanted = labels(&monitor["spec"]["selector"]["matchLabels"]);
    let service = of_kind("Service").find(|service| {
        let has = labels(&service["metadata"]["labels"]);
        wanted.iter().all(|(name, value)| has.get(name) == Some(value)) && service["spec"]["ports"][0]["name"] == *port
    });
    let service = &service.expect("a Service that it selects")["metadata"];
    let label = monitor["spec"]["jobLabel"].as_str().and_then(|label| service["labels"][label].as_str());
    label.or(service["name"].as_str()).unwrap().to_owned()
}

#[test]
fn whatever_the_release_is_called_its_leader_is_found() {
    let rules = read("deploy/chart/monitoring/rules.yaml");
    let wanted = Regex::new(r#"job=~"([^"]+)""#).unwrap();
    let wanted: Vec<_> =
        wanted.captures_iter(&rules).map(|it| Regex::new(&format!("^(?:{})$", &it[1])).unwrap()).collect();
    assert!(!wanted.is_empty());
    let fits = |named: &str, objects: &[Value]| {
        let job = job(objects);
        assert!(wanted.iter().all(|wanted| wanted.is_match(&job)), "{named}: no rule fits the job {job}");
    };
    for (name, values) in OPTIONS.iter().chain(&[("another-name", "nameOverride: tokens\n")]) {
        let scraped =
            if values.contains("serviceMonitor") { "" } else { "monitoring: {serviceMonitor: {enabled: true}}\n" };
        fits(name, &objects(&format!("{values}{scraped}")));
    }
    fits("kustomize", &kustomization("deploy/overlays/monitoring"));
}
