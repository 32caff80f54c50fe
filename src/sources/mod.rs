//! The sources: each talks to Shopify and returns data. None knows Kubernetes, a Secret's form, or the metrics.

mod client_credentials;
mod custom;
mod customer_account;
mod delegate;
mod memory;
mod offline;
mod probe;
mod revoke;
mod storefront;

use secrecy::SecretString;

pub use self::memory::Memory;
use crate::{
    clock::Clock,
    core::{
        credential::Credential,
        customer::Discovery,
        failure::Failure,
        observed::{Doubt, Observed},
        offline::Next,
        pair::Pair,
        plan::{Call, Why},
        previous::PreviousValues,
        record::{self, Previous},
        secret::Whole,
        source::{AdminToken, App, Issuer, Parent},
        vocabulary::Reason,
    },
    shopify::{AdminAccess, ApiError, Client, Place, Shop, Surface},
    time::Timestamp,
};

/// What a source has at hand for a call.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// Client of Shopify.
    pub shopify: &'a Client,
    /// The shop.
    pub shop: &'a Shop,
    /// What was observed of the object.
    pub observed: &'a Observed,
    /// What it is issued with.
    pub issuer: &'a Issuer,
    /// What the sources keep in memory.
    pub memory: &'a Memory,
    /// The time of day.
    pub clock: &'a Clock,
}

/// A credential in hand, in no Secret yet. Only publishing it ends that.
#[derive(Clone, Debug)]
#[must_use]
pub struct Issued {
    /// The credential.
    pub credential: Credential,
    /// Its revision.
    pub revision: i64,
    /// Where it comes from.
    pub origin: Origin,
    /// The admin token it was made with.
    pub admin: Option<String>,
    /// Which credential of that, for a delegate.
    pub parent: Option<record::Parent>,
    /// Which client secret minted it, as the record keeps it, where that is known.
    pub minted_by: Option<String>,
    /// What issued it, where the source knows; else the record goes by the issuer's client id.
    pub issuer: Option<String>,
    /// The version that answered where the API version of the app was asked, as far as Shopify said so.
    pub served: Option<String>,
    /// Where it is used, for a client of customer accounts.
    pub discovery: Option<Discovery>,
    /// The access token of a customer's session that stands beside it; it ends when the credential does.
    pub session: Option<SecretString>,
    /// Older credentials that still live, newest last.
    pub previous: Vec<Previous>,
    /// Their values, as far as the Secret is to hold them.
    pub previous_values: PreviousValues,
    /// The pair that it is of, which is written down before it.
    pub renewed: Option<Renewed>,
    /// The way back, if it can't be written into the Secret.
    pub unless_written: UnlessWritten,
}

/// A pair that came, in no Secret yet.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The pair.
    pub pair: Pair,
    /// The refresh token, or lone access token, that was in the record before.
    pub replaces: Option<SecretString>,
    /// Hash of the bootstrap Secret's credential that the record has begun with.
    pub begun: Option<String>,
    /// Fingerprint of the state whose code brought it.
    pub spent: Option<String>,
    /// Salted hash of the customer who has signed in for it.
    pub customer: Option<String>,
}

/// Where an issued credential comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// It was made now.
    New,
    /// It was found at Shopify: an earlier attempt made it.
    Adopted,
    /// It was exchanged for one that never expired.
    Migrated,
    /// It is the one that is in the Secret already.
    Same,
    /// It was at hand in the record Secret, and Shopify wasn't asked whether it still works.
    Recorded,
}

/// What is to be done with a credential that couldn't be written into the Secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnlessWritten {
    /// Keep it for the next attempt: there is no other way back to it.
    Remember,
    /// If another's write came first, it may be a stray: look for it at Shopify.
    DoubtStray,
    /// Nothing: it can be had again.
    Nothing,
}

/// A credential that Shopify confirmed.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It works; this is what Shopify says of it.
    Working {
        /// Its scopes.
        scopes: Vec<String>,
        /// Tokens of ours that neither are current nor in overlap.
        strays: Vec<Previous>,
        /// The API version that answered, as in [`Issued`].
        served: Option<String>,
    },
    /// It works, and isn't what is to be published: this is.
    Moved(Box<Issued>),
    /// There is no telling yet: look again, because of this.
    Doubtful(Doubt),
}

/// What is to be revoked.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// One credential that was replaced.
    One(&'a Previous),
    /// One that was made now, and is in no Secret.
    Made(&'a Credential),
    /// Everything that was ever issued for the object.
    All,
}

/// What was revoked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Revoked {
    /// Ids of the credentials that lived until then.
    pub ended: Vec<String>,
    /// Those that can't be revoked any more.
    pub left: Option<Left>,
}

/// Credentials that can't be revoked any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Left {
    /// Their ids at Shopify; none where only their marker is known.
    pub ids: Vec<String>,
    /// Why.
    pub failure: Failure,
}

impl Revoked {
    /// Nothing was revoked, and these can't be any more.
    fn none_of(ids: &[&str], failure: Failure) -> Self {
        Self { ended: Vec::new(), left: Some(Left { ids: ids.iter().map(|id| (*id).to_owned()).collect(), failure }) }
    }

    /// Both together.
    fn and(mut self, other: Self) -> Self {
        self.ended.extend(other.ended);
        let left = match (self.left, other.left) {
            (Some(mut left), Some(more)) => {
                left.ids.extend(more.ids);
                Some(left)
            }
            (left, more) => left.or(more),
        };
        Self { ended: self.ended, left }
    }
}

/// Why a call brought nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refused {
    /// The credential that applications hold is dead; how Shopify says so, after the shop's name.
    Dead(&'static str),
    /// The admin token it is issued with is refused.
    AdminDead {
        /// Name of its ShopifyToken.
        name: String,
        /// What that means for this object.
        failure: Failure,
    },
    /// The code of an approval brings nothing, and never will.
    CodeDead(Failure),
    /// Anything else.
    Failure(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Failure(error.into())
    }
}

/// What has to be in order for a call.
#[must_use]
pub fn places(observed: &Observed, issuer: &Issuer, call: Call, shop: &Shop, salt: &str, now: Timestamp) -> Vec<Place> {
    let on = |surface| Place::Surface(shop.clone(), surface);
    let grant = |app: &App| vec![on(Surface::TokenEndpoint), Place::Credentials(app.fingerprint(salt))];
    match (issuer, call) {
        (Issuer::ClientCredentials(app), Call::Issue(_)) => grant(app),
        (Issuer::Offline(offline), Call::Issue(why)) => match offline.next(observed, why, now) {
            Ok(Next::Publish(access)) if access.known_scopes().is_none() => vec![on(Surface::AdminApi)],
            Ok(Next::Exchange(_) | Next::Refresh(_) | Next::Migrate(_)) => grant(&offline.app),
            Ok(Next::Publish(_)) | Err(_) => Vec::new(),
        },
        (Issuer::Storefront(_), Call::Verify) => vec![on(Surface::AdminApi), on(Surface::StorefrontApi)],
        (Issuer::Storefront(admin) | Issuer::Delegate(Parent { admin, .. }), Call::EndOverlap | Call::Revoke) => {
            match admin {
                // Without a token to revoke with, one is issued.
                AdminToken { token: None, app: Some(app), .. } => [grant(app), vec![on(Surface::AdminApi)]].concat(),
                AdminToken { .. } => vec![on(Surface::AdminApi)],
            }
        }
        (Issuer::Storefront(_), Call::Issue(_))
        | (Issuer::ClientCredentials(_) | Issuer::Offline(_), Call::Verify)
        | (Issuer::Delegate(_) | Issuer::Custom(_), Call::Issue(_) | Call::Verify) => vec![on(Surface::AdminApi)],
        (Issuer::CustomerAccount(client), Call::Issue(why))
            if customer_account::at_hand(observed, why).is_some()
                && !customer_account::asks(observed, client, why, now) =>
        {
            Vec::new()
        }
        (Issuer::CustomerAccount(_), Call::Issue(_) | Call::Verify) => vec![on(Surface::CustomerAccounts)],
        (
            Issuer::ClientCredentials(_) | Issuer::Offline(_) | Issuer::Custom(_) | Issuer::CustomerAccount(_),
            Call::EndOverlap | Call::Revoke,
        ) => Vec::new(),
    }
}

/// Obtains a credential: a new one, or the one that an earlier attempt left behind.
///
/// # Errors
/// [`Refused`]: nothing was made, or there is a way back to it.
pub async fn issue(turn: &Turn<'_>, why: Why) -> Result<Issued, Refused> {
    match turn.issuer {
        Issuer::ClientCredentials(app) => client_credentials::issue(turn, app).await,
        Issuer::Offline(offline) => offline::issue(turn, offline, why).await,
        Issuer::Storefront(admin) => storefront::issue(turn, admin, why).await,
        Issuer::Delegate(parent) => delegate::issue(turn, parent, why).await,
        Issuer::Custom(value) => custom::issue(turn, value, why).await,
        Issuer::CustomerAccount(client) => customer_account::issue(turn, client, why).await,
    }
}

/// Asks Shopify whether a credential is what we think it is.
///
/// # Errors
/// [`Refused`]: among them [`Refused::Dead`], if it isn't.
pub async fn verify(turn: &Turn<'_>, whole: &Whole<'_>) -> Result<Seen, Refused> {
    match turn.issuer {
        Issuer::ClientCredentials(_) | Issuer::Offline(_) | Issuer::Custom(_) => probe::verify(turn, whole).await,
        Issuer::Storefront(admin) => storefront::verify(turn, admin, whole).await,
        Issuer::Delegate(parent) => delegate::verify(turn, &parent.admin, whole).await,
        Issuer::CustomerAccount(client) => customer_account::verify(turn, client, whole).await,
    }
}

/// Revokes at Shopify. What is gone there already counts as revoked.
///
/// # Errors
/// [`Refused`]: to be tried again.
pub async fn revoke(turn: &Turn<'_>, target: Target<'_>) -> Result<Revoked, Refused> {
    match turn.issuer {
        Issuer::Storefront(admin) | Issuer::Delegate(Parent { admin, .. }) => revoke::revoke(turn, admin, target).await,
        // Shopify has no way to: they expire, end with the app's installation, or are the person's.
        Issuer::ClientCredentials(_) | Issuer::Offline(_) | Issuer::Custom(_) | Issuer::CustomerAccount(_) => {
            Ok(Revoked::default())
        }
    }
}

impl Turn<'_> {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The version that answered a call, if the call was of the version that the object's Secret is to name.
    fn served(&self, access: &AdminAccess, served: Option<String>) -> Option<String> {
        served.filter(|_| access.version == self.observed.api_version)
    }

    /// Access to the Admin API with an admin token.
    fn access(&self, admin: &AdminToken, token: &SecretString) -> AdminAccess {
        AdminAccess { shop: self.shop.clone(), token: token.clone(), api: admin.api, version: admin.version.clone() }
    }
}

/// A 401 is the admin token's failure, not that of what is made with it.
fn blame(admin: &AdminToken, error: ApiError) -> Refused {
    let name = &admin.name;
    match error {
        ApiError::Unauthorized(_) => Refused::AdminDead {
            name: name.clone(),
            failure: Failure::new(
                Reason::AdminTokenNotReady,
                format!(
                    "Shopify refuses the token of ShopifyToken {name:?} (adminTokenRef) with 401; it is being verified, and replaced where that is possible"
                ),
            ),
        },
        error => error.into(),
    }
}
