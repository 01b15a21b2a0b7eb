//! Runs schemathesis, which makes calls up from the document of the API and compares the answers with it.
//!
//! `deploy/test` installs it (`tests/openapi/requirements.txt`). The same seed makes the same calls: [`SEED`], or `EC_TEST_SEED`.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::folder::Folder;
use crate::program::Program;
use crate::services::root;

/// Calls are the same in every run, so that a change is to blame when one fails.
pub const SEED: u64 = 2_026;

/// A program of its Python environment.
fn installed(name: &str) -> Command {
    let tools = std::env::var_os("EC_TOOLS_DIR").map_or_else(|| root().join(".tools"), PathBuf::from);
    let program = tools.join("schemathesis/bin").join(name);
    assert!(program.exists(), "{} is missing: ./deploy/test --suite openapi installs it", program.display());
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn succeeds(mut command: Command, what: &str) -> String {
    let output = command.output().await.unwrap_or_else(|e| panic!("{what} could not be started: {e}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{text}", output.status);
    text
}

/// Checks a document against the schema of OpenAPI 3.1.
///
/// # Panics
/// When it is not valid.
pub async fn is_valid(document: &Value) {
    let folder = Folder::new("openapi");
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).expect("a file can be written");
    let mut command = installed("python");
    command.args(["-m", "openapi_spec_validator", "--schema", "3.1"]).arg(&file);
    succeeds(command, "the document is not valid").await;
}

/// Calls what the document describes on a running ingest; `arguments` are further ones of `schemathesis run`. Gives back how many calls
/// were made.
///
/// # Panics
/// When an answer is not what the document says; with all that was found.
pub async fn conforms(ingest: &Program, document: &Value, key: Option<&str>, arguments: &[&str]) -> u64 {
    let folder = Folder::new("openapi");
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).expect("a file can be written");
    let seed = std::env::var("EC_TEST_SEED").unwrap_or_else(|_| SEED.to_string());
    let mut command = installed("schemathesis");
    command.current_dir(folder.path());
    command.arg("--config-file").arg(root().join("tests/openapi/schemathesis.toml"));
    command.arg("run").arg(&file).args(["--url", &format!("http://{}", ingest.address())]);
    command.args([
        "--seed",
        &seed,
        "--generation-database",
        "none",
        // Its own threads have failed each other: "AST constructor recursion depth mismatch".
        "--workers",
        "1",
        "--no-color",
        "--warnings",
        "off",
    ]);
    command.args(["--continue-on-failure", "--request-timeout", "30", "--phases", "examples,coverage,fuzzing"]);
    if let Some(key) = key {
        command.args(["-H", &format!("x-api-key: {key}")]);
    }
    command.args(arguments);
    let said = succeeds(command, &format!("answers are not as documented (EC_TEST_SEED={seed})")).await;
    // "1234 generated, 1234 passed"
    let made = said.lines().find_map(|line| line.trim().split_once(" generated,")?.0.parse().ok());
    made.unwrap_or_else(|| panic!("schemathesis did not say how many calls it made:\n{said}"))
}
