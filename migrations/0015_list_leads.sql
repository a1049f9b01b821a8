set local role onekeel_owner;

-- A page of living leads in one round trip. The statement is put together from fixed pieces, so that each filter and
-- order is planned for itself and finds its index; every value travels as a parameter. A null filter lets all through.
create function lead.list_leads(
    tenant uuid, status smallint, source text, email text, phone text, external_id text,
    updated_from timestamptz, updated_before timestamptz,
    by_update_time boolean, descending boolean, after_time timestamptz, after_id uuid, most bigint
) returns setof lead.leads
    language plpgsql set search_path = ''
as $$
declare
    wanted text := 'select l.* from lead.leads l where l.client_id = $1 and l.deleted_at is null';
    direction text := case when descending then ' desc' else '' end;
    beyond text := case when descending then ' < ' else ' > ' end;
begin
    perform onekeel.set_tenant(tenant);
    wanted := wanted
        || case when status is null then '' else ' and l.status = $2' end
        || case when source is null then '' else ' and l.source = $3' end
        || case when email is null then '' else ' and l.email = $4' end
        || case when phone is null then '' else ' and l.phone = $5' end
        || case when external_id is null then '' else ' and l.external_id = $6' end
        || case when updated_from is null then '' else ' and l.updated_at >= $7' end
        || case when updated_before is null then '' else ' and l.updated_at < $8' end;
    if by_update_time then
        wanted := wanted
            || case when after_id is null then '' else ' and (l.updated_at, l.id)' || beyond || '($9, $10)' end
            || ' order by l.updated_at' || direction || ', l.id' || direction;
    else
        wanted := wanted
            || case when after_id is null then '' else ' and l.id' || beyond || '$10' end
            || ' order by l.id' || direction;
    end if;
    return query execute wanted || ' limit $11'
        using tenant, status, source, email, phone, external_id, updated_from, updated_before, after_time, after_id, most;
end
$$;

revoke all on function lead.list_leads(uuid, smallint, text, text, text, text, timestamptz, timestamptz, boolean, boolean,
    timestamptz, uuid, bigint) from public;
grant execute on function lead.list_leads(uuid, smallint, text, text, text, text, timestamptz, timestamptz, boolean, boolean,
    timestamptz, uuid, bigint) to onekeel_lead;

reset role;
