//! What runs side by side for as long as the broker serves: the listener, the keeper, the admin socket and others.
//!
//! Keeps a broker from staying up without one of them: it would look alive, and admit nobody.
//! Must not end a part that is to finish what it has begun.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio::task::{JoinError, JoinHandle};

use crate::exit::{Code, Failure};

/// The parts, each under the name that an operator reads. Those that are left when this is dropped are ended.
#[derive(Default)]
pub(super) struct Parts(Vec<(&'static str, JoinHandle<()>)>);

impl Parts {
    pub(super) fn add(&mut self, name: &'static str, part: JoinHandle<()>) {
        self.0.push((name, part));
    }

    /// Waits until a part has ended by itself, which none does, and gives that as a failure of the broker.
    pub(super) async fn one_has_ended(&mut self) -> Failure {
        let (name, how) = poll_fn(|context| {
            for at in 0..self.0.len() {
                if let Poll::Ready(how) = Pin::new(&mut self.0[at].1).poll(context) {
                    // It has given its result, and must not be asked again.
                    return Poll::Ready((self.0.swap_remove(at).0, how));
                }
            }
            Poll::Pending
        })
        .await;
        failure(name, how)
    }

    /// Waits for a part that was told to stop; not at all for one that is gone.
    pub(super) async fn finish(&mut self, name: &str) {
        if let Some(at) = self.0.iter().position(|(part, _)| *part == name) {
            let (_, part) = self.0.swap_remove(at);
            let _ = part.await;
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for (_, part) in &self.0 {
            part.abort();
        }
    }
}

fn failure(name: &str, how: Result<(), JoinError>) -> Failure {
    let how = match how {
        Ok(()) => "ended".to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!(
        "{name} stopped by itself ({how}), so this broker can serve no more. That is a fault of the broker: keep its log, \
         and start it again"
    );
    Failure::new(Code::Internal, message)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::*;

    async fn told(parts: &mut Parts) -> Option<String> {
        tokio::time::timeout(Duration::from_millis(200), parts.one_has_ended()).await.ok().map(|told| told.to_string())
    }

    #[tokio::test]
    async fn a_part_that_panics_or_ends_is_a_failure_that_names_it() {
        let mut parts = Parts::default();
        parts.add("the keeper", tokio::spawn(pending()));
        assert_eq!(told(&mut parts).await, None, "all run");
        parts.add("the listener", tokio::spawn(async { panic!("out of luck") }));
        let panicked = told(&mut parts).await.expect("a failure");
        assert!(panicked.starts_with("the listener stopped") && panicked.contains("out of luck"), "{panicked}");
        parts.add("the admin socket", tokio::spawn(async {}));
        let ended = told(&mut parts).await.expect("a failure");
        assert!(ended.starts_with("the admin socket stopped by itself (ended)"), "{ended}");
        assert_eq!(told(&mut parts).await, None, "the keeper runs still");
    }

    #[tokio::test]
    async fn what_is_to_finish_finishes_and_the_rest_is_ended() {
        let (say, mut said) = tokio::sync::mpsc::channel::<&str>(2);
        let mut parts = Parts::default();
        let last = say.clone();
        parts.add(
            "the keeper",
            tokio::spawn(async move {
                pending::<()>().await;
                drop(say);
            }),
        );
        parts.add(
            "the listener",
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                last.send("finished").await.expect("somebody listens");
            }),
        );
        parts.finish("the listener").await;
        parts.finish("the listener").await;
        assert_eq!(said.try_recv(), Ok("finished"));
        drop(parts);
        assert_eq!(said.recv().await, None, "the keeper is gone, and its sender with it");
    }
}
