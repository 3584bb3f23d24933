//! The connection pool, transactions, and what can go wrong with a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgConnectOptions, PgConnection, PgHasArrayType, PgPool, PgPoolOptions,
    PgTypeInfo, Postgres,
};
use sqlx::query::Query;
use sqlx::{Connection as _, Encode, Type};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::source::DatabaseSource;
use crate::model::Millis;

/// A transaction of the pool; dropped without a commit it is rolled back.
pub type Transaction = sqlx::Transaction<'static, Postgres>;

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

    pub(super) fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Refused(sqlx::Error::Database(e)) if e.code().is_some_and(|c| c == code))
    }
}

/// A pool of connections, cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    /// Connections that queries may hold at once; the others are left to reports.
    queries: Arc<Semaphore>,
    source: Arc<Watched>,
    /// The lease under which this server writes.
    tenure: Option<Arc<Tenure>>,
}

/// A server's hold of the lease ([`super::lease`]), and what it has seen of the database since: one that
/// lacks it was put back to an earlier state.
#[derive(Debug)]
pub struct Tenure {
    /// Counts the take-overs.
    pub epoch: i64,
    /// How often the lease was renewed.
    pub(super) renewals: AtomicI64,
    /// The newest series that memory has of it, 0 where it has none. Series are made one after the
    /// other and never deleted: where this one is there, all are.
    pub(super) series: AtomicI32,
}

impl Tenure {
    pub(super) fn new(epoch: i64, renewals: i64) -> Self {
        Self { epoch, renewals: renewals.into(), series: 0.into() }
    }
}

/// The source of the connections' options, and what it said last.
#[derive(Debug)]
struct Watched {
    source: DatabaseSource,
    last: Mutex<(Instant, String)>,
}

/// What [`Database::fence`] says.
pub(super) type Fence = (Option<i64>, i64, i32);

/// Who waits longer for a connection is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was used within this time is taken to be alive; others are asked first.
const TRUSTED: Duration = Duration::from_millis(500);

/// A database that can't be reached yet is asked this often.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The source of the URL is looked at this often, when a connection is asked for.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What every transaction begins with: a reply of success means on disk, and nothing hangs.
const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = '30s'; \
                     SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// The same for what the active server writes: all reports wait for the one that is being written, so
/// it does not wait long for a lock.
const BEGIN_WRITE: &str = "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = '30s'; \
                           SET LOCAL lock_timeout = '4s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// What a query begins with: its statements all see one state of the database. What they read is small;
/// compiling them takes longer, where PostgreSQL guesses wrong.
const BEGIN_QUERY: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL jit = off; SET LOCAL statement_timeout = '30s'; \
                           SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// Then no partition that it may look at is dropped meanwhile. This has to wait for a lock and may fail:
/// where a transaction does as it begins, the driver leaves it open.
const LOCK_QUERY: &str = "LOCK TABLE ONLY noetl_metrics.sample, ONLY noetl_metrics.chunk, ONLY noetl_metrics.rollup_day IN ACCESS SHARE MODE";

/// What a transaction begins with whose statements all see one state of the database, and that may
/// take long.
const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL synchronous_commit = on; \
                              SET LOCAL lock_timeout = '10s'; SET LOCAL client_min_messages = warning";

/// The same for work that may take long: migrations and maintenance. What is there already is no news.
const BEGIN_LONG: &str = "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '10s'; \
                          SET LOCAL client_min_messages = warning";

impl Database {
    /// A pool. No connection is made yet.
    pub fn new(source: DatabaseSource, max_connections: u32) -> Result<Self, StoreError> {
        let url = source.url().map_err(StoreError::Url)?;
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, known| {
                Box::pin(async move {
                    if known.idle_for > TRUSTED {
                        // Says too whether a transaction that failed was left open: the driver's own
                        // ping does not.
                        sqlx::raw_sql("select").execute(connection).await?;
                    }
                    Ok(true)
                })
            })
            .idle_timeout(Duration::from_mins(5))
            .max_lifetime(Duration::from_mins(30))
            .connect_lazy_with(options(&url)?);
        let queries = usize::try_from(max_connections / 2).unwrap_or(1).max(1);
        let source = Arc::new(Watched { source, last: Mutex::new((Instant::now(), url)) });
        Ok(Self { pool, queries: Arc::new(Semaphore::new(queries)), source, tenure: None })
    }

    /// The same pool for a server that has the lease: its writes fail as [`StoreError::Fenced`] once
    /// another one has, and as [`StoreError::Unavailable`] where the database was put back.
    #[must_use]
    pub fn under(&self, tenure: Arc<Tenure>) -> Self {
        Self { tenure: Some(tenure), ..self.clone() }
    }

    /// Notes that memory has these series of the database.
    pub(super) fn saw_series(&self, ids: impl IntoIterator<Item = i32>) {
        if let (Some(tenure), Some(newest)) = (&self.tenure, ids.into_iter().max()) {
            tenure.series.fetch_max(newest, Ordering::Relaxed);
        }
    }

    /// The pool; new connections are made by what the source says now.
    fn pool(&self) -> &PgPool {
        let mut last = self.source.last.lock();
        if last.0.elapsed() >= LOOK_EVERY {
            last.0 = Instant::now();
            match self.source.source.url() {
                Ok(url) if url != last.1 => match options(&url) {
                    Ok(options) => {
                        tracing::info!("new connections are made with the database's new URL");
                        self.pool.set_connect_options(options);
                        last.1 = url;
                    }
                    Err(error) => tracing::warn!(%error, "the database's new URL can't be used"),
                },
                Ok(_) => {}
                // The file may be half replaced; what it said before stays.
                Err(error) => tracing::warn!(error, "the database's URL could not be read again"),
            }
        }
        &self.pool
    }

    /// Begins a transaction in a task of its own, so that it begins or does not, also where nobody waits
    /// for it any more: the driver would hand on its connection with the transaction open, and what
    /// others then wrote would never be committed.
    async fn begin_by(&self, begin: &'static str) -> Result<Transaction, StoreError> {
        let pool = self.pool().clone();
        let begun = tokio::spawn(async move { pool.begin_with(begin).await });
        Ok(begun.await.map_err(|error| StoreError::Unavailable(error.to_string()))??)
    }

    /// Begins a transaction with bounds on time.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        self.begin_by(BEGIN).await
    }

    /// Begins a transaction of a query, with bounds on time.
    pub async fn begin_query(&self) -> Result<Transaction, StoreError> {
        let mut tx = self.begin_by(BEGIN_QUERY).await?;
        sqlx::raw_sql(LOCK_QUERY).execute(&mut *tx).await?;
        Ok(tx)
    }

    /// Begins a transaction of the active server that writes.
    pub async fn begin_write(&self) -> Result<Transaction, StoreError> {
        let mut tx = self.begin_by(BEGIN_WRITE).await?;
        if let (Some(epoch), renewals, series) = self.fence() {
            sql("select noetl_metrics.fence($1, $2, $3)")
                .bind(epoch)
                .bind(renewals)
                .bind(series)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx)
    }

    /// A connection for a statement that is a transaction by itself and sees to its own bounds.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        Ok(self.pool().acquire().await?)
    }

    /// What each write has to find: the epoch of the lease, `None` where there is none, the least number
    /// of its renewals, and the newest series.
    pub(super) fn fence(&self) -> Fence {
        let tenure = self.tenure.as_deref();
        let seen = |tenure: &Tenure| {
            (tenure.renewals.load(Ordering::Relaxed), tenure.series.load(Ordering::Relaxed))
        };
        let (renewals, series) = tenure.map_or((0, 0), seen);
        (tenure.map(|tenure| tenure.epoch), renewals, series)
    }

    /// A turn for a query, which may take long; held while it runs.
    pub async fn query_turn(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let turn = tokio::time::timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.queries).acquire_owned()).await;
        let busy = || StoreError::Unavailable("too many queries run already".into());
        turn.ok().and_then(Result::ok).ok_or_else(busy)
    }

    /// Begins a transaction for work that may take long.
    pub async fn begin_long(&self) -> Result<Transaction, StoreError> {
        self.begin_by(BEGIN_LONG).await
    }

    /// Begins a transaction whose statements all see one state of the database, and that may take long.
    pub async fn begin_snapshot(&self) -> Result<Transaction, StoreError> {
        self.begin_by(BEGIN_SNAPSHOT).await
    }

    /// Runs one statement outside a transaction, for those that can't be inside one.
    pub async fn run_alone(&self, sql: String) -> Result<(), StoreError> {
        let mut connection = self.pool().acquire().await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *connection).await?;
        Ok(())
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sql("select 1").execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Whether a connection can be made now. Unlike the pool, which tries again for a while and then
    /// only says that none became free, it says why not.
    pub async fn reach(&self) -> Result<(), StoreError> {
        let url = self.source.source.url().map_err(StoreError::Url)?;
        let options = options(&url)?;
        let made = PgConnection::connect_with(&options);
        let made = tokio::time::timeout(ACQUIRE_TIMEOUT, made).await;
        let connection = made.map_err(|_| StoreError::Unavailable("no answer in time".into()))??;
        Ok(connection.close().await?)
    }

    /// Whether the database answers; where it can't be reached it is asked again for so long.
    pub async fn wait(&self, within: Duration) -> Result<(), StoreError> {
        let deadline = Instant::now() + within;
        let mut said = false;
        loop {
            match self.ping().await {
                Err(StoreError::Unavailable(why)) if Instant::now() < deadline => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!("waits {within:?} at most for the database: {why}");
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                answer => return answer,
            }
        }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Open and idle connections.
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }
}

/// How connections are made. Startup parameters that a PgBouncer would refuse are left out.
fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.parse().map_err(|e: sqlx::Error| StoreError::Url(e.to_string()))?;
    Ok(options.extra_float_digits(None).statement_cache_capacity(0).application_name("noetl-metrics"))
}

/// A `timestamptz` on its way to the database: microseconds since 2000, as PostgreSQL counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timestamp(pub(super) Millis);

/// 2000-01-01, in milliseconds since 1970.
const EPOCH_2000_MS: i64 = 946_684_800_000;

/// Types by their fixed numbers: by name, the driver would ask the catalogue first.
impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = (self.0.0 - EPOCH_2000_MS) * 1000;
        out.extend_from_slice(&micros.to_be_bytes());
        Ok(IsNull::No)
    }
}

/// A statement that is not kept prepared.
pub(super) fn sql(text: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(text).persistent(false)
}

/// The same for a text made here of checked parts.
pub(super) fn sql_made(text: String) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sqlx::AssertSqlSafe(text)).persistent(false)
}
