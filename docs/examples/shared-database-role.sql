-- The role of NoETL Metrics in NoETL's own database (database.runtime: Shared, --runtime shared), with
-- the least rights it works with. Run it once, as the database's owner or a superuser, connected to
-- that database; then set the role's password:
--
--   psql --dbname=noetl --file=shared-database-role.sql
--   psql --dbname=noetl --command='\password noetl_metrics'
--
-- It can read one table of NoETL's, and write none. NoETL's tables keep their owner.

create role noetl_metrics login nosuperuser nocreatedb nocreaterole connection limit 20;

-- Everything of its own is in this schema.
create schema noetl_metrics authorization noetl_metrics;

-- The views noetl.metrics and noetl.metric stand in NoETL's schema, which is where the documented API
-- has them.
grant usage, create on schema noetl to noetl_metrics;

-- Who is registered, and when each was heard last.
grant select on noetl.runtime to noetl_metrics;

-- The first `noetl-metrics migrate` asks whether the schema noetl is there by a statement for which
-- PostgreSQL wants this right. It may be revoked afterwards.
do $$ begin execute format('grant create on database %I to noetl_metrics', current_database()); end $$;
