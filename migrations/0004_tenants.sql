set local role onekeel_owner;

create schema tenant;
grant usage on schema tenant to onekeel_tenant, onekeel_lead, onekeel_quota;

-- The root of all tenant rows. `plan` is what QuotaService last confirmed; `pending_plan` is on its way there.
create table tenant.clients (
    client_id uuid not null,
    display_name text not null,
    slug text not null,
    state text not null check (state in ('provisioning', 'active', 'read_only', 'suspended')),
    plan text,
    pending_plan text,
    pending_overage boolean not null default false,
    version bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    updated_by text not null,
    constraint clients_pkey primary key (client_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 50);
select onekeel.tenant_table('tenant.clients');
grant select, insert, update on tenant.clients to onekeel_tenant;
grant select on tenant.clients to onekeel_lead, onekeel_quota;

-- Directories: what must be unique on the whole platform, and where background work starts. No tenant's content.
create table tenant.slugs (slug text primary key, id uuid not null);
create table tenant.creations (request_id uuid primary key, id uuid not null);
create table tenant.unsettled (id uuid primary key, since timestamptz not null);

create function tenant.claim_slug(wanted text, tenant uuid) returns void
    language sql security definer set search_path = ''
as $$ insert into tenant.slugs (slug, id) values (wanted, tenant) $$;

-- The tenant that a creation's request id stands for: the first one that was claimed.
create function tenant.claim_creation(request uuid, tenant uuid) returns uuid
    language plpgsql security definer set search_path = ''
as $$
begin
    insert into tenant.creations (request_id, id) values (request, tenant) on conflict do nothing;
    return (select id from tenant.creations where request_id = request);
end
$$;

create function tenant.note_unsettled(tenant uuid) returns void
    language sql security definer set search_path = ''
as $$ insert into tenant.unsettled (id, since) values (tenant, now()) on conflict (id) do update set since = excluded.since $$;

create function tenant.forget_unsettled(tenant uuid) returns void
    language sql security definer set search_path = ''
as $$ delete from tenant.unsettled where id = tenant $$;

-- Tenants whose plan has been on its way for longer than a call takes.
create function tenant.list_unsettled(most integer) returns setof uuid
    language sql security definer set search_path = ''
as $$ select id from tenant.unsettled where since < now() - interval '5 seconds' order by since limit most $$;

revoke all on all functions in schema tenant from public;
grant execute on all functions in schema tenant to onekeel_tenant;

reset role;
