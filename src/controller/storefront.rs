//! Storefront tokens: list first, adopt what is ours, create only what isn't there.

use kube::ResourceExt;
use secrecy::SecretString;

use super::{
    context::{Context, TokenKey},
    error::Error,
    issue::{lacks_scopes, next_revision, published, record},
    observe::Observation,
    outcome::{Acted, Operation, Outcome},
    publish::publish,
};
use crate::{
    api::{ShopifyToken, SourceRef},
    core::{
        Timestamp,
        credential::Credential,
        failure::Failure,
        issuer::Admin,
        marker::Marker,
        observed::Doubt,
        plan::{Observed, Why},
        record::{Previous, Record},
        vocabulary::{EventReason, Reason},
    },
    shopify::{AdminAccess, ApiError, ListedTokens, Shop, StorefrontToken},
};

/// Adopts or creates a storefront token and publishes it.
///
/// A create's answer may be lost, and a crash may come right after it. So the title carries UID and
/// revision, and before anything is created the list is searched for it.
///
/// # Errors
/// Of Kubernetes.
pub(super) async fn issue(
    context: &Context,
    observation: &Observation,
    shop: &Shop,
    admin: &Admin,
    why: Why,
) -> Result<Acted, Error> {
    let observed = &observation.observed;
    let Some(access) = access(shop, admin, admin.token.as_ref()) else { return Ok(no_admin(admin)) };
    let listed = match context.shopify().list_storefront_tokens(&access).await {
        Ok(listed) => listed,
        Err(error) => return Ok(failed(context, observed, admin, error)),
    };
    match inherited_scopes(context, observed, &access, &listed).await {
        Ok(inherited) => {
            if let Some(failure) = inherited.and_then(|scopes| lacks_scopes(observed, &scopes)) {
                return Ok(Acted::failed(failure, Operation::Issue));
            }
        }
        Err(error) => return Ok(failed(context, observed, admin, error)),
    }
    let ours = Ours::among(&listed, observed);
    let adopted = ours.candidate(observed, why);
    let (revision, token) = if let Some((revision, token)) = adopted {
        (revision, token.clone())
    } else {
        let revision = ours.newest_revision().max(next_revision(observed) - 1) + 1;
        match create(context, &access, &observed.token, revision).await {
            Ok(token) => (revision, token),
            Err(error) => return Ok(failed(context, observed, admin, explain_limit(error, &listed, observed))),
        }
    };
    if let Some(failure) = lacks_scopes(observed, &token.scopes) {
        // Just created, against what the app is granted: nobody holds it, and the next attempt makes its own.
        return Ok(match context.shopify().delete_storefront_token(&access, &token.id).await {
            Ok(_) => Acted::failed(failure, Operation::Issue),
            Err(error) => failed(context, observed, admin, error),
        });
    }
    let now = context.now();
    let moved = observed.record().is_some_and(|r| r.admin.as_ref() != Some(&admin.name));
    let previous = ours.previous(observed, &token, revision, Replacing { why, moved }, now);
    let newest_value =
        previous.last().and_then(|p| listed.tokens.iter().find(|t| t.id == p.id)).map(|t| t.value.clone());
    let found = adopted.is_some();
    let issued_at = token.created_at.filter(|_| found).unwrap_or(now);
    let record = Record {
        admin: Some(admin.name.clone()),
        previous,
        ..record(observed, &credential(&token, issued_at), revision)
    };
    let written = publish(context, observation, record, &token.value, newest_value.as_ref()).await;
    if !found && written.as_ref().is_err_and(Error::is_conflict) {
        // Somebody else may have published another one meanwhile: then this one is a stray, which verification finds.
        context.suspects.put(TokenKey::of(&observed.token), Doubt::Stray);
    }
    Ok(match written? {
        Ok(record) if found && matches!(why, Why::First | Why::Lost) => {
            let (reason, text) = match why {
                Why::Lost => (EventReason::Repaired, "the Secret had lost its credential; found at Shopify"),
                _ => (EventReason::Adopted, "found at Shopify"),
            };
            let note =
                format!("{text} and published: revision {revision} in Secret {:?}", observed.token.secret_name());
            Acted::quietly(Outcome::Published { record: Box::new(record), confirmed: true }).with(reason, note)
        }
        Ok(record) => published(record, why, observed),
        Err(failed) => failed,
    })
}

/// The scopes that a token created now would have: the app's `unauthenticated_*` ones
/// (<https://shopify.dev/docs/api/admin-rest/latest/resources/storefrontaccesstoken>). Only asked for where scopes
/// are required; the GraphQL list tells them along the way.
async fn inherited_scopes(
    context: &Context,
    observed: &Observed,
    access: &AdminAccess,
    listed: &ListedTokens,
) -> Result<Option<Vec<String>>, ApiError> {
    if observed.token.spec.required_scopes.is_empty() {
        return Ok(None);
    }
    let mut scopes = match &listed.granted_scopes {
        Some(granted) => granted.clone(),
        None => context.shopify().installation_scopes(access).await?,
    };
    scopes.retain(|scope| scope.starts_with("unauthenticated_"));
    Ok(Some(scopes))
}

/// Why a token is replaced, and whether its successor is made with another admin token.
#[derive(Clone, Copy)]
struct Replacing {
    why: Why,
    moved: bool,
}

/// The tokens of a list that carry this object's marker, or are in its record.
struct Ours<'a> {
    marked: Vec<(i64, &'a StorefrontToken)>,
}

impl<'a> Ours<'a> {
    fn among(listed: &'a ListedTokens, observed: &Observed) -> Self {
        let mut marked: Vec<_> = listed.tokens.iter().filter_map(|t| Some((owned_revision(observed, t)?, t))).collect();
        marked.sort_by_key(|(revision, _)| *revision);
        Self { marked }
    }

    fn newest_revision(&self) -> i64 {
        self.marked.last().map_or(0, |(revision, _)| *revision)
    }

    /// What can be published instead of creating another one.
    fn candidate(&self, observed: &Observed, why: Why) -> Option<(i64, &'a StorefrontToken)> {
        let suits = |t: &StorefrontToken| lacks_scopes(observed, &t.scopes).is_none();
        let newest = self.marked.iter().rfind(|(_, t)| suits(t)).copied()?;
        let Some(record) = observed.record() else { return Some(newest) };
        match why {
            // The value is gone, the token is not.
            Why::First | Why::Lost => {
                let recorded =
                    self.marked.iter().find(|(_, t)| suits(t) && Some(&t.id) == record.token_id.as_ref()).copied();
                let newer = (newest.0 > record.revision).then_some(newest);
                newer.or(recorded).or(Some(newest))
            }
            // Only one that an interrupted attempt of this very rotation has left.
            Why::Rejected
            | Why::InputsChanged
            | Why::ScopesMissing
            | Why::Expiring
            | Why::Requested
            | Why::Interval
            | Why::Replaced => (newest.0 > record.revision).then_some(newest),
        }
    }

    /// Every other token of ours that lives: those known to be in overlap keep their time, the one
    /// that is replaced gets a whole overlap from now, and so do strays that may have been published.
    fn previous(
        &self,
        observed: &Observed,
        current: &StorefrontToken,
        revision: i64,
        Replacing { why, moved }: Replacing,
        now: Timestamp,
    ) -> Vec<Previous> {
        let until = now + observed.token.spec.overlap();
        let record = observed.record();
        let known = |id: &str| record.and_then(|r| r.previous.iter().find(|p| p.id == id)).cloned();
        let mut previous: Vec<Previous> = record
            .iter()
            .flat_map(|r| &r.previous)
            .filter(|p| p.id != current.id && !self.marked.iter().any(|(_, t)| t.id == p.id))
            // In overlap with another app's admin token, so this list can't tell.
            .filter(|p| moved || p.admin.as_ref() != record.and_then(|r| r.admin.as_ref()))
            .cloned()
            .collect();
        for (marked, token) in self.marked.iter().filter(|(_, t)| t.id != current.id) {
            let never_published = *marked > revision
                || (why == Why::Rejected && record.is_some_and(|r| r.token_id.as_ref() == Some(&token.id)));
            previous.push(known(&token.id).unwrap_or_else(|| Previous {
                id: token.id.clone(),
                revoke_at: if never_published { now } else { until },
                admin: record.and_then(|r| r.admin.clone()),
            }));
        }
        // Created by another app than this list speaks of: still ours to revoke.
        if let Some(record) = record.filter(|_| moved)
            && let Some(id) =
                record.token_id.clone().filter(|id| *id != current.id && !previous.iter().any(|p| p.id == *id))
        {
            previous.push(Previous { id, revoke_at: until, admin: record.admin.clone() });
        }
        previous
    }
}

/// The revision of a listed token, if it is this object's.
#[must_use]
pub(super) fn owned_revision(observed: &Observed, token: &StorefrontToken) -> Option<i64> {
    let uid = observed.token.uid()?;
    let by_marker = Marker::parse(&token.title).filter(|m| m.uid == uid).map(|m| m.revision);
    let record = observed.record();
    // After a restore from a backup the object has another UID: the record still knows its token.
    by_marker.or_else(|| record.filter(|r| r.token_id.as_ref() == Some(&token.id)).map(|r| r.revision))
}

async fn create(
    context: &Context,
    access: &AdminAccess,
    token: &ShopifyToken,
    revision: i64,
) -> Result<StorefrontToken, ApiError> {
    let readable = match token.spec.source() {
        Some(SourceRef::Storefront(source)) => source.title.clone(),
        _ => None,
    };
    let marker = Marker { uid: token.uid().unwrap_or_default(), revision };
    let title = marker.title(&readable.unwrap_or_else(|| token.name_any()));
    context.shopify().create_storefront_token(access, &title).await
}

fn credential(token: &StorefrontToken, issued_at: Timestamp) -> Credential {
    Credential {
        value: token.value.clone(),
        token_id: Some(token.id.clone()),
        scopes: token.scopes.clone(),
        issued_at,
        expires_at: None,
        warning: None,
    }
}

/// At the limit a person wants to know how many of the tokens are the operator's.
fn explain_limit(error: ApiError, listed: &ListedTokens, observed: &Observed) -> ApiError {
    if error.failure().reason != Reason::LimitReached {
        return error;
    }
    let all = listed.tokens.len();
    let operators = listed.tokens.iter().filter(|t| Marker::parse(&t.title).is_some()).count();
    ApiError::Failed(Failure::new(
        Reason::LimitReached,
        format!(
            "the app has {all} storefront tokens on {}, Shopify's limit; {operators} carry this operator's marker; delete unused ones at Shopify or their ShopifyTokens, and it goes on",
            observed.token.spec.shop
        ),
    ))
}

/// Access to the Admin API with an admin token.
#[must_use]
pub(super) fn access(shop: &Shop, admin: &Admin, token: Option<&SecretString>) -> Option<AdminAccess> {
    Some(AdminAccess { shop: shop.clone(), token: token?.clone(), api: admin.api, version: admin.version.clone() })
}

fn no_admin(admin: &Admin) -> Acted {
    let message = format!("ShopifyToken {:?} (adminTokenRef) has no token to use", admin.name);
    Acted::failed(Failure::new(Reason::AdminTokenNotReady, message), Operation::Issue)
}

fn failed(context: &Context, observed: &Observed, admin: &Admin, error: ApiError) -> Acted {
    Acted::failed(blame(context, observed, &admin.name, error), Operation::Issue)
}

/// A 401 is the admin token's failure, not this one's: have that one verified now.
#[must_use]
pub(super) fn blame(context: &Context, observed: &Observed, admin: &str, error: ApiError) -> Failure {
    let ApiError::Unauthorized(_) = &error else { return error.into() };
    let key = TokenKey { namespace: observed.token.namespace().unwrap_or_default(), name: admin.to_owned() };
    context.suspects.put(key.clone(), Doubt::Refused);
    context.wakes.token(key.object());
    Failure::new(
        Reason::AdminTokenNotReady,
        format!(
            "Shopify refuses the token of ShopifyToken {admin:?} (adminTokenRef) with 401; it is being verified, and replaced where that is possible"
        ),
    )
}
