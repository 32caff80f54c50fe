//! The admin token that a token is made with, or to be revoked with, and what that is issued with itself.

use std::sync::Arc;

use kube::ResourceExt;
use secrecy::SecretString;

use super::Search;
use crate::{
    api::{AdminApi, ShopifyToken, SourceRef, app::NEWEST_API_VERSION, source::AppRef},
    controller::{error::Stop, observe::Protected},
    core::{
        condition::is_rejected,
        failure::Failure,
        identity::Identity,
        pair::{self, RecordState},
        record::{self, Record},
        secret::{Held, SecretState, classify},
        source::{AdminToken, App},
        vocabulary::Reason,
    },
};

/// What an admin token is issued with itself.
#[derive(Default)]
struct Origin {
    app: Option<App>,
    api: AdminApi,
    supplied: Option<SecretString>,
    /// What its record Secret holds, and of which client id.
    recorded: Option<(SecretString, String)>,
    /// Its app doesn't fit its type, or grants nothing to what is to be revoked with it.
    unusable: Option<Failure>,
}

impl Search<'_> {
    /// The admin token of that name, which is another ShopifyToken of the namespace.
    pub(super) async fn admin_token(&mut self, name: &str) -> Result<AdminToken, Stop> {
        let not_ready = |what: String| Failure::new(Reason::AdminTokenNotReady, what);
        let stands = self.watched::<ShopifyToken>(&self.namespace);
        let watched = self.context.stores.token(&self.namespace, name).filter(|_| stands);
        let admin = match watched.as_ref().and_then(|admin| admin.0.as_ref().ok()) {
            Some(admin) => self.context.caught_up(admin).into_owned(),
            None => self.object(&self.namespace, name).await?.ok_or_else(|| {
                not_ready(format!("ShopifyToken {name:?} (adminTokenRef) isn't there yet; it goes on as soon as it is"))
            })?,
        };
        self.saw("token", &admin);
        self.needed.push(Protected::token(&admin));
        if admin.spec.shop != self.token.spec.shop {
            let message = format!(
                "adminTokenRef {name:?} is a token of {}, and can't manage tokens of {}; name one of the same shop",
                admin.spec.shop, self.token.spec.shop
            );
            return Err(Failure::new(Reason::ShopNotPermitted, message).into());
        }
        let origin = self.origin(&admin).await?;
        let published = match self.published(&admin).await {
            Ok(value) => Ok(value),
            Err(stop) => Err(stop.failure()?),
        };
        // To revoke, a token that is issued for it alone will do, or the one the person supplied.
        let deleting = self.token.metadata.deletion_timestamp.is_some();
        let (token, record, issuer) = match (published, &origin) {
            (Ok((value, record)), _) => {
                let issuer = record.issuer.clone();
                (Some(value), Some(record), issuer)
            }
            (Err(_), Origin { app: Some(app), .. }) if deleting => (None, None, Some(app.client_id.clone())),
            (Err(_), Origin { supplied: Some(value), .. }) if deleting => (Some(value.clone()), None, None),
            (Err(_), Origin { recorded: Some((value, issuer)), .. }) if deleting => {
                (Some(value.clone()), None, Some(issuer.clone()))
            }
            // What can't be read may be mended: the admin token itself isn't what is missing.
            (Err(failure), Origin { unusable, .. }) => return Err(unusable.clone().unwrap_or(failure).into()),
        };
        // Its Secret may name another app by now, which is about to issue the next one.
        let app = origin.app.filter(|app| issuer.as_ref().is_none_or(|issuer| *issuer == app.client_id));
        let version = self.api_version.clone().unwrap_or_else(|| NEWEST_API_VERSION.to_owned());
        let published = record.as_ref().map(|r| record::Parent { revision: r.revision, issued_at: Some(r.issued_at) });
        let expires_at = record.as_ref().and_then(|r| r.expires_at);
        let client_secret = record.and_then(|r| r.client_secret);
        let (name, api) = (name.to_owned(), origin.api);
        Ok(AdminToken { name, token, published, expires_at, client_secret, issuer, app, api, version })
    }

    /// What an admin token is issued with itself. What is missing there is its own affair, as long as it is alive.
    async fn origin(&mut self, admin: &ShopifyToken) -> Result<Origin, Stop> {
        match admin.spec.source() {
            Some(SourceRef::ClientCredentials(source)) => self.of_app(admin, &source.app_ref).await,
            Some(SourceRef::Custom(source)) => match self.supplied(&source.token_ref).await {
                Ok(value) => Ok(Origin { supplied: Some(value), ..Origin::default() }),
                Err(stop) => stop.failure().map(|_| Origin::default()).map_err(Stop::from),
            },
            Some(SourceRef::Offline(source)) => {
                self.admin_renews = true;
                let recorded = self.recorded(admin).await?;
                // Of the app alone no other one can be had.
                Ok(Origin { app: None, recorded, ..self.of_app(admin, &source.app_ref).await? })
            }
            None => {
                let message = format!(
                    "ShopifyToken {:?} (adminTokenRef) names none or several of the six sources; apply it anew, or install the operator's version that wrote it",
                    admin.name_any()
                );
                Err(Failure::new(Reason::DependencyInvalid, message).into())
            }
            Some(SourceRef::Storefront(_) | SourceRef::Delegate(_) | SourceRef::CustomerAccount(_)) => {
                let message = format!(
                    "adminTokenRef {:?} isn't an Admin API token; name a ShopifyToken with source clientCredentials, offline or custom",
                    admin.name_any()
                );
                Err(Failure::new(Reason::InvalidCredential, message).into())
            }
        }
    }

    /// The app of an admin token.
    async fn of_app(&mut self, admin: &ShopifyToken, named: &AppRef) -> Result<Origin, Stop> {
        let failure = match self.app_of(admin, named).await {
            Ok((app, api)) => return Ok(Origin { app: Some(app), api, ..Origin::default() }),
            Err(stop) => stop.failure()?,
        };
        let deleting = self.token.metadata.deletion_timestamp.is_some();
        // The admin token tells that a grant is missing, until that is why nothing can be revoked.
        let unusable = if failure.reason == Reason::NotGranted && deleting {
            let message = format!("of ShopifyToken {:?} {}", admin.name_any(), failure.message);
            Some(Failure { message, ..failure })
        } else {
            Some(failure).filter(|f| f.reason == Reason::DependencyInvalid)
        };
        Ok(Origin { unusable, ..Origin::default() })
    }

    /// What the record Secret of an offline token holds, if that lives. A namespace that goes takes the other Secret at once.
    async fn recorded(&mut self, admin: &ShopifyToken) -> Result<Option<(SecretString, String)>, Stop> {
        let (Some(me), Some(name)) = (Identity::of(admin), admin.record_secret()) else { return Ok(None) };
        let Some(secret) = self.context.shared_secret(&self.namespace, &name).await? else { return Ok(None) };
        self.needed.push(Protected::secret(&secret));
        if admin.status.as_ref().is_some_and(is_rejected) {
            return Ok(None);
        }
        let Some(issuer) = pair::issuer(secret.annotations()).map(str::to_owned) else { return Ok(None) };
        let RecordState::Ours(recorded) = pair::classify(admin, &me, &issuer, Some(Arc::unwrap_or_clone(secret)))
        else {
            return Ok(None);
        };
        let pair = recorded.pair.filter(|pair| pair.lives(self.context.now()));
        Ok(pair.and_then(|pair| pair.access).map(|access| (access.value, issuer)))
    }

    /// The credential in another token's Secret, if it is there, whole and alive, and its record.
    async fn published(&mut self, admin: &ShopifyToken) -> Result<(SecretString, Record), Stop> {
        let namespace = self.namespace.clone();
        let live = self.secret("admin", &namespace, admin.secret_name()).await?;
        let name = admin.name_any();
        let not_ready = |what: &str| {
            let message = format!(
                "ShopifyToken {name:?} (adminTokenRef) {what}; it goes on as soon as that one is Ready: kubectl describe stok {name}"
            );
            Stop::from(Failure::new(Reason::AdminTokenNotReady, message))
        };
        let live = live.map(Arc::unwrap_or_clone);
        let state = Identity::of(admin).map(|identity| classify(admin, &identity, live));
        let Some(SecretState::Ours(mut held)) = state else { return Err(not_ready("hasn't published a token yet")) };
        held.read(None);
        let Held { record: Some(record), value: Some(value), .. } = *held else {
            return Err(not_ready("has a Secret that is being restored"));
        };
        if record.expires_at.is_some_and(|at| at <= self.context.now()) {
            return Err(not_ready("has an expired token"));
        }
        if admin.status.as_ref().is_some_and(|s| s.revision == Some(record.revision) && is_rejected(s)) {
            return Err(not_ready("has a token that Shopify refuses"));
        }
        Ok((value, record))
    }
}
