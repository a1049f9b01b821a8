-- Roles are cluster-wide, so another database's migration may create them at the same moment.
-- onekeel_owner owns every object and cannot log in; each service has a login of its own that owns nothing.
-- Passwords come later, from files or the environment: a role without one cannot log in by password.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['onekeel_owner', 'onekeel_tenant', 'onekeel_lead', 'onekeel_quota'] loop
        begin
            if role_name = 'onekeel_owner' then
                execute format('create role %I nologin nosuperuser nobypassrls nocreatedb nocreaterole', role_name);
            else
                execute format('create role %I login nosuperuser nobypassrls nocreatedb nocreaterole', role_name);
            end if;
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;
    if not pg_has_role(current_user, 'onekeel_owner', 'member') then
        execute format('grant onekeel_owner to %I', current_user);
    end if;
    execute format('grant create on database %I to onekeel_owner', current_database());
end
$$;
