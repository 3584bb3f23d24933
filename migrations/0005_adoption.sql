-- Tables noetl.metrics and noetl.metric that were there before: in the documented form, and in those
-- that NoETL's Python server had. `migrate` moves them out of the way of the views of the same names
-- (noetl_metrics.adopted_*); their rows are copied into the late samples bit by bit, by pages of the
-- table, so that it can end at any moment and go on later. They are left as they are.

create table noetl_metrics.adoption (
  source      text primary key,
  next_page   bigint not null default 0,
  pages       bigint not null,
  adopted     bigint not null default 0,
  refused     bigint not null default 0,
  refusal     text,
  finished_at timestamptz
);
comment on table noetl_metrics.adoption is 'Tables whose rows are copied, each partition for itself, and how far that is.';

-- The expression that reads a column of an adopted table: the first of "names" that it has, or null.
create function noetl_metrics.adopted_column(source regclass, names text[], type regtype) returns text
language sql stable as $$
  select coalesce(
    (select case when a.atttypid = 'timestamp'::regtype and type = 'timestamptz'::regtype
                 -- NoETL wrote UTC without saying so.
                 then format('(%I at time zone ''UTC'')', n.name) else format('%I::%s', n.name, type) end
     from unnest(names) with ordinality n(name, at)
     join pg_attribute a on a.attrelid = source and a.attname = n.name and a.attnum > 0 and not a.attisdropped
     order by n.at limit 1),
    format('null::%s', type))
$$;

-- Notes the tables to be adopted: each with rows of its own, so the partitions and not the whole.
create function noetl_metrics.begin_adoption(p_table regclass) returns void
language plpgsql as $$
declare
  key record;
begin
  -- NoETL's purge of a worker would take rows along that are not copied yet.
  for key in select conname from pg_constraint where conrelid = p_table and contype = 'f' loop
    execute format('alter table %s drop constraint %I', p_table, key.conname);
  end loop;
  insert into noetl_metrics.adoption (source, pages)
  select format('%I.%I', n.nspname, c.relname), pg_relation_size(c.oid) / current_setting('block_size')::bigint
  from (select relid from pg_partition_tree(p_table) where isleaf
        union select p_table where (select relkind from pg_class where oid = p_table) = 'r') t
  join pg_class c on c.oid = t.relid join pg_namespace n on n.oid = c.relnamespace
  on conflict do nothing;
end $$;

-- Labels as they are kept: an object of strings whose names a scraper takes. Null where it is none.
create function noetl_metrics.adopted_labels(labels jsonb) returns jsonb
language sql immutable parallel safe as $$
  select case jsonb_typeof(labels) when 'object' then (
    select coalesce(jsonb_object_agg(regexp_replace(regexp_replace(key, '[^a-zA-Z0-9_]', '_', 'g'), '^([0-9]|__)', '_\1'), value), '{}')
    from jsonb_each_text(labels) where value is not null) end
$$;

-- Copies the rows of some pages of one table; false where nothing is left to do. A row that can't be
-- kept is counted with the reason of the first, and stays where it is.
create function noetl_metrics.adopt(p_pages integer) returns boolean
language plpgsql as $$
declare
  todo  noetl_metrics.adoption;
  taken bigint;
  bad   bigint;
  why   text;
  last  bigint;
begin
  select * into todo from noetl_metrics.adoption where finished_at is null order by source limit 1 for update skip locked;
  if not found then
    return false;
  end if;
  if to_regclass(todo.source) is null then
    update noetl_metrics.adoption set finished_at = now(), refusal = coalesce(refusal, 'the table is gone') where source = todo.source;
    return true;
  end if;
  last := least(todo.next_page + p_pages, todo.pages);
  drop table if exists adopting;
  execute format(
    'create temporary table adopting on commit drop as '
    'select %s as runtime_id, %s as metric_name, lower(%s) as metric_type, %s as value, %s as given, '
    '  noetl_metrics.adopted_labels(%s) as labels, %s as help_text, left(%s, 50) as unit, '
    '  date_trunc(''milliseconds'', %s) as at, coalesce(%s, now()) as created_at, null::text as refusal, '
    '  null::text as component_name, null::text as component_type, null::uuid as print '
    'from %s where ctid >= ''(%s,0)'' and ctid < ''(%s,0)''',
    noetl_metrics.adopted_column(todo.source, '{runtime_id}', 'bigint'),
    noetl_metrics.adopted_column(todo.source, '{metric_name}', 'text'),
    noetl_metrics.adopted_column(todo.source, '{metric_type}', 'text'),
    noetl_metrics.adopted_column(todo.source, '{metric_value}', 'double precision'),
    noetl_metrics.adopted_column(todo.source, '{labels}', 'jsonb'),
    noetl_metrics.adopted_column(todo.source, '{labels}', 'jsonb'),
    noetl_metrics.adopted_column(todo.source, '{help_text}', 'text'),
    noetl_metrics.adopted_column(todo.source, '{unit}', 'text'),
    noetl_metrics.adopted_column(todo.source, '{timestamp,created_at}', 'timestamptz'),
    noetl_metrics.adopted_column(todo.source, '{created_at}', 'timestamptz'),
    todo.source, todo.next_page, last);

  update adopting a set
    component_name = coalesce(r.name, 'runtime-' || coalesce(a.runtime_id::text, 'unknown')),
    component_type = coalesce(r.kind, 'unknown'),
    refusal = case
      when a.metric_name is null then 'metric_name is missing'
      when a.metric_type is null then 'metric_type is missing'
      when a.value is null then 'metric_value is missing'
      when length(a.metric_name) > 255 then 'metric_name is longer than 255'
      when a.given is not null and jsonb_typeof(a.given) not in ('object', 'null') then 'labels are no object'
      when a.at is null or a.at < 'epoch' or a.at >= '2039-09-07 15:47:35Z' then 'timestamp is missing, before 1970 or after 2039'
    end
  from (select distinct x.runtime_id as id from adopting x) i left join noetl_metrics.registered() r on r.runtime_id = i.id
  where a.runtime_id is not distinct from i.id;

  update adopting a set refusal = c.refusal
  from (select k.metric_name, k.metric_type, noetl_metrics.claim_error(k.metric_name, k.metric_type, k.help_text, k.unit) as refusal
        from (select metric_name, metric_type, max(help_text) as help_text, max(unit) as unit from adopting
              where adopting.refusal is null group by metric_name, metric_type
              -- Where a metric has two types, that of most rows is kept.
              order by count(*) desc, metric_name, metric_type) k) c
  where a.refusal is null and c.refusal is not null and a.metric_name = c.metric_name and a.metric_type = c.metric_type;

  update adopting set print = noetl_metrics.fingerprint(component_name, component_type, metric_name, labels) where refusal is null;
  insert into noetl_metrics.series (fingerprint, runtime_id, component_name, component_type, metric_name, labels, help_text, unit)
  select distinct on (a.print) a.print, r.runtime_id, a.component_name, a.component_type, a.metric_name, a.labels, a.help_text, a.unit
  from adopting a left join noetl_metrics.registered() r on r.runtime_id = a.runtime_id
  where a.refusal is null and not exists (select from noetl_metrics.series s where s.fingerprint = a.print)
  order by a.print, a.at desc
  on conflict (fingerprint) do nothing;

  -- What is stored at the same time already is newer than what is adopted.
  insert into noetl_metrics.sample_late (series_id, "timestamp", value, created_at)
  select distinct on (s.series_id, a.at) s.series_id, a.at, a.value, a.created_at
  from adopting a join noetl_metrics.series s on s.fingerprint = a.print
  where a.refusal is null and not exists (
    select from noetl_metrics.sample h where h.series_id = s.series_id and h."timestamp" = a.at)
  order by s.series_id, a.at, a.created_at desc
  on conflict (series_id, "timestamp") do nothing;

  select count(*) filter (where refusal is null), count(refusal), min(refusal) into taken, bad, why from adopting;
  drop table adopting;
  update noetl_metrics.adoption set
    next_page = last, adopted = adopted + taken, refused = refused + bad, refusal = coalesce(adoption.refusal, why),
    finished_at = case when last >= pages then now() end
  where source = todo.source;
  return true;
end $$;
