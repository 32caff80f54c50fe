//! `make demo` works, shows no credential, and prints what docs/tour.md says.

#![allow(clippy::unwrap_used, reason = "a demo that goes wrong should end there")]

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
};

use dev::demo::{Credentials, Demo, Options, Screen};

const CANARY: &str = "canaryc0ffee";

/// What the tour's page has sentences of its own for.
const HEADINGS: [&str; 8] = [
    "A cluster, a Shopify, and the operator",
    "The samples: YAML in, Secrets out",
    "A merchant approves an app, in a browser",
    "The token at work, as Hydrogen would use it",
    "Somebody deletes the Secret",
    "A rotation: change the trigger, as a commit to your repository would",
    "A person rotates the client of the customer accounts",
    "A deletion: nothing stays behind",
];

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::Error::other("poisoned"))?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_shows_everything_but_credentials() {
    let page = Page::default();
    let options = Options {
        operator: env!("CARGO_BIN_EXE_shopify-token-operator").into(),
        credentials: Credentials {
            client_secret: format!("shpss_{CANARY}0123456789"),
            permanent_token: format!("shpat_{CANARY}0123456789"),
            customer_secret: format!("{CANARY}0123456789"),
            canary: Some(CANARY.to_owned()),
        },
        quiet: true,
    };

    let mut demo = Demo::start(options, Screen::plain(page.clone())).await.unwrap();
    demo.tour().await.unwrap();
    let (toured, collects) = (page.text(), demo.collects());
    demo.invite().await.unwrap();
    demo.end().await.unwrap();

    let told = page.text();
    assert!(!told.contains(CANARY), "{told}");
    for part in [
        "web-shopify",
        "✓ the old token: 401",
        "the page says: Approved",
        "waits for a merchant",
        "customers condition met",
        "Rotated",
        "curl -s http://127.0.0.1:",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    let printed: BTreeSet<String> = toured.lines().map(lasting).collect();
    let tour = tour();
    assert!(tour.len() > 50, "the tour is lost: {tour:?}");
    let uncollected = |line: &&String| !collects && *line == "✓ the Secret is gone with its owner";
    for line in tour.iter().filter(|line| !uncollected(line)) {
        assert!(printed.contains(&lasting(line)), "docs/tour.md has a line that the demo doesn't print: {line}");
    }
    for heading in HEADINGS {
        assert!(toured.lines().any(|line| line == heading), "the demo has no heading {heading:?}");
    }
    let shown: BTreeSet<String> = tour.iter().map(|line| lasting(line)).collect();
    let left_out = |line: &&str| HEADINGS.contains(line) || line.starts_with("… ");
    for line in toured.lines().filter(|line| !left_out(line)) {
        assert!(shown.contains(&lasting(line)), "docs/tour.md leaves out a line that the demo prints: {line}");
    }
}

/// What docs/tour.md says that the demo prints.
fn tour() -> Vec<String> {
    let tour = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tour.md")).unwrap();
    let blocks = tour.split("```text\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// A line without what differs from run to run: numbers, times, ports, hashes.
fn lasting(line: &str) -> String {
    let lasts = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
    line.split_whitespace().filter(lasts).collect::<Vec<_>>().join(" ")
}
