set local role onekeel_owner;

-- One row for each limit of a tenant. Nothing that changes is indexed, so that updates stay in their page.
create table quota.usage (
    client_id uuid not null,
    resource text not null,
    cap bigint not null default 0 check (cap >= 0),
    cap_until timestamptz,
    used bigint not null default 0,
    reserved bigint not null default 0,
    updated_by text not null,
    constraint usage_pkey primary key (client_id, resource),
    constraint usage_client_fkey foreign key (client_id) references tenant.clients (client_id),
    constraint usage_reserved_check check (reserved >= 0),
    -- A release may overtake the settling of its charge, so `used` alone may be below zero for a moment.
    constraint usage_sum_check check (used + reserved >= 0)
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200);
select onekeel.tenant_table('quota.usage');

-- A lease: `amount` units of a resource, numbered from 0, set aside until it is settled.
create table quota.reservations (
    client_id uuid not null,
    id uuid not null,
    resource text not null,
    amount bigint not null check (amount > 0),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    request_id uuid,
    constraint reservations_pkey primary key (client_id, id),
    constraint reservations_lease_key unique (client_id, id, resource, amount),
    constraint reservations_client_fkey foreign key (client_id) references tenant.clients (client_id)
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500);
create unique index reservations_request_key on quota.reservations (client_id, request_id, resource) where request_id is not null;
create index reservations_resource_idx on quota.reservations (client_id, resource);
select onekeel.tenant_table('quota.reservations');

-- Units that rows hold, written with the row. The key to the lease is the fence: a settled lease is gone,
-- and a charge that comes late fails and takes its row down with it. Never cascade: that would lose charges.
create table quota.charges (
    client_id uuid not null,
    reservation_id uuid not null,
    first_unit bigint not null,
    units bigint not null,
    resource text not null,
    of bigint not null,
    constraint charges_pkey primary key (client_id, reservation_id, first_unit),
    constraint charges_range_check check (first_unit >= 0 and units > 0 and first_unit + units <= of),
    constraint charges_reservation_fkey foreign key (client_id, reservation_id, resource, of)
        references quota.reservations (client_id, id, resource, amount) on delete no action not deferrable
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
select onekeel.tenant_table('quota.charges');

-- Units that deleted rows give back, written with the deletion.
create table quota.releases (
    client_id uuid not null,
    id uuid not null,
    resource text not null,
    units bigint not null check (units > 0),
    constraint releases_pkey primary key (client_id, id),
    constraint releases_client_fkey foreign key (client_id) references tenant.clients (client_id)
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
select onekeel.tenant_table('quota.releases');

grant select, insert, update on quota.usage to onekeel_quota;
grant select, insert, delete on quota.releases to onekeel_quota;
grant select, delete on quota.charges to onekeel_quota;
-- `select … for update` asks for the right to update.
grant select, insert, update, delete on quota.reservations to onekeel_quota;
grant insert on quota.charges, quota.releases to onekeel_lead;

-- Where the sweep starts: the tenants that have limits, and nothing else about them.
create table quota.directory (id uuid primary key);

create function quota.enlist(tenant uuid) returns void
    language sql security definer set search_path = ''
as $$ insert into quota.directory (id) values (tenant) on conflict do nothing $$;

create function quota.list_tenants(after uuid, most integer) returns setof uuid
    language sql security definer set search_path = ''
as $$ select id from quota.directory where id > after order by id limit most $$;

revoke all on all functions in schema quota from public;
grant execute on all functions in schema quota to onekeel_quota;

reset role;
