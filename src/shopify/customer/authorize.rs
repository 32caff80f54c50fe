//! How a customer's sign-in begins: the address to send a browser to, and the proof that comes with the code.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use crate::core::customer::Discovery;

/// What a sign-in is begun with (RFC 6749, section 4.1.1; OIDC Core 1.0, section 3.1.2.1; RFC 7636, section 4.3).
#[derive(Clone, Debug)]
pub struct SignIn<'a> {
    /// Who asks.
    pub client_id: &'a str,
    /// What for: `openid`, `email`, `customer-account-api:full`.
    pub scopes: &'a [String],
    /// Where the browser comes back to: one that the client lists.
    pub redirect_uri: &'a str,
    /// Comes back with the browser.
    pub state: &'a str,
    /// Comes back in the ID token.
    pub nonce: &'a SecretString,
    /// See [`code_verifier`].
    pub verifier: &'a SecretString,
}

impl Discovery {
    /// Where a browser goes to sign in. What the endpoint has in its query stays.
    #[must_use]
    pub fn sign_in(&self, with: &SignIn<'_>) -> Url {
        let mut url = self.authorization_endpoint.url();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", with.client_id)
            .append_pair("scope", &with.scopes.join(" "))
            .append_pair("redirect_uri", with.redirect_uri)
            .append_pair("state", with.state)
            .append_pair("nonce", with.nonce.expose_secret())
            .append_pair("code_challenge", &code_challenge(with.verifier))
            .append_pair("code_challenge_method", "S256");
        url
    }
}

/// A code verifier of 32 random bytes: 43 characters (RFC 7636, section 4.1).
#[must_use]
pub fn code_verifier(random: [u8; 32]) -> SecretString {
    SecretString::from(BASE64_URL_SAFE_NO_PAD.encode(random))
}

/// The challenge of a verifier, by the method S256 (RFC 7636, section 4.2): not secret.
#[must_use]
pub fn code_challenge(verifier: &SecretString) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose_secret().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shopify::customer::discovery::tests::discovery;

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        let random = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105, 214, 191,
            240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let verifier = code_verifier(random);
        assert_eq!(verifier.expose_secret(), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(code_challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_sign_in_says_all_that_is_asked_for_and_not_the_verifier() {
        let mut discovery = discovery("https://shopify.com/authentication/1");
        let (nonce, verifier) = (SecretString::from("n&1"), code_verifier([7; 32]));
        let with = SignIn {
            client_id: "shp_1&2",
            scopes: &["openid".to_owned(), "customer-account-api:full".to_owned()],
            redirect_uri: "https://tokens.example.com/oauth/callback",
            state: "s=1",
            nonce: &nonce,
            verifier: &verifier,
        };
        let url = discovery.sign_in(&with);
        assert_eq!(
            url.as_str(),
            format!(
                "https://shopify.com/authentication/1/oauth/authorize?response_type=code&client_id=shp_1%262\
                 &scope=openid+customer-account-api%3Afull\
                 &redirect_uri=https%3A%2F%2Ftokens.example.com%2Foauth%2Fcallback&state=s%3D1&nonce=n%261\
                 &code_challenge={}&code_challenge_method=S256",
                code_challenge(&verifier)
            )
        );
        assert!(!url.as_str().contains(verifier.expose_secret()));
        discovery.authorization_endpoint = "https://account.acme.example/authorize?shop=1".parse().unwrap();
        let url = discovery.sign_in(&with);
        assert!(url.as_str().starts_with("https://account.acme.example/authorize?shop=1&response_type=code&"), "{url}");
    }
}
