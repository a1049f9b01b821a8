//! The statements that the servers send, as one would send them by hand: begin, set the tenant, the statement, commit.

/// One lead by its key.
pub const GET: &str = "
\\set t random(0, :active - 1)
\\set n :t + :tenants * random(0, :rows / :tenants - 1)
begin;
select onekeel.set_tenant(bench.tenant(:t));
select id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id, version,
    created_at, updated_at, stored_bytes
from lead.leads where client_id = bench.tenant(:t) and id = bench.lead(:n) and deleted_at is null \\gset
commit;
";

/// The newest fifty leads and the one that says whether there are more.
pub const LIST: &str = "
\\set t random(0, :active - 1)
begin;
select onekeel.set_tenant(bench.tenant(:t));
select l.* from lead.leads l where l.client_id = bench.tenant(:t) and l.deleted_at is null order by l.id desc limit 51;
commit;
";

/// A lead with its charges and its event.
pub const CREATE: &str = "
\\set t random(0, :active - 1)
\\set r random(1, 900000000000000)
begin;
select onekeel.set_tenant(bench.tenant(:t));
with row as (
    insert into lead.leads (client_id, id, first_name, last_name, email, phone, phone_raw, company, source, status,
        score, tags, external_id, request_id, created_at, updated_at, updated_by, stored_bytes)
    values (bench.tenant(:t), bench.fresh_id(), 'Ann', 'Example', 'direct' || :r || '@example.com', '+17045857792',
        '(704)585-7792', 'Example, Inc.', 'web', 1, 10, array['bench'], null, null, now(), now(), 'create_lead', 300)
    returning *
), charge as (
    insert into quota.charges (client_id, reservation_id, first_unit, units, resource, of)
    values (bench.tenant(:t), bench.lease(:t, 'leads'), :r, 1, 'leads', 1000000000000000),
        (bench.tenant(:t), bench.lease(:t, 'storage_bytes'), :r, 300, 'storage_bytes', 1000000000000000)
)
select id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id, version,
    created_at, updated_at, stored_bytes
from row;
select audit.note(bench.tenant(:t), bench.fresh_id(), 1::smallint, 'dev-admin', 'admin',
    'onekeel.lead.v1.LeadService/CreateLead', 'lead', 'direct', 1, null, sha256('lead'::bytea), gen_random_uuid(), null,
    null);
commit;
";
