-- Exemplars, as remote write brings them: of each series the newest one of each minute, for an hour. A
-- later one of the same minute of an hour takes its place, so no series ever has more than 60.
create table noetl_metrics.exemplar (
  series_id   integer not null,
  minute      smallint not null check (minute between 0 and 59),
  "timestamp" timestamptz not null,
  value       double precision not null,
  labels      jsonb not null,
  primary key (series_id, minute)
);
create index exemplar_timestamp on noetl_metrics.exemplar ("timestamp");

create view noetl.exemplars as
select s.runtime_id, s.component_name, s.component_type, s.metric_name, s.labels,
       e."timestamp", e.value, e.labels as exemplar_labels
from noetl_metrics.exemplar e
join noetl_metrics.series s using (series_id);
comment on view noetl.exemplars is
  'Exemplars that came by remote write: of each series the newest one of each minute, for an hour.';
