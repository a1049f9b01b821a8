set local role onekeel_owner;

-- The newest page is found, and held against what a server knows of it, in the index alone: it has the versions.
create index leads_newest_idx on lead.leads (client_id, id) include (version) where deleted_at is null;
drop index lead.leads_living_idx;

-- Whether the newest `most` leads still are those of `ids`, newest first, in these versions.
create function lead.are_newest(tenant uuid, most bigint, ids uuid[], versions bigint[]) returns boolean
    language plpgsql set search_path = '' set plan_cache_mode = force_generic_plan
as $$
begin
    perform onekeel.set_tenant(tenant);
    return (
        select array_agg(newest.id) is not distinct from ids and array_agg(newest.version) is not distinct from versions
        from (
            select l.id, l.version from lead.leads l
            where l.client_id = tenant and l.deleted_at is null
            order by l.id desc limit most
        ) newest
    );
end
$$;
revoke all on function lead.are_newest(uuid, bigint, uuid[], bigint[]) from public;
grant execute on function lead.are_newest(uuid, bigint, uuid[], bigint[]) to onekeel_lead;

reset role;
