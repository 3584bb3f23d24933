//! PostgreSQL clusters: one that all tests share, and those that a test ends by force.
//!
//! A cluster ends with the test binary, however that ends: a small shell holds the other end of a
//! pipe, and when the pipe closes it ends PostgreSQL and removes the cluster's directory.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgPool, PgPoolOptions};

use super::Pair;

/// Runs PostgreSQL until the standard input says so or closes; "keep" leaves the files.
const SUPERVISOR: &str = r#"
exec 3<&0
"$0/postgres" -D "$1/data" </dev/null >>"$1/log" 2>&1 3<&- &
postgres=$!
word=
read word <&3
kill -QUIT $postgres 2>/dev/null
wait $postgres
[ "$word" = keep ] || rm -rf "$1"
"#;

/// A cluster in a directory of its own, on a port of its own.
pub struct Cluster {
    bin: PathBuf,
    dir: PathBuf,
    port: u16,
    user: Option<(u32, u32)>,
    supervisor: Mutex<Option<Child>>,
    /// Name of a database that has the schema and nothing else.
    with_schema: tokio::sync::OnceCell<String>,
}

impl Cluster {
    /// The cluster that tests share: fast, since it does not wait for the disk.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::make("fsync = off\nfull_page_writes = off\n"))
    }

    /// A cluster that takes connections by TLS.
    pub fn secure(pair: &Pair) -> Self {
        let cluster = Self::make("fsync = off\nssl = off\n");
        let data = cluster.dir.join("data");
        for (file, text) in [("server.crt", &pair.cert), ("server.key", &pair.key)] {
            let path = data.join(file);
            std::fs::write(&path, text).expect("a file for PostgreSQL");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))
                .expect("it is PostgreSQL's alone");
            if let Some((uid, gid)) = cluster.user {
                chown(&path, Some(uid), Some(gid)).expect("it is given to PostgreSQL's user");
            }
        }
        let conf = data.join("postgresql.auto.conf");
        let settings = std::fs::read_to_string(&conf).expect("settings").replace("ssl = off", "ssl = on");
        std::fs::write(conf, settings).expect("settings are written");
        super::signal("HUP", cluster.postmaster().expect("PostgreSQL runs"));
        cluster
    }

    /// A cluster that keeps what it committed, whatever happens.
    pub fn durable() -> Self {
        Self::make("fsync = on\n")
    }

    fn make(settings: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let bin = programs();
        let user = unprivileged_user();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("noetl-contract-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).expect("a directory for PostgreSQL");
        if let Some((uid, gid)) = user {
            chown(&dir, Some(uid), Some(gid)).expect("the directory is given to PostgreSQL's user");
        }
        let port = free_port();
        let cluster = Self {
            bin,
            dir,
            port,
            user,
            supervisor: Mutex::default(),
            with_schema: tokio::sync::OnceCell::new(),
        };
        let data = cluster.dir.join("data");
        let made = cluster
            .command(&cluster.bin.join("initdb"))
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = format!(
            "{settings}port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n\
             max_connections = 200\nshared_buffers = 64MB\nmax_wal_size = 256MB\n",
            cluster.dir.display()
        );
        let conf = data.join("postgresql.auto.conf");
        std::fs::write(conf, settings).expect("settings are written");
        cluster.start();
        cluster
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).env("LC_ALL", "C").process_group(0);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts PostgreSQL and waits until it answers.
    pub fn start(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        let mut supervisor = self.supervise();
        while !self.answers() {
            assert!(Instant::now() < deadline, "PostgreSQL did not start:\n{}", self.log());
            // After a kill -9 the old processes may hold the shared memory for a moment.
            if !self.is_running() {
                end(supervisor, "keep\n");
                supervisor = self.supervise();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        *self.supervisor.lock().unwrap() = Some(supervisor);
    }

    fn supervise(&self) -> Child {
        let supervisor = self
            .command(Path::new("/bin/sh"))
            .args(["-c", SUPERVISOR])
            .arg(&self.bin)
            .arg(&self.dir)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the shell that watches PostgreSQL");
        // It writes its pid file at once, or has failed.
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        supervisor
    }

    /// Whether it takes a client: packages of PostgreSQL have no pg_isready.
    fn answers(&self) -> bool {
        const HELLO: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";
        let ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(HELLO)?;
            let mut kind = [0];
            stream.read_exact(&mut kind)?;
            std::io::Result::Ok(kind)
        };
        // It asks for a password or says that none is needed; while it starts it answers with an error.
        ask().is_ok_and(|kind| kind == *b"R")
    }

    fn is_running(&self) -> bool {
        self.postmaster().is_some_and(|pid| Path::new(&format!("/proc/{pid}/stat")).exists())
    }

    fn postmaster(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.dir.join("data/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Ends the postmaster with kill -9; its children follow. [`Self::start`] brings it back.
    pub fn kill(&self) {
        let pid = self.postmaster().expect("PostgreSQL runs");
        super::signal("KILL", pid);
        if let Some(supervisor) = self.supervisor.lock().unwrap().take() {
            end(supervisor, "keep\n");
        }
    }

    /// What PostgreSQL said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// An empty database of its own.
    pub async fn empty_database(&self) -> Database {
        self.make_database("template1").await
    }

    /// A database of its own that has the schema, as if a server had been there before.
    pub async fn database(&self) -> Database {
        self.with_schema
            .get_or_init(async || {
                let made = self.empty_database().await;
                let status = Command::new(env!("CARGO_BIN_EXE_noetl-metrics"))
                    .args(["migrate", "--database-url", &made.url])
                    .stdout(Stdio::null())
                    .status();
                assert!(status.is_ok_and(|s| s.success()), "the schema is made");
                made.pool.close().await;
                made.name
            })
            .await;
        let template = self.with_schema.get().expect("it was just made");
        self.make_database(template).await
    }

    async fn make_database(&self, template: &str) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("contract_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = pool(&self.url("postgres"));
        let create = format!("create database {name} template {template}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&admin).await.expect("a database is created");
        admin.close().await;
        Database::at(self.url(&name))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.lock().unwrap().take() {
            end(supervisor, "");
        }
    }
}

fn end(mut supervisor: Child, word: &str) {
    let mut input = supervisor.stdin.take().expect("a pipe");
    let _ = input.write_all(word.as_bytes());
    drop(input);
    let _ = supervisor.wait();
}

fn pool(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_mins(1))
        .connect_lazy(url)
        .expect("a URL")
}

/// One test's database.
pub struct Database {
    /// Connections for the test itself.
    pub pool: PgPool,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// PostgreSQL's port.
    pub port: u16,
}

impl Database {
    /// One that was made before.
    pub fn at(url: String) -> Self {
        let name = url.rsplit('/').next().unwrap_or_default().to_owned();
        let port = url.rsplit(':').next().and_then(|rest| rest.split('/').next()?.parse().ok());
        Self { pool: pool(&url), name, port: port.expect("a port"), url }
    }

    /// One column of all rows.
    pub async fn column<T>(&self, sql: impl Into<String>) -> Vec<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let sql = sql.into();
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone())).fetch_all(&self.pool).await;
        rows.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }
}

/// The newest PostgreSQL's programs: of `$PG_BIN`, of `$PATH`, or where distributions put them.
pub fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let real = |dir: PathBuf| Some(dir.join("postgres").canonicalize().ok()?.parent()?.to_owned());
    let told = std::env::var_os("PG_BIN").map(PathBuf::from);
    let mut packaged: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    packaged.sort();
    told.into_iter()
        .chain(std::env::split_paths(&path).filter_map(real))
        .chain(packaged.into_iter().rev().map(|(_, dir)| dir))
        .find(|dir| ["initdb", "postgres"].iter().all(|p| dir.join(p).is_file()))
        .expect("PostgreSQL's programs: install postgresql, or say where they are in PG_BIN")
}

/// Whom root hands PostgreSQL to, which refuses to run as root.
pub fn unprivileged_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    let me = std::fs::metadata("/proc/self").expect("/proc").uid();
    if me != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("a user postgres or nobody"))
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
