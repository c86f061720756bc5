-- On the primary, as superuser; replicas get it by replication:
--   psql -h 10.0.0.1 -U postgres -v password="$(cat penstock.password)" -f setup.sql
\set ON_ERROR_STOP on
-- For the checks: each holds a connection for some milliseconds, two upstreams check each server.
create role penstock login connection limit 8 password :'password';
comment on role penstock is 'health checks of the proxy';
