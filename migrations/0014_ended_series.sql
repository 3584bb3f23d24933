-- Series that said that they have ended: what a server that starts does not export, unless they have a
-- newer sample. Kept for as long as such a series might be exported.
create table noetl_metrics.ended_series (
  series_id integer primary key references noetl_metrics.series on delete cascade,
  ended_at  timestamptz not null
);
comment on table noetl_metrics.ended_series is
  'Series that said that they have ended, and when: they are not exported until a newer sample comes.';
