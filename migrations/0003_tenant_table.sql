set local role onekeel_owner;

-- Puts the wall around a table: forced row-level security with exactly one permissive policy.
-- Refuses a table whose column client_id may be null, or whose keys or indexes do not begin with it.
create function onekeel.tenant_table(target regclass) returns void
    language plpgsql
    set search_path = ''
as $$
declare
    first_column smallint;
    offender text;
begin
    select attnum into first_column
    from pg_catalog.pg_attribute
    where attrelid = target and attname = 'client_id' and atttypid = 'uuid'::pg_catalog.regtype and attnotnull;
    if first_column is null then
        raise exception 'table % needs a column client_id uuid not null', target;
    end if;

    select indexrelid::pg_catalog.regclass::text into offender
    from pg_catalog.pg_index
    where indrelid = target and indkey[0] <> first_column;
    if offender is not null then
        raise exception 'index % of table % must begin with client_id', offender, target;
    end if;

    select conname into offender
    from pg_catalog.pg_constraint
    where conrelid = target and contype in ('p', 'u', 'f') and conkey[1] <> first_column;
    if offender is not null then
        raise exception 'constraint % of table % must begin with client_id', offender, target;
    end if;

    execute pg_catalog.format('alter table %s enable row level security', target);
    execute pg_catalog.format('alter table %s force row level security', target);
    execute pg_catalog.format(
        'create policy tenant_isolation on %s for all'
        ' using (client_id = (select nullif(current_setting(''app.current_client_id'', true), '''')::uuid))'
        ' with check (client_id = (select nullif(current_setting(''app.current_client_id'', true), '''')::uuid))',
        target);
end
$$;

reset role;
