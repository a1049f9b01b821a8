set local role onekeel_owner;

create schema onekeel;
grant usage on schema onekeel to onekeel_tenant, onekeel_lead, onekeel_quota;

-- Binds the rest of the transaction to one tenant. `set local` and not a function of pg_catalog:
-- only the statement travels to the workers of a distributed Postgres.
create function onekeel.set_tenant(tenant uuid) returns void
    language plpgsql
    set search_path = ''
as $$
begin
    execute format('set local app.current_client_id = %L', tenant);
end
$$;

reset role;
