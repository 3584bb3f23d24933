//! The database, seen directly: reached, its schema, the role's rights, who holds the lease.

use super::catalogue::{DATABASE_LEASE, DATABASE_REACHED, DATABASE_RIGHTS, DATABASE_SCHEMA, OF_DATABASE};
use super::report::{Outcome, Report, failed, passed, warning};
use crate::store::{
    Database, DatabaseSource, MigrationState, Sizes, StoreError, lease_held, migration_state, missing_rights,
};

/// Connections that are made, at most.
const CONNECTIONS: u32 = 2;

/// All of it, as far as it can be reached.
pub(super) async fn run(source: &DatabaseSource, report: &mut Report<'_>) {
    let why = "the database can't be looked at";
    let database = match reached(source).await {
        Ok(database) => database,
        Err(error) => {
            report.note(DATABASE_REACHED, failed(error.to_string()));
            return report.leave_rest(OF_DATABASE, why);
        }
    };
    let state = migration_state(&database).await;
    report.note(DATABASE_REACHED, size(&database, state.as_ref().is_ok_and(|s| s.applied > 0)).await);
    if report.note(DATABASE_SCHEMA, state.map(schema).map_err(|e| failed(e.to_string()))) {
        report.note(DATABASE_RIGHTS, rights(&database).await);
        report.note(DATABASE_LEASE, lease(&database).await);
    }
    report.leave_rest(OF_DATABASE, why);
    database.close().await;
}

async fn reached(source: &DatabaseSource) -> Result<Database, StoreError> {
    let database = Database::new(source.clone(), CONNECTIONS)?;
    database.reach().await?;
    Ok(database)
}

/// How large it is; what can't be told is no failure.
async fn size(database: &Database, has_tables: bool) -> Outcome {
    if !has_tables {
        return passed("it has no tables of this program yet");
    }
    match Sizes::read(database).await {
        Ok(sizes) => passed(format!(
            "PostgreSQL {}, {} MB, {} partitions of samples",
            sizes.postgres,
            sizes.database_bytes / 1_000_000,
            sizes.partition_count
        )),
        Err(error) => passed(format!("it answers; its size can't be read: {error}")),
    }
}

fn schema(state: MigrationState) -> Outcome {
    let MigrationState { applied, newest } = state;
    match applied.cmp(&newest) {
        std::cmp::Ordering::Equal => passed(format!("version {applied}")),
        std::cmp::Ordering::Less => failed(format!("it is of version {applied}, this program's is {newest}")),
        std::cmp::Ordering::Greater => {
            warning(format!("it is of version {applied}, newer than this program's, {newest}"))
        }
    }
}

async fn rights(database: &Database) -> Outcome {
    match missing_rights(database).await {
        Ok(missing) if missing.is_empty() => passed("none is missing"),
        Ok(missing) => failed(missing.join("; ")),
        Err(error) => failed(error.to_string()),
    }
}

async fn lease(database: &Database) -> Outcome {
    match lease_held(database).await {
        Ok((true, url)) => {
            passed(url.map_or_else(|| "a server holds it".to_owned(), |url| format!("{url} holds it")))
        }
        Ok((false, _)) => failed("no server holds it: nothing is written"),
        Err(error) => failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    #[test]
    fn a_schema_that_is_behind_fails_and_one_that_is_ahead_is_worth_a_look() {
        let of = |applied| schema(MigrationState { applied, newest: 5 }).0;
        assert_eq!([of(4), of(5), of(6)], [Status::Failed, Status::Passed, Status::Warning]);
    }
}
