//! What streams of events go through: a watch that can start over, and a pause in which those of one object are one.

use std::{collections::HashMap, hash::Hash, time::Duration};

use futures::{
    Stream, StreamExt,
    future::poll_fn,
    stream::{BoxStream, unfold},
};
use tokio::{sync::watch::Receiver, time::Instant};
use tokio_util::time::DelayQueue;

/// A stream that is made anew each time `restarts` changes.
pub(in crate::controller) fn restarting<T: Send + 'static>(
    make: impl Fn() -> BoxStream<'static, T> + Send + 'static,
    restarts: Receiver<u64>,
) -> impl Stream<Item = T> + Send {
    unfold((make(), make, restarts), |(mut current, make, mut restarts)| async move {
        loop {
            tokio::select! {
                item = current.next() => return item.map(|item| (item, (current, make, restarts))),
                Ok(()) = restarts.changed() => current = make(),
            }
        }
    })
}

/// Each event after a pause in which no equal one came, and equal ones before that once. No number of events makes one
/// wait longer than `bound`.
pub(in crate::controller) fn debounced<T>(
    events: impl Stream<Item = T> + Send + 'static,
    pause: Duration,
    bound: Duration,
) -> impl Stream<Item = T> + Send
where
    T: Clone + Eq + Hash + Send + 'static,
{
    let state = (events.boxed(), DelayQueue::new(), HashMap::new());
    unfold(state, move |(mut events, mut queue, mut waiting)| async move {
        loop {
            tokio::select! {
                event = events.next() => {
                    let event: T = event?;
                    let now = Instant::now();
                    if let Some((key, latest)) = waiting.get(&event) {
                        queue.reset_at(key, (now + pause).min(*latest));
                    } else {
                        let key = queue.insert_at(event.clone(), now + pause);
                        waiting.insert(event, (key, now + bound));
                    }
                }
                Some(due) = poll_fn(|context| queue.poll_expired(context)), if !queue.is_empty() => {
                    let event = due.into_inner();
                    waiting.remove(&event);
                    return Some((event, (events, queue, waiting)));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use tokio::{
        sync::{mpsc, watch},
        time::{advance, timeout},
    };

    use super::*;
    use crate::controller::watch::stream as received;

    const PAUSE: Duration = Duration::from_millis(50);
    const BOUND: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn no_number_of_events_makes_one_wait_longer() {
        let (send, receive) = mpsc::unbounded_channel();
        let mut debounced = Box::pin(debounced(received(receive), PAUSE, BOUND));
        let began = Instant::now();
        let feed = async {
            for _ in 0..100 {
                send.send("a").unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let times = async {
            let mut times = Vec::new();
            while timeout(Duration::from_millis(600), debounced.next()).await.is_ok() {
                times.push(began.elapsed().as_millis());
            }
            times
        };
        let ((), times) = tokio::join!(feed, times);
        // Twice in a second of events, and once they have ended.
        assert!(
            matches!(times[..], [500..=520, 1_000..=1_060] | [500..=520, 1_000..=1_030, 1_040..=1_090]),
            "{times:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn equal_events_are_one_and_others_are_not() {
        let (send, receive) = mpsc::unbounded_channel();
        let mut debounced = Box::pin(debounced(received(receive), PAUSE, BOUND));
        for event in ["a", "b", "a", "a"] {
            send.send(event).unwrap();
        }
        assert!(timeout(Duration::from_millis(49), debounced.next()).await.is_err());
        advance(Duration::from_millis(2)).await;
        let mut both = [debounced.next().await.unwrap(), debounced.next().await.unwrap()];
        both.sort_unstable();
        assert_eq!(both, ["a", "b"]);
        assert!(timeout(Duration::from_secs(1), debounced.next()).await.is_err());
        send.send("a").unwrap();
        assert_eq!(debounced.next().await, Some("a"));
        drop(send);
        assert_eq!(debounced.next().await, None);
    }

    #[tokio::test]
    async fn a_stream_starts_over_when_told() {
        let (tell, told) = watch::channel(0);
        let make = || stream::iter([1, 2]).chain(stream::pending()).boxed();
        let mut numbers = Box::pin(restarting(make, told));
        assert_eq!((numbers.next().await, numbers.next().await), (Some(1), Some(2)));
        assert!(timeout(Duration::from_millis(20), numbers.next()).await.is_err());
        tell.send_modify(|count| *count += 1);
        assert_eq!((numbers.next().await, numbers.next().await), (Some(1), Some(2)));
    }
}
