use chrono::TimeDelta;
use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::OwnerReference};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::SourceKind,
    core::{
        observed::Observed,
        scene::{foreign, healthy, hours, identity, minutes, now, older, published, record, token},
        secret::SecretState,
        vocabulary::{FINALIZER, MANAGED_BY, PREFIX},
    },
    time,
};

const KIND: SourceKind = SourceKind::ClientCredentials;

fn policies(creation: &str, deletion: &str) -> Value {
    json!({"secret": {"name": "old", "creationPolicy": creation}, "deletionPolicy": deletion})
}

/// The Secret `old` as it was written under these policies.
fn written(creation: &str, deletion: &str) -> Secret {
    published(&token(KIND, &policies(creation, deletion)), KIND, &record(KIND))
}

/// The token whose Secret is `web`.
fn renamed() -> ShopifyToken {
    token(KIND, &json!({}))
}

fn read(live: Secret) -> Option<Older> {
    Older::read(&renamed(), &identity(), live)
}

fn with(mut secret: Secret, change: impl FnOnce(&mut Secret)) -> Secret {
    change(&mut secret);
    secret
}

fn with_key(secret: Secret) -> Secret {
    with(secret, |s| {
        s.data.get_or_insert_default().insert("theirs".into(), ByteString(b"kept".to_vec()));
    })
}

#[test]
fn what_becomes_of_it_is_decided_by_the_policies_of_its_time() {
    for (creation, deletion, leave) in [
        ("Owner", "Revoke", Leave::Delete),
        ("Orphan", "Revoke", Leave::Keep),
        ("Merge", "Revoke", Leave::Withdraw),
        ("Owner", "Retain", Leave::Keep),
        ("Orphan", "Retain", Leave::Keep),
        ("Merge", "Retain", Leave::Keep),
    ] {
        assert_eq!(read(written(creation, deletion)).unwrap().leave, leave, "{creation} {deletion}");
        assert_eq!(Leave::parse(leave.as_str()), Some(leave));
    }
}

#[test]
fn what_is_others_is_left_alone() {
    let annotated = |name: &str, value: Option<&str>| {
        with(written("Owner", "Revoke"), |s| {
            let name = format!("{PREFIX}{name}");
            match value {
                Some(value) => drop(s.annotations_mut().insert(name, value.to_owned())),
                None => drop(s.annotations_mut().remove(&name)),
            }
        })
    };
    for (name, live) in [
        ("the current one", published(&renamed(), KIND, &record(KIND))),
        ("a person's", foreign()),
        ("another object's", annotated("token", Some("shop/other/0a1b2c3d"))),
        ("another object's of that name", annotated("token", Some("shop/web/another"))),
        ("another namespace's", annotated("token", Some("other/web/0a1b2c3d"))),
        ("a copy", with(written("Owner", "Revoke"), |s| s.metadata.name = Some("copy".into()))),
        ("one that doesn't say where it was written", annotated("secret", None)),
        (
            "one that goes already",
            with(written("Owner", "Revoke"), |s| s.metadata.deletion_timestamp = Some(time::to_kube(now()))),
        ),
    ] {
        assert!(read(live).is_none(), "{name}");
    }
    assert_eq!(read(annotated("leave", Some("?"))).unwrap().leave, Leave::Keep);
    assert_eq!(read(annotated("leave", None)).unwrap().leave, Leave::Keep);
    assert!(read(annotated("revision", None)).unwrap().record.is_none(), "a damaged record is one all the same");
}

#[test]
fn nothing_of_others_goes_with_it() {
    let owned = || written("Owner", "Revoke");
    let unowned = with(owned(), |s| s.metadata.owner_references = None);
    let immutable = |secret| with(secret, |s| s.immutable = Some(true));
    let needed = with(owned(), |s| s.metadata.finalizers = Some(vec![FINALIZER.into()]));
    for (name, live, leave) in [
        ("somebody took our owner reference off", unowned, Leave::Keep),
        ("somebody added a key", with_key(owned()), Leave::Withdraw),
        ("somebody added a key, and fixed it", immutable(with_key(owned())), Leave::Keep),
        ("fixed", immutable(owned()), Leave::Delete),
        ("merged into and fixed", immutable(with_key(written("Merge", "Revoke"))), Leave::Keep),
        ("an app reads its credentials there", needed, Leave::Keep),
    ] {
        assert_eq!(read(live).unwrap().leave, leave, "{name}");
    }
    let source = json!({"custom": {"tokenRef": {"name": "old", "key": "token"}}});
    let reads_it = token(SourceKind::Custom, &json!({"source": source}));
    assert_eq!(Older::read(&reads_it, &identity(), owned()).unwrap().leave, Leave::Keep, "a person's own by now");
}

#[test]
fn a_deletion_that_retains_keeps_all_and_waits_for_that() {
    let mut retaining = token(KIND, &json!({"deletionPolicy": "Retain"}));
    let older = |token: &ShopifyToken, creation| Older::read(token, &identity(), written(creation, "Revoke")).unwrap();
    assert_eq!(older(&retaining, "Owner").leave, Leave::Delete, "while the object stays");
    for (token, creation, needs) in [
        (&renamed(), "Owner", false),
        (&renamed(), "Orphan", false),
        (&renamed(), "Merge", true),
        (&retaining, "Owner", true),
        (&retaining, "Orphan", false),
    ] {
        assert_eq!(older(token, creation).needs_object(token), needs, "{creation}");
    }
    retaining.metadata.deletion_timestamp = Some(time::to_kube(now()));
    let kept = older(&retaining, "Owner");
    assert_eq!(kept.leave, Leave::Keep);
    assert!(kept.needs_object(&retaining), "else the garbage collector takes it");
    assert!(kept.left(&retaining).unwrap().owner_references().is_empty());
}

#[test]
fn what_is_left_is_nobodys() {
    let theirs = OwnerReference { kind: "Other".into(), uid: "1".into(), ..OwnerReference::default() };
    for (name, live, keys) in [
        ("Orphan", written("Orphan", "Revoke"), 5),
        ("Merge", with_key(written("Merge", "Revoke")), 1),
        ("with another's key", with_key(written("Owner", "Revoke")), 1),
    ] {
        let live = with(live, |s| {
            s.owner_references_mut().push(theirs.clone());
            s.labels_mut().insert("team".into(), "web".into());
            s.annotations_mut().insert("example.com/a".into(), "b".into());
        });
        let older = read(with(live, |s| s.annotations_mut().extend([record::mark(now())]))).unwrap();
        let left = older.left(&renamed()).unwrap();
        assert_eq!(left.data.as_ref().unwrap().len(), keys, "{name}: {:?}", left.data);
        assert_eq!(left.metadata.owner_references, Some(vec![theirs.clone()]), "{name}");
        assert_eq!(left.annotations().keys().collect::<Vec<_>>(), ["example.com/a"], "{name}");
        assert_eq!(left.labels().keys().collect::<Vec<_>>(), ["team"], "{name}");
        assert_eq!(left.resource_version(), older.live.resource_version(), "a compare-and-swap");
        assert!(read(left).is_none(), "{name}: once and for all");
    }
    let managed_by_others = with(written("Orphan", "Revoke"), |s| {
        s.labels_mut().insert(MANAGED_BY.into(), "Helm".into());
    });
    assert_eq!(read(managed_by_others).unwrap().left(&renamed()).unwrap().labels()[MANAGED_BY], "Helm");
    assert!(read(written("Owner", "Revoke")).unwrap().left(&renamed()).is_none());
}

fn marks(o: &Observed) -> (Vec<Timestamp>, usize) {
    (o.to_mark(now()).map(|(_, at)| at).collect(), o.to_leave(now()).count())
}

#[test]
fn it_is_kept_for_an_overlap_from_when_the_new_one_was_written() {
    let spec = json!({"rotation": {"overlap": "2h"}});
    let with_mark = |left: Option<TimeDelta>| healthy(KIND, spec.clone()).with(|o| o.older = vec![older(3, left)]);
    let until = now() + hours(2);
    let cases = vec![
        ("new to it", with_mark(None), (vec![until], 0)),
        ("waiting", with_mark(Some(minutes(1))), (vec![], 0)),
        ("the whole overlap", with_mark(Some(hours(2))), (vec![], 0)),
        ("over", with_mark(Some(minutes(0))), (vec![], 1)),
        ("a clock set back, or a longer overlap before", with_mark(Some(hours(3))), (vec![until], 0)),
        ("the new one isn't there", with_mark(Some(minutes(-1))).without_secret(), (vec![], 0)),
        ("the new one is another's", with_mark(None).with(|o| o.secret = SecretState::Collected), (vec![], 0)),
        ("the new one has lost its value", with_mark(Some(minutes(-1))).with(lost), (vec![], 0)),
        ("the new one is older", with_mark(None).with(|o| o.older = vec![older(4, None)]), (vec![], 0)),
        ("the new one is of another object", with_mark(None).with(|o| o.identity.uid = "another".into()), (vec![], 0)),
    ];
    for (name, o, marked) in cases {
        assert_eq!(marks(&o), marked, "{name}");
    }
    let older = older(3, None);
    let marked = read(older.marked(until)).unwrap();
    assert_eq!(marked.leave_at, Some(until));
    assert_eq!(marked.record, older.record, "a mark is no part of the record");
}

fn lost(o: &mut Observed) {
    let SecretState::Ours(held) = &mut o.secret else { panic!("there is no Secret") };
    held.value = None;
}

#[test]
fn the_newest_record_counts_whatever_its_name() {
    let back = healthy(KIND, json!({})).with(|o| o.older = vec![older(2, None), older(5, None)]);
    assert_eq!((back.latest().unwrap().revision, back.outdated(), back.renamed()), (5, true, true));
    assert_eq!(back.next_revision(), 6);
    let forth = healthy(KIND, json!({})).with(|o| o.older = vec![older(3, None)]);
    assert_eq!(forth.latest().unwrap().place.as_deref(), Some("web"), "of two the one that the spec names");
    assert!(!forth.renamed());
    let gone = forth.without_secret();
    assert_eq!((gone.latest().unwrap().revision, gone.outdated(), gone.renamed()), (3, false, true));
}
