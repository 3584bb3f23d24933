//! A PostgreSQL that can be killed, stopped, starved of disk and copied. Where root runs this it has a
//! small file system of its own, which nobody else sees and which goes with the last of its processes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};

use crate::clock::{self, Clock, For};
use crate::harness::postgres::{programs, unprivileged_user};
use crate::harness::{free_port, signal, spawn};

const DISK_MIB: u32 = 512;
/// Name under which a standby asks to be synchronous.
const STANDBY: &str = "spare";

/// Takes the file system and keeps it until its input closes.
const HOLDER: &str = r#"mount -t tmpfs -o "size=$2m,mode=0755" none "$1" && echo ready && read word || true"#;

/// Few connections, so that they can be used up. A commit waits for the disk only where the program
/// asks for it, so that one that does not is found out.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nmax_connections = 60\nshared_buffers = 64MB\n\
    max_wal_size = 96MB\nfsync = on\nsynchronous_commit = off\nwal_level = replica\nmax_wal_senders = 4\n\
    log_min_messages = warning\nlog_line_prefix = '%m [%p] '\n";

/// One data directory, and what runs on it.
pub struct Instance {
    bin: PathBuf,
    /// As PostgreSQL sees it, and as this process does.
    dir: PathBuf,
    seen: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
    holder: Option<Child>,
    /// Why it has no file system of its own.
    shares_disk: Option<String>,
    postmaster: Option<Child>,
    /// What it goes by, where that can be set.
    pub clock: Option<Clock>,
}

impl Instance {
    /// A place for one; nothing runs yet.
    pub fn new(name: &str, has_clock: bool) -> Self {
        let dir = std::env::temp_dir().join(format!("noetl-faults-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory for PostgreSQL");
        let (user, port) = (unprivileged_user(), free_port());
        let (bin, seen) = (programs(), dir.clone());
        let clock = has_clock.then(|| Clock::new(&format!("postgres-{name}")));
        let (holder, shares_disk, postmaster) = (None, None, None);
        let mut made = Self { bin, dir, seen, user, port, holder, shares_disk, postmaster, clock };
        if user.is_none() {
            made.shares_disk = Some("only root can give PostgreSQL a small disk".into());
        } else if let Err(why) = made.take_disk() {
            made.shares_disk = Some(why);
        }
        if let Some((uid, gid)) = user {
            chown(&made.seen, Some(uid), Some(gid)).expect("the directory is given to PostgreSQL's user");
        }
        made
    }

    fn take_disk(&mut self) -> Result<(), String> {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "--", "sh", "-c", HOLDER, "sh"])
            .arg(&self.dir)
            .arg(DISK_MIB.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut holder = spawn(command);
        let mut line = String::new();
        let _ = BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut line);
        if line.trim() != "ready" {
            let said = holder.wait_with_output().map(|o| String::from_utf8_lossy(&o.stderr).into_owned());
            return Err(format!("no disk of its own: {}", said.unwrap_or_default().trim()));
        }
        let inside = self.dir.strip_prefix("/").expect("an absolute path");
        self.seen = Path::new("/proc").join(holder.id().to_string()).join("root").join(inside);
        self.holder = Some(holder);
        Ok(())
    }

    /// Why the disk can't be filled, where it can't.
    pub fn shares_disk(&self) -> Option<&str> {
        self.shares_disk.as_deref()
    }

    fn command(&self, program: &str) -> Command {
        self.command_in(&[], program)
    }

    /// Runs a program as PostgreSQL's user, with these variables in its environment and in nobody else's.
    fn command_in(&self, variables: &[(&str, String)], program: &str) -> Command {
        let mut command = match &self.holder {
            Some(holder) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--mount=/proc/{}/ns/mnt", holder.id())).args(["--", "setpriv"]);
                command
            }
            None => Command::new("setpriv"),
        };
        if let Some((uid, gid)) = self.user {
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
        }
        command.args(["--pdeathsig", "KILL", "--", "env"]);
        command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg(self.bin.join(program));
        command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn run(&self, program: &str, args: &[&str]) {
        let mut command = self.command(program);
        let done = command.args(args).arg("-D").arg(self.dir.join("data")).output().expect("it runs");
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// An empty one.
    pub fn init(&self) {
        self.run("initdb", &["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let conf = self.seen.join("data/postgresql.conf");
        let mut conf = std::fs::OpenOptions::new().append(true).open(conf).expect("settings");
        conf.write_all(SETTINGS.as_bytes()).expect("settings are written");
    }

    /// A standby of another one.
    pub fn init_as_standby_of(&self, primary: &Self) {
        let _ = std::fs::remove_dir_all(self.seen.join("data"));
        let from = format!("host=127.0.0.1 port={} user=postgres application_name={STANDBY}", primary.port);
        self.run("pg_basebackup", &["-d", &from, "-R", "-X", "stream", "-c", "fast", "--no-sync"]);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// For the harness itself, which may do all; `noetl` is the program's role.
    pub fn options(&self, user: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username(user)
            .database(database)
            .disable_statement_logging()
    }

    pub async fn connect(&self, user: &str) -> Result<PgConnection, sqlx::Error> {
        let options = self.options(user, if user == "postgres" { "postgres" } else { "metrics" });
        let connected = tokio::time::timeout(Duration::from_secs(5), options.connect()).await;
        connected.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Statements of the superuser, one after the other.
    pub async fn sql(&self, statements: &[&str]) -> Result<(), sqlx::Error> {
        let mut connection = self.connect("postgres").await?;
        for statement in statements {
            let statement = sqlx::AssertSqlSafe((*statement).to_owned());
            sqlx::raw_sql(statement).execute(&mut connection).await?;
        }
        Ok(())
    }

    /// The first column of the first row.
    pub async fn holds(&self, condition: &str) -> bool {
        let ask = async {
            let mut connection = self.connect("postgres").await.ok()?;
            let text = sqlx::AssertSqlSafe(condition.to_owned());
            sqlx::query(text).fetch_one(&mut connection).await.ok()?.try_get::<bool, _>(0).ok()
        };
        ask.await == Some(true)
    }

    /// What its clock shows, in milliseconds since 1970.
    pub async fn time(&self) -> Option<i64> {
        self.number("select (extract(epoch from clock_timestamp()) * 1000)::bigint").await
    }

    /// How often a server took over.
    pub async fn epoch(&self) -> Option<i64> {
        self.number("select epoch from noetl_metrics.lease").await
    }

    async fn number(&self, text: &'static str) -> Option<i64> {
        let mut connection = self.connect("noetl").await.ok()?;
        sqlx::query(text).fetch_one(&mut connection).await.ok()?.try_get(0).ok()
    }

    /// Starts it and waits until it takes clients.
    pub async fn start(&mut self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.connect("postgres").await.is_err() {
            assert!(Instant::now() < deadline, "PostgreSQL did not start:\n{}", self.log_tail());
            // After a kill -9 the old processes may hold the shared memory for a moment.
            if !self.runs() {
                self.postmaster = Some(self.start_once());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.postmaster.iter().for_each(|postmaster| clock::tidy(postmaster.id()));
    }

    fn start_once(&self) -> Child {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(self.dir.with_extension("log"));
        let log = log.expect("a log");
        let variables = self.clock.as_ref().map(|clock| clock.variables(For::OneThread));
        let mut command = self.command_in(&variables.unwrap_or_default(), "postgres");
        command
            .arg("-D")
            .arg(self.dir.join("data"))
            .args(["-p", &self.port.to_string(), "-k"])
            .arg(&self.dir)
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        spawn(command)
    }

    /// Whether the postmaster is there; a full disk may have ended it.
    pub fn runs(&mut self) -> bool {
        self.postmaster.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Ends the postmaster with kill -9; its children follow.
    pub fn kill(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            let _ = postmaster.kill();
            let _ = postmaster.wait();
        }
    }

    /// Ends it as one does in an emergency: at once, without a checkpoint.
    pub fn stop_immediately(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            signal("QUIT", postmaster.id());
            let _ = postmaster.wait();
        }
    }

    /// All its processes, the postmaster first.
    pub fn processes(&self) -> Vec<u32> {
        let Some(postmaster) = self.postmaster.as_ref().map(Child::id) else { return Vec::new() };
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.unwrap_or_default();
        std::iter::once(postmaster)
            .chain(children.split_whitespace().filter_map(|p| p.parse().ok()))
            .collect()
    }

    /// All its processes stop where they are.
    pub fn freeze(&self) {
        for pid in self.processes() {
            send("STOP", pid);
        }
    }

    /// And go on.
    pub fn thaw(&self) {
        for pid in self.processes().into_iter().rev() {
            send("CONT", pid);
        }
    }

    /// Uses up the disk's room.
    pub fn fill_disk(&self) {
        let mut file = std::fs::File::create(self.seen.join("fill")).expect("a file");
        for piece in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; piece]).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn empty_disk(&self) {
        let _ = std::fs::remove_file(self.seen.join("fill"));
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.with_extension("log")).unwrap_or_default()
    }

    /// The end of it.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// A process may have ended meanwhile.
fn send(name: &str, pid: u32) {
    let _ = Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status();
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.thaw();
        self.stop_immediately();
        if let Some(mut holder) = self.holder.take() {
            drop(holder.stdin.take());
            let _ = holder.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
        let _ = std::fs::remove_file(self.dir.with_extension("log"));
    }
}
