-- A database that was put back to an earlier state, from a dump, from an archive, by a standby that had
-- not all, is not the one that the active server knows: it may lack series whose ids memory has, and
-- would give them to others. So the server says with each write what it has seen of this database.

-- Counts the renewals of the lease.
alter table noetl_metrics.lease add column renewals bigint not null default 0;

-- Fails where another server is active by now, and where the database lacks what the active one has seen:
-- so many renewals, and the newest of its series, 0 where it has none.
create function noetl_metrics.fence(p_epoch bigint, p_renewals bigint, p_series integer) returns void
language plpgsql as $$
declare
  found_renewals bigint;
begin
  select renewals into found_renewals from noetl_metrics.lease where epoch = p_epoch for key share;
  if not found then
    raise exception using errcode = 'NM001', message = 'another server is active now';
  end if;
  if found_renewals < p_renewals
     or (p_series > 0 and not exists (select from noetl_metrics.series where series_id = p_series)) then
    raise exception using errcode = 'NM002', message = 'the database was put back to an earlier state';
  end if;
end $$;

create function noetl_metrics.begin_write(p_epoch bigint, p_renewals bigint, p_series integer) returns void
language plpgsql as $$
begin
  perform set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '4s', true);
  if p_epoch is not null then
    perform noetl_metrics.fence(p_epoch, p_renewals, p_series);
  end if;
end $$;

create function noetl_metrics.append_blocks(p_epoch bigint, p_renewals bigint, p_seen_series integer,
  p_times timestamptz[], p_firsts integer[], p_lasts integer[],
  p_least integer[], p_greatest integer[], p_series_ids integer[], p_values double precision[]) returns void
language plpgsql as $$
begin
  perform noetl_metrics.begin_write(p_epoch, p_renewals, p_seen_series);
  insert into noetl_metrics.block ("timestamp", least_id, greatest_id, series_ids, "values")
  select b.at, b.least, b.greatest, p_series_ids[b.first:b.last], p_values[b.first:b.last]
  from unnest(p_times, p_firsts, p_lasts, p_least, p_greatest) b(at, first, last, least, greatest);
end $$;

-- What servers of the version before call.
create or replace function noetl_metrics.fence(p_epoch bigint) returns void
language sql as $$ select noetl_metrics.fence(p_epoch, 0, 0) $$;
create or replace function noetl_metrics.begin_write(p_epoch bigint) returns void
language sql as $$ select noetl_metrics.begin_write(p_epoch, 0, 0) $$;
create or replace function noetl_metrics.append_blocks(p_epoch bigint, p_times timestamptz[], p_firsts integer[], p_lasts integer[],
  p_least integer[], p_greatest integer[], p_series_ids integer[], p_values double precision[]) returns void
language sql as $$
  select noetl_metrics.append_blocks(p_epoch, 0, 0, p_times, p_firsts, p_lasts, p_least, p_greatest, p_series_ids, p_values)
$$;
