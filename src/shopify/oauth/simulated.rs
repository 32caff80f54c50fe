//! For tests: the grants against the simulated Shopify, over https.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use shopify_sim::{
    AppConfig, Config, Distribution, Fault, FaultKind, MigrateDead, OauthErrorFormat, RefreshDead, RefreshReplay,
    ShopConfig, Sim, StatusFault, WrongSecret,
};

use crate::{
    api::app::AdminApi,
    core::vocabulary::Reason,
    shopify::{AdminAccess, ApiError, Client, ConnectTo, Grant, GrantError, Observer, Options, stub::shop},
    time::Timestamp,
};

const SHOP: &str = "acme.myshopify.com";
const SECRET: &str = "shpss_secret";

/// An app of a shop that asks for its tokens.
struct App {
    sim: Sim,
    client: Client,
    secret: SecretString,
}

impl App {
    async fn start() -> Self {
        let app = AppConfig::new("app", SECRET).installed(SHOP, ["read_orders"]);
        let config = Config::default().shop(ShopConfig::new(SHOP)).app(app);
        let sim = Sim::start(config).await.unwrap();
        let options = Options {
            connect_to: Some(ConnectTo::Address(sim.address())),
            ca_pem: Some(sim.ca_pem().as_bytes().to_vec()),
            ..Options::default()
        };
        let client = Client::new(options, Arc::new(Observer::default())).unwrap();
        Self { sim, client, secret: SecretString::from(SECRET) }
    }

    fn now(&self) -> Timestamp {
        self.sim.now()
    }

    async fn exchange(&self, code: &str, expiring: bool) -> Result<Grant, GrantError> {
        let code = SecretString::from(code);
        self.client.exchange_code(&shop(), "app", &self.secret, &code, expiring, self.now()).await
    }

    async fn refresh(&self, token: &str) -> Result<Grant, GrantError> {
        let token = SecretString::from(token);
        self.client.refresh(&shop(), "app", &self.secret, &token, self.now()).await
    }

    async fn migrate(&self, token: &str) -> Result<Grant, GrantError> {
        let token = SecretString::from(token);
        self.client.migrate(&shop(), "app", &self.secret, &token, self.now()).await
    }

    fn pair(&self) -> String {
        self.sim.create_offline_pair(SHOP, "app").unwrap().refresh_token
    }

    fn strike(&self, operation: &str, kind: FaultKind) {
        self.sim.inject(Fault::new(operation, kind).times(1));
    }
}

fn value(grant: &Grant) -> &str {
    grant.credential.value.expose_secret()
}

fn refresh_token(grant: &Grant) -> String {
    grant.refresh.as_ref().unwrap().value.expose_secret().to_owned()
}

/// Whether it is dead for sure, and the reason.
fn verdict(outcome: Result<Grant, GrantError>) -> (bool, Reason) {
    match outcome.unwrap_err() {
        GrantError::Dead(failure) => (true, failure.reason),
        GrantError::Failed(failure) => (false, failure.reason),
    }
}

#[tokio::test]
async fn a_code_brings_a_pair_and_the_pair_the_next() {
    let app = App::start().await;
    let code = app.sim.create_authorization_code(SHOP, "app").unwrap();
    let first = app.exchange(&code, true).await.unwrap();
    assert_eq!((first.credential.expires_at.unwrap() - first.credential.issued_at).num_seconds(), 3600);
    assert_eq!(first.credential.scopes, ["read_orders"]);
    assert_eq!(verdict(app.exchange(&code, true).await), (true, Reason::ConsentRequired));
    let second = app.refresh(&refresh_token(&first)).await.unwrap();
    assert!(app.sim.is_valid_admin(SHOP, value(&first)) && app.sim.is_valid_admin(SHOP, value(&second)));
    app.refresh(&refresh_token(&second)).await.unwrap();
    assert_eq!(verdict(app.refresh(&refresh_token(&first)).await), (true, Reason::RefreshTokenDead));
    assert_eq!(app.sim.calls_of("app", "oauth.refresh"), 3);
}

#[tokio::test]
async fn a_lone_token_never_expires() {
    let app = App::start().await;
    let code = app.sim.create_authorization_code(SHOP, "app").unwrap();
    let lone = app.exchange(&code, false).await.unwrap();
    assert!(lone.credential.expires_at.is_none() && lone.refresh.is_none() && lone.credential.warning.is_none());
}

#[tokio::test]
async fn a_lost_refresh_is_had_again_with_the_same_token() {
    for replay in [RefreshReplay::SamePair, RefreshReplay::SameAnswer, RefreshReplay::NewPair] {
        let app = App::start().await;
        app.sim.switch(|switches| switches.refresh_replay = replay);
        let first = app.pair();
        for kind in [
            FaultKind::CommitThenDrop,
            FaultKind::StatusAfterCommit(StatusFault::new(520)),
            FaultKind::StatusAfterCommit(StatusFault::new(520)),
            FaultKind::Truncated,
            FaultKind::Garbage,
            FaultKind::Status(StatusFault { retry_after: Some(1), ..StatusFault::new(429) }),
        ] {
            app.strike("oauth.refresh", kind);
            assert_eq!(verdict(app.refresh(&first).await), (false, Reason::BackingOff), "{replay:?}");
        }
        let second = app.refresh(&first).await.unwrap();
        assert!(app.sim.is_valid_admin(SHOP, value(&second)), "{replay:?}");
        app.refresh(&refresh_token(&second)).await.unwrap();
    }
}

#[tokio::test]
async fn a_refresh_without_a_refresh_token_leaves_the_one_there_is() {
    let app = App::start().await;
    let first = app.pair();
    app.strike("oauth.refresh", FaultKind::without("/refresh_token"));
    assert!(app.refresh(&first).await.unwrap().refresh.is_none());
    assert!(app.refresh(&first).await.unwrap().refresh.is_some());
}

#[tokio::test]
async fn dead_and_wrong_secret_are_told_apart_in_every_form() {
    for format in [OauthErrorFormat::ByAccept, OauthErrorFormat::Json, OauthErrorFormat::Html] {
        for wrong in [WrongSecret::InvalidRequest, WrongSecret::InvalidClient400, WrongSecret::InvalidClient401] {
            for dead in [RefreshDead::InvalidRequest401, RefreshDead::InvalidGrant400] {
                let mut app = App::start().await;
                app.sim.switch(|switches| {
                    switches.oauth_error_format = format;
                    switches.cc_wrong_secret = wrong;
                    switches.refresh_dead = dead;
                });
                let pair = app.pair();
                let code = app.sim.create_authorization_code(SHOP, "app").unwrap();
                let lone = app.sim.create_offline_token(SHOP, "app").unwrap();
                let all = async |app: &App| {
                    let outcomes =
                        [app.refresh(&pair).await, app.exchange(&code, true).await, app.migrate(&lone).await];
                    outcomes.map(|outcome| outcome.err().map(|error| verdict(Err(error))))
                };
                app.secret = SecretString::from("wrong");
                assert_eq!(all(&app).await, [Some((false, Reason::CredentialsRejected)); 3], "{format:?} {wrong:?}");
                app.secret = SecretString::from(SECRET);
                app.sim.retire_refresh_token(&pair).unwrap();
                assert_eq!(
                    all(&app).await,
                    [Some((true, Reason::RefreshTokenDead)), None, None],
                    "{format:?} {dead:?}"
                );
                assert_eq!(verdict(app.exchange(&code, true).await), (true, Reason::ConsentRequired), "{format:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_lost_migration_is_had_again_with_the_same_token() {
    let app = App::start().await;
    let lone = app.sim.create_offline_token(SHOP, "app").unwrap();
    app.strike("oauth.migrate", FaultKind::CommitThenDrop);
    assert_eq!(verdict(app.migrate(&lone).await), (false, Reason::BackingOff));
    assert!(!app.sim.is_valid_admin(SHOP, &lone));
    app.sim.clock().advance(Duration::from_hours(24));
    let pair = app.migrate(&lone).await.unwrap();
    assert!(app.sim.is_valid_admin(SHOP, value(&pair)));
    app.refresh(&refresh_token(&pair)).await.unwrap();

    assert_eq!(verdict(app.migrate(&lone).await), (false, Reason::CredentialsRejected), "it may mean anything");
    app.sim.switch(|switches| switches.migrate_dead = MigrateDead::InvalidSubjectToken);
    assert_eq!(verdict(app.migrate(&lone).await), (true, Reason::TokenRejected));
}

#[tokio::test]
async fn an_uninstalled_app_has_nothing_left() {
    let app = App::start().await;
    let pair = app.pair();
    let code = app.sim.create_authorization_code(SHOP, "app").unwrap();
    app.sim.uninstall(SHOP, "app").unwrap();
    assert_eq!(verdict(app.refresh(&pair).await), (true, Reason::RefreshTokenDead));
    assert_eq!(verdict(app.exchange(&code, true).await), (true, Reason::ConsentRequired));
}

#[tokio::test]
async fn a_non_expiring_token_that_is_no_longer_accepted_must_be_migrated() {
    let app = App::start().await;
    let lone = app.sim.create_offline_token(SHOP, "app").unwrap();
    app.sim.set_distribution("app", Distribution::Public).unwrap();
    let access = |token: &str, api| AdminAccess {
        shop: shop(),
        token: SecretString::from(token),
        api,
        version: "2026-10".to_owned(),
    };
    for api in [AdminApi::GraphQL, AdminApi::REST] {
        let error = app.client.list_storefront_tokens(&access(&lone, api)).await.unwrap_err();
        assert!(matches!(&error, ApiError::Forbidden(f) if f.reason == Reason::MigrationRequired), "{error:?}");
        let error = app.client.installation_scopes(&access(&lone, api)).await.unwrap_err();
        assert!(matches!(&error, ApiError::Forbidden(f) if f.reason == Reason::MigrationRequired), "{error:?}");
    }
    let pair = app.migrate(&lone).await.unwrap();
    app.client.installation_scopes(&access(value(&pair), AdminApi::GraphQL)).await.unwrap();
}
