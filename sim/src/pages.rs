//! Pages of what stands between a client and Shopify, in place of an answer.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::answer::{answer, html_page};
use crate::fault::{Page, PageFault};

/// The page of a fault, with its status.
pub(crate) fn page(fault: PageFault) -> Response {
    let status = StatusCode::from_u16(fault.code).unwrap_or(StatusCode::FORBIDDEN);
    match fault.page {
        Page::BotWall => bot_wall(status),
        Page::Proxy => proxy(status),
        Page::PlainText => plain_text(status),
    }
}

/// A challenge (<https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response/>).
fn bot_wall(status: StatusCode) -> Response {
    let text = "Checking if the site connection is secure. Enable JavaScript and cookies to continue.";
    let mut response = html_page(status, "Just a moment...", text);
    set(response.headers_mut(), "server", "cloudflare");
    set(response.headers_mut(), "cf-mitigated", "challenge");
    response
}

/// What Squid and its like answer for a site that a company doesn't allow.
fn proxy(status: StatusCode) -> Response {
    let text = "Your organization's policy does not allow this site. Sign in to the proxy, or ask your administrator.";
    let mut response = html_page(status, "ERROR: The requested URL could not be retrieved", text);
    set(response.headers_mut(), "via", "1.1 proxy.example.com (squid/6.10)");
    set(response.headers_mut(), "x-squid-error", "ERR_ACCESS_DENIED 0");
    response
}

fn plain_text(status: StatusCode) -> Response {
    let words = status.canonical_reason().unwrap_or("Error");
    answer(status, "text/plain; charset=utf-8", words.as_bytes().to_vec())
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &'static str) {
    headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
}
