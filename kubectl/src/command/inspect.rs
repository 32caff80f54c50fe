//! `inspect secret`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::{ResourceExt, api::ListParams};
use shopify_token_operator::{api::ShopifyToken, clock::Clock, core::record};

use crate::{
    call::Call,
    cli::SecretOptions,
    cluster::Cluster,
    failure::{Code, Failure, Result},
    objects,
    screen::print,
    view::secret::{Facts, Part, secret as shown},
};

const SECRETS: &str = "secrets";

/// Shows a token's Secrets, or the one that is named.
pub(super) async fn secret(cluster: &Cluster, options: &SecretOptions) -> Result<()> {
    let namespace = cluster.namespace.as_str();
    let found = if let Some(("secret" | "secrets", name)) = options.name.split_once('/') {
        let facts = read(cluster, name).await?;
        vec![(Part::Named, facts.ok_or_else(|| missing(namespace, name))?)]
    } else {
        let object = objects::named(cluster, objects::name_of(&options.name)?, false).await?;
        of_token(cluster, object.readable()?).await?
    };
    let now = Clock::system().now();
    let texts: Vec<_> = found.iter().map(|(part, facts)| shown(facts, *part, now)).collect();
    print(&texts.join("\n"))
}

/// The Secret that applications mount, those of older names, and the record Secret.
async fn of_token(cluster: &Cluster, token: &ShopifyToken) -> Result<Vec<(Part, Facts)>> {
    let current = token.secret_name();
    let mut parts = vec![(Part::Current, current.to_owned())];
    parts.extend(older(cluster, token).await?.into_iter().map(|name| (Part::Older, name)));
    parts.extend(token.record_secret().map(|name| (Part::Record, name)));
    let mut found = Vec::new();
    for (part, name) in parts {
        found.extend(read(cluster, &name).await?.map(|facts| (part, facts)));
    }
    if found.is_empty() {
        return Err(missing(&cluster.namespace, current).remedy(format!(
            "nothing has been issued yet: `kubectl shopify-token status {}` says why",
            token.name_any()
        )));
    }
    Ok(found)
}

/// Names of Secrets whose record is of this token, though its spec names another one.
async fn older(cluster: &Cluster, token: &ShopifyToken) -> Result<BTreeSet<String>> {
    let namespace = cluster.namespace.as_str();
    let secrets = cluster.api::<Secret>(namespace).list_metadata(&ListParams::default()).await;
    let secrets = match secrets {
        Ok(secrets) => secrets,
        // Who may read this one Secret sees this one.
        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(BTreeSet::new()),
        Err(error) => return Err(Failure::of(&error, &Call::of("list", SECRETS, Some(namespace), None))),
    };
    let uid = token.uid();
    let ours = secrets.items.into_iter().filter(|secret| {
        let name = secret.name_any();
        let annotations = secret.annotations();
        let written_here = record::place(annotations).is_none_or(|place| place == name);
        let holder = record::holder(annotations);
        name != token.secret_name() && written_here && holder.is_some_and(|holder| Some(holder.uid) == uid)
    });
    Ok(ours.map(|secret| secret.name_any()).collect())
}

async fn read(cluster: &Cluster, name: &str) -> Result<Option<Facts>> {
    let namespace = cluster.namespace.as_str();
    let secret = cluster.api::<Secret>(namespace).get_opt(name).await;
    let secret = secret.map_err(|error| Failure::of(&error, &Call::of("get", SECRETS, Some(namespace), Some(name))))?;
    Ok(secret.as_ref().map(Facts::of))
}

fn missing(namespace: &str, name: &str) -> Failure {
    Failure::new(Code::NotFound, format!("Secret {namespace}/{name} not found"))
}
