//! What tests of the core start from: a healthy token, and whatever chance makes of one.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource, ResourceExt};
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    hold::Hold,
    identity::Identity,
    observed::{Doubt, Observed, ShopState, Workload},
    record::{Fields, Previous, Record},
    render::{self, Data, Values},
    secret::{self, Held, SecretState},
    source::{AdminToken, App, Issuer, nature},
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
            json!({"customerAccount": {"credentialsRef": {"name": "hand"}, "clientType": "Public"}})
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
    let listed = kind == SourceKind::Storefront;
    Record {
        token: identity(),
        revision: 3,
        issued_at,
        expires_at: expires.then(|| issued_at + hours(24)),
        token_id: listed.then(|| id(3)),
        scopes: vec!["read_products".into()],
        inputs: "inputs".into(),
        content: String::new(),
        api_version: "2026-10".into(),
        issuer: matches!(kind, SourceKind::ClientCredentials | SourceKind::Storefront).then(|| "id".into()),
        admin: listed.then(|| "admin".into()),
        previous: Vec::new(),
        rollout: Some(3),
        restarted: Some(3),
        handled_trigger: None,
        handled_rotate_at: None,
        fields: Fields::default(),
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
    let (value, previous) = (secret_string(value), previous.map(secret_string));
    let values = Values::of(&token.spec.shop, record, &value, previous.as_ref());
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
    SecretState::Ours(Box::new(Held { record, value, previous: None, edited: false, frozen: None, live }))
}

/// What a kind is issued with.
pub(crate) fn issuer(kind: SourceKind) -> Issuer {
    let app = App { key: "shop/acme".into(), client_id: "id".into(), client_secret: secret_string("canary-s") };
    match kind {
        SourceKind::ClientCredentials | SourceKind::Offline => Issuer::ClientCredentials(app),
        SourceKind::Storefront | SourceKind::Delegate => Issuer::Storefront(AdminToken {
            name: "admin".into(),
            token: Some(secret_string("canary-a")),
            issuer: Some("id".into()),
            app: Some(app),
            api: crate::api::AdminApi::GraphQL,
            version: "2026-10".into(),
        }),
        SourceKind::Custom | SourceKind::CustomerAccount => Issuer::Custom(secret_string("canary")),
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
        issuer: Ok(issuer(kind)),
        template: Ok(()),
        drifted: false,
        inputs: "inputs".into(),
        dependencies: "dependencies".into(),
        suspect: None,
        shop: ShopState::Up { since: now() - hours(5) },
        rival: None,
        needed_by: Vec::new(),
        workloads: Vec::new(),
        former: BTreeMap::new(),
        settles_at: None,
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
        validity,
        attempts,
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

    /// The same while it is being deleted, since `ago` before now.
    pub(crate) fn deleting(self, ago: TimeDelta) -> Self {
        self.with(|o| {
            o.token.metadata.deletion_timestamp = Some(time::to_kube(now() - ago));
            o.token.finalizers_mut().push(FINALIZER.into());
        })
    }
}

/// Chance, which shrinks towards the healthy token: every byte is a choice, and 0 the harmless one.
#[derive(Debug)]
pub(crate) struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn roll(&mut self) -> u8 {
        self.0.next().unwrap_or_default()
    }

    /// Seldom: about once in so many.
    fn once_in(&mut self, n: u8) -> bool {
        self.roll() % n == n - 1
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.roll()) % choices.len()].clone()
    }

    /// A moment somewhere around now.
    fn moment(&mut self) -> Timestamp {
        let seconds = [0, 1, -1, 5, -5, 60, -60, 3600, -3600, 86_400, -86_400, 400 * 86_400, -400 * 86_400];
        now() + TimeDelta::seconds(self.of(&seconds)) + TimeDelta::milliseconds(self.of(&[0, 1, -1, 500]))
    }

    fn reason(&mut self) -> Reason {
        self.of(Reason::ALL)
    }

    fn spec(&mut self) -> Value {
        let mut spec = json!({});
        let mut maybe = |dice: &mut Self, n: u8, name: &str, choices: &[Value]| {
            if dice.once_in(n) {
                spec[name] = dice.of(choices);
            }
        };
        maybe(self, 8, "suspend", &[json!(true), json!(false)]);
        maybe(self, 3, "verifyInterval", &[json!(0), json!("1s"), json!("15m"), json!("876000h")]);
        maybe(self, 3, "renewBefore", &[json!("1s"), json!("8h"), json!("876000h")]);
        maybe(self, 3, "requiredScopes", &[json!(["read_products"]), json!(["write_orders"])]);
        maybe(self, 3, "deletionPolicy", &[json!("Retain"), json!("Revoke")]);
        maybe(self, 3, "secret", &[json!({"creationPolicy": "Merge"}), json!({"creationPolicy": "Orphan"})]);
        maybe(
            self,
            2,
            "rotation",
            &[
                json!({"interval": "1s", "overlap": "1s"}),
                json!({"interval": "720h"}),
                json!({"trigger": "a", "overlap": "876000h"}),
                json!({"trigger": "b", "interval": "876000h"}),
            ],
        );
        spec
    }

    fn record(&mut self, kind: SourceKind) -> Record {
        let mut record = record(kind);
        if self.once_in(2) {
            record.issued_at = self.moment();
        }
        if self.once_in(3) {
            record.expires_at = Some(self.moment());
        }
        for n in 0..self.of(&[0, 0, 1, 2, 5, 6]) {
            let revoking = self.once_in(8).then_some(3);
            record.previous.push(Previous { revoke_at: self.moment(), revoking, ..previous(100 + n, hours(0)) });
        }
        record.handled_trigger = self.of(&[None, Some("a"), Some("b")]).map(str::to_owned);
        record.inputs = self.of(&["inputs", "inputs", "inputs", "others"]).to_owned();
        record.scopes =
            self.of(&[vec!["read_products"], vec!["write_orders"]]).into_iter().map(str::to_owned).collect();
        record.revision = self.of(&[3, 1, i64::MAX]);
        record.restarted = self.of(&[Some(3), None]);
        record.issuer = self.of(&[record.issuer.clone(), Some("another".into()), None]);
        record
    }

    pub(crate) fn failure(&mut self) -> Failure {
        Failure::new(self.reason(), "chance")
    }

    fn state(&mut self, token: &ShopifyToken, kind: SourceKind) -> SecretState {
        match self.roll() % 8 {
            4 => SecretState::Absent,
            5 => SecretState::Mergeable(Box::default()),
            6 => SecretState::Collected,
            7 => SecretState::Refused(self.failure()),
            _ => {
                let record = self.record(kind);
                let mut state = held(token, kind, &record);
                if let SecretState::Ours(held) = &mut state {
                    if self.once_in(8) {
                        held.record = None;
                    }
                    if self.once_in(8) {
                        held.value = None;
                    }
                    held.edited = self.once_in(8);
                }
                state
            }
        }
    }

    pub(crate) fn validity(&mut self) -> Validity {
        let at = self.moment();
        self.of(&[Validity::NotAsked, Validity::Verified(at), Validity::Rejected, Validity::Unreachable])
    }

    pub(crate) fn attempts(&mut self) -> Attempts {
        let (count, inputs) = (self.of(&[1, 2, 7, i64::MAX]), self.of(&["dependencies", "others"]).to_owned());
        let failed = Attempts::Failed { count, at: self.moment(), next: self.moment(), inputs };
        self.of(&[Attempts::None, Attempts::AsBefore, failed])
    }

    /// What may stand in the way.
    pub(crate) fn hold(&mut self) -> Option<Hold> {
        let failure = self.failure();
        self.of(&[None, Some(Hold::BackingOff), Some(Hold::Suspended), Some(Hold::Blocked(failure))])
    }

    /// Anything that could be observed, and much that couldn't.
    pub(crate) fn observed(&mut self) -> Observed {
        let kind = self.of(&[
            SourceKind::ClientCredentials,
            SourceKind::Storefront,
            SourceKind::Custom,
            SourceKind::Offline,
            SourceKind::Delegate,
            SourceKind::CustomerAccount,
        ]);
        let spec = self.spec();
        let mut o = healthy(kind, spec);
        o.secret = self.state(&o.token, kind);
        if self.once_in(4) {
            o.issuer = Err(self.failure());
        } else if matches!(o.issuer, Ok(Issuer::Custom(_))) && self.once_in(3) {
            o.issuer = Ok(Issuer::Custom(secret_string("another")));
        }
        if self.once_in(6) {
            o.template = Err(Failure::new(Reason::InvalidTemplate, "chance"));
        }
        o.drifted = self.once_in(4);
        if self.once_in(4) {
            o.suspect = Some(self.of(&[Doubt::Refused, Doubt::Stray, Doubt::Moved, Doubt::RefusedOnce(now())]));
        }
        o.settles_at = self.once_in(6).then(|| self.moment());
        if self.once_in(6) {
            o.identity.uid = "restored".into();
            o.token.metadata.uid = Some("restored".into());
        }
        o.dependencies = self.of(&["dependencies", "others"]).to_owned();
        let since = self.moment();
        o.shop = self.of(&[ShopState::Up { since: now() - hours(5) }, ShopState::Up { since }, ShopState::Down]);
        o.rival = self.once_in(6).then(|| "older".to_owned());
        o.needed_by = if self.once_in(6) { vec!["user".to_owned()] } else { Vec::new() };
        if self.once_in(3) {
            o.workloads = vec![workload(self.of(&[Some("3"), None, Some("2")]), self.once_in(2))];
        }
        o.revocation_timeout = self.of(&[hours(1), TimeDelta::zero(), TimeDelta::days(36_500)]);
        for (name, choices) in [(REQUESTED_AT, ["a", "b"]), (ROTATE_AT, ["a", ""])] {
            if self.once_in(4) {
                o = o.annotated(name, self.of(&choices));
            }
        }
        match self.roll() % 4 {
            3 => o.token.status = None,
            2 => {
                let hold = self.hold();
                let reported = status(&o, hold.as_ref(), self.validity(), self.attempts());
                o.token.status = Some(reported);
            }
            _ => {}
        }
        if self.once_in(4) {
            o.token.metadata.deletion_timestamp = Some(time::to_kube(self.moment()));
            if !self.once_in(4) {
                o.token.finalizers_mut().push(FINALIZER.into());
            }
        }
        o.token.meta_mut().generation = self.of(&[Some(1), Some(2), None]);
        o
    }
}

/// Chance enough for one of everything.
pub(crate) fn dice() -> impl Strategy<Value = Dice> {
    prop::collection::vec(any::<u8>(), 0..100).prop_map(|bytes| Dice(bytes.into_iter()))
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
