//! The record: what our Secret's annotations say was issued. The only evidence `plan` goes by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{customer::Discovery, identity::Identity, leave::Leave, vocabulary::PREFIX};
use crate::time::{self, Timestamp};

/// What was issued, as the Secret's annotations keep it. Holds no credential.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Record {
    /// The ShopifyToken it was issued for.
    pub token: Identity,
    /// How many credentials have been issued for the object; starts at 1.
    pub revision: i64,
    /// When the credential was issued.
    pub issued_at: Timestamp,
    /// When it expires; `None` if it never does.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends, of an offline token.
    pub refresh_expires_at: Option<Timestamp>,
    /// Shopify's id of it, where it has one.
    pub token_id: Option<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Hash of the spec fields that decide what is issued.
    pub inputs: String,
    /// Hash of the data.
    pub content: String,
    /// The API version to use it with: the one that answers.
    pub api_version: String,
    /// The one that the app asks for, where Shopify serves `api_version` in its place.
    pub asked_version: Option<String>,
    /// What issued it: the client id of the app, or the gid of its installation where only that is known. Of a client of
    /// customer accounts its own id.
    pub issuer: Option<String>,
    /// Which client secret of the app minted it, as [`super::minted`] hashes it; `None` if nobody knows, or no app did.
    pub client_secret: Option<String>,
    /// Since when the credential is one of that secret.
    pub client_secret_since: Option<Timestamp>,
    /// Until when applications may use one that another secret minted: its overlap, or its own end.
    pub old_secret_until: Option<Timestamp>,
    /// The admin token it was created with.
    pub admin: Option<String>,
    /// The admin token it was made of, for a delegate.
    pub parent: Option<Parent>,
    /// Where a client of customer accounts is used, as the shop said last.
    pub discovery: Option<Discovery>,
    /// The versions of the Secrets it was made of, where this record tells what is in them ([`super::made_of`]).
    pub made_of: Option<String>,
    /// Older credentials that still live, newest last.
    pub previous: Vec<Previous>,
    /// The revision that rollout targets are to run; `None` before the first replacement.
    pub rollout: Option<i64>,
    /// The revision that they were restarted for.
    pub restarted: Option<i64>,
    /// The value of `spec.rotation.trigger` that was acted upon.
    pub handled_trigger: Option<String>,
    /// The value of the `rotate-at` annotation that was acted upon.
    pub handled_rotate_at: Option<String>,
    /// What of the Secret is ours, so that what a template no longer names can be taken out.
    pub fields: Fields,
    /// The name of the Secret it was written into. A copy has another one.
    pub place: Option<String>,
    /// What becomes of the Secret when its object leaves it.
    pub leave: Option<Leave>,
}

/// Which credential of a ShopifyToken a delegate was made of. One that is deleted and made anew counts its revisions from the
/// beginning: only together with the time they tell.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Parent {
    /// Its revision.
    pub revision: i64,
    /// When it was issued; `None` in a record of before this was written down.
    pub issued_at: Option<Timestamp>,
}

impl Parent {
    /// Whether this is known to be another one.
    #[must_use]
    pub fn differs(self, other: Self) -> bool {
        let apart = matches!((self.issued_at, other.issued_at), (Some(one), Some(other)) if one != other);
        self.revision != other.revision || apart
    }
}

/// An older credential that still lives.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// Shopify's id of it.
    pub id: String,
    /// When it is revoked.
    pub revoke_at: Timestamp,
    /// When it expires by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The admin token it was created with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// What issued it, as in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// It is being revoked, on behalf of this revision: nobody may take it up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoking: Option<i64>,
}

impl Previous {
    /// Whether it has expired by itself: there is nothing to revoke.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// A credential to be revoked at a time; what issued it is what the record says of the current one.
    #[must_use]
    pub fn of(record: Option<&Record>, id: &str, revoke_at: Timestamp) -> Self {
        let (admin, issuer) = record.map(|r| (r.admin.clone(), r.issuer.clone())).unwrap_or_default();
        Self { id: id.to_owned(), revoke_at, expires_at: None, admin, issuer, revoking: None }
    }
}

/// Names of the keys, labels and annotations of a Secret that the operator has set.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Fields {
    /// Keys of `data`.
    #[serde(default)]
    pub data: Vec<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Annotations of the template; those of the record are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<String>,
}

/// An annotation of the record, with the prefix that all of ours have.
macro_rules! ours {
    ($name:literal) => {
        concat!("tokens.shopify-operator.dev/", $name)
    };
}

pub(super) const TOKEN: &str = ours!("token");
const REVISION: &str = ours!("revision");
const ISSUED_AT: &str = ours!("issued-at");
const EXPIRES_AT: &str = ours!("expires-at");
const REFRESH_EXPIRES_AT: &str = ours!("refresh-token-expires-at");
const TOKEN_ID: &str = ours!("token-id");
const SCOPES: &str = ours!("scopes");
const INPUTS: &str = ours!("inputs");
const CONTENT: &str = ours!("content");
const API_VERSION: &str = ours!("api-version");
const ASKED_VERSION: &str = ours!("asked-api-version");
const ISSUER: &str = ours!("issuer");
const CLIENT_SECRET: &str = ours!("client-secret");
const CLIENT_SECRET_SINCE: &str = ours!("client-secret-since");
const OLD_SECRET_UNTIL: &str = ours!("old-secret-until");
const ADMIN: &str = ours!("admin-token");
const PARENT: &str = ours!("parent-revision");
const PARENT_ISSUED_AT: &str = ours!("parent-issued-at");
const DISCOVERY: &str = ours!("discovery");
const MADE_OF: &str = ours!("made-of");
const PREVIOUS: &str = ours!("previous");
const ROLLOUT: &str = ours!("rollout");
const RESTARTED: &str = ours!("restarted");
const HANDLED_TRIGGER: &str = ours!("handled-trigger");
const HANDLED_ROTATE_AT: &str = ours!("handled-rotate-at");
const FIELDS: &str = ours!("fields");
const PLACE: &str = ours!("secret");
const LEAVE: &str = ours!("leave");
const LEAVE_AT: &str = ours!("leave-at");

/// The annotations of a record.
pub(super) const NAMES: [&str; 28] = [
    TOKEN,
    REVISION,
    ISSUED_AT,
    EXPIRES_AT,
    REFRESH_EXPIRES_AT,
    TOKEN_ID,
    SCOPES,
    INPUTS,
    CONTENT,
    API_VERSION,
    ASKED_VERSION,
    ISSUER,
    CLIENT_SECRET,
    CLIENT_SECRET_SINCE,
    OLD_SECRET_UNTIL,
    ADMIN,
    PARENT,
    PARENT_ISSUED_AT,
    DISCOVERY,
    MADE_OF,
    PREVIOUS,
    ROLLOUT,
    RESTARTED,
    HANDLED_TRIGGER,
    HANDLED_ROTATE_AT,
    FIELDS,
    PLACE,
    LEAVE,
];

/// Those that many records have in common, whatever app they are of. The hash of its client secret is another one for each.
pub(super) const COMMON: [&str; 4] = [SCOPES, API_VERSION, ASKED_VERSION, FIELDS];

impl Record {
    /// The record as annotations, prefix included.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let json = |value: &serde_json::Value| value.to_string();
        let mut all = BTreeMap::new();
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                all.insert(name.to_owned(), value);
            }
        };
        set(TOKEN, Some(self.token.to_string()));
        set(REVISION, Some(self.revision.to_string()));
        set(ISSUED_AT, Some(time::print(self.issued_at)));
        set(EXPIRES_AT, self.expires_at.map(time::print));
        set(REFRESH_EXPIRES_AT, self.refresh_expires_at.map(time::print));
        set(TOKEN_ID, self.token_id.clone());
        set(SCOPES, Some(self.scopes.join(",")));
        set(INPUTS, Some(self.inputs.clone()));
        set(CONTENT, Some(self.content.clone()));
        set(API_VERSION, Some(self.api_version.clone()));
        set(ASKED_VERSION, self.asked_version.clone());
        set(ISSUER, self.issuer.clone());
        set(CLIENT_SECRET, self.client_secret.clone());
        set(CLIENT_SECRET_SINCE, self.client_secret_since.map(time::print));
        set(OLD_SECRET_UNTIL, self.old_secret_until.map(time::print));
        set(ADMIN, self.admin.clone());
        set(PARENT, self.parent.map(|parent| parent.revision.to_string()));
        set(PARENT_ISSUED_AT, self.parent.and_then(|parent| parent.issued_at).map(time::print));
        set(DISCOVERY, self.discovery.as_ref().map(|discovery| json(&serde_json::json!(discovery))));
        set(MADE_OF, self.made_of.clone());
        set(PREVIOUS, (!self.previous.is_empty()).then(|| json(&serde_json::json!(self.previous))));
        set(ROLLOUT, self.rollout.map(|r| r.to_string()));
        set(RESTARTED, self.restarted.map(|r| r.to_string()));
        set(HANDLED_TRIGGER, self.handled_trigger.clone());
        set(HANDLED_ROTATE_AT, self.handled_rotate_at.clone());
        set(FIELDS, Some(json(&serde_json::json!(self.fields))));
        set(PLACE, self.place.clone());
        set(LEAVE, self.leave.map(|leave| leave.as_str().to_owned()));
        all
    }

    /// The ids of all that it knows to live, the newest first.
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.token_id.iter().chain(self.previous.iter().map(|p| &p.id))
    }

    /// The ids of all that it knows to live and that don't expire by now, the newest first.
    pub fn living(&self, now: Timestamp) -> impl Iterator<Item = &String> {
        let current = self.token_id.iter().filter(move |_| self.expires_at.is_none_or(|at| at > now));
        current.chain(self.previous.iter().filter(move |p| !p.expired(now)).map(|p| &p.id))
    }

    /// The API version that the app asked for when this was written.
    #[must_use]
    pub fn asked(&self) -> &str {
        self.asked_version.as_deref().unwrap_or(&self.api_version)
    }

    /// The record for an app that asks for this API version. What Shopify serves in its place is known for as long as
    /// the app asks for the same one.
    #[must_use]
    pub fn asking(self, asked: &str) -> Self {
        if self.asked() == asked { self } else { self.answered(asked, Some(asked)) }
    }

    /// The record once Shopify has answered a call of this API version with that of `served`, as far as it said so.
    #[must_use]
    pub fn answered(self, asked: &str, served: Option<&str>) -> Self {
        let Some(served) = served else { return self.asking(asked) };
        Self { api_version: served.to_owned(), asked_version: (served != asked).then(|| asked.to_owned()), ..self }
    }

    /// What Shopify serves in place of what is asked for, if that is news to who knew the record before.
    #[must_use]
    pub fn replaced_version(&self, before: Option<&Self>) -> Option<(&str, &str)> {
        let of = |record: &'_ Self| (record.asked_version.clone(), record.api_version.clone());
        let asked = self.asked_version.as_deref()?;
        (before.map(of) != Some(of(self))).then_some((asked, &self.api_version))
    }

    /// Whether the rollout targets matter now: they are to be restarted, or an older credential waits for them.
    #[must_use]
    pub fn restarts(&self) -> bool {
        self.rollout.is_some() && (self.restarted != self.rollout || !self.previous.is_empty())
    }

    /// Reads the record back; `None` if a part of it is missing or was edited beyond recognition.
    #[must_use]
    pub fn parse(annotations: &BTreeMap<String, String>) -> Option<Self> {
        Self::read(|name| get(annotations, name))
    }

    /// The same of annotations that are kept in another way.
    pub(super) fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let optional_time = |name: &str| match get(name) {
            None => Some(None),
            Some(text) => time::parse(text).map(Some),
        };
        let optional_revision = |name: &str| match get(name) {
            None => Some(None),
            Some(text) => text.parse().ok().map(Some),
        };
        Some(Self {
            token: get(TOKEN)?.parse().ok()?,
            revision: get(REVISION)?.parse().ok().filter(|r| *r > 0)?,
            issued_at: time::parse(get(ISSUED_AT)?)?,
            expires_at: optional_time(EXPIRES_AT)?,
            refresh_expires_at: optional_time(REFRESH_EXPIRES_AT)?,
            token_id: get(TOKEN_ID).map(str::to_owned),
            scopes: super::scopes::parse(get(SCOPES)?),
            inputs: get(INPUTS)?.to_owned(),
            content: get(CONTENT)?.to_owned(),
            api_version: get(API_VERSION)?.to_owned(),
            asked_version: get(ASKED_VERSION).map(str::to_owned),
            issuer: get(ISSUER).map(str::to_owned),
            client_secret: get(CLIENT_SECRET).map(str::to_owned),
            client_secret_since: optional_time(CLIENT_SECRET_SINCE)?,
            old_secret_until: optional_time(OLD_SECRET_UNTIL)?,
            admin: get(ADMIN).map(str::to_owned),
            parent: match (optional_revision(PARENT)?, optional_time(PARENT_ISSUED_AT)?) {
                (Some(revision), issued_at) => Some(Parent { revision, issued_at }),
                (None, _) => None,
            },
            discovery: match get(DISCOVERY) {
                None => None,
                Some(text) => Some(serde_json::from_str(text).ok()?),
            },
            made_of: get(MADE_OF).map(str::to_owned),
            previous: match get(PREVIOUS) {
                None => Vec::new(),
                Some(list) => serde_json::from_str(list).ok()?,
            },
            rollout: optional_revision(ROLLOUT)?,
            restarted: optional_revision(RESTARTED)?,
            handled_trigger: get(HANDLED_TRIGGER).map(str::to_owned),
            handled_rotate_at: get(HANDLED_ROTATE_AT).map(str::to_owned),
            fields: serde_json::from_str(get(FIELDS)?).ok()?,
            place: get(PLACE).map(str::to_owned),
            leave: match get(LEAVE) {
                None => None,
                Some(text) => Some(Leave::parse(text)?),
            },
        })
    }
}

/// The ShopifyToken that a Secret says it holds the credential of, even when the rest of the record is damaged.
#[must_use]
pub fn holder(annotations: &BTreeMap<String, String>) -> Option<Identity> {
    get(annotations, TOKEN)?.parse().ok()
}

/// The name under which the Secret was written, even when the rest of the record is damaged.
#[must_use]
pub fn place(annotations: &BTreeMap<String, String>) -> Option<&str> {
    get(annotations, PLACE)
}

/// What becomes of the Secret when its object leaves it, even when the rest of the record is damaged.
#[must_use]
pub fn leave(annotations: &BTreeMap<String, String>) -> Option<Leave> {
    Leave::parse(get(annotations, LEAVE)?)
}

/// When the object leaves the Secret, if its mark says so.
#[must_use]
pub fn leave_at(annotations: &BTreeMap<String, String>) -> Option<Timestamp> {
    time::parse(get(annotations, LEAVE_AT)?)
}

/// The mark as an annotation. It is no part of the record: whoever writes that anew takes the mark off.
#[must_use]
pub fn mark(leave_at: Timestamp) -> (String, String) {
    (LEAVE_AT.to_owned(), time::print(leave_at))
}

fn get<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    annotations.get(name).map(String::as_str)
}

impl Fields {
    /// What of the Secret is ours, even when the rest of the record is damaged.
    #[must_use]
    pub fn parse(annotations: &BTreeMap<String, String>) -> Option<Self> {
        serde_json::from_str(get(annotations, FIELDS)?).ok()
    }
}

/// Whether an annotation is part of the record.
#[must_use]
pub fn is_ours(annotation: &str) -> bool {
    annotation.starts_with(PREFIX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::core::scene::discovery;

    #[test]
    fn what_is_served_holds_as_long_as_the_same_is_asked_for() {
        let names = |record: &Record| (record.api_version.clone(), record.asked_version.clone());
        let plain = Record { api_version: "2024-01".into(), asked_version: None, ..record() };
        assert_eq!(plain.clone().asking("2024-01"), plain);
        assert_eq!(plain.clone().answered("2024-01", None), plain);
        assert_eq!(plain.clone().answered("2024-01", Some("2024-01")), plain);
        assert_eq!(plain.replaced_version(None), None);

        let served = plain.clone().answered("2024-01", Some("2026-01"));
        assert_eq!(names(&served), ("2026-01".into(), Some("2024-01".into())));
        assert_eq!(served.asked(), "2024-01");
        assert_eq!(served.clone().asking("2024-01"), served);
        assert_eq!(served.clone().answered("2024-01", None), served);
        assert_eq!(served.replaced_version(Some(&plain)), Some(("2024-01", "2026-01")));
        assert_eq!(served.replaced_version(Some(&served)), None, "no news");

        let later = served.clone().answered("2024-01", Some("2026-04"));
        assert_eq!(later.replaced_version(Some(&served)), Some(("2024-01", "2026-04")));
        // The app asks for another one; it may be the one that was served.
        for asked in ["2026-01", "2026-10"] {
            assert_eq!(names(&served.clone().asking(asked)), (asked.into(), None));
        }
    }

    pub(crate) fn record() -> Record {
        let at = |s| Timestamp::from_timestamp(s, 0).unwrap();
        Record {
            token: Identity { namespace: "shop".into(), name: "web".into(), uid: "0a1b".into() },
            revision: 4,
            issued_at: at(1_790_000_000),
            expires_at: Some(at(1_790_086_399)),
            refresh_expires_at: Some(at(1_797_776_000)),
            token_id: Some("gid://shopify/StorefrontAccessToken/1".into()),
            scopes: vec!["read_orders".into(), "read_products".into()],
            inputs: "i".into(),
            content: "c".into(),
            api_version: "2026-10".into(),
            asked_version: Some("2024-01".into()),
            issuer: Some("id".into()),
            client_secret: Some("hash".into()),
            client_secret_since: Some(at(1_790_000_000)),
            old_secret_until: Some(at(1_790_003_600)),
            admin: Some("admin".into()),
            parent: Some(Parent { revision: 7, issued_at: Some(at(1_789_999_000)) }),
            discovery: Some(discovery()),
            made_of: Some("filled=1".into()),
            previous: vec![Previous {
                id: "gid://x/2".into(),
                revoke_at: at(1_790_000_100),
                expires_at: Some(at(1_790_000_200)),
                admin: None,
                issuer: Some("id".into()),
                revoking: Some(4),
            }],
            rollout: Some(4),
            restarted: Some(4),
            handled_trigger: Some("2026-11-22".into()),
            handled_rotate_at: Some("2026-11-23".into()),
            fields: Fields { data: vec!["access_token".into()], ..Fields::default() },
            place: Some("web".into()),
            leave: Some(Leave::Delete),
        }
    }

    #[test]
    fn annotations_and_back_is_identity() {
        let record = record();
        assert_eq!(Record::parse(&record.annotations()), Some(record.clone()));
        let bare = Record {
            expires_at: None,
            token_id: None,
            issuer: None,
            client_secret: None,
            client_secret_since: None,
            old_secret_until: None,
            admin: None,
            parent: None,
            discovery: None,
            made_of: None,
            previous: vec![],
            rollout: None,
            restarted: None,
            handled_trigger: None,
            handled_rotate_at: None,
            place: None,
            leave: None,
            ..record
        };
        assert_eq!(Record::parse(&bare.annotations()), Some(bare));
    }

    #[test]
    fn an_edited_record_is_no_record() {
        let whole = record().annotations();
        assert!(whole.keys().all(|name| is_ours(name) && NAMES.contains(&name.as_str())));
        for name in [REVISION, ISSUED_AT, EXPIRES_AT, OLD_SECRET_UNTIL, DISCOVERY, PREVIOUS, FIELDS, TOKEN, LEAVE] {
            let mut edited = whole.clone();
            edited.insert(name.into(), "?".into());
            assert_eq!(Record::parse(&edited), None, "{name}");
        }
        for name in [REVISION, ISSUED_AT, INPUTS, CONTENT, API_VERSION, SCOPES, FIELDS, TOKEN] {
            let mut edited = whole.clone();
            edited.remove(name);
            assert_eq!(Record::parse(&edited), None, "{name}");
        }
    }
}
