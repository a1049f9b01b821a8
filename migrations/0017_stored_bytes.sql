set local role onekeel_owner;

-- What a row counts as in its tenant's storage limit, written by the service that writes the row and charged with it.
-- Rows from before this were never charged, and count as nothing until they are changed.
alter table lead.leads add column stored_bytes bigint not null default 0 check (stored_bytes >= 0);
alter table campaign.campaigns add column stored_bytes bigint not null default 0 check (stored_bytes >= 0);
alter table campaign.agents add column stored_bytes bigint not null default 0 check (stored_bytes >= 0);
alter table campaign.conversations add column stored_bytes bigint not null default 0 check (stored_bytes >= 0);
alter table campaign.messages add column stored_bytes bigint not null default 0 check (stored_bytes >= 0);

-- What a tenant's rows hold of each limit, counted by their owner: all that QuotaService may know of them. Stable, so that
-- a statement that calls it counts in the snapshot in which it reads its own tables.
create function lead.count_units(tenant uuid) returns table (resource text, units bigint)
    language sql stable security definer set search_path = ''
as $$
    select v.resource, v.units::bigint
    from (
        select count(*) as leads, coalesce(sum(l.stored_bytes), 0) as bytes
        from lead.leads l where l.client_id = tenant and l.deleted_at is null
    ) c, lateral (values ('leads', c.leads), ('storage_bytes', c.bytes)) as v(resource, units)
$$;

create function campaign.count_units(tenant uuid) returns table (resource text, units bigint)
    language sql stable security definer set search_path = ''
as $$
    select 'campaigns', count(*) from campaign.campaigns c where c.client_id = tenant and c.deleted_at is null
    union all
    select 'agents', count(*) from campaign.agents a where a.client_id = tenant and a.deleted_at is null
    union all
    select 'storage_bytes', coalesce(sum(b.stored_bytes), 0)::bigint from (
        select c.stored_bytes from campaign.campaigns c where c.client_id = tenant and c.deleted_at is null
        union all
        select a.stored_bytes from campaign.agents a where a.client_id = tenant and a.deleted_at is null
        union all
        select v.stored_bytes from campaign.conversations v where v.client_id = tenant
        union all
        select m.stored_bytes from campaign.messages m where m.client_id = tenant
    ) b
$$;

revoke all on function lead.count_units(uuid), campaign.count_units(uuid) from public;
grant usage on schema lead, campaign to onekeel_quota;
grant execute on function lead.count_units(uuid), campaign.count_units(uuid) to onekeel_quota;

reset role;
