//! What the commands of the pages name is there: files, objects of the samples, goals of make.

use std::{collections::BTreeSet, path::Path};

use dev::book::{self, pages};

use super::read;

/// The commands of all pages, block by block, each with its page.
fn blocks() -> Vec<(String, String)> {
    let of = |page: String| {
        let shell = book::code(&read(&page)).into_iter().filter(|(language, _)| language.as_deref() == Some("sh"));
        shell.map(|(_, text)| (page.clone(), text)).collect::<Vec<_>>()
    };
    pages("").unwrap().into_iter().flat_map(of).collect()
}

/// Files of the repository that a block names. kubectl writes a Deployment as `deploy/NAME`, too.
fn files(block: &str) -> Vec<&str> {
    let of_repository = |word: &&str| word.starts_with("deploy/") || word.starts_with("crds/");
    block.split_whitespace().filter(of_repository).filter(|word| *word != "deploy/shopify-token-operator").collect()
}

#[test]
fn files_that_commands_name_are_there() {
    let mut seen = 0;
    for (page, block) in blocks() {
        for file in files(&block) {
            seen += 1;
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(), "{page}: {file}");
        }
    }
    assert!(seen > 10, "{seen} files");
}

/// Who applies a sample and waits for a token waits for one of that sample.
#[test]
fn objects_that_commands_wait_for_are_of_the_sample() {
    let mut seen = 0;
    for (page, block) in blocks() {
        let samples: String = files(&block).into_iter().filter(|file| file.contains("/samples/")).map(read).collect();
        let waits = block.lines().filter(|line| line.contains(" wait ") && !samples.is_empty());
        for name in waits.flat_map(str::split_whitespace).filter_map(|word| word.strip_prefix("stok/")) {
            seen += 1;
            let (_, token) = samples.split_once("kind: ShopifyToken\n").unwrap();
            assert!(token.contains(&format!("\n  name: {name}\n")), "{page}: {name} isn't in the sample");
        }
    }
    assert!(seen >= 5, "{seen} objects");
}

#[test]
fn goals_that_pages_name_are_makes() {
    let makefile = read("Makefile");
    let goals: BTreeSet<&str> = makefile.lines().filter_map(|line| line.strip_prefix(".PHONY: ")).collect();
    let mut seen = 0;
    for page in pages("").unwrap() {
        for (_, code) in book::code(&read(&page)) {
            for command in code.lines().filter_map(|line| line.strip_prefix("make ")) {
                for goal in command.split_whitespace().take_while(|word| *word != "#" && !word.contains('=')) {
                    seen += 1;
                    assert!(goals.contains(goal), "{page}: make {goal}");
                }
            }
        }
    }
    assert!(seen > 20, "{seen} goals");
}
