//! Components: rows of `noetl.runtime`, held in memory by id and by name and kind.
//!
//! Where NoETL made that table, it is read and never written: what registers here and is not there
//! has its row in `noetl_metrics.runtime`. `noetl_metrics.registered()` reads both.

mod row;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::db::{Database, StoreError, sql, sql_made};
use crate::model::{Component, Millis, RuntimeId, Steady};
use row::{COLUMNS, of_noetl, runtime_row, upsert};
pub use row::{Registration, RuntimeRow};

/// What a look-up by name found.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// One component.
    Found(Arc<Component>),
    /// None of that name.
    Unknown,
    /// Several kinds have that name, and none was asked for.
    Ambiguous(Vec<String>),
}

/// The components that this process knows. The database is asked for those it does not.
#[derive(Debug, Default)]
pub struct Components {
    known: RwLock<Known>,
    /// Whether `noetl.runtime` is NoETL's, as the last [`Self::refresh`] found.
    shared: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<RuntimeId, Arc<Component>>,
    by_name: HashMap<Box<str>, Vec<Arc<Component>>>,
}

impl Components {
    /// Reads all components and what is remembered of them. NoETL's server, or SQL, may have added,
    /// changed or removed some; what this process heard since it began to ask counts for more.
    /// Returns how many are gone.
    pub async fn refresh(&self, database: &Database, stale_after_ms: i64) -> Result<usize, StoreError> {
        let began = Steady::now();
        let before: Vec<Arc<Component>> = self.known.read().by_id.values().cloned().collect();
        let mut tx = database.begin().await?;
        let shared = sql("select noetl_metrics.runtime_is_shared()").fetch_one(&mut *tx).await?;
        self.shared.store(shared.try_get(0)?, Ordering::Relaxed);
        let rows = sql(
            "select r.runtime_id, r.name, r.kind, r.status = 'offline' as offline, r.heartbeat = r.updated_at as goodbye, floor(extract(epoch from r.heartbeat) * 1000)::bigint as heartbeat, \
                    floor(extract(epoch from c.last_report) * 1000)::bigint as last_report, \
                    coalesce(c.accepted, 0) as accepted, coalesce(c.rejected, 0) as rejected \
             from noetl_metrics.registered() r left join noetl_metrics.component c using (runtime_id)",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut present = HashSet::with_capacity(rows.len());
        for row in &rows {
            let component = self.hold_row(row)?;
            present.insert(component.id);
            component.restore(
                row.try_get::<Option<i64>, _>("last_report")?.map(Millis),
                row.try_get::<i64, _>("accepted")?.unsigned_abs(),
                row.try_get::<i64, _>("rejected")?.unsigned_abs(),
            );
            component.row_says(row.try_get("offline")?, row.try_get("goodbye")?, began, stale_after_ms);
        }
        let gone: Vec<_> = before.iter().filter(|c| !present.contains(&c.id)).collect();
        for component in &gone {
            self.forget(component);
        }
        Ok(gone.len())
    }

    /// The components in memory.
    pub fn all(&self) -> Vec<Arc<Component>> {
        let mut all: Vec<_> = self.known.read().by_id.values().cloned().collect();
        all.sort_by(|a, b| (&a.name, &a.kind).cmp(&(&b.name, &b.kind)));
        all
    }

    /// The component with this id, from memory or from the database.
    pub async fn by_id(
        &self,
        database: &Database,
        id: RuntimeId,
    ) -> Result<Option<Arc<Component>>, StoreError> {
        let known = self.known_by_id(id);
        if known.is_some() {
            return Ok(known);
        }
        let mut tx = database.begin().await?;
        let row = sql(
            "select runtime_id, name, kind, floor(extract(epoch from heartbeat) * 1000)::bigint as heartbeat \
                       from noetl_metrics.registered($1)",
        )
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(|row| self.hold_row(&row)).transpose()
    }

    /// The component of this name, and of this kind if one is given.
    pub async fn by_name(
        &self,
        database: &Database,
        name: &str,
        kind: Option<&str>,
    ) -> Result<Lookup, StoreError> {
        match self.known_by_name(name, kind) {
            Lookup::Unknown => {}
            found => return Ok(found),
        }
        let mut tx = database.begin().await?;
        let rows = sql(
            "select runtime_id, name, kind, floor(extract(epoch from heartbeat) * 1000)::bigint as heartbeat \
                        from noetl_metrics.registered() where name = $1",
        )
        .bind(name)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        for row in &rows {
            self.hold_row(row)?;
        }
        Ok(self.known_by_name(name, kind))
    }

    /// The component that has this id in memory.
    pub fn known_by_id(&self, id: RuntimeId) -> Option<Arc<Component>> {
        self.known.read().by_id.get(&id).cloned()
    }

    /// What [`Self::by_name`] finds in memory.
    pub fn known_by_name(&self, name: &str, kind: Option<&str>) -> Lookup {
        let known = self.known.read();
        let same_name = known.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        match (kind, same_name) {
            (Some(kind), all) => all
                .iter()
                .find(|c| &*c.kind == kind)
                .map_or(Lookup::Unknown, |c| Lookup::Found(Arc::clone(c))),
            (None, []) => Lookup::Unknown,
            (None, [one]) => Lookup::Found(Arc::clone(one)),
            (None, several) => Lookup::Ambiguous(several.iter().map(|c| c.kind.to_string()).collect()),
        }
    }

    /// Registers a component, or brings its registration up to date; its id stays. One that NoETL
    /// registered is left as it is.
    pub async fn register(
        &self,
        database: &Database,
        r: &Registration,
    ) -> Result<(RuntimeRow, Arc<Component>), StoreError> {
        let mut tx = database.begin_write().await?;
        let theirs = if self.is_shared() { of_noetl(&mut tx, r).await? } else { None };
        let row = match theirs {
            Some(row) => row,
            None => upsert(&mut tx, self.own_table(), r).await?,
        };
        let id: i64 = row.try_get("runtime_id")?;
        // A component that was purged and comes back goes on with its series.
        sql("update noetl_metrics.series set runtime_id = $1 \
             where component_name = $2 and component_type = $3 and runtime_id is distinct from $1")
        .bind(id)
        .bind(&r.name)
        .bind(&r.kind)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let component = self.hold(RuntimeId(id), &r.name, &r.kind, Millis::now());
        component.beat(Millis::now());
        Ok((runtime_row(&row)?, component))
    }

    /// Notes a heartbeat; `false` where the component is not registered.
    pub async fn heartbeat(
        &self,
        database: &Database,
        component: &Component,
        status: Option<&str>,
    ) -> Result<bool, StoreError> {
        let mut tx = database.begin_write().await?;
        let table = self.own_table();
        let text = format!(
            "update {table} set heartbeat = now(), status = coalesce($2, case when status = 'offline' then 'ready' else status end) \
             where runtime_id = $1"
        );
        let done = sql_made(text).bind(component.id.0).bind(status).execute(&mut *tx).await?;
        // A row of NoETL's is not touched, but must be there.
        let known = done.rows_affected() > 0
            || sql("select from noetl_metrics.registered($1)")
                .bind(component.id.0)
                .fetch_optional(&mut *tx)
                .await?
                .is_some();
        tx.commit().await?;
        if known {
            component.beat(Millis::now());
        } else {
            self.forget(component);
        }
        Ok(known)
    }

    /// Marks a component offline, unless NoETL registered it. Its row and its history stay. That it was
    /// heard at that very moment tells it from one that fell silent.
    pub async fn deregister(&self, database: &Database, component: &Component) -> Result<(), StoreError> {
        let mut tx = database.begin_write().await?;
        let table = self.own_table();
        let text = format!(
            "update {table} set status = 'offline', heartbeat = now(), updated_at = now() where runtime_id = $1"
        );
        sql_made(text).bind(component.id.0).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// The registered components, newest heartbeat first.
    pub async fn list(
        &self,
        database: &Database,
        kind: Option<&str>,
        status: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<RuntimeRow>, StoreError> {
        let mut tx = database.begin().await?;
        let text = format!(
            "select {COLUMNS} from noetl_metrics.registered() where ($1::text is null or kind = $1) and ($2::text is null or status = $2) \
             and ($3::text is null or position($3 in name) > 0) order by heartbeat desc, runtime_id limit 10000"
        );
        let rows = sql_made(text).bind(kind).bind(status).bind(name).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(runtime_row).collect()
    }

    /// The row of one component.
    pub async fn row(&self, database: &Database, id: RuntimeId) -> Result<Option<RuntimeRow>, StoreError> {
        let mut tx = database.begin().await?;
        let text = format!("select {COLUMNS} from noetl_metrics.registered($1)");
        let row = sql_made(text).bind(id.0).fetch_optional(&mut *tx).await?;
        tx.commit().await?;
        row.as_ref().map(runtime_row).transpose()
    }

    /// Writes down what is remembered of components.
    pub async fn save(&self, database: &Database) -> Result<(), StoreError> {
        let all = self.all();
        let known: Vec<_> = all.iter().filter(|c| c.last_report().is_some() || c.rejected() > 0).collect();
        let mut tx = database.begin_write().await?;
        sql("insert into noetl_metrics.component as c (runtime_id, last_report, accepted, rejected) \
             select id, case when at > 0 then timestamptz 'epoch' + at * interval '1 ms' end, accepted, rejected \
             from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) u(id, at, accepted, rejected) order by id \
             on conflict (runtime_id) do update set last_report = greatest(c.last_report, excluded.last_report), \
               accepted = excluded.accepted, rejected = excluded.rejected \
             where (c.last_report, c.accepted, c.rejected) is distinct from (excluded.last_report, excluded.accepted, excluded.rejected)")
            .bind(known.iter().map(|c| c.id.0).collect::<Vec<_>>())
            .bind(known.iter().map(|c| c.last_report().map_or(0, |t| t.0)).collect::<Vec<_>>())
            .bind(known.iter().map(|c| c.accepted().cast_signed()).collect::<Vec<_>>())
            .bind(known.iter().map(|c| c.rejected().cast_signed()).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Says in our table which components are silent, and which were heard again. Of those that NoETL
    /// registered, NoETL's own word stands.
    pub async fn mark(
        &self,
        database: &Database,
        silent: &[RuntimeId],
        returned: &[RuntimeId],
        stale_after_ms: i64,
    ) -> Result<(), StoreError> {
        let ids = |list: &[RuntimeId]| list.iter().map(|id| id.0).collect::<Vec<_>>();
        let mut tx = database.begin_write().await?;
        let table = self.own_table();
        let offline = format!(
            "update {table} set status = 'offline', updated_at = now() \
             where runtime_id = any($1) and status <> 'offline' and heartbeat < now() - $2 * interval '1 ms'"
        );
        sql_made(offline).bind(ids(silent)).bind(stale_after_ms).execute(&mut *tx).await?;
        let ready = format!(
            "update {table} set status = 'ready', updated_at = now() where runtime_id = any($1) and status = 'offline'"
        );
        sql_made(ready).bind(ids(returned)).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }

    /// The table in which this program registers components.
    fn own_table(&self) -> &'static str {
        if self.is_shared() { "noetl_metrics.runtime" } else { "noetl.runtime" }
    }

    fn hold_row(&self, row: &PgRow) -> Result<Arc<Component>, StoreError> {
        Ok(self.hold(
            RuntimeId(row.try_get("runtime_id")?),
            row.try_get("name")?,
            row.try_get("kind")?,
            Millis(row.try_get("heartbeat")?),
        ))
    }

    /// The one copy in memory of this component.
    fn hold(&self, id: RuntimeId, name: &str, kind: &str, heartbeat: Millis) -> Arc<Component> {
        let mut known = self.known.write();
        if let Some(component) = known.by_id.get(&id) {
            component.has_beaten(heartbeat);
            return Arc::clone(component);
        }
        let component = Arc::new(Component::new(id, name, kind, heartbeat));
        known.by_id.insert(id, Arc::clone(&component));
        let Known { by_id, by_name } = &mut *known;
        let same_name = by_name.entry(name.into()).or_default();
        // A row that was deleted and made again has a new id.
        same_name.retain(|old| {
            let replaced = &*old.kind == kind;
            if replaced {
                old.set_purged();
                by_id.remove(&old.id);
            }
            !replaced
        });
        same_name.push(Arc::clone(&component));
        component
    }

    /// Drops a component whose row is gone.
    pub fn forget(&self, component: &Component) {
        component.set_purged();
        let mut known = self.known.write();
        known.by_id.remove(&component.id);
        if let Some(same_name) = known.by_name.get_mut(&component.name) {
            same_name.retain(|c| c.id != component.id);
        }
    }
}
