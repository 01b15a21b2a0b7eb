//! Asynchronous work at the end of a value's life.

use std::future::Future;

/// Runs a future to its end from a `drop`, on a thread and runtime of its own: the test's runtime may be the one that is ending.
pub fn finish(work: impl Future<Output = ()> + Send + 'static) {
    let thread = std::thread::spawn(move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(work);
        }
    });
    let _ = thread.join();
}
