-- The role behind whatever spans tenants: it may read the directories and nothing that belongs to a tenant. Nobody logs in
-- as it; the functions that walk the directories run as it. Roles are cluster-wide, so another database's migration may
-- create it at the same moment.
do $$
begin
    create role onekeel_platform nologin nosuperuser nobypassrls nocreatedb nocreaterole;
exception when duplicate_object or unique_violation then
    null;
end
$$;
-- So that later migrations can replace those functions.
do $$
begin
    if not pg_has_role('onekeel_owner', 'onekeel_platform', 'member') then
        grant onekeel_platform to onekeel_owner;
    end if;
end
$$;
set local role onekeel_owner;

-- Whoever is given a function must be able to create one at that moment.
grant usage, create on schema tenant, quota to onekeel_platform;
grant select on tenant.slugs, tenant.unsettled, quota.directory to onekeel_platform;
alter function tenant.list_directory(uuid, integer) owner to onekeel_platform;
alter function tenant.find_slug(text) owner to onekeel_platform;
alter function tenant.list_unsettled(integer) owner to onekeel_platform;
alter function quota.list_tenants(uuid, integer) owner to onekeel_platform;
revoke create on schema tenant, quota from onekeel_platform;

reset role;
