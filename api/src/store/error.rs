//! Why a use case of the store did not happen, and which errors of a driver mean what.

use std::error::Error;

/// Why a use case did not happen. Nothing of it is written to the database then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is starting or stopping, or has no connection or time for this now.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The caller's session has ended.
    #[error("the session has ended")]
    SessionEnded,
    /// There is no such row, or the caller must not know of it.
    #[error("there is no such row")]
    NotFound,
    /// The caller may read it, but not do this.
    #[error("the role does not allow it")]
    Forbidden,
    /// Something is in the way; says what, for the client to read.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// The row has another version than the caller expects.
    #[error("the row has another version")]
    PreconditionFailed,
    /// A member of the request is at odds with what is stored.
    #[error("invalid at {pointer}: {detail}")]
    Invalid {
        /// RFC 6901 pointer into the body.
        pointer: &'static str,
        /// What is wrong, for programs.
        code: &'static str,
        /// What is wrong, for people.
        detail: &'static str,
    },
    /// A defect of ours.
    #[error("the store failed")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            sqlx::Error::Database(database) if database.code().is_some_and(|code| is_passing(&code)) => {
                Self::Unavailable(error)
            }
            _ => Self::Internal(error.into()),
        }
    }
}

/// Whether an error code (SQLSTATE, or SQLite's extended result code) speaks of a state of the database that passes.
fn is_passing(code: &str) -> bool {
    // SQLSTATE: 08 connection, 28 not let in (a password that was changed), 3D000 no such database (yet), 40 given up because of others, 53 out of resources, 55P03 lock, 57 operator or timeout,
    // 25006 read-only (a primary that became a replica).
    if code.len() == 5 {
        return matches!(code.get(..2), Some("08" | "28" | "40" | "53" | "57"))
            || matches!(code, "3D000" | "55P03" | "25006");
    }
    // SQLite (never five digits): the low octet is the primary code: 5 busy, 6 locked, 10 I/O, 13 disk full, 14 cannot open.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_pass_and_codes_that_stay() {
        for code in [
            "08006", "28P01", "3D000", "57P01", "57014", "53300", "40P01", "25006", "5", "261", "517", "10", "3338",
            "14",
        ] {
            assert!(is_passing(code), "{code}");
        }
        for code in ["23505", "42601", "22001", "19", "2067", "1", ""] {
            assert!(!is_passing(code), "{code}");
        }
    }

    #[test]
    fn a_pool_without_a_connection_is_unavailable() {
        assert!(matches!(StoreError::from(sqlx::Error::PoolTimedOut), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(sqlx::Error::RowNotFound), StoreError::Internal(_)));
    }
}
