//! Nothing secret leaves a Secret: a whole life at log level trace, then a search for the canary everywhere else.

use std::{fmt::Write as _, time::Duration};

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Secret, events::v1::Event},
    serde::{Serialize, de::DeserializeOwned},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use shopify_sim::{ExpiresIn, Fault, FaultKind, ShopConfig, StatusFault};
use shopify_token_operator::api::{ShopifyApp, ShopifyToken};

use crate::{
    audit,
    browser::Browser,
    collector::Collector,
    operator::{OPERATOR, Operator},
    world::{CLIENT_ID, CLIENT_SECRET, PUBLIC_URL, SCOPES, SHOP, World},
};

/// In every value that the simulator mints, and in every one that a person of this test types.
const CANARY: &str = "canaryc0ffee";

/// Everything seen outside the Secrets' data.
#[derive(Default)]
struct Seen(String);

impl Seen {
    fn note(&mut self, place: &str, text: &str) {
        writeln!(self.0, "== {place}\n{text}").unwrap();
    }

    /// Status, events, metadata and metrics as they are now.
    async fn look(&mut self, world: &World, operator: &Operator) {
        self.objects::<ShopifyToken>(&world.api()).await;
        self.objects::<ShopifyApp>(&world.api()).await;
        self.objects::<Event>(&world.api()).await;
        self.objects::<Secret>(&world.api()).await;
        self.objects::<Lease>(&Api::namespaced(world.admin.clone(), OPERATOR)).await;
        for page in ["/metrics", "/readyz", "/livez"] {
            self.note(page, &operator.get(page).await.unwrap().1);
        }
    }

    async fn objects<K: Clone + DeserializeOwned + Serialize + std::fmt::Debug>(&mut self, api: &Api<K>) {
        for object in api.list(&ListParams::default()).await.unwrap() {
            let mut object = serde_json::to_value(&object).unwrap();
            object.as_object_mut().unwrap().remove("data");
            self.note("object", &object.to_string());
        }
    }

    /// Places with the canary, plain or as base64, hexadecimal or `Debug` would print its bytes.
    fn leaks(&self) -> Vec<&str> {
        let bytes = CANARY.as_bytes();
        let decimal = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let hexadecimal: String = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        // Three alignments; what depends on the neighbours is left out.
        let base64 = ["Y2FuYXJ5YzBmZmVl", "NhbmFyeWMwZmZlZ", "jYW5hcnljMGZmZW"];
        let forms = [[CANARY, decimal.as_str(), hexadecimal.as_str()], base64].concat();
        self.0.lines().filter(|line| forms.iter().any(|form| line.contains(form))).collect()
    }
}

fn grant() -> Value {
    json!({"clientCredentials": {"appRef": {"name": "acme"}}})
}

fn storefront() -> Value {
    json!({"storefront": {"adminTokenRef": {"name": "admin"}}})
}

pub(crate) fn custom(secret: &str) -> Value {
    json!({"custom": {"tokenRef": {"name": secret, "key": "token"}}})
}

fn delegate(admin: &str) -> Value {
    json!({"delegate": {"adminTokenRef": {"name": admin}, "scopes": ["read_products"]}})
}

/// An offline token that begins with a pair of its own.
async fn offline(world: &World, name: &str, shop: &str) {
    let pair = world.sim.create_offline_pair(shop, CLIENT_ID).unwrap();
    assert!(pair.refresh_token.contains(CANARY) && pair.access_token.contains(CANARY));
    let boot = format!("{name}-boot");
    world.secret_of(&boot, &[("refresh_token", &pair.refresh_token)]).await;
    let source = json!({"offline": {"appRef": {"name": "acme"}, "bootstrapRef": {"name": boot}}});
    world.token(name, json!({"shop": shop, "source": source})).await;
}

/// A client of customer accounts; its id is no secret.
async fn customers(world: &World, name: &str, shop: &str) {
    let client = format!("{name}-client");
    world.secret_of(&client, &[("client_id", "shp_1"), ("client_secret", "canaryc0ffee-one")]).await;
    let source = json!({"customerAccount": {"credentialsRef": {"name": client}, "clientType": "Confidential"}});
    world.token(name, json!({"shop": shop, "source": source, "secret": {"preset": "OIDC"}})).await;
}

/// Ready tokens of the sources that read, write and keep Secrets of their own: `custom`, `delegate` (of `admin`), `offline`,
/// `customers`.
pub(crate) async fn every_other_source(world: &World) {
    let value = world.sim.create_admin_token(SHOP, CLIENT_ID).unwrap();
    world.secret_of("person", &[("token", &value)]).await;
    world.token("custom", json!({"source": custom("person")})).await;
    world.token("delegate", json!({"source": delegate("admin")})).await;
    offline(world, "offline", SHOP).await;
    customers(world, "customers", SHOP).await;
    for name in ["custom", "delegate", "offline", "customers"] {
        world.ready(name).await;
    }
}

/// Answers that quote what must not be quoted, and such as can't be read at all.
fn faults() -> Vec<FaultKind> {
    let body = |text: &str| Some(text.replace('?', CANARY));
    let statuses = [
        (400, body(r#"{"error":"?","error_description":"?"}"#)),
        (400, body("<html><title>400 - Oauth error ?</title>?</html>")),
        (401, body(r#"{"errors":"[API] Invalid API key or access token ?"}"#)),
        (403, body(r#"{"errors":"? is not approved"}"#)),
        (404, body("?")),
        (422, body(r#"{"errors":{"?":["?"]}}"#)),
        (429, body("?")),
        (500, body("?")),
        (200, body(r#"{"access_token":"bad ?\n","expires_in":"?","scope":"? ?"}"#)),
        (200, body(r#"{"data":{"?":"?"},"errors":[{"message":"?","path":["?"],"extensions":{"code":"?"}}]}"#)),
        (200, body(r#"{"data":{"storefrontAccessTokenCreate":{"userErrors":[{"field":["?"],"message":"?"}]}}}"#)),
        (302, body("?")),
    ];
    let statuses = statuses.map(|(code, body)| FaultKind::Status(StatusFault { code, retry_after: None, body }));
    let cuts = [FaultKind::Garbage, FaultKind::Truncated, FaultKind::CommitThenDrop, FaultKind::Throttled];
    statuses.into_iter().chain(cuts).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_canary_outside_secrets() {
    let (world, mut seen) = (World::new("canary").await, Seen::default());
    assert!(CLIENT_SECRET.contains(CANARY));
    world.make_app().await;
    let (collector, public) = (Collector::start().await, format!("--public-url={PUBLIC_URL}"));
    let traces = format!("--otlp-endpoint={}", collector.address());
    let flags = [&*public, "--oauth-addr=127.0.0.1:0", "--log-level=trace", &traces];
    let operator = Operator::start(&world, &flags).await;

    // Issue; a template that quotes the token, and a preset.
    world.token("admin", json!({"source": grant(), "secret": {"preset": "Node"}})).await;
    let template = json!({"data": {".env": "TOKEN={{ access_token }}"}});
    let secret = json!({"preset": "Hydrogen", "template": template});
    world.token("web", json!({"source": storefront(), "secret": secret, "rotation": {"overlap": "2s"}})).await;
    let value = world.sim.create_admin_token(SHOP, CLIENT_ID).unwrap();
    world.secret_of("person", &[("token", &value)]).await;
    world.token("custom", json!({"source": custom("person")})).await;
    world.token("delegate", json!({"source": delegate("admin"), "secret": {"preset": "Hydrogen"}})).await;
    offline(&world, "offline", SHOP).await;
    customers(&world, "customers", SHOP).await;
    for name in ["admin", "web", "custom", "delegate", "offline", "customers"] {
        world.ready(name).await;
        let mut control = Seen::default();
        let secret = world.api::<Secret>().get(name).await.unwrap();
        control.note("in base64", &serde_json::to_string(&secret).unwrap());
        control.note("as Debug prints bytes", &format!("{secret:?}"));
        assert_eq!(control.leaks().len(), 2, "the search finds what is there");
    }
    approval(&world, &operator, &mut seen).await;
    seen.look(&world, &operator).await;

    mistakes(&world).await;
    seen.look(&world, &operator).await;

    // Renewal, with a lifetime that deserves a warning first, and failures of every kind.
    world.sim.set_expires_in(CLIENT_ID, ExpiresIn::Value(json!(format!("{CANARY}")))).unwrap();
    rotate(&world, "admin", "0").await;
    world.sim.set_expires_in(CLIENT_ID, ExpiresIn::Lifetime).unwrap();
    world.sim.set_token_lifetime(CLIENT_ID, Duration::from_secs(6)).unwrap();
    rotate(&world, "admin", "1").await;
    world.sim.set_token_lifetime(CLIENT_ID, Duration::from_hours(24)).unwrap();
    world.until("admin", "renewed", |t| t.status.as_ref().unwrap().revision >= Some(4)).await;
    failures(&world, &operator, &mut seen).await;
    for name in ["web", "delegate", "offline", "customers"] {
        rotate(&world, name, "end").await;
    }
    // Another pair, with the one before beside it.
    world.secret_of("customers-client", &[("client_id", "shp_1"), ("client_secret", "canaryc0ffee-two")]).await;
    world.until("customers", "rotated", |t| t.status.as_ref().unwrap().revision == Some(2)).await;

    // Repair: an edited Secret, a deleted one.
    world.secret_of("admin", &[("access_token", "canaryc0ffee-edited")]).await;
    world.api::<Secret>().delete("web", &DeleteParams::default()).await.unwrap();
    world.eventually("repaired", async || world.secret("web").await.is_some()).await;
    world.until("web", "repaired", |t| t.status.as_ref().unwrap().failed_attempts.is_none()).await;
    seen.look(&world, &operator).await;

    // The app is uninstalled, then everything goes.
    world.sim.uninstall(SHOP, CLIENT_ID).unwrap();
    request(&world, "admin", "last").await;
    world.a_while().await;
    seen.look(&world, &operator).await;
    let all = DeleteParams::default();
    world.tokens().delete_collection(&all, &ListParams::default()).await.unwrap();
    for name in ["web", "admin", "custom", "delegate", "offline", "customers"] {
        world.gone(name).await;
    }
    seen.look(&world, &operator).await;

    seen.note("log", &operator.log());
    seen.note("command line", &operator.command_line());
    for request in audit::since(world.cluster, audit::Mark::START) {
        seen.note("audit", &format!("{request:?}"));
    }
    assert!(operator.log().contains(r#""level":"DEBUG""#), "more than info is looked at");
    operator.stop().await;
    assert!(!collector.spans().is_empty());
    seen.note("traces", &String::from_utf8_lossy(&collector.bodies()));
    let leaks = seen.leaks();
    assert!(leaks.is_empty(), "{} leaks: {:#?}", leaks.len(), &leaks[..leaks.len().min(5)]);
}

/// A merchant approves the app of `offline` once more: forged, in earnest, replayed. What the pages say is looked at, too.
async fn approval(world: &World, operator: &Operator, seen: &mut Seen) {
    let at = operator.told_address("serves install pages").await;
    let mut browser = Browser::new(world);
    let asked = browser.begins(at, world, "offline").await;
    let back = browser.decides(&asked, "approve").await;
    assert!(back.as_str().contains(CANARY), "a code has the canary");
    let forged = back.as_str().replace("hmac=", "hmac=0");
    let mut shown = Vec::new();
    for url in [forged.as_str(), back.as_str(), back.as_str()] {
        shown.push(browser.opens(at, url).await);
    }
    let statuses: Vec<u16> = shown.iter().map(|shown| shown.status).collect();
    assert_eq!(statuses, [400, 303, 410]);
    shown.push(browser.opens(at, shown[1].location().as_str()).await);
    assert_eq!(shown[3].title(), "Approved");
    for shown in shown {
        seen.note("page", &format!("{:?}\n{}", shown.headers, shown.text));
    }
    world.until("offline", "replaced", |t| t.status.as_ref().unwrap().revision >= Some(2)).await;
}

/// What people do wrong, with secrets in it.
async fn mistakes(world: &World) {
    let data = |key: &str, text: &str| json!({"template": {"data": {key: text}}});
    let templates = [
        ("no-filter", data("A", "{{ access_token | canary }}")),
        ("not-a-number", data("A", "{{ access_token | int }}")),
        ("no-such-field", data("A", "{{ access_token.a.b }}")),
        ("include", data("A", "{% include access_token %}")),
    ];
    for (name, secret) in templates {
        world.token(name, json!({"source": grant(), "secret": secret})).await;
        world.because(name, "Stalled", "InvalidTemplate").await;
    }
    world.secret_of("newline", &[("token", "canaryc0ffee\n")]).await;
    world.token("newline", json!({"source": custom("newline"), "secret": {"name": "newline-out"}})).await;
    world.because("newline", "Stalled", "InvalidCredential").await;
    let client = [("client_id", "shp_1"), ("client_secret", "canaryc0ffee\n")];
    world.secret_of("bad-client", &client).await;
    let source = json!({"customerAccount": {"credentialsRef": {"name": "bad-client"}, "clientType": "Confidential"}});
    world.token("bad-customers", json!({"source": source})).await;
    world.because("bad-customers", "Stalled", "InvalidCredential").await;
    let public = json!({"spec": {"source": {"customerAccount": {"clientType": "Public"}}}});
    world.change("bad-customers", public).await;
    world.because("bad-customers", "Stalled", "InvalidCredential").await;
    world.secret_of("dead", &[("token", "shpat_canaryc0ffee")]).await;
    world.token("dead", json!({"source": custom("dead"), "secret": {"name": "dead-out"}})).await;
    world.because("dead", "Stalled", "TokenRejected").await;

    world.secret_of("wrong-app", &[("client_id", CLIENT_ID), ("client_secret", "shpss_canaryc0ffee-wrong")]).await;
    let app =
        json!({"kind": "ShopifyApp", "metadata": {"name": "wrong"}, "spec": {"credentialsRef": {"name": "wrong-app"}}});
    world.apply(app).await;
    world.token("wrong", json!({"source": {"clientCredentials": {"appRef": {"name": "wrong"}}}})).await;
    world.because("wrong", "Stalled", "CredentialsRejected").await;

    // Somebody's Secret: in the way, merged into, frozen.
    for name in ["theirs", "merged"] {
        world.secret_of(name, &[("password", CANARY)]).await;
    }
    world.token("theirs", json!({"source": grant()})).await;
    world.because("theirs", "Stalled", "SecretConflict").await;
    world.token("merged", json!({"source": grant(), "secret": {"creationPolicy": "Merge"}})).await;
    world.ready("merged").await;
    world.token("frozen", json!({"source": grant()})).await;
    world.ready("frozen").await;
    let freeze = Patch::Merge(json!({"immutable": true}));
    world.api::<Secret>().patch("frozen", &PatchParams::default(), &freeze).await.unwrap();
    world.because("frozen", "Stalled", "SecretConflict").await;
}

/// Every fault, each on a shop of its own: at a create alone, then at every call.
async fn failures(world: &World, operator: &Operator, seen: &mut Seen) {
    let faults: Vec<_> = faults().into_iter().enumerate().map(|(n, it)| (format!("f-{n}.myshopify.com"), it)).collect();
    let mut names = Vec::new();
    for (n, (shop, _)) in faults.iter().enumerate() {
        world.sim.add_shop(ShopConfig::new(shop));
        world.sim.install(shop, CLIENT_ID, SCOPES.iter().copied()).unwrap();
        let (admin, web, custom_, source) = (format!("a-{n}"), format!("s-{n}"), format!("c-{n}"), format!("p-{n}"));
        world.secret_of(&source, &[("token", &world.sim.create_admin_token(shop, CLIENT_ID).unwrap())]).await;
        world.token(&admin, json!({"shop": shop, "source": grant()})).await;
        let storefront = json!({"storefront": {"adminTokenRef": {"name": admin}}});
        world.token(&web, json!({"shop": shop, "source": storefront})).await;
        world.token(&custom_, json!({"shop": shop, "source": custom(&source)})).await;
        let (delegate_, offline_) = (format!("d-{n}"), format!("o-{n}"));
        world.token(&delegate_, json!({"shop": shop, "source": delegate(&admin)})).await;
        offline(world, &offline_, shop).await;
        let customers_ = format!("h-{n}");
        customers(world, &customers_, shop).await;
        names.extend([admin, web, custom_, delegate_, offline_, customers_]);
    }
    for name in &names {
        world.ready(name).await;
    }
    for operation in ["admin.storefrontAccessTokenCreate", "*"] {
        let begun = world.sim.call_log().len();
        for (shop, fault) in &faults {
            world.sim.inject(Fault::new(operation, fault.clone()).shop(shop));
        }
        for name in &names {
            request(world, name, operation).await;
        }
        for (shop, _) in &faults {
            let struck = async || world.sim.call_log()[begun..].iter().any(|c| c.shop == *shop && c.fault.is_some());
            world.eventually(&format!("a call to {shop} goes wrong"), struck).await;
        }
        world.a_while().await;
        seen.look(world, operator).await;
        world.sim.clear_faults();
    }
}

async fn rotate(world: &World, name: &str, value: &str) {
    world.change(name, json!({"metadata": {"annotations": {"tokens.shopify-operator.dev/rotate-at": value}}})).await;
    let handled = |t: &ShopifyToken| t.status.as_ref().unwrap().last_handled_rotate_at.as_deref() == Some(value);
    world.until(name, "rotated", handled).await;
}

/// Asks for a rotation and a look at once, whatever comes of it.
async fn request(world: &World, name: &str, value: &str) {
    let annotations = json!({"tokens.shopify-operator.dev/rotate-at": value, "reconcile.fluxcd.io/requestedAt": value});
    world.change(name, json!({"metadata": {"annotations": annotations}})).await;
}
