set local role onekeel_owner;

-- As before, but for the page that is asked for most, all leads from the newest on: it is planned once for a connection
-- and not for each call, which costs more than reading it.
create or replace function lead.list_leads(
    tenant uuid, status smallint, source text, email text, phone text, external_id text,
    updated_from timestamptz, updated_before timestamptz,
    by_update_time boolean, descending boolean, after_time timestamptz, after_id uuid, most bigint
) returns setof lead.leads
    language plpgsql set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
    wanted text := 'select l.* from lead.leads l where l.client_id = $1 and l.deleted_at is null';
    direction text := case when descending then ' desc' else '' end;
    beyond text := case when descending then ' < ' else ' > ' end;
begin
    perform onekeel.set_tenant(tenant);
    if descending and not by_update_time
        and num_nonnulls(status, source, email, phone, external_id, updated_from, updated_before) = 0
    then
        if after_id is null then
            return query select l.* from lead.leads l
                where l.client_id = tenant and l.deleted_at is null
                order by l.id desc limit most;
        else
            return query select l.* from lead.leads l
                where l.client_id = tenant and l.deleted_at is null and l.id < after_id
                order by l.id desc limit most;
        end if;
        return;
    end if;
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

reset role;
