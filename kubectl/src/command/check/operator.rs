//! Whether an operator runs, and of which release it is.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::{Lease, LeaseSpec},
};
use kube::{ResourceExt, api::ListParams};
use semver::Version;
use shopify_token_operator::{clock::Clock, core::vocabulary::OPERATOR, time::Timestamp};
use tokio::time::sleep;

use crate::{
    call::Call,
    cli::CheckOptions,
    cluster::Cluster,
    failure::Failure,
    view::{
        checklist::{Finding, Grade},
        span::length,
    },
};

const SUBJECT: &str = "operator";
const RELEASE: &str = "releases";
/// The holder of a lease writes it every 2 seconds; clocks of two machines differ by less than this, as a rule.
const FRESH: TimeDelta = TimeDelta::seconds(20);
/// Within this time a holder that lives has written its lease again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Lease, Deployment and release.
pub(super) async fn all(cluster: &Cluster, options: &CheckOptions) -> Vec<Finding> {
    let deployments = deployments(cluster, options).await;
    let runs = matches!(&deployments, Ok(all) if all.iter().any(|deployment| available(deployment) > 0));
    let mut findings = Vec::new();
    for name in leases(options.lease_name.as_deref(), deployments.as_deref().unwrap_or_default()) {
        findings.push(lease(cluster, &options.operator_namespace, &name, runs).await);
    }
    match deployments {
        Ok(all) => findings.extend(all.iter().flat_map(|deployment| [pods(deployment), release(deployment)])),
        Err(finding) => findings.push(finding),
    }
    findings
}

async fn deployments(cluster: &Cluster, options: &CheckOptions) -> Result<Vec<Deployment>, Finding> {
    let namespace = options.operator_namespace.as_str();
    let selector = format!("app.kubernetes.io/name={OPERATOR}");
    let listed = cluster.api::<Deployment>(namespace).list(&ListParams::default().labels(&selector)).await;
    match listed {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let found = format!(
                "you may not list deployments in namespace {namespace}, so the operator's release can't be told"
            );
            Err(Finding::new(Grade::Unknown, RELEASE, found))
        }
        Err(error) => {
            let call = Call::of("list", "deployments", Some(namespace), None);
            Err(super::of(RELEASE, &Failure::of(&error, &call)))
        }
    }
}

/// The leases to look at: each shard has one of its own.
fn leases(chosen: Option<&str>, deployments: &[Deployment]) -> BTreeSet<String> {
    if let Some(name) = chosen {
        return BTreeSet::from([name.to_owned()]);
    }
    let of = |deployment: &Deployment| {
        let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let containers = || pod.into_iter().flat_map(|pod| &pod.containers);
        let flags = containers().flat_map(|container| container.args.iter().flatten());
        let flag = flags.filter_map(|flag| flag.strip_prefix("--lease-name=")).next_back().map(str::to_owned);
        let mut variables = containers().flat_map(|container| container.env.iter().flatten());
        let variable =
            || variables.find(|variable| variable.name == "LEASE_NAME").and_then(|found| found.value.clone());
        flag.or_else(variable).filter(|name| !name.is_empty()).unwrap_or_else(|| OPERATOR.to_owned())
    };
    let names: BTreeSet<String> = deployments.iter().map(of).collect();
    if names.is_empty() { BTreeSet::from([OPERATOR.to_owned()]) } else { names }
}

/// Whether somebody holds the lease, and lives.
async fn lease(cluster: &Cluster, namespace: &str, name: &str, runs: bool) -> Finding {
    let api = cluster.api::<Lease>(namespace);
    let place = format!("{namespace}/{name}");
    let now = || Clock::system().now();
    let read = async || api.get_opt(name).await.map(|lease| lease.and_then(|lease| lease.spec));
    let first = match read().await {
        Ok(Some(spec)) if spec.holder_identity.as_ref().is_some_and(|holder| !holder.is_empty()) => spec,
        Ok(_) if runs => {
            return Finding::new(Grade::Doubtful, SUBJECT, format!("its pods are there, and none holds lease {place}"))
                .remedy("right if it runs with --leader-elect=false; else look at its log");
        }
        Ok(_) => {
            return Finding::new(Grade::Wrong, SUBJECT, format!("nobody holds lease {place}: no operator works there"))
                .remedy("install it, or say where it runs: --operator-namespace, --lease-name");
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let found =
                format!("you may not get leases in namespace {namespace}, so whether the operator works can't be told");
            return Finding::new(Grade::Unknown, SUBJECT, found);
        }
        Err(error) => {
            return super::of(SUBJECT, &Failure::of(&error, &Call::of("get", "leases", Some(namespace), Some(name))));
        }
    };
    if let Some(finding) = holder(&first, None, &place, now()) {
        return finding;
    }
    sleep(LOOK_AGAIN).await;
    let second = read().await.ok().flatten().unwrap_or_else(|| first.clone());
    holder(&second, Some(&first), &place, now())
        .unwrap_or_else(|| Finding::new(Grade::Unknown, SUBJECT, format!("lease {place} can't be read")))
}

/// What the lease says of its holder. `None` if it has to be read again: it may be old, or a clock wrong.
fn holder(lease: &LeaseSpec, before: Option<&LeaseSpec>, place: &str, now: Timestamp) -> Option<Finding> {
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    let renewed = lease.renew_time.as_ref().and_then(|at| Timestamp::from_timestamp(at.0.as_second(), 0));
    let age = renewed.map(|at| now - at);
    let fresh = age.is_some_and(|age| age < FRESH && age > -FRESH);
    match before {
        _ if fresh => Some(Finding::new(Grade::Fine, SUBJECT, format!("{holder} works: it holds lease {place}"))),
        None => None,
        Some(before) if before.renew_time != lease.renew_time => Some(
            Finding::new(Grade::Doubtful, SUBJECT, format!("{holder} works, and its clock differs from this one's"))
                .remedy("look at the clocks of both machines: a wrong one renews tokens at the wrong time"),
        ),
        Some(_) => {
            let since = age.map_or_else(|| "ever".to_owned(), length);
            let found = format!("{holder} held lease {place}, and hasn't renewed it for {since}: no operator works");
            Some(Finding::new(Grade::Wrong, SUBJECT, found).remedy("look at the operator's pods and their log"))
        }
    }
}

fn available(deployment: &Deployment) -> i32 {
    deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default()
}

fn pods(deployment: &Deployment) -> Finding {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (place, available) =
        (format!("{}/{}", deployment.namespace().unwrap_or_default(), deployment.name_any()), available(deployment));
    let found = format!("{available} of {wanted} replicas of Deployment {place} are available");
    match available {
        0 => Finding::new(Grade::Wrong, SUBJECT, found).remedy(format!(
            "kubectl describe deployment {} -n {}",
            deployment.name_any(),
            deployment.namespace().unwrap_or_default()
        )),
        _ if available < wanted => Finding::new(Grade::Doubtful, SUBJECT, found),
        _ => Finding::new(Grade::Fine, SUBJECT, found),
    }
}

/// Whether the operator's image is of this release, as far as its tag tells.
fn release(deployment: &Deployment) -> Finding {
    let mut containers =
        deployment.spec.iter().filter_map(|spec| spec.template.spec.as_ref()).flat_map(|spec| &spec.containers);
    let image = containers.find_map(|container| container.image.as_deref()).unwrap_or_default();
    skew(env!("CARGO_PKG_VERSION"), image)
}

/// Releases of one minor version (before 1.0: of one `0.x`) go together.
fn skew(plugin: &str, image: &str) -> Finding {
    let name = image.split('@').next().unwrap_or_default();
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag.trim_start_matches('v'));
    let (Ok(plugin), Some(Ok(operator))) = (Version::parse(plugin), tag.map(Version::parse)) else {
        return Finding::new(
            Grade::Unknown,
            RELEASE,
            format!("the tag of image {image} is no version, so it can't be compared with plugin {plugin}"),
        );
    };
    if (plugin.major, plugin.minor) == (operator.major, operator.minor) {
        return Finding::new(Grade::Fine, RELEASE, format!("plugin {plugin}, operator {operator}"));
    }
    Finding::new(
        Grade::Doubtful,
        RELEASE,
        format!("plugin {plugin} and operator {operator} differ by more than a patch"),
    )
    .remedy(format!(
        "take plugin {operator}: an older one doesn't know newer fields, a newer one shows what isn't there"
    ))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use shopify_token_operator::time::to_micro;

    use super::*;

    fn held(renewed: Timestamp) -> LeaseSpec {
        let renew_time: Option<MicroTime> = Some(to_micro(renewed));
        LeaseSpec { holder_identity: Some("pod-1_0a".into()), renew_time, ..LeaseSpec::default() }
    }

    #[test]
    fn a_holder_lives_if_it_renews_whatever_the_clocks_say() {
        let now = Timestamp::from_timestamp(1_790_000_000, 0).unwrap();
        let ago = |seconds| held(now - TimeDelta::seconds(seconds));
        let grade = |lease: &LeaseSpec, before: Option<&LeaseSpec>| {
            holder(lease, before, "p", now).map(|finding| finding.grade)
        };
        assert_eq!(grade(&ago(3), None), Some(Grade::Fine));
        assert_eq!(grade(&ago(3600), None), None, "read it again");
        assert_eq!(grade(&ago(-3600), None), None, "a clock is wrong");
        assert_eq!(grade(&ago(3600), Some(&ago(3602))), Some(Grade::Doubtful));
        assert_eq!(grade(&ago(3600), Some(&ago(3600))), Some(Grade::Wrong));
    }

    #[test]
    fn every_shard_has_a_lease() {
        let deployment = |container: serde_json::Value| -> Deployment {
            let template = serde_json::json!({"spec": {"containers": [container]}});
            let spec = serde_json::json!({"selector": {}, "template": template});
            serde_json::from_value(serde_json::json!({"metadata": {"name": "x"}, "spec": spec})).unwrap()
        };
        let with = |more: serde_json::Value| {
            let mut container = serde_json::json!({"name": "operator"});
            container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            deployment(container)
        };
        let a = with(
            serde_json::json!({"env": [{"name": "OTHER", "value": "x"}, {"name": "LEASE_NAME", "value": "operator-a"}]}),
        );
        let b = with(serde_json::json!({"args": ["run", "--lease-name=operator-b"]}));
        let plain = with(serde_json::json!({"args": ["run"]}));
        let names = |chosen: Option<&str>, all: &[Deployment]| leases(chosen, all).into_iter().collect::<Vec<_>>();
        assert_eq!(names(None, &[a.clone(), b, plain]), ["operator-a", "operator-b", OPERATOR]);
        assert_eq!(names(None, &[]), [OPERATOR]);
        assert_eq!(names(Some("mine"), &[a]), ["mine"]);
    }

    #[test]
    fn releases_are_compared_by_the_tag() {
        for (image, grade) in [
            ("shopify-token-operator:0.1.0", Grade::Fine),
            ("registry:5000/x/shopify-token-operator:v0.1.7@sha256:00", Grade::Fine),
            ("shopify-token-operator:0.2.0", Grade::Doubtful),
            ("shopify-token-operator:latest", Grade::Unknown),
            ("registry:5000/shopify-token-operator", Grade::Unknown),
            ("shopify-token-operator@sha256:00", Grade::Unknown),
        ] {
            assert_eq!(skew("0.1.3", image).grade, grade, "{image}");
        }
    }
}
