-- The state of jobs, as conductor and workers see it.
CREATE SCHEMA orchestrate_workers;
CREATE TABLE orchestrate_workers.about (version integer NOT NULL);
CREATE TABLE orchestrate_workers.homes (
    place text PRIMARY KEY, home text NOT NULL, machine text NOT NULL, seen timestamptz NOT NULL);
CREATE TABLE orchestrate_workers.workers (
    id text PRIMARY KEY, machine text NOT NULL, agents text[] NOT NULL, labels text[] NOT NULL,
    slots integer NOT NULL, program text NOT NULL, note text NOT NULL DEFAULT '',
    started timestamptz NOT NULL DEFAULT now(), seen timestamptz NOT NULL DEFAULT now());
CREATE TABLE orchestrate_workers.jobs (
    id text PRIMARY KEY, home text NOT NULL, family text NOT NULL, agent text NOT NULL,
    queue text NOT NULL, priority integer NOT NULL, parcel text NOT NULL, tree text NOT NULL,
    delivery integer NOT NULL DEFAULT 1,
    state text NOT NULL CHECK (state IN ('queued', 'running', 'done', 'stopped')),
    worker text, lease timestamptz, stop text NOT NULL DEFAULT '', result text, bundle bytea,
    queued timestamptz NOT NULL DEFAULT now(), begun timestamptz, ended timestamptz);
CREATE INDEX jobs_running ON orchestrate_workers.jobs (lease) WHERE state = 'running';
CREATE TABLE orchestrate_workers.lines (
    job text NOT NULL REFERENCES orchestrate_workers.jobs ON DELETE CASCADE,
    number bigint GENERATED ALWAYS AS IDENTITY, delivery integer NOT NULL, kind text NOT NULL,
    line text NOT NULL, PRIMARY KEY (job, number));
