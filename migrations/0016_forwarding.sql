-- How far each target of --forward-url is, so that the next active server goes on there.

create table noetl_metrics.forward_target (
  target     text primary key,
  -- It has all that transactions below this one stored. The time is one after which the others got
  -- their numbers.
  since_xid  bigint not null,
  since_time timestamptz not null,
  -- While it is brought up: of hours before this one, it has all up to a later place.
  upto_hour  timestamptz,
  upto_xid   bigint,
  upto_time  timestamptz,
  -- The transaction that wrote this row. In a database that was restored from a dump another one did,
  -- and the numbers say nothing there: then the time alone counts.
  written_by bigint not null
);
comment on table noetl_metrics.forward_target is
  'Targets of --forward-url: what was stored before the place is with them.';

-- Whether a row's transaction is not below another one, whose whole number is given; 0 is below all.
-- A row's own number is the lower half of a whole one.
create function noetl_metrics.is_since(row_xmin xid, since bigint) returns boolean
language sql immutable parallel safe as $$
  select since = 0 or mod(row_xmin::text::bigint - mod(since, 4294967296) + 4294967296, 4294967296) < 2147483648
$$;

-- Late samples lose the time of their storing as they are brought into their hour: the newest of it.
alter table noetl_metrics.sealed_hour add column late_at timestamptz;
