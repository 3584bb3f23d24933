//! Does each kind of fault to the system, for as long as it lasts.

use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::time::sleep;

use crate::clock;
use crate::proxy::Way;
use crate::schedule::{Fault, Kind};
use crate::system::{LEASE, RECOVERY, SERVERS, System, TAKE_OVER};

/// What a fault did.
pub struct Done {
    /// When it was over.
    pub ended: Instant,
    /// How long it took, where another server had to take over, until it exported.
    pub handed_over: Option<Duration>,
}

/// A fault that does not fit this machine, and why.
pub struct LeftOut(pub String);

impl System {
    /// Does it, and ends it. What is wrong meanwhile is told to the board.
    pub async fn suffer(&mut self, fault: &Fault) -> Result<Done, LeftOut> {
        match fault.kind {
            Kind::KillServer => Ok(self.kill_one(fault).await),
            Kind::StopServer => Ok(self.freeze_one(fault).await),
            Kind::Partition => Ok(self.partition(fault).await),
            Kind::RollServers => Ok(self.roll().await),
            Kind::ScaleServers => Ok(self.scale(fault).await),
            // These leave the servers what they need.
            Kind::CutConnections => Ok(self.cut_connections(fault).await),
            Kind::TerminateBackends => Ok(self.terminate_backends().await),
            Kind::SlowDatabase => Ok(self.slow(fault).await),
            Kind::ServerClock | Kind::ServerClocks | Kind::PostgresClock if !self.has_clocks => {
                Err(LeftOut(clock::missing().unwrap_or_default().to_owned()))
            }
            Kind::ServerClock => Ok(self.set_one_clock(fault).await),
            Kind::ServerClocks => Ok(self.set_all_clocks(fault).await),
            Kind::PostgresClock => Ok(self.set_the_database_s_clock(fault).await),
            Kind::DiskFull if self.primary.shares_disk().is_some() => {
                Err(LeftOut(self.primary.shares_disk().unwrap_or_default().to_owned()))
            }
            _ => Ok(self.outage(fault).await),
        }
    }

    /// The server that is meant: the active one, or another.
    pub(crate) fn meant(&self, fault: &Fault) -> (usize, bool) {
        let active = self.board.sight.lock().active().unwrap_or_default();
        let other = (active + 1 + (fault.pick % 2) as usize) % SERVERS;
        if fault.active { (active, true) } else { (other, false) }
    }

    async fn kill_one(&mut self, fault: &Fault) -> Done {
        let (number, active) = self.meant(fault);
        let from = Instant::now();
        if active {
            self.board.excuse(from, from + TAKE_OVER);
        }
        self.kill_server(number);
        let gone = Instant::now();
        sleep(fault.lasts).await;
        let ended = Instant::now();
        self.start_server(number).await;
        let handed_over =
            if active { self.exports("after SIGKILL", gone, None, TAKE_OVER).await } else { None };
        Done { ended, handed_over }
    }

    async fn freeze_one(&mut self, fault: &Fault) -> Done {
        let (number, active) = self.meant(fault);
        let from = Instant::now();
        if active {
            self.board.excuse(from, from + TAKE_OVER);
        }
        self.signal_server(number, "STOP");
        let gone = Instant::now();
        sleep(fault.lasts).await;
        self.signal_server(number, "CONT");
        let ended = Instant::now();
        let handed_over =
            if active { self.exports("after SIGSTOP", gone, None, TAKE_OVER).await } else { None };
        Done { ended, handed_over }
    }

    /// One server and PostgreSQL do not reach each other.
    async fn partition(&mut self, fault: &Fault) -> Done {
        let (number, active) = self.meant(fault);
        let from = Instant::now();
        if active {
            self.board.excuse(from, from + TAKE_OVER);
        }
        let door = &self.replicas[number].door;
        door.set(if fault.pick.is_multiple_of(3) { Way::Refused } else { Way::Hole });
        sleep(fault.lasts).await;
        door.set(Way::Open);
        if fault.pick.is_multiple_of(2) {
            door.cut();
        }
        let ended = Instant::now();
        // One that was cut off for less may be active again, or still.
        let handed_over = if active && fault.lasts > LEASE + Duration::from_secs(1) {
            self.exports("after a partition", from, Some(number), TAKE_OVER).await
        } else {
            None
        };
        Done { ended, handed_over }
    }

    /// One after the other is stopped and started again.
    async fn roll(&mut self) -> Done {
        let mut handed_over = None;
        for number in 0..SERVERS {
            handed_over = handed_over.max(self.stop_server(number).await);
            self.start_server(number).await;
            // As a Deployment does: the next one goes when this one is there.
            self.recovers(Instant::now(), "a server was rolled").await;
        }
        Done { ended: Instant::now(), handed_over }
    }

    /// To one server, and back to all.
    async fn scale(&mut self, fault: &Fault) -> Done {
        let stays = (fault.pick % SERVERS as u64) as usize;
        let mut handed_over = None;
        for number in (0..SERVERS).filter(|number| *number != stays) {
            handed_over = handed_over.max(self.stop_server(number).await);
        }
        sleep(fault.lasts).await;
        for number in (0..SERVERS).filter(|number| *number != stays) {
            self.start_server(number).await;
        }
        Done { ended: Instant::now(), handed_over }
    }

    async fn cut_connections(&self, fault: &Fault) -> Done {
        for replica in &self.replicas {
            replica.door.cut();
            sleep(fault.lasts / 3).await;
        }
        Done { ended: Instant::now(), handed_over: None }
    }

    async fn terminate_backends(&self) -> Done {
        let all = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'noetl'";
        self.primary.sql(&[all]).await.expect("PostgreSQL is there");
        Done { ended: Instant::now(), handed_over: None }
    }

    /// Slow, and yet fast enough to hold a lease.
    async fn slow(&self, fault: &Fault) -> Done {
        let by = Duration::from_millis(10 + fault.pick % 70);
        self.each_door(Way::Slow(by));
        sleep(fault.lasts).await;
        self.each_door(Way::Open);
        Done { ended: Instant::now(), handed_over: None }
    }

    fn each_door(&self, way: Way) {
        for replica in &self.replicas {
            replica.door.set(way);
        }
    }

    /// What takes away what all servers need, or all servers.
    async fn outage(&mut self, fault: &Fault) -> Done {
        let from = Instant::now();
        self.take_away(fault).await;
        let ended = Instant::now();
        self.board.excuse(from, ended + RECOVERY);
        Done { ended, handed_over: None }
    }

    async fn take_away(&mut self, fault: &Fault) {
        match fault.kind {
            Kind::KillAllServers => {
                (0..SERVERS).for_each(|number| self.kill_server(number));
                sleep(fault.lasts).await;
                for number in 0..SERVERS {
                    self.start_server(number).await;
                }
            }
            Kind::KillPostgres => {
                self.primary.kill();
                sleep(fault.lasts).await;
                self.primary.start().await;
            }
            Kind::RestartPostgres => {
                self.primary.stop_immediately();
                sleep(fault.lasts).await;
                self.primary.start().await;
            }
            Kind::StopPostgres => {
                self.primary.freeze();
                sleep(fault.lasts).await;
                self.primary.thaw();
            }
            Kind::KillBoth => {
                let (number, _) = self.meant(fault);
                self.kill_server(number);
                self.primary.kill();
                sleep(fault.lasts).await;
                self.start_server(number).await;
                self.primary.start().await;
            }
            Kind::ReadOnly => self.read_only(fault).await,
            Kind::ConnectionsUsedUp => self.use_up_connections(fault).await,
            Kind::DiskFull => {
                self.primary.fill_disk();
                sleep(fault.lasts).await;
                self.primary.empty_disk();
                // It may have given up.
                self.primary.start().await;
            }
            Kind::BlackHole => {
                self.each_door(Way::Hole);
                sleep(fault.lasts).await;
                self.each_door(Way::Open);
                if fault.pick.is_multiple_of(2) {
                    self.replicas.iter().for_each(|replica| replica.door.cut());
                }
            }
            Kind::LeaseLocked => self.lock_lease(fault).await,
            Kind::FailOver => self.fail_over(fault).await,
            Kind::StandbyLost => self.lose_standby(fault).await,
            other => unreachable!("{} is no outage", other.name()),
        }
    }

    async fn read_only(&self, fault: &Fault) {
        let set = "alter system set default_transaction_read_only = on";
        self.primary.sql(&[set, "select pg_reload_conf()"]).await.expect("PostgreSQL is there");
        sleep(fault.lasts).await;
        let reset = "alter system reset default_transaction_read_only";
        self.primary.sql(&[reset, "select pg_reload_conf()"]).await.expect("PostgreSQL is there");
    }

    /// Takes every connection that the program's role may have, and those that it has.
    async fn use_up_connections(&self, fault: &Fault) {
        let mut held: Vec<PgConnection> = Vec::new();
        let mine = "set application_name = 'hog'";
        let others = "select pg_terminate_backend(pid) from pg_stat_activity \
                      where usename = 'noetl' and application_name <> 'hog'";
        for _ in 0..3 {
            while let Ok(mut connection) = self.primary.connect("noetl").await {
                if sqlx::raw_sql(mine).execute(&mut connection).await.is_ok() {
                    held.push(connection);
                }
            }
            let _ = self.primary.sql(&[others]).await;
        }
        sleep(fault.lasts).await;
        for connection in held {
            let _ = connection.close().await;
        }
    }

    /// Somebody locks the row of the lease, as the superuser or as the program's own role.
    async fn lock_lease(&self, fault: &Fault) {
        let user = if fault.pick.is_multiple_of(2) { "postgres" } else { "noetl" };
        let options = self.primary.options(user, "metrics");
        let mut connection = PgConnection::connect_with(&options).await.expect("PostgreSQL is there");
        let lock = "begin; select from noetl_metrics.lease for update";
        if sqlx::raw_sql(lock).execute(&mut connection).await.is_ok() {
            sleep(fault.lasts).await;
        }
        // A server that wanted to take over may have ended it.
        let _ = sqlx::raw_sql("rollback").execute(&mut connection).await;
        let _ = connection.close().await;
    }

    /// Makes a standby that every commit waits for.
    async fn follow(&mut self) {
        self.spare.init_as_standby_of(&self.primary);
        self.spare.start().await;
        let set = "alter system set synchronous_standby_names = 'spare'";
        self.primary.sql(&[set, "select pg_reload_conf()"]).await.expect("PostgreSQL is there");
        let deadline = Instant::now() + Duration::from_mins(1);
        let is_sync = "select count(*) = 1 from pg_stat_replication where sync_state = 'sync'";
        while !self.primary.holds(is_sync).await {
            assert!(Instant::now() < deadline, "the standby follows:\n{}", self.spare.log_tail());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// No commit is sure while the standby is away, so none is acknowledged.
    async fn lose_standby(&mut self, fault: &Fault) {
        self.follow().await;
        self.spare.kill();
        sleep(fault.lasts).await;
        if fault.pick.is_multiple_of(2) {
            self.spare.start().await;
        }
        let reset = "alter system reset synchronous_standby_names";
        self.primary.sql(&[reset, "select pg_reload_conf()"]).await.expect("PostgreSQL is there");
        self.spare.kill();
    }

    /// The standby has all that was acknowledged, and becomes the primary when that dies.
    async fn fail_over(&mut self, fault: &Fault) {
        self.follow().await;
        // Reports are acknowledged by both of them.
        sleep(fault.lasts).await;
        self.primary.kill();
        std::mem::swap(&mut self.primary, &mut self.spare);
        let promote = "select pg_promote(true, 30)";
        if fault.pick.is_multiple_of(2) {
            self.turn_doors();
            sleep(fault.lasts / 2).await;
        }
        self.primary.sql(&[promote]).await.expect("the standby is promoted");
        self.turn_doors();
    }

    fn turn_doors(&self) {
        for replica in &self.replicas {
            replica.door.turn_to(self.primary.address());
        }
    }
}
