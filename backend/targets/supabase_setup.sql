-- What a new Supabase project holds before its first migration, as far as migrations can see it:
-- roles, default privileges, schemas auth, storage, realtime. Idempotent; run by a superuser in the database to set up.

-- Roles belong to the cluster: another database may make them at the same moment.
DO $$
DECLARE
  wanted CONSTANT text[] := ARRAY[
    'CREATE ROLE postgres LOGIN NOSUPERUSER BYPASSRLS',
    'CREATE ROLE anon NOLOGIN NOINHERIT',
    'CREATE ROLE authenticated NOLOGIN NOINHERIT',
    'CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS',
    'CREATE ROLE authenticator LOGIN NOINHERIT',
    'CREATE ROLE dashboard_user NOLOGIN',
    'CREATE ROLE pgbouncer NOLOGIN',
    'CREATE ROLE supabase_read_only_user NOLOGIN BYPASSRLS',
    'CREATE ROLE supabase_replication_admin NOLOGIN',
    'CREATE ROLE supabase_functions_admin NOLOGIN NOINHERIT',
    'CREATE ROLE supabase_auth_admin NOLOGIN NOINHERIT',
    'CREATE ROLE supabase_storage_admin NOLOGIN NOINHERIT',
    'CREATE ROLE supabase_realtime_admin NOLOGIN NOINHERIT',
    'GRANT anon, authenticated, service_role TO authenticator',
    'GRANT anon, authenticated, service_role, authenticator TO postgres',
    'ALTER ROLE postgres SET search_path = "$user", public, extensions',
    'ALTER ROLE authenticator SET search_path = "$user", public, extensions',
    'GRANT SET ON PARAMETER session_replication_role TO postgres',
    -- policies and triggers on what these own are the owner's to make and drop
    'GRANT supabase_auth_admin, supabase_storage_admin, supabase_realtime_admin TO postgres',
    'GRANT pg_monitor TO postgres'
  ];
  command text;
BEGIN
  IF EXISTS (SELECT FROM pg_auth_members
             WHERE pg_get_userbyid(roleid) = 'pg_monitor'
               AND pg_get_userbyid(member) = 'postgres') THEN
    RETURN;
  END IF;
  FOREACH command IN ARRAY wanted LOOP
    BEGIN
      EXECUTE command;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL;
    END;
  END LOOP;
END
$$;

DO $$
BEGIN
  IF (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database())
     <> 'postgres' THEN
    EXECUTE format('ALTER DATABASE %I OWNER TO postgres', current_database());
  END IF;
END
$$;

ALTER SCHEMA public OWNER TO postgres;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;

-- The default that makes row level security the only guard of a new table.
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
  GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
  GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
  GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;

CREATE SCHEMA IF NOT EXISTS extensions AUTHORIZATION postgres;
GRANT USAGE ON SCHEMA extensions TO anon, authenticated, service_role;

-- Of uuid-ossp and pgcrypto, which the hosted service installs, what a plain server can do as well.
CREATE OR REPLACE FUNCTION extensions.uuid_generate_v4() RETURNS uuid LANGUAGE sql VOLATILE AS
$$ SELECT gen_random_uuid() $$;
CREATE OR REPLACE FUNCTION extensions.uuid_generate_v1() RETURNS uuid LANGUAGE sql VOLATILE AS
$$ SELECT gen_random_uuid() $$;
CREATE OR REPLACE FUNCTION extensions.uuid_nil() RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT '00000000-0000-0000-0000-000000000000'::uuid $$;
CREATE OR REPLACE FUNCTION extensions.gen_random_uuid() RETURNS uuid LANGUAGE sql VOLATILE AS
$$ SELECT pg_catalog.gen_random_uuid() $$;
CREATE OR REPLACE FUNCTION extensions.gen_random_bytes(count int) RETURNS bytea
LANGUAGE sql VOLATILE AS
$$ SELECT substr(string_agg(sha256(uuid_send(pg_catalog.gen_random_uuid())), ''), 1, count)
   FROM generate_series(1, (count + 31) / 32) $$;

CREATE SCHEMA IF NOT EXISTS auth;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, postgres;

CREATE TABLE IF NOT EXISTS auth.users (
  id uuid PRIMARY KEY,
  email text,
  role text,
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  created_at timestamptz DEFAULT now()
);
ALTER TABLE auth.users
  ADD COLUMN IF NOT EXISTS instance_id uuid,
  ADD COLUMN IF NOT EXISTS aud varchar(255),
  ADD COLUMN IF NOT EXISTS encrypted_password varchar(255),
  ADD COLUMN IF NOT EXISTS email_confirmed_at timestamptz,
  ADD COLUMN IF NOT EXISTS invited_at timestamptz,
  ADD COLUMN IF NOT EXISTS confirmation_token varchar(255),
  ADD COLUMN IF NOT EXISTS confirmation_sent_at timestamptz,
  ADD COLUMN IF NOT EXISTS recovery_token varchar(255),
  ADD COLUMN IF NOT EXISTS recovery_sent_at timestamptz,
  ADD COLUMN IF NOT EXISTS email_change_token_new varchar(255),
  ADD COLUMN IF NOT EXISTS email_change varchar(255),
  ADD COLUMN IF NOT EXISTS email_change_sent_at timestamptz,
  ADD COLUMN IF NOT EXISTS last_sign_in_at timestamptz,
  ADD COLUMN IF NOT EXISTS is_super_admin boolean,
  ADD COLUMN IF NOT EXISTS updated_at timestamptz,
  ADD COLUMN IF NOT EXISTS phone text,
  ADD COLUMN IF NOT EXISTS phone_confirmed_at timestamptz,
  ADD COLUMN IF NOT EXISTS phone_change text DEFAULT '',
  ADD COLUMN IF NOT EXISTS phone_change_token varchar(255) DEFAULT '',
  ADD COLUMN IF NOT EXISTS phone_change_sent_at timestamptz,
  ADD COLUMN IF NOT EXISTS confirmed_at timestamptz
    GENERATED ALWAYS AS (least(email_confirmed_at, phone_confirmed_at)) STORED,
  ADD COLUMN IF NOT EXISTS email_change_token_current varchar(255) DEFAULT '',
  ADD COLUMN IF NOT EXISTS email_change_confirm_status smallint DEFAULT 0,
  ADD COLUMN IF NOT EXISTS banned_until timestamptz,
  ADD COLUMN IF NOT EXISTS reauthentication_token varchar(255) DEFAULT '',
  ADD COLUMN IF NOT EXISTS reauthentication_sent_at timestamptz,
  ADD COLUMN IF NOT EXISTS is_sso_user boolean NOT NULL DEFAULT false,
  ADD COLUMN IF NOT EXISTS deleted_at timestamptz,
  ADD COLUMN IF NOT EXISTS is_anonymous boolean NOT NULL DEFAULT false;

CREATE TABLE IF NOT EXISTS auth.identities (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  provider_id text NOT NULL,
  user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
  identity_data jsonb NOT NULL,
  provider text NOT NULL,
  last_sign_in_at timestamptz,
  created_at timestamptz,
  updated_at timestamptz,
  email text GENERATED ALWAYS AS (lower(identity_data ->> 'email')) STORED,
  UNIQUE (provider_id, provider)
);
CREATE TABLE IF NOT EXISTS auth.sessions (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
  created_at timestamptz,
  updated_at timestamptz,
  factor_id uuid,
  aal text,
  not_after timestamptz
);
CREATE TABLE IF NOT EXISTS auth.mfa_factors (
  id uuid PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
  friendly_name text,
  factor_type text NOT NULL,
  status text NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['users', 'identities', 'sessions', 'mfa_factors'] LOOP
    EXECUTE format('ALTER TABLE auth.%I OWNER TO supabase_auth_admin', name);
    EXECUTE format('ALTER TABLE auth.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('GRANT ALL ON auth.%I TO postgres', name);
  END LOOP;
END
$$;
GRANT USAGE ON SCHEMA auth, public, extensions TO supabase_auth_admin;
GRANT USAGE ON SCHEMA auth, public, extensions TO supabase_storage_admin, supabase_realtime_admin;

-- The claims of a request's JWT, where PostgREST leaves them.
CREATE OR REPLACE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS
$$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;

CREATE OR REPLACE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT auth.jwt() ->> 'role' $$;

CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT nullif(auth.jwt() ->> 'sub', '')::uuid $$;

CREATE OR REPLACE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT auth.jwt() ->> 'email' $$;

-- Files: what policies on them and the insertion of a bucket need.
CREATE SCHEMA IF NOT EXISTS storage;
GRANT USAGE ON SCHEMA storage
  TO anon, authenticated, service_role, postgres, supabase_storage_admin;

CREATE TABLE IF NOT EXISTS storage.buckets (
  id text PRIMARY KEY,
  name text NOT NULL UNIQUE,
  owner uuid,
  created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now(),
  public boolean DEFAULT false,
  avif_autodetection boolean DEFAULT false,
  file_size_limit bigint,
  allowed_mime_types text[],
  owner_id text
);
CREATE TABLE IF NOT EXISTS storage.objects (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  bucket_id text REFERENCES storage.buckets,
  name text,
  owner uuid,
  created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now(),
  last_accessed_at timestamptz DEFAULT now(),
  metadata jsonb,
  path_tokens text[] GENERATED ALWAYS AS (string_to_array(name, '/')) STORED,
  version text,
  owner_id text,
  user_metadata jsonb
);
CREATE UNIQUE INDEX IF NOT EXISTS bucketid_objname ON storage.objects (bucket_id, name);

CREATE OR REPLACE FUNCTION storage.foldername(name text) RETURNS text[] LANGUAGE sql IMMUTABLE AS
$$ SELECT (string_to_array(name, '/'))[:array_length(string_to_array(name, '/'), 1) - 1] $$;
CREATE OR REPLACE FUNCTION storage.filename(name text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT split_part(name, '/', -1) $$;
CREATE OR REPLACE FUNCTION storage.extension(name text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT split_part(storage.filename(name), '.', -1) $$;

-- Messages: what policies of private channels and triggers that broadcast need.
CREATE SCHEMA IF NOT EXISTS realtime;
GRANT USAGE ON SCHEMA realtime
  TO anon, authenticated, service_role, postgres, supabase_realtime_admin;

CREATE TABLE IF NOT EXISTS realtime.messages (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  topic text NOT NULL,
  extension text NOT NULL,
  payload jsonb,
  event text,
  private boolean DEFAULT false,
  updated_at timestamp NOT NULL DEFAULT now(),
  inserted_at timestamp NOT NULL DEFAULT now()
);
CREATE OR REPLACE FUNCTION realtime.topic() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT nullif(current_setting('realtime.topic', true), '') $$;
CREATE OR REPLACE FUNCTION realtime.send(
  payload jsonb, event text, topic text, private boolean DEFAULT true
) RETURNS void LANGUAGE sql AS
$$ INSERT INTO realtime.messages (payload, event, topic, private, extension)
   VALUES (payload, event, topic, private, 'broadcast') $$;
CREATE OR REPLACE FUNCTION realtime.broadcast_changes(
  topic_name text, event_name text, operation text, table_name text, table_schema text,
  new record, old record, level text DEFAULT 'ROW'
) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
  PERFORM realtime.send(
    jsonb_build_object('operation', operation, 'table', table_name, 'schema', table_schema,
                       'record', to_jsonb(new), 'old_record', to_jsonb(old)),
    event_name, topic_name);
END $$;

DO $$
DECLARE
  item record;
BEGIN
  FOR item IN SELECT * FROM (VALUES ('storage.buckets', 'supabase_storage_admin'),
                                    ('storage.objects', 'supabase_storage_admin'),
                                    ('realtime.messages', 'supabase_realtime_admin')) v (t, owner)
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO %I', item.t, item.owner);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', item.t);
    EXECUTE format('GRANT ALL ON %s TO anon, authenticated, service_role, postgres', item.t);
  END LOOP;
  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime') THEN
    CREATE PUBLICATION supabase_realtime;
  END IF;
  ALTER PUBLICATION supabase_realtime OWNER TO postgres;
END
$$;
