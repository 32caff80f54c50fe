use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::OwnerReference};
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::core::render::Values;
use crate::{
    api::SourceKind,
    core::scene::{data, foreign, hours, identity, previous, published, record, token},
};

const KIND: SourceKind = SourceKind::ClientCredentials;

fn merge() -> Value {
    json!({"secret": {"creationPolicy": "Merge"}})
}

fn orphan() -> Value {
    json!({"secret": {"creationPolicy": "Orphan"}})
}

/// Our Secret under these policies.
fn ours(fields: &Value) -> Secret {
    published(&token(KIND, fields), KIND, &record(KIND))
}

fn owner(api: &str, kind: &str, name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: api.into(),
        kind: kind.into(),
        name: name.into(),
        uid: uid.into(),
        controller: Some(true),
        ..OwnerReference::default()
    }
}

fn with(mut secret: Secret, change: impl FnOnce(&mut Secret)) -> Secret {
    change(&mut secret);
    secret
}

fn owned_by(secret: Secret, owner: OwnerReference) -> Secret {
    with(secret, |s| s.metadata.owner_references = Some(vec![owner]))
}

fn annotated(secret: Secret, name: &str, value: &str) -> Secret {
    with(secret, |s| {
        s.annotations_mut().insert(name.into(), value.into());
    })
}

fn state(state: &SecretState) -> &'static str {
    match state {
        SecretState::Absent => "Absent",
        SecretState::Mergeable(_) => "Mergeable",
        SecretState::Ours(held) if held.frozen.is_some() => "frozen",
        SecretState::Ours(_) => "Ours",
        SecretState::Collected => "Collected",
        SecretState::Refused(failure) => failure.reason.as_str(),
    }
}

#[test]
#[allow(clippy::large_stack_arrays, reason = "a table of Secrets, built once")]
fn whose_secret_is_it() {
    const GROUP: &str = "tokens.shopify-operator.dev/v1alpha1";
    let plain = json!({});
    let typed = json!({"secret": {"template": {"type": "example.com/token"}}});
    let (external, predecessor, other) = (
        owner("external-secrets.io/v1", "ExternalSecret", "web", "e1"),
        owner(GROUP, "ShopifyToken", "web", "old"),
        owner(GROUP, "ShopifyToken", "other", "o1"),
    );
    let helms = with(foreign(), |s| {
        s.labels_mut().insert(MANAGED_BY.into(), "Helm".into());
    });
    let copied = annotated(ours(&orphan()), "tokens.shopify-operator.dev/token", "elsewhere/web/0a1b2c3d");
    let keyed = |secret, key: &str| {
        with(secret, |s| drop(s.data.get_or_insert_default().insert(key.to_owned(), ByteString(b"theirs".to_vec()))))
    };
    let merging = |secret: Value| {
        let mut secret = secret;
        secret["creationPolicy"] = json!("Merge");
        json!({ "secret": secret })
    };
    let (hydrogen, templated) =
        (merging(json!({"preset": "Node"})), merging(json!({"template": {"data": {"MINE": "x"}}})));
    let others = annotated(foreign(), "tokens.shopify-operator.dev/token", "shop/other/o1");
    let restored = with(annotated(ours(&plain), "tokens.shopify-operator.dev/token", "shop/web/before"), |s| {
        s.metadata.owner_references = None;
    });
    let frozen = |secret| with(secret, |s| s.immutable = Some(true));
    let cases = [
        ("none", &plain, None, "Absent"),
        ("none, Orphan", &orphan(), None, "Absent"),
        ("none to merge into", &merge(), None, "CredentialsMissing"),
        ("there before", &plain, Some(foreign()), "SecretConflict"),
        ("there before, Orphan", &orphan(), Some(foreign()), "SecretConflict"),
        ("there before, Merge", &merge(), Some(foreign()), "Mergeable"),
        ("Helm's", &plain, Some(helms.clone()), "SecretConflict"),
        ("Helm's, Merge", &merge(), Some(helms), "Mergeable"),
        ("another controller's", &plain, Some(owned_by(foreign(), external.clone())), "SecretConflict"),
        ("another controller's, Merge", &merge(), Some(owned_by(foreign(), external.clone())), "Mergeable"),
        ("ours, taken over by another controller", &plain, Some(owned_by(ours(&plain), external)), "SecretConflict"),
        ("another token's", &plain, Some(others.clone()), "SecretConflict"),
        ("another token's, Merge", &merge(), Some(others), "SecretConflict"),
        ("another namespace's", &plain, Some(copied.clone()), "SecretConflict"),
        ("another namespace's, Merge", &merge(), Some(copied), "SecretConflict"),
        ("another token's, Owner", &plain, Some(owned_by(foreign(), other.clone())), "SecretConflict"),
        ("another token's, without its record, Merge", &merge(), Some(owned_by(foreign(), other)), "Mergeable"),
        ("a predecessor's", &plain, Some(owned_by(ours(&plain), predecessor.clone())), "Collected"),
        ("a predecessor's, Merge", &merge(), Some(owned_by(ours(&plain), predecessor)), "Collected"),
        ("a predecessor's that stayed", &plain, Some(restored), "Ours"),
        ("ours", &plain, Some(ours(&plain)), "Ours"),
        ("ours, Orphan", &orphan(), Some(ours(&orphan())), "Ours"),
        ("ours, Merge", &merge(), Some(ours(&merge())), "Ours"),
        ("ours, by its owner alone", &plain, Some(with(ours(&plain), |s| s.metadata.annotations = None)), "Ours"),
        ("ours, immutable", &plain, Some(frozen(ours(&plain))), "frozen"),
        ("ours, Merge, immutable", &merge(), Some(frozen(ours(&merge()))), "frozen"),
        ("to merge into, immutable", &merge(), Some(frozen(foreign())), "SecretConflict"),
        ("ours, of another type", &typed, Some(ours(&plain)), "frozen"),
        ("ours, of its own type", &typed, Some(ours(&typed)), "Ours"),
        (
            "to merge into, of another type",
            &merge(),
            Some(with(foreign(), |s| s.type_ = Some("x/y".into()))),
            "SecretConflict",
        ),
        (
            "to merge into, with a key of ours that is theirs",
            &merge(),
            Some(keyed(foreign(), "scopes")),
            "SecretConflict",
        ),
        (
            "to merge into, with a key of the preset",
            &hydrogen,
            Some(keyed(foreign(), "SHOPIFY_SHOP")),
            "SecretConflict",
        ),
        ("to merge into, with a key of the template", &templated, Some(keyed(foreign(), "MINE")), "SecretConflict"),
        (
            "to merge into, with a key that is never written",
            &merge(),
            Some(keyed(foreign(), "previous_access_token")),
            "Mergeable",
        ),
        (
            "ours, Merge, and a key of the template that is theirs",
            &templated,
            Some(keyed(ours(&merge()), "MINE")),
            "frozen",
        ),
        ("ours, Merge, with all its keys", &templated, Some(ours(&templated)), "Ours"),
    ];
    for (name, fields, live, expected) in cases {
        assert_eq!(state(&classify(&token(KIND, fields), &identity(), live)), expected, "{name}");
    }
}

#[test]
fn a_conflict_names_the_way_out_and_no_value() {
    let SecretState::Refused(failure) = classify(&token(KIND, &json!({})), &identity(), Some(foreign())) else {
        panic!()
    };
    assert!(failure.message.contains("creationPolicy: Merge"), "{}", failure.message);
    assert!(!failure.message.contains("kept"), "{}", failure.message);
    let SecretState::Ours(held) = classify(&token(KIND, &json!({})), &identity(), Some(ours(&json!({})))) else {
        panic!()
    };
    assert!(!format!("{held:?}").contains("canary"));
}

#[test]
fn debug_prints_nothing_that_is_in_a_secret() {
    let live: Secret = serde_json::from_value(json!({
        "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "canary"}},
        "data": {"access_token": "Y2FuYXJ5"},
    }))
    .unwrap();
    assert!(format!("{live:?}").contains("99, 97, 110, 97, 114, 121"), "what is looked for");
    let value = Some(SecretString::from("canary"));
    let previous = PreviousValues { newest: value.clone(), kept: value.iter().cloned().collect() };
    let held = Held { live: live.clone(), record: None, value, previous, session: None, edited: false, frozen: None };
    for state in [SecretState::Mergeable(Box::new(live)), SecretState::Ours(Box::new(held))] {
        let text = format!("{state:?}");
        assert!(!text.contains("canary") && !text.contains("99, 97"), "{text}");
    }
}

#[test]
fn what_the_template_no_longer_names_is_taken_out() {
    let named = json!({"secret": {"preset": "Node", "template": {
        "data": {"ENV": "{{ access_token }}"}, "metadata": {"labels": {"team": "web"}, "annotations": {"note": "x"}},
    }}});
    let theirs = with(ours(&named), |s| {
        s.labels_mut().insert("theirs".into(), "l".into());
        s.annotations_mut().insert("theirs".into(), "a".into());
        s.data.get_or_insert_default().insert("theirs".into(), ByteString(b"d".to_vec()));
    });
    let plain = token(KIND, &json!({}));
    let now_ours = desired(&plain, Some(&theirs), record(KIND), data(&plain, KIND, &record(KIND), "canary", None));
    let keys: Vec<&String> = now_ours.data.as_ref().unwrap().keys().collect();
    assert_eq!(keys, ["access_token", "api_version", "expires_at", "scopes", "shop_domain", "theirs"]);
    assert_eq!(now_ours.labels().keys().collect::<Vec<_>>(), [MANAGED_BY, "theirs"]);
    assert!(now_ours.annotations().contains_key("theirs") && !now_ours.annotations().contains_key("note"));
    assert_eq!(now_ours.metadata.resource_version.as_deref(), Some("7"), "a compare-and-swap");
}

#[test]
fn merge_leaves_behind_what_it_found() {
    let asked = json!({"secret": {"creationPolicy": "Merge", "template": {"metadata": {"labels": {"team": "web"}}}}});
    let token = token(KIND, &asked);
    let merged = desired(&token, Some(&foreign()), record(KIND), data(&token, KIND, &record(KIND), "canary", None));
    assert!(merged.data.as_ref().unwrap().contains_key("access_token") && merged.owner_references().is_empty());
    assert!(!merged.labels().contains_key(MANAGED_BY), "somebody else made it");
    assert_eq!(withdrawn(&merged), foreign());
    for damaged in ["revision", "issued-at", "previous"] {
        let merged = annotated(merged.clone(), &format!("tokens.shopify-operator.dev/{damaged}"), "?");
        assert_eq!(withdrawn(&merged), foreign(), "{damaged}");
    }
}

#[test]
fn owners_follow_the_policies() {
    let owners = |fields: &Value, live: Option<&Secret>| {
        let token = token(KIND, fields);
        let new = desired(&token, live, record(KIND), data(&token, KIND, &record(KIND), "canary", None));
        new.owner_references().len()
    };
    let plain = ours(&json!({}));
    for (fields, expected) in [(json!({}), 1), (orphan(), 0), (merge(), 0), (json!({"deletionPolicy": "Retain"}), 0)] {
        assert_eq!(owners(&fields, None), expected, "{fields}");
        assert_eq!(owners(&fields, Some(&plain)), expected, "{fields}, changed from Owner");
    }
    let left = disowned(&token(KIND, &json!({})), &plain);
    assert!(left.owner_references().is_empty() && left.data == plain.data);
}

#[test]
fn an_edit_is_told_from_a_loss() {
    let token = token(KIND, &json!({}));
    let look = |change: fn(&mut Data)| {
        let live = with(ours(&json!({})), |s| change(s.data.as_mut().unwrap()));
        let SecretState::Ours(mut held) = classify(&token, &identity(), Some(live)) else { panic!() };
        let record = held.record.clone().unwrap();
        let stored = held.stored().0;
        let anew = |value: &SecretString| data(&token, KIND, &record, value.expose_secret(), None);
        held.read(stored.as_ref().map(anew).as_ref());
        (held.edited, held.value.is_some())
    };
    assert_eq!(look(|_| {}), (false, true), "whole");
    assert_eq!(look(|d| drop(d.insert("theirs".into(), ByteString(vec![])))), (false, true), "a key that isn't ours");
    assert_eq!(look(|d| drop(d.remove("scopes"))), (true, true), "the rest can be restored");
    assert_eq!(look(|d| drop(d.insert("access_token".into(), ByteString(b"x".to_vec())))), (true, false));
    assert_eq!(look(|d| drop(d.insert("access_token".into(), ByteString(vec![0xff])))), (true, false));
    assert_eq!(look(|d| drop(d.remove("access_token"))), (true, false));
    assert_eq!(look(Data::clear), (true, false));
}

fn names() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-c]", "[a-z]{0,3}", 0..3)
}

prop_compose! {
    fn fields()(
        policy in prop::sample::select(vec!["Owner", "Orphan", "Merge"]),
        retain in any::<bool>(),
        (labels, annotations, data) in (names(), names(), names()),
    ) -> Value {
        json!({
            "deletionPolicy": if retain { "Retain" } else { "Revoke" },
            "secret": {"creationPolicy": policy, "template": {
                "data": data, "metadata": {"labels": labels, "annotations": annotations},
            }},
        })
    }
}

proptest! {
    /// Written once it stays as it is; whatever was ours before and isn't any more is gone; what is theirs stays.
    #[test]
    fn writing_comes_to_rest((before, after) in (fields(), fields()), kept in "[d-f]", overlap in any::<bool>()) {
        let (before, after) = (token(KIND, &before), token(KIND, &after));
        let merges = |token: &ShopifyToken| token.spec.creation_policy() == CreationPolicy::Merge;
        // What was merged into stays its maker's.
        prop_assume!(!merges(&before) || merges(&after));
        let mut record = record(KIND);
        if overlap {
            record.previous.push(previous(1, hours(0)));
        }
        let old = overlap.then_some("older");
        let theirs = with(foreign(), |s| {
            s.labels_mut().insert(kept.clone(), "l".into());
            s.annotations_mut().insert(kept.clone(), "a".into());
            s.data.get_or_insert_default().insert(kept.clone(), ByteString(b"d".to_vec()));
        });
        let first = desired(&before, Some(&theirs), record.clone(), data(&before, KIND, &record, "canary", old));
        let new = data(&after, KIND, &record, "canary", old);
        let second = desired(&after, Some(&first), record.clone(), new.clone());
        let third = desired(&after, Some(&second), Record::parse(second.annotations()).unwrap(), new.clone());
        prop_assert!(!differs(&second, &third));
        prop_assert_eq!(&third, &second);

        let afresh = desired(&after, Some(&theirs), record.clone(), new);
        prop_assert_eq!(&afresh, &second, "the way there leaves no trace");
        prop_assert_eq!(&second.labels()[&kept], "l");
        prop_assert_eq!(&second.data.as_ref().unwrap()[&kept].0, b"d");
        let left = disowned(&after, &withdrawn(&second));
        prop_assert_eq!(left, theirs);

        let read = Record::parse(second.annotations()).unwrap();
        let place = Some("web".to_owned());
        let (content, fields) = (read.content.clone(), read.fields.clone());
        let written = Record { content, fields, place, leave: Some(Leave::of(&after)), ..record };
        prop_assert_eq!(read, written, "the record and the Secret are one");
    }
}

#[test]
fn what_was_merged_into_stays_its_makers() {
    let of = |policy: &str| token(KIND, &json!({"secret": {"creationPolicy": policy}}));
    let record = record(KIND);
    let write = |token: &ShopifyToken, live: &Secret| {
        desired(token, Some(live), record.clone(), data(token, KIND, &record, "canary", None))
    };
    let merged = write(&of("Merge"), &foreign());
    let owned = write(&of("Owner"), &merged);
    assert!(owned.owner_references().is_empty(), "the garbage collector would take the maker's keys, too");
    assert_eq!(owned.labels(), foreign().labels());
    assert_eq!(leave_of(&of("Owner"), &owned), Leave::Withdraw);
    assert_eq!(withdrawn(&owned), foreign());
    assert_eq!(leave_of(&of("Orphan"), &owned), Leave::Keep);
    // One that was made is owned again whatever came between.
    let orphan = write(&of("Orphan"), &Secret::default());
    assert_eq!(write(&of("Owner"), &orphan).owner_references().len(), 1);
}

#[test]
fn a_record_that_says_otherwise_than_the_data_written_with_it_is_none() {
    let kind = SourceKind::CustomerAccount;
    let token = token(kind, &json!({}));
    let look = |change: fn(&mut BTreeMap<String, String>)| {
        let live = with(published(&token, kind, &record(kind)), |s| change(s.annotations_mut()));
        let SecretState::Ours(mut held) = classify(&token, &identity(), Some(live)) else { panic!() };
        let anew = held.record.clone().map(|record| data(&token, kind, &record, "canary", None));
        held.read(anew.as_ref());
        (held.record.is_some(), held.value.is_some())
    };
    assert_eq!(look(|_| {}), (true, true));
    assert!(!look(|a| drop(a.remove("tokens.shopify-operator.dev/issuer"))).0, "no client without an id");
    assert!(!look(|a| drop(a.insert("tokens.shopify-operator.dev/issuer".into(), "shp_2".into()))).0);
    let elsewhere = |a: &mut BTreeMap<String, String>| {
        let found = a.get_mut("tokens.shopify-operator.dev/discovery").unwrap();
        *found = found.replace("shopify.com", "elsewhere.example.com");
    };
    assert_eq!(look(elsewhere), (false, false));
    assert!(look(|a| drop(a.insert("tokens.shopify-operator.dev/scopes".into(), "read_orders".into()))).0);
}

#[test]
fn the_keys_are_those_that_are_rendered() {
    let kinds = [
        SourceKind::ClientCredentials,
        SourceKind::Storefront,
        SourceKind::Delegate,
        SourceKind::Custom,
        SourceKind::CustomerAccount,
    ];
    for kind in kinds {
        for preset in ["Hydrogen", "Node", "Ruby", "Python", "OIDC"] {
            let token = token(kind, &json!({"secret": {"preset": preset, "template": {"data": {"K": "x"}}}}));
            let nature = crate::core::source::nature(kind);
            let older = secrecy::SecretString::from("older");
            let mut record = record(kind);
            if record.discovery.is_some() {
                record.previous.push(previous(1, hours(1)));
            }
            let previous = PreviousValues {
                newest: nature.overlaps.then(|| older.clone()),
                kept: nature.by_value.then(|| older.clone()).into_iter().collect(),
            };
            let values = Values::of("acme.myshopify.com", &record, &older, &previous);
            // A preset that doesn't suit the source writes nothing.
            let Ok(data) = render::render(&token.spec, kind, &values) else { continue };
            let written: Vec<String> = data.into_keys().collect();
            assert_eq!(render::keys(&token.spec, kind).into_iter().collect::<Vec<_>>(), written, "{kind:?} {preset}");
        }
    }
}

#[test]
fn a_persons_own_secret_is_refused() {
    for policy in ["Owner", "Orphan", "Merge"] {
        let fields = json!({"secret": {"name": "hand", "creationPolicy": policy}});
        let token = token(SourceKind::Custom, &fields);
        for live in [None, Some(foreign())] {
            let SecretState::Refused(failure) = classify(&token, &identity(), live) else { panic!("{policy}") };
            assert!(failure.message.contains("spec.secret.name"), "{}", failure.message);
        }
    }
}
