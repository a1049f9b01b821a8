set local role onekeel_owner;

-- What a tenant used, by day (UTC) and service. Every server adds what it counted; nothing that changes is indexed.
create table quota.usage_days (
    client_id uuid not null,
    day date not null,
    service text not null,
    requests bigint not null,
    errors bigint not null,
    rows bigint not null,
    bytes bigint not null,
    database_micros bigint not null,
    updated_by text not null,
    constraint usage_days_pkey primary key (client_id, day, service),
    constraint usage_days_client_fkey foreign key (client_id) references tenant.clients (client_id),
    constraint usage_days_counts_check check (least(requests, errors, rows, bytes, database_micros) >= 0)
) with (fillfactor = 50);
select onekeel.tenant_table('quota.usage_days');

grant usage on schema quota to onekeel_tenant;
-- An insert that may become an update asks for the right to select.
grant select, insert, update on quota.usage_days to onekeel_tenant, onekeel_lead, onekeel_campaign, onekeel_quota;

-- What use costs: a list is in force from its day until a newer one is. A change of a price is a new list.
create table quota.price_lists (
    valid_from date not null primary key,
    currency text not null check (currency ~ '^[A-Z]{3}$')
);
-- `micros_per` millionths of the currency for each `units` of what is counted; what has no price is free.
create table quota.prices (
    valid_from date not null references quota.price_lists (valid_from),
    unit text not null check (unit in ('requests', 'rows', 'bytes', 'database_micros')),
    micros_per bigint not null check (micros_per >= 0),
    units bigint not null check (units > 0),
    primary key (valid_from, unit)
);
grant select on quota.price_lists, quota.prices to onekeel_quota;

insert into quota.price_lists (valid_from, currency) values ('1970-01-01', 'USD');
insert into quota.prices (valid_from, unit, micros_per, units) values
    ('1970-01-01', 'requests', 2000000, 1000000),
    ('1970-01-01', 'rows', 100000, 1000),
    ('1970-01-01', 'bytes', 90000, 1000000000),
    ('1970-01-01', 'database_micros', 100, 1000000);

reset role;
