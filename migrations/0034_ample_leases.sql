set local role onekeel_owner;

-- Leases far from the limits: all that a batch wishes for, in one statement, as its amounts hardly shrink what is left. Where
-- the limits need a closer look it returns nothing and has written nothing. `share` is the part of what is left after all of
-- them that none may exceed. Lives are microseconds.
create function quota.reserve_amply(
    tenant uuid, share bigint, limits text[], totals bigint[], largest bigint[],
    ids uuid[], resources text[], amounts bigint[], lives bigint[], requests uuid[], name text
) returns table (granted_at timestamptz, limits_end timestamptz[])
    language plpgsql set search_path = '' set plan_cache_mode = force_generic_plan
as $$
begin
    perform onekeel.set_tenant(tenant);
    -- A lease that a crash takes back takes the charges on it down with it, and later charges stand behind it in the log.
    perform set_config('synchronous_commit', 'off', true);
    select array_agg(l.cap_until order by w.place) into limits_end
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
revoke all on function
    quota.reserve_amply(uuid, bigint, text[], bigint[], bigint[], uuid[], text[], bigint[], bigint[], uuid[], text)
    from public;
grant execute on function
    quota.reserve_amply(uuid, bigint, text[], bigint[], bigint[], uuid[], text[], bigint[], bigint[], uuid[], text)
    to onekeel_quota;

reset role;
