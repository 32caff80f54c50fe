//! What streams of events go through: a watch that can start over, and a pause in which those of one object are one.

use std::{collections::HashSet, hash::Hash, time::Duration};

use futures::{
    Stream, StreamExt,
    future::poll_fn,
    stream::{BoxStream, unfold},
};
use tokio::sync::watch::Receiver;
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

/// Each event after a pause, and equal ones within the pause once. No number of events makes one wait longer.
pub(in crate::controller) fn debounced<T>(
    events: impl Stream<Item = T> + Send + 'static,
    pause: Duration,
) -> impl Stream<Item = T> + Send
where
    T: Clone + Eq + Hash + Send + 'static,
{
    let state = (events.boxed(), DelayQueue::new(), HashSet::new());
    unfold(state, move |(mut events, mut queue, mut waiting)| async move {
        loop {
            tokio::select! {
                event = events.next() => {
                    let event: T = event?;
                    if waiting.insert(event.clone()) {
                        queue.insert(event, pause);
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
        time::{Instant, advance, timeout},
    };

    use super::*;
    use crate::controller::watch::stream as received;

    const PAUSE: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn no_number_of_events_makes_one_wait_longer() {
        let (send, receive) = mpsc::unbounded_channel();
        let mut debounced = Box::pin(debounced(received(receive), PAUSE));
        let began = Instant::now();
        let feed = async {
            for _ in 0..100 {
                send.send("a").unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let count = async {
            let mut count = 0;
            while timeout(Duration::from_millis(200), debounced.next()).await.is_ok() {
                count += 1;
                assert!(began.elapsed() >= PAUSE);
            }
            count
        };
        let ((), count) = tokio::join!(feed, count);
        assert!((15..=20).contains(&count), "{count} in a second");
    }

    #[tokio::test(start_paused = true)]
    async fn equal_events_are_one_and_others_are_not() {
        let (send, receive) = mpsc::unbounded_channel();
        let mut debounced = Box::pin(debounced(received(receive), PAUSE));
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
