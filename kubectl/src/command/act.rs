//! `rotate`, `reconcile`, `verify`, `suspend`, `resume`: asks, and with `--wait` sees to the end.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams};
use shopify_token_operator::clock::Clock;

use super::{
    action::{Action, Progress, request},
    wait::{self, Waiting},
};
use crate::{
    call::Call,
    cli::ActionOptions,
    cluster::{AGENT, Cluster},
    failure::{Code, Failure, Result},
    objects::{self, Object, TOKENS},
    screen::{Tone, print, tell},
};

/// Which of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    /// `rotate`
    Rotate,
    /// `reconcile`
    Reconcile,
    /// `verify`
    Verify,
    /// `suspend`
    Suspend,
    /// `resume`
    Resume,
}

/// Asks for it, of every token that is selected; with `--wait` goes on until all have come to an end.
pub(super) async fn run(cluster: &Cluster, verb: Verb, options: &ActionOptions) -> Result<()> {
    let objects = objects::select(cluster, &options.selection).await?;
    if objects.is_empty() {
        return Err(Failure::new(Code::NotFound, "no ShopifyToken is selected")
            .remedy("`kubectl shopify-token status -A` lists what is there"));
    }
    let value = request(Clock::system().now());
    let action = match verb {
        Verb::Rotate => Action::Rotate(value),
        Verb::Reconcile => Action::Reconcile(value),
        Verb::Verify => Action::Verify(value),
        Verb::Suspend => Action::Suspend,
        Verb::Resume => Action::Resume,
    };
    let mut asked = Vec::new();
    let mut failed = None;
    for object in objects {
        match ask(cluster, &action, &object).await {
            Ok(object) => asked.push(object),
            // The others are asked all the same.
            Err(failure) => {
                if let Some(before) = failed.replace(failure) {
                    tell(before);
                }
            }
        }
    }
    let waited = if options.wait.wait { end(cluster, &action, &asked, options).await } else { Ok(()) };
    failed.map_or(waited, Err)
}

/// Writes it, and says so.
async fn ask(cluster: &Cluster, action: &Action, object: &Object) -> Result<Object> {
    let patch = Patch::Merge(action.patch());
    let parameters = PatchParams { field_manager: Some(AGENT.to_owned()), ..PatchParams::default() };
    let patched = cluster.tokens(Some(&object.namespace)).patch(&object.name, &parameters, &patch).await;
    let call = Call::of("patch", TOKENS, Some(&object.namespace), Some(&object.name));
    let patched = Object::new(patched.map_err(|error| Failure::of(&error, &call))?);
    print(&format!("{}: {}\n", patched.place(), action.asked()))?;
    if let Some(obstacle) = patched.token.as_ref().and_then(|token| action.obstacle(token)) {
        tell(Tone::Waits.paint(format!("{}: {obstacle}", patched.place())));
    }
    Ok(patched)
}

async fn end(cluster: &Cluster, action: &Action, asked: &[Object], options: &ActionOptions) -> Result<()> {
    for object in asked {
        if let Some(obstacle) = action.obstacle(object.readable()?) {
            return Err(Failure::new(Code::Attention, format!("{} can't be waited for: {obstacle}", object.place())));
        }
    }
    let revision = |object: &Object| object.token.as_ref().and_then(|token| token.status.as_ref()?.revision);
    let before: BTreeMap<_, _> = asked.iter().map(|object| (object.place(), revision(object))).collect();
    let waiting = Waiting { objects: asked, timeout: options.wait.timeout() };
    wait::until(cluster, &waiting, |place, object| match object {
        Some(object) => match &object.token {
            Some(token) => action.progress(token, before.get(place).copied().flatten()),
            None => Progress::Failed("it can't be read by this release of the plugin".to_owned()),
        },
        None => Progress::Failed("it is gone".to_owned()),
    })
    .await
}
