set local role onekeel_owner;

-- Which tenants changed last, for those who remember something of many of them and ask for all at once what is still true:
-- the transaction that changed what other servers must know of a tenant, or its limit of requests, and how many did so far.
-- Directories. Two that overlap leave the number of either; whoever looked before both ended goes on below both.
create table tenant.changes (
    id uuid not null, changed_in xid8 not null, revision bigint not null default 1, constraint changes_pkey primary key (id)
);
create index changes_changed_in_idx on tenant.changes (changed_in);
create table quota.changes (
    id uuid not null, changed_in xid8 not null, revision bigint not null default 1, constraint changes_pkey primary key (id)
);
create index changes_changed_in_idx on quota.changes (changed_in);

-- Writes the change down in the schema of the table that it is in, within the transaction that makes it.
create function onekeel.note_change() returns trigger
    language plpgsql security definer set search_path = ''
as $$
begin
    execute pg_catalog.format(
        'insert into %I.changes as c (id, changed_in) values ($1, pg_catalog.pg_current_xact_id())'
        ' on conflict (id) do update set changed_in = excluded.changed_in, revision = c.revision + 1', tg_table_schema)
        using coalesce(new.client_id, old.client_id);
    return null;
end
$$;
revoke all on function onekeel.note_change() from public;

create trigger note_change after insert or update or delete on tenant.clients
    for each row execute function onekeel.note_change();
create trigger note_change after insert or update or delete on tenant.allowlists
    for each row execute function onekeel.note_change();
create trigger note_change after insert or update or delete on tenant.domains
    for each row execute function onekeel.note_change();
create trigger note_change after insert or update or delete on quota.assignments
    for each row execute function onekeel.note_change();
create trigger note_change after insert or update or delete on quota.overrides
    for each row execute function onekeel.note_change();

-- What was committed since `since`, and where to go on from. Every transaction below the snapshot's xmin has ended and is
-- seen; one from there on may still be under way, so the next look begins there: it may tell a change twice and misses
-- none. No `since` tells nothing but where to begin. `ahead` means that this database has never been so far.
create function tenant.changes_since(since bigint, most integer)
    returns table (ids uuid[], revisions bigint[], next bigint, ahead boolean)
    language sql stable security definer set search_path = ''
as $$
    with changed as (
        select c.id, c.revision from tenant.changes c
        where c.changed_in >= since::text::xid8 order by c.changed_in limit most
    )
    select coalesce(array_agg(c.id), '{}'), coalesce(array_agg(c.revision), '{}'),
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
        coalesce(since::text::xid8 > pg_snapshot_xmax(pg_current_snapshot()), false)
    from changed c
$$;

create function quota.changes_since(since bigint, most integer)
    returns table (ids uuid[], revisions bigint[], next bigint, ahead boolean)
    language sql stable security definer set search_path = ''
as $$
    with changed as (
        select c.id, c.revision from quota.changes c
        where c.changed_in >= since::text::xid8 order by c.changed_in limit most
    )
    select coalesce(array_agg(c.id), '{}'), coalesce(array_agg(c.revision), '{}'),
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
        coalesce(since::text::xid8 > pg_snapshot_xmax(pg_current_snapshot()), false)
    from changed c
$$;

revoke all on function tenant.changes_since(bigint, integer), quota.changes_since(bigint, integer) from public;
grant execute on function tenant.changes_since(bigint, integer) to onekeel_tenant;
grant execute on function quota.changes_since(bigint, integer) to onekeel_quota;

reset role;
