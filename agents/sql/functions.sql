-- Functions of users that run with their owner's rights and that a role of the API may call.
SELECT r.rolname, n.nspname || '.' || p.proname, p.prorettype::regtype::text,
       p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), '')
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
CROSS JOIN pg_roles r
WHERE p.prosecdef
  AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
  AND n.nspname NOT LIKE 'pg\_%%'
  AND n.nspname NOT IN ('information_schema', 'auth', 'extensions', 'proof_watch', 'storage', 'realtime',
                        'vault', 'cron', 'net')
  AND r.rolname = ANY (%s)
  AND has_schema_privilege(r.oid, n.oid, 'USAGE')
  AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
ORDER BY 1, 2
