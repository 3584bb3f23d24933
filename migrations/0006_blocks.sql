-- What is reported together is stored together: the samples of one time that a group of requests
-- brought are one row of arrays, which costs PostgreSQL a small part of what a row for each sample
-- does. Such rows, blocks, are there for the hours that are open; closing an hour takes them apart
-- into its partition, sorted by series. Samples of a time that few others share are appended to the
-- open partition itself, as before.

create table noetl_metrics.block (
  "timestamp" timestamptz not null,
  -- The least and the greatest of series_ids: what a component reports has ids that lie together, so
  -- who looks for one series passes most blocks over.
  least_id    integer not null,
  greatest_id integer not null,
  series_ids  integer[] not null,
  "values"    double precision[] not null
);
-- A block is small enough for a page; nothing is compressed or stored elsewhere.
alter table noetl_metrics.block alter series_ids set storage plain, alter "values" set storage plain;
create index block_timestamp on noetl_metrics.block ("timestamp");
comment on table noetl_metrics.block is
  'Samples of open hours: series_ids[i] had values[i] at timestamp. Closing an hour moves them into noetl_metrics.sample.';

-- Every sample that came in order, wherever it is by now. Who looks for some series says so of the ids
-- too: those from least_id to greatest_id lie together.
create view noetl_metrics.stored as
select series_id, "timestamp", value, series_id as least_id, series_id as greatest_id from noetl_metrics.sample
union all
select u.series_id, b."timestamp", u.value, b.least_id, b.greatest_id
from noetl_metrics.block b cross join lateral unnest(b.series_ids, b."values") u(series_id, value);

create or replace view noetl.metrics as
select noetl_metrics.metric_id(s.series_id, v."timestamp") as metric_id,
       s.runtime_id,
       s.metric_name,
       n.metric_type,
       v.value as metric_value,
       s.labels,
       s.help_text,
       s.unit,
       v."timestamp",
       v.created_at
from (
  select h.series_id, h."timestamp", h.value, h."timestamp" as created_at
  from noetl_metrics.stored h
  where not exists (
    select from noetl_metrics.sample_late l
    where l.series_id = h.series_id and l."timestamp" = h."timestamp")
  union all
  select l.series_id, l."timestamp", l.value, l.created_at from noetl_metrics.sample_late l
) v
join noetl_metrics.series s using (series_id)
join noetl_metrics.metric_name n using (metric_name);

-- What a transaction of one statement begins with, where it writes: the same as others say by SET
-- LOCAL, and the share of the lease. Without an epoch there is no lease. The locks of the statement's
-- own tables are taken before: only the client's patience bounds the wait for those.
create function noetl_metrics.begin_write(p_epoch bigint) returns void
language plpgsql as $$
begin
  perform set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '4s', true);
  if p_epoch is not null then
    perform noetl_metrics.fence(p_epoch);
  end if;
end $$;

-- Takes the blocks of an hour apart into its partition. One statement, so that no block goes that was
-- not taken apart. The samples of a series come to lie side by side.
create function noetl_metrics.unpack_blocks(p_partition text) returns void
language plpgsql set work_mem = '256MB' as $$
declare
  hour record;
begin
  select from_time, to_time into hour from noetl_metrics.partition where name = p_partition and not detach_pending;
  if not found then
    return;
  end if;
  execute format('with taken as (delete from noetl_metrics.block where "timestamp" >= $1 and "timestamp" < $2 '
                 '  returning "timestamp", series_ids, "values") '
                 'insert into noetl_metrics.%I (series_id, "timestamp", value) '
                 'select u.series_id, t."timestamp", u.value '
                 'from taken t cross join lateral unnest(t.series_ids, t."values") u(series_id, value) order by 1, 2', p_partition)
    using hour.from_time, hour.to_time;
end $$;

-- Closes an hour. Whoever calls it has seen to it that nobody appends to it any more.
create or replace function noetl_metrics.close_partition(p_partition text) returns void
language plpgsql as $$
declare
  make text := format('create unique index %I on noetl_metrics.%I (series_id, "timestamp")', p_partition || '_key', p_partition);
begin
  if not exists (select from noetl_metrics.partition where name = p_partition and not closed and not detach_pending) then
    return;
  end if;
  perform noetl_metrics.unpack_blocks(p_partition);
  begin
    execute make;
  exception when unique_violation then
    -- Rows that somebody put in by hand; the one that was stored last stays.
    execute format('delete from noetl_metrics.%1$I a using noetl_metrics.%1$I b '
                   'where a.series_id = b.series_id and a."timestamp" = b."timestamp" and a.ctid < b.ctid', p_partition);
    execute make;
  end;
  perform noetl_metrics.summarize(p_partition);
end $$;
