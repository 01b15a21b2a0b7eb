//! What a migration must not do, because the programs of the release before still run on the schema, and events are coming in.
//!
//! Looks at words, not at grammar: statements are told apart by their first words, and a kind that the rules do not know is a
//! finding too. A statement that is meant says so in the comment before it: `-- allowed: <rule>: <reason>`.

use std::collections::BTreeSet;
use std::fmt;

/// Tables of a few rows: reading all of one, or an index on it, takes no time. All others may be large.
const SMALL: [&str; 14] = [
    "api_keys",
    "backups",
    "campaign_totals",
    "campaigns",
    "catalog",
    "erasure_secrets",
    "features",
    "holds",
    "lanes",
    "layouts",
    "partitions",
    "removals",
    "segments",
    "workers",
];
/// Statements that are looked at by nothing else.
const HARMLESS: [&[&str]; 7] = [
    &["comment", "on"],
    &["create", "extension"],
    &["create", "function"],
    &["create", "sequence"],
    &["create", "type"],
    &["create", "view"],
    &["insert", "into"],
];

/// A rule that a statement breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name, for `-- allowed:`.
    pub rule: &'static str,
    /// The statement's first words.
    pub statement: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} …", self.rule, self.statement)
    }
}

/// One statement, as words in lower case and signs. Texts are one word, `'`.
#[derive(Debug, Default)]
struct Statement {
    words: Vec<String>,
    allowed: Vec<String>,
}

/// Everything in a migration that breaks a rule without saying why.
#[must_use]
pub fn findings(sql: &str) -> Vec<Finding> {
    let statements = statements(sql);
    let new: BTreeSet<&str> = statements.iter().filter_map(Statement::creates).collect();
    let mut findings = Vec::new();
    for statement in &statements {
        let broken = statement.broken(&new).into_iter().filter(|rule| !statement.allows(rule));
        let begin = statement.words.iter().take(8).cloned().collect::<Vec<_>>().join(" ");
        findings.extend(broken.map(|rule| Finding { rule, statement: begin.clone() }));
    }
    findings
}

impl Statement {
    fn begins(&self, words: &[&str]) -> bool {
        self.words.len() >= words.len() && self.words.iter().zip(words).all(|(have, want)| have == want)
    }

    fn allows(&self, rule: &str) -> bool {
        let reason = |line: &String| line.strip_prefix(rule)?.strip_prefix(':').map(str::trim).map(str::to_owned);
        self.allowed.iter().filter_map(reason).any(|reason| reason.len() > 10)
    }

    /// Where `words` stand one after the other.
    fn find<'a>(&'a self, words: &'a [&'a str]) -> impl Iterator<Item = usize> + 'a {
        (0..self.words.len()).filter(move |&at| {
            self.words.len() - at >= words.len() && self.words[at..].iter().zip(words).all(|(have, want)| have == want)
        })
    }

    fn has(&self, words: &[&str]) -> bool {
        self.find(words).next().is_some()
    }

    /// The name behind these words, but for `IF NOT EXISTS` and `ONLY`.
    fn name_after(&self, at: usize) -> Option<&str> {
        let small = ["if", "not", "exists", "only"];
        self.words.get(at..)?.iter().map(String::as_str).find(|word| !small.contains(word))
    }

    fn creates(&self) -> Option<&str> {
        if self.begins(&["create", "table"]) { self.name_after(2) } else { None }
    }

    fn broken(&self, new: &BTreeSet<&str>) -> Vec<&'static str> {
        let is_new = |table: Option<&str>| table.is_some_and(|table| new.contains(table));
        let is_small = |table: Option<&str>| table.is_some_and(|table| SMALL.contains(&table));
        if self.begins(&["create", "table"]) || HARMLESS.iter().any(|kind| self.begins(kind)) {
            return Vec::new();
        }
        if self.begins(&["create", "index"]) || self.begins(&["create", "unique", "index"]) {
            let table = self.find(&["on"]).next().and_then(|at| self.name_after(at + 1));
            return if is_new(table) || is_small(table) { Vec::new() } else { vec!["index-on-large-table"] };
        }
        if self.begins(&["create", "trigger"]) {
            return Vec::new();
        }
        if self.begins(&["alter", "table"]) {
            return if is_new(self.name_after(2)) { Vec::new() } else { self.broken_by_alter() };
        }
        if self.begins(&["update"]) || self.begins(&["delete", "from"]) {
            let table = self.name_after(if self.begins(&["update"]) { 1 } else { 2 });
            return if is_new(table) || is_small(table) { Vec::new() } else { vec!["rewrites-rows"] };
        }
        if self.begins(&["drop"]) || self.begins(&["truncate"]) {
            return vec!["removes"];
        }
        vec!["unknown-statement"]
    }

    fn broken_by_alter(&self) -> Vec<&'static str> {
        let mut broken = Vec::new();
        if self.has(&["drop"]) {
            broken.push("removes");
        }
        if self.has(&["rename"]) || self.has(&["set", "schema"]) {
            broken.push("renames");
        }
        if self.has(&["type"]) {
            broken.push("changes-type");
        }
        if self.has(&["set", "not", "null"]) {
            broken.push("refuses-rows");
        }
        for clause in self.clauses() {
            let has = |words: &[&str]| clause.windows(words.len()).any(|w| w.iter().zip(words).all(|(a, b)| a == b));
            let begins = |words: &[&str]| clause.len() >= words.len() && clause.iter().zip(words).all(|(a, b)| a == b);
            let constraint = ["constraint", "check", "foreign", "unique", "primary", "exclude"];
            let is_constraint =
                begins(&["add"]) && clause.get(1).is_some_and(|word| constraint.contains(&word.as_str()));
            if is_constraint && !has(&["not", "valid"]) {
                broken.push("checks-all-rows");
            }
            if begins(&["add"]) && !is_constraint {
                // A default that differs from row to row, or a stored expression, writes every row anew.
                let computed = has(&["generated"])
                    || (has(&["default"]) && has(&["("]) && !has(&["now", "("]) && !has(&["check"]));
                if computed {
                    broken.push("rewrites-rows");
                }
                if has(&["not", "null"]) && !has(&["default"]) && !has(&["generated"]) {
                    broken.push("refuses-rows");
                }
                if has(&["unique"]) || has(&["primary"]) {
                    broken.push("index-on-large-table");
                }
            }
        }
        broken
    }

    /// What an ALTER TABLE does, one by one.
    fn clauses(&self) -> Vec<&[String]> {
        let (mut clauses, mut depth, mut start) = (Vec::new(), 0, 3);
        for (at, word) in self.words.iter().enumerate() {
            match word.as_str() {
                "(" => depth += 1,
                ")" => depth -= 1,
                "," if depth == 0 => {
                    clauses.push(&self.words[start.min(at)..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        clauses.push(&self.words[start.min(self.words.len())..]);
        clauses
    }
}

/// Cuts a file into statements.
fn statements(sql: &str) -> Vec<Statement> {
    let (mut all, mut current, mut rest) = (Vec::new(), Statement::default(), sql);
    while let Some(sign) = rest.chars().next() {
        let taken = if rest.starts_with("--") {
            let line = rest.lines().next().unwrap_or_default();
            current
                .allowed
                .extend(line.trim_start_matches('-').trim().strip_prefix("allowed:").map(|l| l.trim().to_owned()));
            line.len()
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(end) = dollar_quoted(rest) {
            current.words.push("'".to_owned());
            end
        } else if sign == '\'' || sign == '"' {
            let end = quoted(rest, sign);
            current.words.push(if sign == '"' { rest[1..end - 1].to_owned() } else { "'".to_owned() });
            end
        } else if sign == ';' {
            all.push(std::mem::take(&mut current));
            1
        } else if sign.is_alphanumeric() || sign == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            current.words.push(rest[..end].to_lowercase());
            end
        } else {
            if !sign.is_whitespace() {
                current.words.push(sign.to_string());
            }
            sign.len_utf8()
        };
        rest = &rest[taken..];
    }
    all.push(current);
    all.retain(|statement| !statement.words.is_empty());
    all
}

/// Where `$tag$ … $tag$` ends.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = text.strip_prefix('$')?.find('$')? + 2;
    let tag = &text[..tag_end];
    let is_tag = tag[1..tag_end - 1].chars().all(|c| c.is_alphanumeric() || c == '_');
    let end = text[tag_end..].find(tag)? + 2 * tag_end;
    is_tag.then_some(end)
}

/// Where a quoted text ends; a doubled quote is none.
fn quoted(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(next) = text[at..].find(quote) {
        at += next + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(sql: &str) -> Vec<&'static str> {
        findings(sql).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn what_the_release_before_cannot_live_with_is_found() {
        for (sql, rule) in [
            ("DROP TABLE late_ids", "removes"),
            ("ALTER TABLE users DROP COLUMN traits", "removes"),
            ("ALTER TABLE users ADD COLUMN a int, DROP traits", "removes"),
            ("DROP INDEX events_user", "removes"),
            ("TRUNCATE matches", "removes"),
            ("ALTER TABLE users RENAME COLUMN traits TO t", "renames"),
            ("ALTER TABLE users RENAME TO people", "renames"),
            ("ALTER TABLE matches ALTER COLUMN campaign_version TYPE int", "changes-type"),
            ("ALTER TABLE users ALTER traits SET NOT NULL", "refuses-rows"),
            ("ALTER TABLE users ADD COLUMN born date NOT NULL", "refuses-rows"),
            ("ALTER TABLE users ADD born date NOT NULL", "refuses-rows"),
            ("ALTER TABLE users ADD COLUMN a int DEFAULT 1, ADD COLUMN b int NOT NULL", "refuses-rows"),
        ] {
            assert_eq!(rules(sql), [rule], "{sql}");
        }
    }

    #[test]
    fn what_stalls_events_is_found() {
        for (sql, rule) in [
            ("CREATE INDEX ON events (source)", "index-on-large-table"),
            ("CREATE UNIQUE INDEX IF NOT EXISTS u ON users (traits)", "index-on-large-table"),
            ("ALTER TABLE users ADD COLUMN k text UNIQUE", "index-on-large-table"),
            ("ALTER TABLE users ADD CHECK (id <> '')", "checks-all-rows"),
            ("ALTER TABLE matches ADD CONSTRAINT c FOREIGN KEY (campaign_id) REFERENCES campaigns", "checks-all-rows"),
            ("ALTER TABLE users ADD COLUMN k uuid DEFAULT gen_random_uuid()", "rewrites-rows"),
            ("ALTER TABLE users ADD COLUMN n bigint GENERATED ALWAYS AS IDENTITY", "rewrites-rows"),
            ("UPDATE users SET traits = '{}'", "rewrites-rows"),
            ("DELETE FROM matches", "rewrites-rows"),
            ("LOCK TABLE users", "unknown-statement"),
            ("DO $$ BEGIN PERFORM 1; END $$", "unknown-statement"),
            ("REINDEX TABLE events", "unknown-statement"),
        ] {
            assert_eq!(rules(sql), [rule], "{sql}");
        }
    }

    #[test]
    fn what_only_adds_is_fine() {
        let sql = r#"
            -- DROP TABLE users; is only a comment
            /* and ; so is TRUNCATE users */
            CREATE TABLE extra (id bigint PRIMARY KEY, note text NOT NULL DEFAULT 'a; DROP TABLE users');
            CREATE INDEX extra_note ON extra (note);
            ALTER TABLE extra ADD CHECK (note <> '');
            CREATE INDEX workers_lane ON workers (lane);
            ALTER TABLE users ADD COLUMN seen timestamptz NOT NULL DEFAULT now(), ADD COLUMN score int CHECK (score > 0);
            ALTER TABLE matches ADD CONSTRAINT known CHECK (campaign_id <> '') NOT VALID;
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN DELETE FROM users; RETURN NULL; END $body$;
            CREATE TRIGGER t BEFORE INSERT ON extra FOR EACH ROW EXECUTE FUNCTION f();
            INSERT INTO extra VALUES (1, 'it''s; TRUNCATE users');
            UPDATE lanes SET imbalance = 0"#;
        assert_eq!(findings(sql), []);
    }

    #[test]
    fn a_rule_may_be_broken_for_a_reason_that_is_given_and_only_that_rule() {
        let with = |comment: &str| rules(&format!("{comment}\nALTER TABLE users DROP COLUMN traits;"));
        assert_eq!(with("-- allowed: removes: nobody has read it since two releases ago"), [""; 0]);
        assert_eq!(with("-- allowed: removes:"), ["removes"]);
        assert_eq!(with("-- allowed: removes: ok"), ["removes"]);
        assert_eq!(with("-- allowed: renames: nobody has read it since two releases ago"), ["removes"]);
        let other = "-- allowed: removes: nobody has read it since two releases ago\nSELECT 1; DROP TABLE users";
        assert_eq!(rules(other), ["unknown-statement", "removes"]);
    }
}
