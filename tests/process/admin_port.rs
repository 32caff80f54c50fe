//! The admin port: it answers whoever asks, in either family of addresses.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    time::Duration,
};

use clap::CommandFactory;
use shopify_token_operator::cli::Cli;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

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
        dev::skipped("this machine has no IPv6, so nothing is said about [::1]");
    }
    operator.stop().await;
}

/// Clients that say nothing, half of something, or never read what they asked for.
#[tokio::test(flavor = "multi_thread")]
async fn no_crowd_keeps_the_probes_out() {
    const AT_ONCE: Duration = Duration::from_secs(1);
    let world = World::new("admin-port-crowd").await;
    let operator = operator(&world, "127.0.0.1:0").await;
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut crowd = Vec::new();
    for said in ["", &request[..20], &request.repeat(100)] {
        for _ in 0..320 {
            let mut stream = TcpStream::connect(operator.address()).await.unwrap();
            // Who is cut off while it still speaks is none of this.
            let _ = timeout(AT_ONCE, stream.write_all(said.as_bytes())).await;
            crowd.push(stream);
        }
        for path in ["/livez", "/readyz"] {
            let (status, _) = timeout(AT_ONCE, operator.get(path)).await.expect("at once").expect("an answer");
            assert_eq!(status, 200, "{path} among those that say {said:?}");
        }
    }
    operator.stop().await;
}
