//! `make demo` works, and shows no credential.

#![allow(clippy::unwrap_used, reason = "a demo that goes wrong should end there")]

use std::{
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
}
