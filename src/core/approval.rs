//! The state of an approval: which object a browser was sent to Shopify for, when, and which browser it was.
//!
//! It is signed with a key made of the app's client secret, so that every replica can check it and nobody has to keep
//! another key.

use aws_lc_rs::{
    hkdf,
    hmac::{self, HMAC_SHA256},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::identity::Identity;
use crate::time::Timestamp;

/// How long after its beginning an approval may come back.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// How long after its beginning its outcome can be looked at.
pub const SHOWN: TimeDelta = TimeDelta::hours(1);
/// Clocks of two replicas may differ by this much.
pub(super) const SKEW: TimeDelta = TimeDelta::minutes(1);
/// Most bytes of a state.
const LONGEST: usize = 1024;
/// What the key is for: the client secret signs nothing else with it.
const PURPOSE: &[u8] = b"shopify-token-operator approval state 1";
const VERIFIER: &[u8] = b"shopify-token-operator code verifier 1";
const NONCE: &[u8] = b"shopify-token-operator nonce 1";

/// What a browser keeps in its cookie: 32 random bytes, in base64url. `Debug` prints `[REDACTED]`.
#[derive(Clone, Debug)]
pub struct Browser(SecretString);

impl Browser {
    /// A new one, of random bytes.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(SecretString::from(BASE64_URL_SAFE_NO_PAD.encode(random)))
    }

    /// Reads a cookie's value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        (bytes.len() == 32).then(|| Self(SecretString::from(text)))
    }

    /// The cookie's value.
    #[must_use]
    pub fn value(&self) -> &SecretString {
        &self.0
    }

    /// What a state names it by.
    fn fingerprint(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose_secret().as_bytes()))
    }
}

/// What an approval was begun with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// For which object.
    pub object: Identity,
    /// When.
    pub begun_at: Timestamp,
    /// In which browser.
    browser: String,
    /// Tells this beginning from every other one.
    nonce: String,
}

/// A state that a browser brought, and nobody has checked.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// What it claims.
    pub state: State,
    signed: String,
    signature: Vec<u8>,
}

/// Why a state doesn't count.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidState {
    /// None of ours, or signed with a client secret that the app has no more.
    #[error("the state isn't signed by this operator")]
    Forged,
    /// It was begun too long ago.
    #[error("the approval was begun too long ago")]
    Expired,
    /// It was begun in another browser.
    #[error("the approval was begun in another browser")]
    OtherBrowser,
}

#[derive(Deserialize, Serialize)]
struct Text {
    object: String,
    at: i64,
    browser: String,
    nonce: String,
}

impl State {
    /// Begins an approval. `nonce` is random.
    #[must_use]
    pub fn begin(object: Identity, browser: &Browser, nonce: [u8; 16], now: Timestamp) -> Self {
        let nonce = BASE64_URL_SAFE_NO_PAD.encode(nonce);
        Self { object, begun_at: now, browser: browser.fingerprint(), nonce }
    }

    /// The state as it travels, signed with the app's current client secret.
    #[must_use]
    pub fn sign(&self, client_secret: &SecretString) -> Option<String> {
        let text = Text {
            object: self.object.to_string(),
            at: self.begun_at.timestamp(),
            browser: self.browser.clone(),
            nonce: self.nonce.clone(),
        };
        let signed = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&text).ok()?);
        let tag = hmac::sign(&key(client_secret)?, signed.as_bytes());
        Some(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag)))
    }
}

impl Claimed {
    /// Reads a state without believing it.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (signed, signature) = text.split_once('.')?;
        let Text { object, at, browser, nonce } =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(signed).ok()?).ok()?;
        let begun_at = Timestamp::from_timestamp(at, 0)?;
        let state = State { object: object.parse().ok()?, begun_at, browser, nonce };
        Some(Self { state, signed: signed.to_owned(), signature: BASE64_URL_SAFE_NO_PAD.decode(signature).ok()? })
    }

    /// Whether this browser began it. That takes no secret: it can be asked before anything is read.
    #[must_use]
    pub fn is_of(&self, browser: &Browser) -> bool {
        self.state.browser == browser.fingerprint()
    }

    /// What it says, if it is signed with one of the app's client secrets, not older than `lifetime`, and this browser's.
    ///
    /// # Errors
    /// [`InvalidState`], asked in the order in which it is declared.
    pub fn check(
        &self,
        client_secrets: &[&SecretString],
        browser: Option<&Browser>,
        lifetime: TimeDelta,
        now: Timestamp,
    ) -> Result<&State, InvalidState> {
        let ours = |secret: &&&SecretString| {
            key(secret).is_some_and(|key| hmac::verify(&key, self.signed.as_bytes(), &self.signature).is_ok())
        };
        if client_secrets.iter().find(ours).is_none() {
            return Err(InvalidState::Forged);
        }
        let age = now - self.state.begun_at;
        if age > lifetime || age < -SKEW {
            return Err(InvalidState::Expired);
        }
        if !browser.is_some_and(|browser| self.is_of(browser)) {
            return Err(InvalidState::OtherBrowser);
        }
        Ok(&self.state)
    }

    /// The state as it travels.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}.{}", self.signed, BASE64_URL_SAFE_NO_PAD.encode(&self.signature))
    }

    /// What a used state is known by: a hash, which nobody can come back with.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.signed)
    }
}

fn fingerprint(signed: &str) -> String {
    hex::encode(&Sha256::digest(signed.as_bytes())[..16])
}

/// What a customer's sign-in is begun with and known by at its exchange. `Debug` prints `[REDACTED]`.
///
/// Both are made of the client secret and the fingerprint of the state, so that nobody has to keep them: who has the
/// secret finds them again, and to who hasn't they are random.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The code verifier, of 43 characters (RFC 7636, section 4.1).
    pub verifier: SecretString,
    /// The nonce of the ID token (OIDC Core 1.0, section 3.1.2.1).
    pub nonce: SecretString,
}

impl Proof {
    /// That of a signed state, as it travels.
    #[must_use]
    pub fn of_text(client_secret: &SecretString, text: &str) -> Option<Self> {
        Self::of(client_secret, &fingerprint(text.split_once('.')?.0))
    }

    /// That of the state with this fingerprint.
    #[must_use]
    pub fn of(client_secret: &SecretString, state: &str) -> Option<Self> {
        let derive = |purpose| {
            let tag = hmac::sign(&key_for(client_secret, purpose)?, state.as_bytes());
            Some(SecretString::from(BASE64_URL_SAFE_NO_PAD.encode(tag)))
        };
        Some(Self { verifier: derive(VERIFIER)?, nonce: derive(NONCE)? })
    }
}

/// The key that an app's states are signed with.
fn key(client_secret: &SecretString) -> Option<hmac::Key> {
    key_for(client_secret, PURPOSE)
}

/// A key of the client secret's that is good for this alone (RFC 5869).
fn key_for(client_secret: &SecretString, purpose: &'static [u8]) -> Option<hmac::Key> {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, purpose).extract(client_secret.expose_secret().as_bytes());
    Some(extracted.expand(&[purpose], HMAC_SHA256).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::scene::{identity, minutes, now, secret_string};

    fn browser(n: u8) -> Browser {
        Browser::new([n; 32])
    }

    fn begun() -> String {
        State::begin(identity(), &browser(1), [7; 16], now()).sign(&secret_string("current")).unwrap()
    }

    fn check(text: &str, secrets: &[&str], of: Option<&Browser>, after: TimeDelta) -> Result<Identity, String> {
        let claimed = Claimed::read(text).ok_or("no state")?;
        let secrets: Vec<SecretString> = secrets.iter().map(|text| secret_string(text)).collect();
        let secrets: Vec<&SecretString> = secrets.iter().collect();
        let checked = claimed.check(&secrets, of, LIFETIME, now() + after);
        checked.map(|state| state.object.clone()).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn a_state_counts_with_either_secret_in_its_browser_for_ten_minutes() {
        let text = begun();
        let (this, other) = (browser(1), browser(2));
        for (about, secrets, of, after, outcome) in [
            ("at once", &["current"][..], Some(&this), minutes(0), Ok(())),
            ("at its end", &["current"], Some(&this), minutes(10), Ok(())),
            ("after its end", &["current"], Some(&this), minutes(11), Err("Expired")),
            ("of a clock that is behind", &["current"], Some(&this), minutes(-1), Ok(())),
            ("before its beginning", &["current"], Some(&this), minutes(-2), Err("Expired")),
            ("the secret is the previous one by now", &["new", "current"], Some(&this), minutes(1), Ok(())),
            ("the secret is gone", &["new", "newer"], Some(&this), minutes(1), Err("Forged")),
            ("no secret", &[], Some(&this), minutes(1), Err("Forged")),
            ("another browser", &["current"], Some(&other), minutes(1), Err("OtherBrowser")),
            ("no cookie", &["current"], None, minutes(1), Err("OtherBrowser")),
            ("forged and expired", &["new"], None, minutes(20), Err("Forged")),
        ] {
            let outcome = outcome.map(|()| identity()).map_err(str::to_owned);
            assert_eq!(check(&text, secrets, of, after), outcome, "{about}");
        }
    }

    #[test]
    fn a_state_that_was_touched_is_none() {
        let text = begun();
        let (signed, signature) = text.split_once('.').unwrap();
        let body = BASE64_URL_SAFE_NO_PAD.decode(signed).unwrap();
        let body = String::from_utf8(body).unwrap();
        let changed = |from: &str, to: &str| {
            assert!(body.contains(from), "{from}");
            format!("{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(body.replace(from, to)))
        };
        for text in [
            changed("0a1b2c3d", "0a1b2c3e"),
            changed("shop/web", "shop/wab"),
            changed(&now().timestamp().to_string(), &(now().timestamp() + 1).to_string()),
            changed(&browser(1).fingerprint(), &browser(2).fingerprint()),
            format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode([0; 32])),
            format!("{signed}."),
        ] {
            assert_eq!(check(&text, &["current"], Some(&browser(1)), minutes(0)), Err("Forged".into()), "{text}");
        }
        for text in ["", ".", "a.b", signed, &"a".repeat(2000), &format!("{text}.x"), &format!(" {text}")] {
            assert_eq!(check(text, &["current"], Some(&browser(1)), minutes(0)), Err("no state".into()), "{text}");
        }
    }

    #[test]
    fn each_beginning_is_another_one_and_tells_nothing_of_the_cookie() {
        let state = |nonce| State::begin(identity(), &browser(1), nonce, now());
        let sign = |state: State| state.sign(&secret_string("current")).unwrap();
        let (a, b) = (sign(state([1; 16])), sign(state([2; 16])));
        assert_ne!(Claimed::read(&a).unwrap().fingerprint(), Claimed::read(&b).unwrap().fingerprint());
        let shown = format!("{:?} {:?}", Claimed::read(&a).unwrap(), browser(1));
        assert!(!shown.contains(browser(1).value().expose_secret()));
    }

    /// With nothing but the signature another, as every replica would accept it, it is used all the same.
    #[test]
    fn a_state_is_known_by_what_is_signed() {
        let one = State::begin(identity(), &browser(1), [1; 16], now());
        let signed = |secret: &str| Claimed::read(&one.sign(&secret_string(secret)).unwrap()).unwrap().fingerprint();
        assert_eq!(signed("current"), signed("previous"));
    }

    #[test]
    fn a_sign_in_is_known_again_by_who_has_the_secret() {
        let (text, secret) = (begun(), secret_string("current"));
        let begun = Proof::of_text(&secret, &text).unwrap();
        let again = Proof::of(&secret, &Claimed::read(&text).unwrap().fingerprint()).unwrap();
        let texts = |proof: &Proof| [&proof.verifier, &proof.nonce].map(|value| value.expose_secret().to_owned());
        assert_eq!(texts(&begun), texts(&again));
        assert!(
            texts(&begun).iter().all(|value| value.len() == 43)
                && begun.verifier.expose_secret() != begun.nonce.expose_secret()
        );
        let other = State::begin(identity(), &browser(1), [8; 16], now()).sign(&secret).unwrap();
        for (secret, text) in [("other", &text), ("current", &other)] {
            let proof = texts(&Proof::of_text(&secret_string(secret), text).unwrap());
            assert!(!proof.iter().any(|value| texts(&begun).contains(value)), "{secret}");
        }
        assert!(!format!("{begun:?}").contains(begun.nonce.expose_secret()) && Proof::of_text(&secret, "").is_none());
    }

    #[test]
    fn a_cookie_is_32_bytes() {
        assert!(Browser::parse(browser(3).value().expose_secret()).is_some());
        for text in ["", "a", &BASE64_URL_SAFE_NO_PAD.encode([1; 31]), &BASE64_URL_SAFE_NO_PAD.encode([1; 33]), "é"] {
            assert!(Browser::parse(text).is_none(), "{text}");
        }
    }
}
