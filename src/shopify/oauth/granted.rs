//! What the token endpoint grants: values that can be one, lifetimes that can be believed.

use chrono::{SubsecRound, TimeDelta};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    core::{
        credential::{self, Credential, RefreshToken},
        failure::Failure,
        renewal::{self, Lifetime},
        scopes,
    },
    shopify::{Shop, answer::Answer, failure},
    time::Timestamp,
};

/// A lifetime that Shopify documents: assumed where an answer states none that can be believed.
pub(super) struct Documented {
    /// The lifetime.
    pub(super) lifetime: TimeDelta,
    /// The same in words.
    pub(super) words: &'static str,
}

/// Of a refresh token: `refresh_token_expires_in` is 7776000.
const REFRESH_TOKEN: Documented = Documented { lifetime: TimeDelta::days(90), words: "90 days" };

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    expires_in: Option<Value>,
}

#[derive(Deserialize)]
struct Beside {
    #[serde(default)]
    refresh_token: Option<SecretString>,
    #[serde(default)]
    refresh_token_expires_in: Option<Value>,
}

/// The access token of an answer, which expires whatever the answer says.
///
/// # Errors
/// No verdict, for an answer without a value that can be one.
pub(super) fn credential(
    answer: &Answer,
    shop: &Shop,
    now: Timestamp,
    documented: &Documented,
) -> Result<Credential, Failure> {
    let granted: Granted = answer.json().ok_or_else(|| failure::garbled(answer, shop))?;
    let (lifetime, warning) = lifetime(granted.expires_in.as_ref(), "a token", shop, documented);
    let credential = lasting(&granted, answer, shop, now)?;
    Ok(Credential { expires_at: Some(credential.issued_at + lifetime), warning, ..credential })
}

/// The same of an answer that may be about a token which never expires: it says nothing of a lifetime, and has no
/// refresh token.
///
/// # Errors
/// As for [`credential`].
pub(super) fn credential_or_lasting(
    answer: &Answer,
    shop: &Shop,
    now: Timestamp,
    documented: &Documented,
) -> Result<Credential, Failure> {
    let garbled = || failure::garbled(answer, shop);
    let granted: Granted = answer.json().ok_or_else(garbled)?;
    let beside: Beside = answer.json().ok_or_else(garbled)?;
    if granted.expires_in.is_none() && beside.refresh_token.is_none() {
        lasting(&granted, answer, shop, now)
    } else {
        credential(answer, shop, now, documented)
    }
}

/// The refresh token of an answer, if there is one, and what to warn of.
///
/// # Errors
/// No verdict, for a value that can't be one.
pub(super) fn refresh_token(
    answer: &Answer,
    shop: &Shop,
    now: Timestamp,
) -> Result<Option<(RefreshToken, Option<String>)>, Failure> {
    let beside: Beside = answer.json().ok_or_else(|| failure::garbled(answer, shop))?;
    let Some(value) = beside.refresh_token else { return Ok(None) };
    let value = checked(&value, answer, shop)?;
    let (lifetime, warning) =
        lifetime(beside.refresh_token_expires_in.as_ref(), "a refresh token", shop, &REFRESH_TOKEN);
    let expires_at = Some(now.trunc_subsecs(0) + lifetime);
    Ok(Some((RefreshToken { value, expires_at }, warning)))
}

fn lasting(granted: &Granted, answer: &Answer, shop: &Shop, now: Timestamp) -> Result<Credential, Failure> {
    Ok(Credential {
        value: checked(&granted.access_token, answer, shop)?,
        token_id: None,
        scopes: scopes::parse(granted.scope.as_deref().unwrap_or_default()),
        issued_at: now.trunc_subsecs(0),
        expires_at: None,
        warning: None,
    })
}

fn checked(value: &SecretString, answer: &Answer, shop: &Shop) -> Result<SecretString, Failure> {
    credential::check(value.expose_secret().as_bytes(), "the answer").map_err(|_| failure::garbled(answer, shop))
}

/// What is believed of `expires_in`, and what to warn of.
fn lifetime(
    expires_in: Option<&Value>,
    of_what: &str,
    shop: &Shop,
    documented: &Documented,
) -> (TimeDelta, Option<String>) {
    match renewal::lifetime(expires_in) {
        Lifetime::Stated(lifetime) => (lifetime, None),
        Lifetime::Unusual(what) => {
            let words = documented.words;
            let warning = format!("{shop} granted {of_what} with {what}; the documented {words} are assumed");
            (documented.lifetime, Some(warning))
        }
    }
}
