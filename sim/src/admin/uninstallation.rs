//! The mutation with which an app uninstalls itself
//! (<https://shopify.dev/docs/api/admin-graphql/latest/mutations/appUninstall>).

use async_graphql::{Context, Enum, Object, Result, SimpleObject};

use super::app::App;
use super::types::Request;

#[derive(SimpleObject)]
struct AppUninstallPayload {
    app: Option<App>,
    #[graphql(complexity = 0)]
    user_errors: Vec<AppUninstallError>,
}

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
enum AppUninstallAppUninstallErrorCode {
    AppNotInstalled,
}

/// A mistake of the caller.
#[derive(SimpleObject)]
struct AppUninstallError {
    #[graphql(complexity = 0)]
    code: Option<AppUninstallAppUninstallErrorCode>,
    #[graphql(complexity = 0)]
    field: Option<Vec<String>>,
    #[graphql(complexity = 0)]
    message: String,
}

/// What the root of mutations has of these.
#[derive(Default)]
pub(super) struct Uninstallation;

#[allow(clippy::unused_async, reason = "resolvers are async")]
#[Object]
impl Uninstallation {
    /// Without an input it is the calling app that goes.
    #[graphql(complexity = "10 + child_complexity")]
    async fn app_uninstall(&self, ctx: &Context<'_>) -> Option<Result<AppUninstallPayload>> {
        Some(Request::of(ctx).and_then(|request| uninstall(&request)))
    }
}

fn uninstall(request: &Request<'_>) -> Result<AppUninstallPayload> {
    let app = App::of(request)?;
    let gone = request.shopify.state().uninstall(request.owner).is_err();
    // Two fields of one mutation may ask for it; the text is a guess.
    let error = gone.then(|| AppUninstallError {
        code: Some(AppUninstallAppUninstallErrorCode::AppNotInstalled),
        field: None,
        message: "App is not installed on shop".to_owned(),
    });
    Ok(AppUninstallPayload { app: (!gone).then_some(app), user_errors: error.into_iter().collect() })
}
