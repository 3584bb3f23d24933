-- A condition on the times of these views may be looked at before it is known whose partition a table
-- is: the name of any other table is none that has a time.

create or replace view noetl_metrics.partition as
select c.relname::text as name,
       t.from_time,
       t.from_time + interval '1 hour' as to_time,
       i.inhdetachpending as detach_pending,
       exists (select from pg_index x where x.indrelid = c.oid and x.indisunique and x.indisvalid) as closed
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
cross join lateral (select case when c.relname ~ '^sample_[0-9]{8}_[0-9]{2}$'
                                then to_timestamp(substr(c.relname, 8) || ' +00', 'YYYYMMDD_HH24 TZH') end as from_time) t
where i.inhparent = 'noetl_metrics.sample'::regclass;

create or replace view noetl_metrics.day as
select c.relname::text as name,
       t.from_time,
       t.from_time + interval '1 day' as to_time,
       i.inhdetachpending as detach_pending
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
cross join lateral (select case when c.relname ~ '^chunk_[0-9]{8}$'
                                then to_timestamp(substr(c.relname, 7) || ' +00', 'YYYYMMDD TZH') end as from_time) t
where i.inhparent = 'noetl_metrics.chunk'::regclass;

create or replace view noetl_metrics.month as
select c.relname::text as name,
       t.from_time,
       (t.from_time at time zone 'UTC' + interval '1 month') at time zone 'UTC' as to_time,
       i.inhdetachpending as detach_pending
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
cross join lateral (select case when c.relname ~ '^rollup_[0-9]{6}$'
                                then to_timestamp(substr(c.relname, 8) || ' +00', 'YYYYMM TZH') end as from_time) t
where i.inhparent = 'noetl_metrics.rollup_day'::regclass;
