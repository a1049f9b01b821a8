set local role onekeel_owner;

-- Domains that a tenant says are its own, with the token that proves it by DNS.
create table tenant.domains (
    client_id uuid not null,
    id uuid not null,
    name text not null,
    token text not null,
    verified_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    updated_by text not null,
    constraint domains_pkey primary key (client_id, id),
    constraint domains_name_key unique (client_id, name),
    constraint domains_client_fkey foreign key (client_id) references tenant.clients (client_id) on delete cascade
);
select onekeel.tenant_table('tenant.domains');
grant select, insert, update, delete on tenant.domains to onekeel_tenant;

-- Directory: whose a verified domain is. The whole platform has each once.
create table tenant.hosts (host text not null, id uuid not null, constraint hosts_pkey primary key (host));
create index hosts_id_idx on tenant.hosts (id);

-- Takes a name for the transaction's own tenant, which must have proved it: the policy binds the owner too.
create function tenant.claim_host(wanted text, tenant uuid) returns void
    language plpgsql security definer set search_path = ''
as $$
begin
    insert into tenant.hosts (host, id)
        select d.name, d.client_id from tenant.domains d
        where d.client_id = tenant and d.name = wanted and d.verified_at is not null;
    if not found then
        raise exception 'the tenant has not proved this name';
    end if;
end
$$;

create function tenant.release_host(wanted text, tenant uuid) returns void
    language sql security definer set search_path = ''
as $$ delete from tenant.hosts h where h.host = wanted and h.id = tenant $$;

-- A deleted tenant lets go of its names, so that their owner can bring them to another one. When it comes back, it has those
-- again that nobody else has proved meanwhile; the others are to be proved anew.
create function tenant.release_hosts(tenant uuid) returns void
    language sql security definer set search_path = ''
as $$ delete from tenant.hosts h where h.id = tenant $$;

create function tenant.reclaim_hosts(tenant uuid) returns void
    language plpgsql security definer set search_path = ''
as $$
begin
    insert into tenant.hosts (host, id)
        select d.name, d.client_id from tenant.domains d
        where d.client_id = tenant and d.verified_at is not null
        order by d.name
    on conflict (host) do nothing;
    update tenant.domains d set verified_at = null, updated_at = now(), updated_by = 'undelete_tenant'
        where d.client_id = tenant and d.verified_at is not null
            and not exists (select from tenant.hosts h where h.host = d.name and h.id = tenant);
end
$$;

create function tenant.find_host(wanted text) returns uuid
    language sql security definer set search_path = ''
as $$ select h.id from tenant.hosts h where h.host = wanted $$;

create or replace function tenant.abandon_creation(tenant uuid) returns void
    language sql security definer set search_path = ''
as $$
    delete from tenant.slugs where id = tenant;
    delete from tenant.creations where id = tenant;
    delete from tenant.unsettled where id = tenant;
    delete from tenant.hosts where id = tenant;
$$;

create function tenant.list_domains(tenant uuid) returns setof tenant.domains
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select d.* from tenant.domains d where d.client_id = tenant order by d.name;
end
$$;

-- As before, with the names by which the tenant is reached. A server of yesterday reads the columns that it knows.
drop function tenant.get_context(uuid);
create function tenant.get_context(tenant uuid)
    returns table (state text, deleted boolean, plan text, networks text[], slug text, domains text[])
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select c.state, c.deleted_at is not null, c.plan, coalesce(a.networks, '{}'), c.slug,
            array(select d.name from tenant.domains d
                where d.client_id = tenant and d.verified_at is not null order by d.name)
        from tenant.clients c left join tenant.allowlists a on a.client_id = c.client_id
        where c.client_id = tenant;
end
$$;

revoke all on function tenant.claim_host(text, uuid), tenant.release_host(text, uuid), tenant.find_host(text),
    tenant.release_hosts(uuid), tenant.reclaim_hosts(uuid),
    tenant.list_domains(uuid), tenant.get_context(uuid) from public;
grant execute on function tenant.claim_host(text, uuid), tenant.release_host(text, uuid), tenant.find_host(text),
    tenant.release_hosts(uuid), tenant.reclaim_hosts(uuid),
    tenant.list_domains(uuid), tenant.get_context(uuid) to onekeel_tenant;

grant usage, create on schema tenant to onekeel_platform;
grant select on tenant.hosts to onekeel_platform;
alter function tenant.find_host(text) owner to onekeel_platform;
revoke create on schema tenant from onekeel_platform;

reset role;
