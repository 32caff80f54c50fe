//! A client of the Customer Account API, and where it is used: what discovery has found.

mod endpoint;
mod session;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

pub use self::{
    endpoint::{Endpoint, InvalidEndpoint},
    session::Session,
};
use super::{digest::digest, identity::Identity};

/// A client as a person has put it into a Secret.
#[derive(Clone, Debug)]
pub struct CustomerClient {
    /// What tells it from others that were published for the same object: Shopify names no pair.
    pub id: String,
    /// Its client id. Not secret.
    pub client_id: String,
    /// Of a confidential client; a public one has none.
    pub client_secret: Option<SecretString>,
    /// The session that is to stand beside it, if one is.
    pub session: Option<Session>,
}

/// The endpoints of a shop's customer accounts, as served. Nothing of it is secret.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Discovery {
    /// Who signs ID tokens: their `iss` is this text.
    pub issuer: Endpoint,
    /// Where a customer signs in.
    pub authorization_endpoint: Endpoint,
    /// Where codes and refresh tokens are exchanged.
    pub token_endpoint: Endpoint,
    /// Where a customer signs out.
    pub end_session_endpoint: Endpoint,
    /// Where the issuer's public keys are.
    pub jwks_uri: Endpoint,
    /// The Customer Account API.
    pub graphql_api: Endpoint,
}

impl CustomerClient {
    /// The client of an object, without its session.
    #[must_use]
    pub fn new(of: &Identity, client_id: String, client_secret: Option<SecretString>) -> Self {
        let id = id_of(of, &client_id, &value(&client_id, client_secret.as_ref()));
        Self { id, client_id, client_secret, session: None }
    }

    /// What the Secret holds of it: the secret, or of a public client the id, which is all that it has.
    #[must_use]
    pub fn value(&self) -> SecretString {
        value(&self.client_id, self.client_secret.as_ref())
    }
}

fn value(client_id: &str, client_secret: Option<&SecretString>) -> SecretString {
    client_secret.cloned().unwrap_or_else(|| SecretString::from(client_id))
}

/// The id of a client by its client id and its value. Salted by the object's name, and not by its UID: a Secret that was
/// there before its object holds the same pair.
#[must_use]
pub fn id_of(of: &Identity, client_id: &str, value: &SecretString) -> String {
    let hash = digest(&[&of.namespace, &of.name, client_id, value.expose_secret()]);
    format!("sha256:{}", &hash[..24])
}

/// What tells a customer from others that sign in for the same object: a hash, for who they are is nobody's affair.
#[must_use]
pub fn customer_of(of: &Identity, issuer: &str, subject: &str) -> String {
    digest(&[&of.namespace, &of.name, issuer, subject])
}

/// The secret that a value is, unless it is that of a public client.
#[must_use]
pub fn secret_of<'a>(client_id: &str, value: &'a SecretString) -> Option<&'a str> {
    Some(value.expose_secret()).filter(|value| *value != client_id)
}

impl Discovery {
    /// The keys they are published under: the names that discovery has for them.
    pub const KEYS: [&str; 6] =
        ["issuer", "authorization_endpoint", "token_endpoint", "end_session_endpoint", "jwks_uri", "graphql_api"];

    /// Each by its key.
    #[must_use]
    pub const fn by_key(&self) -> [(&'static str, &Endpoint); 6] {
        let [issuer, authorization, token, end_session, jwks, graphql] = Self::KEYS;
        [
            (issuer, &self.issuer),
            (authorization, &self.authorization_endpoint),
            (token, &self.token_endpoint),
            (end_session, &self.end_session_endpoint),
            (jwks, &self.jwks_uri),
            (graphql, &self.graphql_api),
        ]
    }
}

/// The number of the shop, where its issuer is at Shopify's own domain, whose URLs name it
/// (<https://shopify.dev/docs/api/customer>).
#[must_use]
pub fn shop_id(issuer: &str) -> Option<&str> {
    let id = issuer.strip_prefix("https://shopify.com/authentication/")?;
    (!id.is_empty() && id.bytes().all(|c| c.is_ascii_digit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::scene::{discovery, identity};

    fn of(me: &Identity, id: &str, secret: Option<&str>) -> CustomerClient {
        CustomerClient::new(me, id.to_owned(), secret.map(SecretString::from))
    }

    fn client(id: &str, secret: Option<&str>) -> CustomerClient {
        of(&identity(), id, secret)
    }

    #[test]
    fn every_change_of_a_pair_is_another_one() {
        let me = identity();
        let one = client("shp_1", Some("a")).id;
        assert_eq!(one, of(&Identity { uid: "another".into(), ..me.clone() }, "shp_1", Some("a")).id);
        assert_ne!(one, of(&Identity { name: "another".into(), ..me }, "shp_1", Some("a")).id);
        for other in [client("shp_1", Some("b")), client("shp_2", Some("a")), client("shp_1", None)] {
            assert_ne!(one, other.id);
        }
        assert_ne!(client("ab", Some("c")).id, client("a", Some("bc")).id);
    }

    #[test]
    fn a_public_client_has_no_secret() {
        let (public, confidential) = (client("shp_1", None), client("shp_1", Some("a")));
        assert_eq!(secret_of("shp_1", &public.value()), None);
        assert_eq!(secret_of("shp_1", &confidential.value()), Some("a"));
        assert!(!format!("{:?}", client("shp_1", Some("canary"))).contains("canary"));
    }

    #[test]
    fn the_number_of_a_shop_is_known_at_shopify_alone() {
        for (issuer, id) in [
            ("https://shopify.com/authentication/36563550340", Some("36563550340")),
            ("https://shopify.com/authentication/", None),
            ("https://shopify.com/authentication/1/2", None),
            ("https://account.acme.example/authentication/36563550340", None),
        ] {
            assert_eq!(shop_id(issuer), id, "{issuer}");
        }
    }

    #[test]
    fn what_is_written_down_is_read_back_as_served_or_not_at_all() {
        let found = discovery();
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Discovery>(&text).unwrap(), found);
        for edited in [text.replacen("https", "http", 1), text.replace("jwks_uri", "jwks"), "{}".to_owned()] {
            assert!(serde_json::from_str::<Discovery>(&edited).is_err(), "{edited}");
        }
    }
}
