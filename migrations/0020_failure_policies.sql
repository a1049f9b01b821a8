set local role onekeel_owner;

-- What happens to calls while a limit cannot be counted. For what a tenant owns only one answer is possible: a row cannot
-- be there without its charge, and a charge not without a lease that this very database has counted.
create table quota.failure_policies (
    plan_id text not null,
    plan_version integer not null,
    resource text not null
        check (resource in ('leads', 'campaigns', 'agents', 'storage_bytes', 'requests_per_minute')),
    policy text not null check (policy in ('closed', 'open', 'bounded')),
    constraint failure_policies_pkey primary key (plan_id, plan_version, resource),
    constraint failure_policies_plan_fkey foreign key (plan_id, plan_version) references quota.plans (id, version),
    constraint failure_policies_owned_check check (policy = 'closed' or resource = 'requests_per_minute')
);
insert into quota.failure_policies (plan_id, plan_version, resource, policy)
    select plan_id, plan_version, resource, 'closed' from quota.plan_limits
    union all
    select id, version, 'requests_per_minute', 'bounded' from quota.plans;
grant select, insert on quota.failure_policies to onekeel_quota;

-- A tenant's exception; null leaves the plan's policy in force.
alter table quota.overrides
    add column failure_policy text check (failure_policy in ('closed', 'open', 'bounded')),
    add constraint overrides_owned_check check (failure_policy = 'closed' or resource = 'requests_per_minute');

reset role;
