-- What a component reports has ids that follow one on the other, where it writes its series in the order in
-- which they were made. Such a block needs no ids of its own: it takes a third less of the table, of the
-- log and of the way to it.

-- The series of a block's sample, by its place in the block from 1 on.
create function noetl_metrics.block_series(series_ids integer[], least_id integer, place bigint) returns integer
language sql immutable parallel safe as $$
  select case when series_ids is null then least_id + (place::integer - 1) else series_ids[place::integer] end
$$;

-- Before the table: who reads the view locks it first, too.
create or replace view noetl_metrics.unsealed as
select series_id, "timestamp", value, series_id as least_id, series_id as greatest_id from noetl_metrics.sample
union all
select noetl_metrics.block_series(b.series_ids, b.least_id, u.place), b."timestamp", u.value, b.least_id, b.greatest_id
from noetl_metrics.block b cross join lateral unnest(b."values") with ordinality u(value, place);

alter table noetl_metrics.block alter series_ids drop not null;
comment on table noetl_metrics.block is
  'Samples of open hours: series_ids[i] had values[i] at timestamp, or, where series_ids is null, least_id + i - 1 had. Sealing an hour makes chunks of them.';
comment on column noetl_metrics.block.series_ids is 'Null where they are all from least_id to greatest_id, in this order.';

-- Takes of each block where its ids begin in p_series_ids, null where it needs none. What servers of the
-- version before call stays as it is.
create function noetl_metrics.append_blocks(p_epoch bigint, p_renewals bigint, p_seen_series integer,
  p_times timestamptz[], p_firsts integer[], p_lasts integer[],
  p_least integer[], p_greatest integer[], p_first_ids integer[], p_series_ids integer[], p_values double precision[]) returns void
language plpgsql as $$
begin
  perform noetl_metrics.begin_write(p_epoch, p_renewals, p_seen_series);
  insert into noetl_metrics.block ("timestamp", least_id, greatest_id, series_ids, "values")
  select b.at, b.least, b.greatest, p_series_ids[b.first_id:b.first_id + b.last - b.first], p_values[b.first:b.last]
  from unnest(p_times, p_firsts, p_lasts, p_least, p_greatest, p_first_ids) b(at, first, last, least, greatest, first_id);
end $$;

create or replace function noetl_metrics.unpack_blocks(p_partition text) returns void
language plpgsql set work_mem = '256MB' as $$
declare
  hour record;
begin
  select from_time, to_time into hour from noetl_metrics.partition where name = p_partition and not detach_pending;
  if not found then
    return;
  end if;
  execute format('with taken as (delete from noetl_metrics.block where "timestamp" >= $1 and "timestamp" < $2 '
                 '  returning "timestamp", series_ids, least_id, "values") '
                 'insert into noetl_metrics.%I (series_id, "timestamp", value) '
                 'select noetl_metrics.block_series(t.series_ids, t.least_id, u.place), t."timestamp", u.value '
                 'from taken t cross join lateral unnest(t."values") with ordinality u(value, place) order by 1, 2', p_partition)
    using hour.from_time, hour.to_time;
end $$;
