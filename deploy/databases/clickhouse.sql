-- A ClickHouse of your own. Run once as an administrator, with your own pass phrases; Mbongi makes the tables itself.
-- For a cluster set telemetry.engine = "ReplicatedMergeTree" and let the replica's macros {shard} and {replica} be defined.
CREATE DATABASE IF NOT EXISTS mbongi;
CREATE USER IF NOT EXISTS mbongi IDENTIFIED WITH sha256_password BY 'CHANGE-ME' DEFAULT DATABASE mbongi;
GRANT SELECT, INSERT, CREATE TABLE, CREATE VIEW, ALTER TABLE, DROP TABLE ON mbongi.* TO mbongi;
