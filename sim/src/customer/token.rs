//! The token endpoint: codes and refresh tokens become sessions.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::caller;
use super::keys::{Signer, sign};
use super::refused::Refused;
use crate::answer::json_answer;
use crate::config::ExpiresIn;
use crate::gate::Domain;
use crate::grant::Parameters;
use crate::shopify::Shopify;
use crate::state::{CustomerCode, CustomerSession, Owner, State as Platform};
use crate::switches::IdToken;

/// `POST {accounts}/oauth/token`.
pub(crate) async fn grant(
    State(shopify): State<Shopify>,
    Extension(Domain(shop)): Extension<Domain>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = shopify.now();
    let mut state = shopify.state();
    granted(&mut state, &shop, &headers, &body, now).unwrap_or_else(IntoResponse::into_response)
}

fn granted(
    state: &mut Platform,
    shop: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Response, Refused> {
    caller::names_itself(headers)?;
    let parameters = Parameters::of(headers, body);
    let owner = Owner::new(shop, parameters.get("client_id"));
    let client = state.customer_clients.get(&owner).ok_or(Refused::Client)?;
    caller::comes_from_its_origin(client, headers)?;
    let proven = match caller::basic(headers) {
        Some((id, secret)) => id == owner.client_id && client.has_live_secret(&secret),
        None => client.is_public,
    };
    if !proven {
        return Err(Refused::Client);
    }
    let (lifetime, expires_in) = (client.token_lifetime, client.expires_in.clone());
    let (session, id_token) = match parameters.get("grant_type") {
        "authorization_code" => {
            let code = state.take_customer_code(parameters.get("code"), now);
            let code = code.filter(|code| fits(code, &owner, &parameters)).ok_or(Refused::Grant)?;
            let session = state.begin_customer_session(&code, lifetime, now);
            let id_token = id_token(state, &session, &code, now)?;
            if let Some(kept) = state.customer_sessions.last_mut() {
                kept.id_token.clone_from(&id_token);
            }
            (session, id_token)
        }
        "refresh_token" => {
            let refresh_token = parameters.get("refresh_token");
            let session = state.continue_customer_session(&owner, refresh_token, lifetime, now);
            (session.ok_or(Refused::Grant)?, None)
        }
        _ => return Err(Refused::GrantType),
    };
    let mut answer = Map::new();
    answer.insert("access_token".to_owned(), Value::from(session.access_token));
    match expires_in {
        ExpiresIn::Lifetime => {
            answer.insert("expires_in".to_owned(), Value::from(lifetime.as_secs()));
        }
        ExpiresIn::Absent => {}
        ExpiresIn::Value(value) => {
            answer.insert("expires_in".to_owned(), value);
        }
    }
    if session.refresh_token != parameters.get("refresh_token") {
        answer.insert("refresh_token".to_owned(), Value::from(session.refresh_token));
    }
    if let Some(id_token) = id_token {
        answer.insert("id_token".to_owned(), Value::from(id_token));
    }
    Ok(json_answer(StatusCode::OK, &answer))
}

/// Whether a code was made for this client, this address and this verifier.
fn fits(code: &CustomerCode, owner: &Owner, parameters: &Parameters) -> bool {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, parameters.get("code_verifier").as_bytes());
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest);
    code.owner == *owner
        && code.redirect_uri == parameters.get("redirect_uri")
        && code.challenge.as_ref().is_none_or(|asked| *asked == challenge)
}

/// The ID token of a sign-in, or what the switch has in its place.
fn id_token(
    state: &Platform,
    session: &CustomerSession,
    code: &CustomerCode,
    now: DateTime<Utc>,
) -> Result<Option<String>, Refused> {
    let shop = state.shop(&session.owner.shop).map_err(|_| Refused::Internal)?;
    let mut claims = json!({
        "iss": shop.accounts(),
        "sub": state.switches.customer_subject,
        "aud": session.owner.client_id,
        "exp": session.expires_at.timestamp(),
        "iat": now.timestamp(),
        "sid": session.id.to_string(),
        "email": "customer@example.com",
        "email_verified": true,
    });
    if let Some(nonce) = &code.nonce {
        claims["nonce"] = Value::from(nonce.as_str());
    }
    let mut signer = Signer::Issuer;
    match state.switches.customer_id_token {
        IdToken::Good => {}
        IdToken::Absent => return Ok(None),
        IdToken::OtherIssuer => claims["iss"] = Value::from("https://shopify.com/authentication/1"),
        IdToken::OtherAudience => claims["aud"] = Value::from("shp_other"),
        IdToken::OtherNonce => claims["nonce"] = Value::from("other"),
        IdToken::Expired => claims["exp"] = Value::from((now - TimeDelta::hours(1)).timestamp()),
        IdToken::OtherKey => signer = Signer::SomebodyElse,
    }
    sign(&claims, signer).map(Some).map_err(|_| Refused::Internal)
}
