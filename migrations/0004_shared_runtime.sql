-- A table noetl.runtime that NoETL made is read and never written: its workers' keys, heartbeats and
-- its own purge depend on every row of it. What registers here and is not NoETL's has its row in
-- noetl_metrics.runtime then.

create table noetl_metrics.runtime (
  runtime_id   bigint primary key,
  name         text not null,
  kind         text not null,
  uri          text,
  status       text not null,
  labels       jsonb,
  capabilities jsonb,
  capacity     integer,
  runtime      jsonb,
  heartbeat    timestamptz not null default now(),
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now(),
  unique (kind, name)
);

-- Whether noetl.runtime is NoETL's.
create function noetl_metrics.runtime_is_shared() returns boolean
language sql stable as $$
  select coalesce(obj_description(to_regclass('noetl.runtime')) not like '%Made by NoETL Metrics%', true)
$$;

-- The expression that reads a column of noetl.runtime, whose names have changed: the first of "names"
-- that the table has, or null.
create function noetl_metrics.runtime_column(names text[], type regtype) returns text
language sql stable as $$
  select coalesce(
    (select format('%I::%s', n.name, type)
     from unnest(names) with ordinality n(name, at)
     join pg_attribute a on a.attrelid = to_regclass('noetl.runtime') and a.attname = n.name
       and a.attnum > 0 and not a.attisdropped
     order by n.at limit 1),
    format('null::%s', type))
$$;

-- All components, or the one with an id. A function and not a view: a view would keep NoETL from
-- changing a table that is its own. A component of NoETL's counts before one of ours of the same
-- name and kind.
create function noetl_metrics.registered(p_id bigint default null)
returns table (
  runtime_id bigint, name text, kind text, uri text, status text, labels jsonb, capabilities jsonb,
  capacity integer, runtime jsonb, heartbeat timestamptz, created_at timestamptz, updated_at timestamptz
)
language plpgsql stable as $$
declare
  theirs text;
begin
  if not noetl_metrics.runtime_is_shared() then
    return query select r.runtime_id, r.name, r.kind, r.uri, r.status, r.labels, r.capabilities, r.capacity,
                        r.runtime, r.heartbeat, r.created_at, r.updated_at
                 from noetl.runtime r where p_id is null or r.runtime_id = p_id;
    return;
  end if;
  if to_regclass('noetl.runtime') is not null then
    select format('select %s from noetl.runtime', string_agg(c.expression || ' as ' || c.name, ', ' order by c.at))
    into theirs
    from (values
      (1, 'runtime_id', 'runtime_id::bigint'),
      (2, 'name', 'name::text'),
      (3, 'kind', noetl_metrics.runtime_column('{kind,component_type}', 'text')),
      (4, 'uri', noetl_metrics.runtime_column('{uri,base_url}', 'text')),
      (5, 'status', 'coalesce(status::text, ''ready'')'),
      (6, 'labels', noetl_metrics.runtime_column('{labels}', 'jsonb')),
      (7, 'capabilities', noetl_metrics.runtime_column('{capabilities}', 'jsonb')),
      (8, 'capacity', noetl_metrics.runtime_column('{capacity}', 'integer')),
      (9, 'runtime', noetl_metrics.runtime_column('{runtime}', 'jsonb')),
      (10, 'heartbeat', format('coalesce(%s, ''epoch'')', noetl_metrics.runtime_column('{heartbeat,last_heartbeat}', 'timestamptz'))),
      (11, 'created_at', format('coalesce(%s, ''epoch'')', noetl_metrics.runtime_column('{created_at}', 'timestamptz'))),
      (12, 'updated_at', format('coalesce(%s, ''epoch'')', noetl_metrics.runtime_column('{updated_at}', 'timestamptz')))
    ) c(at, name, expression);
    return query execute format(
      'with theirs as (%s), '
      'ours as (select r.* from noetl_metrics.runtime r '
      '         where not exists (select from theirs t where t.kind = r.kind and t.name = r.name)) '
      'select * from theirs where $1 is null or runtime_id = $1 '
      'union all select * from ours where $1 is null or runtime_id = $1', theirs) using p_id;
  else
    return query select r.* from noetl_metrics.runtime r where p_id is null or r.runtime_id = p_id;
  end if;
end $$;

-- What keeps this role from working with this database; no row where all is well.
create function noetl_metrics.missing_rights() returns setof text
language sql stable as $$
  select format('SELECT on noetl.runtime: grant select on noetl.runtime to %I', current_user)
  where to_regclass('noetl.runtime') is not null
    and not has_table_privilege(to_regclass('noetl.runtime'), 'select')
  union all
  select format('ownership of noetl_metrics.sample, without which partitions can be neither made nor dropped: '
                'alter table noetl_metrics.sample owner to %I', current_user)
  from pg_class where oid = 'noetl_metrics.sample'::regclass and not pg_has_role(relowner, 'usage')
  union all
  select format('CREATE on schema noetl_metrics: grant create on schema noetl_metrics to %I', current_user)
  where not has_schema_privilege('noetl_metrics', 'create')
$$;

-- INSERT INTO noetl.metrics: finds or makes the series, stores the sample among the late ones.
create or replace function noetl_metrics.insert_metric() returns trigger
language plpgsql as $$
declare
  component record;
  sid       integer;
  print     uuid;
  bad       text;
begin
  if new.runtime_id is null then
    raise not_null_violation using message = 'runtime_id: is missing';
  elsif new.metric_name is null then
    raise not_null_violation using message = 'metric_name: is missing';
  elsif new.metric_type is null then
    raise not_null_violation using message = 'metric_type: is missing';
  elsif new.metric_value is null then
    raise not_null_violation using message = 'metric_value: is missing';
  end if;
  select r.name, r.kind into component from noetl_metrics.registered(new.runtime_id) r limit 1;
  if not found then
    raise foreign_key_violation using message = format('runtime_id: no component has the id %s', new.runtime_id);
  end if;
  if new.labels is not null and jsonb_typeof(new.labels) <> 'object' then
    raise invalid_parameter_value using message = 'labels: must be an object of strings';
  end if;
  select key into bad from jsonb_each(coalesce(new.labels, '{}'))
    where jsonb_typeof(value) <> 'string' or key !~ '^[a-zA-Z_][a-zA-Z0-9_]*$' or key like '\_\_%' limit 1;
  if found then
    raise invalid_parameter_value using message = format('labels: %L is not a label name with a string value', bad);
  end if;
  new."timestamp" := date_trunc('milliseconds', coalesce(new."timestamp", now()));
  if new."timestamp" < 'epoch' or new."timestamp" >= '2039-09-07 15:47:35Z' or new."timestamp" > now() + interval '10 minutes' then
    raise invalid_parameter_value using message = format('timestamp: %s is before 1970 or more than 10 minutes ahead', new."timestamp");
  end if;
  print := noetl_metrics.fingerprint(component.name, component.kind, new.metric_name, new.labels);
  perform noetl_metrics.claim(new.metric_name, new.metric_type, new.help_text, new.unit);
  insert into noetl_metrics.series (fingerprint, runtime_id, component_name, component_type, metric_name, labels, help_text, unit)
    select print, new.runtime_id, component.name, component.kind, new.metric_name, new.labels, new.help_text, new.unit
    where not exists (select from noetl_metrics.series where fingerprint = print)
    on conflict (fingerprint) do nothing;
  select series_id into sid from noetl_metrics.series where fingerprint = print;
  insert into noetl_metrics.sample_late values (sid, new."timestamp", new.metric_value, now())
    on conflict (series_id, "timestamp") do update set value = excluded.value, created_at = excluded.created_at
    returning created_at into new.created_at;
  new.metric_id := noetl_metrics.metric_id(sid, new."timestamp");
  return new;
end $$;
