//! A restart with healthy tokens costs nothing: no call to Shopify, no write to Kubernetes.

use serde_json::json;

use crate::{
    audit,
    operator::{ALONE, Operator},
    world::{CLIENT_ID, SHOP, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn costs_no_call_and_no_write() {
    const EACH: usize = 8;
    let world = World::new("restart").await;
    world.make_app().await;
    let value = world.sim.create_admin_token(SHOP, CLIENT_ID).unwrap();
    world.secret_of("person", &[("token", &value)]).await;
    let operator = Operator::start(&world, &[ALONE]).await;
    world.token("admin", json!({"source": {"clientCredentials": {"appRef": {"name": "acme"}}}})).await;
    let mut names = vec!["admin".to_owned()];
    for n in 0..EACH {
        let sources = [
            ("cc", json!({"clientCredentials": {"appRef": {"name": "acme"}}})),
            ("sf", json!({"storefront": {"adminTokenRef": {"name": "admin"}}})),
            ("custom", json!({"custom": {"tokenRef": {"name": "person", "key": "token"}}})),
        ];
        for (kind, source) in sources {
            let name = format!("{kind}-{n}");
            world.token(&name, json!({"source": source})).await;
            names.push(name);
        }
    }
    for name in &names {
        world.ready(name).await;
    }
    world.a_while().await;
    operator.stop().await;

    let (calls, mark) = (world.sim.total_calls(), audit::mark(world.cluster));
    let operator = Operator::start(&world, &[ALONE]).await;
    let all = f64::from(u32::try_from(names.len()).unwrap());
    let done = [r#"kind="ShopifyToken""#, r#"result="success""#];
    operator.until("done", async |it| it.metric("controller_reconciles_total", &done).await >= all).await;
    world.a_while().await;
    assert_eq!(world.sim.total_calls(), calls);
    let requests = audit::in_namespace(world.cluster, &world.namespace, mark);
    // Nothing but what a person has put elsewhere is read, for the tokens made of that.
    assert!(!requests.is_empty() && requests.len() < names.len() * 2, "{} requests", requests.len());
    let writes: Vec<_> = requests.iter().filter(|r| r.writes()).collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert!((operator.metric("controller_reconciles_total", &done).await - all).abs() < 0.5, "one look at each");
    operator.stop().await;
}
