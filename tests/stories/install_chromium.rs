//! The install pages in a real browser: headless Chromium, driven through chromedriver (Debian: `chromium-driver`).
//! Where there is none the test says that it is skipped. Screenshots go to `target/tmp/install-pages/`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use crate::{
    browser::Pages,
    world::{PUBLIC_URL, SHOP, World},
};

const PATIENCE: Duration = Duration::from_mins(1);

/// What stands before the pages: it ends TLS, as an Ingress does.
async fn ingress(to: SocketAddr) -> SocketAddr {
    let host = PUBLIC_URL.trim_start_matches("https://").to_owned();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([host]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await);
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A browser opens connections that it doesn't use, and drops others.
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let mut inside = TcpStream::connect(to).await.unwrap();
                drop(copy_bidirectional(&mut outside, &mut inside).await);
            });
        }
    });
    address
}

/// Chromium with a person before it.
struct Chromium {
    http: reqwest::Client,
    session: String,
    driver: Child,
    shots: PathBuf,
}

/// The port that chromedriver says it listens on; `None` if it ended.
async fn port(mut lines: Lines<BufReader<ChildStdout>>) -> Option<u16> {
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, port)) = line.split_once("successfully on port ") {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some(port.trim_end_matches('.').parse().unwrap());
        }
    }
    None
}

impl Chromium {
    /// `None` where there is no chromedriver.
    async fn start(world: &World, pages: SocketAddr, javascript: bool) -> Option<Self> {
        let mut started = None;
        // The port that it takes over IPv4 may be somebody else's over IPv6: then it ends.
        for _ in 0..5 {
            let mut driver = match Command::new("chromedriver")
                .arg("--port=0")
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
            {
                Ok(driver) => driver,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    dev::skipped("there is no chromedriver here (Debian: apt-get install chromium-driver)");
                    return None;
                }
                Err(error) => panic!("chromedriver: {error}"),
            };
            let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
            started = timeout(PATIENCE, port(lines)).await.unwrap().map(|port| (driver, port));
            if started.is_some() {
                break;
            }
        }
        let (driver, port) = started.expect("chromedriver says its port");
        let host = PUBLIC_URL.trim_start_matches("https://");
        let rules =
            format!("MAP {SHOP} {}, MAP {host} {pages}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", world.sim.address());
        let setting = if javascript { 1 } else { 2 };
        let options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=900,760",
                format!("--host-resolver-rules={rules}")],
            "prefs": {"profile.managed_default_content_settings.javascript": setting},
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": options,
        }}});
        let shots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("install-pages");
        std::fs::create_dir_all(&shots).unwrap();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let url = format!("http://127.0.0.1:{port}/session");
        let answer: Value = http.post(&url).json(&wanted).send().await.unwrap().json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        Some(Self { http, session: format!("{url}/{id}"), driver, shots })
    }

    async fn post(&self, what: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}/{what}", self.session)).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{what}: {answer}");
        answer["value"].clone()
    }

    async fn get(&self, what: &str) -> String {
        let answer = self.http.get(format!("{}/{what}", self.session)).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["value"].as_str().unwrap_or_default().to_owned()
    }

    async fn opens(&self, url: &str) {
        self.post("url", json!({"url": url})).await;
    }

    async fn clicks(&self, css: &str) {
        let found = self.post("element", json!({"using": "css selector", "value": css})).await;
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.post(&format!("element/{id}/click"), json!({})).await;
    }

    async fn heading(&self) -> String {
        let found = self.post("element", json!({"using": "css selector", "value": "h1"})).await;
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.get(&format!("element/{id}/text")).await
    }

    /// Begins an approval and decides at Shopify.
    async fn goes_through(&self, world: &World, decision: &str) {
        self.begins(world).await;
        self.clicks(&format!("button[value={decision}]")).await;
    }

    async fn begins(&self, world: &World) {
        self.opens(&format!("{PUBLIC_URL}/oauth/install/{}/web", world.namespace)).await;
        assert!(self.get("url").await.starts_with(&format!("https://{SHOP}/admin/oauth/authorize?")));
    }

    /// Waits for a page of ours, and takes its picture: light, dark, and on a telephone.
    async fn sees(&self, title: &str, name: &str) {
        let seen = timeout(PATIENCE, async {
            while !self.get("url").await.starts_with(PUBLIC_URL) || self.heading().await != title {
                sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(seen.await.is_ok(), "{name}: {:?} at {}", self.heading().await, self.get("url").await);
        // What is refused stays where it was; what counts leaves no code in an address.
        let refused = title.starts_with("This link");
        assert!(refused || !self.get("url").await.contains("code="), "{name}");
        for (scheme, width) in [("light", 900), ("dark", 900), ("light", 360)] {
            let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
            self.devtools("Emulation.setEmulatedMedia", media).await;
            let size = json!({"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": false});
            self.devtools("Emulation.setDeviceMetricsOverride", size).await;
            let file = self.shots.join(format!("{name}-{scheme}-{width}.png"));
            std::fs::write(file, BASE64_STANDARD.decode(self.get("screenshot").await).unwrap()).unwrap();
        }
        let said = self.post("se/log", json!({"type": "browser"})).await.to_string();
        for wrong in ["Content Security Policy", "Mixed Content", "Refused to"] {
            assert!(!said.contains(wrong), "{name}: {said}");
        }
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.post("goog/cdp/execute", json!({"cmd": command, "params": parameters})).await;
    }

    async fn quits(mut self) {
        self.http.delete(&self.session).send().await.unwrap();
        self.driver.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_with_a_real_browser() {
    let mut world = World::with_app("chromium").await;
    let pages = Pages::start(world.setup().await).await;
    let outside = ingress(pages.address).await;
    let Some(browser) = Chromium::start(&world, outside, true).await else { return };
    world.token("web", json!({"source": {"offline": {"appRef": {"name": "acme"}}}})).await;
    world.because("web", "Stalled", "ConsentRequired").await;

    browser.goes_through(&world, "deny").await;
    browser.sees("Not approved", "declined").await;
    browser.clicks("a.button").await;
    assert!(browser.get("url").await.contains("/admin/oauth/authorize?"), "it begins again");
    world.pass(chrono::TimeDelta::minutes(11));
    browser.clicks("button[value=approve]").await;
    browser.sees("This link has expired", "expired").await;

    browser.goes_through(&world, "approve").await;
    browser.sees("Approved", "approved").await;
    world.ready("web").await;
    // Back to Shopify's page, and once more: another code, and the same state.
    browser.post("back", json!({})).await;
    browser.clicks("button[value=approve]").await;
    browser.sees("This link was used already", "replayed").await;
    browser.clicks("a.button").await;
    browser.sees("Approved", "approved-again").await;
    browser.opens(&format!("{PUBLIC_URL}/oauth/install/{}/absent", world.namespace)).await;
    browser.sees("Nothing here", "absent").await;
    browser.opens(&format!("{PUBLIC_URL}/oauth/callback?code=1&state=2")).await;
    // Forged: no address of ours is in the picture but the page's own.
    let forged = browser.heading().await;
    assert_eq!(forged, "This can't be accepted");

    world.stop().await;
    browser.goes_through(&world, "approve").await;
    browser.sees("Still working", "working").await;
    world.start().await;
    browser.clicks("a.button").await;
    browser.sees("Approved", "approved-late").await;
    browser.quits().await;

    let plain = Chromium::start(&world, outside, false).await.expect("as before");
    plain.opens("data:text/html,<title>no</title><script>document.title='script'</script>").await;
    assert_eq!(plain.get("title").await, "no", "JavaScript is off");
    plain.goes_through(&world, "approve").await;
    plain.sees("Approved", "without-javascript").await;
    plain.quits().await;
    pages.stop().await;
}
