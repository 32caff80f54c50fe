//! What a token is issued with, where the Secrets that hold it are of versions that its record tells all of: they aren't read.

use k8s_openapi::api::core::v1::Secret;

use super::{Found, Search, find};
use crate::{
    api::{ShopifyToken, SourceRef, source},
    controller::{
        context::Context,
        error::{Error, Stop},
    },
    core::{
        identity::Identity,
        made_of::{Beside, agreed, versions},
        pair,
        record::Record,
        source::{App, Issuer},
        version::Version,
    },
};

/// What a token with this record is issued with, as far as it isn't known without reading the Secrets that a person, or the
/// operator beside the applications' Secret, keeps it in. `None` if one of them has to be read.
///
/// # Errors
/// Of Kubernetes.
pub(in crate::controller::observe) async fn known(
    context: &Context,
    token: &ShopifyToken,
    source: SourceRef<'_>,
    (me, record): (&Identity, &Record),
) -> Result<Option<Found>, Error> {
    let named = match source {
        SourceRef::ClientCredentials(_) | SourceRef::Storefront(_) | SourceRef::Delegate(_) => {
            return find(context, token, source).await.map(Some);
        }
        SourceRef::Offline(source) => Some(source),
        SourceRef::Custom(_) | SourceRef::CustomerAccount(_) => None,
    };
    if !there(context, token, me).is_ok_and(|there| is_told(context, me, record, &there)) {
        return Ok(None);
    }
    let mut search = Search { glances: true, ..Search::of(context, token) };
    let app = match app(&mut search, named).await {
        Ok(app) => app,
        // Who reads everything tells of it.
        Err(stop) => return stop.failure().map(|_| None),
    };
    let (in_hand, public) = (context.unrecorded.get(&me.uid).is_some(), context.setup.public_url.clone());
    let issuer = Issuer::unread(token, me, record, Beside { app, in_hand, public });
    Ok(issuer.map(|issuer| search.found(Ok(issuer))))
}

async fn app(search: &mut Search<'_>, source: Option<&source::Offline>) -> Result<Option<App>, Stop> {
    match source {
        Some(source) => search.app_without_rival(source).await.map(Some),
        None => Ok(None),
    }
}

/// Whether a record tells what is in these versions: it was made of them, or was found to agree with them.
fn is_told(context: &Context, me: &Identity, record: &Record, there: &str) -> bool {
    let found = || context.agreed.get(&me.uid).is_some_and(|found| found == agreed(record, there));
    record.made_of.as_deref() == Some(there) || found()
}

/// Nobody knows which version of a Secret is there, or whether there is one.
#[derive(Debug, Eq, PartialEq)]
struct Unseen;

/// The versions of the Secrets that a token is made of, as the watch knows them.
fn there(context: &Context, token: &ShopifyToken, me: &Identity) -> Result<String, Unseen> {
    let seen = |name: &str| seen(context, &me.namespace, name);
    let filled = token.credentials_secret().map_or(Ok(None), seen)?;
    let record = token.record_secret().as_deref().map_or(Ok(None), seen)?;
    Ok(versions(filled, record, pair::is_owned(token)))
}

/// The version of a Secret; `None` if there is none.
fn seen(context: &Context, namespace: &str, name: &str) -> Result<Option<Version>, Unseen> {
    let version = context.presence.version(namespace, name);
    let lacks = || context.stands::<Secret>(namespace) && context.presence.lacks(namespace, name);
    if version.is_some() || lacks() { Ok(version) } else { Err(Unseen) }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::{Client, client::Body, runtime::watcher::Event};
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::{api::SourceKind, core::scene::healthy};

    #[tokio::test]
    async fn a_version_counts_when_it_was_seen_and_an_absence_while_the_watch_stands() {
        let server = tower::service_fn(|_: Request<Body>| {
            std::future::pending::<Result<Response<Body>, std::convert::Infallible>>()
        });
        let context = Context::of_client(Client::new(server, "default"));
        let o = healthy(SourceKind::Custom, json!({}));
        let mut token = o.token.clone();
        let secret: Secret = serde_json::from_value(
            json!({"metadata": {"namespace": "shop", "name": "hand", "uid": "1", "resourceVersion": "7"}}),
        )
        .unwrap();
        let there = |token: &ShopifyToken| there(&context, token, &o.identity);
        assert_eq!(there(&token), Err(Unseen), "no watch tells of it");
        let watch = context.setup.watches.begin("Secret", None, Instant::now());
        context.presence.note(None, &secret, false);
        let seen = Ok(versions(Version::of(&secret), None, false));
        assert_eq!(there(&token), seen);
        let Some(source) = &mut token.spec.source.custom else { unreachable!() };
        source.token_ref.name = "another".into();
        assert_eq!(there(&token), Err(Unseen), "it may come with the rest of the list");
        watch.brought(&Ok(Event::<Secret>::InitDone), Instant::now());
        assert_eq!((there(&token), there(&o.token)), (Ok(String::new()), seen));

        let mut record = o.record().unwrap().clone();
        let told = |record: &Record, there: &str| is_told(&context, &o.identity, record, there);
        assert!(!told(&record, "filled=1"));
        context.agreed.put(o.identity.uid.clone(), agreed(&record, "filled=1"));
        assert!(told(&record, "filled=1") && !told(&record, "filled=2"));
        record.revision += 1;
        assert!(!told(&record, "filled=1"), "another record");
        record.made_of = Some("filled=2".into());
        assert!(told(&record, "filled=2") && !told(&record, "filled=1"));
    }
}
