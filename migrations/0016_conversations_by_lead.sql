-- A lead's conversations in the order of their creation; the index before it could not sort them.
do $$
begin
    create index conversations_lead_order_idx on campaign.conversations (client_id, lead_id, id);
    drop index campaign.conversations_lead_idx;
end
$$;
