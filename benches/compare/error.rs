//! What can go wrong while measuring; every error ends the run with a sentence.

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A file, a process or a socket failed.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// PostgreSQL refused a statement.
    #[error("PostgreSQL: {0}")]
    Sql(#[from] sqlx::Error),
    /// `/proc` could not be read.
    #[error("/proc: {0}")]
    Proc(#[from] procfs::ProcError),
    /// An API server refused a request, or could not be asked.
    #[error("Kubernetes: {0}")]
    Kubernetes(#[from] kube::Error),
    /// Something did not do what it should.
    #[error("{0}")]
    Failed(String),
}

/// Result of a step of the benchmark.
pub(crate) type Result<T> = std::result::Result<T, BenchError>;

/// Says what was being done when an I/O error came.
pub(crate) trait Context<T> {
    fn context(self, what: impl Into<String>) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| BenchError::Io(what.into(), error))
    }
}

/// A failure that is only a sentence.
pub(crate) fn failed<T>(why: impl Into<String>) -> Result<T> {
    Err(BenchError::Failed(why.into()))
}
