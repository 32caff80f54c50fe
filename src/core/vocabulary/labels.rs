//! Values that labels of metrics have: a metric has no series but these, and those of its objects.

use std::fmt;

use super::Reason;

macro_rules! labels {
    ($(#[$doc:meta])* $type:ident { $($(#[$of:meta])* $name:ident: $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $type { $($(#[$of])* $name,)* }

        impl $type {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As the label has it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

labels! {
    /// What is asked of Shopify.
    ShopifyCall {
        /// A grant of the app's client id and secret.
        ClientCredentials: "client_credentials",
        /// The code of a merchant's approval is exchanged.
        AuthorizationCode: "authorization_code",
        /// An offline token is refreshed.
        RefreshToken: "refresh_token",
        /// A token that never expires is exchanged for one that does.
        TokenMigration: "token_migration",
        /// The scopes of the app's installation.
        InstallationScopes: "installation_scopes",
        /// The scopes of a token.
        TokenScopes: "token_scopes",
        /// A shop's storefront tokens are listed.
        StorefrontTokenList: "storefront_token_list",
        /// One is made.
        StorefrontTokenCreate: "storefront_token_create",
        /// One is deleted.
        StorefrontTokenDelete: "storefront_token_delete",
        /// One is tried.
        StorefrontProbe: "storefront_probe",
        /// A delegate token is made.
        DelegateTokenCreate: "delegate_token_create",
        /// One is destroyed.
        DelegateTokenDestroy: "delegate_token_destroy",
        /// Where a shop's customer accounts are.
        CustomerDiscovery: "customer_discovery",
        /// The keys that sign its ID tokens.
        CustomerKeys: "customer_keys",
        /// The code of a customer's sign-in is exchanged.
        CustomerTokenCode: "customer_token_code",
        /// A customer's session is refreshed.
        CustomerTokenRefresh: "customer_token_refresh",
    }
}

labels! {
    /// What is asked of the API server, as authorisation names it.
    Verb {
        /// One object.
        Get: "get",
        /// Those there are.
        List: "list",
        /// What changes.
        Watch: "watch",
        /// A new object.
        Create: "create",
        /// An object as a whole.
        Update: "update",
        /// A part of one.
        Patch: "patch",
        /// One object goes.
        Delete: "delete",
        /// All of a list go.
        DeleteCollection: "deletecollection",
        /// Anything else.
        Other: "other",
    }
}

labels! {
    /// How a reconcile ended. What Shopify refuses is an outcome, and a success of the reconcile.
    Reconciled {
        /// It came to its end.
        Success: "success",
        /// The API server refused, or gave no answer.
        KubernetesError: "kubernetes_error",
        /// The object doesn't fit its type.
        InvalidObject: "invalid_object",
        /// It took more than a minute.
        Timeout: "timeout",
        /// A bug.
        Panic: "panic",
    }
}

labels! {
    /// An install page.
    InstallPage {
        /// Where an approval begins.
        Install: "install",
        /// Where Shopify sends a browser back to.
        Callback: "callback",
        /// What became of an approval.
        Result: "result",
        /// Why a callback didn't count.
        Refused: "refused",
        /// No page of ours.
        Other: "other",
    }
}

labels! {
    /// What an install page tells.
    Told {
        /// The browser was sent to Shopify.
        Sent: "sent",
        /// The callback counts.
        Noted: "noted",
        /// The token is where it is needed.
        Done: "done",
        /// The merchant declined.
        Declined: "declined",
        /// Shopify didn't accept the code.
        Refused: "refused",
        /// A scope that is needed wasn't granted.
        ScopesMissing: "scopes_missing",
        /// The token is there, and can't be published.
        Unpublished: "unpublished",
        /// Another approval came after it.
        Overtaken: "overtaken",
        /// It isn't decided yet.
        StillWorking: "still_working",
        /// Nothing is known of it any more.
        Forgotten: "forgotten",
        /// It took longer than ten minutes.
        Expired: "expired",
        /// It was used before.
        Used: "used",
        /// It was begun in another browser.
        OtherBrowser: "other_browser",
        /// It isn't from Shopify, or not of what was asked.
        Unacceptable: "unacceptable",
        /// There is nothing to approve here.
        NothingHere: "nothing_here",
        /// Too many at once.
        Busy: "busy",
        /// The API server doesn't answer.
        Unavailable: "unavailable",
        /// Anything else.
        Other: "other",
    }
}

labels! {
    /// What became of a span.
    Sent {
        /// The collector took it.
        Success: "success",
        /// It is lost.
        Failed: "failed",
    }
}

/// How an issue or a revocation ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// As it should.
    Success,
    /// An issue that Shopify answered, and that only the record Secret could take.
    Kept,
    /// A revocation that can't succeed any more.
    GivenUp,
    /// For this reason it didn't succeed.
    Failed(Reason),
}

impl Ended {
    /// As the label has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Kept => "kept",
            Self::GivenUp => "given_up",
            Self::Failed(reason) => reason.as_str(),
        }
    }
}
