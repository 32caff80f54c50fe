//! Which client secret minted a credential: hashes that tell it and nothing else, and until when older ones may be in use.

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};

use super::{digest::digest, record::Record};
use crate::{
    api::{ShopifyToken, SourceKind},
    time::Timestamp,
};

/// What stands for the hash where a person has brought an access token without a refresh token: nobody knows which secret
/// minted it, and the operator can't issue it again.
pub const BROUGHT: &str = "brought";

/// Hash of the client secret that minted the credential of an object. Salted with the object's place, so that it can be
/// compared with that of no other object, and one that is made anew under that name takes it up again.
#[must_use]
pub fn by(namespace: &str, name: &str, secret: &SecretString) -> String {
    digest(&["token", namespace, name, secret.expose_secret()])
}

/// The same of a credential that was made of another one, by the hash that this other one's record has.
#[must_use]
pub fn below(namespace: &str, name: &str, parent: &str) -> String {
    digest(&["below", namespace, name, parent])
}

/// Hash of an app's client secret, as the app's own status names it.
#[must_use]
pub fn of_app(namespace: &str, name: &str, secret: &SecretString) -> String {
    digest(&["app", namespace, name, secret.expose_secret()])
}

/// Whether an app's client secret has a part in credentials of this kind: they die with it.
#[must_use]
pub const fn is_minted(kind: SourceKind) -> bool {
    match kind {
        SourceKind::ClientCredentials | SourceKind::Offline | SourceKind::Delegate => true,
        // A storefront token belongs to the installation.
        SourceKind::Storefront | SourceKind::Custom | SourceKind::CustomerAccount => false,
    }
}

/// That an app's client secret has taken the place of another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rotation {
    /// When the operator found it.
    pub since: Timestamp,
    /// The time over which the app's tokens are spread.
    pub within: TimeDelta,
}

/// What a record says of the client secret that minted its credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mint {
    /// Hash of the secret, as in the record.
    pub client_secret: Option<String>,
    /// Since when the credential is one of that secret.
    pub since: Option<Timestamp>,
    /// When the credential was issued.
    pub issued_at: Timestamp,
    /// When it expires; `None` if it never does.
    pub expires_at: Option<Timestamp>,
    /// Until when applications may use one that another secret minted.
    pub old_until: Option<Timestamp>,
    /// What issued it, as in the record.
    pub issuer: Option<String>,
}

impl Mint {
    /// Whether a person has brought it without a refresh token: nobody knows what minted it.
    #[must_use]
    pub fn is_brought(&self) -> bool {
        self.client_secret.as_deref() == Some(BROUGHT)
    }

    /// Whether it is an access token of this object that has no refresh token: the operator can't issue it again.
    #[must_use]
    pub fn is_lone(&self, token: &ShopifyToken) -> bool {
        self.is_brought() || (token.spec.source.offline.is_some() && self.expires_at.is_none())
    }

    /// What a record says.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self {
            client_secret: record.client_secret.clone(),
            since: record.client_secret_since,
            issued_at: record.issued_at,
            expires_at: record.expires_at,
            old_until: record.old_secret_until,
            issuer: record.issuer.clone(),
        }
    }
}
