-- A role that Grafana asks as: it reads what is stored, and writes nothing. Run it as the role that
-- NoETL Metrics connects as, or as a superuser, in its database; then set the role's password:
--
--   psql --dbname=noetl --file=role.sql
--   psql --dbname=noetl --command='\password grafana'

create role grafana login connection limit 10;
-- Compiling a plan would take longer than most of these statements.
alter role grafana set jit = off;
alter role grafana set statement_timeout = '30s';

grant usage on schema noetl, noetl_metrics to grafana;
grant select on noetl.metrics, noetl.runtime to grafana;
-- The data, and no keys: there are none in these tables.
grant select on all tables in schema noetl_metrics to grafana;
