//! What was seen a moment ago, for those who ask again and again: one look a second, however many ask.
//!
//! For who waits: people, and a node that asks for the end of its tasks. Must not serve any other decision: those read what
//! is now. A value is as old as its making's begin, so that whoever waits for [`AGE`](Recent::AGE) first is shown what came after.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::{Look, look};
use crate::broker::Broker;
use crate::denial::Denial;

/// A value that is made anew when it is older than a second.
pub(crate) struct Recent<T>(tokio::sync::Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(tokio::sync::Mutex::new(None))
    }
}

impl<T> Recent<T> {
    /// A little less than the second after which a reader asks again, so that nobody is shown one thing twice.
    pub(crate) const AGE: Duration = Duration::from_millis(900);

    /// The value as it was at most a moment before `now`. Who asks while it is made waits for it.
    pub(crate) async fn get<E>(&self, now: Instant, make: impl Future<Output = Result<T, E>>) -> Result<Arc<T>, E> {
        let mut kept = self.0.lock().await;
        if let Some((at, value)) = &*kept
            && now.saturating_duration_since(*at) < Self::AGE
        {
            return Ok(value.clone());
        }
        let began = Instant::now();
        let value = Arc::new(make.await?);
        *kept = Some((began, value.clone()));
        Ok(value)
    }
}

/// The nodes and invites as they were at most a second ago.
pub(crate) async fn recent(broker: &Broker) -> Result<Arc<Look>, Denial> {
    broker.looks.get(Instant::now(), look(broker)).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_took_long_to_make_is_as_old_as_its_begin() {
        let (recent, began) = (Recent::default(), Instant::now());
        let slow = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, ()>(1)
        };
        assert_eq!(recent.get(began, slow).await.as_deref(), Ok(&1));
        // Of something that happened right after it began.
        let later = began + Duration::from_millis(10) + Recent::<u32>::AGE;
        assert_eq!(recent.get(later, async { Ok::<_, ()>(2) }).await.as_deref(), Ok(&2));
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cost_one_look() {
        let (recent, looks) = (Recent::default(), AtomicU32::new(0));
        let look = || async { Ok::<_, ()>(looks.fetch_add(1, Ordering::Relaxed)) };
        let now = Instant::now();
        for _ in 0..100 {
            assert_eq!(recent.get(now, look()).await.as_deref(), Ok(&0));
        }
        let later = Instant::now() + Recent::<u32>::AGE;
        assert_eq!(recent.get(later, look()).await.as_deref(), Ok(&1), "a second later it is another");
        let failed = recent.get(later + Duration::from_secs(2), async { Err(()) }).await;
        assert_eq!(failed, Err(()), "a failure is told, and what was seen before it is not");
        assert_eq!(recent.get(later + Duration::from_secs(2), look()).await.as_deref(), Ok(&2));
    }
}
