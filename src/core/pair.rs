//! The record Secret of an offline token or a customer's session, `<name>-record`: the pair that only the operator sees.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use secrecy::{ExposeSecret, SecretString};

use super::{
    approvals::{self, Approvals, Code, Outcome},
    credential::{self, RefreshToken},
    failure::Failure,
    identity::Identity,
    leave::Leave,
    minted::BROUGHT,
    record::Record,
    scopes,
    vocabulary::{MANAGED_BY, OPERATOR, PREFIX, Reason},
};
use crate::{
    api::ShopifyToken,
    time::{self, Timestamp},
};

const ACCESS_TOKEN: &str = "access_token";
const ISSUED_AT: &str = "issued_at";
const EXPIRES_AT: &str = "expires_at";
const REFRESH_TOKEN: &str = "refresh_token";
const REFRESH_TOKEN_EXPIRES_AT: &str = "refresh_token_expires_at";
const PREVIOUS_REFRESH_TOKEN: &str = "previous_refresh_token";
const KEYS: [&str; 6] =
    [ACCESS_TOKEN, ISSUED_AT, EXPIRES_AT, REFRESH_TOKEN, REFRESH_TOKEN_EXPIRES_AT, PREVIOUS_REFRESH_TOKEN];

/// An offline access token, and what the next one is had with. Not both are absent.
#[derive(Clone, Debug, Default)]
pub struct Pair {
    /// The access token.
    pub access: Option<Access>,
    /// The refresh token; `None` beside an access token that never expires.
    pub refresh: Option<RefreshToken>,
    /// The one before it, until it has been used: Shopify takes that as long.
    pub previous_refresh: Option<SecretString>,
}

/// An offline access token.
#[derive(Clone, Debug)]
pub struct Access {
    /// Its value.
    pub value: SecretString,
    /// When it was issued, if that is known.
    pub issued_at: Option<Timestamp>,
    /// When it expires; `None` if it never does.
    pub expires_at: Option<Timestamp>,
    /// Its scopes, if they are known.
    pub scopes: Option<Vec<String>>,
    /// Which client secret minted it, as [`super::minted`] hashes it, if that is known.
    pub minted_by: Option<String>,
}

/// What stands under the name of the record Secret.
#[derive(Clone, Debug)]
pub enum RecordState {
    /// Nothing.
    Absent,
    /// Ours.
    Ours(Box<Recorded>),
    /// Not ours to read or write.
    Refused(Failure),
}

/// Our record Secret. `Debug` prints nothing that is in it.
#[derive(Clone)]
pub struct Recorded {
    /// The object as it is.
    pub live: Secret,
    /// What it holds, unless that was edited beyond recognition.
    pub pair: Option<Pair>,
    /// Hash of the bootstrap Secret's credential that it has begun with, or passed over.
    pub bootstrap: Option<String>,
    /// The code of an approval of this very object, which waits for its exchange.
    pub code: Option<Code>,
    /// The approvals that came back.
    pub approvals: Approvals,
    /// Salted hash of the customer whose session it is, once one has signed in.
    pub customer: Option<String>,
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("pair", &self.pair.is_some()).finish_non_exhaustive()
    }
}

impl Recorded {
    /// That of a credential with this record, which nobody has read: nothing waits in it, and it is owned as the policies
    /// want it. To be decided upon, and never to be written.
    #[must_use]
    pub(super) fn unread(token: &ShopifyToken, me: &Identity, client_id: &str, record: &Record) -> Self {
        Self {
            live: claimed(token, me, client_id, None, true),
            pair: Some(Pair::told(record)),
            bootstrap: None,
            code: None,
            approvals: Approvals::default(),
            customer: None,
        }
    }
}

impl Pair {
    /// Reads what a person has put into a bootstrap Secret.
    ///
    /// # Errors
    /// `InvalidCredential` for a malformed value, naming the key; `CredentialsMissing` where there is neither token.
    pub fn read(data: &BTreeMap<String, ByteString>, place: &str) -> Result<Self, Failure> {
        let value = |key: &str| {
            let value = data.get(key).map(|value| credential::check(&value.0, &format!("key {key:?} of {place}")));
            value.transpose()
        };
        let moment = |key: &str| match data.get(key) {
            None => Ok(None),
            Some(text) => std::str::from_utf8(&text.0).ok().and_then(time::parse).map(Some).ok_or_else(|| {
                let message = format!("key {key:?} of {place} isn't a time as in 2026-11-22T12:00:00Z");
                Failure::new(Reason::InvalidCredential, message)
            }),
        };
        let (issued_at, expires_at) = (moment(ISSUED_AT)?, moment(EXPIRES_AT)?);
        let access =
            value(ACCESS_TOKEN)?.map(|value| Access { value, issued_at, expires_at, scopes: None, minted_by: None });
        let ends = moment(REFRESH_TOKEN_EXPIRES_AT)?;
        let refresh = value(REFRESH_TOKEN)?.map(|value| RefreshToken { value, expires_at: ends });
        if access.is_none() && refresh.is_none() {
            let message = format!("{place} has neither of the keys {REFRESH_TOKEN:?} and {ACCESS_TOKEN:?}; add one");
            return Err(Failure::new(Reason::CredentialsMissing, message));
        }
        Ok(Self { access, refresh, previous_refresh: value(PREVIOUS_REFRESH_TOKEN)? })
    }

    /// Reads the record's data. What a person has edited beyond recognition costs no more than itself: an access token
    /// whose end can't be read is none, and of two refresh tokens one will do.
    fn salvage(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let value = |key: &str| credential::check(data.get(key)?.0.trim_ascii(), key).ok();
        let moment = |key: &str| time::parse(std::str::from_utf8(&data.get(key)?.0).ok()?);
        let (expires_at, previous) = (moment(EXPIRES_AT), value(PREVIOUS_REFRESH_TOKEN));
        let ends = expires_at.is_some() || !data.contains_key(EXPIRES_AT);
        let access = value(ACCESS_TOKEN).filter(|_| ends);
        let issued_at = moment(ISSUED_AT);
        let access = access.map(|value| Access { value, issued_at, expires_at, scopes: None, minted_by: None });
        let current = value(REFRESH_TOKEN);
        let ends = moment(REFRESH_TOKEN_EXPIRES_AT).filter(|_| current.is_some());
        let refresh = current.or_else(|| previous.clone()).map(|value| RefreshToken { value, expires_at: ends });
        (access.is_some() || refresh.is_some()).then_some(Self { access, refresh, previous_refresh: previous })
    }

    /// The data that [`Pair::read`] reads; of keys without a value nothing.
    fn data(&self) -> [(&'static str, Option<String>); 6] {
        let text = |value: &SecretString| value.expose_secret().to_owned();
        let access = self.access.as_ref();
        let refresh = self.refresh.as_ref();
        [
            (ACCESS_TOKEN, access.map(|access| text(&access.value))),
            (ISSUED_AT, access.and_then(|access| access.issued_at).map(time::print)),
            (EXPIRES_AT, access.and_then(|access| access.expires_at).map(time::print)),
            (REFRESH_TOKEN, refresh.map(|refresh| text(&refresh.value))),
            (REFRESH_TOKEN_EXPIRES_AT, refresh.and_then(|refresh| refresh.expires_at).map(time::print)),
            (PREVIOUS_REFRESH_TOKEN, self.previous_refresh.as_ref().map(text)),
        ]
    }

    /// What the record of a credential tells of its pair, with values that say nothing. Whatever has a refresh token ends;
    /// what a person has brought without one is said to be so.
    #[must_use]
    pub(super) fn told(record: &Record) -> Self {
        let minted_by = record.client_secret.clone().filter(|by| by != BROUGHT);
        let lone = record.expires_at.is_none() || record.client_secret.as_deref() == Some(BROUGHT);
        let access = Access {
            value: SecretString::default(),
            issued_at: None,
            expires_at: record.expires_at,
            scopes: None,
            minted_by,
        };
        let refresh = RefreshToken { value: SecretString::default(), expires_at: record.refresh_expires_at };
        Self { access: Some(access), refresh: (!lone).then_some(refresh), previous_refresh: None }
    }

    /// Whether that is what a decision goes by, its values apart.
    #[must_use]
    pub(super) fn is_told(&self, record: &Record) -> bool {
        // Both are written in whole seconds.
        let seconds = |at: Option<Timestamp>| at.map(|at| at.timestamp());
        let facts = |pair: &Self| {
            let access = pair.access.as_ref().map(|access| (seconds(access.expires_at), access.minted_by.clone()));
            (access, pair.refresh.as_ref().map(|refresh| seconds(refresh.expires_at)))
        };
        facts(self) == facts(&Self::told(record))
    }

    /// Whether its access token lives: without an end it does until it is revoked.
    #[must_use]
    pub fn lives(&self, now: Timestamp) -> bool {
        self.access.as_ref().is_some_and(|access| access.expires_at.is_none_or(|at| at > now))
    }

    /// What tells this credential from another one: the refresh token, or where there is none the access token.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretString> {
        let access = self.access.as_ref().map(|access| &access.value);
        self.refresh.as_ref().map(|refresh| &refresh.value).or(access)
    }
}

/// The record Secret without a code: what may stay when its object goes.
#[must_use]
pub fn without_code(live: &Secret) -> Secret {
    let mut secret = live.clone();
    approvals::void(&mut secret);
    secret
}

/// The client id of the app whose pair a record Secret holds, as its annotations say.
#[must_use]
pub fn issuer(annotations: &BTreeMap<String, String>) -> Option<&str> {
    annotations.get(&annotation("issuer")).map(String::as_str)
}

/// The ShopifyToken that a record Secret was last written for, as its annotations say.
#[must_use]
pub fn holder(annotations: &BTreeMap<String, String>) -> Option<Identity> {
    annotations.get(&annotation("record-of"))?.parse().ok()
}

fn annotation(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Whose is the record Secret? `client_id` is that of the app that the spec names.
#[must_use]
pub fn classify(token: &ShopifyToken, me: &Identity, client_id: &str, live: Option<Secret>) -> RecordState {
    let Some(live) = live else { return RecordState::Absent };
    let name = live.name_any();
    let get = |key: &str| live.annotations().get(&annotation(key)).map(String::as_str);
    let conflict = |what: &str| {
        let message = format!("Secret {name:?}, where the refresh token is kept, {what}");
        RecordState::Refused(Failure::new(Reason::SecretConflict, message))
    };
    let owner = live.owner_references().iter().find(|o| o.controller == Some(true));
    match owner {
        Some(owner) if owner.uid == me.uid => {}
        Some(owner) if owner.kind == "ShopifyToken" && owner.name == me.name => {
            let message =
                format!("waiting for the garbage collector to remove Secret {name:?} of the deleted ShopifyToken");
            return RecordState::Refused(Failure::new(Reason::Issuing, message));
        }
        Some(owner) => {
            return conflict(&format!("is controlled by {} {:?}; rename this object", owner.kind, owner.name));
        }
        None => {}
    }
    if !holder(live.annotations()).is_some_and(|holder| holder.same_place(me)) {
        return conflict("was there before; rename this object, or delete that Secret");
    }
    let pair = live.data.as_ref().and_then(Pair::salvage);
    let same = get("issuer") == Some(client_id) && get("shop") == Some(token.spec.shop.as_str());
    // A session ends with its client: the person has replaced that, and nobody else has it.
    let ended = token.wants_session() && get("record-of") == Some(&me.to_string());
    let pair = pair.filter(|_| same || !ended);
    if !same && pair.is_some() {
        return conflict(
            "holds a refresh token of another app or shop; delete it when nobody needs that one any more, or rename this object",
        );
    }
    let pair = pair.map(|mut pair| {
        if let Some(access) = &mut pair.access {
            access.scopes = get("scopes").map(scopes::parse);
            access.minted_by = get("client-secret").map(str::to_owned);
        }
        pair
    });
    let bootstrap = get("bootstrap").map(str::to_owned);
    // What was approved for another app, or for an object that is gone, was approved for nobody.
    let code = approvals::waiting(&live).filter(|_| same && get("record-of") == Some(&me.to_string()));
    let approvals = Approvals::parse(live.annotations());
    let customer = get("customer").map(str::to_owned);
    RecordState::Ours(Box::new(Recorded { live, pair, bootstrap, code, approvals, customer }))
}

/// The record Secret with an approval noted, on top of what is there.
#[must_use]
pub fn noted(
    token: &ShopifyToken,
    me: &Identity,
    client_id: &str,
    recorded: Option<&Recorded>,
    note: impl FnOnce(&mut Secret),
) -> Secret {
    let has_pair = recorded.is_some_and(|recorded| recorded.pair.is_some());
    let mut secret = claimed(token, me, client_id, recorded.map(|recorded| &recorded.live), has_pair);
    note(&mut secret);
    secret
}

/// The record Secret as it is, with the owner reference that the policies want now.
#[must_use]
pub fn owned(token: &ShopifyToken, me: &Identity, client_id: &str, recorded: &Recorded) -> Secret {
    claimed(token, me, client_id, Some(&recorded.live), recorded.pair.is_some())
}

/// Whether it goes with its object by another policy than that of the spec.
#[must_use]
pub fn is_misowned(token: &ShopifyToken, me: &Identity, recorded: &Recorded) -> bool {
    let owned = recorded.live.owner_references().iter().any(|owner| owner.uid == me.uid);
    owned != owns(token, recorded.pair.is_some())
}

/// Whether a record Secret with a pair is to go with its object.
#[must_use]
pub fn is_owned(token: &ShopifyToken) -> bool {
    owns(token, true)
}

/// Whether it is to go with its object. One without a pair is worth nothing without it, whatever the policies say.
fn owns(token: &ShopifyToken, has_pair: bool) -> bool {
    !has_pair || Leave::of(token) == Leave::Delete
}

/// What a record Secret is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The pair.
    pub pair: &'a Pair,
    /// Hash of the bootstrap Secret's credential that it has begun with, or passed over.
    pub bootstrap: Option<&'a str>,
    /// Fingerprint of the state whose code has brought the pair.
    pub spent: Option<&'a str>,
    /// Salted hash of the customer who has signed in just now.
    pub customer: Option<&'a str>,
}

/// The record Secret as it should be, on top of what is there: everything else of it, and its `resourceVersion`, stays.
#[must_use]
pub fn recorded(
    token: &ShopifyToken,
    me: &Identity,
    client_id: &str,
    live: Option<&Secret>,
    content: Content<'_>,
) -> Secret {
    let mut secret = claimed(token, me, client_id, live, true);
    let Content { pair, bootstrap, spent, customer } = content;
    if let Some(customer) = customer {
        secret.annotations_mut().insert(annotation("customer"), customer.to_owned());
    }
    if let Some(state) = spent {
        approvals::end(&mut secret, state, &Outcome::Exchanged);
    }
    let data = secret.data.get_or_insert_default();
    for (key, value) in pair.data() {
        match value {
            Some(value) => data.insert(key.to_owned(), ByteString(value.into_bytes())),
            None => data.remove(key),
        };
    }
    let access = pair.access.as_ref();
    let known = access.and_then(|access| access.scopes.as_ref()).map(|scopes| scopes.join(","));
    let minted_by = access.and_then(|access| access.minted_by.clone());
    let annotations = [("scopes", known), ("client-secret", minted_by), ("bootstrap", bootstrap.map(str::to_owned))];
    for (name, value) in annotations {
        match value {
            Some(value) => secret.annotations_mut().insert(annotation(name), value),
            None => secret.annotations_mut().remove(&annotation(name)),
        };
    }
    secret
}

/// The record Secret as it is, or a new one, with what says whose it is. A code that was another's doesn't become this
/// object's.
fn claimed(token: &ShopifyToken, me: &Identity, client_id: &str, live: Option<&Secret>, has_pair: bool) -> Secret {
    let mut secret = live.cloned().unwrap_or_else(|| Secret {
        metadata: ObjectMeta { name: token.record_secret(), namespace: token.namespace(), ..ObjectMeta::default() },
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    });
    secret.labels_mut().insert(MANAGED_BY.to_owned(), OPERATOR.to_owned());
    let annotations =
        [("record-of", me.to_string()), ("issuer", client_id.to_owned()), ("shop", token.spec.shop.clone())];
    for (name, value) in annotations {
        let before = secret.annotations_mut().insert(annotation(name), value.clone());
        if before.as_ref() == Some(&value) {
            continue;
        }
        approvals::void(&mut secret);
        // What another client was given isn't this one's: a pair that was passed over mustn't go out under its id.
        if before.is_some() && name != "record-of" {
            secret.data.get_or_insert_default().retain(|key, _| !KEYS.contains(&key.as_str()));
        }
    }
    secret.owner_references_mut().retain(|owner| owner.uid != me.uid);
    if owns(token, has_pair) {
        secret.owner_references_mut().extend(token.controller_owner_ref(&()));
    }
    secret
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::scene::{hours, identity, now, secret_string, token},
        *,
    };
    use crate::api::SourceKind;

    fn offline() -> ShopifyToken {
        token(SourceKind::Offline, &json!({}))
    }

    fn pair() -> Pair {
        Pair {
            access: Some(Access {
                value: secret_string("canary-a"),
                issued_at: Some(now()),
                expires_at: Some(now() + hours(1)),
                scopes: Some(vec!["read_products".into()]),
                minted_by: Some("minted".into()),
            }),
            refresh: Some(RefreshToken { value: secret_string("canary-r"), expires_at: Some(now() + hours(2160)) }),
            previous_refresh: Some(secret_string("canary-p")),
        }
    }

    fn written(live: Option<&Secret>) -> Secret {
        let content = Content { pair: &pair(), bootstrap: Some("hash"), spent: None, customer: None };
        recorded(&offline(), &identity(), "id", live, content)
    }

    fn read(client_id: &str, me: &Identity, secret: Secret) -> Result<Recorded, String> {
        match classify(&offline(), me, client_id, Some(secret)) {
            RecordState::Ours(recorded) => Ok(*recorded),
            RecordState::Refused(failure) => Err(format!("{}: {}", failure.reason, failure.message)),
            RecordState::Absent => Err("absent".into()),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let found = read("id", &identity(), written(None)).unwrap();
        assert_eq!(found.live.metadata.name.as_deref(), Some("web-record"));
        assert_eq!(found.bootstrap.as_deref(), Some("hash"));
        let (found, wanted) = (found.pair.unwrap(), pair());
        assert_eq!(found.data(), wanted.data());
        let (access, wanted) = (found.access.unwrap(), wanted.access.unwrap());
        assert_eq!((access.scopes, access.minted_by), (wanted.scopes, wanted.minted_by));
        assert!(!format!("{:?}", read("id", &identity(), written(None))).contains("canary"));
        // What isn't known any more goes, and what is another's stays.
        let mut live = written(None);
        live.data.get_or_insert_default().insert("authorization_code".into(), ByteString(b"code".to_vec()));
        let lone = Pair { refresh: None, previous_refresh: None, ..pair() };
        let content = Content { pair: &lone, bootstrap: None, spent: None, customer: None };
        let again = recorded(&offline(), &identity(), "id", Some(&live), content);
        let keys: Vec<&str> = again.data.as_ref().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["access_token", "authorization_code", "expires_at", "issued_at"]);
    }

    #[test]
    fn whose_it_is() {
        let another = Identity { uid: "another".into(), ..identity() };
        assert!(read("id", &another, written(None)).is_ok(), "a new object of that name takes it up again");
        let elsewhere = Identity { namespace: "elsewhere".into(), ..identity() };
        assert!(read("id", &elsewhere, written(None)).unwrap_err().starts_with("SecretConflict"));
        let message = read("other", &identity(), written(None)).unwrap_err();
        assert!(message.starts_with("SecretConflict") && message.contains("another app"), "{message}");
        let mut foreign = written(None);
        foreign.annotations_mut().clear();
        assert!(read("id", &identity(), foreign).unwrap_err().contains("was there before"));
        let owned = recorded(
            &token(SourceKind::Offline, &json!({"deletionPolicy": "Revoke"})),
            &identity(),
            "id",
            None,
            Content { pair: &pair(), bootstrap: None, spent: None, customer: None },
        );
        assert!(read("id", &identity(), owned.clone()).is_ok());
        assert!(read("id", &another, owned).unwrap_err().starts_with("Issuing"), "about to be collected");
    }

    fn approved(recorded: Option<&Recorded>) -> Secret {
        let code = Code { value: secret_string("canary-c"), state: "s".into() };
        noted(&offline(), &identity(), "id", recorded, |secret| approvals::approve(secret, &code, now(), now()))
    }

    #[test]
    fn an_approval_is_of_this_object_and_app_alone() {
        let secret = approved(None);
        assert_eq!(secret.owner_references().len(), 1, "without a pair it is worth nothing without its object");
        let found = read("id", &identity(), secret.clone()).unwrap();
        assert!(found.pair.is_none() && found.code.is_some());
        assert!(!format!("{found:?}").contains("canary"));
        // Another app, another shop, another object of that name: void, and nobody is in anybody's way.
        let app = read("other", &identity(), secret.clone()).unwrap();
        let mut shop = secret.clone();
        shop.annotations_mut().insert(annotation("shop"), "other.myshopify.com".into());
        let mut orphan = secret.clone();
        orphan.owner_references_mut().clear();
        let successor = Identity { uid: "another".into(), ..identity() };
        for (about, found) in [
            ("app", app),
            ("shop", read("id", &identity(), shop).unwrap()),
            ("object", read("id", &successor, orphan).unwrap()),
        ] {
            assert!(found.code.is_none(), "{about}");
            // Nor does it come to life when the Secret is written for who has it now.
            let content = Content { pair: &pair(), bootstrap: None, spent: None, customer: None };
            let (client_id, me) =
                (if about == "app" { "other" } else { "id" }, if about == "object" { &successor } else { &identity() });
            let written = recorded(&offline(), me, client_id, Some(&found.live), content);
            assert!(read(client_id, me, written).unwrap().code.is_none(), "{about}");
        }
    }

    #[test]
    fn a_code_goes_with_the_pair_it_brought_or_with_its_object() {
        let found = read("id", &identity(), approved(None)).unwrap();
        for (spent, left) in [(None, true), (Some("s"), false), (Some("t"), true)] {
            let content = Content { pair: &pair(), bootstrap: None, spent, customer: None };
            let secret = recorded(&offline(), &identity(), "id", Some(&found.live), content);
            assert_eq!(read("id", &identity(), secret).unwrap().code.is_some(), left, "{spent:?}");
        }
        let found = read("id", &identity(), written(None)).unwrap();
        let over = approved(Some(&found));
        let both = read("id", &identity(), over.clone()).unwrap();
        assert!(both.pair.is_some() && both.code.is_some());
        assert!(read("id", &identity(), without_code(&over)).unwrap().code.is_none());
    }

    #[test]
    fn a_persons_mistakes_are_named() {
        for (data, says) in [
            (json!({}), "CredentialsMissing: Secret \"boot\" has neither of the keys"),
            (
                json!({"refresh_token": "canary\n"}),
                "InvalidCredential: key \"refresh_token\" of Secret \"boot\" ends in a newline",
            ),
            (
                json!({"access_token": "a", "expires_at": "tomorrow"}),
                "InvalidCredential: key \"expires_at\" of Secret \"boot\" isn't a time",
            ),
        ] {
            let data: BTreeMap<String, String> = serde_json::from_value(data).unwrap();
            let data = data.into_iter().map(|(k, v)| (k, ByteString(v.into_bytes()))).collect();
            let failure = Pair::read(&data, "Secret \"boot\"").unwrap_err();
            let told = format!("{}: {}", failure.reason, failure.message);
            assert!(told.starts_with(says) && !told.contains("canary"), "{told}");
        }
    }

    #[test]
    fn what_a_person_has_edited_costs_no_refresh_token() {
        let edited = |key: &str, text: Option<&str>| {
            let mut secret = written(None);
            let data = secret.data.get_or_insert_default();
            match text {
                Some(text) => data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec())),
                None => data.remove(key),
            };
            read("id", &identity(), secret).unwrap().pair
        };
        let refresh = |pair: &Option<Pair>| {
            pair.as_ref().and_then(|pair| pair.refresh.as_ref()).map(|r| r.value.expose_secret().to_owned())
        };
        for (key, text) in [
            (EXPIRES_AT, Some("now")),
            (EXPIRES_AT, None),
            (ISSUED_AT, Some("")),
            (REFRESH_TOKEN_EXPIRES_AT, Some("never")),
            (ACCESS_TOKEN, Some("can ary")),
            (ACCESS_TOKEN, None),
            (PREVIOUS_REFRESH_TOKEN, Some("")),
            (REFRESH_TOKEN, Some("canary-r\n")),
        ] {
            assert_eq!(refresh(&edited(key, text)).as_deref(), Some("canary-r"), "{key} {text:?}");
        }
        for text in [Some("can ary"), Some(""), None] {
            assert_eq!(refresh(&edited(REFRESH_TOKEN, text)).as_deref(), Some("canary-p"), "the one before: {text:?}");
        }
        let end = |text| edited(EXPIRES_AT, text).unwrap().access.map(|access| access.expires_at);
        assert_eq!(end(Some("now")), None, "nobody knows how long it lives");
    }
}
