//! The database roles that production's programs have (`deploy/roles`), on the tests' servers: every program of a test works under its
//! own; the test itself asks as the owner.

use std::fmt;

use crate::services::deploy;

/// Of all three, on a server that lives for one run of the tests.
pub const PASSWORD: &str = "password-of-a-test";

/// Who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of `ingest`.
    Ingest,
    /// Of `worker`.
    Worker,
    /// Of people and dashboards.
    Read,
}

impl Role {
    /// That of a program.
    ///
    /// # Panics
    /// When there is no such program.
    #[must_use]
    pub fn of(program: &str) -> Self {
        match program {
            "ingest" => Self::Ingest,
            "worker" => Self::Worker,
            other => panic!("{other} has no role"),
        }
    }

    /// A database URL with this role's login in it instead of the owner's.
    ///
    /// # Panics
    /// When it is no URL with a login.
    #[must_use]
    pub fn url(self, owner_url: &str) -> String {
        let (_, place) = owner_url.rsplit_once('@').expect("the URL of a test's database has a login");
        format!("postgres://{self}:{PASSWORD}@{place}")
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingest => "ec_ingest",
            Self::Worker => "ec_worker",
            Self::Read => "ec_read",
        })
    }
}

/// Runs `deploy/roles` on a database with the schema.
pub fn make(owner_url: &str) {
    let passwords = ["INGEST_PASSWORD", "WORKER_PASSWORD", "READ_PASSWORD"].map(|name| (name, PASSWORD));
    deploy("roles", &[], &[&passwords[..], &[("DATABASE_URL", owner_url)]].concat());
}
