//! `status`.

use std::{collections::BTreeMap, time::Duration};

use futures::TryStreamExt;
use kube::{
    api::DynamicObject,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde_json::json;
use shopify_token_operator::{clock::Clock, time::Timestamp};
use tokio::time::sleep;

use crate::{
    call::Call,
    cli::{Output, StatusOptions},
    cluster::Cluster,
    failure::{Failure, Result},
    objects::{self, Object, TOKENS},
    screen::{self, CLEAR, print, tell},
    view::{
        detail,
        table::{self, Columns},
    },
};

/// How often a life line moves on, on a terminal.
const TICK: Duration = Duration::from_secs(1);

/// Shows the tokens, once or at every change.
pub(super) async fn run(cluster: &Cluster, options: &StatusOptions) -> Result<()> {
    let objects = objects::select(cluster, &options.selection).await?;
    let now = || Clock::system().now();
    if !options.watch {
        if objects.is_empty() {
            let place = if options.selection.all_namespaces {
                "any namespace".into()
            } else {
                format!("namespace {}", cluster.namespace)
            };
            if !matches!(options.output, Some(Output::Json | Output::Yaml)) {
                tell(format_args!("No ShopifyTokens in {place}."));
                return Ok(());
            }
        }
        return print(&shown(&objects, options, true, now())?);
    }
    match (objects.as_slice(), options.output) {
        ([one], None) if options.selection.names.len() == 1 => follow_one(cluster, one, now).await,
        _ => follow(cluster, objects, options, now).await,
    }
}

/// One object is shown in detail where it was asked for by name.
fn shown(objects: &[Object], options: &StatusOptions, heading: bool, now: Timestamp) -> Result<String> {
    let raw: Vec<_> = objects.iter().map(|object| &object.raw).collect();
    Ok(match (options.output, raw.as_slice()) {
        (Some(Output::Json), [one]) if !options.selection.names.is_empty() => screen::json(one)?,
        (Some(Output::Yaml), [one]) if !options.selection.names.is_empty() => screen::yaml(one)?,
        (Some(Output::Json), all) => screen::json(&list(all))?,
        (Some(Output::Yaml), all) => screen::yaml(&list(all))?,
        (Some(Output::Name), _) => objects.iter().map(name).collect(),
        (None, [_]) if options.selection.names.len() == 1 => detail::token(&objects[0], now),
        (None | Some(Output::Wide), _) => table::tokens(objects, columns(options), heading, now),
    })
}

fn columns(options: &StatusOptions) -> Columns {
    Columns { namespace: options.selection.all_namespaces, wide: options.output == Some(Output::Wide) }
}

fn list(objects: &[&DynamicObject]) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": objects})
}

fn name(object: &Object) -> String {
    format!("shopifytoken.tokens.shopify-operator.dev/{}\n", object.name)
}

/// The table, then a line for each change, as `kubectl get --watch` does; objects as they are with `-o json` and the like.
async fn follow(
    cluster: &Cluster,
    objects: Vec<Object>,
    options: &StatusOptions,
    now: impl Fn() -> Timestamp,
) -> Result<()> {
    let selection = &options.selection;
    let by_name = !selection.names.is_empty();
    let namespace = match objects.as_slice() {
        [first, rest @ ..] if by_name && rest.iter().all(|o| o.namespace == first.namespace) => {
            Some(first.namespace.clone())
        }
        _ => (!selection.all_namespaces).then(|| cluster.namespace.clone()),
    };
    let heading = matches!(options.output, None | Some(Output::Wide));
    if heading {
        print(&table::tokens(&objects, columns(options), true, now()))?;
    } else {
        for object in &objects {
            print(&one(object, options, &now)?)?;
        }
    }
    let mut seen: BTreeMap<String, Option<String>> =
        objects.iter().map(|object| (object.place(), object.raw.metadata.resource_version.clone())).collect();
    let wanted = seen.clone();
    let mut config = watcher::Config::default();
    if let Some(selector) = &selection.selector {
        config = config.labels(selector);
    }
    let call = Call::of("watch", TOKENS, namespace.as_deref(), None);
    let mut events = std::pin::pin!(watcher(cluster.tokens(namespace.as_deref()), config).default_backoff());
    loop {
        let raw = match events.try_next().await {
            Ok(Some(Event::Apply(raw) | Event::InitApply(raw) | Event::Delete(raw))) => raw,
            Ok(Some(Event::Init | Event::InitDone)) => continue,
            Ok(None) => return Ok(()),
            Err(error) => {
                ended(&error, &call)?;
                continue;
            }
        };
        let object = Object::new(raw);
        let version = object.raw.metadata.resource_version.clone();
        if by_name && !wanted.contains_key(&object.place()) || seen.get(&object.place()) == Some(&version) {
            continue;
        }
        seen.insert(object.place(), version);
        print(&one(&object, options, &now)?)?;
    }
}

/// One change.
fn one(object: &Object, options: &StatusOptions, now: &impl Fn() -> Timestamp) -> Result<String> {
    Ok(match options.output {
        Some(Output::Json) => screen::json(&object.raw)?,
        Some(Output::Yaml) => format!("---\n{}", screen::yaml(&object.raw)?),
        Some(Output::Name) => name(object),
        None | Some(Output::Wide) => table::tokens(std::slice::from_ref(object), columns(options), false, now()),
    })
}

/// The token in detail; on a terminal drawn anew as time passes, elsewhere at each change.
async fn follow_one(cluster: &Cluster, object: &Object, now: impl Fn() -> Timestamp) -> Result<()> {
    let terminal = screen::is_terminal();
    let config = watcher::Config::default().fields(&format!("metadata.name={}", object.name));
    let call = Call::of("watch", TOKENS, Some(&object.namespace), Some(&object.name));
    let mut events = std::pin::pin!(watcher(cluster.tokens(Some(&object.namespace)), config).default_backoff());
    let mut object = object.clone();
    let draw =
        |object: &Object| print(&format!("{}{}", if terminal { CLEAR } else { "" }, detail::token(object, now())));
    draw(&object)?;
    loop {
        let event = tokio::select! {
            event = events.try_next() => event,
            () = sleep(TICK), if terminal => {
                draw(&object)?;
                continue;
            }
        };
        match event {
            Ok(Some(Event::Apply(raw) | Event::InitApply(raw))) => {
                if raw.metadata.resource_version != object.raw.metadata.resource_version {
                    object = Object::new(raw);
                    if !terminal {
                        print("\n")?;
                    }
                    draw(&object)?;
                }
            }
            Ok(Some(Event::Delete(_))) => {
                tell(format_args!("{} is gone", object.place()));
                return Ok(());
            }
            Ok(Some(Event::Init | Event::InitDone)) => {}
            Ok(None) => return Ok(()),
            Err(error) => ended(&error, &call)?,
        }
    }
}

/// A watch that was refused ends; one that was cut off begins anew.
pub(super) fn ended(error: &watcher::Error, call: &Call<'_>) -> Result<()> {
    let (watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause)) = error else {
        return Ok(());
    };
    match cause {
        kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404) => Err(Failure::of(cause, call)),
        _ => Ok(()),
    }
}
