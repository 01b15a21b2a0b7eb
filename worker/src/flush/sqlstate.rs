//! What a database failure means for a flush.
//!
//! | class of SQLSTATE | meaning | what happens |
//! |---|---|---|
//! | 22, 23, 54, 21 | the data of some row | find the row, put it aside |
//! | 23514 from partition routing | a day without a partition | create it, try again |
//! | 42, 0A | our statement or the schema is wrong | stop loudly, nothing is put aside |
//! | everything else (08, 40, 53, 55, 57, 58, 25, XX, I/O) | away or busy | try again for ever |

use sqlx::postgres::PgDatabaseError;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Some row cannot be stored.
    Poison,
    /// A day has no partition yet.
    MissingPartition,
    /// We are wrong: a person must act.
    OurFault,
    /// It will pass.
    Wait,
}

/// Classifies a failure.
#[must_use]
pub fn class(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(error) => {
            let routine = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine);
            of_state(error.code().as_deref().unwrap_or_default(), routine)
        }
        sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::RowNotFound
        | sqlx::Error::Configuration(_) => Class::OurFault,
        _ => Class::Wait,
    }
}

/// Classifies a SQLSTATE. `routine` is the server's function that raised it.
#[must_use]
pub fn of_state(state: &str, routine: Option<&str>) -> Class {
    match (state, state.get(..2).unwrap_or_default()) {
        ("23514", _) if routine == Some("ExecFindPartition") => Class::MissingPartition,
        (_, "21" | "22" | "23" | "54") => Class::Poison,
        (_, "42" | "0A") => Class::OurFault,
        _ => Class::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_consequence() {
        for state in ["22P02", "22P05", "22021", "22003", "22008", "23502", "23514", "54000", "21000"] {
            assert_eq!(of_state(state, None), Class::Poison, "{state}");
        }
        for state in ["42P01", "42703", "42501", "0A000"] {
            assert_eq!(of_state(state, None), Class::OurFault, "{state}");
        }
        for state in [
            "08006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "58030", "25006", "25P03", "XX000",
            "",
        ] {
            assert_eq!(of_state(state, None), Class::Wait, "{state}");
        }
        assert_eq!(of_state("23514", Some("ExecFindPartition")), Class::MissingPartition);
        assert_eq!(of_state("23514", Some("ExecConstraints")), Class::Poison);
    }

    #[test]
    fn a_lost_connection_is_waited_for() {
        assert_eq!(class(&sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())), Class::Wait);
        assert_eq!(class(&sqlx::Error::PoolTimedOut), Class::Wait);
    }
}
