set local role onekeel_owner;

-- Leases far from the limits, as before; but a lease may live long only where it cannot hide that a threshold is passed, which
-- is told when a lease ends: while all that is in use and reserved stays below the first threshold. Beyond that it lives for
-- `brief` microseconds at most, and those that live longer are shortened to that.

-- Leases of these limits that live longer than until `until` end then. One that is being settled is left to who does that, who
-- waits for the limit's lock.
create function quota.shorten_leases(tenant uuid, limits text[], until timestamptz) returns void
    language sql set search_path = ''
begin atomic
    update quota.reservations r set expires_at = until
    where r.client_id = tenant and r.id in (
        select l.id from quota.reservations l
        where l.client_id = tenant and l.resource = any(limits) and l.expires_at > until
        for no key update skip locked
    );
end;

create function quota.reserve_amply(
    tenant uuid, share bigint, brief bigint, limits text[], totals bigint[], largest bigint[],
    ids uuid[], resources text[], amounts bigint[], lives bigint[], requests uuid[], name text
) returns table (granted_at timestamptz, limits_end timestamptz[])
    language plpgsql set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
    -- As `quota.note_threshold` tells it, in per cent.
    first_threshold constant numeric := 80;
    near text[];
    soon timestamptz;
begin
    perform onekeel.set_tenant(tenant);
    -- A lease that a crash takes back takes the charges on it down with it, and later charges stand behind it in the log.
    perform set_config('synchronous_commit', 'off', true);
    select array_agg(l.cap_until order by w.place),
        array_agg(l.resource) filter (
            where (l.used + l.reserved + w.total)::numeric * 100 >= l.cap::numeric * first_threshold
        )
        into limits_end, near
    from (
        select u.resource, u.cap, u.cap_until, u.used, u.reserved from quota.usage u
        where u.client_id = tenant and u.resource = any(limits) order by u.resource for no key update
    ) l
    join unnest(limits, totals, largest) with ordinality as w (resource, total, largest, place) on w.resource = l.resource
    where (l.cap - l.used - l.reserved - w.total) / share >= w.largest;
    -- Outside of the statement that locks: within it, the clock might be looked at before a lock is waited for.
    granted_at := clock_timestamp();
    if cardinality(limits_end) is distinct from cardinality(limits) or granted_at >= any(limits_end) then
        return;
    end if;
    if near is not null then
        soon := granted_at + brief * interval '1 microsecond';
        perform quota.shorten_leases(tenant, near, soon);
        limits_end := array(
            select case when e.resource = any(near) then least(e.ends, soon) else e.ends end
            from unnest(limits, limits_end) with ordinality as e (resource, ends, place) order by e.place
        );
    end if;
    update quota.usage u set reserved = u.reserved + w.total, updated_by = name
    from unnest(limits, totals) as w (resource, total)
    where u.client_id = tenant and u.resource = w.resource;
    -- No lease outlives the limit that it was granted under.
    insert into quota.reservations (client_id, id, resource, amount, created_at, expires_at, request_id)
    select tenant, w.id, w.resource, w.amount, granted_at,
        least(granted_at + w.life * interval '1 microsecond', limits_end[array_position(limits, w.resource)]), w.request
    from unnest(ids, resources, amounts, lives, requests) as w (id, resource, amount, life, request);
    return next;
end
$$;

-- Servers of the version before run beside this schema during a rollout, and ask for a minute.
create or replace function quota.reserve_amply(
    tenant uuid, share bigint, limits text[], totals bigint[], largest bigint[],
    ids uuid[], resources text[], amounts bigint[], lives bigint[], requests uuid[], name text
) returns table (granted_at timestamptz, limits_end timestamptz[])
    language sql set search_path = ''
begin atomic
    select g.granted_at, g.limits_end from quota.reserve_amply(
        tenant, share, 60000000::bigint, limits, totals, largest, ids, resources, amounts, lives, requests, name) as g;
end;

revoke all on function quota.shorten_leases(uuid, text[], timestamptz) from public;
grant execute on function quota.shorten_leases(uuid, text[], timestamptz) to onekeel_quota;
revoke all on function quota.reserve_amply(
    uuid, bigint, bigint, text[], bigint[], bigint[], uuid[], text[], bigint[], bigint[], uuid[], text
) from public;
grant execute on function quota.reserve_amply(
    uuid, bigint, bigint, text[], bigint[], bigint[], uuid[], text[], bigint[], bigint[], uuid[], text
) to onekeel_quota;

reset role;
