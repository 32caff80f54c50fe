//! The admin port: it answers whoever asks, in either family of addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use clap::CommandFactory;
use shopify_token_operator::cli::Cli;

use crate::{
    operator::{ALONE, OPERATOR, Operator},
    world::World,
};

async fn operator(world: &World, address: &str) -> Operator {
    let kubeconfig = world.cluster.service_account_kubeconfig(OPERATOR, OPERATOR).await.unwrap();
    let namespace = format!("--watch-namespaces={}", world.namespace);
    Operator::launch(world, &kubeconfig, &[ALONE, &namespace], &[("ADMIN_ADDR", address)]).await
}

/// The flag's, but for the port, which somebody else may have.
fn default_address() -> String {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let flag = run.get_arguments().find(|arg| arg.get_long() == Some("admin-addr")).unwrap();
    let address = flag.get_default_values()[0].to_str().unwrap();
    format!("{}:0", address.strip_suffix(":8080").unwrap())
}

#[allow(clippy::print_stderr, reason = "what isn't tested should be seen")]
#[tokio::test(flavor = "multi_thread")]
async fn the_default_address_answers_in_both_families() {
    let world = World::new("admin-port").await;
    let operator = operator(&world, &default_address()).await;
    let port = operator.address().port();
    let (status, _) = operator.get_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "/livez").await.expect("by IPv4");
    assert_eq!(status, 200);
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        let (status, _) =
            operator.get_at(SocketAddr::from((Ipv6Addr::LOCALHOST, port)), "/livez").await.expect("by IPv6");
        assert_eq!(status, 200);
    } else {
        eprintln!("NOT TESTED: this machine has no IPv6, so nothing is said about [::1]");
    }
    operator.stop().await;
}
