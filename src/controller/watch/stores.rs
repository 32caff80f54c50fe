//! What the watches hold, and who depends on whom in it.

use std::{sync::Arc, time::Duration};

use kube::{
    Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::time::timeout;

use crate::{
    api::{ShopifyApp, ShopifyToken},
    core::finalizer::has_finalizer,
};

/// What the watches hold: one scope a namespace, or one for all.
#[derive(Clone, Default)]
pub struct Stores(Vec<Scope>);

#[derive(Clone)]
struct Scope {
    namespace: Option<String>,
    tokens: Store<DeserializeGuard<ShopifyToken>>,
    apps: Store<DeserializeGuard<ShopifyApp>>,
}

impl Stores {
    /// Adds the stores of a namespace, or of all.
    pub fn add(
        &mut self,
        namespace: Option<String>,
        tokens: Store<DeserializeGuard<ShopifyToken>>,
        apps: Store<DeserializeGuard<ShopifyApp>>,
    ) {
        self.0.push(Scope { namespace, tokens, apps });
    }

    /// Waits until the tokens of a namespace have been listed once. Says whether they were within `patience`: what is
    /// amiss in another namespace delays nobody.
    pub async fn tokens_listed(&self, namespace: &str, patience: Duration) -> bool {
        let holds = |scope: &&Scope| scope.namespace.as_deref().is_none_or(|n| n == namespace);
        let Some(scope) = self.0.iter().find(holds) else { return false };
        matches!(timeout(patience, scope.tokens.wait_until_ready()).await, Ok(Ok(())))
    }

    /// Every token that could be read.
    pub fn tokens(&self) -> impl Iterator<Item = Arc<DeserializeGuard<ShopifyToken>>> {
        self.0.iter().flat_map(|scope| scope.tokens.state()).filter(|t| t.0.is_ok())
    }

    fn apps(&self) -> impl Iterator<Item = Arc<DeserializeGuard<ShopifyApp>>> {
        self.0.iter().flat_map(|scope| scope.apps.state())
    }

    fn tokens_of(&self, namespace: &str) -> Vec<Arc<DeserializeGuard<ShopifyToken>>> {
        self.tokens().filter(|t| t.namespace().as_deref() == Some(namespace)).collect()
    }

    /// Names of the apps whose credentials are in a Secret.
    #[must_use]
    pub fn apps_with_credentials(&self, namespace: &str, secret: &str) -> Vec<String> {
        self.apps_of(namespace)
            .iter()
            .filter(|a| a.0.as_ref().is_ok_and(|a| a.spec.credentials_ref.name == secret))
            .map(|a| a.name_any())
            .collect()
    }

    /// The apps and tokens that read or write a Secret, directly or through an app or admin token.
    #[must_use]
    pub fn dependents_of_secret(
        &self,
        namespace: &str,
        secret: &str,
    ) -> (Vec<ObjectRef<ShopifyApp>>, Vec<ObjectRef<ShopifyToken>>) {
        let apps = self.apps_with_credentials(namespace, secret);
        let tokens = self.tokens_of(namespace);
        let direct: Vec<&ShopifyToken> = readable(&tokens)
            .filter(|t| {
                t.secret_name() == secret
                    || t.credentials_secret() == Some(secret)
                    || apps.iter().any(|a| t.app() == Some((namespace, a)))
            })
            .collect();
        let names: Vec<&str> = direct.iter().filter_map(|t| t.metadata.name.as_deref()).collect();
        let indirect = readable(&tokens).filter(|t| t.admin_token().is_some_and(|a| names.contains(&a)));
        let tokens = direct.iter().copied().chain(indirect).map(ObjectRef::from_obj).collect();
        (apps.iter().map(|a| ObjectRef::new(a).within(namespace)).collect(), tokens)
    }

    /// The tokens that use an app, directly or through an admin token.
    #[must_use]
    pub fn dependents_of_app(&self, namespace: &str, app: &str) -> Vec<ObjectRef<ShopifyToken>> {
        let tokens = self.tokens_of(namespace);
        let names: Vec<&str> = readable(&tokens)
            .filter(|t| t.app() == Some((namespace, app)))
            .filter_map(|t| t.metadata.name.as_deref())
            .collect();
        readable(&tokens)
            .filter(|t| t.app() == Some((namespace, app)) || t.admin_token().is_some_and(|a| names.contains(&a)))
            .map(ObjectRef::from_obj)
            .collect()
    }

    /// The tokens whose admin token this is.
    #[must_use]
    pub fn dependents_of_token(&self, namespace: &str, name: &str) -> Vec<ObjectRef<ShopifyToken>> {
        readable(&self.tokens_of(namespace))
            .filter(|t| t.admin_token() == Some(name))
            .map(ObjectRef::from_obj)
            .collect()
    }

    /// The tokens that name an app.
    #[must_use]
    pub fn users_of_app(&self, namespace: &str, app: &str) -> Vec<Arc<DeserializeGuard<ShopifyToken>>> {
        let mut users = self.tokens_of(namespace);
        users.retain(|t| t.0.as_ref().is_ok_and(|t| t.app() == Some((namespace, app))));
        users.sort_by(|a, b| a.meta().name.cmp(&b.meta().name));
        users
    }

    /// Whether a token needs an admin token for its revocation, as far as the watch knows.
    #[must_use]
    pub fn needs_token(&self, namespace: &str, name: &str) -> bool {
        readable(&self.tokens_of(namespace)).any(|t| has_finalizer(t) && t.admin_token() == Some(name))
    }

    /// Whether a token needs an app for its revocation, as far as the watch knows.
    #[must_use]
    pub fn needs_app(&self, namespace: &str, app: &str) -> bool {
        self.users_of_app(namespace, app).iter().any(|t| self.needs_token(namespace, &t.name_any()))
    }

    /// A token that could be read.
    #[must_use]
    pub fn token(&self, namespace: &str, name: &str) -> Option<Arc<DeserializeGuard<ShopifyToken>>> {
        let object = ObjectRef::new(name).within(namespace);
        self.0.iter().find_map(|scope| scope.tokens.get(&object)).filter(|t| t.0.is_ok())
    }

    /// Every token, for a change that may concern all.
    #[must_use]
    pub fn all_tokens(&self) -> Vec<ObjectRef<ShopifyToken>> {
        self.tokens().map(|t| ObjectRef::new(&t.name_any()).within(&t.namespace().unwrap_or_default())).collect()
    }

    /// Every app.
    #[must_use]
    pub fn all_apps(&self) -> Vec<ObjectRef<ShopifyApp>> {
        self.apps().map(|a| ObjectRef::new(&a.name_any()).within(&a.namespace().unwrap_or_default())).collect()
    }

    /// The apps of a namespace.
    #[must_use]
    pub fn apps_of(&self, namespace: &str) -> Vec<Arc<DeserializeGuard<ShopifyApp>>> {
        self.apps().filter(|a| a.namespace().as_deref() == Some(namespace)).collect()
    }

    /// An older token of this namespace that names the same Secret.
    #[must_use]
    pub fn rival(&self, token: &ShopifyToken) -> Option<String> {
        let age = |t: &ShopifyToken| (t.metadata.creation_timestamp.clone().map(|c| c.0), t.name_any());
        let tokens = self.tokens_of(&token.namespace().unwrap_or_default());
        readable(&tokens)
            .filter(|t| t.secret_name() == token.secret_name() && t.name_any() != token.name_any())
            .filter(|t| t.metadata.deletion_timestamp.is_none() && age(t) < age(token))
            .map(ResourceExt::name_any)
            .next()
    }
}

fn readable(tokens: &[Arc<DeserializeGuard<ShopifyToken>>]) -> impl Iterator<Item = &ShopifyToken> {
    tokens.iter().filter_map(|t| t.0.as_ref().ok())
}
