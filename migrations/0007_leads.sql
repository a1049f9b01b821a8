set local role onekeel_owner;

create schema lead;
grant usage on schema lead to onekeel_lead;

create table lead.leads (
    client_id uuid not null,
    id uuid not null,
    first_name text not null,
    last_name text not null,
    email text,
    phone text,
    phone_raw text,
    company text not null,
    source text not null,
    status smallint not null,
    score integer not null,
    tags text[] not null,
    external_id text,
    request_id uuid,
    version bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    updated_by text not null,
    deleted_at timestamptz,
    purge_at timestamptz,
    constraint leads_pkey primary key (client_id, id),
    constraint leads_client_fkey foreign key (client_id) references tenant.clients (client_id)
);
-- Unique among living rows only: a deleted lead does not stand in a new one's way.
create unique index leads_email_key on lead.leads (client_id, email) where deleted_at is null and email is not null;
create unique index leads_external_id_key on lead.leads (client_id, external_id) where deleted_at is null and external_id is not null;
create unique index leads_request_id_key on lead.leads (client_id, request_id) where request_id is not null;
create index leads_status_idx on lead.leads (client_id, status, id) where deleted_at is null;
create index leads_living_idx on lead.leads (client_id, id) where deleted_at is null;
select onekeel.tenant_table('lead.leads');
grant select, insert, update on lead.leads to onekeel_lead;

-- Single reads that cost one round trip: the setting and the statement travel together and end together.
create function lead.get_lead(tenant uuid, wanted uuid) returns setof lead.leads
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select l.* from lead.leads l where l.client_id = tenant and l.id = wanted and l.deleted_at is null;
end
$$;

create function lead.count_leads(tenant uuid) returns bigint
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return (select count(*) from lead.leads l where l.client_id = tenant and l.deleted_at is null);
end
$$;

revoke all on all functions in schema lead from public;
grant execute on all functions in schema lead to onekeel_lead;

reset role;
