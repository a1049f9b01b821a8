set local role onekeel_owner;

-- The networks that a tenant's users must call from; no row before the first change, and no network means all of them.
create table tenant.allowlists (
    client_id uuid not null,
    networks text[] not null check (cardinality(networks) <= 100),
    version bigint not null default 1,
    updated_at timestamptz not null,
    updated_by text not null,
    constraint allowlists_pkey primary key (client_id),
    constraint allowlists_client_fkey foreign key (client_id) references tenant.clients (client_id) on delete cascade
);
select onekeel.tenant_table('tenant.allowlists');
grant select, insert, update on tenant.allowlists to onekeel_tenant;

create function tenant.get_allowlist(tenant uuid) returns setof tenant.allowlists
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select a.* from tenant.allowlists a where a.client_id = tenant;
end
$$;

-- What every server must know of a tenant before it serves it, in one round trip.
create function tenant.get_context(tenant uuid) returns table (state text, deleted boolean, plan text, networks text[])
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select c.state, c.deleted_at is not null, c.plan, coalesce(a.networks, '{}')
        from tenant.clients c left join tenant.allowlists a on a.client_id = c.client_id
        where c.client_id = tenant;
end
$$;

revoke all on function tenant.get_allowlist(uuid), tenant.get_context(uuid) from public;
grant execute on function tenant.get_allowlist(uuid), tenant.get_context(uuid) to onekeel_tenant;

reset role;
