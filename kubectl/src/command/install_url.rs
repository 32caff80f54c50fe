//! `install-url`.

use shopify_token_operator::{
    api::{Approves, SourceRef},
    core::vocabulary::Reason,
};
use url::Url;

use crate::{
    cli::InstallUrlOptions,
    cluster::Cluster,
    failure::{Code, Failure, Result},
    objects::{self, Object},
    screen::{print, tell},
    view::state::State,
};

/// Prints where to approve, and opens it where that is asked for.
pub(super) async fn run(cluster: &Cluster, options: &InstallUrlOptions) -> Result<()> {
    let object = objects::named(cluster, objects::name_of(&options.name)?, false).await?;
    let url = address(&object)?;
    print(&format!("{url}\n"))?;
    if options.open {
        open::that_detached(url.as_str()).map_err(|error| {
            Failure::new(Code::Failed, format!("no browser could be opened: {error}"))
                .remedy("open the address by hand")
        })?;
        tell("opened in the browser; give the address to nobody but who is to approve");
    }
    Ok(())
}

/// Where to approve; why there is nothing to, otherwise.
fn address(object: &Object) -> Result<Url> {
    let token = object.readable()?;
    let place = object.place();
    let status = token.status.clone().unwrap_or_default();
    let nothing = |message: String| Failure::new(Code::NotFound, format!("{place} {message}"));
    let Some(approves) = token.spec.source().and_then(SourceRef::approval) else {
        return Err(nothing(
            "needs no approval: only offline tokens and sessions of customers begin with one".to_owned(),
        ));
    };
    if let Some(text) = &status.install_url {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        return url.ok_or_else(|| Failure::new(Code::Failed, format!("{place}: status.installURL is no web address")));
    }
    let state = State::of(token);
    if [Reason::ConsentRequired, Reason::RefreshTokenDead].iter().any(|reason| state.reason == reason.as_str()) {
        return Err(Failure::new(
            Code::Attention,
            format!("{place} waits for an approval, and the operator serves no install pages"),
        )
        .remedy(
            "run it with --public-url (installPages.publicURL of the chart), or bring a refresh token by bootstrapRef",
        ));
    }
    let who = match approves {
        Approves::Merchant(_) => "the merchant",
        Approves::Customer(..) => "the customer",
    };
    Err(nothing(format!("waits for no approval of {who}: {}: {}", state.reason, state.message)))
}
