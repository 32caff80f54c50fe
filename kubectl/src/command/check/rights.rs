//! Whether the person may do what the commands do, in the namespace that is chosen or in all.

use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, api::PostParams};
use shopify_token_operator::api::GROUP;

use crate::{
    call::Call,
    cluster::Cluster,
    failure::{Failure, Result},
    view::checklist::Finding,
};

const SUBJECT: &str = "your rights";

/// A right, and the command that goes without it.
type Right = (&'static str, &'static str, &'static str, &'static str);

/// Group, resource, verb, and what needs it.
const RIGHTS: [Right; 8] = [
    (GROUP, "shopifytokens", "get", "status"),
    (GROUP, "shopifytokens", "list", "status"),
    (GROUP, "shopifytokens", "watch", "--watch and --wait"),
    (GROUP, "shopifytokens", "patch", "rotate, reconcile, verify, suspend and resume"),
    (GROUP, "shopifytokens", "delete", "revoke"),
    (GROUP, "shopifyapps", "list", "a look at the apps"),
    ("", "secrets", "get", "inspect secret and migrate"),
    ("", "secrets", "list", "older Secrets in inspect secret"),
];

/// What the person may do in a namespace, or in every one, and each command that goes without a right.
pub(super) async fn all(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Finding>> {
    let allowed = try_join_all(RIGHTS.iter().map(|right| allowed(cluster, namespace, right))).await?;
    let denied: Vec<&Right> =
        RIGHTS.iter().zip(allowed).filter(|(_, allowed)| !allowed).map(|(right, _)| right).collect();
    if denied.is_empty() {
        let place = namespace.map_or_else(|| "every namespace".to_owned(), |name| format!("namespace {name}"));
        return Ok(vec![Finding::fine(SUBJECT, format!("every command may be used in {place}"))]);
    }
    Ok(denied
        .into_iter()
        .map(|(_, resource, verb, command)| {
            let call = Call::of(verb, resource, namespace, None);
            let found = format!("you may not {call}: needed by {command}");
            if matches!(*verb, "get" | "list") && *resource == "shopifytokens" {
                Finding::wrong(SUBJECT, found, call.role())
            } else {
                Finding::doubtful(SUBJECT, found, call.role())
            }
        })
        .collect())
}

async fn allowed(cluster: &Cluster, namespace: Option<&str>, (group, resource, verb, _): &Right) -> Result<bool> {
    let attributes = ResourceAttributes {
        group: Some((*group).to_owned()),
        resource: Some((*resource).to_owned()),
        verb: Some((*verb).to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec =
        SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = Api::all(cluster.client.clone()).create(&PostParams::default(), &review).await;
    let call = Call::of("create", "selfsubjectaccessreviews", None, None);
    let answer = answer.map_err(|error| Failure::of(&error, &call))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
