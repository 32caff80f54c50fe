//! What a source is: one row of traits for each, what it is issued with, and which fields of the spec decide that.

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};

use super::{
    customer::CustomerClient,
    digest::digest,
    identity::Identity,
    minted::{self, Rotation},
    pair::{Pair, Recorded},
    record,
};
use crate::{
    api::{AdminApi, ShopifyToken, SourceKind, SourceRef, source::AppRef},
    time::Timestamp,
};

/// What the credentials of a source are like. Whatever the frame does differently for a source is read here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "a row of a table: each is independent of the others")]
pub struct Nature {
    /// It expires, and is renewed by the clock.
    pub expires: bool,
    /// The one it replaces goes on living for an overlap, and its value stays in the Secret.
    pub overlaps: bool,
    /// The operator can issue another one.
    pub replaceable: bool,
    /// It lives on at Shopify when nothing refers to it any more.
    pub outlives: bool,
    /// The operator can revoke it at Shopify.
    pub revocable: bool,
    /// Shopify can be asked whether it works.
    pub checkable: bool,
    /// It is revoked by its value, which is kept until then: Shopify lists none, and gives none an id.
    pub by_value: bool,
    /// It is an Admin API token: `adminTokenRef` may name its ShopifyToken.
    pub is_admin: bool,
}

/// The table.
#[must_use]
#[rustfmt::skip]
pub const fn nature(kind: SourceKind) -> Nature {
    match kind {
        SourceKind::ClientCredentials => Nature { expires: true, overlaps: false, replaceable: true, outlives: false, revocable: false, checkable: true, by_value: false, is_admin: true },
        SourceKind::Offline => Nature { expires: true, overlaps: false, replaceable: false, outlives: true, revocable: false, checkable: true, by_value: false, is_admin: true },
        SourceKind::Storefront => Nature { expires: false, overlaps: true, replaceable: true, outlives: true, revocable: true, checkable: true, by_value: false, is_admin: false },
        SourceKind::Delegate => Nature { expires: true, overlaps: true, replaceable: true, outlives: true, revocable: true, checkable: true, by_value: true, is_admin: false },
        SourceKind::Custom => Nature { expires: false, overlaps: false, replaceable: false, outlives: false, revocable: false, checkable: true, by_value: false, is_admin: true },
        SourceKind::CustomerAccount => Nature { expires: false, overlaps: true, replaceable: false, outlives: false, revocable: false, checkable: false, by_value: false, is_admin: false },
    }
}

/// What a credential is issued with, as observed: a variant for each source.
#[derive(Clone, Debug)]
pub enum Issuer {
    /// An app's client id and secret.
    ClientCredentials(App),
    /// An app, and a pair that was approved once.
    Offline(Offline),
    /// Another ShopifyToken's Admin API token.
    Storefront(AdminToken),
    /// Another ShopifyToken's Admin API token, of which one with fewer scopes is made.
    Delegate(Parent),
    /// The value that a person put in a Secret.
    Custom(SecretString),
    /// The client that a person put in a Secret.
    CustomerAccount(CustomerClient),
}

/// What a delegate is made of.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The admin token.
    pub admin: AdminToken,
    /// The scopes of the delegate.
    pub scopes: Vec<String>,
    /// How long it is to live, if its parent lives longer.
    pub lifetime: TimeDelta,
}

/// What an offline token is issued with, as observed.
#[derive(Clone, Debug)]
pub struct Offline {
    /// The app.
    pub app: App,
    /// The record Secret, if there is one.
    pub recorded: Option<Box<Recorded>>,
    /// What a person has put into the bootstrap Secret.
    pub bootstrap: Option<Bootstrap>,
    /// Whether a token that never expires is to be exchanged for a pair.
    pub migrate: bool,
    /// Whether an approval is to bring a token that expires.
    pub expiring: bool,
    /// Whether a pair has come that isn't written down yet.
    pub in_hand: bool,
}

/// What a person has put into the bootstrap Secret.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// A pair, or a lone access token.
    pub pair: Pair,
    /// Salted hash of its refresh token, or of its lone access token.
    pub fingerprint: String,
}

impl Parent {
    /// How long before its parent a delegate ends.
    const BEFORE: TimeDelta = TimeDelta::minutes(1);

    /// How long one that is made now is to live: as the spec wishes, or until a minute before its parent ends
    /// (<https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/use-delegate-tokens>).
    #[must_use]
    pub fn allows(&self, now: Timestamp) -> TimeDelta {
        self.admin.expires_at.map_or(self.lifetime, |end| self.lifetime.min(end - now - Self::BEFORE))
    }

    /// Whether one that is made now would end a minute or more after one that ends at `end`. If not, the parent has to be
    /// renewed first.
    #[must_use]
    pub fn outlasts(&self, end: Timestamp, now: Timestamp) -> bool {
        now + self.allows(now) >= end + Self::BEFORE
    }
}

/// A ShopifyApp's client id and secret.
#[derive(Clone, Debug)]
pub struct App {
    /// `namespace/name` of the ShopifyApp: one issue at a time for each of these and a shop.
    pub key: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: SecretString,
    /// That it has taken the place of another one, as the app's status says of this very secret.
    pub rotation: Option<Rotation>,
    /// The client secret before it: Shopify may sign with either while both are active.
    pub previous_client_secret: Option<SecretString>,
}

impl App {
    /// Hash of client id and secret. `salt` keeps others from guessing the secret by it.
    #[must_use]
    pub fn fingerprint(&self, salt: &str) -> String {
        digest(&[salt, &self.client_id, self.client_secret.expose_secret()])
    }

    /// What the record of a token says that this client secret has minted.
    #[must_use]
    pub fn mints(&self, token: &Identity) -> String {
        minted::by(&token.namespace, &token.name, &self.client_secret)
    }
}

/// Another ShopifyToken's Admin API token, and what a fresh one could be issued with.
#[derive(Clone, Debug)]
pub struct AdminToken {
    /// Name of the ShopifyToken.
    pub name: String,
    /// The token that applications would use too; `None` only where `app` is set and a deletion can do without.
    pub token: Option<SecretString>,
    /// Which credential that is.
    pub published: Option<record::Parent>,
    /// When it expires; `None` if it never does.
    pub expires_at: Option<Timestamp>,
    /// Which client secret minted it, as its record says.
    pub client_secret: Option<String>,
    /// What issued that token, as its own record says; not what would issue the next one.
    pub issuer: Option<String>,
    /// The app that can issue another one of the same issuer, unless a person supplies it.
    pub app: Option<App>,
    /// The Admin API to use.
    pub api: AdminApi,
    /// Its version.
    pub version: String,
}

/// Whether two issuers, as records name them, can't be the same: a client id and a gid can't be compared.
#[must_use]
pub fn different_issuers(a: Option<&str>, b: Option<&str>) -> bool {
    let is_gid = |text: &str| text.starts_with("gid:");
    matches!((a, b), (Some(a), Some(b)) if is_gid(a) == is_gid(b) && a != b)
}

impl Issuer {
    /// The value that is to be published as it is, where a person supplies it.
    #[must_use]
    pub const fn supplied(&self) -> Option<&SecretString> {
        match self {
            Self::Custom(value) => Some(value),
            Self::ClientCredentials(_)
            | Self::Offline(_)
            | Self::Storefront(_)
            | Self::Delegate(_)
            | Self::CustomerAccount(_) => None,
        }
    }

    /// The value that the Secret of applications is to hold, where something else than its record tells.
    #[must_use]
    pub fn wanted(&self) -> Option<&SecretString> {
        match self {
            Self::Custom(value) => Some(value),
            Self::Offline(offline) => offline.access_token(),
            Self::ClientCredentials(_) | Self::Storefront(_) | Self::Delegate(_) | Self::CustomerAccount(_) => None,
        }
    }

    /// The client of the Customer Account API that a person supplies.
    #[must_use]
    pub const fn client(&self) -> Option<&CustomerClient> {
        match self {
            Self::CustomerAccount(client) => Some(client),
            Self::ClientCredentials(_)
            | Self::Offline(_)
            | Self::Storefront(_)
            | Self::Delegate(_)
            | Self::Custom(_) => None,
        }
    }

    /// What an offline token is issued with.
    #[must_use]
    pub const fn offline(&self) -> Option<&Offline> {
        match self {
            Self::Offline(offline) => Some(offline),
            Self::ClientCredentials(_)
            | Self::Storefront(_)
            | Self::Delegate(_)
            | Self::Custom(_)
            | Self::CustomerAccount(_) => None,
        }
    }

    /// The app whose client secret mints it.
    #[must_use]
    pub const fn app(&self) -> Option<&App> {
        match self {
            Self::ClientCredentials(app) | Self::Offline(Offline { app, .. }) => Some(app),
            Self::Storefront(_) | Self::Delegate(_) | Self::Custom(_) | Self::CustomerAccount(_) => None,
        }
    }

    /// The admin token it is issued with.
    #[must_use]
    pub const fn admin_token(&self) -> Option<&AdminToken> {
        match self {
            Self::Storefront(admin) | Self::Delegate(Parent { admin, .. }) => Some(admin),
            Self::ClientCredentials(_) | Self::Offline(_) | Self::Custom(_) | Self::CustomerAccount(_) => None,
        }
    }

    /// The client id of the app that issues it, or its own, where that is known without asking Shopify.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::ClientCredentials(app) | Self::Offline(Offline { app, .. }) => Some(&app.client_id),
            Self::Storefront(admin) | Self::Delegate(Parent { admin, .. }) => admin.issuer.as_deref(),
            Self::CustomerAccount(client) => Some(&client.client_id),
            Self::Custom(_) => None,
        }
    }

    /// The token that it is made of, and whose end is its own.
    #[must_use]
    pub const fn parent(&self) -> Option<&Parent> {
        match self {
            Self::Delegate(parent) => Some(parent),
            Self::ClientCredentials(_)
            | Self::Offline(_)
            | Self::Storefront(_)
            | Self::Custom(_)
            | Self::CustomerAccount(_) => None,
        }
    }

    /// Issues that have this in common take turns at a shop: those of one app, and where no app is known, of one admin
    /// token. `None` where nothing is created at Shopify.
    #[must_use]
    pub fn turn(&self, token: &Identity) -> Option<String> {
        match self {
            Self::ClientCredentials(app) | Self::Offline(Offline { app, .. }) => Some(app.key.clone()),
            Self::Storefront(admin) | Self::Delegate(Parent { admin, .. }) => Some(match &admin.app {
                Some(app) => app.key.clone(),
                None => format!("{}/{}", token.namespace, admin.name),
            }),
            Self::Custom(_) | Self::CustomerAccount(_) => None,
        }
    }
}

/// Hash of the spec fields that decide what is issued. Not the title: it is for reading only.
#[must_use]
pub fn inputs(token: &ShopifyToken, source: SourceRef<'_>) -> String {
    let app = |r: &AppRef| format!("app {}/{}", r.namespace.as_deref().unwrap_or_default(), r.name);
    let source = match source {
        SourceRef::ClientCredentials(s) => app(&s.app_ref),
        SourceRef::Offline(s) => app(&s.app_ref),
        SourceRef::Storefront(s) => format!("admin {}", s.admin_token_ref.name),
        SourceRef::Delegate(s) => format!("admin {} {:?} {:?}", s.admin_token_ref.name, s.scopes, s.lifetime),
        SourceRef::Custom(s) => format!("secret {}/{}", s.token_ref.name, s.token_ref.key),
        SourceRef::CustomerAccount(s) => {
            let session = if s.session.is_some() { " session" } else { "" };
            format!("secret {} {:?}{session}", s.credentials_ref.name, s.client_type)
        }
    };
    digest(&[&token.spec.shop, &source])
}

/// Hash of all that an attempt depends on: when it changes, a back-off ends. `salt` keeps others from guessing what
/// `seen` has hashes of.
#[must_use]
pub fn dependencies(token: &ShopifyToken, salt: &str, seen: &[String]) -> String {
    let generation = token.metadata.generation.unwrap_or_default().to_string();
    digest(&[salt, &generation, &seen.join("\n")])
}
