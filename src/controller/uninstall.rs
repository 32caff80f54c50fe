//! `uninstall`: revokes what a deletion would revoke, then takes every finalizer of ours off.
//!
//! Afterwards the CustomResourceDefinitions can be deleted: no object of theirs hangs, although
//! nobody is left to finish a deletion.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Resource, ResourceExt, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;

use super::{
    act::{act, protect},
    context::{Context, Setup},
    error::{Error, found},
    key::ObjectKey,
    observe::{Observation, observe},
    outcome::Outcome,
    report::{report, report_revoked},
    unreadable::{place, sourceless},
    watch::{Stores, Wakes},
};
use crate::{
    api::{ShopifyApp, ShopifyToken},
    core::{
        finalizer::{has_finalizer, revocable},
        plan::{Call, Step, plan},
        vocabulary::{EventReason, FINALIZER},
    },
    kubernetes::Lenient,
    time::{self, Timestamp},
};

/// Pause between two looks at the tokens that are left.
const PAUSE: Duration = Duration::from_secs(1);
/// What a call under way may take beyond the time limit.
const LAST_CALL: Duration = Duration::from_secs(30);
/// By then an operator that still runs has put a finalizer back.
const SETTLED: Duration = Duration::from_secs(3);
const PAGE: u32 = 200;
const STILL_RUNS: &str = "an operator still runs and puts finalizers back: scale its Deployment to zero (with several \
                          instances, each of them), then run uninstall again";

/// What an uninstallation has done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Uninstalled {
    /// Tokens whose credentials were revoked, and what Shopify was asked to revoke.
    pub revoked: BTreeMap<ObjectKey, String>,
    /// Tokens whose credentials may live on, and why.
    pub left: BTreeMap<ObjectKey, String>,
    /// How many objects had a finalizer of ours; none has any more.
    pub released: usize,
}

impl fmt::Display for Uninstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (token, note) in &self.revoked {
            writeln!(f, "revoked      {}/{}: {note}", token.namespace(), token.name())?;
        }
        for (token, note) in &self.left {
            writeln!(f, "NOT REVOKED  {}/{}: {note}", token.namespace(), token.name())?;
        }
        writeln!(
            f,
            "{} ShopifyTokens revoked, {} not; finalizers taken off {} objects: the operator and its \
             CustomResourceDefinitions can be deleted now",
            self.revoked.len(),
            self.left.len(),
            self.released
        )
    }
}

/// Revokes within `setup.revocation_timeout`, then takes every finalizer off, whatever Shopify said.
///
/// No operator may run meanwhile: it would put the finalizers back, which is noticed and an error.
///
/// # Errors
/// Of Kubernetes, when an operator still runs, and for what keeps a finalizer: the rest has none any more.
pub async fn uninstall(setup: Setup) -> anyhow::Result<Uninstalled> {
    let limit = setup.revocation_timeout.to_std().unwrap_or_default() + LAST_CALL;
    let context = Context::new(setup, Stores::default(), Wakes::default());
    let mut done = Uninstalled::default();
    match tokio::time::timeout(limit, revoke(&context, &mut done)).await {
        Ok(finished) => finished?,
        Err(_elapsed) => tracing::warn!("the time for revocations is over"),
    }
    let (tokens, unreadable) = tokens(&context).await.map_err(Error::from)?;
    for token in unreadable {
        done.left.insert(token, "it doesn't fit its type, so nobody knows what it held".to_owned());
    }
    for token in tokens {
        if has_finalizer(&token) && token.spec.source().is_some_and(|s| revocable(&token, s.kind())) {
            done.left
                .entry(ObjectKey::of_object(&token))
                .or_insert_with(|| "the time for revocations was over".to_owned());
        }
    }
    done.released += sweep(&context).await.released;
    tokio::time::sleep(SETTLED).await;
    let Swept { released, kept } = sweep(&context).await;
    anyhow::ensure!(released == 0, STILL_RUNS);
    anyhow::ensure!(
        kept.is_empty(),
        "finalizers are on still: let the operator write these, then run uninstall again: {}",
        kept.join("; ")
    );
    Ok(done)
}

/// Treats every token that has our finalizer as one that is being deleted, until none is left.
///
/// # Errors
/// When a token that was let go has the finalizer again.
async fn revoke(context: &Context, done: &mut Uninstalled) -> anyhow::Result<()> {
    let began = context.now();
    let mut let_go = BTreeSet::new();
    loop {
        let left: Vec<ShopifyToken> = match tokens(context).await {
            Ok((all, _)) => all.into_iter().filter(has_finalizer).collect(),
            Err(error) => {
                let error = Error::from(error);
                tracing::warn!(%error, "the ShopifyTokens can't be listed; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if left.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(!left.iter().any(|t| let_go.contains(&ObjectKey::of_object(t))), STILL_RUNS);
        let concurrency = context.setup.concurrency.into();
        let attempts = left.into_iter().map(|token| async {
            let key = ObjectKey::of_object(&token);
            (key, Box::pin(as_if_deleted(context, token, began)).await)
        });
        let results: Vec<_> = stream::iter(attempts).buffer_unordered(concurrency).collect().await;
        for (token, result) in results {
            match result {
                Ok(ended) => {
                    if ended.released {
                        let_go.insert(token.clone());
                    }
                    done.revoked.extend(ended.revoked.map(|note| (token.clone(), note)));
                    done.left.extend(ended.left.map(|note| (token, note)));
                }
                Err(error) => {
                    tracing::warn!(namespace = token.namespace(), name = token.name(), %error, "not let go; trying again");
                }
            }
        }
        done.released = let_go.len();
        tokio::time::sleep(PAUSE).await;
    }
}

#[derive(Default)]
struct Ended {
    released: bool,
    revoked: Option<String>,
    left: Option<String>,
}

/// One attempt at the deletion's own steps, on an object that stays.
async fn as_if_deleted(context: &Context, token: ShopifyToken, began: Timestamp) -> Result<Ended, Error> {
    let doomed = doomed(&token, began);
    let stays = token.metadata.deletion_timestamp.is_none();
    let observation = Observation { stays, ..observe(context, &doomed).await? };
    let plan = plan(&observation.observed, context.now());
    let acted = act(context, &observation, plan.step, &mut None).await?;
    if matches!(acted.outcome, Outcome::Busy) {
        return Ok(Ended::default());
    }
    let note = |reason| acted.news.iter().find(|n| n.reason == reason).map(|n| n.note.clone());
    let let_go = matches!(acted.outcome, Outcome::LetGo);
    let ended = Ended {
        released: let_go,
        revoked: note(EventReason::Revoked).filter(|_| let_go),
        left: note(EventReason::RevocationFailed).filter(|_| let_go),
    };
    let revoked = plan.step == Step::Call(Call::Revoke) && ended.revoked.is_some();
    let reported = async {
        report(context, &observation.observed, &plan, &[], acted).await?;
        if revoked && token.metadata.deletion_timestamp.is_none() {
            report_revoked(context, &observation.observed, &token).await?;
        }
        Ok(())
    };
    match reported.await {
        // What was revoked is told in the summary all the same: no later attempt knows of it.
        Err(error) if let_go => {
            let (namespace, name) = (token.namespace(), token.name_any());
            tracing::warn!(namespace, name, %error, "let go; its status doesn't say so");
            Ok(ended)
        }
        told => told.map(|()| ended),
    }
}

/// The token as if it had been deleted when the uninstallation began: what had failed before holds nothing up.
fn doomed(token: &ShopifyToken, began: Timestamp) -> ShopifyToken {
    let mut doomed = token.clone();
    doomed.metadata.deletion_timestamp.get_or_insert_with(|| time::to_kube(began));
    if let Some(status) = &mut doomed.status
        && status.last_failure_time.as_ref().is_some_and(|at| at.0 < time::to_kube(began).0)
    {
        (status.failed_attempts, status.next_attempt_time) = (None, None);
    }
    doomed
}

/// What a sweep has done.
#[derive(Default)]
struct Swept {
    /// How many objects had the finalizer, and have it no more.
    released: usize,
    /// What has it still, or couldn't be looked at, and why.
    kept: Vec<String>,
}

/// Takes the finalizer off everything that has it. What can't be written keeps no other object.
async fn sweep(context: &Context) -> Swept {
    let mut swept = Swept::default();
    sweep_kind::<ShopifyToken>(context, &mut swept).await;
    sweep_kind::<ShopifyApp>(context, &mut swept).await;
    sweep_kind::<Secret>(context, &mut swept).await;
    swept
}

async fn sweep_kind<K>(context: &Context, swept: &mut Swept)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
{
    for api in apis::<K>(context) {
        if let Err(error) = sweep_api(context, &api, swept).await {
            let namespace = api.namespace().map_or_else(|| "all namespaces".to_owned(), |n| format!("namespace {n}"));
            swept.kept.push(format!("{}s of {namespace} ({})", K::kind(&()), Error::from(error)));
        }
    }
}

async fn sweep_api<K>(context: &Context, api: &Api<K>, swept: &mut Swept) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
{
    let mut page = ListParams::default().limit(PAGE);
    loop {
        // Where the definitions are gone already, there is nothing of the kind.
        let Some(list) = found(api.list_metadata(&page).await)? else { return Ok(()) };
        for object in list.items.iter().filter(|o| has_finalizer(*o)) {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            match release::<K>(context, &namespace, &name).await {
                Ok(()) => swept.released += 1,
                Err(error) => {
                    swept.kept.push(format!("{} {namespace}/{name} ({})", K::kind(&()), Error::from(error)));
                }
            }
        }
        match list.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => page.continue_token = Some(next),
            None => return Ok(()),
        }
    }
}

/// Takes the finalizer off an object that others write, too.
async fn release<K>(context: &Context, namespace: &str, name: &str) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
{
    let mut attempts = 0;
    loop {
        match protect::take_off::<K>(context, namespace, name).await {
            Err(kube::Error::Api(status)) if status.code == 409 && attempts < 10 => attempts += 1,
            ended => return ended,
        }
    }
}

/// All tokens, and those of them that can't be read and have our finalizer.
async fn tokens(context: &Context) -> Result<(Vec<ShopifyToken>, Vec<ObjectKey>), kube::Error> {
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    for api in apis::<Lenient<ShopifyToken>>(context) {
        let list = found(api.list(&ListParams::default()).await)?;
        for token in list.into_iter().flat_map(|list| list.items) {
            let invalid = match token.0 {
                Ok(token) => match sourceless(&token) {
                    None => {
                        readable.push(token);
                        continue;
                    }
                    Some(invalid) => invalid,
                },
                Err(invalid) => invalid,
            };
            if invalid.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER) {
                let (namespace, name) = place(&invalid);
                unreadable.push(ObjectKey::new(&namespace, &name));
            }
        }
    }
    Ok((readable, unreadable))
}

fn apis<K>(context: &Context) -> Vec<Api<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match context.setup.namespaces.as_slice() {
        [] => vec![Api::all(context.client())],
        some => some.iter().map(|namespace| Api::namespaced(context.client(), namespace)).collect(),
    }
}
