set local role onekeel_owner;

-- What was deleted long enough ago goes for good. Nothing that lives is in these indexes.
create index leads_purge_idx on lead.leads (client_id, purge_at) where purge_at is not null;
create index campaigns_purge_idx on campaign.campaigns (client_id, purge_at) where purge_at is not null;
create index agents_purge_idx on campaign.agents (client_id, purge_at) where purge_at is not null;

-- Deletes up to `most` rows that hang on leads whose time has come, then those leads; says how many rows, and is called
-- again while it is `most`. The leads are locked first: one that comes back at this moment is skipped, and one that is
-- locked here does not come back. Units and bytes were given back when they were deleted.
create function lead.purge(tenant uuid, most bigint) returns bigint
    language plpgsql security definer set search_path = ''
as $$
declare
    due uuid[];
    gone bigint;
begin
    due := array(select l.id from lead.leads l where l.client_id = tenant and l.purge_at <= now()
        order by l.purge_at limit most for update skip locked);
    if due = '{}' then
        return 0;
    end if;
    delete from campaign.messages m using (
        select old.conversation_id, old.sequence
        from campaign.conversations c
        join campaign.messages old on old.client_id = tenant and old.conversation_id = c.id
        where c.client_id = tenant and c.lead_id = any(due) limit most
    ) old
    where m.client_id = tenant and m.conversation_id = old.conversation_id and m.sequence = old.sequence;
    get diagnostics gone = row_count;
    if gone = most then
        return most;
    end if;
    delete from campaign.conversations c using (
        select old.id from campaign.conversations old
        where old.client_id = tenant and old.lead_id = any(due) limit most
    ) old
    where c.client_id = tenant and c.id = old.id;
    get diagnostics gone = row_count;
    if gone = most then
        return most;
    end if;
    delete from lead.leads l where l.client_id = tenant and l.id = any(due);
    get diagnostics gone = row_count;
    return gone;
end
$$;

-- As `lead.purge`, for campaigns and agents. Conversations stay: they belong to their lead, and forget which campaign or
-- agent they were held for.
create function campaign.purge(tenant uuid, most bigint) returns bigint
    language plpgsql security definer set search_path = ''
as $$
declare
    campaigns uuid[];
    agents uuid[];
    gone bigint;
begin
    campaigns := array(select c.id from campaign.campaigns c where c.client_id = tenant and c.purge_at <= now()
        order by c.purge_at limit most for update skip locked);
    agents := array(select a.id from campaign.agents a where a.client_id = tenant and a.purge_at <= now()
        order by a.purge_at limit most - cardinality(campaigns) for update skip locked);
    if campaigns = '{}' and agents = '{}' then
        return 0;
    end if;
    update campaign.conversations c set
        campaign_id = case when c.campaign_id = any(campaigns) then null else c.campaign_id end,
        agent_id = case when c.agent_id = any(agents) then null else c.agent_id end,
        updated_by = 'purge'
    from (
        select old.id from campaign.conversations old
        where old.client_id = tenant and (old.campaign_id = any(campaigns) or old.agent_id = any(agents)) limit most
    ) old
    where c.client_id = tenant and c.id = old.id;
    get diagnostics gone = row_count;
    if gone = most then
        return most;
    end if;
    delete from campaign.campaigns c where c.client_id = tenant and c.id = any(campaigns);
    delete from campaign.agents a where a.client_id = tenant and a.id = any(agents);
    return cardinality(campaigns) + cardinality(agents);
end
$$;

revoke all on function lead.purge(uuid, bigint), campaign.purge(uuid, bigint) from public;
grant execute on function lead.purge(uuid, bigint) to onekeel_lead;
grant execute on function campaign.purge(uuid, bigint) to onekeel_campaign;
grant usage on schema tenant to onekeel_campaign;
grant execute on function tenant.list_directory(uuid, integer) to onekeel_lead, onekeel_campaign;

-- The prices of a list are written with it, and a list never changes.
grant insert on quota.price_lists, quota.prices to onekeel_quota;

reset role;
