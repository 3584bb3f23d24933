-- The store: components, metrics, series, samples. Tables live in schema noetl_metrics; schema
-- noetl gets the face that the API's documentation shows: noetl.runtime, noetl.metrics, noetl.metric.

create schema if not exists noetl;

-- Components. NoETL makes this table itself; where it has not, we make it in the same shape, without
-- its CHECK on kind, since nodes and applications report too.
do $$
begin
  if to_regclass('noetl.runtime') is null then
    create table noetl.runtime (
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
      updated_at   timestamptz not null default now()
    );
    create unique index idx_runtime_kind_name on noetl.runtime (kind, name);
    comment on table noetl.runtime is 'Components that report metrics. Made by NoETL Metrics.';
  end if;
end $$;

-- What is remembered of a component beside its registration.
create table noetl_metrics.component (
  runtime_id  bigint primary key,
  last_report timestamptz,
  accepted    bigint not null default 0,
  rejected    bigint not null default 0,
  ttl         interval
);

-- Metric names. A name belongs to one family of one type for good, so that one report can't break
-- every scrape: a histogram h claims h, h_bucket, h_sum and h_count.
create table noetl_metrics.metric_name (
  metric_name varchar(255) primary key,
  family      varchar(255) not null,
  metric_type varchar(50) not null check (metric_type in ('gauge', 'counter', 'histogram', 'summary'))
);

create table noetl_metrics.metric (
  family      varchar(255) primary key,
  metric_type varchar(50) not null check (metric_type in ('gauge', 'counter', 'histogram', 'summary')),
  help_text   text,
  unit        text,
  ttl         interval
);

-- Series. The id has 23 bits, since it makes the upper part of a sample's metric_id. A series is
-- identified by what a scraper sees of it (fingerprint), not by runtime_id: a component that was
-- purged and registers again goes on with its series, and history outlives the component's row.
create table noetl_metrics.series (
  series_id      integer generated always as identity (maxvalue 8388607) primary key,
  fingerprint    uuid not null unique,
  runtime_id     bigint,
  component_name text not null,
  component_type text not null,
  metric_name    varchar(255) not null references noetl_metrics.metric_name,
  labels         jsonb,
  help_text      text,
  unit           varchar(50),
  created_at     timestamptz not null default now()
);
create index series_metric_name on noetl_metrics.series (metric_name);
create index series_component on noetl_metrics.series (component_name, component_type);
create index series_runtime_id on noetl_metrics.series (runtime_id);
create index series_labels on noetl_metrics.series using gin (labels jsonb_path_ops);

do $$
begin
  -- Only where the table is ours: a foreign key would make NoETL's own purge of runtime rows fail.
  if obj_description('noetl.runtime'::regclass) like '%Made by NoETL Metrics%' then
    alter table noetl_metrics.series add constraint series_runtime_id_fkey
      foreign key (runtime_id) references noetl.runtime on delete set null;
  end if;
end $$;

-- Samples by the hour. No DEFAULT partition: it would forbid DETACH CONCURRENTLY.
create table noetl_metrics.sample (
  series_id   integer not null,
  "timestamp" timestamptz not null,
  value       double precision not null,
  primary key (series_id, "timestamp")
) partition by range ("timestamp");
create index sample_timestamp on noetl_metrics.sample using brin ("timestamp") with (pages_per_range = 16);

-- Samples that are not newer than what their series already has, that no partition fits, or that
-- came by INSERT into noetl.metrics. A late sample overrides one of the same series and time.
create table noetl_metrics.sample_late (
  series_id   integer not null,
  "timestamp" timestamptz not null,
  value       double precision not null,
  created_at  timestamptz not null default now(),
  primary key (series_id, "timestamp")
);
create index sample_late_created_at on noetl_metrics.sample_late (created_at);

-- Replies to reports that came with an Idempotency-Key.
create table noetl_metrics.idempotency (
  key        text primary key,
  reply      jsonb not null,
  created_at timestamptz not null default now()
);

-- Runs of maintenance, newest last; the status page and the API show them.
create table noetl_metrics.maintenance_run (
  run_id             bigint generated always as identity primary key,
  started_at         timestamptz not null default now(),
  finished_at        timestamptz,
  dropped_partitions text[] not null default '{}',
  deleted_samples    bigint not null default 0,
  freed_bytes        bigint not null default 0,
  error              text
);

create sequence noetl_metrics.runtime_seq maxvalue 4194303 cycle;

-- A component's id in the form of NoETL's own: milliseconds since 2024 in the upper 41 bits.
create function noetl_metrics.next_runtime_id() returns bigint
language sql volatile as $$
  select (floor(extract(epoch from clock_timestamp()) * 1000)::bigint - 1704067200000) << 22
       | nextval('noetl_metrics.runtime_seq')
$$;

-- A sample's id: series in the upper 23 bits, milliseconds since 1970 in the lower 41.
create function noetl_metrics.metric_id(series_id integer, at timestamptz) returns bigint
language sql immutable parallel safe as $$
  select (series_id::bigint << 41) | floor(extract(epoch from at) * 1000)::bigint
$$;

-- What makes two label sets the same to a scraper: empty values do not count, nor does a label that
-- repeats the component's own name or type.
create function noetl_metrics.fingerprint(
  component text, component_type text, metric_name text, labels jsonb
) returns uuid
language sql immutable parallel safe as $$
  select md5(jsonb_build_array(component, component_type, metric_name, coalesce((
    select jsonb_object_agg(key, value) from jsonb_each_text(coalesce(labels, '{}'))
    where value <> ''
      and not (key = 'component' and value = component)
      and not (key = 'component_type' and value = component_type)
  ), '{}'))::text)::uuid
$$;

-- Claims a metric name for a type. Raises invalid_parameter_value with the reason where the name,
-- or one that its family needs, belongs to another family or type.
create function noetl_metrics.claim(p_name text, p_type text, p_help text, p_unit text) returns void
language plpgsql as $$
declare
  fam      text := p_name;
  suffixes text[] := '{""}';
  taken    record;
begin
  if p_name !~ '^[a-zA-Z_:][a-zA-Z0-9_:]*$' or p_name in ('noetl_component_up', 'noetl_component_last_report_age_seconds') then
    raise invalid_parameter_value using message =
      format('metric_name: %L is reserved or not a metric name ([a-zA-Z_:][a-zA-Z0-9_:]*)', p_name);
  end if;
  if p_type not in ('gauge', 'counter', 'histogram', 'summary') then
    raise invalid_parameter_value using message =
      format('metric_type: %L is none of gauge, counter, histogram, summary', p_type);
  end if;
  if p_type = 'histogram' then
    fam := coalesce(nullif(regexp_replace(p_name, '_(bucket|sum|count)$', ''), ''), p_name);
    suffixes := '{"",_bucket,_sum,_count}';
  elsif p_type = 'summary' then
    fam := coalesce(nullif(regexp_replace(p_name, '_(sum|count)$', ''), ''), p_name);
    suffixes := '{"",_sum,_count}';
  end if;
  insert into noetl_metrics.metric_name
    select fam || x, fam, p_type from unnest(suffixes) x
    on conflict do nothing;
  select m.* into taken from noetl_metrics.metric_name m
    where m.metric_name = any (select fam || x from unnest(suffixes) x)
      and (m.family <> fam or m.metric_type <> p_type)
    limit 1;
  if found then
    raise invalid_parameter_value using message =
      format('metric_type: %s is a %s here since its first report, not a %s', taken.metric_name, taken.metric_type, p_type);
  end if;
  insert into noetl_metrics.metric values (fam, p_type, p_help, p_unit) on conflict do nothing;
end $$;

-- The same for many names at once: nothing where the claim stands, else the reason why not.
create function noetl_metrics.claim_error(p_name text, p_type text, p_help text, p_unit text) returns text
language plpgsql as $$
begin
  perform noetl_metrics.claim(p_name, p_type, p_help, p_unit);
  return null;
exception when invalid_parameter_value then
  return sqlerrm;
end $$;

-- Creates the hourly partitions that are missing from the hour of "from" on; returns their names.
create function noetl_metrics.create_partitions(from_time timestamptz, hours integer) returns setof text
language plpgsql as $$
declare
  hour timestamptz;
  part text;
begin
  perform pg_advisory_xact_lock(hashtext('noetl_metrics.partitions'));
  for i in 0 .. hours - 1 loop
    hour := date_trunc('hour', from_time, 'UTC') + i * interval '1 hour';
    part := 'sample_' || to_char(hour at time zone 'UTC', 'YYYYMMDD"_"HH24');
    if to_regclass('noetl_metrics.' || part) is null then
      -- Made beside the parent and attached with its bounds proven, so that writers are not blocked.
      execute format('create table noetl_metrics.%I (like noetl_metrics.sample including defaults including constraints, '
                     'constraint bounds check ("timestamp" >= %L and "timestamp" < %L))', part, hour, hour + interval '1 hour');
      execute format('alter table noetl_metrics.sample attach partition noetl_metrics.%I for values from (%L) to (%L)',
                     part, hour, hour + interval '1 hour');
      execute format('alter table noetl_metrics.%I drop constraint bounds', part);
      return next part;
    end if;
  end loop;
end $$;

-- Partitions with their bounds.
create view noetl_metrics.partition as
select c.relname::text as name,
       to_timestamp(substr(c.relname, 8) || ' +00', 'YYYYMMDD_HH24 TZH') as from_time,
       to_timestamp(substr(c.relname, 8) || ' +00', 'YYYYMMDD_HH24 TZH') + interval '1 hour' as to_time,
       i.inhdetachpending as detach_pending
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'noetl_metrics.sample'::regclass;

-- The documented table. One truth over partitions and late samples.
create view noetl.metrics as
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
  from noetl_metrics.sample h
  where not exists (
    select from noetl_metrics.sample_late l
    where l.series_id = h.series_id and l."timestamp" = h."timestamp")
  union all
  select l.series_id, l."timestamp", l.value, l.created_at from noetl_metrics.sample_late l
) v
join noetl_metrics.series s using (series_id)
join noetl_metrics.metric_name n using (metric_name);
comment on view noetl.metrics is
  'Every stored sample. INSERT adds one (metric_id is replaced by the stored one). Made by NoETL Metrics.';

create view noetl.metric as select * from noetl.metrics;
comment on view noetl.metric is 'The same as noetl.metrics, under its older name. Made by NoETL Metrics.';

-- INSERT INTO noetl.metrics: finds or makes the series, stores the sample among the late ones.
create function noetl_metrics.insert_metric() returns trigger
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
  select name, kind into component from noetl.runtime where runtime_id = new.runtime_id;
  if not found then
    raise foreign_key_violation using message = format('runtime_id: no component has the id %s in noetl.runtime', new.runtime_id);
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

create trigger insert_metric instead of insert on noetl.metrics
  for each row execute function noetl_metrics.insert_metric();
create trigger insert_metric instead of insert on noetl.metric
  for each row execute function noetl_metrics.insert_metric();
