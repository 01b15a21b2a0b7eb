//! How PostgreSQL went about the statements of our programs: the plans that its module `auto_explain` writes into the server's log, as
//! they were executed.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::PgPool;

use crate::services::PrivatePostgres;

/// Lets every session of a database that begins from now on write its plans.
///
/// # Panics
/// When the server has no `auto_explain`.
pub async fn explain_all(pool: &PgPool) {
    let statements = [
        "LOAD 'auto_explain'",
        "DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = auto_explain', current_database());
            EXECUTE format('ALTER DATABASE %I SET auto_explain.log_min_duration = 0', current_database());
            EXECUTE format('ALTER DATABASE %I SET auto_explain.log_analyze = on', current_database());
            EXECUTE format('ALTER DATABASE %I SET auto_explain.log_timing = off', current_database());
            EXECUTE format('ALTER DATABASE %I SET auto_explain.log_format = json', current_database());
         END $$",
    ];
    for statement in statements {
        sqlx::query(statement).execute(pool).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}

/// One statement as it was executed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The statement.
    pub text: String,
    /// Tables and partitions that something was looked for in.
    pub tables: BTreeSet<String>,
    /// Rows of them that were looked at, whether they were wanted or not.
    pub rows: u64,
}

/// The plans of statements of the sessions called `application` that were logged behind the first `from` bytes.
#[must_use]
pub fn logged(postgres: &PrivatePostgres, application: &str, from: usize) -> Vec<Plan> {
    let log = postgres.log();
    read(log.get(from..).unwrap_or_default(), application)
}

fn read(log: &str, application: &str) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut lines = log.lines().peekable();
    let ours = format!("] {application} LOG:");
    while let Some(line) = lines.next() {
        if !line.contains(&ours) || !line.ends_with("plan:") {
            continue;
        }
        let mut json = String::new();
        while let Some(more) = lines.next_if(|line| line.starts_with('\t')) {
            json.push_str(more);
        }
        let Ok(explained) = serde_json::from_str::<Value>(&json) else { continue };
        let mut plan = Plan {
            text: explained["Query Text"].as_str().unwrap_or_default().to_owned(),
            tables: BTreeSet::new(),
            rows: 0,
        };
        visit(&explained["Plan"], &mut plan);
        plans.push(plan);
    }
    plans
}

fn visit(node: &Value, plan: &mut Plan) {
    let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
    if let Some(table) = node["Relation Name"].as_str().filter(|_| number("Actual Loops") > 0.0) {
        plan.tables.insert(table.to_owned());
        let each = number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let rows = (each * number("Actual Loops")) as u64;
        plan.rows += rows;
    }
    node["Plans"].as_array().into_iter().flatten().for_each(|child| visit(child, plan));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_executed_does_not_count() {
        let log = "2026-11-23 [1] other LOG:  duration: 1 ms  plan:\n\t{}\n\
                   2026-11-23 [2] ingest LOG:  duration: 0.1 ms  plan:\n\
                   \t{\"Query Text\": \"SELECT 1\", \"Plan\": {\"Node Type\": \"Append\", \"Actual Loops\": 1, \"Plans\": [\n\
                   \t {\"Relation Name\": \"a\", \"Actual Loops\": 2, \"Actual Rows\": 3, \"Rows Removed by Filter\": 4},\n\
                   \t {\"Relation Name\": \"b\", \"Actual Loops\": 0, \"Actual Rows\": 0}]}}\n\
                   2026-11-23 [2] ingest LOG:  something else\n";
        let plans = read(log, "ingest");
        assert_eq!(plans.len(), 1);
        assert_eq!((plans[0].text.as_str(), plans[0].rows), ("SELECT 1", 14));
        assert_eq!(plans[0].tables.iter().collect::<Vec<_>>(), ["a"]);
    }
}
