set local role onekeel_owner;

create table campaign.campaigns (
    client_id uuid not null,
    id uuid not null,
    name text not null,
    description text not null,
    type smallint not null,
    steps jsonb not null,
    request_id uuid,
    version bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    updated_by text not null,
    deleted_at timestamptz,
    purge_at timestamptz,
    constraint campaigns_pkey primary key (client_id, id),
    constraint campaigns_client_fkey foreign key (client_id) references tenant.clients (client_id)
);
create unique index campaigns_request_id_key on campaign.campaigns (client_id, request_id) where request_id is not null;
create index campaigns_living_idx on campaign.campaigns (client_id, id) where deleted_at is null;
select onekeel.tenant_table('campaign.campaigns');

create table campaign.agents (
    client_id uuid not null,
    id uuid not null,
    name text not null,
    type smallint not null,
    system_prompt text not null,
    temperature double precision not null,
    max_tokens integer not null,
    response_delay_ms bigint not null,
    retry_attempts integer not null,
    channel_config jsonb not null,
    request_id uuid,
    version bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    updated_by text not null,
    deleted_at timestamptz,
    purge_at timestamptz,
    constraint agents_pkey primary key (client_id, id),
    constraint agents_client_fkey foreign key (client_id) references tenant.clients (client_id)
);
create unique index agents_request_id_key on campaign.agents (client_id, request_id) where request_id is not null;
create index agents_living_idx on campaign.agents (client_id, id) where deleted_at is null;
select onekeel.tenant_table('campaign.agents');

grant select, insert, update on campaign.campaigns, campaign.agents to onekeel_campaign;

-- Single reads that cost one round trip: the setting and the statement travel together and end together.
create function campaign.get_campaign(tenant uuid, wanted uuid) returns setof campaign.campaigns
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select c.* from campaign.campaigns c
        where c.client_id = tenant and c.id = wanted and c.deleted_at is null;
end
$$;

create function campaign.get_agent(tenant uuid, wanted uuid) returns setof campaign.agents
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select a.* from campaign.agents a
        where a.client_id = tenant and a.id = wanted and a.deleted_at is null;
end
$$;

revoke all on all functions in schema campaign from public;
grant execute on all functions in schema campaign to onekeel_campaign;

reset role;
