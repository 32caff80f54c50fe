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

/// What is there of the operator.
pub(super) struct Operators {
    /// Lease, Deployment and release.
    pub(super) findings: Vec<Finding>,
    /// Whether one works, or that couldn't be seen.
    pub(super) may_work: bool,
}

/// Lease, Deployment and release.
pub(super) async fn all(cluster: &Cluster, options: &CheckOptions) -> Operators {
    let deployments = deployments(cluster, options).await;
    let runs = matches!(&deployments, Ok(all) if all.iter().any(|deployment| available(deployment) > 0));
    let mut findings = Vec::new();
    for name in leases(options.lease_name.as_deref(), deployments.as_deref().unwrap_or_default()) {
        findings.push(lease(cluster, &options.operator_namespace, &name, runs).await);
    }
    let may_work = findings.iter().any(|lease| lease.grade != Grade::Wrong);
    match deployments {
        Ok(all) => findings.extend(all.iter().flat_map(|deployment| [pods(deployment), release(deployment)])),
        Err(finding) => findings.push(finding),
    }
    Operators { findings, may_work }
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
            Err(Finding::unknown(RELEASE, found, "ask who runs the operator of which release it is, or for that right"))
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
    let unread =
        |error| super::of(SUBJECT, &Failure::of(error, &Call::of("get", "leases", Some(namespace), Some(name))));
    let read = async || api.get_opt(name).await.map(|lease| lease.and_then(|lease| lease.spec));
    let first = match read().await {
        Ok(Some(spec)) if spec.holder_identity.as_ref().is_some_and(|holder| !holder.is_empty()) => spec,
        Ok(_) if runs => {
            let found = format!("its pods are there, and none holds lease {place}");
            return Finding::doubtful(
                SUBJECT,
                found,
                "right if it runs with --leader-elect=false; else look at its log",
            );
        }
        Ok(_) => {
            let found = format!("nobody holds lease {place}: no operator works there");
            return Finding::wrong(
                SUBJECT,
                found,
                "install it, or say where it runs: --operator-namespace, --lease-name",
            );
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let found =
                format!("you may not get leases in namespace {namespace}, so whether the operator works can't be told");
            return Finding::unknown(SUBJECT, found, "ask who runs it to run this check, or for that right");
        }
        Err(error) => return unread(&error),
    };
    if is_fresh(&first, now()) {
        return works(&first, &place);
    }
    sleep(LOOK_AGAIN).await;
    match read().await {
        Ok(second) => later(&first, &second.unwrap_or_default(), &place, now()),
        Err(error) => unread(&error),
    }
}

fn age(lease: &LeaseSpec, now: Timestamp) -> Option<TimeDelta> {
    let renewed = lease.renew_time.as_ref().and_then(|at| Timestamp::from_timestamp(at.0.as_second(), 0));
    renewed.map(|at| now - at)
}

/// Whether the holder lives. If not, the lease has to be read again: it may be old, or a clock wrong.
fn is_fresh(lease: &LeaseSpec, now: Timestamp) -> bool {
    age(lease, now).is_some_and(|age| age < FRESH && age > -FRESH)
}

fn works(lease: &LeaseSpec, place: &str) -> Finding {
    let holder = lease.holder_identity.as_deref().unwrap_or_default();
    Finding::fine(SUBJECT, format!("{holder} works: it holds lease {place}"))
}

/// What the lease says that was read again.
fn later(first: &LeaseSpec, second: &LeaseSpec, place: &str, now: Timestamp) -> Finding {
    let holder = first.holder_identity.as_deref().unwrap_or_default();
    if is_fresh(second, now) {
        return works(second, place);
    }
    if second.renew_time.is_some() && second.renew_time != first.renew_time {
        let found = format!("{holder} works, and its clock differs from this one's");
        let remedy = "look at the clocks of both machines: a wrong one renews tokens at the wrong time";
        return Finding::doubtful(SUBJECT, found, remedy);
    }
    let since = age(first, now).map_or_else(|| "ever".to_owned(), length);
    let found = format!("{holder} held lease {place}, and hasn't renewed it for {since}: no operator works");
    Finding::wrong(SUBJECT, found, "look at the operator's pods and their log")
}

fn available(deployment: &Deployment) -> i32 {
    deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default()
}

/// As kubectl takes it.
fn place(deployment: &Deployment) -> String {
    format!("-n {} deployment/{}", deployment.namespace().unwrap_or_default(), deployment.name_any())
}

/// How its pods are looked at, if its selector is of labels alone.
fn describe_pods(deployment: &Deployment) -> String {
    let selector = deployment.spec.as_ref().map(|spec| &spec.selector);
    let labels = selector.filter(|selector| selector.match_expressions.is_none()).and_then(|s| s.match_labels.as_ref());
    labels.map_or_else(String::new, |labels| {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let namespace = deployment.namespace().unwrap_or_default();
        format!("kubectl describe pods -n {namespace} -l {}; if there are none, ", labels.join(","))
    })
}

fn pods(deployment: &Deployment) -> Finding {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let available = available(deployment);
    let found = format!(
        "{available} of {wanted} replicas of Deployment {}/{} are available",
        deployment.namespace().unwrap_or_default(),
        deployment.name_any()
    );
    let remedy = format!("{}kubectl describe {}", describe_pods(deployment), place(deployment));
    match available {
        0 => Finding::wrong(SUBJECT, found, remedy),
        _ if available < wanted => Finding::doubtful(SUBJECT, found, remedy),
        _ => Finding::fine(SUBJECT, found),
    }
}

/// Whether the operator's image is of this release, as far as its tag tells.
fn release(deployment: &Deployment) -> Finding {
    let mut containers =
        deployment.spec.iter().filter_map(|spec| spec.template.spec.as_ref()).flat_map(|spec| &spec.containers);
    let image = containers.find_map(|container| container.image.as_deref()).unwrap_or_default();
    skew(env!("CARGO_PKG_VERSION"), image, &place(deployment))
}

/// Releases of one minor version (before 1.0: of one `0.x`) go together.
fn skew(plugin: &str, image: &str, place: &str) -> Finding {
    let name = image.split('@').next().unwrap_or_default();
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag.trim_start_matches('v'));
    let (Ok(plugin), Some(Ok(operator))) = (Version::parse(plugin), tag.map(Version::parse)) else {
        return Finding::unknown(
            RELEASE,
            format!("the tag of image {image} is no version, so it can't be compared with plugin {plugin}"),
            format!("kubectl exec {place} -- /usr/local/bin/{OPERATOR} --version"),
        );
    };
    if (plugin.major, plugin.minor) == (operator.major, operator.minor) {
        return Finding::fine(RELEASE, format!("plugin {plugin}, operator {operator}"));
    }
    Finding::doubtful(
        RELEASE,
        format!("plugin {plugin} and operator {operator} differ by more than a patch"),
        format!("take plugin {operator}: an older one doesn't know newer fields, a newer one shows what isn't there"),
    )
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
        assert!(is_fresh(&ago(3), now));
        assert!(!is_fresh(&ago(3600), now), "read it again");
        assert!(!is_fresh(&ago(-3600), now), "a clock is wrong");
        let grade = |first: &LeaseSpec, second: &LeaseSpec| later(first, second, "p", now).grade;
        assert_eq!(grade(&ago(3602), &ago(3600)), Grade::Doubtful);
        assert_eq!(grade(&ago(3600), &ago(3600)), Grade::Wrong);
        assert_eq!(grade(&ago(3600), &ago(2)), Grade::Fine, "another one has taken over");
        assert_eq!(grade(&ago(3600), &LeaseSpec::default()), Grade::Wrong, "it is gone");
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
            assert_eq!(skew("0.1.3", image, "-n o deployment/o").grade, grade, "{image}");
        }
    }
}
