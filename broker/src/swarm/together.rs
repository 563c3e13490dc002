//! One question to the engine for all who ask the same at the same time.
//!
//! Keeps DESIGN §3 (every step asks again): whoever is answered came before the question was put. A thousand machines at
//! once would ask the same of the engine a thousand times, and none would be answered in time. Must not keep an answer
//! for who comes later.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// Who asks, by what they ask.
pub(super) struct Together<T>(Mutex<HashMap<String, Slot<T>>>);

struct Slot<T> {
    /// Held while the question is put: the next one waits for its answer, and gathers askers meanwhile.
    turn: Turn,
    /// Those whose question is not put yet.
    open: Option<Group<T>>,
    /// All who ask it, whichever answer they wait for.
    askers: usize,
}

type Turn = Arc<tokio::sync::Mutex<()>>;
type Group<T> = Arc<OnceCell<T>>;

impl<T> Default for Together<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Together<T> {
    /// The answer to a question that is put after this call, by this caller or by another one.
    pub(super) async fn ask<F: Future<Output = T>>(&self, what: &str, put: impl FnOnce() -> F) -> T {
        let asker = self.enter(what);
        let answer = asker.group.get_or_init(|| async {
            let _turn = asker.turn.lock().await;
            asker.close();
            put().await
        });
        answer.await.clone()
    }

    fn enter<'t>(&'t self, what: &'t str) -> Asker<'t, T> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot =
            slots.entry(what.to_owned()).or_insert_with(|| Slot { turn: Turn::default(), open: None, askers: 0 });
        slot.askers += 1;
        let group = slot.open.get_or_insert_default().clone();
        Asker { together: self, what, turn: slot.turn.clone(), group }
    }
}

/// One who asks. When the last one is gone, answered or not, nothing is left of the question.
struct Asker<'t, T> {
    together: &'t Together<T>,
    what: &'t str,
    turn: Turn,
    group: Group<T>,
}

impl<T> Asker<'_, T> {
    /// From here on nobody joins this group. It may be closed already: by one who went away while it asked.
    fn close(&self) {
        let mut slots = self.together.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(self.what) {
            slot.open.take_if(|open| Arc::ptr_eq(open, &self.group));
        }
    }
}

impl<T> Drop for Asker<'_, T> {
    fn drop(&mut self) {
        let mut slots = self.together.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(self.what) {
            slot.askers -= 1;
            if slot.askers == 0 {
                slots.remove(self.what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::task::JoinSet;

    use super::*;

    /// Answers with the number of questions so far, this one included.
    #[derive(Default)]
    struct Engine {
        together: Together<usize>,
        put: AtomicUsize,
    }

    impl Engine {
        async fn ask(&self, what: &str) -> usize {
            let put = || async {
                let number = self.put.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
                number
            };
            self.together.ask(what, put).await
        }

        fn is_empty(&self) -> bool {
            self.together.0.lock().expect("no panic").is_empty()
        }
    }

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(future)
    }

    #[test]
    fn a_hundred_who_ask_the_same_at_once_cost_two_questions() {
        run(async {
            let engine = Arc::new(Engine::default());
            let mut asking = JoinSet::new();
            for number in 0..100 {
                let engine = engine.clone();
                asking.spawn(async move { engine.ask(if number < 50 { "one" } else { "other" }).await });
            }
            assert_eq!(asking.join_all().await.len(), 100);
            assert_eq!(
                engine.put.load(Ordering::SeqCst),
                4,
                "of each: the first one's, and one for all that came meanwhile"
            );
            assert!(engine.is_empty(), "nothing is kept");
        });
    }

    #[test]
    fn who_comes_while_a_question_is_out_gets_the_answer_to_the_next() {
        run(async {
            let engine = Arc::new(Engine::default());
            let ask = || {
                let engine = engine.clone();
                tokio::spawn(async move { engine.ask("one").await })
            };
            let first = ask();
            while engine.put.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let (second, third) = (ask(), ask());
            let answers = (first.await, second.await, third.await);
            assert_eq!((answers.0.ok(), answers.1.ok(), answers.2.ok()), (Some(1), Some(2), Some(2)));
            assert_eq!(engine.ask("one").await, 3, "an answer is not kept");
        });
    }

    #[test]
    fn one_who_goes_away_while_it_asks_leaves_nobody_without_an_answer() {
        run(async {
            let engine = Arc::new(Engine::default());
            let ask = || {
                let engine = engine.clone();
                tokio::spawn(async move { engine.ask("one").await })
            };
            let (first, second) = (ask(), ask());
            while engine.put.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            first.abort();
            assert_eq!(second.await.ok(), Some(2), "it asks by itself");
            assert!(engine.is_empty());
        });
    }
}
