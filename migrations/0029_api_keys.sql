set local role onekeel_owner;

-- Keys of a tenant's programs. One that was revoked or has expired stays for a day, so that its end is seen.
create table tenant.api_keys (
    client_id uuid not null,
    id uuid not null,
    name text not null,
    role text not null check (role in ('viewer', 'agent', 'manager', 'admin')),
    scopes text[] not null check (cardinality(scopes) <= 64),
    hint text not null,
    created_by text not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    overlap_ends_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    updated_at timestamptz not null,
    updated_by text not null,
    constraint api_keys_pkey primary key (client_id, id),
    constraint api_keys_client_fkey foreign key (client_id) references tenant.clients (client_id) on delete cascade
);
create unique index api_keys_name_key on tenant.api_keys (client_id, name) where revoked_at is null;
select onekeel.tenant_table('tenant.api_keys');
grant select, insert, update on tenant.api_keys to onekeel_tenant;

-- Their secrets, as SHA-256: the present one has no end yet.
create table tenant.api_key_secrets (
    client_id uuid not null,
    id uuid not null,
    key_id uuid not null,
    hash bytea not null check (octet_length(hash) = 32),
    created_at timestamptz not null,
    ends_at timestamptz,
    updated_at timestamptz not null,
    updated_by text not null,
    constraint api_key_secrets_pkey primary key (client_id, id),
    constraint api_key_secrets_key_fkey foreign key (client_id, key_id) references tenant.api_keys (client_id, id)
        on delete cascade
);
create index api_key_secrets_key_idx on tenant.api_key_secrets (client_id, key_id);
create index api_key_secrets_end_idx on tenant.api_key_secrets (client_id, ends_at) where ends_at is not null;
select onekeel.tenant_table('tenant.api_key_secrets');
grant select, insert, update on tenant.api_key_secrets to onekeel_tenant;

-- Directory: whose a secret is. The whole platform has each hash once.
create table tenant.secret_hashes (
    hash bytea not null,
    id uuid not null,
    key_id uuid not null,
    secret_id uuid not null,
    constraint secret_hashes_pkey primary key (hash)
);
create index secret_hashes_id_idx on tenant.secret_hashes (id, key_id);

-- Brings the directory in line with a key of the transaction's own tenant: what can be exchanged stands there, and nothing
-- else. The policy binds the owner too, so another tenant's key would look as if it had no secrets.
create function tenant.publish_secrets(tenant uuid, wanted uuid) returns void
    language plpgsql security definer set search_path = ''
as $$
begin
    if tenant is distinct from nullif(current_setting('app.current_client_id', true), '')::uuid then
        raise exception 'the key is not of the tenant that is set';
    end if;
    delete from tenant.secret_hashes h
        where h.id = tenant and h.key_id = wanted
            and not exists (select from tenant.api_key_secrets s
                where s.client_id = tenant and s.id = h.secret_id and (s.ends_at is null or s.ends_at > now()));
    insert into tenant.secret_hashes (hash, id, key_id, secret_id)
        select s.hash, s.client_id, s.key_id, s.id from tenant.api_key_secrets s
        where s.client_id = tenant and s.key_id = wanted and (s.ends_at is null or s.ends_at > now())
            and not exists (select from tenant.secret_hashes h where h.hash = s.hash and h.id = tenant);
end
$$;

-- Whose a secret is, whether or not it still counts.
create function tenant.find_secret(wanted bytea) returns table (id uuid, key_id uuid, secret_id uuid)
    language sql security definer set search_path = ''
as $$ select h.id, h.key_id, h.secret_id from tenant.secret_hashes h where h.hash = wanted $$;

-- What a secret is good for at present, in one round trip; nothing where it is good for nothing.
create function tenant.get_shown_key(tenant uuid, wanted uuid, shown bytea)
    returns table (role text, scopes text[], until timestamptz, last_used_at timestamptz)
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select k.role, k.scopes, least(k.expires_at, s.ends_at), k.last_used_at
        from tenant.api_key_secrets s join tenant.api_keys k on k.client_id = s.client_id and k.id = s.key_id
        where s.client_id = tenant and s.id = wanted and s.hash = shown and k.revoked_at is null
            and (s.ends_at is null or s.ends_at > now()) and (k.expires_at is null or k.expires_at > now());
end
$$;

create function tenant.list_api_keys(tenant uuid) returns setof tenant.api_keys
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select k.* from tenant.api_keys k where k.client_id = tenant order by k.id;
end
$$;

-- Secrets that end, and those that ended so lately that tokens which were given for them may still be good: a token lives for
-- a quarter of an hour at most, and clocks differ. With the seconds that each has left, since whoever is told of it believes
-- that until it is told of a change, and the end of an overlap is none.
create function tenant.ended_secrets(tenant uuid) returns table (ids uuid[], seconds double precision[])
    language plpgsql set search_path = ''
as $$
begin
    perform onekeel.set_tenant(tenant);
    return query select coalesce(array_agg(s.id order by s.id), '{}'),
            coalesce(array_agg(greatest(extract(epoch from s.ends_at - now()), 0)::double precision order by s.id), '{}')
        from tenant.api_key_secrets s where s.client_id = tenant and s.ends_at > now() - interval '20 minutes';
end
$$;

-- A key that is used or made changes nothing for those who remember the tenant's context; a secret that shall end does.
create trigger note_change after update on tenant.api_key_secrets
    for each row execute function onekeel.note_change();

-- Deletes keys that ended a day ago, and secrets that ended an hour ago, up to `most` rows of each; says how many.
create function tenant.prune_api_keys(tenant uuid, most bigint) returns bigint
    language plpgsql security definer set search_path = ''
as $$
declare
    due uuid[];
begin
    due := array(select k.id from tenant.api_keys k
        where k.client_id = tenant and least(k.revoked_at, k.expires_at) < now() - interval '1 day' order by k.id limit most);
    delete from tenant.secret_hashes h where h.id = tenant and h.key_id = any(due);
    delete from tenant.api_keys k where k.client_id = tenant and k.id = any(due);
    due := due || array(select s.id from tenant.api_key_secrets s
        where s.client_id = tenant and s.ends_at < now() - interval '1 hour' order by s.id limit most);
    delete from tenant.secret_hashes h where h.id = tenant and h.secret_id = any(due);
    delete from tenant.api_key_secrets s where s.client_id = tenant and s.id = any(due);
    return cardinality(due);
end
$$;

create or replace function tenant.abandon_creation(tenant uuid) returns void
    language sql security definer set search_path = ''
as $$
    delete from tenant.slugs where id = tenant;
    delete from tenant.creations where id = tenant;
    delete from tenant.unsettled where id = tenant;
    delete from tenant.hosts where id = tenant;
    delete from tenant.secret_hashes where id = tenant;
$$;

revoke all on function tenant.publish_secrets(uuid, uuid), tenant.find_secret(bytea),
    tenant.get_shown_key(uuid, uuid, bytea), tenant.list_api_keys(uuid), tenant.ended_secrets(uuid),
    tenant.prune_api_keys(uuid, bigint) from public;
grant execute on function tenant.publish_secrets(uuid, uuid), tenant.find_secret(bytea),
    tenant.get_shown_key(uuid, uuid, bytea), tenant.list_api_keys(uuid), tenant.ended_secrets(uuid),
    tenant.prune_api_keys(uuid, bigint) to onekeel_tenant;

grant usage, create on schema tenant to onekeel_platform;
grant select on tenant.secret_hashes to onekeel_platform;
alter function tenant.find_secret(bytea) owner to onekeel_platform;
revoke create on schema tenant from onekeel_platform;

reset role;
