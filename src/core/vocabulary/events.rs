//! The reasons of events: which objects each is told of, and what it means. `docs/reference.md` has a table made of them.

const TOKEN: &str = "ShopifyToken";
const APP: &str = "ShopifyApp";
const SECRET: &str = "Secret";

macro_rules! events {
    (
        Normal { $($normal:ident: $normal_of:expr, $normal_meaning:literal;)* }
        Warning { $($warning:ident: $warning_of:expr, $warning_meaning:literal;)* }
    ) => {
        /// Reasons of events, all of them transitions. Each has an entry in `docs/reasons.md`.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum EventReason {
            $(#[doc = $normal_meaning] $normal,)*
            $(#[doc = $warning_meaning] $warning,)*
        }

        impl EventReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$normal,)* $(Self::$warning,)*];

            /// The reason as events print it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$normal => stringify!($normal),)*
                    $(Self::$warning => stringify!($warning),)*
                }
            }

            /// Whether it is a Warning.
            #[must_use]
            pub const fn is_warning(self) -> bool {
                match self {
                    $(Self::$normal => false,)*
                    $(Self::$warning => true,)*
                }
            }

            /// The kinds of objects that it is told of.
            #[must_use]
            pub const fn kinds(self) -> &'static [&'static str] {
                match self {
                    $(Self::$normal => &$normal_of,)*
                    $(Self::$warning => &$warning_of,)*
                }
            }

            /// What it means, without a full stop.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$normal => $normal_meaning,)*
                    $(Self::$warning => $warning_meaning,)*
                }
            }
        }
    };
}

events! {
    Normal {
        Issued: [TOKEN], "A first credential was issued and published";
        Renewed: [TOKEN], "A new credential replaced one near its expiry";
        Rotated: [TOKEN], "A new credential replaced one that still lives";
        Adopted: [TOKEN], "A credential found at Shopify was published";
        Migrated: [TOKEN], "A token that never expired was exchanged for one that does";
        Repaired: [TOKEN], "An edited or deleted Secret was restored";
        Revoked: [TOKEN], "A credential was revoked";
        Leaving: [TOKEN], "The spec names another Secret: the one before is kept for an overlap";
        Left: [TOKEN], "A Secret that an older spec named was deleted, cleaned, or left behind";
        SafeToRevoke: [TOKEN, APP], "The old pair, or the old client secret, isn't needed any more: a person can revoke it";
        Retained: [TOKEN], "The object went, and its credential and Secret stay";
        Recovered: [TOKEN], "It works again after failures";
        SecretChanged: [APP], "The app's client secret changed: its tokens are issued again";
        SecretRotated: [APP], "Every token of the app is on its current client secret";
    }
    Warning {
        IssueFailed: [TOKEN, APP], "An issue failed, or the object doesn't fit its type";
        RevocationFailed: [TOKEN], "A revocation failed, or was given up";
        VerificationFailed: [TOKEN], "Shopify doesn't confirm the credential";
        ReplacedAtShopify: [TOKEN], "A credential was deleted at Shopify and replaced";
        UnusualLifetime: [TOKEN], "Shopify named a lifetime that can't be believed";
        RenewBeforeIgnored: [TOKEN], "`renewBefore` isn't shorter than the lifetime";
        ApiVersionReplaced: [TOKEN], "Shopify serves another API version than the app asks for";
        RolloutNotFinished: [TOKEN], "A rollout didn't finish within the overlap";
        Contended: [TOKEN], "The same step is taken again and again: somebody else undoes it";
        DeletionWaits: [TOKEN, SECRET], "A Secret with credentials was deleted, and is kept until the tokens that need it are revoked";
        SecretRotationStopped: [APP], "Shopify refuses the app's new client secret: its tokens stay on the old one";
        WriteRefused: [TOKEN, APP], "The API server refuses a write of a status or finalizer, or of a Secret under an older name";
    }
}

impl EventReason {
    /// The reason that an event prints, if it is one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }
}
