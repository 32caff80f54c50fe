//! The election's rule as a table, and its writes against an API server that keeps one Lease.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

#[test]
fn a_lease_is_taken_from_nobody_or_from_the_dead() {
    let seen = Instant::now();
    let after = |seconds| seen + Duration::from_secs(seconds);
    let cases = [
        // holder, lease seconds, seconds since it was seen, verdict
        (None, Some(15), 0, Verdict::Takeable),
        (Some(""), Some(15), 0, Verdict::Takeable),
        (Some("me"), Some(15), 0, Verdict::Held),
        (Some("me"), Some(15), 3600, Verdict::Held),
        (Some("other"), Some(15), 0, Verdict::Wait(after(15))),
        (Some("other"), Some(15), 14, Verdict::Wait(after(15))),
        (Some("other"), Some(15), 15, Verdict::Takeable),
        (Some("other"), Some(60), 15, Verdict::Wait(after(60))),
        (Some("other"), None, 14, Verdict::Wait(after(15))),
        (Some("other"), Some(0), 14, Verdict::Wait(after(15))),
        (Some("other"), Some(-1), 15, Verdict::Takeable),
        (Some("other"), Some(i32::MAX), 3600, Verdict::Wait(after(2_147_483_647))),
    ];
    for (holder, lease_seconds, later, verdict) in cases {
        let record = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: lease_seconds,
            // Years ago by the holder's clock, which doesn't count.
            renew_time: Some(MicroTime(jiff::Timestamp::UNIX_EPOCH)),
            ..LeaseSpec::default()
        };
        assert_eq!(evaluate(&record, "me", seen, after(later)), verdict, "{holder:?} {lease_seconds:?} {later}");
    }
}

/// An API server that keeps one Lease, knows what custom resources there are, and answers as the real one does.
#[derive(Clone, Default)]
pub(crate) struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    resources: Arc<Mutex<Vec<&'static str>>>,
    down: Arc<AtomicBool>,
    forbids: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                if server.down.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let (code, answer) = server.answer(&parts.method, parts.uri.path(), &body);
                let answer = Body::from(serde_json::to_vec(&answer).unwrap());
                let answer = Response::builder().status(code).body(answer).unwrap();
                Ok::<_, Infallible>(answer)
            }
        });
        Client::new(service, "shop")
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let refuse = |code: StatusCode, reason: &str| {
            let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure",
                "code": code.as_u16(), "reason": reason, "message": reason });
            (code, status)
        };
        if self.forbids.load(Ordering::SeqCst) {
            return refuse(StatusCode::FORBIDDEN, "Forbidden");
        }
        if path.starts_with("/apis/tokens.") {
            let resources = self.resources.lock().unwrap();
            if resources.is_empty() {
                return (StatusCode::NOT_FOUND, json!("404 page not found"));
            }
            let resource =
                |name| json!({ "name": name, "singularName": "", "namespaced": true, "kind": "", "verbs": [] });
            let resources: Vec<Value> = resources.iter().map(resource).collect();
            return (StatusCode::OK, json!({ "groupVersion": "", "resources": resources }));
        }
        let mut stored = self.lease.lock().unwrap();
        let version = stored.as_ref().map_or(0, |l| {
            let version = l["metadata"]["resourceVersion"].as_str().unwrap();
            version.parse::<u64>().unwrap()
        });
        if method == Method::GET {
            return match &*stored {
                Some(lease) => (StatusCode::OK, lease.clone()),
                None => refuse(StatusCode::NOT_FOUND, "NotFound"),
            };
        }
        let mut lease: Value = serde_json::from_slice(body).unwrap();
        match *method {
            Method::POST if stored.is_some() => return refuse(StatusCode::CONFLICT, "AlreadyExists"),
            Method::PUT if stored.is_none() => return refuse(StatusCode::NOT_FOUND, "NotFound"),
            Method::PUT if lease["metadata"]["resourceVersion"] != *version.to_string() => {
                return refuse(StatusCode::CONFLICT, "Conflict");
            }
            Method::POST | Method::PUT => {}
            _ => panic!("only POST and PUT write: {method}"),
        }
        lease["metadata"]["resourceVersion"] = json!((version + 1).to_string());
        *stored = Some(lease.clone());
        (StatusCode::OK, lease)
    }

    fn candidate(&self) -> Candidate {
        Candidate::new(self.client(), "shop", OPERATOR, Clock::system()).with_timing(Timing {
            lease: Duration::from_secs(1),
            renew: Duration::from_millis(600),
            retry: Duration::from_millis(50),
            call: Duration::from_millis(200),
        })
    }

    fn spec(&self) -> Value {
        self.lease.lock().unwrap().as_ref().unwrap()["spec"].clone()
    }

    /// `holderIdentity`; empty when there is no lease.
    pub(crate) fn holder(&self) -> String {
        let lease = self.lease.lock().unwrap();
        lease.as_ref().map_or("", |l| l["spec"]["holderIdentity"].as_str().unwrap()).to_owned()
    }

    /// Another instance writes itself into the lease.
    pub(crate) fn give_to_another(&self) {
        let mut lease = self.lease.lock().unwrap();
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("other");
        lease["metadata"]["resourceVersion"] = json!("99");
    }

    /// The custom resources that are installed.
    pub(crate) fn install(&self, resources: &[&'static str]) {
        *self.resources.lock().unwrap() = resources.to_vec();
    }
}

async fn acquires(candidate: &mut Candidate, within: Duration) -> bool {
    timeout(within, candidate.acquire()).await.is_ok()
}

const SOON: Duration = Duration::from_millis(400);
const LATER: Duration = Duration::from_secs(4);

#[tokio::test]
async fn the_first_makes_the_lease_and_a_release_hands_it_over() {
    let server = Server::default();
    let (mut a, mut b) = (server.candidate(), server.candidate());
    assert!(acquires(&mut a, SOON).await);
    assert_eq!(server.spec()["holderIdentity"], a.identity());
    assert_eq!(server.spec()["leaseTransitions"], 0);
    assert_eq!(server.spec()["leaseDurationSeconds"], 1);
    assert!(!acquires(&mut b, SOON).await);

    a.release().await.unwrap();
    assert_eq!(server.spec()["holderIdentity"], "");
    assert!(acquires(&mut b, SOON).await);
    assert_eq!(server.spec()["holderIdentity"], b.identity());
    assert_eq!(server.spec()["leaseTransitions"], 1);

    a.release().await.unwrap();
    assert_eq!(server.spec()["holderIdentity"], b.identity());
}

#[tokio::test]
async fn one_of_two_that_read_the_same_record_wins() {
    let server = Server::default();
    let (mut a, mut b) = (server.candidate(), server.candidate());
    let mut dead = server.candidate();
    assert!(acquires(&mut dead, SOON).await);
    // Both have read it and wait out its lifetime: then both try to take it.
    let (won_a, won_b) =
        tokio::join!(acquires(&mut a, Duration::from_millis(1500)), acquires(&mut b, Duration::from_millis(1500)));
    assert!(won_a ^ won_b);
    assert_eq!(server.spec()["leaseTransitions"], 1);
}

#[tokio::test]
async fn a_holder_that_renews_keeps_it_and_a_taken_one_is_lost() {
    let server = Server::default();
    let (mut a, mut b) = (server.candidate(), server.candidate());
    assert!(acquires(&mut a, SOON).await);
    tokio::select! {
        lost = a.keep() => panic!("{lost}"),
        won = acquires(&mut b, Duration::from_millis(1500)) => assert!(!won),
    }
    server.give_to_another();
    assert_eq!(timeout(SOON, a.keep()).await.unwrap(), Lost::Taken);
}

#[tokio::test]
async fn a_write_of_ours_that_was_cut_off_is_found_again() {
    let server = Server::default();
    let mut a = server.candidate();
    assert!(acquires(&mut a, SOON).await);
    // The write came through, its answer didn't.
    server.lease.lock().unwrap().as_mut().unwrap()["metadata"]["resourceVersion"] = json!("7");
    assert!(timeout(SOON, a.keep()).await.is_err());
    server.lease.lock().unwrap().take();
    assert!(timeout(SOON, a.keep()).await.is_err());
    assert_eq!(server.spec()["holderIdentity"], a.identity());
}

#[tokio::test]
async fn silence_loses_the_lease_before_another_may_take_it() {
    let server = Server::default();
    let mut a = server.candidate();
    assert!(acquires(&mut a, SOON).await);
    let held_at = Instant::now();
    server.down.store(true, Ordering::SeqCst);
    assert_eq!(a.keep().await, Lost::NotRenewed);
    assert!(held_at.elapsed() < Duration::from_secs(1));

    server.down.store(false, Ordering::SeqCst);
    let mut b = server.candidate();
    assert!(!acquires(&mut b, SOON).await);
    assert!(acquires(&mut b, LATER).await);
}

#[tokio::test]
async fn a_refusal_is_tried_again() {
    let server = Server::default();
    let mut a = server.candidate();
    server.forbids.store(true, Ordering::SeqCst);
    assert!(!acquires(&mut a, SOON).await);
    a.release().await.unwrap();
    server.forbids.store(false, Ordering::SeqCst);
    assert!(acquires(&mut a, SOON).await);
    server.forbids.store(true, Ordering::SeqCst);
    assert!(a.release().await.is_err());
    assert!(timeout(SOON, a.keep()).await.is_err());
}

#[tokio::test]
async fn a_live_holder_elsewhere_is_pushed_aside_and_has_stopped_after_the_wait() {
    let server = Server::default();
    let (mut a, mut b) = (server.candidate(), server.candidate());
    assert_eq!(a.take_over().await.unwrap(), Duration::ZERO);
    b.me = "elsewhere_1".to_owned();
    let wait = b.take_over().await.unwrap();
    assert_eq!(wait, b.timing.renew);
    assert_eq!(timeout(wait, a.keep()).await.unwrap(), Lost::Taken);
    // And for a while nobody works, although nobody renews.
    b.leave_for(Duration::from_mins(1)).await.unwrap();
    assert_eq!(server.spec()["leaseDurationSeconds"], 60);
    assert!(!acquires(&mut a, Duration::from_millis(1500)).await);
}

#[tokio::test]
async fn a_holder_on_this_host_is_left_alone_unless_it_is_dead() {
    let server = Server::default();
    let (mut a, mut b) = (server.candidate(), server.candidate());
    assert!(acquires(&mut a, SOON).await);
    tokio::select! {
        lost = a.keep() => panic!("{lost}"),
        refused = b.take_over() => assert!(matches!(refused, Err(Error::SameHost(_)))),
    }
    assert_eq!(server.holder(), a.identity());
    assert_eq!(b.take_over().await.unwrap(), Duration::ZERO);
    assert_eq!(server.holder(), b.identity());
}

#[test]
fn identities_differ() {
    assert_ne!(identity(), identity());
}
