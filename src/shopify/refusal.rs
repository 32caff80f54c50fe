//! What the refusals of the Admin API mean, told apart by status, code and the words in them.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;

use super::{
    ApiError, Shop,
    answer::Answer,
    failure,
    form::{Refusal, Said},
};
use crate::core::{failure::Failure, vocabulary::Reason};

/// An answer whose status isn't a success (<https://shopify.dev/docs/api/usage/response-codes>), to a call of this
/// version.
pub(super) fn of_status(answer: &Answer, shop: &Shop, version: &str) -> ApiError {
    let refusal = match Refusal::read(answer, shop) {
        Ok(refusal) => refusal,
        // Signed already.
        Err(failure) => return ApiError::Failed(failure),
    };
    let error = match (&refusal.said, refusal.status()) {
        (Said::NoShop, _) => ApiError::Failed(failure::shop_not_found(shop)),
        // Only the token endpoint speaks like this.
        (Said::Code { .. }, _) => ApiError::Failed(failure::foreign(answer, shop)),
        (Said::Errors(_), 401) => ApiError::Unauthorized(dead_token(shop)),
        (Said::Errors(_), 404) => ApiError::NotFound(failure::no_version(shop, version)),
        (Said::Errors(words), status) => match (refusal.shop_state(shop), of_words(words, shop)) {
            (Some(state), _) => ApiError::Failed(state),
            (None, Some(error)) => error,
            (None, None) if status == 403 => ApiError::Forbidden(failure::shop_inactive(shop)),
            (None, None) => ApiError::Failed(failure::unknown_refusal(shop, &format!("the call ({status})"))),
        },
    };
    signed(error, answer)
}

/// The top-level `errors` of a GraphQL answer.
pub(super) fn of_errors(errors: &Value, throttled_for: Option<Duration>, answer: &Answer, shop: &Shop) -> ApiError {
    let codes: Vec<&str> = errors
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|error| error.pointer("/extensions/code")?.as_str())
        .collect();
    let known = codes.iter().find_map(|code| of_code(code, throttled_for, shop));
    let error = known.or_else(|| of_words(&failure::words(errors), shop)).unwrap_or_else(|| {
        ApiError::Failed(failure::unknown_refusal(
            shop,
            "the query (is spec.apiVersion of the app a version Shopify supports?)",
        ))
    });
    signed(error, answer)
}

/// The `userErrors` of a mutation. `None` if there are none.
pub(super) fn of_user_errors(errors: &Value, answer: &Answer, shop: &Shop) -> Option<ApiError> {
    let errors = errors.as_array().filter(|errors| !errors.is_empty())?;
    let absent = errors.iter().all(|error| speaks_of_absence(&failure::words(error)));
    let error = if absent {
        ApiError::NotFound(failure::unknown_refusal(shop, "the change"))
    } else {
        let words: String = errors.iter().map(failure::words).collect();
        // The mutation itself says that it did nothing.
        let refused = || Failure { unsure: false, ..failure::unknown_refusal(shop, "the change") };
        of_words(&words, shop).unwrap_or_else(|| ApiError::Failed(refused()))
    };
    Some(signed(error, answer))
}

/// <https://shopify.dev/docs/api/admin-graphql#status-and-error-codes>
fn of_code(code: &str, throttled_for: Option<Duration>, shop: &Shop) -> Option<ApiError> {
    Some(match code {
        "THROTTLED" => {
            let wait = throttled_for.unwrap_or(Duration::from_secs(1));
            ApiError::Failed(failure::throttled(shop, TimeDelta::from_std(wait).ok()))
        }
        "ACCESS_DENIED" => ApiError::Forbidden(scopes_missing(shop)),
        "UNAUTHORIZED" => ApiError::Unauthorized(dead_token(shop)),
        "SHOP_INACTIVE" => ApiError::Failed(failure::shop_inactive(shop)),
        "INTERNAL_SERVER_ERROR" | "TIMEOUT" => ApiError::Failed(failure::fault(shop)),
        "RESOURCE_NOT_FOUND" | "NOT_FOUND" => {
            ApiError::NotFound(failure::unknown_refusal(shop, "the call, for something that isn't there,"))
        }
        _ => return None,
    })
}

fn of_words(words: &str, shop: &Shop) -> Option<ApiError> {
    let has = |any: &[&str]| any.iter().any(|part| words.contains(part));
    Some(if has(&[failure::NON_EXPIRING]) {
        ApiError::Forbidden(failure::migration_required(shop))
    } else if has(&["invalid api key or access token"]) {
        ApiError::Unauthorized(dead_token(shop))
    } else if has(&["throttled", "calls per second", "rate limit", "too many requests"]) {
        ApiError::Failed(failure::throttled(shop, None))
    } else if has(&["access denied", "must be eligible", "merchant approval", "access_denied"]) {
        ApiError::Forbidden(scopes_missing(shop))
    } else if has(&["limit"]) {
        ApiError::Failed(limit_reached(shop))
    } else if has(&["unavailable"]) {
        ApiError::Failed(failure::shop_inactive(shop))
    } else {
        return None;
    })
}

/// Whether words say that something isn't there: what a deletion wants to hear. Shopify's own aren't
/// documented, and may be an i18n key.
fn speaks_of_absence(words: &str) -> bool {
    [
        "not found",
        "not_found",
        "not exist",
        "n't exist",
        "no longer exist",
        "not_exist",
        "could not find",
        "couldn't find",
        "not be found",
        "n't be found",
        "already deleted",
        "already been deleted",
        "already revoked",
    ]
    .iter()
    .any(|part| words.contains(part))
}

fn dead_token(shop: &Shop) -> Failure {
    Failure::new(
        Reason::TokenRejected,
        format!("{shop} refuses the admin token: it has expired, was revoked, or the app was uninstalled (401)"),
    )
}

fn scopes_missing(shop: &Shop) -> Failure {
    Failure::new(
        Reason::ScopesMissing,
        format!(
            "{shop} denies the app access: release an app version with the scopes this needs (for storefront tokens \
             at least one `unauthenticated_*` scope) and let the merchant approve or install it again"
        ),
    )
}

fn limit_reached(shop: &Shop) -> Failure {
    Failure::new(
        Reason::LimitReached,
        format!(
            "the app has as many storefront tokens on {shop} as Shopify allows (100): delete tokens that nobody uses"
        ),
    )
}

fn signed(error: ApiError, answer: &Answer) -> ApiError {
    let sign = |failure| failure::signed(failure, answer);
    match error {
        ApiError::Unauthorized(f) => ApiError::Unauthorized(sign(f)),
        ApiError::Forbidden(f) => ApiError::Forbidden(sign(f)),
        ApiError::NotFound(f) => ApiError::NotFound(sign(f)),
        ApiError::Failed(f) => ApiError::Failed(sign(f)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        core::cause::Cause,
        shopify::{answer::tests::answer, stub::shop},
    };

    fn kind(error: &ApiError) -> &'static str {
        match error {
            ApiError::Unauthorized(_) => "unauthorized",
            ApiError::Forbidden(_) => "forbidden",
            ApiError::NotFound(_) => "not found",
            ApiError::Failed(_) => "failed",
        }
    }

    fn assert_discreet(error: &ApiError) {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("(x-request-id ab-1)"), "{shown}");
    }

    /// Every documented status, with the body it comes with.
    #[test]
    fn statuses() {
        use Reason::{
            BackingOff, LimitReached, MigrationRequired, ScopesMissing, ShopNotFound, ShopUnavailable, TokenRejected,
            UnknownApiVersion,
        };
        #[rustfmt::skip]
        let rows = [
            (401, r#"{"errors":"[API] Invalid API key or access token (unrecognized login or wrong password)"}"#, "unauthorized", TokenRejected),
            (401, "canary", "failed", BackingOff),
            (401, r#"{"error":"invalid_client"}"#, "failed", BackingOff),
            (402, "<html>canary</html>", "failed", BackingOff),
            (402, r#"{"errors":"This shop's plan does not have access to this feature"}"#, "failed", ShopUnavailable),
            (402, r#"{"errors":"Unavailable Shop"}"#, "failed", ShopUnavailable),
            (403, r#"{"errors":"User does not have access"}"#, "forbidden", ShopUnavailable),
            (403, r#"{"errors":"Unavailable Shop"}"#, "failed", ShopUnavailable),
            (403, r#"{"errors":"[API] This action requires merchant approval for read_themes scope."}"#, "forbidden", ScopesMissing),
            (403, r#"{"errors":"Token must be eligible to manage storefront tokens."}"#, "forbidden", ScopesMissing),
            (403, r#"{"errors":"[API] Non-expiring access tokens are no longer accepted for the Admin API. Start using expiring offline tokens: https://shopify.dev/"}"#, "forbidden", MigrationRequired),
            (403, "<html>canary</html>", "failed", BackingOff),
            (404, r#"{"errors":"Not Found"}"#, "not found", UnknownApiVersion),
            (404, "", "failed", BackingOff),
            (404, "<html>canary</html>", "failed", BackingOff),
            (404, "\n<!DOCTYPE html>Store unavailable", "failed", ShopNotFound),
            (400, r#"{"errors":["Api permission exceeds public access token limit of: 100"]}"#, "failed", LimitReached),
            (422, r#"{"errors":{"base":["limit of canary"]}}"#, "failed", LimitReached),
            (400, r#"{"errors":{"query":"Required parameter missing or invalid"}}"#, "failed", BackingOff),
            (406, "canary", "failed", BackingOff),
            (423, r#"{"errors":"This shop is unavailable"}"#, "failed", ShopUnavailable),
            (423, "<html>canary</html>", "failed", BackingOff),
            (430, r#"{"errors":"canary"}"#, "failed", ShopUnavailable),
            (430, "", "failed", BackingOff),
            (429, r#"{"errors":"Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service."}"#, "failed", BackingOff),
            (500, r#"{"errors":"An unexpected error occurred"}"#, "failed", BackingOff),
            (520, "canary", "failed", BackingOff),
        ];
        for (status, body, expected, reason) in rows {
            let headers = [("x-request-id", "ab-1"), ("retry-after", "2.0")];
            let error = of_status(&answer(status, &headers, body), &shop(), "2030-01");
            assert_eq!((kind(&error), error.failure().reason), (expected, reason), "{status} {body}");
            let foreign = !body.contains("errors") && reason == BackingOff;
            assert_eq!(error.failure().unreachable, foreign || status >= 500, "{status} {body}");
            assert_eq!(error.failure().retry_after, Some(TimeDelta::seconds(2)));
            assert!(!error.failure().may_settle);
            assert_discreet(&error);
        }
    }

    /// Every documented top-level error of GraphQL, and the words of those without a code.
    #[test]
    fn graphql_errors() {
        use Reason::{BackingOff, LimitReached, ScopesMissing, ShopUnavailable, TokenRejected};
        let coded = |code: &str| json!([{"message": "canary", "extensions": {"code": code}}]);
        #[rustfmt::skip]
        let rows = [
            (coded("THROTTLED"), "failed", BackingOff),
            (coded("ACCESS_DENIED"), "forbidden", ScopesMissing),
            (coded("UNAUTHORIZED"), "unauthorized", TokenRejected),
            (coded("SHOP_INACTIVE"), "failed", ShopUnavailable),
            (coded("MAX_COST_EXCEEDED"), "failed", BackingOff),
            (coded("undefinedField"), "failed", BackingOff),
            (coded("RESOURCE_NOT_FOUND"), "not found", BackingOff),
            (json!([{"message": "Access denied for storefrontAccessTokenCreate field."}]), "forbidden", ScopesMissing),
            (json!([{"message": "Field 'storefrontAccessTokenDelete' doesn't exist on type 'Mutation'"}]), "failed", BackingOff),
            (json!([{"message": "Throttled"}]), "failed", BackingOff),
            (json!([{"message": "API rate limit exceeded"}]), "failed", BackingOff),
            (json!([{"message": "reached_limit"}]), "failed", LimitReached),
            (json!("[API] Invalid API key or access token"), "unauthorized", TokenRejected),
            (json!({"canary": ["canary"]}), "failed", BackingOff),
        ];
        let answer = answer(200, &[("x-request-id", "ab-1")], "");
        for (errors, expected, reason) in rows {
            let error = of_errors(&errors, None, &answer, &shop());
            assert_eq!((kind(&error), error.failure().reason), (expected, reason), "{errors}");
            assert!(!error.failure().unreachable, "{errors}");
            assert_discreet(&error);
        }
        let wait = |wait| of_errors(&coded("THROTTLED"), wait, &answer, &shop()).failure().retry_after;
        assert_eq!(wait(None), Some(TimeDelta::seconds(1)));
        assert_eq!(wait(Some(Duration::from_secs(3))), Some(TimeDelta::seconds(3)));
        let broken = of_errors(&coded("INTERNAL_SERVER_ERROR"), None, &answer, &shop());
        assert!(!broken.failure().unreachable, "one query's fault is no outage");
        assert_eq!(Cause::of(&broken.failure().message), Cause::Fault);
        let throttled = of_errors(&coded("THROTTLED"), None, &answer, &shop());
        assert_eq!(Cause::of(&throttled.failure().message), Cause::RateLimit);
        let unknown = of_errors(&json!({"canary": ["canary"]}), None, &answer, &shop());
        assert_eq!(Cause::of(&unknown.failure().message), Cause::Other);
        // What may have been done all the same.
        let unsure = |errors: &Value| of_errors(errors, None, &answer, &shop()).failure().unsure;
        assert!(unsure(&coded("INTERNAL_SERVER_ERROR")) && unsure(&json!({"canary": ["canary"]})));
        assert!(!unsure(&coded("THROTTLED")) && !unsure(&coded("ACCESS_DENIED")));
    }

    #[test]
    fn user_errors() {
        let answer = answer(200, &[("x-request-id", "ab-1")], "");
        let of = |texts: &[&str]| {
            let errors: Value = texts.iter().map(|text| json!({"field": ["input"], "message": text})).collect();
            of_user_errors(&errors, &answer, &shop()).inspect(assert_discreet)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of_user_errors(&Value::Null, &answer, &shop()), None);
        for absent in [
            "Storefront access token does not exist",
            "Storefront access token not found",
            "The token couldn't be found.",
            "apps.admin.graph_api_errors.storefront_access_token_delete.not_found",
        ] {
            assert_eq!(kind(&of(&[absent]).unwrap()), "not found", "{absent}");
        }
        for (text, reason) in [
            ("apps.admin.graph_api_errors.storefront_access_token_create.reached_limit", Reason::LimitReached),
            ("Api permission exceeds public access token limit of: 100", Reason::LimitReached),
            ("Access denied.", Reason::ScopesMissing),
            ("Title can't be blank", Reason::BackingOff),
            ("canary", Reason::BackingOff),
        ] {
            assert_eq!(of(&[text]).unwrap().failure().reason, reason, "{text}");
            let mixed = of(&["Token does not exist", text]).unwrap();
            assert_ne!(kind(&mixed), "not found", "an unknown complaint is no success");
        }
    }
}
