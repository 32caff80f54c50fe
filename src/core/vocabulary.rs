//! Every name that users, pipelines and dashboards may match on.

mod events;
pub mod labels;

use std::fmt;

pub use self::events::EventReason;

/// Field manager, `managed-by` label and reporting controller.
pub const OPERATOR: &str = "shopify-token-operator";
/// Marks the Secrets the operator has made.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Keeps an object alive until the tokens that need it are revoked.
pub const FINALIZER: &str = "tokens.shopify-operator.dev/in-use";
/// Any change of its value is one rotation.
pub const ROTATE_AT: &str = "tokens.shopify-operator.dev/rotate-at";
/// Any change of its value is one reconcile now (Flux's convention).
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
/// Prefix of the record's annotations on a Secret.
pub const PREFIX: &str = "tokens.shopify-operator.dev/";

/// Condition types.
pub mod conditions {
    /// The credential that applications hold now works.
    pub const READY: &str = "Ready";
    /// Something is under way and heals by itself (kstatus `InProgress`).
    pub const RECONCILING: &str = "Reconciling";
    /// A person must act (kstatus `Failed`).
    pub const STALLED: &str = "Stalled";
    /// What Shopify last said of the credential.
    pub const TOKEN_VALID: &str = "TokenValid";
    /// `spec.suspend` is true.
    pub const SUSPENDED: &str = "Suspended";
    /// Nothing uses an older client secret any more: a person can revoke it.
    pub const SAFE_TO_REVOKE_OLD_SECRET: &str = "SafeToRevokeOldSecret";

    /// All that the operator writes.
    pub(crate) const ALL: [&str; 6] = [READY, RECONCILING, STALLED, TOKEN_VALID, SUSPENDED, SAFE_TO_REVOKE_OLD_SECRET];
}

/// What kind of news a reason is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// The credential works.
    Ready,
    /// The credential doesn't work, or there is none yet.
    NotReady,
    /// Heals by itself.
    Reconciling,
    /// A person must act; retried slowly all the same.
    Stalled,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident: $class:ident,)*) => {
        /// Reasons of the conditions Ready, Reconciling and Stalled. Each has an entry in `docs/reasons.md`.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The reason as conditions print it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What kind of news it is.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }
        }
    };
}

reasons! {
    /// The Secret holds a working credential.
    Issued: Ready,
    /// Never issued yet.
    Pending: NotReady,
    /// The credential has expired.
    TokenExpired: NotReady,
    /// A first issue is under way.
    Issuing: Reconciling,
    /// A renewal is under way.
    Renewing: Reconciling,
    /// A rotation is under way.
    Rotating: Reconciling,
    /// A revocation is under way.
    Revoking: Reconciling,
    /// The ShopifyApp isn't there.
    AppNotFound: Reconciling,
    /// A Secret, or a key of it, isn't there.
    CredentialsMissing: Reconciling,
    /// The admin token isn't there or doesn't work yet.
    AdminTokenNotReady: Reconciling,
    /// Shopify is unreachable, throttles, or answers 5xx.
    BackingOff: Reconciling,
    /// The API server refuses a write: a quota, an admission policy or webhook, RBAC.
    WriteRefused: Reconciling,
    /// Shopify refuses the app's client id or secret.
    CredentialsRejected: Stalled,
    /// The app isn't installed on the shop.
    AppNotInstalled: Stalled,
    /// The app may not be used for this shop.
    ShopNotPermitted: Stalled,
    /// There is no such shop.
    ShopNotFound: Stalled,
    /// The shop is frozen, locked or flagged.
    ShopUnavailable: Stalled,
    /// Shopify answers in its own form, but without what is documented.
    UnexpectedAnswer: Stalled,
    /// The shop has no API of the version that is asked for.
    UnknownApiVersion: Stalled,
    /// The credential lacks a required scope.
    ScopesMissing: Stalled,
    /// Shopify's limit of storefront tokens is reached.
    LimitReached: Stalled,
    /// The Secret belongs to somebody else.
    SecretConflict: Stalled,
    /// The Secret's template can't be rendered.
    InvalidTemplate: Stalled,
    /// A credential in a Secret is malformed.
    InvalidCredential: Stalled,
    /// The ShopifyApp or admin token that the object names doesn't fit its type.
    DependencyInvalid: Stalled,
    /// The app grants nothing to this namespace, shop or source.
    NotGranted: Stalled,
    /// The merchant hasn't approved the app.
    ConsentRequired: Stalled,
    /// The refresh token is dead.
    RefreshTokenDead: Stalled,
    /// Shopify refuses the credential itself.
    TokenRejected: Stalled,
    /// What the shop's domain says of its customer accounts can't be used.
    DiscoveryInvalid: Stalled,
    /// Non-expiring tokens are no longer accepted.
    MigrationRequired: Stalled,
    /// The app's Secret holds a client id and secret.
    CredentialsPresent: Ready,
    /// Nothing uses an older client secret any more.
    NoTokenOnOldSecret: Ready,
    /// An older client secret may still be in use.
    TokensOnOldSecret: NotReady,
}

impl Reason {
    /// Whether a person must act.
    #[must_use]
    pub fn is_stalled(self) -> bool {
        self.class() == Class::Stalled
    }

    /// The reason that a condition prints, if it is one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.as_str() == text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
