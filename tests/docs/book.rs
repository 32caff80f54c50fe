//! The pages as a book: each is in it, and every link of every page in the repository leads somewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use dev::book::{self, pages};

use super::{read, section};

/// Where a link of a page leads to: a path from the root of the repository, and what stands behind `#`.
fn target(page: &str, link: &str) -> (String, Option<String>) {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor.to_owned())));
    if path.is_empty() {
        return (page.to_owned(), anchor);
    }
    let mut whole = PathBuf::from(page);
    whole.pop();
    for part in path.split('/') {
        match part {
            ".." => assert!(whole.pop(), "{page}: {link} leads out of the repository"),
            "" | "." => {}
            part => whole.push(part),
        }
    }
    (whole.to_str().unwrap().to_owned(), anchor)
}

#[test]
fn every_page_is_in_the_book_once() {
    let summary = book::links(&read("docs/SUMMARY.md"));
    let listed: Vec<String> = summary.into_iter().map(|(link, _)| target("docs/SUMMARY.md", &link).0).collect();
    let mut pages = pages("docs").unwrap();
    assert!(pages.remove("docs/SUMMARY.md"));
    let found: BTreeSet<String> = listed.iter().cloned().collect();
    let missing: Vec<_> = pages.difference(&found).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md hasn't got {missing:?}");
    let absent: Vec<_> = found.difference(&pages).collect();
    assert!(absent.is_empty(), "docs/SUMMARY.md has what isn't there: {absent:?}");
    assert_eq!(listed.len(), pages.len(), "docs/SUMMARY.md lists a page twice");
}

#[test]
fn every_link_leads_somewhere() {
    let mut anchors: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut dead = Vec::new();
    let mut seen = 0;
    let pages = pages("").unwrap();
    for page in &pages {
        for (link, at) in book::links(&read(page)) {
            if link.contains("://") {
                continue;
            }
            seen += 1;
            // As `make book` finds it.
            let written = read(page)[at].contains(&format!("]({link}"));
            let (path, anchor) = target(page, &link);
            let leads = match anchor {
                None => Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).exists(),
                Some(_) if !pages.contains(&path) => false,
                Some(anchor) => {
                    let anchors = anchors.entry(path).or_insert_with_key(|path| book::anchors(&read(path)));
                    anchors.contains(&anchor)
                }
            };
            if !leads || !written {
                dead.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(seen > 200, "{seen} links");
}

/// Whether a file of the repository has a test of that name, which isn't passed over.
fn is_tested(file: &str, name: &str) -> bool {
    let text = read(file);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = [format!("fn {name}("), format!("async fn {name}(")];
    let Some(at) = lines.iter().position(|line| head.iter().any(|head| line.starts_with(head))) else { return false };
    let attributes: Vec<_> = lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).collect();
    attributes.iter().any(|line| **line == "#[test]" || line.starts_with("#[tokio::test"))
        && !attributes.iter().any(|line| line.contains("ignore"))
}

#[test]
fn every_promise_is_shown_by_tests_that_are_there() {
    for (page, part) in [("docs/security.md", "## Boundaries and promises"), ("docs/upgrade.md", "## What shows it")] {
        let text = read(page);
        let promises: Vec<&str> = section(&text, part).lines().filter(|line| line.starts_with("| ")).collect();
        let promises: Vec<&str> =
            promises.into_iter().filter(|line| !line.contains("| shown by |") && !line.contains("| test |")).collect();
        assert!(promises.len() > 4, "{page}: {promises:?}");
        for promise in promises {
            let shown = promise.rsplit('|').nth(1).unwrap();
            let tests = book::links(shown);
            assert!(!tests.is_empty(), "{page}: nothing shows this: {promise}");
            for (link, at) in tests {
                let name = shown[at].strip_prefix("[`").unwrap().split('`').next().unwrap();
                let (file, _) = target(page, &link);
                assert!(is_tested(&file, name), "{page}: {file} has no test {name}");
            }
        }
    }
}
