-- Stores the blocks of one transaction. As a function, since PostgreSQL keeps the plan of what a
-- function does for as long as a connection lasts: the statement by itself would be planned for each
-- transaction, which takes it longer than storing the blocks.
create function noetl_metrics.append_blocks(p_epoch bigint, p_times timestamptz[], p_firsts integer[], p_lasts integer[],
  p_least integer[], p_greatest integer[], p_series_ids integer[], p_values double precision[]) returns void
language plpgsql as $$
begin
  perform noetl_metrics.begin_write(p_epoch);
  insert into noetl_metrics.block ("timestamp", least_id, greatest_id, series_ids, "values")
  select b.at, b.least, b.greatest, p_series_ids[b.first:b.last], p_values[b.first:b.last]
  from unnest(p_times, p_firsts, p_lasts, p_least, p_greatest) b(at, first, last, least, greatest);
end $$;
