-- Roll-ups: what an hour's samples of a series come to, so that steps of whole hours need no samples,
-- and long history is kept in little room. Each has count, sum, min, max, first, last and increase (of
-- a counter within the hour; a fall is a restart at zero). They are made as an hour is sealed.

-- Roll-ups are packed as samples are in noetl_metrics.chunk, whose columns these tables have, and
-- whose functions unpack them. There a series has one shape and one start; here it has seven of each, one
-- after the other: one for each of the seven numbers, over the hours that the row has. Those that are the same
-- share their bits.

-- Of days that are over: a row has series that were sampled in the same hours of the day that begins
-- at `hour`. A partition is a month (UTC).
create table noetl_metrics.rollup_day (like noetl_metrics.chunk) partition by range (hour);
create index rollup_day_hour on noetl_metrics.rollup_day (hour);
create index rollup_day_series on noetl_metrics.rollup_day using gist (int4range(least_id, greatest_id, '[]'));
comment on table noetl_metrics.rollup_day is
  'Roll-ups of days that are over. The view noetl_metrics.rollup has all roll-ups as rows.';

-- Of hours whose day is not packed yet, and what changed of those whose day is: these override. One
-- without samples says that there is none any more.
create table noetl_metrics.rollup_hour (like noetl_metrics.chunk);
alter table noetl_metrics.rollup_hour alter series_ids set storage plain, alter shapes set storage plain,
  alter starts set storage plain, alter bits set storage plain, alter doubles set storage plain;
create index rollup_hour_hour on noetl_metrics.rollup_hour (hour);
comment on table noetl_metrics.rollup_hour is
  'Roll-ups of hours whose day is not packed. The view noetl_metrics.rollup has all roll-ups as rows.';

-- Hours of which every series that was sampled has its roll-up, and how many that are. Where an hour is
-- not in noetl_metrics.sealed_hour any more, its samples are gone.
create table noetl_metrics.rolled_hour (
  hour    timestamptz primary key,
  buckets bigint not null
);

-- Roll-ups as rows. Who names day and ids beside hour and series_id passes rows over unread.
do $do$
declare
  unpacked text := $$
select u.series_id,
       c.hour + (c.time_base + c.time_rise::bigint * i / greatest(c.times - 1, 1)
                 + noetl_metrics.chunk_number(c.bits, i * c.time_width, c.time_width)) * interval '1 millisecond' as hour,
       noetl_metrics.chunk_value(c.bits, c.doubles, c.shapes[u.at - 6], c.starts[u.at - 6], i, c.times)::bigint as count,
       noetl_metrics.chunk_value(c.bits, c.doubles, c.shapes[u.at - 5], c.starts[u.at - 5], i, c.times) as sum,
       noetl_metrics.chunk_value(c.bits, c.doubles, c.shapes[u.at - 4], c.starts[u.at - 4], i, c.times) as min,
       noetl_metrics.chunk_value(c.bits, c.doubles, c.shapes[u.at - 3], c.starts[u.at - 3], i, c.times) as max,
       noetl_metrics.chunk_value(c.bits, c.doubles, c.shapes[u.at - 2], c.starts[u.at - 2], i, c.times) as first,
       noetl_metrics.chunk_value(c.bits, c.doubles, c.shapes[u.at - 1], c.starts[u.at - 1], i, c.times) as last,
       noetl_metrics.chunk_value(c.bits, c.doubles, c.shapes[u.at], c.starts[u.at], i, c.times) as increase,
       date_trunc('day', c.hour, 'UTC') as day,
       int4range(c.least_id, c.greatest_id, '[]') as ids
from noetl_metrics.%s c
cross join lateral (select s.series_id, s.number::integer * 7 as at
                    from unnest(c.series_ids) with ordinality s(series_id, number)) u
cross join lateral generate_series(0, c.times - 1) i$$;
begin
  execute 'create view noetl_metrics.rollup as select d.* from (' || format(unpacked, 'rollup_day') || ') d '
    || 'where not exists (select from noetl_metrics.rollup_hour h where h.hour = d.hour and d.series_id = any(h.series_ids)) '
    || 'union all select h.* from (' || format(unpacked, 'rollup_hour') || ') h where h.count > 0';
end $do$;

-- Makes the partition of roll-ups for the month of a time.
create function noetl_metrics.create_month(at timestamptz) returns void
language plpgsql as $$
declare
  first timestamptz := date_trunc('month', at, 'UTC');
  next  timestamptz := (date_trunc('month', at at time zone 'UTC') + interval '1 month') at time zone 'UTC';
  part  text := 'rollup_' || to_char(first at time zone 'UTC', 'YYYYMM');
begin
  if to_regclass('noetl_metrics.' || part) is null then
    execute format('create table noetl_metrics.%I (like noetl_metrics.rollup_day including defaults including constraints, '
                   'constraint bounds check (hour >= %L and hour < %L))', part, first, next);
    execute format('alter table noetl_metrics.%I alter series_ids set storage plain, alter shapes set storage plain, '
                   'alter starts set storage plain, alter bits set storage plain, alter doubles set storage plain', part);
    execute format('alter table noetl_metrics.rollup_day attach partition noetl_metrics.%I for values from (%L) to (%L)',
                   part, first, next);
    execute format('alter table noetl_metrics.%I drop constraint bounds', part);
  end if;
end $$;

-- Months of roll-ups with their bounds.
create view noetl_metrics.month as
select c.relname::text as name,
       to_timestamp(substr(c.relname, 8) || ' +00', 'YYYYMM TZH') as from_time,
       ((to_timestamp(substr(c.relname, 8) || ' +00', 'YYYYMM TZH') at time zone 'UTC') + interval '1 month') at time zone 'UTC' as to_time,
       i.inhdetachpending as detach_pending
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'noetl_metrics.rollup_day'::regclass;

alter table noetl_metrics.maintenance_run
  add over_size_partitions bigint not null default 0,
  add store_bytes bigint not null default 0;
