-- Each filter and order of ListLeads has an index that begins with the tenant.
do $$
begin
    create index leads_source_idx on lead.leads (client_id, source, id) where deleted_at is null;
    create index leads_phone_idx on lead.leads (client_id, phone, id) where deleted_at is null and phone is not null;
    create index leads_updated_idx on lead.leads (client_id, updated_at, id) where deleted_at is null;
end
$$;
