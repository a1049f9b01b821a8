-- A tenant that is deleted keeps its state, so that it comes back as it was.
alter table tenant.clients add column deleted_at timestamptz, add column purge_at timestamptz;
