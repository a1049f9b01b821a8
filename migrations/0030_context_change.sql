set local role onekeel_owner;

-- How often a tenant's context has changed so far. Stable: it sees what was there when the statement began, so what the
-- same statement reads of the context is as new as this number, or newer.
create function tenant.last_change(tenant uuid) returns bigint
    language sql stable security definer set search_path = ''
as $$
    select coalesce((select c.revision from tenant.changes c where c.id = tenant), 0)
$$;

revoke all on function tenant.last_change(uuid) from public;
grant execute on function tenant.last_change(uuid) to onekeel_tenant;

reset role;
