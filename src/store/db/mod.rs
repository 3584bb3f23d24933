//! The connection pool, transactions, and what can go wrong with a database.

mod error;
mod tenure;

use std::sync::Arc;
use std::sync::atomic::Ordering;
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
pub use error::StoreError;
pub(super) use tenure::Fence;
pub use tenure::Tenure;

/// A transaction of the pool; dropped without a commit it is rolled back.
pub type Transaction = sqlx::Transaction<'static, Postgres>;

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

/// The source of the connections' options, and what it said last.
#[derive(Debug)]
struct Watched {
    source: DatabaseSource,
    last: Mutex<(Instant, String)>,
}

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
        if let Some(fence) = self.fence() {
            sql("select noetl_metrics.fence($1, $2, $3)")
                .bind(fence.epoch)
                .bind(fence.renewals)
                .bind(fence.series)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx)
    }

    /// A connection for a statement that is a transaction by itself and sees to its own bounds.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        Ok(self.pool().acquire().await?)
    }

    /// What each write has to find, where this server writes under a lease.
    pub(super) fn fence(&self) -> Option<Fence> {
        self.tenure.as_deref().map(Tenure::fence)
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

    /// Whether the database can be reached, and why not; it is tried again for so long.
    pub async fn wait(&self, within: Duration) -> Result<(), StoreError> {
        let deadline = Instant::now() + within;
        let mut said = false;
        loop {
            match self.reach().await {
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
    // The driver takes any.
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(StoreError::Url("must begin with postgres:// or postgresql://".into()));
    }
    let options: PgConnectOptions = url.parse().map_err(|e: sqlx::Error| StoreError::Url(e.to_string()))?;
    // Room for the one statement that is kept prepared, that of blocks.
    Ok(options.extra_float_digits(None).statement_cache_capacity(1).application_name("noetl-metrics"))
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
