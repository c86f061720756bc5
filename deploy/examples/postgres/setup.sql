-- On the primary, as superuser, beside penstock.password; replicas get it by replication.
\set ON_ERROR_STOP on
-- Read here: as an argument everybody on this machine could see it.
\set password `cat penstock.password`
-- For the checks: each holds a connection for some milliseconds, two upstreams check each server.
create role penstock login connection limit 8 password :'password';
comment on role penstock is 'health checks of the proxy';
