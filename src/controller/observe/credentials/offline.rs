//! What an offline token is issued with: the app, the record Secret, and what a person has brought.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use secrecy::ExposeSecret;

use super::{Search, app_of};
use crate::{
    api::{ShopifyToken, SourceRef, source},
    controller::error::{Stop, found},
    core::{
        failure::Failure,
        identity::Identity,
        pair::{self, Pair, RecordState},
        render::content_hash,
        source::{App, Bootstrap, Offline},
        version::Version,
        vocabulary::Reason,
    },
    kubernetes::Metadata,
};

impl Search<'_> {
    /// Reads what an offline token is issued with. One whose pair another ShopifyToken keeps asks nothing of Shopify: either
    /// would end the other's.
    pub(super) async fn offline(&mut self, source: &source::Offline) -> Result<Offline, Stop> {
        let app = self.app_without_rival(source).await?;
        let me = self.me()?;
        let namespace = self.namespace.clone();
        let name = self.token.record_secret().unwrap_or_default();
        let live = self.live_secret(&namespace, &name).await?;
        let recorded = match pair::classify(self.token, &me, &app.client_id, live) {
            RecordState::Absent => None,
            RecordState::Ours(recorded) => Some(recorded),
            RecordState::Refused(failure) => return Err(failure.into()),
        };
        // The operator's own writes end no back-off; an approval does.
        self.versions.extend(recorded.iter().filter_map(|r| Some(format!("approval/{}", r.code.as_ref()?.state))));
        let has_code = recorded.as_ref().is_some_and(|recorded| recorded.code.is_some());
        let came = self.context.unrecorded.get(&me.uid);
        let has_pair = came.is_some() || recorded.as_ref().is_some_and(|recorded| recorded.pair.is_some());
        let bootstrap = match &source.bootstrap_ref {
            None => None,
            Some(reference) => match (self.bootstrap(&me, &reference.name).await?, has_pair || has_code) {
                (Ok(bootstrap), _) => Some(bootstrap),
                // It has served its purpose.
                (Err(_), true) => None,
                (Err(failure), false) => return Err(failure.into()),
            },
        };
        let mut offline = Offline {
            app,
            recorded,
            bootstrap,
            migrate: source.migrate.unwrap_or_default(),
            expiring: source.expiring.unwrap_or(true),
            in_hand: false,
        };
        offline.in_hand = came.is_some_and(|c| offline.goes_on(&c.pair, c.replaces.as_ref(), c.begun.as_deref()));
        if !has_pair && !has_code && offline.bootstrap.is_none() {
            return Err(offline.consent_required(self.context.install_url(self.token).as_deref()).into());
        }
        Ok(offline)
    }

    /// The app of an offline token, unless another one has the pair of that and the shop.
    pub(super) async fn app_without_rival(&mut self, source: &source::Offline) -> Result<App, Stop> {
        let (app, _) = self.app_of(self.token, &source.app_ref).await?;
        match self.rival(&app).await? {
            Some(rival) => Err(self.taken(&rival).into()),
            None => Ok(app),
        }
    }

    async fn bootstrap(&mut self, me: &Identity, name: &str) -> Result<Result<Bootstrap, Failure>, Stop> {
        let namespace = self.namespace.clone();
        let Some(secret) = self.secret("bootstrap", &namespace, name).await? else {
            let message = format!(
                "Secret {name:?} (bootstrapRef) isn't there yet; make it with the key refresh_token, or with an access_token alone"
            );
            return Ok(Err(Failure::new(Reason::CredentialsMissing, message)));
        };
        self.filled = Version::of(&*secret);
        let pair =
            Pair::read(secret.data.as_ref().unwrap_or(&BTreeMap::new()), &format!("Secret {name:?} (bootstrapRef)"));
        Ok(pair.map(|pair| {
            let text = pair.secret().map(|secret| secret.expose_secret().to_owned()).unwrap_or_default();
            let key = "bootstrap".to_owned();
            let data = [(key.clone(), k8s_openapi::ByteString(text.into_bytes()))].into();
            // Salted by the place, not by the UID: an object that is made anew begins with the same one.
            let salt = format!("{}/{}", me.namespace, me.name);
            Bootstrap { pair: Pair { previous_refresh: None, ..pair }, fingerprint: content_hash(&salt, &data, [&key]) }
        }))
    }

    /// An older offline token of the same app and shop. Shopify keeps one refreshable token for these. Of two that were
    /// made in the same second it is the one that has begun.
    async fn rival(&self, app: &App) -> Result<Option<ShopifyToken>, Stop> {
        let born = |t: &ShopifyToken| t.metadata.creation_timestamp.clone().map(|at| at.0);
        let here = born(self.token);
        let others: Vec<ShopifyToken> = self
            .context
            .stores
            .offline_of(&self.token.spec.shop)
            .iter()
            .filter_map(|token| token.0.as_ref().ok().filter(|t| t.uid() != self.token.uid()).cloned())
            .filter(|t| t.metadata.deletion_timestamp.is_none() && born(t) <= here)
            // Who is granted nothing is issued nothing, and is in nobody's way.
            .filter(|t| self.context.stores.may_use_app(t))
            .collect();
        for other in others {
            let (same, twins) = (other.app() == self.token.app(), born(&other) == here);
            // An app of another name may have the same client id: the record Secret tells, or its own Secret until there is one.
            let begun = if twins || !same { self.begun(&other, app).await? } else { None };
            let same = match begun {
                None if !same => self.names(&other, app).await?,
                None | Some(false) => same,
                Some(true) => true,
            };
            let begun = begun == Some(true);
            let first = match (same, twins) {
                (false, _) => false,
                (true, false) => true,
                (true, true) if begun != (self.begun(self.token, app).await? == Some(true)) => begun,
                (true, true) => other.uid() < self.token.uid(),
            };
            if first {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    /// Whether another's record Secret is of this app; `None` where it has none.
    async fn begun(&self, other: &ShopifyToken, app: &App) -> Result<Option<bool>, Stop> {
        let (Some(namespace), Some(name)) = (other.namespace(), other.record_secret()) else { return Ok(None) };
        if self.glances && self.context.stands::<Secret>(&namespace) {
            return Ok(self.context.presence.is_of(&namespace, &name, &app.client_id));
        }
        let secrets: Api<Metadata<Secret>> = Api::namespaced(self.context.client(), &namespace);
        let record = found(secrets.get_metadata(&name).await)?;
        let issuer = record.as_ref().and_then(|record| pair::issuer(record.annotations()));
        Ok(issuer.map(|issuer| issuer == app.client_id))
    }

    /// Whether the app that another token names has this client id. Of one that can't be used nobody knows, and its tokens
    /// are in nobody's way.
    async fn names(&self, other: &ShopifyToken, app: &App) -> Result<bool, Stop> {
        let (Some(SourceRef::Offline(source)), Some(_)) = (other.spec.source(), other.namespace()) else {
            return Ok(false);
        };
        match app_of(self.context, other, &source.app_ref).await {
            Ok(theirs) => Ok(theirs.client_id == app.client_id),
            Err(Stop::Failure(_)) => Ok(false),
            Err(stop) => Err(stop),
        }
    }

    fn taken(&self, rival: &ShopifyToken) -> Failure {
        let whose = if rival.namespace().as_deref() == Some(&self.namespace) {
            format!("ShopifyToken {:?} has", rival.name_any())
        } else {
            "a ShopifyToken of another namespace has".to_owned()
        };
        let message = format!(
            "{whose} the offline token of this app and shop, and there is one only; use that one, or delete it"
        );
        Failure::new(Reason::SecretConflict, message)
    }
}
