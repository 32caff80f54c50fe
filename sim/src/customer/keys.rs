//! The issuer's keys, made for the run, and what they sign: JWTs by RS256
//! (RFC 7515, RFC 7517).

use std::sync::LazyLock;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::{internal_error, json_answer};

const KEY_ID: &str = "simulated";

/// Made when first needed: most runs have no customers.
static KEY: LazyLock<Result<RsaKeyPair, Unspecified>> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048));
/// Of somebody else, under the same id.
static FOREIGN_KEY: LazyLock<Result<RsaKeyPair, Unspecified>> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048));

/// Whose key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    Issuer,
    SomebodyElse,
}

/// `GET {accounts}/.well-known/jwks.json`.
pub(crate) async fn jwks() -> Response {
    let public = match &*KEY {
        Ok(key) => RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key()),
        Err(error) => return internal_error(error),
    };
    let [n, e] = [public.n, public.e].map(|number| BASE64_URL_SAFE_NO_PAD.encode(number));
    let key = json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": n, "e": e });
    json_answer(StatusCode::OK, &json!({ "keys": [key] }))
}

/// A JWT with these claims.
pub(super) fn sign(claims: &Value, signer: Signer) -> Result<String, Unspecified> {
    let key = match signer {
        Signer::Issuer => &*KEY,
        Signer::SomebodyElse => &*FOREIGN_KEY,
    };
    let key = key.as_ref().map_err(|error| *error)?;
    let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID });
    let message = format!("{}.{}", encode(&header), encode(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)?;
    Ok(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
}
