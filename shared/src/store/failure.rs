//! Counts failures of the database by class, so that an operator sees whether it is away, full, slow, or asked something wrong.
//!
//! What a flush does about a failure is the worker's decision (`worker/src/flush/sqlstate.rs`); this only names and counts.

use std::error::Error;
use std::sync::OnceLock;

use metrics::counter;

use super::connection::sqlstate;

/// Every class. By SQLSTATE: `data` 21, 22; `constraint` 23; `conflict` 40 (deadlock, a standby that had to go on); `statement` 0A, 42
/// (our fault, or a role that may not); `resources` 53, 54 (disk or connections used up); `lock` 55; `operator` 57 (shut down, or a
/// statement that took too long); `system` 58, XX; `connection` 08, 28, and everything below SQL; `other`.
pub const CLASSES: [&str; 10] =
    ["connection", "conflict", "constraint", "data", "lock", "operator", "other", "resources", "statement", "system"];

static METRIC: OnceLock<&'static str> = OnceLock::new();

/// Starts counting under this name, each class at zero. Call once, after the recorder is installed.
pub fn count_as(metric: &'static str) {
    METRIC.get_or_init(|| metric);
    for class in CLASSES {
        counter!(metric, "class" => class).increment(0);
    }
}

/// Counts a failure.
pub fn count(error: &sqlx::Error) {
    if let Some(metric) = METRIC.get() {
        counter!(*metric, "class" => class(error)).increment(1);
    }
}

/// Counts the failure of the database behind another error, if there is one.
pub fn count_behind(error: &(dyn Error + 'static)) {
    let mut error = Some(error);
    while let Some(this) = error {
        if let Some(failure) = this.downcast_ref() {
            return count(failure);
        }
        error = this.source();
    }
}

/// The class of a failure, one of [`CLASSES`].
#[must_use]
pub fn class(error: &sqlx::Error) -> &'static str {
    let Some(state) = sqlstate(error) else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => "connection",
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => "connection",
            _ => "other",
        };
    };
    match state.get(..2).unwrap_or_default() {
        "08" | "28" => "connection",
        "21" | "22" => "data",
        "23" => "constraint",
        "40" => "conflict",
        "0A" | "42" => "statement",
        "53" | "54" => "resources",
        "55" => "lock",
        "57" => "operator",
        "58" | "XX" => "system",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the job failed")]
    struct Outer(#[source] sqlx::Error);

    #[test]
    fn what_is_below_sql_is_the_connections_fault() {
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())] {
            assert_eq!(class(&error), "connection");
        }
        assert_eq!(class(&sqlx::Error::RowNotFound), "other");
    }

    #[test]
    fn a_failure_is_found_behind_others() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            count_as("test_database_errors_total");
            count_behind(&Outer(sqlx::Error::PoolTimedOut));
            count_behind(&std::fmt::Error);
        });
        let page = page.render();
        assert!(page.contains("test_database_errors_total{class=\"connection\"} 1"), "{page}");
        assert!(page.contains("test_database_errors_total{class=\"lock\"} 0"), "{page}");
    }
}
