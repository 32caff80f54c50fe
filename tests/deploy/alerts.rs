//! The alerts: each is tried by promtool, documented, and leads to what it says of itself.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

use super::{ROOT, chart::judges};

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

#[test]
fn promtool_sees_each_alert_fire_and_not_fire() {
    let tests = format!("{ROOT}/tests/deploy/alerts.yaml");
    let rules = format!("{ROOT}/deploy/chart/monitoring/rules.yaml");
    for arguments in [["check", "rules", "--lint=all", &rules], ["test", "rules", "--diff", &tests]] {
        let output = Command::new(&judges().promtool).args(arguments).output().unwrap();
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}{told}");
    }
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
        let (page, heading) = runbook.rsplit_once("/blob/main/").unwrap().1.split_once('#').unwrap();
        let page = read(page);
        let mut headings =
            page.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches(['#', ' '])));
        assert!(headings.any(|anchor| anchor == heading), "{runbook} leads nowhere");
    }
}
