set local role onekeel_owner;

-- A tenant's own row in one round trip: the setting and the statement travel together and end together.
create function tenant.get_client(tenant uuid) returns setof tenant.clients
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select c.* from tenant.clients c where c.client_id = tenant;
end
$$;

-- Takes back a creation that QuotaService refused: its name and its request id are free again.
create function tenant.abandon_creation(tenant uuid) returns void
    language sql security definer set search_path = ''
as $$
    delete from tenant.slugs where id = tenant;
    delete from tenant.creations where id = tenant;
    delete from tenant.unsettled where id = tenant;
$$;

revoke all on function tenant.get_client(uuid), tenant.abandon_creation(uuid) from public;
grant execute on function tenant.get_client(uuid), tenant.abandon_creation(uuid) to onekeel_tenant;
-- Row-level security lets this reach the acting tenant's own row only.
grant delete on tenant.clients to onekeel_tenant;

reset role;
