-- The campaign server's login. Roles are cluster-wide, so another database's migration may create it at the same moment.
do $$
begin
    create role onekeel_campaign login nosuperuser nobypassrls nocreatedb nocreaterole;
exception when duplicate_object or unique_violation then
    null;
end
$$;
set local role onekeel_owner;

create schema campaign;
grant usage on schema onekeel, tenant, quota, campaign to onekeel_campaign;
grant select on tenant.clients to onekeel_campaign;
grant insert on quota.charges, quota.releases to onekeel_campaign;

reset role;
