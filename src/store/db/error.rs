//! What can go wrong with a database.

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The connection URL can't be read.
    #[error("--database-url: {0}")]
    Url(String),
    /// The database can't be reached, or did not answer in time.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The schema can't be brought forward.
    #[error("migration failed: {0}")]
    Migration(String),
    /// The role may not do what this program does.
    #[error("the database's role lacks {0}")]
    Rights(String),
    /// Another server has taken over; nothing of this one is written any more.
    #[error("another server is active now")]
    Fenced,
    /// The component's row is gone.
    #[error("the component is not registered any more")]
    UnknownComponent,
    /// The database refused a statement.
    #[error("the database refused a statement: {0}")]
    Refused(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // The state of an object that a statement needs does not come by waiting.
            sqlx::Error::Database(e) if e.code().as_deref() == Some("55000") => Self::Refused(error),
            sqlx::Error::Database(e) => match e.code().as_deref().map(|c| &c[..2]) {
                // Connection exceptions, out of resources, operator intervention, read-only, a lost
                // race for rows or locks: all of them may be gone at the next try.
                Some("NM") if e.code().as_deref() == Some("NM001") => Self::Fenced,
                Some("NM" | "08" | "53" | "57" | "25" | "40" | "55") => {
                    Self::Unavailable(e.message().to_owned())
                }
                _ => Self::Refused(error),
            },
            sqlx::Error::Configuration(e) => Self::Url(e.to_string()),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection became free in time".into()),
            sqlx::Error::Io(io) => Self::Unavailable(of_tls(io).unwrap_or_else(|| error.to_string())),
            sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolClosed => {
                Self::Unavailable(error.to_string())
            }
            _ => Self::Refused(error),
        }
    }
}

/// What is wrong with PostgreSQL's certificate, where that is why there is no connection.
fn of_tls(error: &std::io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(why) => Some(format!(
            "PostgreSQL's certificate can't be trusted ({why}): its authority has to be in sslrootcert, and its name be the host's"
        )),
        other => Some(format!("PostgreSQL and this program do not agree on TLS ({other})")),
    }
}

impl StoreError {
    /// Whether there is no database, schema, table or function of ours: it is being put back, or was by
    /// somebody who has not come to these yet.
    pub fn is_missing(&self) -> bool {
        ["3D000", "3F000", "42P01", "42883"].iter().any(|code| self.has_code(code))
    }

    pub(in crate::store) fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Refused(sqlx::Error::Database(e)) if e.code().is_some_and(|c| c == code))
    }
}
