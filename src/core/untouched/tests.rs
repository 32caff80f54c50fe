use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    api::SourceKind,
    core::scene::{healthy, record as recorded},
};

const SERVER_SIDE: &str = "tokens.shopify-operator.dev/";

/// The metadata of a Secret that the operator has made, as an API server shows it.
fn made() -> Value {
    let o = healthy(SourceKind::Storefront, json!({}));
    let record = Record {
        place: Some("web".into()),
        leave: Some(Leave::Delete),
        fields: record::Fields {
            data: vec!["access_token".into(), "shop_domain".into()],
            labels: vec!["app.kubernetes.io/managed-by".into()],
            annotations: vec!["example.com/team".into()],
        },
        ..recorded(SourceKind::Storefront)
    };
    let uid = &o.identity.uid;
    let mut annotations = record.annotations();
    annotations.insert("example.com/team".into(), "web".into());
    let fields = |keys: &mut dyn Iterator<Item = &String>| -> Value {
        keys.map(|key| (format!("f:{key}"), json!({}))).collect::<serde_json::Map<_, _>>().into()
    };
    let owner = format!("k:{{\"uid\":\"{uid}\"}}");
    json!({
        "name": "web", "namespace": "shop", "annotations": annotations,
        "labels": {"app.kubernetes.io/managed-by": "shopify-token-operator"},
        "ownerReferences": [{"apiVersion": "a/v1", "kind": "ShopifyToken", "name": "web", "uid": uid, "controller": true}],
        "managedFields": [{"manager": "shopify-token-operator", "operation": "Update", "fieldsV1": {
            "f:data": fields(&mut record.fields.data.iter()),
            "f:metadata": {
                "f:annotations": fields(&mut annotations.keys()),
                "f:labels": fields(&mut record.fields.labels.iter()),
                "f:ownerReferences": {owner: {}},
            },
            "f:type": {},
        }}],
    })
}

fn is_untouched(metadata: &Value) -> bool {
    untouched(&serde_json::from_value(metadata.clone()).unwrap()).is_some()
}

#[test]
fn what_is_ours_is_as_we_wrote_it_while_we_are_said_to_have_set_it() {
    assert!(is_untouched(&made()));
    let mut foreign = made();
    let theirs = json!({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:theirs": {}}}});
    foreign["managedFields"].as_array_mut().unwrap().push(theirs);
    assert!(is_untouched(&foreign), "a key of somebody else's");
}

#[test]
fn whatever_another_has_taken_over_has_to_be_read() {
    let taken = [
        "/managedFields/0/fieldsV1/f:data/f:access_token",
        "/managedFields/0/fieldsV1/f:metadata/f:labels/f:app.kubernetes.io~1managed-by",
        "/managedFields/0/fieldsV1/f:metadata/f:annotations/f:example.com~1team",
        "/managedFields/0/fieldsV1/f:metadata/f:annotations/f:tokens.shopify-operator.dev~1revision",
        "/managedFields/0/fieldsV1/f:metadata/f:ownerReferences",
        "/managedFields/0/manager",
        "/managedFields",
        "/ownerReferences",
        "/annotations/tokens.shopify-operator.dev~1fields",
        "/annotations/tokens.shopify-operator.dev~1secret",
    ];
    for pointer in taken {
        let mut edited = made();
        let (above, name) = pointer.rsplit_once('/').unwrap();
        let object = edited.pointer_mut(above).unwrap().as_object_mut().unwrap();
        assert!(object.remove(&name.replace("~1", "/")).is_some(), "{pointer}");
        assert!(!is_untouched(&edited), "{pointer}");
    }
}

#[test]
fn a_secret_that_goes_or_is_frozen_or_is_a_copy_has_to_be_read() {
    let changes = [
        json!({"deletionTimestamp": "2026-11-22T00:00:00Z"}),
        json!({"name": "copy"}),
        json!({"annotations": {format!("{SERVER_SIDE}leave-at"): "2026-11-22T00:00:00Z"}}),
    ];
    for change in changes {
        let mut edited = made();
        for (key, value) in change.as_object().unwrap() {
            match (value.as_object(), edited[key].as_object_mut()) {
                (Some(more), Some(there)) => there.extend(more.clone()),
                _ => edited[key] = value.clone(),
            }
        }
        assert!(!is_untouched(&edited), "{change}");
    }
    let mut controlled = made();
    let theirs = json!({"apiVersion": "b/v1", "kind": "Vault", "name": "web", "uid": "9", "controller": true});
    controlled["ownerReferences"].as_array_mut().unwrap().push(theirs);
    assert!(!is_untouched(&controlled), "another controller's");
    controlled["ownerReferences"][1]["controller"] = json!(false);
    assert!(is_untouched(&controlled), "it goes with something else, too");
    for fields in [json!({"f:immutable": {}}), json!({"f:stringData": {"f:access_token": {}}})] {
        let mut written = made();
        let theirs = json!({"manager": "flux", "operation": "Apply", "fieldsV1": fields});
        written["managedFields"].as_array_mut().unwrap().push(theirs);
        assert!(!is_untouched(&written), "{fields}");
    }
}

/// What is there of a Secret, and who has set what of it by the API server's account
/// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>).
#[derive(Clone, Debug, Eq, PartialEq)]
struct Live {
    values: BTreeMap<Field, String>,
    sets: BTreeMap<(&'static str, &'static str), BTreeSet<Field>>,
}

/// Where it stands, and its name.
type Field = (&'static str, &'static str);

const OWNER: Field = ("metadata.ownerReferences", "owner");
const THEIRS: Field = ("data", "theirs");
const STRING_DATA: Field = ("stringData", "access_token");
const FROZEN: Field = ("immutable", "");
const OURS: [Field; 6] = [
    ("data", "access_token"),
    ("data", "shop_domain"),
    ("metadata.labels", "app.kubernetes.io/managed-by"),
    ("metadata.annotations", "example.com/team"),
    ("metadata.annotations", "tokens.shopify-operator.dev/scopes"),
    OWNER,
];

#[derive(Clone, Debug)]
enum Edit {
    /// An update: sets a field, or takes it out.
    Update(Field, Option<String>),
    /// A server-side apply with these fields and no others.
    Apply(&'static str, BTreeMap<Field, String>),
    /// One with a key of `stringData`.
    StringData(String),
    /// Nobody can change it any more.
    Freeze,
}

impl Live {
    fn as_written() -> Self {
        let values = OURS.map(|field| (field, "ours".to_owned())).into();
        Self { values, sets: BTreeMap::from([((OPERATOR, "Update"), OURS.into())]) }
    }

    fn set(&mut self, by: (&'static str, &'static str), field: Field, value: Option<String>) {
        if self.values.get(&field) != value.as_ref() {
            self.sets.values_mut().for_each(|fields| fields.retain(|other| *other != field));
            self.values.remove(&field);
        }
        if let Some(value) = value {
            // An update that changes nothing takes nothing over.
            if by.1 == "Apply" || !self.values.contains_key(&field) {
                self.sets.entry(by).or_default().insert(field);
            }
            self.values.insert(field, value);
        }
    }

    fn edited(mut self, edit: Edit) -> Self {
        match edit {
            Edit::Update(field, value) => self.set(("kubectl-edit", "Update"), field, value),
            Edit::Apply(by, wanted) => {
                let before = self.sets.remove(&(by, "Apply")).unwrap_or_default();
                for dropped in before.into_iter().filter(|field| !wanted.contains_key(field)) {
                    if !self.sets.values().any(|fields| fields.contains(&dropped)) {
                        self.values.remove(&dropped);
                    }
                }
                for (field, value) in wanted {
                    self.set((by, "Apply"), field, Some(value));
                }
            }
            Edit::StringData(value) => {
                self.values.insert(("data", STRING_DATA.1), value);
                self.sets.entry(("sealed", "Apply")).or_default().insert(STRING_DATA);
            }
            Edit::Freeze => self.set(("kubectl-edit", "Update"), FROZEN, Some("true".to_owned())),
        }
        self
    }

    fn metadata(&self) -> Value {
        let mut metadata = made();
        let ours = metadata["managedFields"][0].clone();
        let uid = metadata["ownerReferences"][0]["uid"].clone();
        for field in OURS {
            let value = self.values.get(&field).filter(|value| *value != "ours");
            let there = match field {
                ("metadata.annotations", name) => &mut metadata["annotations"][name],
                ("metadata.labels", name) => &mut metadata["labels"][name],
                OWNER if self.values.contains_key(&OWNER) => continue,
                OWNER => &mut metadata["ownerReferences"],
                _ => continue,
            };
            match (value, self.values.contains_key(&field)) {
                (Some(value), _) => *there = json!(value),
                (None, true) => {}
                (None, false) => *there = Value::Null,
            }
        }
        for texts in ["annotations", "labels"] {
            metadata[texts].as_object_mut().unwrap().retain(|_, text| !text.is_null());
        }
        let entry = |(by, operation): (&str, &str), fields: &BTreeSet<Field>| {
            let mut entry = if by == OPERATOR { ours.clone() } else { json!({"fieldsV1": {}}) };
            (entry["manager"], entry["operation"]) = (json!(by), json!(operation));
            for field in OURS.into_iter().filter(|field| !fields.contains(field)) {
                let (place, name) = place(field, &uid);
                if let Some(there) = entry.pointer_mut(&place).and_then(Value::as_object_mut) {
                    there.remove(&name);
                }
            }
            for field in fields {
                let (place, name) = place(*field, &uid);
                let mut there = &mut entry["fieldsV1"];
                for step in place.split('/').skip(2) {
                    there = &mut there[step];
                }
                there[name] = json!({});
            }
            entry
        };
        metadata["managedFields"] = self.sets.iter().map(|(by, fields)| entry(*by, fields)).collect();
        metadata
    }
}

/// Where `fieldsV1` has a field, and under which name.
fn place((place, name): Field, uid: &Value) -> (String, String) {
    let place = format!("/f:{}", place.replace('.', "/f:"));
    match name {
        "" => ("/fieldsV1".to_owned(), place.trim_start_matches('/').to_owned()),
        "owner" => (format!("/fieldsV1{place}"), format!("k:{}", json!({"uid": uid}))),
        name => (format!("/fieldsV1{place}"), format!("f:{name}")),
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let field = || prop::sample::select([&OURS[..], &[THEIRS]].concat());
    let value = || prop::sample::select(vec!["ours".to_owned(), "others".to_owned()]);
    let wanted = prop::collection::btree_map(field(), value(), 0..3);
    prop_oneof![
        6 => (field(), prop::option::of(value())).prop_map(|(field, value)| Edit::Update(field, value)),
        4 => (prop::sample::select(vec!["flux", "argo"]), wanted).prop_map(|(by, wanted)| Edit::Apply(by, wanted)),
        1 => value().prop_map(Edit::StringData),
        1 => Just(Edit::Freeze),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever others do to a Secret: what isn't read is as we wrote it.
    #[test]
    fn what_others_have_changed_is_never_taken_for_ours(edits in prop::collection::vec(edit(), 0..4)) {
        let live = edits.iter().cloned().fold(Live::as_written(), Live::edited);
        let (metadata, ours) = (live.metadata(), |field: &Field| live.values.get(field).is_some_and(|value| value == "ours"));
        if is_untouched(&metadata) {
            prop_assert!(OURS.iter().all(ours) && !live.values.contains_key(&FROZEN), "{metadata}");
        }
        let harmless = |edit: &Edit| match edit {
            Edit::Update(field, value) => *field == THEIRS || value.as_deref() == Some("ours"),
            Edit::Apply(_, wanted) => wanted.iter().all(|(field, value)| *field == THEIRS || value == "ours"),
            Edit::StringData(_) | Edit::Freeze => false,
        };
        if edits.iter().all(harmless) {
            prop_assert!(is_untouched(&metadata), "{metadata}");
        }
    }
}
