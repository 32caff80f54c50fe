//! The client of customer accounts that a person has put into a Secret, and the session that stands beside it.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};

use super::{Search, key_of};
use crate::{
    api::source::{ClientType, CustomerAccount},
    controller::{error::Stop, observe::Protected},
    core::{
        credential::mishap,
        customer::{CustomerClient, Session},
        failure::Failure,
        identity::Identity,
        keeper::follows,
        pair::{self, RecordState},
        version::Version,
        vocabulary::Reason,
    },
};

impl Search<'_> {
    /// Reads the client that a token of this namespace names.
    pub(super) async fn client(&mut self, source: &CustomerAccount) -> Result<CustomerClient, Stop> {
        let (name, namespace) = (&source.credentials_ref.name, self.namespace.clone());
        let secret = self.secret("secret", &namespace, name).await?;
        let secret = secret.ok_or_else(|| {
            let keys = match source.client_type {
                ClientType::Confidential => "the keys client_id and client_secret",
                ClientType::Public => "the key client_id",
            };
            let message = format!("Secret {name:?} (credentialsRef) isn't there yet; make it with {keys}");
            Failure::new(Reason::CredentialsMissing, message)
        })?;
        self.needed.push(Protected::secret(&secret));
        self.filled = Version::of(&*secret);
        Ok(client_of(&self.me()?, &secret, source.client_type)?)
    }

    /// Reads it with the session that is to stand beside it.
    pub(super) async fn client_with_session(&mut self, source: &CustomerAccount) -> Result<CustomerClient, Stop> {
        let client = self.client(source).await?;
        let session = match &source.session {
            Some(_) => Some(self.session(&client).await?),
            None => None,
        };
        Ok(CustomerClient { session, ..client })
    }

    /// Reads what there is of the session that is to stand beside a client.
    async fn session(&mut self, client: &CustomerClient) -> Result<Session, Stop> {
        let me = self.me()?;
        let (namespace, name) = (self.namespace.clone(), self.token.record_secret().unwrap_or_default());
        let live = self.live_secret(&namespace, &name).await?;
        let recorded = match pair::classify(self.token, &me, &client.client_id, live) {
            RecordState::Absent => None,
            RecordState::Ours(recorded) => Some(recorded),
            RecordState::Refused(failure) => return Err(failure.into()),
        };
        // The operator's own writes end no back-off; a sign-in does.
        self.versions.extend(recorded.iter().filter_map(|r| Some(format!("approval/{}", r.code.as_ref()?.state))));
        let came = self.context.unrecorded.get(&me.uid);
        let at_hand = recorded.as_ref().and_then(|recorded| recorded.pair.as_ref());
        let in_hand = came.is_some_and(|came| follows(at_hand, came.replaces.as_ref()));
        Ok(Session { recorded, in_hand, public: self.context.setup.public_url.clone() })
    }
}

/// The client in a Secret. Shopify is never asked whether it takes it: what can be seen of a value is said here.
fn client_of(of: &Identity, secret: &Secret, client_type: ClientType) -> Result<CustomerClient, Failure> {
    let name = secret.name_any();
    let has_secret = secret.data.as_ref().is_some_and(|data| data.contains_key(CLIENT_SECRET));
    let client_id = written(secret, CLIENT_ID)?;
    let client_secret = match (client_type, has_secret) {
        (ClientType::Confidential, true) => Some(written(secret, CLIENT_SECRET)?),
        (ClientType::Public, false) => None,
        (ClientType::Confidential, false) => {
            let message = format!(
                "Secret {name:?} has no key {CLIENT_SECRET:?}, which a Confidential client has; add it, or set clientType: Public for a client without one"
            );
            return Err(Failure::new(Reason::CredentialsMissing, message));
        }
        (ClientType::Public, true) => {
            let message = format!(
                "Secret {name:?} has a key {CLIENT_SECRET:?}, and a Public client has no secret; take it out, or set clientType: Confidential"
            );
            return Err(Failure::new(Reason::InvalidCredential, message));
        }
    };
    let client_id = client_id.expose_secret().to_owned();
    if client_secret.as_ref().is_some_and(|secret| secret.expose_secret() == client_id) {
        let message = format!(
            "keys {CLIENT_ID:?} and {CLIENT_SECRET:?} of Secret {name:?} have the same value; the channel shows two"
        );
        return Err(Failure::new(Reason::InvalidCredential, message));
    }
    Ok(CustomerClient::new(of, client_id, client_secret))
}

const CLIENT_ID: &str = "client_id";
const CLIENT_SECRET: &str = "client_secret";

fn written(secret: &Secret, key: &str) -> Result<SecretString, Failure> {
    let value = key_of(secret, key)?;
    match mishap(&value) {
        None => Ok(value),
        Some(mishap) => {
            let message = format!("the value of key {key:?} of Secret {:?} {mishap}", secret.name_any());
            Err(Failure::new(Reason::InvalidCredential, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::scene::identity;

    fn read(client_type: ClientType, data: &[(&str, &str)]) -> Result<CustomerClient, Failure> {
        let mut secret = Secret::default();
        secret.metadata.name = Some("headless".into());
        let bytes = |text: &str| k8s_openapi::ByteString(text.as_bytes().to_vec());
        secret.data = Some(data.iter().map(|(key, value)| ((*key).to_owned(), bytes(value))).collect());
        client_of(&identity(), &secret, client_type)
    }

    #[test]
    fn a_client_has_what_its_type_has() {
        let (id, secret) = (("client_id", "shp_1"), ("client_secret", "c0ffee"));
        let confidential = read(ClientType::Confidential, &[id, secret]).unwrap();
        assert_eq!(confidential.client_id, "shp_1");
        assert_eq!(confidential.client_secret.unwrap().expose_secret(), "c0ffee");
        assert!(read(ClientType::Public, &[id]).unwrap().client_secret.is_none());
        for (client_type, data, reason, says) in [
            (ClientType::Confidential, vec![id], Reason::CredentialsMissing, "clientType: Public"),
            (ClientType::Public, vec![id, secret], Reason::InvalidCredential, "clientType: Confidential"),
            (
                ClientType::Public,
                vec![id, ("client_secret", "")],
                Reason::InvalidCredential,
                "clientType: Confidential",
            ),
            (ClientType::Confidential, vec![secret], Reason::CredentialsMissing, "\"client_id\""),
            (ClientType::Public, vec![], Reason::CredentialsMissing, "\"client_id\""),
            (ClientType::Public, vec![("client_id", "canary\n")], Reason::InvalidCredential, "newline"),
            (
                ClientType::Confidential,
                vec![id, ("client_secret", "can ary")],
                Reason::InvalidCredential,
                "white space",
            ),
            (ClientType::Confidential, vec![id, ("client_secret", "")], Reason::InvalidCredential, "is empty"),
            (ClientType::Confidential, vec![id, ("client_secret", "\"canary\"")], Reason::InvalidCredential, "quotes"),
            (
                ClientType::Confidential,
                vec![id, ("client_secret", "shp_1")],
                Reason::InvalidCredential,
                "the same value",
            ),
        ] {
            let failure = read(client_type, &data).unwrap_err();
            assert_eq!(failure.reason, reason, "{data:?}");
            assert!(failure.message.contains(says) && !failure.message.contains("canary"), "{}", failure.message);
        }
    }
}
