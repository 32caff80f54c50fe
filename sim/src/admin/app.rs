//! An app as the Admin API shows it.

use async_graphql::{ID, Result, SimpleObject};

use super::types::Request;

/// An app.
#[derive(SimpleObject)]
pub(super) struct App {
    #[graphql(complexity = 0)]
    id: ID,
    #[graphql(complexity = 0)]
    handle: Option<String>,
    #[graphql(complexity = 0)]
    title: String,
}

impl App {
    /// The app that calls.
    pub(super) fn of(request: &Request<'_>) -> Result<Self> {
        let state = request.shopify.state();
        let app = state.app(&request.owner.client_id)?;
        Ok(Self { id: app.gid().into(), handle: Some(app.handle()), title: app.title.clone() })
    }
}
