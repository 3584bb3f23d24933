-- Hours are those of UTC, whatever the session's time zone: where its hours begin at half past,
-- noetl.metrics_between passed over the hour in which start_time lies.
do $do$
begin
  execute replace(pg_get_functiondef('noetl.metrics_between(timestamptz, timestamptz)'::regprocedure),
                  $$date_trunc('hour', start_time)$$, $$date_trunc('hour', start_time, 'UTC')$$);
end $do$;
