//! ShopifyTokens as a person names them, and as the API server has them.

use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use shopify_token_operator::api::ShopifyToken;

use crate::{
    call::Call,
    cli::Selection,
    cluster::Cluster,
    failure::{Code, Failure, Result},
};

/// Objects of one page of a list: what the API server answers within a second or so.
const PAGE: u32 = 500;
/// The resource in the API's paths.
pub const TOKENS: &str = "shopifytokens";

/// A ShopifyToken.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// As the API server has it, but for `managedFields`.
    pub raw: DynamicObject,
    /// As this release reads it; `None` of one that only another release can read.
    pub token: Option<ShopifyToken>,
}

impl Object {
    /// What the API server has.
    #[must_use]
    pub fn new(mut raw: DynamicObject) -> Self {
        raw.managed_fields_mut().clear();
        raw.metadata.managed_fields = None;
        let token = serde_json::to_value(&raw).and_then(serde_json::from_value).ok();
        Self { namespace: raw.namespace().unwrap_or_default(), name: raw.name_any(), raw, token }
    }

    /// `namespace/name`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// As this release reads it.
    pub fn readable(&self) -> Result<&ShopifyToken> {
        self.token.as_ref().ok_or_else(|| {
            Failure::new(
                Code::Failed,
                format!("ShopifyToken {} can't be read by this release of the plugin", self.place()),
            )
            .remedy("take the plugin of the operator's release; `kubectl shopify-token check` compares them")
        })
    }
}

/// The name in `web`, `stok/web`, `shopifytoken/web` and the like.
pub fn name_of(text: &str) -> Result<&str> {
    let Some((kind, name)) = text.split_once('/') else { return Ok(text) };
    match kind.split('.').next().unwrap_or_default().to_lowercase().as_str() {
        "stok" | "shopifytoken" | "shopifytokens" if !name.is_empty() => Ok(name),
        _ => Err(Failure::new(Code::Usage, format!("{text:?} names no ShopifyToken: write NAME or stok/NAME"))),
    }
}

/// Those that are selected, by namespace and name; without names and labels all there are.
pub async fn select(cluster: &Cluster, selection: &Selection) -> Result<Vec<Object>> {
    if selection.names.is_empty() {
        let namespace = (!selection.all_namespaces).then_some(cluster.namespace.as_str());
        return list(cluster, namespace, &parameters(selection)).await;
    }
    let mut found: Vec<Object> = Vec::new();
    for text in &selection.names {
        let object = named(cluster, name_of(text)?, selection.all_namespaces).await?;
        if found.iter().all(|other| other.place() != object.place()) {
            found.push(object);
        }
    }
    Ok(found)
}

/// What a list or watch of the selection asks for.
#[must_use]
pub fn parameters(selection: &Selection) -> ListParams {
    ListParams { label_selector: selection.selector.clone(), ..ListParams::default() }
}

/// The one of that name, in the namespace or, where that is asked for, in whichever it is.
pub async fn named(cluster: &Cluster, name: &str, everywhere: bool) -> Result<Object> {
    let not_found = |place: &str| {
        Failure::new(Code::NotFound, format!("ShopifyToken {name} not found in {place}"))
            .remedy("`kubectl shopify-token status -A` lists what is there")
    };
    if !everywhere {
        let namespace = cluster.namespace.as_str();
        let got = cluster.tokens(Some(namespace)).get(name).await;
        let call = Call::of("get", TOKENS, Some(namespace), Some(name));
        return got.map(Object::new).map_err(|error| match Failure::of(&error, &call) {
            failure if failure.code == Code::NotFound => not_found(&format!("namespace {namespace}")),
            failure => failure,
        });
    }
    let parameters = ListParams::default().fields(&format!("metadata.name={name}"));
    let mut found = list(cluster, None, &parameters).await?;
    match found.as_slice() {
        [] => Err(not_found("any namespace")),
        [_] => Ok(found.remove(0)),
        several => {
            let places: Vec<_> = several.iter().map(Object::place).collect();
            let message = format!("{} ShopifyTokens are named {name}: {}", several.len(), places.join(", "));
            Err(Failure::new(Code::NotFound, message).remedy("say which one with -n instead of -A"))
        }
    }
}

/// All of a list, page by page, by namespace and name.
pub async fn list(cluster: &Cluster, namespace: Option<&str>, parameters: &ListParams) -> Result<Vec<Object>> {
    let api = cluster.tokens(namespace);
    let mut parameters = parameters.clone().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = api.list(&parameters).await;
        let page = page.map_err(|error| Failure::of(&error, &Call::of("list", TOKENS, namespace, None)))?;
        all.extend(page.items.into_iter().map(Object::new));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => break,
        }
    }
    all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_stand_behind_its_kind() {
        for text in
            ["web", "stok/web", "shopifytoken/web", "ShopifyTokens/web", "shopifytoken.tokens.shopify-operator.dev/web"]
        {
            assert_eq!(name_of(text), Ok("web"), "{text}");
        }
        for text in ["secret/web", "stok/", "/web"] {
            assert!(name_of(text).is_err(), "{text}");
        }
    }
}
