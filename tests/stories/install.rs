//! Install pages: what a merchant approves in a browser becomes a token, once, whatever happens on the way.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use shopify_sim::{Fault, FaultKind};
use shopify_token_operator::{
    core::{
        approvals::{self, Approvals, Code, Outcome},
        identity::Identity,
        pair::{self, RecordState},
    },
    shopify::{Approval, Callback},
};

use crate::{
    browser::{APART, Browser, Pages},
    world::{CLIENT_ID, CLIENT_SECRET, PUBLIC_URL, SHOP, World, condition, message, revision},
};

const EXCHANGE: &str = "oauth.code";

fn offline(more: Value) -> Value {
    crate::specs::with(json!({"source": {"offline": {"appRef": {"name": "acme"}}}}), more)
}

impl World {
    /// A world with an app, and an offline token `web` that nobody has approved.
    async fn unapproved(name: &str) -> Self {
        let world = Self::with_app(name).await;
        world.token("web", offline(json!({}))).await;
        world.because("web", "Stalled", "ConsentRequired").await;
        world
    }

    /// A merchant's browser approves the app at Shopify: what it comes back with.
    async fn approved_at_shopify(&self, state: &str) -> Callback {
        let redirect_uri = format!("{PUBLIC_URL}/oauth/callback");
        let approval = Approval { client_id: CLIENT_ID, scopes: &[], redirect_uri: &redirect_uri, state };
        let asked = approval.url(&SHOP.parse().unwrap());
        let back = Browser::new(self).decides(&asked, "approve").await;
        Callback::parse(back.query().unwrap()).unwrap()
    }

    /// Puts a code into the record Secret of `web`, as any replica may.
    async fn store(&self, state: &str) {
        let value = self.approved_at_shopify(state).await.code().unwrap();
        self.store_code(&Code { value, state: state.to_owned() }).await;
    }

    async fn store_code(&self, code: &Code) {
        let token = self.tokens().get("web").await.unwrap();
        let me = Identity::of(&token).unwrap();
        let live = self.api::<Secret>().get_opt("web-record").await.unwrap();
        let exists = live.is_some();
        let recorded = match pair::classify(&token, &me, CLIENT_ID, live) {
            RecordState::Absent => None,
            RecordState::Ours(recorded) => Some(recorded),
            RecordState::Refused(failure) => panic!("{failure:?}"),
        };
        let now = self.clock.now();
        let secret = pair::noted(&token, &me, CLIENT_ID, recorded.as_deref(), |secret| {
            approvals::approve(secret, code, now, now);
        });
        let new = PostParams::default();
        if exists {
            self.api::<Secret>().replace("web-record", &new, &secret).await.unwrap();
        } else {
            self.api::<Secret>().create(&new, &secret).await.unwrap();
        }
    }

    async fn record(&self) -> std::collections::BTreeMap<String, String> {
        self.secret("web-record").await.unwrap().data
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_stored_is_exchanged_as_any_other_step() {
    let mut world = World::unapproved("install-step").await;
    assert_eq!(world.sim.total_calls(), 0, "nothing is asked before it is approved");
    world.stop().await;
    world.store("first").await;
    // Whoever leads next finds it.
    world.start().await;
    world.ready("web").await;
    assert!(!world.record().await.contains_key("authorization_code"));
    assert!(world.record().await.contains_key("refresh_token"));
    assert_eq!(world.sim.calls(EXCHANGE), 1);
    world.told("web", &["IssueFailed", "Issued"]).await;
    let secret = world.secret("web").await.unwrap();
    assert!(world.sim.is_valid_admin(SHOP, secret.access_token()));
    assert!(!secret.data.keys().any(|key| key.contains("refresh") || key.contains("authorization")));

    // Over a pair that lives it is a new beginning.
    let before = world.record().await["refresh_token"].clone();
    world.store("second").await;
    world.until("web", "replaced", |t| revision(t) == 2).await;
    world.ready("web").await;
    assert_ne!(world.record().await["refresh_token"], before);
    world.told("web", &["IssueFailed", "Issued", "Rotated"]).await;
    world.pass(chrono::TimeDelta::minutes(41));
    world.until("web", "refreshed", |t| revision(t) == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_brings_nothing_is_forgotten_and_said() {
    let world = World::unapproved("install-dead").await;
    let value = SecretString::from("canaryc0ffee0123456789");
    world.store_code(&Code { value, state: "unknown".into() }).await;
    world
        .until("web", "told why", |t| {
            condition(t, "Stalled").is_some() && message(t, "Stalled").contains("brought nothing")
        })
        .await;
    world.because("web", "Stalled", "ConsentRequired").await;
    assert!(!world.record().await.contains_key("authorization_code"));
    world.a_while().await;
    assert_eq!(world.sim.calls(EXCHANGE), 1, "it isn't asked again");

    // An answer that was lost can't be had again, and what comes next counts.
    world.sim.inject(Fault::new(EXCHANGE, FaultKind::CommitThenDrop).times(1));
    world.store("lost").await;
    world
        .eventually("its code is forgotten", async || {
            let record = world.secret("web-record").await.unwrap();
            let approvals = Approvals::parse(&record.annotations);
            matches!(approvals.outcome("lost"), Some(Outcome::Refused(why)) if why.contains("can't be had again"))
        })
        .await;
    world.store("again").await;
    world.ready("web").await;
}

/// A record Secret that is there and holds nothing of an approval.
async fn untouched(world: &World) -> bool {
    world.secret("web-record").await.is_none_or(|secret| !secret.data.contains_key("authorization_code"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_approves_and_the_token_is_there() {
    let world = World::with_app("install-approve").await;
    let pages = Pages::start(world.setup().await).await;
    world.token("web", offline(json!({"requiredScopes": ["read_products", "write_orders"]}))).await;
    let token = world.because("web", "Stalled", "ConsentRequired").await;
    let url = token.status.as_ref().unwrap().install_url.clone().unwrap();
    assert_eq!(*url, *format!("{PUBLIC_URL}/oauth/install/{}/web", world.namespace));
    assert!(message(&token, "Stalled").contains(&*url));

    let mut browser = Browser::new(&world);
    let shown = browser.opens(pages.address, &url).await;
    let (asked, set) = (shown.location(), shown.header("set-cookie").to_owned());
    assert!(set.starts_with("__Host-shopify-install=") && set.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{set}");
    assert_eq!(asked.host_str(), Some(SHOP));
    let asked_for: std::collections::BTreeMap<_, _> = asked.query_pairs().collect();
    assert_eq!((&*asked_for["client_id"], &*asked_for["scope"]), (CLIENT_ID, "read_products,write_orders"));
    assert_eq!(asked_for["redirect_uri"], format!("{PUBLIC_URL}/oauth/callback"));
    assert!(world.secret("web-record").await.is_none(), "beginning writes nothing");

    let back = browser.decides(&asked, "approve").await;
    let shown = browser.opens(pages.address, back.as_str()).await;
    assert_eq!(shown.status, 303);
    let code = Callback::parse(back.query().unwrap()).unwrap().code().unwrap();
    let seen = shown.location();
    assert!(!seen.as_str().contains(code.expose_secret()) && !seen.as_str().contains("hmac"), "{seen}");
    let shown = browser.opens(pages.address, seen.as_str()).await;
    assert_eq!((shown.status, shown.title()), (200, "Approved"));
    for said in ["read_products, write_orders", "<dd>web</dd>", SHOP] {
        assert!(shown.text.contains(said), "{said}: {}", shown.text);
    }
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("content-type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(shown.header(name), value);
    }
    assert!(shown.header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
    let token = world.ready("web").await;
    assert_eq!(token.status.unwrap().install_url, None);
    let secret = world.secret("web").await.unwrap();
    assert!(world.sim.is_valid_admin(SHOP, secret.access_token()));
    assert!(secret.data.keys().all(|key| !key.contains("code") && !key.contains("refresh")));
    world.told("web", &["IssueFailed", "Issued"]).await;

    // Over a pair that lives it is a new beginning.
    let before = world.record().await["refresh_token"].clone();
    let shown = browser.goes_through(pages.address, &world, "approve").await;
    assert_eq!((shown.status, shown.title()), (200, "Approved"));
    world.until("web", "replaced", |t| revision(t) == 2).await;
    assert_ne!(world.record().await["refresh_token"], before);
    world.told("web", &["IssueFailed", "Issued", "Rotated"]).await;
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_declines() {
    let world = World::unapproved("install-decline").await;
    let pages = Pages::start(world.setup().await).await;
    let mut browser = Browser::new(&world);
    let asked = browser.begins(pages.address, &world, "web").await;
    let back = browser.decides(&asked, "deny").await;
    let seen = browser.opens(pages.address, back.as_str()).await.location();
    let shown = browser.opens(pages.address, seen.as_str()).await;
    assert_eq!((shown.status, shown.title()), (200, "Not approved"));
    let said = |t: &_| condition(t, "Stalled").is_some() && message(t, "Stalled").contains("was declined");
    world.nudge("web").await;
    world.until("web", "told", said).await;
    // It used the state up, for an approval as well.
    assert_eq!(browser.opens(pages.address, back.as_str()).await.status, 410);
    let approved = browser.decides(&asked, "approve").await;
    assert_eq!(browser.opens(pages.address, approved.as_str()).await.title(), "This link was used already");
    assert_eq!(world.sim.calls(EXCHANGE), 0);
    // What nobody signed declines as well, in this browser alone.
    let asked = browser.begins(pages.address, &world, "web").await;
    let state = asked.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let unsigned = format!("/oauth/callback?error=access_denied&state={state}");
    assert_eq!(Browser::new(&world).opens(pages.address, &unsigned).await.status, 403);
    world.pass(APART);
    assert_eq!(browser.opens(pages.address, &unsigned).await.status, 303);
    let shown = browser.goes_through(pages.address, &world, "approve").await;
    assert_eq!(shown.title(), "Approved");
    world.delete("web").await;
    world.gone("web").await;
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_changes_nothing_and_learns_nothing() {
    let world = World::unapproved("install-forged").await;
    let pages = Pages::start(world.setup().await).await;
    let mut browser = Browser::new(&world);
    let asked = browser.begins(pages.address, &world, "web").await;
    let back = browser.decides(&asked, "approve").await;
    let changed = |name: &str, value: &str| {
        let mut url = back.clone();
        let pairs: Vec<(String, String)> = back.query_pairs().map(|(k, v)| (k.into(), v.into())).collect();
        url.query_pairs_mut().clear();
        for (key, old) in &pairs {
            url.query_pairs_mut().append_pair(key, if key == name { value } else { old });
        }
        url.to_string()
    };
    let mut stranger = Browser::new(&world);
    stranger.begins(pages.address, &world, "web").await;
    let state = |url: &Url| url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let theirs = state(&stranger.begins(pages.address, &world, "web").await);
    for (about, url, status) in [
        ("a forged signature", changed("hmac", &"0".repeat(64)), 400),
        ("another code", changed("code", "0123456789abcdef"), 400),
        ("another shop", changed("shop", "other.myshopify.com"), 400),
        ("another time", changed("timestamp", "1"), 400),
        ("a repeated parameter", format!("{back}&shop={SHOP}"), 400),
        ("a state of nobody", changed("state", "0.6784241404160823"), 400),
        ("a stranger's state", changed("state", &theirs), 403),
        ("nothing", "/oauth/callback".to_owned(), 400),
        ("endless", format!("{back}&x={}", "x".repeat(5000)), 400),
    ] {
        let shown = browser.opens(pages.address, &url).await;
        assert_eq!(shown.status, status, "{about}: {}", shown.title());
        assert!(!shown.text.contains("hmac") && !shown.text.contains(SHOP), "{about}");
        assert!(untouched(&world).await, "{about}");
    }
    for (about, other) in [("a stranger", &mut stranger), ("nobody", &mut Browser::new(&world))] {
        let shown = other.opens(pages.address, back.as_str()).await;
        assert_eq!((shown.status, untouched(&world).await), (403, true), "{about}");
        let seen = format!("/oauth/result?state={}", state(&asked));
        assert_eq!(other.opens(pages.address, &seen).await.status, 404, "{about} sees no outcome");
    }
    // Late: it was signed more than 90 seconds ago, then it was begun more than ten minutes ago.
    world.pass(chrono::TimeDelta::seconds(91));
    assert_eq!(browser.opens(pages.address, back.as_str()).await.status, 400);
    world.pass(chrono::TimeDelta::minutes(10));
    let shown = browser.opens(pages.address, back.as_str()).await;
    assert_eq!((shown.status, shown.title()), (410, "This link has expired"));
    world.a_while().await;
    assert_eq!(world.sim.calls(EXCHANGE), 0);
    assert!(world.secret("web-record").await.is_none());
    assert_eq!(browser.goes_through(pages.address, &world, "approve").await.title(), "Approved");
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_counts_once_wherever_and_whenever() {
    let mut world = World::unapproved("install-replay").await;
    let (one, other) = (Pages::start(world.setup().await).await, Pages::start(world.setup().await).await);
    world.stop().await;
    let mut browser = Browser::new(&world);
    let asked = browser.begins(one.address, &world, "web").await;
    let (first, second) = (browser.decides(&asked, "approve").await, browser.decides(&asked, "approve").await);
    // Both replicas at once: one of them takes it.
    let (mut here, mut there) = (Browser::new(&world), Browser::new(&world));
    (here.cookies, there.cookies) = (browser.cookies.clone(), browser.cookies.clone());
    let (a, b) = tokio::join!(here.opens(one.address, first.as_str()), there.opens(other.address, second.as_str()));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 410]);
    one.stop().await;
    other.stop().await;
    let later = Pages::start(world.setup().await).await;
    for url in [&first, &second] {
        assert_eq!(browser.opens(later.address, url.as_str()).await.title(), "This link was used already");
    }
    // Nobody leads: it is kept, and the page says so after a while.
    let seen = browser.opens(later.address, first.as_str()).await;
    let link = seen.text.split("href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#x2f;", "/");
    let shown = browser.opens(later.address, &link).await;
    assert_eq!((shown.status, shown.title()), (202, "Still working"));
    assert_eq!((world.sim.calls(EXCHANGE), shown.header("retry-after")), (0, "10"));
    // The next leader exchanges it, and the page that waits says so.
    let (shown, ()) = tokio::join!(browser.opens(later.address, &link), world.start());
    assert_eq!((shown.status, shown.title()), (200, "Approved"));
    assert_eq!(browser.opens(later.address, first.as_str()).await.status, 410, "after the exchange as well");
    world.a_while().await;
    assert_eq!(world.sim.calls(EXCHANGE), 1);
    later.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_approved_looks_like_what_is_not_there() {
    let world = World::unapproved("install-absent").await;
    let pages = Pages::start(world.setup().await).await;
    let mut browser = Browser::new(&world);
    let asked = browser.begins(pages.address, &world, "web").await;
    let back = browser.decides(&asked, "approve").await;
    world.admin_token("admin").await;
    // Of two that are made in the same second the UID decides.
    world.a_while().await;
    world.token("twin", offline(json!({}))).await;
    world.because("twin", "Stalled", "SecretConflict").await;
    world.token("lost", json!({"source": {"offline": {"appRef": {"name": "absent"}}}})).await;
    world.change("web", json!({"spec": {"suspend": true}})).await;
    let absent = browser.opens(pages.address, &format!("/oauth/install/{}/absent", world.namespace)).await;
    assert_eq!(absent.status, 404);
    let places =
        ["admin", "twin", "lost", "web", "UPPER", "a%2fb", "..", "%ff"].map(|n| format!("{}/{n}", world.namespace));
    let others = ["kube-system/web".to_owned(), "absent/web".to_owned()];
    for place in places.iter().chain(&others) {
        let shown = browser.opens(pages.address, &format!("/oauth/install/{place}")).await;
        assert_eq!((shown.status, &shown.text), (404, &absent.text), "{place}");
        assert!(!shown.headers.contains_key("set-cookie"), "{place}");
    }
    for path in ["/", "/oauth", "/oauth/install", "/favicon.ico", "/oauth/result", "/metrics"] {
        assert_eq!(browser.opens(pages.address, path).await.text, absent.text, "{path}");
    }
    // What was suspended meanwhile, or is another object of that name, was approved by nobody.
    assert_eq!(browser.opens(pages.address, back.as_str()).await.text, absent.text);
    world.delete("web").await;
    world.gone("web").await;
    world.token("web", offline(json!({}))).await;
    assert_eq!(browser.opens(pages.address, back.as_str()).await.text, absent.text);
    assert!(untouched(&world).await);
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_approve_what_nobody_has_looked_at() {
    let mut world = World::unapproved("install-second").await;
    let pages = Pages::start(world.setup().await).await;
    let mut browser = Browser::new(&world);
    assert_eq!(browser.goes_through(pages.address, &world, "approve").await.title(), "Approved");
    world.ready("web").await;
    world.stop().await;
    // A second one of this app and shop, in the moment after its creation.
    world.a_while().await;
    world.token("second", offline(json!({}))).await;
    let second = format!("/oauth/install/{}/second", world.namespace);
    assert_eq!(browser.opens(pages.address, &second).await.status, 404);
    world.start().await;
    world.because("second", "Stalled", "SecretConflict").await;
    assert_eq!(browser.opens(pages.address, &second).await.status, 404);
    assert!(world.secret("second-record").await.is_none());
    // With the first one gone it is its turn, and then it can be approved.
    world.delete("web").await;
    world.gone("web").await;
    world.because("second", "Stalled", "ConsentRequired").await;
    assert_eq!(browser.opens(pages.address, &second).await.status, 303);
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pages_told_is_counted() {
    let world = World::unapproved("install-counted").await;
    let pages = Pages::start(world.setup().await).await;
    let mut browser = Browser::new(&world);
    let asked = browser.begins(pages.address, &world, "web").await;
    let back = browser.decides(&asked, "approve").await;
    Browser::new(&world).opens(pages.address, back.as_str()).await;
    browser.opens(pages.address, &format!("{back}&shop={SHOP}")).await;
    let shown = browser.opens(pages.address, back.as_str()).await;
    browser.opens(pages.address, shown.location().as_str()).await;
    browser.opens(pages.address, back.as_str()).await;
    browser.opens(pages.address, "/favicon.ico").await;
    for (page, outcome) in [
        ("install", "sent"),
        ("callback", "other_browser"),
        ("refused", "other_browser"),
        ("callback", "unacceptable"),
        ("callback", "noted"),
        ("result", "done"),
        ("callback", "used"),
        ("other", "nothing_here"),
    ] {
        world.counts(&format!("install_pages_total{{page=\"{page}\",outcome=\"{outcome}\"}}"), 1).await;
    }
    let text = world.metrics.encode().unwrap();
    assert!(!text.contains(SHOP) || !text.lines().any(|l| l.starts_with("install_pages") && l.contains(SHOP)));
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_was_lost_is_said_and_begun_again() {
    let world = World::unapproved("install-lost").await;
    let pages = Pages::start(world.setup().await).await;
    world.sim.inject(Fault::new(EXCHANGE, FaultKind::CommitThenDrop).times(1));
    let mut browser = Browser::new(&world);
    let shown = browser.goes_through(pages.address, &world, "approve").await;
    assert_eq!((shown.status, shown.title()), (200, "Shopify did not accept it"));
    world.because("web", "Stalled", "ConsentRequired").await;
    assert_eq!(browser.goes_through(pages.address, &world, "approve").await.title(), "Approved");
    world.ready("web").await;
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_changes_on_the_way_does_no_harm() {
    let world = World::unapproved("install-secret").await;
    let pages = Pages::start(world.setup().await).await;
    let mut browser = Browser::new(&world);
    let asked = browser.begins(pages.address, &world, "web").await;
    let new = "shpss_canaryc0ffee9999999999999999999999";
    world.sim.add_secret(CLIENT_ID, new).unwrap();
    let data = [("client_id", CLIENT_ID), ("client_secret", new), ("previous_client_secret", CLIENT_SECRET)];
    world.secret_of("acme-app", &data).await;
    let back = browser.decides(&asked, "approve").await;
    let shown = browser.opens(pages.address, back.as_str()).await;
    assert_eq!(shown.status, 303, "{}", shown.title());
    assert_eq!(browser.opens(pages.address, shown.location().as_str()).await.title(), "Approved");
    // Without the one before, what was signed with it is nobody's.
    let asked = browser.begins(pages.address, &world, "web").await;
    let patch = Patch::Merge(json!({"data": {"previous_client_secret": null}}));
    world.api::<Secret>().patch("acme-app", &PatchParams::default(), &patch).await.unwrap();
    let back = browser.decides(&asked, "approve").await;
    assert_eq!(browser.opens(pages.address, back.as_str()).await.status, 400, "Shopify signs with the oldest");
    pages.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_no_flood_on_the_api_server() {
    let mut world = World::unapproved("install-flood").await;
    world.stop().await;
    let pages = Pages::start(world.setup().await).await;
    let reads = || {
        let page = world.metrics.encode().unwrap();
        let counted = page.lines().filter(|line| line.starts_with("kubernetes_requests_total"));
        counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let (before, start) = (reads(), tokio::time::Instant::now());
    let url = format!("/oauth/install/{}/web", world.namespace);
    let flood = (0..20).map(async |_| {
        let mut browser = Browser::new(&world);
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(browser.opens(pages.address, &url).await.status);
            // Without a cookie that fits, a callback costs no read at all.
            assert_eq!(browser.opens(pages.address, "/oauth/callback?state=e30.AA&code=1").await.status, 400);
        }
        answers
    });
    let answers = futures::future::join_all(flood).await.concat();
    let (served, spent) = (answers.iter().filter(|status| **status == 303).count(), start.elapsed().as_secs());
    assert!(answers.iter().all(|status| matches!(status, 303 | 429)), "{answers:?}");
    assert!(served >= 1 && served <= 21 + 10 * usize::try_from(spent).unwrap() + 10, "{served} in {spent} s");
    let asked = reads() - before;
    assert!(asked <= 6 * (31 + 10 * spent), "{asked} reads for {} requests in {spent} s", answers.len());
    pages.stop().await;
}
