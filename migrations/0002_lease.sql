-- Which server is active. Every transaction of its that writes holds a share of the row's key, and
-- whoever takes over locks the row first: so no write of the former one is committed after it.

create table noetl_metrics.lease (
  only_row   boolean primary key default true check (only_row),
  -- Counts the take-overs.
  epoch      bigint not null,
  holder     text not null,
  -- Where the others forward requests to; null where there is only one server.
  url        text,
  renewed_at timestamptz not null,
  duration   interval not null
);
insert into noetl_metrics.lease values (true, 0, '', null, '-infinity', '0');

-- Fails where another server is active by now.
create function noetl_metrics.fence(p_epoch bigint) returns void
language plpgsql as $$
begin
  perform from noetl_metrics.lease where epoch = p_epoch for key share;
  if not found then
    raise exception using errcode = 'NM001', message = 'another server is active now';
  end if;
end $$;
