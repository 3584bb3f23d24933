-- The hour that is being written has no B-tree: keeping one costs PostgreSQL several times what the
-- sample itself does. That no sample is there twice is the active server's doing, which appends only
-- what is newer than the series' last (all else goes to noetl_metrics.sample_late) and is the only
-- one that can commit (noetl_metrics.fence). An hour is closed some minutes after its end: it gets
-- its unique index in one go, and nothing is appended to it any more.

alter table noetl_metrics.sample drop constraint sample_pkey;

-- Partitions with their bounds, and whether each is closed.
create or replace view noetl_metrics.partition as
select c.relname::text as name,
       to_timestamp(substr(c.relname, 8) || ' +00', 'YYYYMMDD_HH24 TZH') as from_time,
       to_timestamp(substr(c.relname, 8) || ' +00', 'YYYYMMDD_HH24 TZH') + interval '1 hour' as to_time,
       i.inhdetachpending as detach_pending,
       exists (select from pg_index x where x.indrelid = c.oid and x.indisunique and x.indisvalid) as closed
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'noetl_metrics.sample'::regclass;

-- What is new in the BRIN indexes on time is described page range by page range, so that readers of
-- the last minutes do not read the hour.
create function noetl_metrics.summarize(p_partition text) returns integer
language sql volatile as $$
  select coalesce(sum(brin_summarize_new_values(i.indexrelid)), 0)::integer
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
  where i.indrelid = to_regclass('noetl_metrics.' || p_partition) and a.amname = 'brin'
$$;

-- Closes an hour. Whoever calls it has seen to it that nobody appends to it any more.
create function noetl_metrics.close_partition(p_partition text) returns void
language plpgsql as $$
declare
  make text := format('create unique index %I on noetl_metrics.%I (series_id, "timestamp")', p_partition || '_key', p_partition);
begin
  if not exists (select from noetl_metrics.partition where name = p_partition and not closed and not detach_pending) then
    return;
  end if;
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
