//! A folder that goes with its value.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A new folder below the system's temporary one, open to other users (PostgreSQL runs as one of them when we are root), and
/// removed when dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one. `name` helps a person who looks at what is left of a killed run.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ec-test-{name}-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).expect("a temporary folder can be made");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode can be set");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::env::var_os("EC_TEST_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
