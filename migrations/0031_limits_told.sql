set local role onekeel_owner;

-- Servers hold slices of a tenant's limit of requests that live for seconds: what changes the limit is told to all of them, as
-- what changes the tenant is.
create function onekeel.note_limit() returns trigger
    language plpgsql security definer set search_path = ''
as $$
begin
    insert into tenant.changes as c (id, changed_in)
    values (coalesce(new.client_id, old.client_id), pg_catalog.pg_current_xact_id())
    on conflict (id) do update set changed_in = excluded.changed_in, revision = c.revision + 1;
    return null;
end
$$;
revoke all on function onekeel.note_limit() from public;

create trigger note_limit after insert or update or delete on quota.assignments
    for each row execute function onekeel.note_limit();
create trigger note_limit after insert or update or delete on quota.overrides
    for each row execute function onekeel.note_limit();

reset role;
