set local role onekeel_owner;

create schema quota;
grant usage on schema quota to onekeel_quota, onekeel_lead;

-- The catalogue. A change of a plan is a new version; a null limit is unlimited.
create table quota.plans (
    id text not null,
    version integer not null,
    display_name text not null,
    requests_per_minute bigint not null check (requests_per_minute > 0),
    primary key (id, version)
);
create table quota.plan_limits (
    plan_id text not null,
    plan_version integer not null,
    resource text not null check (resource in ('leads', 'campaigns', 'agents', 'storage_bytes')),
    max_units bigint check (max_units >= 0),
    primary key (plan_id, plan_version, resource),
    foreign key (plan_id, plan_version) references quota.plans (id, version)
);
grant select on quota.plans, quota.plan_limits to onekeel_quota;

insert into quota.plans (id, version, display_name, requests_per_minute) values
    ('basic', 1, 'Basic', 100),
    ('professional', 1, 'Professional', 500),
    ('enterprise', 1, 'Enterprise', 2000);
insert into quota.plan_limits (plan_id, plan_version, resource, max_units) values
    ('basic', 1, 'leads', 1000),
    ('basic', 1, 'campaigns', 5),
    ('basic', 1, 'agents', 2),
    ('basic', 1, 'storage_bytes', 1073741824),
    ('professional', 1, 'leads', 10000),
    ('professional', 1, 'campaigns', 20),
    ('professional', 1, 'agents', 5),
    ('professional', 1, 'storage_bytes', 10737418240),
    ('enterprise', 1, 'leads', null),
    ('enterprise', 1, 'campaigns', null),
    ('enterprise', 1, 'agents', null),
    ('enterprise', 1, 'storage_bytes', 107374182400);

-- What a tenant was given. A pending row lowers the caps while a downgrade is examined; it ends by itself.
create table quota.assignments (
    client_id uuid not null,
    state text not null check (state in ('active', 'pending')),
    plan_id text not null,
    plan_version integer not null,
    expires_at timestamptz check ((state = 'pending') = (expires_at is not null)),
    assigned_at timestamptz not null,
    updated_by text not null,
    constraint assignments_pkey primary key (client_id, state),
    constraint assignments_client_fkey foreign key (client_id) references tenant.clients (client_id)
);
select onekeel.tenant_table('quota.assignments');

-- Exceptions from the plan for one tenant; the newest living one of a resource counts.
create table quota.overrides (
    client_id uuid not null,
    id uuid not null,
    resource text not null check (resource in ('leads', 'campaigns', 'agents', 'storage_bytes', 'requests_per_minute')),
    max_units bigint check (max_units >= 0),
    expires_at timestamptz,
    reason text not null,
    author text not null,
    created_at timestamptz not null,
    constraint overrides_pkey primary key (client_id, id),
    constraint overrides_client_fkey foreign key (client_id) references tenant.clients (client_id)
);
select onekeel.tenant_table('quota.overrides');
grant select, insert, update, delete on quota.assignments, quota.overrides to onekeel_quota;

reset role;
