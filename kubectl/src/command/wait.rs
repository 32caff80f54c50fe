//! `--wait`: watches tokens until each has come to an end, and tells how it goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use futures::TryStreamExt;
use kube::runtime::{WatchStreamExt, watcher, watcher::Event};
use tokio::time::{Instant, sleep_until};

use super::{action::Progress, status::ended};
use crate::{
    call::Call,
    cluster::Cluster,
    failure::{Code, Failure, Result},
    objects::{Object, TOKENS},
    screen::{Tone, print, tell},
    view::remedy,
};

/// What is Stalled for so long waits for a person: attempts follow a change at once, and take seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is waited for.
pub(super) struct Waiting<'a> {
    /// The tokens.
    pub objects: &'a [Object],
    /// For how long.
    pub timeout: Duration,
}

/// Where one of them is.
struct Seen {
    progress: Progress,
    /// Since when a person is waited for.
    stuck: Option<Instant>,
    /// What was told last.
    told: Option<String>,
}

/// Goes on until each has come to an end, by what `progress` makes of it (`None` for one that is gone).
///
/// # Errors
/// One has failed, waits for a person for some time, or not all are done in time.
pub(super) async fn until(
    cluster: &Cluster,
    waiting: &Waiting<'_>,
    progress: impl Fn(&str, Option<&Object>) -> Progress,
) -> Result<()> {
    let deadline = Instant::now() + waiting.timeout;
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    for object in waiting.objects {
        let place = object.place();
        let seen = Seen { progress: progress(&place, Some(object)), stuck: None, told: None };
        all.insert(place, seen);
    }
    let (namespace, config) = scope(waiting.objects);
    let call = Call::of("watch", TOKENS, namespace, None);
    let mut events = pin!(watcher(cluster.tokens(namespace), config).default_backoff());
    // What isn't in the list that a watch begins with has gone before it.
    let mut listed = BTreeSet::new();
    loop {
        for (place, seen) in &mut all {
            tell_of(place, seen)?;
        }
        let now = Instant::now();
        if all.values().all(|seen| is_over(seen, now)) {
            return conclusion(&all);
        }
        if now >= deadline {
            return timed_out(&all, waiting.timeout);
        }
        let running = all.values().filter(|seen| !is_over(seen, now));
        let next = running.filter_map(|seen| Some(seen.stuck? + PATIENCE)).chain([deadline]).min().unwrap_or(deadline);
        let event = tokio::select! {
            event = events.try_next() => event,
            () = sleep_until(next) => continue,
        };
        match event {
            Ok(Some(Event::Init)) => listed.clear(),
            Ok(Some(Event::InitDone)) => {
                for (place, seen) in &mut all {
                    if !listed.contains(place) {
                        seen.progress = progress(place, None);
                    }
                }
            }
            Ok(Some(Event::InitApply(raw) | Event::Apply(raw))) => {
                let object = Object::new(raw);
                listed.insert(object.place());
                note(&mut all, &object.place(), |place| progress(place, Some(&object)));
            }
            Ok(Some(Event::Delete(raw))) => note(&mut all, &Object::new(raw).place(), |place| progress(place, None)),
            Ok(None) => return timed_out(&all, waiting.timeout),
            Err(error) => ended(&error, &call)?,
        }
    }
}

/// The smallest list that has them all: who may see one object only can wait for that.
fn scope(objects: &[Object]) -> (Option<&str>, watcher::Config) {
    let namespace = objects.first().map(|object| object.namespace.as_str());
    let namespace = namespace.filter(|namespace| objects.iter().all(|object| object.namespace == *namespace));
    let config = match objects {
        [one] => watcher::Config::default().fields(&format!("metadata.name={}", one.name)),
        _ => watcher::Config::default(),
    };
    (namespace, config)
}

fn note(all: &mut BTreeMap<String, Seen>, place: &str, progress: impl Fn(&str) -> Progress) {
    let Some(seen) = all.get_mut(place) else { return };
    // An end is one, whatever comes after it.
    if !is_end(seen) {
        seen.progress = progress(place);
        let since = seen.stuck.unwrap_or_else(Instant::now);
        seen.stuck = matches!(seen.progress, Progress::Stuck { .. }).then_some(since);
    }
}

fn is_end(seen: &Seen) -> bool {
    matches!(seen.progress, Progress::Done(_) | Progress::Failed(_))
}

/// Whether it is waited for no longer.
fn is_over(seen: &Seen, now: Instant) -> bool {
    is_end(seen) || seen.stuck.is_some_and(|since| since + PATIENCE <= now)
}

/// Says how it goes, whenever that is something else than before.
fn tell_of(place: &str, seen: &mut Seen) -> Result<()> {
    if matches!(seen.progress, Progress::Stuck { .. }) && seen.stuck.is_none() {
        seen.stuck = Some(Instant::now());
    }
    let text = match &seen.progress {
        Progress::Done(text) | Progress::Failed(text) => text.clone(),
        Progress::Waits(text) => text.clone().unwrap_or_else(|| "waiting".to_owned()),
        Progress::Stuck { reason, message } => format!("{reason}: {message}"),
    };
    if seen.told.as_ref() == Some(&text) {
        return Ok(());
    }
    match &seen.progress {
        Progress::Done(text) => print(&format!("{place}: {}\n", Tone::Good.paint(text)))?,
        Progress::Failed(_) | Progress::Stuck { .. } => tell(format_args!("{place}: {}", Tone::Bad.paint(&text))),
        Progress::Waits(_) => tell(format_args!("{place}: {}", Tone::Waits.paint(&text))),
    }
    seen.told = Some(text);
    Ok(())
}

/// All have come to an end, or wait for a person.
fn conclusion(all: &BTreeMap<String, Seen>) -> Result<()> {
    let mut failures = all.iter().filter_map(|(place, seen)| match &seen.progress {
        Progress::Done(_) => None,
        Progress::Failed(text) => Some((place, None, text.clone())),
        Progress::Waits(text) => Some((place, None, text.clone().unwrap_or_default())),
        Progress::Stuck { reason, message } => Some((place, Some(reason), format!("{reason}: {message}"))),
    });
    let Some((place, reason, text)) = failures.next() else { return Ok(()) };
    let more = failures.count();
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let failure = Failure::new(Code::Attention, format!("{place}: {text}{more}"));
    Err(match reason.and_then(|reason| remedy::of(reason)) {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    })
}

fn timed_out(all: &BTreeMap<String, Seen>, timeout: Duration) -> Result<()> {
    let late: Vec<_> = all.iter().filter(|(_, seen)| !is_end(seen)).map(|(place, _)| place.as_str()).collect();
    let message = format!("not done within {}s: {}", timeout.as_secs(), late.join(", "));
    Err(Failure::new(Code::Timeout, message)
        .remedy("it was asked for, and goes on; `kubectl shopify-token status` shows it"))
}
