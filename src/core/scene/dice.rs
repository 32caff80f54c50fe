//! Whatever chance makes of a token: anything that could be observed, and much that couldn't.

use super::{
    super::{
        approvals::{self, Code},
        customer::Session,
        secret_rotation::Turn,
    },
    *,
};
use crate::api::source::Source;

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
    pub(crate) fn moment(&mut self) -> Timestamp {
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

    /// A pair as the record Secret may hold it, with what the record of the credential says of it if that tells.
    fn pair(&mut self, record: &Record) -> (Pair, Record) {
        let ends = [now() + hours(23), now() - hours(1), now() + hours(90 * 24), self.moment()];
        let lone = self.once_in(3);
        let minted = self.of(&[record.client_secret.clone(), Some("another".into()), None]).filter(|_| !lone);
        let access = Access {
            value: secret_string(self.of(&["canary", "canary", "canary", "another"])),
            issued_at: self.of(&[None, Some(now() - hours(1))]),
            expires_at: Some(self.of(&ends)).filter(|_| !self.once_in(3)),
            scopes: self.of(&[None, Some(vec!["read_products".to_owned()])]),
            minted_by: minted.clone(),
        };
        let refresh_expires_at = Some(self.of(&ends)).filter(|_| !self.once_in(3));
        let refresh = RefreshToken { value: secret_string("canary-r"), expires_at: refresh_expires_at };
        let told = Record {
            expires_at: access.expires_at,
            refresh_expires_at: refresh_expires_at.filter(|_| !lone),
            client_secret: if lone { Some(minted::BROUGHT.to_owned()) } else { minted },
            ..record.clone()
        };
        (Pair { access: Some(access), refresh: (!lone).then_some(refresh), previous_refresh: None }, told)
    }

    /// The same token as what its credential is made of may be by now: what a person has put somewhere, or the record Secret.
    pub(crate) fn made_of(&mut self, mut o: Observed) -> Observed {
        let Some(record) = o.record().cloned() else { return o };
        let (pair, told) = self.pair(&record);
        let mut recorded = kept(Some(pair));
        if self.once_in(6) {
            let code = Code { value: secret_string("code"), state: "s".into() };
            approvals::approve(&mut recorded.live, &code, now(), now());
            recorded.code = approvals::waiting(&recorded.live);
        }
        recorded.live.owner_references_mut().extend(o.token.controller_owner_ref(&()).filter(|_| self.once_in(2)));
        let mut session = None;
        match (&mut o.issuer, &mut o.token.spec.source) {
            (Ok(Issuer::Custom(theirs)), _) => *theirs = secret_string(self.of(&["canary", "another"])),
            (Ok(Issuer::CustomerAccount(theirs)), Source { customer_account: Some(source), .. }) => {
                *theirs = client(self.of(&["canary", "canary", "another"]));
                if self.once_in(2) {
                    source.session = Some(serde_json::from_value(json!({"scopes": ["openid"]})).unwrap());
                    let public = self.of(&[Some("https://tokens.example.com".parse().unwrap()), None]);
                    theirs.session = Some(Session { recorded: Some(Box::new(recorded)), in_hand: false, public });
                    session = self.of(&[Some("canary"), Some("another"), None]).map(secret_string);
                }
            }
            (Ok(Issuer::Offline(offline)), Source { offline: Some(source), .. }) => {
                (offline.migrate, offline.recorded) = (self.once_in(3), Some(Box::new(recorded)));
                source.migrate = Some(offline.migrate);
                let rotation = minted::Rotation { since: now() - hours(2), within: hours(1) };
                offline.app.rotation = self.once_in(3).then_some(rotation);
            }
            (Ok(_) | Err(_), _) => return o,
        }
        let tells = o.keeper().is_some() && !self.once_in(4);
        let SecretState::Ours(held) = &mut o.secret else { return o };
        held.session = session;
        if tells {
            let client_secret = told.client_secret.clone().filter(|_| o.kind == SourceKind::Offline);
            held.record = Some(Record { client_secret, ..told });
        }
        o
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
        } else if matches!(o.issuer, Ok(Issuer::CustomerAccount(_))) && self.once_in(3) {
            o.issuer = Ok(Issuer::CustomerAccount(client("another")));
        }
        if self.once_in(6) {
            o.template = Err(Failure::new(Reason::InvalidTemplate, "chance"));
        }
        for _ in 0..self.of(&[0, 0, 1, 2]) {
            let left = self.moment() - now();
            o.older.push(older(self.of(&[3, 2, 5, i64::MAX]), self.of(&[None, Some(left)])));
        }
        o.drifted = self.once_in(4);
        o.unprotected = self.once_in(6);
        if self.once_in(4) {
            o.suspect = Some(self.of(&[Doubt::Refused, Doubt::Stray, Doubt::Moved, Doubt::RefusedOnce(now())]));
        }
        let turn = self.moment();
        o.turn = self.of(&[None, Some(Turn::At(turn)), Some(Turn::AfterFirst)]);
        o.settles_at = self.once_in(6).then(|| self.moment());
        if self.once_in(6) {
            o.identity.uid = "restored".into();
            o.token.metadata.uid = Some("restored".into());
        }
        o.dependencies = self.of(&["dependencies", "others"]).to_owned();
        let since = self.moment();
        let up = [ShopState::Up { since: now() - hours(5) }, ShopState::Up { since }];
        let down = [ShopState::Down { own: true }, ShopState::Down { own: false }];
        o.shop = self.of(&[up, down].concat());
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
