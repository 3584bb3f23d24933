-- A component's own time to live is its name's and kind's, as its series are: one that was purged and
-- registers again has another runtime_id, and its samples are kept as they were.
create table noetl_metrics.component_ttl (
  component_name text not null,
  component_type text not null,
  ttl            interval not null,
  primary key (component_name, component_type)
);
comment on table noetl_metrics.component_ttl is 'For how long samples of components are kept at least.';
insert into noetl_metrics.component_ttl (component_name, component_type, ttl)
  select known.name, known.kind, max(known.ttl)
  from (select s.component_name as name, s.component_type as kind, c.ttl
        from noetl_metrics.component c join noetl_metrics.series s using (runtime_id)
        where c.ttl is not null
        union all
        select r.name, r.kind, c.ttl
        from noetl_metrics.component c cross join lateral noetl_metrics.registered(c.runtime_id) r
        where c.ttl is not null) known
  group by known.name, known.kind;
comment on column noetl_metrics.component.ttl is 'Of versions before noetl_metrics.component_ttl; not read any more.';

-- A metric's stays with it where its type gives way to that of a histogram or summary, which keeps all of
-- its series as long as it kept any of them.
create or replace function noetl_metrics.claim_as(
  p_name text, p_type text, p_help text, p_unit text, p_inferred boolean
) returns void
language plpgsql as $$
declare
  fam      text := p_name;
  suffixes text[] := '{""}';
  names    text[];
  left_by  text[];
  kept     interval;
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
  names := array(select fam || x from unnest(suffixes) x);
  if not p_inferred or p_type in ('histogram', 'summary') then
    with given as (
      select m.metric_name, m.family from noetl_metrics.metric_name m
      where m.metric_name = any (names) and m.inferred for update),
    moved as (
      update noetl_metrics.metric_name m set family = fam, metric_type = p_type, inferred = p_inferred
      from given g where g.metric_name = m.metric_name returning g.family)
    select array_agg(family) into left_by from moved;
    update noetl_metrics.metric set metric_type = p_type where family = fam and family = any (left_by);
    select max(ttl) into kept from noetl_metrics.metric where family = any (left_by);
    delete from noetl_metrics.metric m where m.family = any (left_by)
      and not exists (select from noetl_metrics.metric_name n where n.family = m.family);
  end if;
  insert into noetl_metrics.metric_name (metric_name, family, metric_type, inferred)
    select name, fam, p_type, p_inferred from unnest(names) name
    on conflict do nothing;
  select m.* into taken from noetl_metrics.metric_name m
    where m.metric_name = any (names) and (m.family <> fam or m.metric_type <> p_type)
    limit 1;
  if found then
    raise invalid_parameter_value using message =
      format('metric_type: %s is a %s here since its first report, not a %s', taken.metric_name, taken.metric_type, p_type);
  end if;
  insert into noetl_metrics.metric (family, metric_type, help_text, unit, ttl) values (fam, p_type, p_help, p_unit, kept)
    on conflict (family) do update set help_text = coalesce(metric.help_text, excluded.help_text),
      unit = coalesce(metric.unit, excluded.unit), ttl = greatest(metric.ttl, excluded.ttl)
    where (metric.help_text is null and excluded.help_text is not null) or (metric.unit is null and excluded.unit is not null)
      or excluded.ttl > coalesce(metric.ttl, interval '0');
end $$;
