-- A PostgreSQL of your own (15 or newer). Run once as a superuser, with your own pass phrase.
-- The migrations make the role mbongi_app, which every connection works as and which row-level security binds; so the
-- owner below needs CREATEROLE, and must not be a superuser.
CREATE ROLE mbongi LOGIN CREATEROLE PASSWORD 'CHANGE-ME';
CREATE DATABASE mbongi OWNER mbongi ENCODING 'UTF8' TEMPLATE template0;

-- Worth setting in postgresql.conf: the ledger's promises rest on these being on (they are, by default).
--   fsync = on
--   synchronous_commit = on
-- One connection per control-room thread and per daemon: 100 are enough for one site.
