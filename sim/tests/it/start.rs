//! Starting: the configuration file, the program, and TLS.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use shopify_sim::{AppConfig, Config, ShopConfig, Sim, StartError, Unknown};

use crate::client::{Fixed, SHOP, Shop, builder, config, start};

/// The example in the README is the one tested here.
fn example() -> String {
    let readme = include_str!("../../README.md");
    let yaml = readme.split("```yaml\n").nth(1).unwrap();
    yaml.split("```").next().unwrap().to_owned()
}

#[tokio::test]
async fn the_example_file_starts_a_simulation() {
    let config = Config::from_yaml(&example()).unwrap();
    let (client_id, secret) = (config.apps[0].client_id.clone(), config.apps[0].client_secrets[0].clone());
    let legacy = config.apps[1].installations[0].clone();
    let sim = Sim::start(config).await.unwrap();
    let shop = Shop::new(&sim, SHOP);
    let response = shop.grant(&client_id, &secret).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(sim.is_valid_admin(&legacy.shop, &legacy.admin_token.unwrap()));
}

#[test]
fn mistakes_in_the_file_are_named() {
    let error = Config::from_yaml("shops: [{domain: a, colour: red}]").unwrap_err();
    assert!(error.to_string().contains("colour"), "{error}");
    assert!(Config::from_file("/nonexistent".as_ref()).is_err());
}

#[tokio::test]
async fn contradictions_are_refused() {
    let stray = Config::default().app(AppConfig::new("a", "s").installed("b", ["read_orders"]));
    let error = Sim::start(stray).await.unwrap_err();
    assert!(matches!(error, StartError::Unknown(Unknown::Shop(shop)) if shop == "b"));
    let mut odd = config();
    odd.canary = Some("not a canary".to_owned());
    assert!(matches!(Sim::start(odd).await, Err(StartError::Canary)));
    let mut bare = config();
    bare.api_versions.clear();
    assert!(matches!(Sim::start(bare).await, Err(StartError::NoApiVersion)));
}

#[tokio::test]
async fn names_and_schemes_are_checked_as_in_production() {
    let (sim, shop) = start().await;
    sim.add_shop(ShopConfig::new("evil.example.com"));
    let foreign = Shop::new(&sim, "evil.example.com");
    assert!(foreign.probe("x").send().await.unwrap_err().is_connect());
    let plain = shop.http.get(format!("http://{SHOP}/")).send().await;
    assert!(plain.unwrap_err().is_builder());
    let (stranger, _) = start().await;
    let distrusting = Shop::with(builder(&stranger).dns_resolver(Fixed::of(&sim)), SHOP);
    assert!(distrusting.probe("x").send().await.unwrap_err().is_connect());
}

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_program_prints_its_address_and_writes_its_authority() {
    let directory = tempfile::tempdir().unwrap();
    let (config, ca) = (directory.path().join("sim.yaml"), directory.path().join("ca.pem"));
    std::fs::write(&config, example()).unwrap();
    let program = Command::new(env!("CARGO_BIN_EXE_shopify-sim"))
        .args(["--listen", "127.0.0.1:0", "--config"])
        .arg(config)
        .arg("--ca-file")
        .arg(&ca)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut program = Program(program);
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address: std::net::SocketAddr = line.trim().parse().unwrap();
    std::net::TcpStream::connect(address).unwrap();
    let pem = std::fs::read_to_string(ca).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
}
