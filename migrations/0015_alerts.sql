-- Alerts of the rules that the active server evaluates: pending, firing, and for a while resolved. The
-- next active server goes on with them. A few rows, rewritten as alerts change.
create table noetl_metrics.alert (
  -- Digest of the labels.
  key         text primary key,
  rule        text not null,
  labels      jsonb not null,
  annotations jsonb not null,
  value       double precision not null,
  state       text not null check (state in ('pending', 'firing', 'resolved')),
  active_at   timestamptz not null,
  fired_at    timestamptz,
  kept_since  timestamptz,
  resolved_at timestamptz,
  -- What the webhook was told last.
  told        text check (told in ('firing', 'resolved'))
);
comment on table noetl_metrics.alert is
  'Alerts of the rules of --rules-file, as the active server saw them last.';

-- When the rules were evaluated last: time in which nobody looked does not count for an alert.
create table noetl_metrics.alerting (
  only_row     boolean primary key default true check (only_row),
  evaluated_at timestamptz not null
);
