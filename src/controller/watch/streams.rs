//! A stream of events that can start over.

use futures::{
    Stream, StreamExt,
    stream::{BoxStream, unfold},
};
use tokio::sync::watch::Receiver;

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::stream;
    use tokio::{sync::watch, time::timeout};

    use super::*;

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
