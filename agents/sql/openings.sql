-- Everything in a database that gives somebody access, beyond what the probed matrix shows: one row
-- per thing, as (kind, object, who, what). Taken before and after a migration; the difference is what
-- it opens. Trusted are the owner and the service's own roles; `who` "" means anybody.
WITH trusted AS (
  SELECT oid FROM pg_roles
  WHERE rolname IN ('postgres', 'service_role', 'dashboard_user', 'pgbouncer', 'pg_database_owner')
     OR rolname LIKE 'supabase\_%'
), spaces AS (
  SELECT oid, nspname, nspacl FROM pg_namespace WHERE nspname NOT LIKE 'pg\_t%' AND nspname <> 'proof_watch'
), relations AS (
  SELECT c.*, s.nspname, s.nspname || '.' || c.relname AS full_name
  FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace
  WHERE s.nspname NOT IN ('pg_catalog', 'information_schema')
), acls (kind, object, place, shown, acl) AS (
  -- what is shown by the matrix is not listed: reading and writing of the tables in it
  SELECT CASE relkind WHEN 'S' THEN 'grant on the sequence' ELSE 'grant' END,
         full_name, nspname, nspname NOT IN ('auth', 'extensions', 'vault', 'cron', 'net')
           AND relkind IN ('r', 'p', 'v', 'm'), relacl FROM relations
  UNION ALL
  SELECT 'grant', r.full_name || '.' || a.attname, r.nspname,
         r.nspname NOT IN ('auth', 'extensions', 'vault', 'cron', 'net'), a.attacl
  FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attacl IS NOT NULL
  UNION ALL
  SELECT 'grant on the schema', nspname, nspname, false, nspacl FROM spaces
  UNION ALL
  SELECT 'grant on the function', p.oid::regprocedure::text, s.nspname, false, p.proacl
  FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
  WHERE s.nspname IN ('pg_catalog', 'information_schema', 'auth', 'vault', 'cron', 'net')
  UNION ALL
  SELECT 'grant on the language', lanname, '', false, lanacl FROM pg_language
  UNION ALL
  SELECT 'grant on the foreign server', srvname, '', false, srvacl FROM pg_foreign_server
  UNION ALL
  SELECT 'grant on the database', '', '', false, datacl FROM pg_database
  WHERE datname = current_database()
  UNION ALL
  SELECT 'default privilege on', CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
           WHEN 'T' THEN 'types' ELSE 'schemas' END || CASE d.defaclnamespace WHEN 0 THEN ''
           ELSE ' in ' || d.defaclnamespace::regnamespace END,
         '', false, d.defaclacl
  FROM pg_default_acl d
)
SELECT a.kind, a.object::text, coalesce(r.rolname, 'PUBLIC')::text AS who,
       g.privilege_type || CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS what
FROM acls a CROSS JOIN LATERAL aclexplode(a.acl) g LEFT JOIN pg_roles r ON r.oid = g.grantee
WHERE g.grantee NOT IN (SELECT oid FROM trusted)
  AND (g.is_grantable OR NOT (
    a.shown AND g.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
      AND r.rolname IN ('anon', 'authenticated')
    -- the service's default for every table and sequence
    OR a.place = 'public' AND a.kind LIKE 'grant%' AND a.kind <> 'grant on the schema' AND r.rolname IN ('anon', 'authenticated')
    OR a.kind = 'default privilege on' AND r.oid IS NULL AND g.privilege_type IN ('EXECUTE', 'USAGE')))
UNION ALL
SELECT 'owner', full_name, pg_get_userbyid(relowner)::text, 'OWNER' FROM relations
WHERE relowner NOT IN (SELECT oid FROM trusted)
UNION ALL
SELECT 'owner', 'schema ' || nspname, pg_get_userbyid(nspowner)::text, 'OWNER'
FROM pg_namespace WHERE nspowner NOT IN (SELECT oid FROM trusted) AND nspname NOT LIKE 'pg\_%'
UNION ALL
SELECT 'owner', p.oid::regprocedure::text, pg_get_userbyid(proowner)::text, 'OWNER'
FROM pg_proc p WHERE proowner NOT IN (SELECT oid FROM trusted)
UNION ALL
-- of policies on tables in the matrix it says what they let through, to the roles of the API
SELECT 'policy', p.schemaname || '.' || p.tablename, r::text,
       concat_ws(' ', p.cmd, 'USING ' || p.qual, 'CHECK ' || p.with_check)
FROM pg_policies p CROSS JOIN LATERAL unnest(p.roles) r
WHERE p.permissive = 'PERMISSIVE' AND r NOT IN (SELECT rolname FROM pg_roles JOIN trusted USING (oid))
  AND (p.schemaname IN ('auth', 'vault', 'cron', 'net')
       OR r NOT IN ('anon', 'authenticated', 'public'))
UNION ALL
SELECT 'row level security', full_name, '', 'OFF' FROM relations
WHERE relkind IN ('r', 'p') AND NOT relrowsecurity
  AND nspname IN ('auth', 'storage', 'realtime', 'vault')
UNION ALL
SELECT 'setting', 'the database' || coalesce(' for ' || r.rolname, ''), coalesce(r.rolname, '')::text, c
FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c
LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL
SELECT 'publication', p.pubname::text, '',
       CASE WHEN p.puballtables THEN 'ALL TABLES' ELSE t.schemaname || '.' || t.tablename END
FROM pg_publication p LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname
WHERE NOT EXISTS (
  -- these messages go to those whom the policies let read
  SELECT FROM relations r WHERE p.pubname = 'supabase_realtime' AND NOT p.puballtables
    AND r.full_name = t.schemaname || '.' || t.tablename AND r.relrowsecurity)
  AND (p.puballtables OR t.tablename IS NOT NULL)
UNION ALL
SELECT 'rule', r.full_name, '', pg_get_ruledef(w.oid)
FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class
WHERE w.rulename <> '_RETURN' AND w.ev_type <> '1' AND pg_get_ruledef(w.oid) !~* 'DO INSTEAD\s+NOTHING'
UNION ALL
SELECT 'event trigger', e.evtname::text, '', e.evtfoid::regprocedure::text FROM pg_event_trigger e
WHERE NOT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                  WHERE p.oid = e.evtfoid AND n.nspname = 'proof_watch')
UNION ALL
SELECT 'foreign server', s.srvname::text, '', array_to_string(s.srvoptions, ',')
FROM pg_foreign_server s
UNION ALL
SELECT 'foreign table', full_name, '', relkind::text FROM relations WHERE relkind = 'f'
UNION ALL
SELECT 'operator or cast', castsource::regtype || ' AS ' || casttarget::regtype, '', castfunc::regprocedure::text
FROM pg_cast WHERE oid >= 16384
UNION ALL
SELECT 'public bucket', id, '', 'every file to everybody' FROM storage.buckets WHERE public
ORDER BY 1, 2, 3, 4
