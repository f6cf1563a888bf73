-- What a new Supabase project holds before its first migration, as far as migrations can see it:
-- roles, default privileges, schema auth. Idempotent; run by a superuser in the database to set up.

-- Roles belong to the cluster: another database may make them at the same moment.
DO $$
DECLARE
  wanted CONSTANT text[] := ARRAY[
    'CREATE ROLE supabase_owner LOGIN NOSUPERUSER BYPASSRLS',
    'CREATE ROLE anon NOLOGIN NOINHERIT',
    'CREATE ROLE authenticated NOLOGIN NOINHERIT',
    'CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS',
    'CREATE ROLE authenticator LOGIN NOINHERIT',
    'GRANT anon, authenticated, service_role TO authenticator',
    'GRANT anon, authenticated, service_role TO supabase_owner',
    'ALTER ROLE supabase_owner SET search_path = "$user", public, extensions',
    'ALTER ROLE authenticator SET search_path = "$user", public, extensions'
  ];
  command text;
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator')
     AND pg_has_role('supabase_owner', 'service_role', 'MEMBER') THEN
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
     <> 'supabase_owner' THEN
    EXECUTE format('ALTER DATABASE %I OWNER TO supabase_owner', current_database());
  END IF;
END
$$;

ALTER SCHEMA public OWNER TO supabase_owner;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;

-- The default that makes row level security the only guard of a new table.
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_owner IN SCHEMA public
  GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_owner IN SCHEMA public
  GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_owner IN SCHEMA public
  GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;

CREATE SCHEMA IF NOT EXISTS extensions AUTHORIZATION supabase_owner;
GRANT USAGE ON SCHEMA extensions TO anon, authenticated, service_role;

-- Of uuid-ossp, which the hosted service installs, migrations use this one.
CREATE OR REPLACE FUNCTION extensions.uuid_generate_v4() RETURNS uuid LANGUAGE sql VOLATILE AS
$$ SELECT gen_random_uuid() $$;

CREATE SCHEMA IF NOT EXISTS auth;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, supabase_owner;

CREATE TABLE IF NOT EXISTS auth.users (
  id uuid PRIMARY KEY,
  email text,
  role text,
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  created_at timestamptz DEFAULT now()
);
GRANT ALL ON auth.users TO supabase_owner;

-- The claims of a request's JWT, where PostgREST leaves them.
CREATE OR REPLACE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS
$$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;

CREATE OR REPLACE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT auth.jwt() ->> 'role' $$;

CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT nullif(auth.jwt() ->> 'sub', '')::uuid $$;

CREATE OR REPLACE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT auth.jwt() ->> 'email' $$;
