//! Points in the programs at which a fault test makes them die, stop or misbehave.
//!
//! Only in builds with the feature `failpoints`, which tests turn on; in all others a point is an empty function, and an optimised
//! build with the feature does not compile. `FAILPOINTS` names what happens: `point=action@n`, several with commas. From the n-th
//! time that the point is reached on: `die` ends the process at once, as kill -9 does; `stop` stops it as SIGSTOP does, the n-th
//! time only; `on` is for points that change what the program does.
//!
//! | point | where |
//! |---|---|
//! | `ingest::acknowledged` | the stream has acknowledged a message, its requests are not answered |
//! | `worker::before_commit` | in the transaction of a flush, when everything is written |
//! | `worker::committed` | right after its COMMIT |
//! | `repartition::planned`, `made`, `sealed`, `ended`, `processed`, `taken`, `opening`, `opened`, `cleared` | between the steps of `worker repartition` |
//! | `worker::positions_first` | `on`: positions are committed before their effects, which is wrong and must be seen |

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("the feature `failpoints` is for tests: an optimised build must not have it");

#[cfg(feature = "failpoints")]
pub use armed::{is_on, reach};

/// Does nothing in this build.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub const fn reach(_point: &str) {}

/// Never, in this build.
#[cfg(not(feature = "failpoints"))]
#[inline]
#[must_use]
pub const fn is_on(_point: &str) -> bool {
    false
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::process::Command;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Point {
        name: String,
        action: String,
        from: u64,
        reached: AtomicU64,
    }

    static POINTS: LazyLock<Vec<Point>> = LazyLock::new(|| {
        let asked = std::env::var("FAILPOINTS").unwrap_or_default();
        asked.split(',').filter_map(parse).collect()
    });

    fn parse(text: &str) -> Option<Point> {
        let (name, action) = text.trim().split_once('=')?;
        let (action, from) = action.split_once('@').unwrap_or((action, "1"));
        let from = from.parse().ok()?;
        Some(Point { name: name.to_owned(), action: action.to_owned(), from, reached: AtomicU64::new(0) })
    }

    /// The program is at this point now.
    pub fn reach(point: &str) {
        for armed in POINTS.iter().filter(|p| p.name == point) {
            let times = armed.reached.fetch_add(1, Ordering::Relaxed) + 1;
            match armed.action.as_str() {
                "die" if times >= armed.from => signal("KILL"),
                "stop" if times == armed.from => signal("STOP"),
                _ => {}
            }
        }
    }

    /// Is this point to change what the program does, from now on?
    pub fn is_on(point: &str) -> bool {
        let is_on = |armed: &Point| {
            armed.name == point
                && armed.action == "on"
                && armed.reached.fetch_add(1, Ordering::Relaxed) + 1 >= armed.from
        };
        POINTS.iter().any(is_on)
    }

    /// To ourselves. By the command, because this crate forbids what a signal by our own hand would take.
    fn signal(name: &str) {
        let _ = Command::new("kill").args([&format!("-{name}"), &std::process::id().to_string()]).status();
    }
}
