set local role onekeel_owner;

-- Which thresholds, in per cent of the cap, what is in use has passed; and how many events that made so far.
alter table quota.usage
    add column threshold smallint not null default 0 check (threshold in (0, 80, 100)),
    add column events bigint not null default 0;

-- Each crossing upwards once, numbered for each limit without a gap; the newest thousand of a limit are kept.
create table quota.threshold_events (
    client_id uuid not null,
    resource text not null,
    number bigint not null,
    threshold smallint not null check (threshold in (80, 100)),
    used bigint not null,
    cap bigint not null,
    created_at timestamptz not null,
    constraint threshold_events_pkey primary key (client_id, resource, number),
    constraint threshold_events_client_fkey foreign key (client_id) references tenant.clients (client_id)
);
select onekeel.tenant_table('quota.threshold_events');
grant select, insert, delete on quota.threshold_events to onekeel_quota;

-- What a tenant has of each limit and uses of it, exact to the last committed row: settled units and charges that no
-- settling has folded yet, less what was given back and is not folded yet. Stable: one snapshot, that of the statement.
create function quota.read_accounts(tenant uuid)
    returns table (resource text, cap bigint, used bigint, reserved bigint)
    language sql stable set search_path = ''
as $$
    select u.resource, u.cap,
        (u.used + coalesce(c.units, 0) - coalesce(r.units, 0))::bigint,
        (u.reserved - coalesce(c.units, 0))::bigint
    from quota.usage u
    left join (select c.resource, sum(c.units) as units from quota.charges c where c.client_id = tenant group by 1) c
        on c.resource = u.resource
    left join (select r.resource, sum(r.units) as units from quota.releases r where r.client_id = tenant group by 1) r
        on r.resource = u.resource
    where u.client_id = tenant
$$;
revoke all on function quota.read_accounts(uuid) from public;
grant execute on function quota.read_accounts(uuid) to onekeel_quota;

-- Every statement that changes `used` or `cap` holds the row, so that a crossing is seen by one of them only; its event
-- commits with the change or not at all.
create function quota.note_threshold() returns trigger
    language plpgsql set search_path = ''
as $$
declare
    -- A row may be settled before the deletion that made room for it is folded: what counts is both.
    in_use bigint := new.used
        + (select coalesce(sum(c.units), 0) from quota.charges c
            where c.client_id = new.client_id and c.resource = new.resource)
        - (select coalesce(sum(r.units), 0) from quota.releases r
            where r.client_id = new.client_id and r.resource = new.resource);
    passed smallint := case
        when in_use <= 0 then 0
        when in_use >= new.cap then 100
        when in_use::numeric * 100 >= new.cap::numeric * 80 then 80
        else 0
    end;
begin
    -- Both are passed at once by a large step; each is told.
    if new.threshold < 80 and passed >= 80 then
        new.events := new.events + 1;
        insert into quota.threshold_events (client_id, resource, number, threshold, used, cap, created_at)
            values (new.client_id, new.resource, new.events, 80, in_use, new.cap, clock_timestamp());
    end if;
    if new.threshold < 100 and passed = 100 then
        new.events := new.events + 1;
        insert into quota.threshold_events (client_id, resource, number, threshold, used, cap, created_at)
            values (new.client_id, new.resource, new.events, 100, in_use, new.cap, clock_timestamp());
    end if;
    if new.events > old.events then
        delete from quota.threshold_events e
            where e.client_id = new.client_id and e.resource = new.resource and e.number <= new.events - 1000;
    end if;
    new.threshold := passed;
    return new;
end
$$;
revoke all on function quota.note_threshold() from public;
create trigger note_threshold before update of used, cap on quota.usage
    for each row when (new.used is distinct from old.used or new.cap is distinct from old.cap)
    execute function quota.note_threshold();

-- The audit of corrections: what was counted, what was accounted, who had it mended and why.
create table quota.reconciliations (
    client_id uuid not null,
    id uuid not null,
    resource text not null,
    counted bigint not null,
    accounted bigint not null,
    reason text not null,
    author text not null,
    created_at timestamptz not null,
    constraint reconciliations_pkey primary key (client_id, id),
    constraint reconciliations_client_fkey foreign key (client_id) references tenant.clients (client_id)
);
select onekeel.tenant_table('quota.reconciliations');
grant select, insert on quota.reconciliations to onekeel_quota;

-- What has happened after the given numbers, one for each resource; no row at all when the tenant may not read any more.
create function quota.list_events(tenant uuid, resources text[], numbers bigint[])
    returns table (resource text, number bigint, threshold smallint, used bigint, cap bigint, created_at timestamptz)
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    perform from tenant.clients c
        where c.client_id = tenant and c.state in ('active', 'read_only') and c.deleted_at is null;
    if not found then
        return;
    end if;
    -- The first row says that the watch may go on.
    return query select '', 0::bigint, 0::smallint, 0::bigint, 0::bigint, clock_timestamp()
        union all
        select * from (
            select e.resource, e.number, e.threshold, e.used, e.cap, e.created_at
            from unnest(resources, numbers) as seen(resource, number)
            join quota.threshold_events e
                on e.client_id = tenant and e.resource = seen.resource and e.number > seen.number
            order by e.created_at, e.number limit 100
        ) news;
end
$$;
revoke all on function quota.list_events(uuid, text[], bigint[]) from public;
grant execute on function quota.list_events(uuid, text[], bigint[]) to onekeel_quota;

-- Plans are published by the platform; what was published never changes.
grant insert on quota.plans, quota.plan_limits to onekeel_quota;

reset role;
