set local role onekeel_owner;

-- A lease is written once for each index of its table, many of them a second, and lives for seconds: two indexes are
-- enough. The key that charges point to begins with what identifies a lease; who looks for the leases of one resource reads
-- those of the tenant, which are few.
alter table quota.charges drop constraint charges_reservation_fkey;
alter table quota.reservations
    drop constraint reservations_pkey,
    drop constraint reservations_lease_key,
    add constraint reservations_pkey primary key (client_id, id, resource, amount);
alter table quota.charges
    add constraint charges_reservation_fkey foreign key (client_id, reservation_id, resource, of)
        references quota.reservations (client_id, id, resource, amount) on delete no action not deferrable;
drop index quota.reservations_resource_idx;

reset role;
