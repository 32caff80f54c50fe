//! What the refusals of the token endpoint mean.

use secrecy::SecretString;

use crate::{
    core::{credential, failure::Failure, vocabulary::Reason},
    shopify::{
        Shop,
        answer::Answer,
        failure,
        form::{Refusal, Said},
    },
};

/// Why nothing was granted for what was presented.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GrantError {
    /// Shopify says itself that the code, refresh token or token presented is dead: it never works again.
    #[error("{}", .0.message)]
    Dead(Failure),
    /// Anything else. Unless it is a verdict of another kind (`CredentialsRejected`, `AppNotInstalled`,
    /// `MigrationRequired`, the shop's own), what was presented can be tried again.
    #[error("{}", .0.message)]
    Failed(Failure),
}

impl From<Failure> for GrantError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<GrantError> for Failure {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Dead(failure) | GrantError::Failed(failure) => failure,
        }
    }
}

/// What a request presents beside the app's credentials, to have it exchanged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Presented {
    /// An authorization code.
    Code,
    /// A refresh token.
    RefreshToken,
    /// A non-expiring offline token.
    NonExpiringToken,
}

impl Presented {
    /// Whether Shopify says that this is dead, and means nothing else.
    fn is_dead(self, status: u16, code: &str, words: &str) -> bool {
        let said = match self {
            Self::Code => ["authorization code was not found", "already used"].iter().any(|part| words.contains(part)),
            // "Treat that 401 as final": seen with the same words, which aren't needed.
            Self::RefreshToken => {
                words.contains("active refresh_token") || (status == 401 && code == "invalid_request")
            }
            Self::NonExpiringToken => code == "invalid_subject_token",
        };
        matches!(status, 400 | 401) && (said || code == "invalid_grant")
    }

    fn dead(self, shop: &Shop) -> Failure {
        let (reason, message) = match self {
            Self::Code => (
                Reason::ConsentRequired,
                format!(
                    "Shopify no longer takes the authorization code of {shop}, which works once and not for long: \
                     let the merchant approve the app again"
                ),
            ),
            Self::RefreshToken => (
                Reason::RefreshTokenDead,
                format!(
                    "Shopify no longer takes the refresh token of {shop}: it has expired or was replaced, or the app \
                     was uninstalled; let the merchant approve the app again"
                ),
            ),
            Self::NonExpiringToken => (
                Reason::TokenRejected,
                format!(
                    "Shopify doesn't migrate the token of {shop}: it was revoked or migrated before, or isn't a \
                     non-expiring offline token of this app"
                ),
            ),
        };
        Failure::new(reason, message)
    }

    /// What else a refusal may mean that doesn't say what it means.
    fn doubt(self) -> &'static str {
        match self {
            Self::Code => ", or the authorization code is dead",
            Self::RefreshToken => ", or the refresh token is dead",
            Self::NonExpiringToken => ", or the token to migrate is dead",
        }
    }
}

/// What a refusal of the token endpoint means.
pub(super) fn refusal(answer: &Answer, shop: &Shop, presented: Option<Presented>) -> GrantError {
    let refusal = match Refusal::read(answer, shop) {
        Ok(refusal) => refusal,
        // Signed already.
        Err(failure) => return failure.into(),
    };
    if let (Said::Code { code, words }, Some(presented)) = (&refusal.said, presented)
        && presented.is_dead(refusal.status(), code, words)
    {
        return GrantError::Dead(failure::signed(presented.dead(shop), answer));
    }
    let failure = match (&refusal.said, refusal.status()) {
        (Said::NoShop, _) => failure::shop_not_found(shop),
        (Said::Code { words, .. } | Said::Errors(words), 400 | 403) if words.contains(failure::NON_EXPIRING) => {
            failure::migration_required(shop)
        }
        (Said::Code { code, .. }, status) => known_code(code, shop, presented).unwrap_or_else(|| match status {
            400 => Failure {
                ambiguous: true,
                ..rejected("Shopify refuses the app's credentials with an error this release doesn't know (400)")
            },
            // The gateways of others speak like this, too: `{"error": "unauthorized"}`, `{"error": "not_found"}`.
            _ => failure::foreign(answer, shop),
        }),
        (Said::Errors(_), status) => refusal.shop_state(shop).unwrap_or_else(|| match status {
            // "Unavailable Shop", "User does not have access": a flagged shop.
            403 => failure::shop_inactive(shop),
            401 => rejected("Shopify refuses the app's client id or secret (401)"),
            _ => failure::unknown_refusal(shop, &format!("the token request ({status})")),
        }),
    };
    failure::signed(failure, answer).into()
}

/// RFC 6749, section 5.2, and Shopify's own codes.
fn known_code(code: &str, shop: &Shop, presented: Option<Presented>) -> Option<Failure> {
    Some(match code {
        "application_cannot_be_found" => Failure {
            may_settle: true,
            ..rejected("Shopify knows no app with this client id; a fresh app takes a minute to be known")
        },
        "invalid_client" | "unauthorized_client" => rejected("Shopify refuses the app's client id or secret"),
        "invalid_request" => Failure {
            ambiguous: true,
            ..rejected(&format!(
                "Shopify refuses without saying which: either the client secret is wrong or revoked, \
                 or the app isn't installed on {shop} (install it from the Dev Dashboard){}",
                presented.map_or("", Presented::doubt)
            ))
        },
        "app_not_installed" => Failure::new(
            Reason::AppNotInstalled,
            format!(
                "the app isn't installed on {shop}: install it from the Dev Dashboard; \
                 a released version alone is no installation"
            ),
        ),
        "shop_not_permitted" => Failure::new(
            Reason::ShopNotPermitted,
            format!(
                "the app and {shop} belong to different organisations, and client credentials work within one only: \
                 use an app of the shop's own organisation, or source `offline`"
            ),
        ),
        _ => return None,
    })
}

fn rejected(what: &str) -> Failure {
    Failure::new(
        Reason::CredentialsRejected,
        format!("{what}: compare client_id and client_secret in the app's credentials Secret with the Dev Dashboard"),
    )
}

/// Where the shape of what was refused says what a person did to it, the message does.
pub(super) fn with_hint(mut failure: Failure, client_id: &str, client_secret: &SecretString) -> Failure {
    if failure.reason == Reason::CredentialsRejected {
        for (key, value) in [("client_id", &SecretString::from(client_id)), ("client_secret", client_secret)] {
            if let Some(mishap) = credential::mishap(value) {
                failure.message = format!("{}; the value of {key} {mishap}", failure.message);
            }
        }
    }
    failure
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::shopify::{answer::tests::answer, stub::shop};

    /// Every documented refusal, in JSON and as a page.
    #[test]
    fn refusals() {
        use Reason::{
            AppNotInstalled, BackingOff, CredentialsRejected, ShopNotFound, ShopNotPermitted, ShopUnavailable,
        };
        let json = |code: &str| format!(r#"{{"error":"{code}","error_description":"canary shpss_canary"}}"#);
        let page = |title: &str| {
            format!(
                "<!DOCTYPE html><html><head><TITLE>{title}</TITLE></head><body>Oauth error canary: canary</body></html>"
            )
        };
        #[rustfmt::skip]
        let rows = [
            (400, json("application_cannot_be_found"), CredentialsRejected, "a minute"),
            (400, json("invalid_client"), CredentialsRejected, "client_secret"),
            (401, json("invalid_client"), CredentialsRejected, "client_secret"),
            (403, json("unauthorized_client"), CredentialsRejected, "client_secret"),
            (400, json("invalid_request"), CredentialsRejected, "isn't installed"),
            (401, json("invalid_request"), CredentialsRejected, "isn't installed"),
            (400, json("app_not_installed"), AppNotInstalled, "install it"),
            (400, json("shop_not_permitted"), ShopNotPermitted, "organisation"),
            (400, json("canary"), CredentialsRejected, "doesn't know (400)"),
            (400, page("400 - Oauth error application_cannot_be_found"), CredentialsRejected, "a minute"),
            (400, page("400 - Oauth error invalid_request"), CredentialsRejected, "isn't installed"),
            (401, page("unauthorized - Oauth error invalid_request"), CredentialsRejected, "isn't installed"),
            (400, page("400 - Oauth error shop_not_permitted"), ShopNotPermitted, "organisation"),
            (400, page("400 - Oauth error app_not_installed: canary"), AppNotInstalled, "install it"),
            (401, r#"{"errors":"canary"}"#.to_owned(), CredentialsRejected, "(401)"),
            (418, r#"{"errors":"canary"}"#.to_owned(), BackingOff, "(418)"),
            (402, r#"{"errors":"canary"}"#.to_owned(), ShopUnavailable, "bill"),
            (403, r#"{"errors":"Unavailable Shop"}"#.to_owned(), ShopUnavailable, "unavailable"),
            (420, r#"{"errors":"canary"}"#.to_owned(), ShopUnavailable, "locked"),
            (423, r#"{"errors":"canary"}"#.to_owned(), ShopUnavailable, "locked"),
            (430, r#"{"errors":"canary"}"#.to_owned(), ShopUnavailable, "security"),
            (404, page("Store unavailable"), ShopNotFound, "check its"),
            (404, r#"{"errors":"Not Found"}"#.to_owned(), ShopNotFound, "check its"),
            (429, String::new(), BackingOff, "rate"),
        ];
        for (status, body, reason, words) in rows {
            let answer = answer(status, &[("x-request-id", "ab-1"), ("retry-after", "7")], &body);
            let failure = Failure::from(refusal(&answer, &shop(), None));
            assert_eq!(failure.reason, reason, "{status} {body}");
            assert!(failure.message.contains(words), "{status}: {}", failure.message);
            assert!(failure.message.ends_with("(x-request-id ab-1)"), "{}", failure.message);
            assert!(!failure.message.contains("canary"), "{}", failure.message);
            assert_eq!(failure.retry_after, Some(TimeDelta::seconds(7)));
            assert_eq!(failure.may_settle, body.contains("application_cannot_be_found"));
            assert!(!failure.unreachable, "{status} {body}");
        }
        // Faults of Shopify's, and pages and JSON that aren't.
        for status in [401, 402, 403, 404, 407, 423, 430] {
            for code in ["unauthorized", "forbidden", "not_found", "canary"] {
                let failure = Failure::from(refusal(&answer(status, &[], &json(code)), &shop(), None));
                assert_eq!((failure.reason, failure.unreachable), (BackingOff, true), "{status} {code}");
            }
        }
        for status in [500, 502, 503, 504, 520, 524, 408, 400, 401, 402, 403, 404, 418, 420, 423, 430] {
            for page in ["<title>canary</title>", "canary", "", r#"{"error":"Canary"}"#] {
                let failure = Failure::from(refusal(&answer(status, &[], page), &shop(), None));
                assert_eq!(failure.reason, BackingOff, "{status}");
                assert!(failure.unreachable, "{status}");
                assert!(!failure.message.to_lowercase().contains("canary"), "{}", failure.message);
            }
        }
    }
}
