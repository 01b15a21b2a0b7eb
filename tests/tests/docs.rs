//! The documents say what the code says. A failure prints what should stand there.

use std::fs;

use shared::domain::reported::{CAMPAIGN_KEYS, NAMES};
use shared::runtime::settings::{Setting, pipeline};
use tests::services::root;

fn document(name: &str) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn groups() -> [(&'static str, Vec<&'static Setting>); 3] {
    [
        ("Both programs", pipeline::ALL.to_vec()),
        ("ingest", ingest::settings::ALL.to_vec()),
        ("worker", worker::settings::ALL.to_vec()),
    ]
}

#[test]
fn the_readme_lists_exactly_the_settings_of_the_code() {
    let readme = document("README.md");
    for (title, settings) in groups() {
        let rows = settings.iter().map(|s| {
            let default = match s.default {
                None => "required".to_owned(),
                Some("") => String::new(),
                Some(default) => format!("`{default}`"),
            };
            format!("| `{}` | {default} | {} |\n", s.name, s.meaning)
        });
        let table = format!("| {title} | default | |\n|---|---|---|\n{}\n", rows.collect::<String>());
        assert!(readme.contains(&table), "the README's settings should hold this table:\n{table}");
    }
}

#[test]
fn the_readme_lists_exactly_the_metrics_of_the_code() {
    let readme = document("README.md");
    let rows = ingest::metrics::ALL
        .into_iter()
        .chain(worker::metrics::ALL)
        .map(|(name, kind, meaning)| format!("| `{name}` | {kind} | {meaning} |\n"));
    let table = format!("| metric | kind | |\n|---|---|---|\n{}\n", rows.collect::<String>());
    assert!(readme.contains(&table), "the README's metrics should be this table:\n{table}");
}

#[test]
fn the_example_file_holds_every_setting_with_its_default() {
    let mut expected =
        "# Every setting with its default. Copy to .env, or set them in the environment of the programs.\n\
         # A line without a comment sign must be set; the others show the default.\n"
            .to_owned();
    for (title, settings) in groups() {
        expected += &format!("\n# ---- {title} ----\n");
        for s in settings {
            expected += &match s.default {
                None => format!("\n# {}\n{}=\n", s.meaning, s.name),
                Some(default) => format!("\n# {}\n# {}={default}\n", s.meaning, s.name),
            };
        }
    }
    assert_eq!(document(".env.example"), expected, ".env.example should be:\n{expected}");
}

#[test]
fn no_setting_is_declared_twice() {
    let mut names: Vec<&str> = groups().iter().flat_map(|(_, settings)| settings).map(|setting| setting.name).collect();
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before);
}

#[test]
fn the_names_that_apps_report_with_are_in_the_table() {
    let text = document("deploy/ANALYTICS.md");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    for name in NAMES {
        let without = if name.needs_campaign { "does not" } else { "counts" };
        let row = rows.iter().find(|row| row.get(1) == Some(&format!("`{}`", name.event).as_str()));
        let row = row.unwrap_or_else(|| panic!("deploy/ANALYTICS.md has no row of {}", name.event));
        assert_eq!(row[2..4], [name.counts_as.as_str(), without], "{}", name.event);
    }
    assert_eq!(rows.iter().filter(|row| row.len() == 6).count(), NAMES.len() + 2, "a name that the code does not know");
    let keys = CAMPAIGN_KEYS.map(|key| format!("`{key}`")).join(", ");
    let keys = keys.replacen(", `nudgeId`", " or `nudgeId`", 1);
    assert!(text.contains(&keys), "deploy/ANALYTICS.md should say: {keys}");
}

/// Words in backticks of the form `suite::test_name`.
fn named_tests(text: &str) -> Vec<(String, String)> {
    let is_name =
        |part: &str| part.len() > 3 && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let pair = |word: &str| word.split_once("::").map(|(suite, test)| (suite.to_owned(), test.to_owned()));
    let words = text.split('`').skip(1).step_by(2);
    words.filter_map(pair).filter(|(suite, test)| is_name(suite) && is_name(test)).collect()
}

#[test]
fn every_test_that_a_document_names_exists() {
    for file in [
        "README.md",
        "tests/README.md",
        "deploy/README.md",
        "deploy/SECURITY.md",
        "deploy/PRIVACY.md",
        "deploy/BOUNDS.md",
        "deploy/RETENTION.md",
        "deploy/ANALYTICS.md",
    ] {
        for (suite, test) in named_tests(&document(file)) {
            let code = document(&format!("tests/tests/{suite}.rs"));
            assert!(code.contains(&format!("fn {test}(")), "{file} names {suite}::{test}, which does not exist");
        }
    }
}

/// Of a table of bounds: each constant with its file, and each setting.
#[test]
fn every_bound_of_the_table_is_in_the_code() {
    let settings: Vec<&str> = groups().into_iter().flat_map(|(_, group)| group).map(|setting| setting.name).collect();
    let (mut constants, mut named) = (0, 0);
    for row in document("deploy/BOUNDS.md").lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let Some(place) = cells.get(2).filter(|_| cells[0] != "| what") else { continue };
        let mut code = None;
        for word in place.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                code = Some((word, document(word)));
            } else if let Some((name, value)) = word.split_once(" = ") {
                let (file, code) = code.as_ref().unwrap_or_else(|| panic!("{word} stands behind no file"));
                let is_it =
                    |line: &str| line.contains(&format!("const {name}: ")) && line.ends_with(&format!(" = {value};"));
                assert!(code.lines().any(is_it), "{file} has no {word}");
                constants += 1;
            } else if word.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                assert!(settings.contains(&word), "{word} is no setting");
                named += 1;
            } else if let Some((file, code)) = &code {
                assert!(code.contains(word), "{file} has no {word}");
            }
        }
    }
    assert!(constants > 30 && named > 5, "the table was not read: {constants} constants, {named} settings");
}

#[test]
fn the_name_of_a_test_is_told_from_other_words() {
    let found = named_tests("see `flow::one_row` and `metrics::ALL`, `a::b`, `plain`, `http::all_of_them`");
    let found: Vec<_> = found.iter().map(|(suite, test)| format!("{suite} {test}")).collect();
    assert_eq!(found, ["flow one_row", "http all_of_them"]);
}
