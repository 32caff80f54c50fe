//! Links of the documentation: as mdBook needs them, for what leads out of `docs/` is read in the repository, and as it has written them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;

use crate::repository;

/// What mdBook hands to a preprocessor, `[context, book]`, with the links of each chapter rewritten: the book.
///
/// # Errors
///
/// If it isn't that, or `book.toml` names no `output.html.git-repository-url`.
pub fn with_links(input: &str) -> Result<Value> {
    let (context, mut book): (Value, Value) = serde_json::from_str(input).context("mdBook's [context, book]")?;
    let html = &context["config"]["output"]["html"];
    let repository = html["git-repository-url"].as_str().context("book.toml: output.html.git-repository-url")?;
    chapters(&mut book["items"], repository);
    Ok(book)
}

fn chapters(items: &mut Value, repository: &str) {
    for chapter in items.as_array_mut().into_iter().flatten().filter_map(|item| item.get_mut("Chapter")) {
        if let (Some(page), Some(text)) = (chapter["source_path"].as_str(), chapter["content"].as_str()) {
            chapter["content"] = rewritten(page, text, repository).into();
        }
        chapters(&mut chapter["sub_items"], repository);
    }
}

/// The text of a page, all of whose links lead somewhere from the book.
fn rewritten(page: &str, text: &str, repository: &str) -> String {
    let mut text = text.to_owned();
    for (link, at) in links(&text).into_iter().rev() {
        let target = target(page, &link, repository);
        let written = text[at.clone()].replacen(&format!("]({link}"), &format!("]({target}"), 1);
        text.replace_range(at, &written);
    }
    text
}

/// The pages of the repository below one of its directories, as paths from its root.
///
/// # Errors
///
/// If a directory can't be read.
pub fn pages(directory: &str) -> Result<BTreeSet<String>> {
    let root = repository("");
    let mut found = BTreeSet::new();
    let mut open = vec![root.join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let others = ["target", "dist"].contains(&&*name) || name.starts_with('.');
            if path.is_dir() && !others {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.insert(path.strip_prefix(&root)?.to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

/// The links of a page, and where each stands.
#[must_use]
pub fn links(text: &str) -> Vec<(String, Range<usize>)> {
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
    let link = |(event, at)| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some((dest_url.into_string(), at)),
        _ => None,
    };
    events.filter_map(link).collect()
}

/// The code of a page: of a block with its language, of a few words in a line without.
#[must_use]
pub fn code(text: &str) -> Vec<(Option<String>, String)> {
    let mut found = Vec::new();
    let mut block: Option<(String, String)> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match (event, &mut block) {
            (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))), _) => {
                block = Some((language.into_string(), String::new()));
            }
            (Event::Text(part), Some((_, text))) => text.push_str(&part),
            (Event::End(TagEnd::CodeBlock), block) => {
                found.extend(block.take().map(|(language, text)| (Some(language), text)));
            }
            (Event::Code(words), _) => found.push((None, words.into_string())),
            _ => {}
        }
    }
    found
}

/// What links into a page can name behind `#`: its headings, as GitHub and mdBook both spell them.
#[must_use]
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::Text(part) | Event::Code(part), Some(text)) => text.push_str(&part),
            (Event::End(TagEnd::Heading(_)), text) => {
                let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
                let text = text.take().unwrap_or_default().to_lowercase();
                let name = text.chars().filter(kept).collect::<String>().replace(' ', "-");
                let again = (1..).map(|count| format!("{name}-{count}"));
                let free = [name.clone()].into_iter().chain(again).find(|name| !anchors.contains(name));
                anchors.extend(free);
            }
            _ => {}
        }
    }
    anchors
}

/// Where a link of a page leads to: a page of the book, or a file of the repository.
fn target(page: &str, link: &str, repository: &str) -> String {
    if link.contains("://") || link.starts_with('#') {
        return link.to_owned();
    }
    let (path, anchor) = link.split_at(link.find('#').unwrap_or(link.len()));
    let mut whole: Vec<&str> = ["docs"].into_iter().chain(page.split('/')).collect();
    whole.pop();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part == ".." {
            whole.pop();
        } else {
            whole.push(part);
        }
    }
    if whole.first() != Some(&"docs") {
        return format!("{repository}/blob/main/{}{anchor}", whole.join("/"));
    }
    // mdBook makes index.html of it, and follows no link there.
    match path.strip_suffix("README.md") {
        Some(directory) => format!("{directory}index.md{anchor}"),
        None => link.to_owned(),
    }
}

/// The links of the pages that mdBook has written which lead nowhere, each with its page.
///
/// # Errors
///
/// If a page can't be read, or there is none.
pub fn dead_links(book: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    let mut open = vec![book.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html") {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                pages.insert(path, text);
            }
        }
    }
    anyhow::ensure!(!pages.is_empty(), "{} has no page", book.display());
    let mut dead = Vec::new();
    for (page, text) in &pages {
        // Its links are those of the page at the root of the site.
        let is_everywhere = page.ends_with("404.html");
        for link in text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            if is_everywhere || link.contains(':') || leads_somewhere(&pages, page, link) {
                continue;
            }
            dead.push(format!("{}: {link}", page.display()));
        }
    }
    Ok(dead)
}

fn leads_somewhere(pages: &BTreeMap<PathBuf, String>, page: &Path, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let mut target = page.to_owned();
    if !path.is_empty() {
        target.pop();
        for part in path.split('/') {
            match part {
                ".." => _ = target.pop(),
                "" | "." => {}
                part => target.push(part),
            }
        }
    }
    match anchor.filter(|anchor| !anchor.is_empty()) {
        Some(anchor) => pages.get(&target).is_some_and(|text| text.contains(&format!("id=\"{anchor}\""))),
        None => target.is_file(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use serde_json::json;

    use super::{anchors, code, dead_links, with_links};

    #[test]
    fn links_out_of_the_documentation_lead_to_the_repository() {
        let chapter = |page: &str, content: &str, below| json!({"Chapter": {"source_path": page, "path": page, "content": content, "sub_items": below}});
        let of = "https://example.com/o/r";
        let context = json!({"config": {"output": {"html": {"git-repository-url": of}}}});
        let below =
            chapter("guides/a.md", "[x](../../deploy/y) [z](../z.md#w) [d](../decisions/README.md)\n", json!([]));
        let text = "a [b](../src/c.rs) [d](e.md) [f](#g) [h](https://i) [j](../README.md#k)\n\n```\n[l](../m)\n```\n";
        let book = json!({"items": [{"PartTitle": "p"}, "Separator", chapter("a.md", text, json!([below]))]});
        let told = with_links(&json!([context, book]).to_string()).unwrap();
        let first = &told["items"][2]["Chapter"];
        assert_eq!(
            first["content"],
            format!(
                "a [b]({of}/blob/main/src/c.rs) [d](e.md) [f](#g) [h](https://i) [j]({of}/blob/main/README.md#k)\n\n\
                 ```\n[l](../m)\n```\n"
            )
        );
        assert_eq!(
            first["sub_items"][0]["Chapter"]["content"],
            format!("[x]({of}/blob/main/deploy/y) [z](../z.md#w) [d](../decisions/index.md)\n")
        );
        assert!(with_links("[{}, {}]").unwrap_err().to_string().contains("git-repository-url"));
    }

    #[test]
    fn anchors_are_those_of_headings() {
        let found = anchors("# A `b_C`: d, e\n## Stop\n```sh\n# no heading\n```\n### Stop\n");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a-b_c-d-e", "stop", "stop-1"]);
    }

    #[test]
    fn code_is_found_in_blocks_and_lines() {
        let found = code("a `b c`\n\n1. d\n\n   ```sh\n   e\n   f\n   ```\n");
        assert_eq!(found, [(None, "b c".to_owned()), (Some("sh".to_owned()), "e\nf\n".to_owned())]);
    }

    #[test]
    fn what_leads_nowhere_in_the_book_is_named() {
        let book = tempfile::tempdir().unwrap();
        let write = |page: &str, text: &str| std::fs::write(book.path().join(page), text).unwrap();
        std::fs::create_dir(book.path().join("a")).unwrap();
        write(
            "b.html",
            "<h2 id=\"c\">c</h2> <a href=\"#c\">c</a> <a href=\"https://d\">d</a> <a href=\"a/e.html\">e</a>",
        );
        write(
            "a/e.html",
            "<a href=\"../b.html#c\">c</a> <a href=\"../../deploy/f\">f</a> <a href=\"../b.html#g\">g</a>",
        );
        let dead = dead_links(book.path()).unwrap();
        let ends = ["a/e.html: ../../deploy/f", "a/e.html: ../b.html#g"];
        assert!(dead.len() == 2 && dead.iter().zip(ends).all(|(dead, end)| dead.ends_with(end)), "{dead:?}");
    }
}
