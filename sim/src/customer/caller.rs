//! What every endpoint of customer accounts wants of who calls.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, ORIGIN, USER_AGENT};
use url::form_urlencoded;

use super::refused::Refused;
use crate::origin::header;
use crate::state::CustomerClient;

/// Who sends no `User-Agent` is refused
/// (<https://shopify.dev/docs/api/customer>).
pub(super) fn names_itself(headers: &HeaderMap) -> Result<(), Refused> {
    if header(headers, USER_AGENT.as_str()).is_empty() { Err(Refused::Nameless) } else { Ok(()) }
}

/// A public client's requests come from one of its JavaScript origins
/// (<https://shopify.dev/docs/api/customer>).
pub(super) fn comes_from_its_origin(client: &CustomerClient, headers: &HeaderMap) -> Result<(), Refused> {
    let origin = header(headers, ORIGIN.as_str());
    let allowed = !client.is_public || client.javascript_origins.iter().any(|allowed| allowed == origin);
    if allowed { Ok(()) } else { Err(Refused::Origin) }
}

/// Client id and secret of HTTP Basic, each decoded as in a form (RFC 6749,
/// section 2.3.1).
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let pair = header(headers, AUTHORIZATION.as_str()).strip_prefix("Basic ")?;
    let pair = String::from_utf8(BASE64_STANDARD.decode(pair).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decode = |text: &str| {
        // A pair without a name's sign is a name.
        form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
    };
    Some((decode(id), decode(secret)))
}
