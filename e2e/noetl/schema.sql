-- What NoETL's server needs in its database and does not make itself: the tables that its
-- statements name, with their columns and keys. For tests; an installation of NoETL brings its own.
create schema noetl;

-- Who is there. Read by NoETL Metrics where it shares the database.
create table noetl.runtime (
    runtime_id bigint primary key,
    name text not null,
    kind text not null check (kind in ('worker_pool', 'server_api', 'broker')),
    uri text,
    status text not null,
    labels jsonb,
    capabilities jsonb,
    capacity integer,
    runtime jsonb,
    heartbeat timestamptz not null default now(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (kind, name)
);

-- Playbooks, in versions.
create table noetl.resource (name varchar primary key, meta jsonb);
insert into noetl.resource (name) values ('playbook'), ('Playbook');

create sequence noetl.catalog_number;
create table noetl.catalog (
    catalog_id bigint primary key default nextval('noetl.catalog_number'),
    path text not null,
    version smallint not null,
    kind varchar not null references noetl.resource (name),
    content text,
    layout jsonb,
    payload jsonb,
    meta jsonb,
    created_at timestamp not null default now(),
    unique (path, version)
);

-- What happened in each execution, and the tasks that it handed out.
create table noetl.event (
    execution_id bigint,
    event_id bigint,
    catalog_id bigint not null,
    parent_event_id bigint,
    prev_event_id bigint,
    parent_execution_id bigint,
    event_type varchar,
    node_id varchar,
    node_name varchar,
    node_type varchar,
    status varchar,
    duration double precision,
    context jsonb,
    result jsonb,
    meta jsonb,
    error text,
    current_index integer,
    current_item text,
    worker_id varchar,
    distributed_state varchar,
    context_key varchar,
    context_value text,
    trace_component jsonb,
    stack_trace text,
    tenant_id text not null default 'default',
    organization_id text not null default 'default',
    created_at timestamp not null default now(),
    primary key (execution_id, event_id)
);

create table noetl.command (
    command_id bigint primary key,
    event_id bigint,
    execution_id bigint not null,
    catalog_id bigint,
    parent_execution_id bigint,
    step_name text,
    tool_kind text,
    status text,
    attempt integer default 1,
    worker_id text,
    context jsonb,
    result jsonb,
    error text,
    meta jsonb,
    latest_event_id bigint,
    prev_event_id bigint,
    claimed_at timestamptz,
    started_at timestamptz,
    completed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table noetl.projection_snapshot (
    tenant_id text not null default 'default',
    organization_id text not null default 'default',
    aggregate_type text not null,
    aggregate_id text not null,
    version bigint,
    snapshot jsonb,
    checksum text,
    meta jsonb,
    updated_at timestamptz not null default now(),
    primary key (tenant_id, organization_id, aggregate_type, aggregate_id)
);

-- What its statements name too, and the tests' playbooks leave empty.
create table noetl.credential (
    id bigint primary key,
    name text not null unique,
    type text not null,
    data_encrypted text not null,
    schema jsonb,
    meta jsonb,
    tags text [],
    description text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table noetl.keychain (
    cache_key text primary key,
    keychain_name text not null,
    catalog_id bigint not null,
    credential_type text not null,
    cache_type text not null,
    scope_type text not null,
    execution_id bigint,
    parent_execution_id bigint,
    data_encrypted text not null,
    schema jsonb,
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    accessed_at timestamptz not null default now(),
    access_count integer default 0,
    auto_renew boolean default false,
    renew_config jsonb
);

create table noetl.transient (
    execution_id bigint not null,
    var_name text not null,
    var_type text not null,
    var_value jsonb not null,
    source_step text,
    created_at timestamptz not null default now(),
    accessed_at timestamptz not null default now(),
    access_count integer not null default 0,
    primary key (execution_id, var_name)
);

create table noetl.schedule (
    schedule_id bigserial primary key,
    playbook_path text not null,
    enabled boolean not null default true,
    meta jsonb
);
