//! Every documented answer that isn't a success, as a fixed reason and a message that says what to do.
//!
//! Bodies are searched for the words Shopify uses (<https://shopify.dev/docs/api/usage/response-codes>)
//! and never quoted.

use std::{borrow::Cow, fmt::Display};

use chrono::TimeDelta;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Shop, answer::Answer};
use crate::{
    api::app::NEWEST_API_VERSION,
    core::{
        cause::{FAULT, FOREIGN, RATE_LIMIT, REDIRECT, UNREADABLE},
        failure::Failure,
        vocabulary::Reason,
    },
};

/// Why a call with an admin token failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ApiError {
    /// 401: the token used is dead. It has expired, was revoked, or the app was uninstalled.
    #[error("{}", .0.message)]
    Unauthorized(Failure),
    /// 403 or `ACCESS_DENIED`: the token lives, but may not do this.
    #[error("{}", .0.message)]
    Forbidden(Failure),
    /// The API is there and says that what the call is about isn't (`RESOURCE_NOT_FOUND`, a user error, REST's 404 of
    /// a document).
    #[error("{}", .0.message)]
    NotFound(Failure),
    /// Anything else.
    #[error("{}", .0.message)]
    Failed(Failure),
}

impl ApiError {
    /// The failure, whatever its kind.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        match self {
            Self::Unauthorized(f) | Self::Forbidden(f) | Self::NotFound(f) | Self::Failed(f) => f,
        }
    }

    /// The error of a call that isn't about one thing: what isn't there is the API itself.
    pub(super) fn of_api(self) -> Self {
        match self {
            Self::NotFound(failure) => Self::Failed(failure),
            Self::Unauthorized(_) | Self::Forbidden(_) | Self::Failed(_) => self,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Unauthorized(f) | ApiError::Forbidden(f) | ApiError::NotFound(f) | ApiError::Failed(f) => f,
        }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The shop gave no answer.
pub(super) fn unreachable(message: impl Into<String>) -> Failure {
    Failure { unreachable: true, unsure: true, ..Failure::new(Reason::BackingOff, message) }
}

/// The shop's answer can't be used.
pub(super) fn unreadable(whom: impl Display, what: &str) -> Failure {
    unreachable(format!("the answer of {whom} {what}: {UNREADABLE}, and at https://www.shopifystatus.com"))
}

/// A success whose body isn't what is documented.
pub(super) fn garbled(answer: &Answer, shop: &Shop) -> Failure {
    let failure = match answer.json::<IgnoredAny>() {
        Some(_) => unreadable(shop, "isn't what Shopify documents"),
        None => foreign(answer, shop),
    };
    signed(failure, answer)
}

/// An answer in none of Shopify's forms. It says nothing of shop, app or token, whatever its status.
pub(super) fn foreign(answer: &Answer, whom: impl Display) -> Failure {
    let what = match &answer.media {
        _ if answer.body.trim_ascii().is_empty() => "an empty body".to_owned(),
        Some(media) if media == "application/json" => "JSON of another form".to_owned(),
        Some(media) => format!("a page of {media}"),
        None => "something without a content type".to_owned(),
    };
    let status = answer.status.as_u16();
    let known = if status == 430 { ", or Shopify's security rejects our calls: ask Shopify's support" } else { "" };
    unreachable(format!(
        "{whom} answered {status} with {what}, {FOREIGN}: a proxy, a bot wall or a captive portal \
         may stand between{known}; it is asked again, but check egress and proxies, and https://www.shopifystatus.com"
    ))
}

/// 408 and 5xx, in Shopify's own form.
pub(super) fn broken(answer: &Answer, whom: impl Display) -> Failure {
    let status = answer.status.as_u16();
    unreachable(format!("{whom} answers {status}: {FAULT}; if it lasts, look at https://www.shopifystatus.com"))
}

/// A well-formed answer that lacks what is documented: odd for this object, and no sign of an outage.
pub(super) fn unexpected(answer: &Answer, shop: &Shop) -> Failure {
    let message = format!(
        "{shop} answers in Shopify's form, but without what is documented, such as the app's installation: the token may belong to no app of this shop; replace it, or ask Shopify's support with the request id"
    );
    signed(Failure { unsure: true, ..Failure::new(Reason::UnexpectedAnswer, message) }, answer)
}

/// A fault that Shopify reports in a well-formed answer to this one query: no sign of an outage.
pub(super) fn fault(shop: &Shop) -> Failure {
    let message =
        format!("{shop} answers with an internal error: {FAULT}; if it lasts, look at https://www.shopifystatus.com");
    Failure { unsure: true, ..Failure::new(Reason::BackingOff, message) }
}

/// A limit of Shopify's is used up for now.
pub(super) fn throttled(whom: impl Display, retry_after: Option<TimeDelta>) -> Failure {
    Failure {
        retry_after,
        ..Failure::new(Reason::BackingOff, format!("{whom} {RATE_LIMIT}: nothing to do, it goes on by itself"))
    }
}

/// What stands before the id of a request in a message, and after it.
const REQUEST: (&str, char) = (" (x-request-id ", ')');

/// Adds the request id that Shopify's support asks for, and the wait it asked for.
pub(super) fn signed(mut failure: Failure, answer: &Answer) -> Failure {
    if let Some(id) = &answer.request_id {
        failure.message = format!("{}{}{id}{}", failure.message, REQUEST.0, REQUEST.1);
    }
    failure.retry_after = failure.retry_after.or(answer.retry_after);
    failure
}

/// A message without the id of its request: the same refusal has another one each time.
#[must_use]
pub fn unsigned(message: &str) -> Cow<'_, str> {
    let found = message.split_once(REQUEST.0).and_then(|(before, rest)| Some((before, rest.split_once(REQUEST.1)?.1)));
    found.map_or(Cow::Borrowed(message), |(before, after)| Cow::Owned(format!("{before}{after}")))
}

/// Redirects are never followed: a credential must not go where an answer points.
pub(super) fn redirect(answer: &Answer, shop: &Shop) -> Option<Failure> {
    let failure = match answer.status.as_u16() {
        301 | 308 if answer.moved_to().is_some_and(|to| to != *shop) => Failure::new(
            Reason::ShopNotFound,
            format!(
                "{shop} answers with a redirect to another shop, which is never followed: \
                 it may have been renamed; use its permanent myshopify.com name"
            ),
        ),
        300..400 => Failure::new(
            Reason::BackingOff,
            format!(
                "{shop} {REDIRECT}: open the shop's admin in a browser and see whether it is closed, paused or being \
                 moved; if it isn't, a proxy or a captive portal may stand between"
            ),
        ),
        _ => return None,
    };
    Some(signed(failure, answer))
}

pub(super) fn shop_not_found(shop: &Shop) -> Failure {
    Failure::new(
        Reason::ShopNotFound,
        format!("there is no shop {shop}, or it is closed: check its permanent myshopify.com name (404)"),
    )
}

/// A versioned path that isn't there. A version that was retired is answered by another one, so this one was never
/// there, or is to come (<https://shopify.dev/docs/api/usage/versioning>).
pub(super) fn no_version(shop: &Shop, version: &str) -> Failure {
    Failure::new(
        Reason::UnknownApiVersion,
        format!(
            "{shop} has no API of version {version:?} (404): set spec.apiVersion of the ShopifyApp to a version that \
             Shopify supports by now (https://shopify.dev/docs/api/usage/versioning), or leave it out for \
             {NEWEST_API_VERSION}; if it is one, the shop is closed"
        ),
    )
}

/// Words of the refusal of tokens that never expire, in lower case
/// (<https://shopify.dev/changelog/expiring-offline-access-tokens-required-for-public-apps-april-1-2026>).
pub(super) const NON_EXPIRING: &str = "non-expiring access tokens";

/// The app must use tokens that expire.
pub(super) fn migration_required(shop: &Shop) -> Failure {
    Failure::new(
        Reason::MigrationRequired,
        format!(
            "{shop} no longer accepts this app's non-expiring token: migrate it to an expiring one \
             (source `offline` with `expiring: true` and `migrate: true`; this can't be undone), \
             or use source `clientCredentials`"
        ),
    )
}

/// The shop itself is closed to us, in words.
pub(super) fn shop_inactive(shop: &Shop) -> Failure {
    Failure::new(
        Reason::ShopUnavailable,
        format!("{shop} is unavailable: it is inactive, unpaid or flagged; its owner finds out why in Shopify's admin"),
    )
}

/// A refusal in words this release doesn't know.
pub(super) fn unknown_refusal(shop: &Shop, what: &str) -> Failure {
    let failure = Failure::new(
        Reason::BackingOff,
        format!(
            "{shop} refuses {what} in a way this release doesn't know: ask Shopify's support with the request id, \
             and report it to this project"
        ),
    );
    Failure { unsure: true, ..failure }
}

/// All text below `errors`, `error` and the like, in lower case: to search, never to show.
pub(super) fn words(value: &Value) -> String {
    fn collect(value: &Value, into: &mut String) {
        match value {
            Value::String(text) => {
                into.push_str(&text.to_lowercase());
                into.push('\n');
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut text = String::new();
    collect(value, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_found_at_any_depth() {
        let text = words(&json!({"errors": {"base": ["Limit", {"message": "X"}]}, "n": 1}));
        assert_eq!(text, "limit\nx\n");
    }

    #[test]
    fn shopify_s_wait_is_kept() {
        let answer = crate::shopify::answer::tests::answer(429, &[("retry-after", "9")], "");
        let own = Failure { retry_after: Some(TimeDelta::seconds(3)), ..Failure::new(Reason::BackingOff, "x") };
        assert_eq!(signed(own, &answer).retry_after, Some(TimeDelta::seconds(3)));
        let none = Failure::new(Reason::BackingOff, "x");
        assert_eq!(signed(none, &answer).retry_after, Some(TimeDelta::seconds(9)));
    }
}
