set local role onekeel_owner;

-- What a tenant chose for itself; no row until the first change. `custom` is the tenant's own.
create table tenant.settings (
    client_id uuid not null,
    time_zone text not null,
    locale text not null,
    contact_email text not null,
    custom jsonb not null,
    version bigint not null default 1,
    updated_at timestamptz not null,
    updated_by text not null,
    constraint settings_pkey primary key (client_id),
    constraint settings_client_fkey foreign key (client_id) references tenant.clients (client_id)
);
select onekeel.tenant_table('tenant.settings');
grant select, insert, update on tenant.settings to onekeel_tenant;

create function tenant.get_settings(tenant uuid) returns setof tenant.settings
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select s.* from tenant.settings s where s.client_id = tenant;
end
$$;

-- A page of tenants in the order of their ids. It walks the directory and reads one tenant at a time, each under its
-- own policy; the last setting ends with the statement.
create function tenant.list_clients(after uuid, most integer, show_deleted boolean) returns setof tenant.clients
    language plpgsql set search_path = ''
as $$
declare
    ids uuid[];
    next_one uuid;
    shown integer := 0;
begin
    loop
        ids := array(select tenant.list_directory(after, most));
        foreach next_one in array ids loop
            perform onekeel.set_tenant(next_one);
            return query select c.* from tenant.clients c
                where c.client_id = next_one and (show_deleted or c.deleted_at is null);
            if found then
                shown := shown + 1;
            end if;
            exit when shown = most;
        end loop;
        exit when shown = most or cardinality(ids) < most;
        after := ids[cardinality(ids)];
    end loop;
end
$$;

create index slugs_id_idx on tenant.slugs (id);

create function tenant.list_directory(after uuid, most integer) returns setof uuid
    language sql security definer set search_path = ''
as $$ select s.id from tenant.slugs s where s.id > after order by s.id limit most $$;

create function tenant.find_slug(wanted text) returns uuid
    language sql security definer set search_path = ''
as $$ select s.id from tenant.slugs s where s.slug = wanted $$;

revoke all on function tenant.get_settings(uuid), tenant.list_clients(uuid, integer, boolean),
    tenant.list_directory(uuid, integer), tenant.find_slug(text) from public;
grant execute on function tenant.get_settings(uuid), tenant.list_clients(uuid, integer, boolean),
    tenant.list_directory(uuid, integer), tenant.find_slug(text) to onekeel_tenant;

reset role;
