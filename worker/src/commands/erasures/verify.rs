//! Verifies a receipt.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shared::store::erasures;

use crate::Problem;
use crate::commands::{pool, say};
use crate::erasure::receipt;
use crate::settings::Settings;

/// `verify`.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The receipt
    file: PathBuf,
    /// The key to verify it with, in Base64; without it the one of this database. Never the one that stands in the file
    #[arg(long)]
    public_key: Option<String>,
}

impl Verify {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let name = self.file.display();
        let text = std::fs::read_to_string(&self.file).map_err(|e| format!("{name} cannot be read: {e}"))?;
        let key = match &self.public_key {
            Some(text) => STANDARD.decode(text).map_err(|_| "the public key is no Base64")?,
            None => {
                let pool = pool(&Settings::from_environment()?)?;
                let key = erasures::public_key(&mut *pool.acquire().await?).await?;
                key.ok_or("this database has signed no receipt yet: give --public-key")?
            }
        };
        let statement = receipt::verify(&text, &key).map_err(|why| format!("{name} is not genuine: {why}"))?;
        say(&format!(
            "genuine: {} {} is {}, signed with key {}",
            statement["action"].as_str().unwrap_or("request"),
            statement["id"].as_str().unwrap_or("?"),
            statement["state"].as_str().unwrap_or("?"),
            receipt::key_id(&key)
        ));
        Ok(())
    }
}
