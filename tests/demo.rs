//! `make demo` works, shows no credential, and prints what docs/tour.md says.

#![allow(clippy::unwrap_used, reason = "a demo that goes wrong should end there")]

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
};

use dev::demo::{Credentials, Demo, Options, Screen};

const CANARY: &str = "canaryc0ffee";

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

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
    demo.invite().await.unwrap();
    demo.end().await.unwrap();

    let told = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
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
    let told: BTreeSet<String> = told.lines().map(lasting).collect();
    let tour = tour();
    assert!(tour.len() > 50, "the tour is lost: {tour:?}");
    for line in tour {
        assert!(told.contains(&lasting(&line)), "docs/tour.md has a line that the demo doesn't print: {line}");
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
