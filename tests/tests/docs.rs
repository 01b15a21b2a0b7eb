//! The documents say what the code says.
//!
//! `EC_UPDATE_DOCS=1 cargo test -p tests --test docs` writes the README's tables and `.env.example` anew, from the code.

use std::fs;
use std::path::PathBuf;

use shared::runtime::settings::{Setting, pipeline};
use tests::services::root;

fn updating() -> bool {
    std::env::var_os("EC_UPDATE_DOCS").is_some()
}

/// Every setting with who reads it.
fn settings() -> Vec<(&'static Setting, &'static str)> {
    let both = pipeline::ALL.into_iter().map(|setting| (setting, "both"));
    let ingest = ingest::settings::ALL.into_iter().map(|setting| (setting, "ingest"));
    let worker = worker::settings::ALL.into_iter().map(|setting| (setting, "worker"));
    both.chain(ingest).chain(worker).collect()
}

fn settings_table() -> String {
    let mut table = "| setting | default | read by | meaning |\n|---|---|---|---|\n".to_owned();
    for (setting, reader) in settings() {
        let default = match setting.default {
            None => "required".to_owned(),
            Some("") => "none".to_owned(),
            Some(default) => format!("`{default}`"),
        };
        table.push_str(&format!("| `{}` | {default} | {reader} | {} |\n", setting.name, setting.meaning));
    }
    table
}

fn env_example() -> String {
    let mut text =
        "# Every setting, with its default. Copy what you change; the README has the same list as a table.\n\
                    # Made from the code: EC_UPDATE_DOCS=1 cargo test -p tests --test docs\n"
            .to_owned();
    for (setting, reader) in settings() {
        let reader = if reader == "both" { "both programs" } else { reader };
        let line = match setting.default {
            None => format!("{}=", setting.name),
            Some(default) => format!("# {}={default}", setting.name),
        };
        text.push_str(&format!("\n# {} ({reader})\n{line}\n", setting.meaning));
    }
    text
}

fn metrics_table() -> String {
    let mut table = "| metric | kind | meaning |\n|---|---|---|\n".to_owned();
    for metric in &ingest::metrics::ALL {
        table.push_str(&format!("| `{}` | {} | {} |\n", metric.name, metric.kind, metric.meaning));
    }
    for (name, kind, meaning) in worker::metrics::ALL {
        table.push_str(&format!("| `{name}` | {kind} | {meaning} |\n"));
    }
    table
}

fn readme() -> (PathBuf, String) {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

/// Compares (or writes) what stands in the README between `<!-- name -->` and `<!-- /name -->`.
fn assert_section(name: &str, wanted: &str) {
    let (path, text) = readme();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let start = text.find(&begin).unwrap_or_else(|| panic!("README.md has no {begin}")) + begin.len();
    let length = text[start..].find(&end).unwrap_or_else(|| panic!("README.md has no {end}"));
    if updating() {
        fs::write(path, format!("{}{wanted}{}", &text[..start], &text[start + length..])).unwrap();
        return;
    }
    assert!(
        text[start..start + length] == *wanted,
        "the table of {name} in README.md is not the code's; EC_UPDATE_DOCS=1 renews it:\n{wanted}"
    );
}

#[test]
fn the_tables_of_the_readme_are_those_of_the_code() {
    assert_section("settings", &settings_table());
    assert_section("metrics", &metrics_table());
}

#[test]
fn the_env_example_lists_every_setting_with_its_default() {
    let path = root().join(".env.example");
    if updating() {
        fs::write(&path, env_example()).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), env_example(), "EC_UPDATE_DOCS=1 renews .env.example");
}

#[test]
fn no_setting_is_declared_twice() {
    let mut names: Vec<&str> = settings().iter().map(|(setting, _)| setting.name).collect();
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before);
}

/// Words in backticks of the form `suite::test_name`.
fn named_tests(text: &str) -> Vec<(String, String)> {
    let words = text.split('`').skip(1).step_by(2);
    let is_name =
        |part: &str| part.len() > 3 && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let pair = |word: &str| word.split_once("::").map(|(suite, test)| (suite.to_owned(), test.to_owned()));
    words.filter_map(pair).filter(|(suite, test)| is_name(suite) && is_name(test)).collect()
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let (_, text) = readme();
    for (suite, test) in named_tests(&text) {
        let file = root().join(format!("tests/tests/{suite}.rs"));
        let code = fs::read_to_string(&file)
            .unwrap_or_else(|e| panic!("README.md names {suite}::{test}; {}: {e}", file.display()));
        assert!(code.contains(&format!("fn {test}(")), "README.md names {suite}::{test}, which does not exist");
    }
}

#[test]
fn a_name_of_a_test_is_told_from_other_words() {
    let found = named_tests("see `flow::one_row` and `metrics::ALL`, `a::b`, `plain`, `http::all_of_them`");
    let found: Vec<_> = found.iter().map(|(suite, test)| format!("{suite} {test}")).collect();
    assert_eq!(found, ["flow one_row", "http all_of_them"]);
}
