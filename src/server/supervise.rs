//! Tasks that the server can't do without.

use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};

/// How long to wait before a task that panicked is started again.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs what `task` makes until it ends by itself. If it panics, it is made and run again. Aborting
/// the handle ends it.
pub(super) fn supervise<F>(
    name: &'static str,
    mut task: impl FnMut() -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            // Unlike a handle, a set ends its tasks when it is dropped.
            let mut running = JoinSet::new();
            running.spawn(task());
            match running.join_next().await {
                Some(Err(error)) if error.is_panic() => {
                    tracing::error!(task = name, error = %error, "the task panicked and is started again");
                }
                _ => return,
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again_until_it_ends_by_itself() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let task = supervise("test", move || {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(run == 2, "the first two runs fail") }
        });
        task.await.unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn aborting_ends_the_task_itself() {
        let (alive, mut gone) = mpsc::channel::<()>(1);
        let task = supervise("test", move || {
            let alive = alive.clone();
            async move {
                let _alive = alive;
                pending::<()>().await;
            }
        });
        task.abort();
        assert_eq!(gone.recv().await, None);
    }
}
