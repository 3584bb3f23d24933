-- A sender of remote write 1.0 says the types of metrics beside their samples, and later. Until then a
-- type is inferred; one that was inferred gives way to one that is declared, and to that of a histogram
-- or summary whose other series show it.
alter table noetl_metrics.metric_name add column inferred boolean not null default false;

create function noetl_metrics.claim_as(
  p_name text, p_type text, p_help text, p_unit text, p_inferred boolean
) returns void
language plpgsql as $$
declare
  fam      text := p_name;
  suffixes text[] := '{""}';
  names    text[];
  left_by  text[];
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
  insert into noetl_metrics.metric (family, metric_type, help_text, unit) values (fam, p_type, p_help, p_unit)
    on conflict (family) do update set help_text = coalesce(metric.help_text, excluded.help_text),
      unit = coalesce(metric.unit, excluded.unit)
    where (metric.help_text is null and excluded.help_text is not null) or (metric.unit is null and excluded.unit is not null);
end $$;

create or replace function noetl_metrics.claim(p_name text, p_type text, p_help text, p_unit text) returns void
language sql as $$
  select noetl_metrics.claim_as(p_name, p_type, p_help, p_unit, false)
$$;

-- The same for many names at once: nothing where the claim stands, else the reason why not.
create function noetl_metrics.claim_as_error(
  p_name text, p_type text, p_help text, p_unit text, p_inferred boolean
) returns text
language plpgsql as $$
begin
  perform noetl_metrics.claim_as(p_name, p_type, p_help, p_unit, p_inferred);
  return null;
exception when invalid_parameter_value then
  return sqlerrm;
end $$;
