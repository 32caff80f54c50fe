//! Which versions of Secrets a credential was made of. While those are there its record tells what is in them, and nobody need
//! read them; what stands for them then, too.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use secrecy::SecretString;

use super::{
    approvals,
    credential::same,
    customer::{CustomerClient, Session},
    digest::digest,
    identity::Identity,
    keeper::Keeper,
    observed::Observed,
    pair::{self, RecordState, Recorded},
    public_url::PublicUrl,
    record::Record,
    source::{App, Issuer, Offline},
    version::Version,
};
use crate::api::{ShopifyToken, SourceRef};

/// The Secrets that a credential is made of: that of a person, and the record Secret, each if it is there. `owned` says whether
/// the record Secret goes with its object.
#[must_use]
pub fn versions(filled: Option<Version>, recorded: Option<Version>, owned: bool) -> String {
    let name = |what: &str, version: Option<Version>| version.map(|version| format!("{what}={version}"));
    let owned = recorded.filter(|_| owned).map(|_| "owned".to_owned());
    [name("filled", filled), name("record", recorded), owned].into_iter().flatten().collect::<Vec<_>>().join(",")
}

/// What is kept in memory of a record that tells of other versions than it names.
#[must_use]
pub fn agreed(record: &Record, versions: &str) -> String {
    let annotations = record.annotations();
    digest(&annotations.values().map(String::as_str).chain([versions]).collect::<Vec<_>>())
}

impl Observed {
    /// The versions that the published credential is made of, if its record tells what is in them.
    #[must_use]
    pub fn made_of(&self) -> Option<String> {
        let whole = self.whole()?;
        let recorded = self.keeper().and_then(Keeper::recorded);
        self.told(whole.record, (whole.value, whole.session), recorded)
    }

    /// The same of a credential that is about to be published, with the record Secret as it was `written` for it.
    #[must_use]
    pub fn about_to_be_made_of(
        &self,
        record: &Record,
        (value, session): (&SecretString, Option<&SecretString>),
        written: Option<Secret>,
    ) -> Option<String> {
        let keeper = self.keeper();
        let written = match (written, keeper) {
            (Some(written), Some(keeper)) => {
                match pair::classify(&self.token, &self.identity, keeper.client_id(), Some(written)) {
                    RecordState::Ours(recorded) => Some(recorded),
                    RecordState::Absent | RecordState::Refused(_) => return None,
                }
            }
            (Some(_), None) | (None, _) => None,
        };
        let recorded = written.as_deref().or_else(|| keeper.and_then(Keeper::recorded));
        self.told(record, (value, session), recorded)
    }

    fn told(
        &self,
        record: &Record,
        (value, session): (&SecretString, Option<&SecretString>),
        recorded: Option<&Recorded>,
    ) -> Option<String> {
        let of_pair = |published: &SecretString| {
            let pair = recorded.and_then(|recorded| recorded.pair.as_ref());
            let is = |access: &pair::Access| same(&access.value, published);
            pair.is_some_and(|pair| pair.access.as_ref().is_some_and(is) && pair.is_told(record))
        };
        let told = match self.issuer.as_ref().ok()? {
            Issuer::Custom(theirs) => same(theirs, value),
            Issuer::Offline(_) => of_pair(value),
            Issuer::CustomerAccount(client) => {
                let same =
                    record.token_id.as_ref() == Some(&client.id) && record.issuer.as_ref() == Some(&client.client_id);
                same && client.session.is_none() == session.is_none() && session.is_none_or(of_pair)
            }
            Issuer::ClientCredentials(_) | Issuer::Storefront(_) | Issuer::Delegate(_) => false,
        };
        // A code waits for something.
        if !told || recorded.is_some_and(|recorded| approvals::waiting(&recorded.live).is_some()) {
            return None;
        }
        let live = recorded.map(|recorded| &recorded.live);
        let owned = live.is_some_and(|live| live.owner_references().iter().any(|o| o.uid == self.identity.uid));
        // One that isn't of a known version is read again.
        let version = live.map(|live| Version::of(live).ok_or(())).transpose().ok()?;
        Some(versions(self.filled, version, owned))
    }
}

/// What the record can't tell of what a credential is issued with.
pub struct Beside {
    /// The app that the spec names.
    pub app: Option<App>,
    /// Whether a pair has come that isn't written down yet.
    pub in_hand: bool,
    /// Where the install pages are.
    pub public: Option<PublicUrl>,
}

impl Issuer {
    /// What a credential with this record is issued with, whose Secrets nobody has read and are the versions that it is made of:
    /// values that say nothing stand for those that are published. To be decided upon, and never to be used.
    #[must_use]
    pub fn unread(token: &ShopifyToken, me: &Identity, record: &Record, beside: Beside) -> Option<Self> {
        let Beside { app, in_hand, public } = beside;
        let recorded = |client_id: &str| Some(Box::new(Recorded::unread(token, me, client_id, record)));
        match token.spec.source()? {
            SourceRef::Custom(_) => Some(Self::Custom(SecretString::default())),
            SourceRef::CustomerAccount(source) => {
                let client_id = record.issuer.clone()?;
                let session =
                    source.session.is_some().then(|| Session { recorded: recorded(&client_id), in_hand, public });
                Some(Self::CustomerAccount(CustomerClient {
                    id: record.token_id.clone()?,
                    client_id,
                    client_secret: None,
                    session,
                }))
            }
            SourceRef::Offline(source) => {
                let app = app?;
                Some(Self::Offline(Offline {
                    recorded: recorded(&app.client_id),
                    app,
                    bootstrap: None,
                    migrate: source.migrate.unwrap_or_default(),
                    expiring: source.expiring.unwrap_or(true),
                    in_hand,
                }))
            }
            SourceRef::ClientCredentials(_) | SourceRef::Storefront(_) | SourceRef::Delegate(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use kube::Resource;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        api::SourceKind,
        core::{
            approvals::Code,
            pair::Content,
            plan::{Plan, Step, plan},
            scene::{dice, healthy, now, secret_string},
            secret::{Held, SecretState},
        },
        time::Timestamp,
    };

    /// The same where nobody has read a Secret; `None` if one would have to be.
    fn glanced(o: &Observed) -> Option<Observed> {
        let whole = o.whole().filter(|_| !o.drifted && o.frozen().is_none())?;
        let issuer = match &o.issuer {
            Ok(Issuer::Custom(_) | Issuer::Offline(_) | Issuer::CustomerAccount(_)) => {
                let recorded = o.keeper().and_then(Keeper::recorded);
                let version = recorded.and_then(|recorded| Version::of(&recorded.live));
                o.made_of().filter(|made_of| *made_of == versions(o.filled, version, pair::is_owned(&o.token)))?;
                let session = o.session().and_then(|session| session.public.clone());
                let app = o.offline().map(|offline| offline.app.clone());
                let in_hand = o.keeper().is_some_and(Keeper::in_hand);
                Issuer::unread(&o.token, &o.identity, whole.record, Beside { app, in_hand, public: session })?
            }
            Ok(known @ (Issuer::ClientCredentials(_) | Issuer::Storefront(_) | Issuer::Delegate(_))) => known.clone(),
            Err(_) => return None,
        };
        let secret = SecretState::Ours(Box::new(Held::unread(whole.record.clone())));
        Some(o.clone().with(|o| (o.secret, o.issuer) = (secret, Ok(issuer))))
    }

    fn rests(plan: &Plan) -> bool {
        plan.step == Step::Keep && plan.hold.is_none()
    }

    fn check(o: &Observed, at: Timestamp) -> Result<bool, TestCaseError> {
        let Some(glanced) = glanced(o).filter(|_| o.beginning().is_none()) else { return Ok(false) };
        let (seen, wanted) = (plan(&glanced, at), plan(o, at));
        if !rests(&seen) || o.token.metadata.deletion_timestamp.is_some() {
            return Ok(false);
        }
        prop_assert!(rests(&wanted), "{wanted:?}");
        let later = |wanted: Timestamp| seen.wake_at.is_none_or(|at| at > wanted);
        prop_assert!(!wanted.wake_at.is_some_and(later), "{seen:?} {wanted:?}");
        prop_assert_eq!(glanced.on_old_secret(), o.on_old_secret());
        Ok(true)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// Where a look without reading finds nothing to do there is nothing to do, and it comes back no later.
        #[test]
        fn what_is_not_read_hides_nothing(
            kind in prop::sample::select(SourceKind::ALL.to_vec()),
            plain in any::<bool>(),
            (mut all, mut made_of) in (dice(), dice()),
        ) {
            let o = if plain { healthy(kind, json!({})) } else { all.observed() };
            let o = made_of.made_of(o);
            for at in [now(), made_of.moment()] {
                check(&o, at)?;
            }
        }
    }

    type Change<'a> = &'a dyn Fn(&mut Secret);

    #[test]
    fn versions_are_named_where_the_record_tells_what_is_in_them() {
        let o = healthy(SourceKind::Offline, json!({}));
        let pair = o.offline().unwrap().pair().unwrap().clone();
        let written = |change: Change| {
            let content = Content { pair: &pair, bootstrap: None, spent: None, customer: None };
            let mut secret = pair::recorded(&o.token, &o.identity, "id", None, content);
            (secret.metadata.uid, secret.metadata.resource_version) = (Some("4e5f".into()), Some("7".into()));
            change(&mut secret);
            secret
        };
        let put = |key: &'static str, text: &'static str| {
            move |secret: &mut Secret| {
                secret.data.get_or_insert_default().insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
            }
        };
        let of = |change: Change| {
            let record = o.record().unwrap();
            o.about_to_be_made_of(record, (o.value().unwrap(), None), Some(written(change)))
        };
        let version = Version::of(&written(&|_| ()));
        assert_eq!(of(&|_| ()), Some(versions(None, version, false)));
        assert!(o.made_of().is_some_and(|before| Some(before) != of(&|_| ())), "of the version before");
        let code = Code { value: secret_string("code"), state: "s".into() };
        let told: [(&str, Change); 7] = [
            ("a webhook's access token", &put("access_token", "another")),
            ("another end", &put("expires_at", "2026-11-22T00:00:00Z")),
            ("another end of the refresh token", &put("refresh_token_expires_at", "2026-11-22T00:00:00Z")),
            ("no refresh token", &|secret| drop(secret.data.as_mut().unwrap().remove("refresh_token"))),
            ("a code that waits", &|secret| approvals::approve(secret, &code, now(), now())),
            ("of no version", &|secret| secret.metadata.resource_version = None),
            ("somebody else's", &|secret| secret.metadata.annotations = None),
        ];
        for (about, change) in told {
            assert_eq!(of(change), None, "{about}");
        }
        let owned = written(&|secret| secret.owner_references_mut().extend(o.token.controller_owner_ref(&())));
        let owned = o.about_to_be_made_of(o.record().unwrap(), (o.value().unwrap(), None), Some(owned));
        assert_eq!(owned, Some(versions(None, version, true)));
    }

    #[test]
    fn a_healthy_token_of_each_source_is_not_read() {
        for kind in SourceKind::ALL {
            assert!(check(&healthy(kind, json!({})), now()).unwrap(), "{kind:?}");
        }
    }
}
