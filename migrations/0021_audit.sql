set local role onekeel_owner;

create schema audit;
grant usage on schema audit to onekeel_tenant, onekeel_lead, onekeel_quota, onekeel_campaign;

-- Who did what, written in the transaction that did it. `created_at` is read from the database's clock just before the
-- commit, while the transaction still holds the rows that it changed, so that the events of one resource are in the order
-- of its changes. No foreign key: a tenant that was taken back goes, and what is the platform's own stands under the id
-- 00000000-0000-0000-0000-000000000000.
create table audit.events (
    client_id uuid not null,
    created_at timestamptz not null,
    id uuid not null,
    caller_kind smallint not null check (caller_kind between 1 and 5),
    caller text not null,
    role text not null,
    method text not null,
    -- Null where a support operator looked around.
    resource_type text,
    resource_id text,
    resources integer not null check (resources >= 0),
    before_digest bytea check (octet_length(before_digest) = 32),
    after_digest bytea check (octet_length(after_digest) = 32),
    trace_id uuid,
    source text,
    reason text,
    constraint events_pkey primary key (client_id, created_at, id)
);
create index events_resource_idx on audit.events (client_id, resource_id, created_at, id) where resource_id is not null;
select onekeel.tenant_table('audit.events');

-- Events are added and read; nobody changes one.
grant insert on audit.events to onekeel_tenant, onekeel_lead, onekeel_quota, onekeel_campaign;
grant select on audit.events to onekeel_tenant;

-- Writes an event in the message that also commits. The policy lets it be one of the transaction's own tenant only.
create function audit.note(tenant uuid, event uuid, caller_kind smallint, caller text, role text, method text,
    resource_type text, resource_id text, resources integer, before_digest bytea, after_digest bytea, trace uuid,
    source text, reason text) returns void
    language plpgsql set search_path = ''
as $$
begin
    insert into audit.events (client_id, created_at, id, caller_kind, caller, role, method, resource_type, resource_id,
        resources, before_digest, after_digest, trace_id, source, reason)
    values (tenant, clock_timestamp(), event, caller_kind, caller, role, method, resource_type, resource_id, resources,
        before_digest, after_digest, trace, source, reason);
end
$$;

-- A page of events, newest first. Time and resource have indexes; caller and method are looked for in the next 10,000
-- events at most, so that no page takes long. When that ends before the page is full, a last row that is not `shown` says
-- where to go on.
create function audit.list_events(tenant uuid, from_time timestamptz, before_time timestamptz, resource text,
    wanted_caller text, wanted_method text, after_time timestamptz, after_id uuid, most bigint)
    returns table (created_at timestamptz, id uuid, caller_kind smallint, caller text, role text, method text,
        resource_type text, resource_id text, resources integer, before_digest bytea, after_digest bytea, trace_id uuid,
        source text, reason text, shown boolean)
    language plpgsql set search_path = ''
as $$
declare
    walked text := 'select e.created_at, e.id, e.caller_kind, e.caller, e.role, e.method, e.resource_type, e.resource_id,
        e.resources, e.before_digest, e.after_digest, e.trace_id, e.source, e.reason
        from audit.events e where e.client_id = $1';
    newest_first constant text := ' order by created_at desc, id desc limit ';
    found_ones bigint;
begin
    perform onekeel.set_tenant(tenant);
    walked := walked
        || case when from_time is null then '' else ' and e.created_at >= $2' end
        || case when before_time is null then '' else ' and e.created_at < $3' end
        || case when resource is null then '' else ' and e.resource_id = $4' end
        || case when after_id is null then '' else ' and (e.created_at, e.id) < ($7, $8)' end
        || newest_first || 10000;
    return query execute 'select w.*, true from (' || walked || ') w
        where ($5 is null or w.caller = $5)
            and ($6 is null or w.method = $6 or right(w.method, length($6) + 1) = ''/'' || $6)'
        || newest_first || '$9'
        using tenant, from_time, before_time, resource, wanted_caller, wanted_method, after_time, after_id, most;
    get diagnostics found_ones = row_count;
    if found_ones < most then
        return query execute 'select w.*, false from (' || walked || ') w offset 9999'
            using tenant, from_time, before_time, resource, wanted_caller, wanted_method, after_time, after_id, most;
    end if;
end
$$;

-- Deletes events that are older than a time and than thirty days, whatever it is asked for, and says how many. Nothing
-- else deletes one; the owner is bound by the policy too.
create function audit.prune(tenant uuid, older_than timestamptz, most integer) returns bigint
    language plpgsql security definer set search_path = ''
as $$
declare
    pruned bigint;
begin
    delete from audit.events e using (
        select o.created_at, o.id from audit.events o
        where o.client_id = tenant and o.created_at < least(older_than, now() - interval '30 days')
        order by o.created_at, o.id limit most
    ) old
    where e.client_id = tenant and e.created_at = old.created_at and e.id = old.id;
    get diagnostics pruned = row_count;
    return pruned;
end
$$;

-- Takes back the trail of a tenant that is not there any more, as when its creation was refused.
create function audit.forget(tenant uuid) returns void
    language sql security definer set search_path = ''
as $$
    delete from audit.events e
    where e.client_id = tenant and tenant <> '00000000-0000-0000-0000-000000000000'
        and not exists (select from tenant.clients c where c.client_id = tenant)
$$;

revoke all on all functions in schema audit from public;
grant execute on function audit.note(uuid, uuid, smallint, text, text, text, text, text, integer, bytea, bytea, uuid, text,
    text) to onekeel_tenant, onekeel_lead, onekeel_quota, onekeel_campaign;
grant execute on function audit.list_events(uuid, timestamptz, timestamptz, text, text, text, timestamptz, uuid, bigint),
    audit.prune(uuid, timestamptz, integer), audit.forget(uuid) to onekeel_tenant;

reset role;
