-- Exemplars of all ways in: of each series, and of each execution that they name, the newest of each
-- minute. They are found by trace and by execution; servers bound how many there are, maintenance how old
-- they get.
alter table noetl_metrics.exemplar
  drop constraint exemplar_pkey,
  drop constraint exemplar_minute_check,
  -- Since 1970, no longer of its hour.
  alter column minute type integer using floor(extract(epoch from "timestamp") / 60)::integer,
  add column exemplar_id bigint generated always as identity primary key;
create unique index exemplar_of_minute
  on noetl_metrics.exemplar (series_id, minute, (coalesce(labels->>'execution_id', '')));
drop index noetl_metrics.exemplar_timestamp;
create index exemplar_newest on noetl_metrics.exemplar ("timestamp", exemplar_id);
-- A label has 128 characters at most, and so has an entry of these.
create index exemplar_trace on noetl_metrics.exemplar ((labels->>'trace_id'))
  where labels->>'trace_id' is not null;
create index exemplar_execution on noetl_metrics.exemplar ((labels->>'execution_id'))
  where labels->>'execution_id' is not null;

comment on view noetl.exemplars is
  'Exemplars: of each series, and of each execution that they name, the newest of each minute.';
