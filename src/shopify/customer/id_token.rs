//! Who signed in: an ID token, believed only as signed by the issuer, for this client and this sign-in, and now.
//!
//! OIDC Core 1.0, section 3.1.3.7. The signature is checked by `jsonwebtoken`; the claims are here, because time is an
//! argument.

use chrono::TimeDelta;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, Jwk, PublicKeyUse},
};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use subtle::ConstantTimeEq;

use crate::{
    core::{
        customer::Discovery,
        failure::Failure,
        vocabulary::{Reason, labels::ShopifyCall},
    },
    shopify::{Client, Shop, failure, form::Refusal},
    time::Timestamp,
};

/// How far the issuer's clock may be from ours.
const LEEWAY: TimeDelta = TimeDelta::seconds(60);

/// What a sign-in's ID token has to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The client that asked.
    pub client_id: &'a str,
    /// The nonce that the sign-in was begun with.
    pub nonce: &'a SecretString,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nonce: SecretString,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Client {
    /// The keys that can verify RS256; others of the set are passed over (RFC 7517, section 5).
    ///
    /// # Errors
    /// No keys, or none that can be read: `BackingOff`.
    pub async fn issuer_keys(&self, shop: &Shop, discovery: &Discovery) -> Result<IssuerKeys, Failure> {
        const NAME: &str = "Customer Account API's key set";
        let request = self.request(Method::GET, discovery.jwks_uri.url());
        let answer = self.of_accounts(shop, ShopifyCall::CustomerKeys, NAME, request).await?;
        let whom = format!("the {NAME} of {shop}");
        if !answer.status.is_success() {
            let refusal = Refusal::read(&answer, whom.as_str())?;
            let failure = failure::unknown_refusal(shop, &format!("the issuer's keys ({})", refusal.status()));
            return Err(failure::signed(failure, &answer));
        }
        let keys = answer.json::<Value>().and_then(|mut set| set.get_mut("keys").map(Value::take));
        let Some(Value::Array(keys)) = keys else {
            return Err(failure::garbled(&answer, shop));
        };
        let keys: Vec<Jwk> =
            keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).filter(signs).collect();
        // With none of them nothing can be checked, and a code would be used up for it.
        if keys.is_empty() { Err(failure::garbled(&answer, shop)) } else { Ok(IssuerKeys(keys)) }
    }
}

/// An issuer's keys, at hand before a code is used up.
#[derive(Clone, Debug)]
pub struct IssuerKeys(Vec<Jwk>);

impl IssuerKeys {
    /// Checks an ID token, and returns its subject: the customer's id at the issuer.
    ///
    /// # Errors
    /// `ConsentRequired` for an ID token that isn't for this sign-in: its session must not be used.
    pub fn signed_in(
        &self,
        shop: &Shop,
        discovery: &Discovery,
        id_token: &SecretString,
        expected: Expected<'_>,
        now: Timestamp,
    ) -> Result<String, Failure> {
        check(id_token, &self.0, discovery.issuer.as_str(), expected, now).map_err(|what| {
            Failure::new(
                Reason::ConsentRequired,
                format!(
                    "the ID token of the customer's sign-in at {shop} {what}: its session isn't used; sign in again, and if \
                     it lasts look for what stands between, and at the clock"
                ),
            )
        })
    }
}

fn signs(key: &Jwk) -> bool {
    let common = &key.common;
    matches!(key.algorithm, AlgorithmParameters::RSA(_))
        && common.key_algorithm.is_none_or(|algorithm| algorithm.to_string() == "RS256")
        && matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
}

/// The subject of an ID token that holds.
///
/// # Errors
/// What is wrong with it, after its name.
fn check(
    id_token: &SecretString,
    keys: &[Jwk],
    issuer: &str,
    expected: Expected<'_>,
    now: Timestamp,
) -> Result<String, &'static str> {
    let token = id_token.expose_secret();
    let header = decode_header(token).map_err(|_| "isn't a signed JWT")?;
    if header.alg != Algorithm::RS256 {
        return Err("isn't signed with RS256");
    }
    let key = key_of(keys, header.kid.as_deref()).ok_or("is signed with a key that the issuer doesn't name")?;
    let key = DecodingKey::from_jwk(key).map_err(|_| "is signed with a key that can't be read")?;
    let claims = decode::<Claims>(token, &key, &signature_alone()).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => "isn't signed by the issuer",
        _ => "lacks a claim, or has one of another type",
    })?;
    let Claims { iss, sub, aud, azp, exp, iat, nonce } = claims.claims;
    if iss != issuer {
        return Err("is of another issuer (iss) than was discovered");
    }
    let for_us = match &aud {
        Audience::One(audience) => audience == expected.client_id,
        // One that others may use, too, names who asked.
        Audience::Several(all) => {
            all.iter().any(|audience| audience == expected.client_id) && (all.len() == 1 || azp.is_some())
        }
    };
    if !for_us || azp.is_some_and(|azp| azp != expected.client_id) {
        return Err("is for another client (aud)");
    }
    #[allow(clippy::cast_precision_loss, reason = "seconds of our time are far below 2^52")]
    let seconds = |time: Timestamp| time.timestamp() as f64;
    if exp <= seconds(now - LEEWAY) {
        return Err("has expired (exp)");
    }
    if iat > seconds(now + LEEWAY) {
        return Err("is of the future (iat)");
    }
    if !bool::from(nonce.expose_secret().as_bytes().ct_eq(expected.nonce.expose_secret().as_bytes())) {
        return Err("is of another sign-in (nonce)");
    }
    if sub.is_empty() {
        return Err("names nobody (sub)");
    }
    Ok(sub)
}

/// The key of that id; of a token without one, the only key there is.
fn key_of<'a>(keys: &'a [Jwk], id: Option<&str>) -> Option<&'a Jwk> {
    match (id, keys) {
        (Some(id), keys) => keys.iter().find(|key| key.common.key_id.as_deref() == Some(id)),
        (None, [key]) => Some(key),
        (None, _) => None,
    }
}

/// The library reads its own clock: it checks the signature, and nothing else.
fn signature_alone() -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}
