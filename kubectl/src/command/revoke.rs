//! `revoke`: deletes a token, after it has said what that does.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};

use super::{
    action::Progress,
    wait::{self, Waiting},
};
use crate::{
    call::Call,
    cli::RevokeOptions,
    cluster::Cluster,
    failure::{Code, Failure, Result},
    objects::{self, Object, TOKENS},
    screen::{bold, print, tell},
    view::{deletion, state::State},
};

/// Deletes it.
pub(super) async fn run(cluster: &Cluster, options: &RevokeOptions) -> Result<()> {
    let object = objects::named(cluster, objects::name_of(&options.name)?, false).await?;
    let token = object.readable()?;
    let dependents = dependents(cluster, &object).await?;
    tell(bold(format!("Deleting ShopifyToken {}:", object.place())));
    for sentence in deletion::told(token, &dependents) {
        tell(format_args!("- {sentence}"));
    }
    if !options.yes && !agreed()? {
        return Err(Failure::new(Code::Failed, "nothing was deleted"));
    }
    // The very object that was spoken of.
    let preconditions = Preconditions { uid: token.uid(), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let deleted = cluster.tokens(Some(&object.namespace)).delete(&object.name, &parameters).await;
    let call = Call::of("delete", TOKENS, Some(&object.namespace), Some(&object.name));
    deleted.map_err(|error| Failure::of(&error, &call))?;
    print(&format!("{}: deleted\n", object.place()))?;
    if !options.wait.wait {
        return Ok(());
    }
    let waiting = Waiting { objects: std::slice::from_ref(&object), timeout: options.wait.timeout() };
    wait::until(cluster, &waiting, |_, now| match now.map(|now| (now.raw.uid() == object.raw.uid(), now)) {
        None | Some((false, _)) => Progress::Done("gone".to_owned()),
        Some((true, now)) => Progress::Waits(now.token.as_ref().map(|token| State::of(token).message)),
    })
    .await
}

/// Names of tokens of the namespace that are issued with this one.
async fn dependents(cluster: &Cluster, object: &Object) -> Result<Vec<String>> {
    let listed = match objects::list(cluster, Some(&object.namespace), &ListParams::default()).await {
        Ok(listed) => listed,
        Err(failure) => {
            tell(format_args!("which tokens are issued with it can't be told: {}", failure.message));
            Vec::new()
        }
    };
    let needs = |other: &Object| other.token.as_ref().and_then(|token| token.admin_token()) == Some(&object.name);
    Ok(listed.into_iter().filter(needs).map(|other| other.name).collect())
}

fn agreed() -> Result<bool> {
    let unasked = |error: io::Error| Failure::new(Code::Failed, format!("the question can't be asked: {error}"));
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Code::Usage, "there is no terminal to ask at").remedy("--yes deletes without asking"));
    }
    let mut out = anstream::stderr().lock();
    write!(out, "Go on? [y/N] ").and_then(|()| out.flush()).map_err(unasked)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(unasked)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
