//! Fields that older versions of the schema don't have: there they are as unknown as any other.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextParseQuery};
use async_graphql::parser::types::{ExecutableDocument, SelectionSet};
use async_graphql::{Pos, ServerError, ServerResult, Variables, async_trait};

use crate::operation::fields;
use crate::versions::Served;

/// A field, where it stands in a mutation or query, and the first version that has it.
struct Dated {
    path: [&'static str; 3],
    of: &'static str,
    since: &'static str,
}

/// <https://shopify.dev/changelog/delegateaccesstokencreate-mutation-now-returns-expiresin>.
const DATED: [Dated; 1] = [Dated {
    path: ["delegateAccessTokenCreate", "delegateAccessToken", "expiresIn"],
    of: "DelegateAccessToken",
    since: "2026-04",
}];

/// Where a selection asks for the field at the end of a path.
fn asked(document: &ExecutableDocument, set: &SelectionSet, path: &[&str]) -> Option<Pos> {
    let (name, rest) = path.split_first()?;
    let mut named = fields(document, set).into_iter().filter(|field| field.name.node == *name);
    named.find_map(|field| match rest {
        [] => Some(field.name.pos),
        [_, ..] => asked(document, &field.selection_set.node, rest),
    })
}

/// Refuses what the version served doesn't have yet.
pub(super) struct Dating;

impl ExtensionFactory for Dating {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for Dating {
    async fn parse_query(
        &self,
        ctx: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        let document = next.run(ctx, query, variables).await?;
        let Served(version) = ctx.data().map_err(|error| ServerError::new(error.message, None))?;
        let unknown = DATED.iter().filter(|field| version.as_str() < field.since).find_map(|field| {
            let [.., name] = field.path;
            let message = format!("Unknown field \"{name}\" on type \"{}\".", field.of);
            let mut roots = document.operations.iter().map(|(_, operation)| &operation.node.selection_set.node);
            let pos = roots.find_map(|set| asked(&document, set, &field.path))?;
            Some(ServerError::new(message, Some(pos)))
        });
        match unknown {
            Some(error) => Err(error),
            None => Ok(document),
        }
    }
}
