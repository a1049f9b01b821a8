set local role onekeel_owner;

-- Every key carries the tenant, so no conversation can point at another tenant's lead, campaign or agent.
create table campaign.conversations (
    client_id uuid not null,
    id uuid not null,
    lead_id uuid not null,
    campaign_id uuid,
    agent_id uuid,
    channel smallint not null,
    message_count bigint not null default 0 check (message_count >= 0),
    request_id uuid,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    updated_by text not null,
    constraint conversations_pkey primary key (client_id, id),
    constraint conversations_client_fkey foreign key (client_id) references tenant.clients (client_id),
    constraint conversations_lead_fkey foreign key (client_id, lead_id) references lead.leads (client_id, id),
    constraint conversations_campaign_fkey foreign key (client_id, campaign_id)
        references campaign.campaigns (client_id, id),
    constraint conversations_agent_fkey foreign key (client_id, agent_id) references campaign.agents (client_id, id)
) with (fillfactor = 70);
create unique index conversations_request_id_key on campaign.conversations (client_id, request_id)
    where request_id is not null;
create index conversations_lead_idx on campaign.conversations (client_id, lead_id);
create index conversations_campaign_idx on campaign.conversations (client_id, campaign_id) where campaign_id is not null;
create index conversations_agent_idx on campaign.conversations (client_id, agent_id) where agent_id is not null;
select onekeel.tenant_table('campaign.conversations');

create table campaign.messages (
    client_id uuid not null,
    conversation_id uuid not null,
    sequence bigint not null check (sequence > 0),
    sender smallint not null,
    text text not null,
    request_id uuid,
    created_at timestamptz not null,
    created_by text not null,
    constraint messages_pkey primary key (client_id, conversation_id, sequence),
    constraint messages_conversation_fkey foreign key (client_id, conversation_id)
        references campaign.conversations (client_id, id)
);
create unique index messages_request_id_key on campaign.messages (client_id, conversation_id, request_id)
    where request_id is not null;
select onekeel.tenant_table('campaign.messages');

grant select, insert, update on campaign.conversations to onekeel_campaign;
grant select, insert on campaign.messages to onekeel_campaign;

create function campaign.get_conversation(tenant uuid, wanted uuid) returns setof campaign.conversations
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select c.* from campaign.conversations c where c.client_id = tenant and c.id = wanted;
end
$$;

revoke all on function campaign.get_conversation(uuid, uuid) from public;
grant execute on function campaign.get_conversation(uuid, uuid) to onekeel_campaign;

-- All that the campaign server may know of leads: whether one lives. It stays as it is until the transaction ends.
-- The owner is bound by the policy too, so that the transaction's tenant decides which leads there are.
create function lead.hold_lead(tenant uuid, wanted uuid) returns boolean
    language plpgsql security definer set search_path = ''
as $$
begin
    perform from lead.leads l
        where l.client_id = tenant and l.id = wanted and l.deleted_at is null for share;
    return found;
end
$$;

revoke all on function lead.hold_lead(uuid, uuid) from public;
grant usage on schema lead to onekeel_campaign;
grant execute on function lead.hold_lead(uuid, uuid) to onekeel_campaign;

reset role;
