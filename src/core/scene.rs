//! What tests of the core start from: a healthy token, and what may have become of it.

mod dice;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource, ResourceExt};
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};

pub(crate) use self::dice::dice;
use super::{
    approvals::Approvals,
    credential::RefreshToken,
    customer::{CustomerClient, Discovery},
    failure::Failure,
    hold::Hold,
    identity::Identity,
    minted,
    observed::{Doubt, Observed, ShopState, Workload},
    older::Older,
    pair::{Access, Pair, Recorded},
    previous::{PreviousValues, id_of},
    record::{self, Fields, Previous, Record, mark},
    render::{self, Data, Values},
    secret::{self, Held, SecretState},
    source::{AdminToken, App, Issuer, Offline, Parent, nature},
    status::{Attempts, Snapshot, Validity, project},
    vocabulary::{FINALIZER, REQUESTED_AT, ROTATE_AT, Reason},
};
use crate::{
    api::{
        ShopifyToken, ShopifyTokenStatus, SourceKind,
        token::{RolloutRestartTarget, WorkloadKind},
    },
    time::{self, Timestamp},
};

/// The moment at which tests look.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_timestamp(1_790_000_000, 0).unwrap()
}

pub(crate) const fn minutes(n: i64) -> TimeDelta {
    TimeDelta::minutes(n)
}

pub(crate) const fn hours(n: i64) -> TimeDelta {
    TimeDelta::hours(n)
}

/// ShopifyToken `web` of namespace `shop`, with further fields of its spec.
pub(crate) fn token(kind: SourceKind, fields: &Value) -> ShopifyToken {
    let source = match kind {
        SourceKind::ClientCredentials => json!({"clientCredentials": {"appRef": {"name": "acme"}}}),
        SourceKind::Offline => json!({"offline": {"appRef": {"name": "acme"}}}),
        SourceKind::Storefront => json!({"storefront": {"adminTokenRef": {"name": "admin"}}}),
        SourceKind::Delegate => json!({"delegate": {"adminTokenRef": {"name": "admin"}, "scopes": ["read_products"]}}),
        SourceKind::Custom => json!({"custom": {"tokenRef": {"name": "hand", "key": "token"}}}),
        SourceKind::CustomerAccount => {
            json!({"customerAccount": {"credentialsRef": {"name": "hand"}, "clientType": "Confidential"}})
        }
    };
    let mut spec = json!({"shop": "acme.myshopify.com", "source": source});
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "tokens.shopify-operator.dev/v1alpha1",
        "kind": "ShopifyToken",
        "metadata": {"name": "web", "namespace": "shop", "uid": "0a1b2c3d", "generation": 1},
        "spec": spec,
    }))
    .unwrap()
}

/// The record of a credential issued an hour ago.
pub(crate) fn record(kind: SourceKind) -> Record {
    let issued_at = now() - hours(1);
    let expires = nature(kind).expires;
    let made = matches!(kind, SourceKind::Storefront | SourceKind::Delegate);
    let of_client = kind == SourceKind::CustomerAccount;
    Record {
        token: identity(),
        revision: 3,
        issued_at,
        expires_at: expires.then(|| issued_at + hours(24)),
        refresh_expires_at: (kind == SourceKind::Offline).then(|| now() + hours(89 * 24)),
        token_id: match kind {
            SourceKind::Storefront => Some(id(3)),
            SourceKind::Delegate => Some(id_of(&secret_string("canary"))),
            SourceKind::CustomerAccount => Some(client("canary").id),
            SourceKind::ClientCredentials | SourceKind::Offline | SourceKind::Custom => None,
        },
        scopes: if of_client { Vec::new() } else { vec!["read_products".into()] },
        inputs: "inputs".into(),
        content: String::new(),
        api_version: "2026-10".into(),
        asked_version: None,
        issuer: match kind {
            SourceKind::CustomerAccount => Some("shp_1".into()),
            SourceKind::Custom => None,
            SourceKind::ClientCredentials | SourceKind::Offline | SourceKind::Storefront | SourceKind::Delegate => {
                Some("id".into())
            }
        },
        client_secret: minted::is_minted(kind).then(|| minted_by(kind)),
        client_secret_since: minted::is_minted(kind).then_some(issued_at),
        old_secret_until: None,
        admin: made.then(|| "admin".into()),
        parent: (kind == SourceKind::Delegate).then_some(of_parent()),
        discovery: of_client.then(discovery),
        made_of: None,
        previous: Vec::new(),
        rollout: Some(3),
        restarted: Some(3),
        handled_trigger: None,
        handled_rotate_at: None,
        fields: Fields::default(),
        place: None,
        leave: None,
    }
}

/// What a delegate is made of.
const fn of_parent() -> record::Parent {
    record::Parent { revision: 7, issued_at: None }
}

/// What the record of a kind says that the client secret of [`issuer`] has minted.
pub(crate) fn minted_by(kind: SourceKind) -> String {
    let Identity { namespace, name, .. } = identity();
    match kind {
        SourceKind::Delegate => minted::below(&namespace, &name, "parent"),
        SourceKind::ClientCredentials
        | SourceKind::Offline
        | SourceKind::Storefront
        | SourceKind::Custom
        | SourceKind::CustomerAccount => minted::by(&namespace, &name, &secret_string("canary-s")),
    }
}

/// Which object [`token`] is.
pub(crate) fn identity() -> Identity {
    Identity { namespace: "shop".into(), name: "web".into(), uid: "0a1b2c3d".into() }
}

/// A Deployment that was restarted for a revision.
pub(crate) fn workload(restarted_for: Option<&str>, finished: bool) -> Workload {
    let target = RolloutRestartTarget { kind: WorkloadKind::Deployment, name: "web".into() };
    Workload { target, restarted_for: restarted_for.map(str::to_owned), finished }
}

/// Id of a storefront token.
pub(crate) fn id(n: i64) -> String {
    format!("gid://shopify/StorefrontAccessToken/{n}")
}

/// An older credential that is to be revoked after so long.
pub(crate) fn previous(n: i64, left: TimeDelta) -> Previous {
    Previous {
        id: id(n),
        revoke_at: now() + left,
        admin: Some("admin".into()),
        issuer: Some("id".into()),
        expires_at: None,
        revoking: None,
    }
}

pub(crate) fn secret_string(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

/// What is published for a record.
pub(crate) fn data(
    token: &ShopifyToken,
    kind: SourceKind,
    record: &Record,
    value: &str,
    previous: Option<&str>,
) -> Data {
    let previous = PreviousValues { newest: previous.map(secret_string), kept: Vec::new() };
    let value = secret_string(value);
    let values = Values::of(&token.spec.shop, record, &value, &previous);
    render::render(&token.spec, kind, &values).unwrap()
}

/// Our Secret as the operator would write it.
pub(crate) fn published(token: &ShopifyToken, kind: SourceKind, record: &Record) -> Secret {
    let mut secret = secret::desired(token, None, record.clone(), data(token, kind, record, "canary", None));
    secret.metadata.resource_version = Some("7".into());
    secret
}

/// Our Secret as it would be observed.
pub(crate) fn held(token: &ShopifyToken, kind: SourceKind, record: &Record) -> SecretState {
    let live = published(token, kind, record);
    let record = Record::parse(live.annotations());
    let value = Some(secret_string("canary"));
    SecretState::Ours(Box::new(Held {
        record,
        value,
        previous: PreviousValues::default(),
        session: None,
        edited: false,
        frozen: None,
        live,
    }))
}

/// Secret `old`, which an older spec named: with a revision, and a mark so long before its time.
pub(crate) fn older(revision: i64, left: Option<TimeDelta>) -> Older {
    older_with(&Record { revision, ..record(SourceKind::ClientCredentials) }, left)
}

/// The same with a record.
pub(crate) fn older_with(record: &Record, left: Option<TimeDelta>) -> Older {
    let kind = SourceKind::ClientCredentials;
    let before = token(kind, &json!({"secret": {"name": "old"}}));
    let mut live = published(&before, kind, record);
    live.annotations_mut().extend(left.map(|left| mark(now() + left)));
    Older::read(&token(kind, &json!({})), &identity(), live).unwrap()
}

/// A confidential client `shp_1` with this secret.
pub(crate) fn client(secret: &str) -> CustomerClient {
    CustomerClient::new(&identity(), "shp_1".into(), Some(secret_string(secret)))
}

/// What a shop says of its customer accounts.
pub(crate) fn discovery() -> Discovery {
    let accounts = "https://shopify.com/authentication/36563550340";
    let endpoint = |path: &str| format!("{accounts}{path}").parse().unwrap();
    Discovery {
        issuer: endpoint(""),
        authorization_endpoint: endpoint("/oauth/authorize"),
        token_endpoint: endpoint("/oauth/token"),
        end_session_endpoint: endpoint("/logout"),
        jwks_uri: endpoint("/.well-known/jwks.json"),
        graphql_api: "https://acme.myshopify.com/customer/api/2026-10/graphql".parse().unwrap(),
    }
}

/// What a kind is issued with.
pub(crate) fn issuer(kind: SourceKind) -> Issuer {
    let app = App {
        key: "shop/acme".into(),
        client_id: "id".into(),
        client_secret: secret_string("canary-s"),
        rotation: None,
        previous_client_secret: None,
    };
    match kind {
        SourceKind::ClientCredentials => Issuer::ClientCredentials(app),
        SourceKind::Offline => Issuer::Offline(offline(app)),
        SourceKind::Storefront => Issuer::Storefront(admin(app)),
        SourceKind::Delegate => {
            Issuer::Delegate(Parent { admin: admin(app), scopes: vec!["read_products".into()], lifetime: hours(1) })
        }
        SourceKind::Custom => Issuer::Custom(secret_string("canary")),
        SourceKind::CustomerAccount => Issuer::CustomerAccount(client("canary")),
    }
}

fn offline(app: App) -> Offline {
    let value = secret_string("canary");
    let expires_at = Some(now() + hours(23));
    let access = Access {
        value,
        issued_at: Some(now() - hours(1)),
        expires_at,
        scopes: None,
        minted_by: Some(minted_by(SourceKind::Offline)),
    };
    let refresh = RefreshToken { value: secret_string("canary-r"), expires_at: Some(now() + hours(89 * 24)) };
    let pair = Some(Pair { access: Some(access), refresh: Some(refresh), previous_refresh: None });
    let recorded = Some(Box::new(kept(pair)));
    Offline { app, recorded, bootstrap: None, migrate: false, expiring: true, in_hand: false }
}

/// A record Secret with this pair.
pub(crate) fn kept(pair: Option<Pair>) -> Recorded {
    let mut live = Secret::default();
    (live.metadata.uid, live.metadata.resource_version) = (Some("4e5f".into()), Some("6".into()));
    Recorded { live, pair, bootstrap: None, code: None, approvals: Approvals::default(), customer: None }
}

fn admin(app: App) -> AdminToken {
    AdminToken {
        name: "admin".into(),
        token: Some(secret_string("canary-a")),
        published: Some(of_parent()),
        issued_at: of_parent().issued_at,
        expires_at: None,
        client_secret: Some("parent".into()),
        issuer: Some("id".into()),
        app: Some(app),
        api: crate::api::AdminApi::GraphQL,
        version: "2026-10".into(),
    }
}

/// A token that has what it needs, with nothing to do.
#[allow(clippy::needless_pass_by_value, reason = "so that tests can write json!() in place")]
pub(crate) fn healthy(kind: SourceKind, fields: Value) -> Observed {
    let token = token(kind, &fields);
    let secret = held(&token, kind, &record(kind));
    let mut observed = Observed {
        kind,
        secret,
        older: Vec::new(),
        issuer: Ok(issuer(kind)),
        template: Ok(()),
        drifted: false,
        inputs: "inputs".into(),
        dependencies: "dependencies".into(),
        suspect: None,
        shop: ShopState::Up { since: now() - hours(5) },
        turn: None,
        rival: None,
        needed_by: Vec::new(),
        workloads: Vec::new(),
        former: BTreeMap::new(),
        settles_at: None,
        admin_renews: false,
        filled: None,
        unprotected: false,
        install_url: Some("https://tokens.example.com/oauth/install/shop/web".into()),
        api_version: "2026-10".into(),
        identity: identity(),
        revocation_timeout: hours(1),
        token,
    };
    let status = status(&observed, None, Validity::Verified(now() - minutes(30)), Attempts::None);
    observed.token.status = Some(status);
    observed
}

/// The status that would be reported now.
pub(crate) fn status(o: &Observed, hold: Option<&Hold>, validity: Validity, attempts: Attempts) -> ShopifyTokenStatus {
    project(&snapshot(o, hold, validity, attempts), now())
}

pub(crate) fn snapshot<'a>(
    o: &'a Observed,
    hold: Option<&'a Hold>,
    validity: Validity,
    attempts: Attempts,
) -> Snapshot<'a> {
    Snapshot {
        token: &o.token,
        kind: o.kind,
        record: o.record(),
        intact: o.value().is_some(),
        hold,
        remark: o.remark(),
        install_url: o.install_url.as_deref(),
        validity,
        attempts,
        handled: !matches!(hold, Some(Hold::Suspended)),
        unpublished: o.record().is_some_and(|record| o.client_unpublished(record)),
    }
}

impl Observed {
    /// The same, changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The same with another record.
    pub(crate) fn recorded(self, change: impl FnOnce(&mut Record)) -> Self {
        self.with(|o| {
            let SecretState::Ours(held) = &mut o.secret else { panic!("there is no record to change") };
            change(held.record.as_mut().unwrap());
        })
    }

    /// The same with another status.
    pub(crate) fn reported(self, change: impl FnOnce(&mut ShopifyTokenStatus)) -> Self {
        self.with(|o| change(o.token.status.get_or_insert_default()))
    }

    pub(crate) fn annotated(self, name: &str, value: &str) -> Self {
        self.with(|o| {
            o.token.annotations_mut().insert(name.into(), value.into());
        })
    }

    /// The same after the `count`-th failure in a row, `ago` before now, with the next attempt `left` after now.
    pub(crate) fn failed(self, reason: Reason, count: i64, ago: TimeDelta, left: TimeDelta) -> Self {
        let failure = Hold::Blocked(Failure::new(reason, "it failed"));
        let inputs = self.dependencies.clone();
        let attempts = Attempts::Failed { count, at: now() - ago, next: now() + left, inputs };
        let status = status(&self, Some(&failure), Validity::NotAsked, attempts);
        self.with(|o| o.token.status = Some(status))
    }

    /// The same without its Secret.
    pub(crate) fn without_secret(self) -> Self {
        self.with(|o| o.secret = SecretState::Absent)
    }

    /// The same when the spec has just named another Secret.
    pub(crate) fn under_another_name(self) -> Self {
        let older = older_with(self.record().expect("a record"), None);
        self.with(|o| o.older = vec![older]).without_secret()
    }

    /// The same while it is being deleted, since `ago` before now.
    pub(crate) fn deleting(self, ago: TimeDelta) -> Self {
        self.with(|o| {
            o.token.metadata.deletion_timestamp = Some(time::to_kube(now() - ago));
            o.token.finalizers_mut().push(FINALIZER.into());
        })
    }
}

/// A Secret that somebody else has made under the name of ours.
pub(crate) fn foreign() -> Secret {
    let mut secret = Secret {
        data: Some(Data::from([("theirs".into(), ByteString(b"kept".to_vec()))])),
        type_: Some("Opaque".into()),
        ..Secret::default()
    };
    secret.metadata.name = Some("web".into());
    secret.metadata.namespace = Some("shop".into());
    secret.metadata.resource_version = Some("5".into());
    secret
}
