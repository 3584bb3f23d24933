-- An hour that is over is sealed: its samples, from rows and blocks, become chunks of a page each, of
-- series that were sampled at the same times, and its partition goes. The program seals
-- (src/store/sealed has the code that packs); this is what unpacks it, for whoever asks in SQL.

create table noetl_metrics.chunk (
  hour        timestamptz not null,
  -- The least and the greatest of series_ids.
  least_id    integer not null,
  greatest_id integer not null,
  -- How many times there are. In milliseconds of the hour, number i of them, counted from 0, is
  -- time_base + time_rise * i / (times - 1), plus the time_width bits from bit i * time_width on.
  times       integer not null,
  time_base   integer not null,
  time_rise   integer not null,
  time_width  integer not null,
  -- Of each series: what its values are, and the first of its bits or doubles; see chunk_value.
  series_ids  integer[] not null,
  shapes      integer[] not null,
  starts      integer[] not null,
  bits        bit varying not null,
  doubles     double precision[] not null
) partition by range (hour);
create index chunk_hour on noetl_metrics.chunk (hour);
create index chunk_series on noetl_metrics.chunk using gist (int4range(least_id, greatest_id, '[]'));
comment on table noetl_metrics.chunk is
  'Sealed samples. The view noetl_metrics.sealed has them as rows.';

-- What is sealed.
create table noetl_metrics.sealed_hour (
  hour      timestamptz primary key,
  samples   bigint not null,
  chunks    bigint not null,
  sealed_at timestamptz not null default now()
);

-- The bits of one whole number; those of a number that may be negative were moved up by half of what
-- they can hold.
create function noetl_metrics.chunk_number(bits bit varying, at integer, width integer) returns bigint
language sql immutable parallel safe as $$
  select substring(bits from at + 1 for width)::bigint
$$;
create function noetl_metrics.chunk_signed(bits bit varying, at integer, width integer) returns bigint
language sql immutable parallel safe as $$
  select substring(bits from at + 1 for width)::bigint - (1::bigint << width) / 2
$$;

-- Value number i, counted from 0, of the n that a series of a chunk has. The lowest 8 bits of its
-- shape are 0 where all have one double, 1 where each has its own; else the values are whole numbers
-- over 10^(kind - 2) up to kind 11, over 2^(kind - 11) from there on. Then the shape has 6 bits each
-- for the widths of a number's own bits, of base and of rise. Where it starts, the bits are base, rise
-- and the numbers': each is base + rise * i / (n - 1), cut towards zero, plus its own.
create function noetl_metrics.chunk_value(
  bits bit varying, doubles double precision[], shape integer, start integer, i integer, n integer
) returns double precision
language sql immutable parallel safe as $$
  select case shape & 255
    when 0 then doubles[start + 1]
    when 1 then doubles[start + 1 + i]
    else (noetl_metrics.chunk_signed(bits, start, shape >> 14 & 63)
          + noetl_metrics.chunk_signed(bits, start + (shape >> 14 & 63), shape >> 20 & 63) * i / greatest(n - 1, 1)
          + noetl_metrics.chunk_number(bits, start + (shape >> 14 & 63) + (shape >> 20 & 63) + i * (shape >> 8 & 63), shape >> 8 & 63)
         )::double precision
         / case when shape & 255 < 12 then ('{1,1e1,1e2,1e3,1e4,1e5,1e6,1e7,1e8,1e9}'::double precision[])[(shape & 255) - 1]
                else (1::bigint << (shape & 255) - 11)::double precision end
    end
$$;

-- Sealed samples. Who names hour and ids beside timestamp and series_id passes chunks over unread.
create view noetl_metrics.sealed as
select u.series_id,
       c.hour + (c.time_base + c.time_rise::bigint * i / greatest(c.times - 1, 1)
                 + noetl_metrics.chunk_number(c.bits, i * c.time_width, c.time_width)) * interval '1 millisecond' as "timestamp",
       noetl_metrics.chunk_value(c.bits, c.doubles, u.shape, u.start, i, c.times) as value,
       c.hour,
       int4range(c.least_id, c.greatest_id, '[]') as ids
from noetl_metrics.chunk c
cross join lateral unnest(c.series_ids, c.shapes, c.starts) u(series_id, shape, start)
cross join lateral generate_series(0, c.times - 1) i;

-- Samples of hours that are not sealed. Who looks for some series says so of the ids too.
create view noetl_metrics.unsealed as
select series_id, "timestamp", value, series_id as least_id, series_id as greatest_id from noetl_metrics.sample
union all
select u.series_id, b."timestamp", u.value, b.least_id, b.greatest_id
from noetl_metrics.block b cross join lateral unnest(b.series_ids, b."values") u(series_id, value);

-- The documented table, and the same from one time to another: of sealed hours the view has to look at
-- every chunk's times, the function only at those of the hours between. It is a query like any other
-- to the planner, with what is asked for besides.
do $do$
declare
  body text := $$
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
  from (select series_id, "timestamp", value from noetl_metrics.unsealed %1$s
        union all
        select series_id, "timestamp", value from noetl_metrics.sealed %1$s %2$s) h
  where not exists (
    select from noetl_metrics.sample_late l
    where l.series_id = h.series_id and l."timestamp" = h."timestamp")
  union all
  select l.series_id, l."timestamp", l.value, l.created_at from noetl_metrics.sample_late l %1$s
) v
join noetl_metrics.series s using (series_id)
join noetl_metrics.metric_name n using (metric_name)$$;
begin
  execute 'create or replace view noetl.metrics as ' || format(body, '', '');
  execute 'create function noetl.metrics_between(start_time timestamptz, end_time timestamptz) returns setof noetl.metrics '
    || 'language sql stable parallel safe as '
    || quote_literal(format(body, 'where "timestamp" between start_time and end_time',
                            'and hour between date_trunc(''hour'', start_time) and end_time'));
end $do$;
comment on function noetl.metrics_between is
  'The rows of noetl.metrics from one time to another, both inclusive; fast over long history.';

drop view noetl_metrics.stored;
drop function noetl_metrics.close_partition(text);

-- Late samples are brought into their hours, hour by hour.
create index sample_late_timestamp on noetl_metrics.sample_late ("timestamp");

-- Makes the partition of chunks for the day of a time.
create function noetl_metrics.create_day(at timestamptz) returns void
language plpgsql as $$
declare
  day  timestamptz := date_trunc('day', at, 'UTC');
  part text := 'chunk_' || to_char(day at time zone 'UTC', 'YYYYMMDD');
begin
  if to_regclass('noetl_metrics.' || part) is null then
    execute format('create table noetl_metrics.%I (like noetl_metrics.chunk including defaults including constraints, '
                   'constraint bounds check (hour >= %L and hour < %L))', part, day, day + interval '1 day');
    -- A chunk fills a page at most: nothing is compressed once more, or stored elsewhere.
    execute format('alter table noetl_metrics.%I alter series_ids set storage plain, alter shapes set storage plain, '
                   'alter starts set storage plain, alter bits set storage plain, alter doubles set storage plain', part);
    execute format('alter table noetl_metrics.chunk attach partition noetl_metrics.%I for values from (%L) to (%L)',
                   part, day, day + interval '1 day');
    execute format('alter table noetl_metrics.%I drop constraint bounds', part);
  end if;
end $$;

-- Days of chunks with their bounds.
create view noetl_metrics.day as
select c.relname::text as name,
       to_timestamp(substr(c.relname, 7) || ' +00', 'YYYYMMDD TZH') as from_time,
       to_timestamp(substr(c.relname, 7) || ' +00', 'YYYYMMDD TZH') + interval '1 day' as to_time,
       i.inhdetachpending as detach_pending
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'noetl_metrics.chunk'::regclass;
