//! What Shopify answered: status, the headers that matter, and a body that is never shown.

use std::fmt;

use chrono::{DateTime, TimeDelta};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use url::Url;

use super::Shop;

/// The longest wait that is believed of a `Retry-After`.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);

/// An answer, read to its end. `Debug` leaves the body out.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `x-request-id`, which Shopify's support asks for.
    pub(super) request_id: Option<String>,
    /// Type and subtype of `Content-Type`, such as `text/html`.
    pub(super) media: Option<String>,
    /// `Location`: where a redirect points to.
    pub(super) location: Option<String>,
    /// `X-Shopify-API-Version`: the version that answered, which may be another than the one asked for
    /// (<https://shopify.dev/docs/api/usage/versioning>).
    pub(super) served: Option<String>,
    /// `Retry-After`: seconds or an HTTP date (RFC 9110, section 10.2.3).
    pub(super) retry_after: Option<TimeDelta>,
    /// `page_info` of the `Link` to the next page
    /// (<https://shopify.dev/docs/api/admin-rest/usage/pagination>).
    pub(super) next_page: Option<String>,
    /// `WWW-Authenticate` names `invalid_token` (RFC 6750, section 3.1).
    pub(super) invalid_token: bool,
    /// `X-Shopify-Shop-Api-Call-Limit`: how many of how many REST calls are used up.
    pub(super) call_limit: Option<(u32, u32)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Self {
        Self {
            status,
            request_id: request_id(headers),
            media: media(headers),
            location: text(headers, header::LOCATION).map(str::to_owned),
            served: served(headers),
            retry_after: retry_after(headers),
            next_page: next_page(headers),
            invalid_token: text(headers, header::WWW_AUTHENTICATE).is_some_and(|value| value.contains("invalid_token")),
            call_limit: call_limit(headers),
            body,
        }
    }

    /// The body as JSON of the expected shape, if it is that. serde's own errors quote the body.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The shop that a redirect points to, if that is what it points to.
    pub(super) fn moved_to(&self) -> Option<Shop> {
        Url::parse(self.location.as_deref()?).ok()?.host_str()?.parse().ok()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The request id, if it looks like one: `<uuid>-<epoch>` today, a bare uuid before.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    text(headers, "x-request-id")
        .filter(|id| (1..=64).contains(&id.len()))
        .filter(|id| id.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-'))
        .map(str::to_owned)
}

/// Without parameters, and only if it is one: it is shown.
fn media(headers: &HeaderMap) -> Option<String> {
    let essence = text(headers, header::CONTENT_TYPE)?.split(';').next()?.trim();
    let is_token = |part: &str| {
        (1..=32).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
    };
    let (kind, subkind) = essence.split_once('/')?;
    (is_token(kind) && is_token(subkind)).then(|| essence.to_ascii_lowercase())
}

/// A date is compared with the answer's own `Date`, so that no clock of ours matters.
fn retry_after(headers: &HeaderMap) -> Option<TimeDelta> {
    let value = text(headers, header::RETRY_AFTER)?;
    let wait = match value.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() =>
        {
            #[allow(clippy::cast_possible_truncation, reason = "a float cast saturates, and the result is clamped")]
            TimeDelta::milliseconds(((seconds * 1000.0) as i64).clamp(0, LONGEST_WAIT.num_milliseconds()))
        }
        Ok(_) => return None,
        Err(_) => {
            let date = |text| DateTime::parse_from_rfc2822(text).ok();
            date(value)? - text(headers, header::DATE).and_then(date)?
        }
    };
    Some(wait.clamp(TimeDelta::zero(), LONGEST_WAIT))
}

/// The version, if it looks like one: `2026-10`, `unstable`.
fn served(headers: &HeaderMap) -> Option<String> {
    text(headers, "x-shopify-api-version")
        .filter(|version| (1..=16).contains(&version.len()))
        .filter(|version| version.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'))
        .map(str::to_owned)
}

fn call_limit(headers: &HeaderMap) -> Option<(u32, u32)> {
    let (used, all) = text(headers, "x-shopify-shop-api-call-limit")?.split_once('/')?;
    Some((used.parse().ok()?, all.parse().ok()?))
}

/// The one parameter of the next page's address that is needed; the address itself isn't trusted.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = text(headers, header::LINK)?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"))?;
    let (_, rest) = next.split_once('<')?;
    let (address, _) = rest.split_once('>')?;
    let address = Url::parse(address).ok()?;
    let mut parameters = address.query_pairs();
    parameters.find(|(key, _)| key == "page_info").map(|(_, cursor)| cursor.into_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    /// An answer as the transport would hand it over.
    pub(in crate::shopify) fn answer(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Answer {
        Answer::new(StatusCode::from_u16(status).unwrap(), &headers(pairs), body.as_bytes().to_vec())
    }

    #[test]
    fn retry_after_in_each_form() {
        let date = "Sun, 22 Nov 2026 05:00:00 GMT";
        for (value, seconds) in [
            ("2", Some(2.0)),
            ("2.0", Some(2.0)),
            ("0.25", Some(0.25)),
            ("-3", Some(0.0)),
            ("1e300", Some(3600.0)),
            ("86400", Some(3600.0)),
            ("Sun, 22 Nov 2026 05:00:42 GMT", Some(42.0)),
            ("Sun, 22 Nov 2026 04:00:00 GMT", Some(0.0)),
            ("Sat, 22 Nov 2036 05:00:42 GMT", Some(3600.0)),
            ("NaN", None),
            ("inf", None),
            ("soon", None),
            ("", None),
        ] {
            let wait = retry_after(&headers(&[("retry-after", value), ("date", date)]));
            assert_eq!(wait.map(TimeDelta::as_seconds_f64), seconds, "{value}");
        }
        let undated = headers(&[("retry-after", "Sun, 22 Nov 2026 05:00:42 GMT")]);
        assert_eq!(retry_after(&undated), None);
    }

    #[test]
    fn request_ids_are_taken_only_if_they_look_like_one() {
        let id = "ea767b40-6aaf-4a28-9132-0180522ee83b-1751450325";
        assert_eq!(request_id(&headers(&[("x-request-id", id)])).as_deref(), Some(id));
        for odd in ["", "shpat_canary", "a b", &"a".repeat(65)] {
            assert_eq!(request_id(&headers(&[("x-request-id", odd)])), None, "{odd}");
        }
    }

    #[test]
    fn the_next_page_of_a_link() {
        let page = "https://acme.myshopify.com/admin/api/2026-10/x.json?limit=50&page_info";
        let link = format!("<{page}=before>; rel=\"previous\", <{page}=after>; rel=\"next\"");
        assert_eq!(next_page(&headers(&[("link", &link)])).as_deref(), Some("after"));
        let link = format!("<{page}=before>; rel=\"previous\"");
        assert_eq!(next_page(&headers(&[("link", &link)])), None);
    }

    #[test]
    fn the_media_type_is_shown_only_if_it_is_one() {
        let media = |value| media(&headers(&[("content-type", value)]));
        assert_eq!(media("text/HTML; charset=utf-8").as_deref(), Some("text/html"));
        assert_eq!(media("application/vnd.api+json").as_deref(), Some("application/vnd.api+json"));
        for odd in ["", "text", "/", "text/", "a b/c", "shpat_1/x", &format!("text/{}", "a".repeat(33))] {
            assert_eq!(media(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_version_is_taken_only_if_it_looks_like_one() {
        let served = |value| served(&headers(&[("x-shopify-api-version", value)]));
        for version in ["2026-10", "unstable"] {
            assert_eq!(served(version).as_deref(), Some(version));
        }
        for odd in ["", "2026-10, 2026-07", "\"2026-10\"", &"1".repeat(17)] {
            assert_eq!(served(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_call_limit() {
        let name = "x-shopify-shop-api-call-limit";
        assert_eq!(call_limit(&headers(&[(name, "32/40")])), Some((32, 40)));
        for odd in ["", "32", "a/b", "-1/40"] {
            assert_eq!(call_limit(&headers(&[(name, odd)])), None, "{odd}");
        }
    }

    #[test]
    fn debug_leaves_the_body_out() {
        assert!(!format!("{:?}", answer(200, &[], "canary")).contains("canary"));
    }
}
