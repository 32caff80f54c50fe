//! Every name that users, pipelines and dashboards may match on.

use std::fmt;

pub mod labels;

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

/// Reasons of events, all of them transitions. Each has an entry in `docs/reasons.md`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventReason {
    /// A first credential was issued and published.
    Issued,
    /// A new credential replaced one near its expiry.
    Renewed,
    /// A new credential replaced one that still lives.
    Rotated,
    /// A credential found at Shopify was published.
    Adopted,
    /// A token that never expired was exchanged for one that does.
    Migrated,
    /// An edited or deleted Secret was restored.
    Repaired,
    /// A credential was revoked.
    Revoked,
    /// The spec names another Secret: the one before is kept for an overlap.
    Leaving,
    /// A Secret that an older spec named was deleted, cleaned, or left behind.
    Left,
    /// Applications have had the time to take a new pair up: a person can revoke the old one.
    SafeToRevoke,
    /// The object went, and its credential and Secret stay.
    Retained,
    /// It works again after failures.
    Recovered,
    /// An app's client secret changed: its tokens are issued again.
    SecretChanged,
    /// Every token of an app is on its current client secret.
    SecretRotated,
    /// An issue failed.
    IssueFailed,
    /// A revocation failed, or was given up.
    RevocationFailed,
    /// Shopify doesn't confirm the credential.
    VerificationFailed,
    /// A credential was deleted at Shopify and replaced.
    ReplacedAtShopify,
    /// Shopify named a lifetime that can't be believed.
    UnusualLifetime,
    /// `renewBefore` isn't shorter than the lifetime.
    RenewBeforeIgnored,
    /// Shopify serves another API version than the app asks for.
    ApiVersionReplaced,
    /// A rollout didn't finish within the overlap.
    RolloutNotFinished,
    /// The same step is taken again and again: somebody else undoes it.
    Contended,
    /// A Secret with credentials was deleted, and is kept until the tokens that need it are revoked.
    DeletionWaits,
    /// Shopify refuses an app's new client secret: its tokens stay on the old one.
    SecretRotationStopped,
    /// The API server refuses a write of a status or finalizer.
    WriteRefused,
}

impl EventReason {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::Issued,
        Self::Renewed,
        Self::Rotated,
        Self::Adopted,
        Self::Migrated,
        Self::Repaired,
        Self::Revoked,
        Self::Leaving,
        Self::Left,
        Self::SafeToRevoke,
        Self::Retained,
        Self::Recovered,
        Self::SecretChanged,
        Self::SecretRotated,
        Self::IssueFailed,
        Self::RevocationFailed,
        Self::VerificationFailed,
        Self::ReplacedAtShopify,
        Self::UnusualLifetime,
        Self::RenewBeforeIgnored,
        Self::ApiVersionReplaced,
        Self::RolloutNotFinished,
        Self::Contended,
        Self::DeletionWaits,
        Self::SecretRotationStopped,
        Self::WriteRefused,
    ];

    /// The reason as events print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "Issued",
            Self::Renewed => "Renewed",
            Self::Rotated => "Rotated",
            Self::Adopted => "Adopted",
            Self::Migrated => "Migrated",
            Self::Repaired => "Repaired",
            Self::Revoked => "Revoked",
            Self::Leaving => "Leaving",
            Self::Left => "Left",
            Self::SafeToRevoke => "SafeToRevoke",
            Self::Retained => "Retained",
            Self::Recovered => "Recovered",
            Self::SecretChanged => "SecretChanged",
            Self::SecretRotated => "SecretRotated",
            Self::IssueFailed => "IssueFailed",
            Self::RevocationFailed => "RevocationFailed",
            Self::VerificationFailed => "VerificationFailed",
            Self::ReplacedAtShopify => "ReplacedAtShopify",
            Self::UnusualLifetime => "UnusualLifetime",
            Self::RenewBeforeIgnored => "RenewBeforeIgnored",
            Self::ApiVersionReplaced => "ApiVersionReplaced",
            Self::RolloutNotFinished => "RolloutNotFinished",
            Self::Contended => "Contended",
            Self::DeletionWaits => "DeletionWaits",
            Self::SecretRotationStopped => "SecretRotationStopped",
            Self::WriteRefused => "WriteRefused",
        }
    }

    /// Whether it is a Warning.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        match self {
            Self::Issued
            | Self::Renewed
            | Self::Rotated
            | Self::Adopted
            | Self::Migrated
            | Self::Repaired
            | Self::Revoked
            | Self::Leaving
            | Self::Left
            | Self::SafeToRevoke
            | Self::Retained
            | Self::Recovered
            | Self::SecretChanged
            | Self::SecretRotated => false,
            Self::IssueFailed
            | Self::RevocationFailed
            | Self::VerificationFailed
            | Self::ReplacedAtShopify
            | Self::UnusualLifetime
            | Self::RenewBeforeIgnored
            | Self::ApiVersionReplaced
            | Self::RolloutNotFinished
            | Self::Contended
            | Self::DeletionWaits
            | Self::SecretRotationStopped
            | Self::WriteRefused => true,
        }
    }
}
