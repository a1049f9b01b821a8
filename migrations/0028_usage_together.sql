set local role onekeel_owner;

-- Adds what a service counted for several tenants, each within its own wall: the policy sees one tenant after the other.
-- Whoever calls it passes them in one order, so that two servers never wait for one another. Returns those that are not
-- there (any more).
create function quota.add_usage(tenants uuid[], days integer[], service text, requests bigint[], errors bigint[],
    rows bigint[], bytes bigint[], database_micros bigint[], author text) returns uuid[]
    language plpgsql set search_path = ''
as $$
declare
    missing uuid[] := '{}';
begin
    for place in 1..cardinality(tenants) loop
        perform onekeel.set_tenant(tenants[place]);
        insert into quota.usage_days as u
            (client_id, day, service, requests, errors, rows, bytes, database_micros, updated_by)
        select c.client_id, date '1970-01-01' + days[place], add_usage.service, add_usage.requests[place],
            add_usage.errors[place], add_usage.rows[place], add_usage.bytes[place], add_usage.database_micros[place], author
        from tenant.clients c where c.client_id = tenants[place]
        on conflict on constraint usage_days_pkey do update set requests = u.requests + excluded.requests,
            errors = u.errors + excluded.errors, rows = u.rows + excluded.rows, bytes = u.bytes + excluded.bytes,
            database_micros = u.database_micros + excluded.database_micros, updated_by = excluded.updated_by;
        if not found then
            missing := missing || tenants[place];
        end if;
    end loop;
    return missing;
end
$$;
revoke all on function quota.add_usage(uuid[], integer[], text, bigint[], bigint[], bigint[], bigint[], bigint[], text) from public;
grant execute on function quota.add_usage(uuid[], integer[], text, bigint[], bigint[], bigint[], bigint[], bigint[], text)
    to onekeel_tenant, onekeel_lead, onekeel_campaign, onekeel_quota;

reset role;
