-- Functions of users with what they call and read by name: their own bodies, and views. One row per
-- function or view: (kind, schema, name, runs with its owner's rights, returns, body, who may call it).
SELECT CASE p.prorettype WHEN 'trigger'::regtype THEN 'trigger' WHEN 'event_trigger'::regtype
         THEN 'trigger' ELSE 'function' END,
       n.nspname, p.proname, p.prosecdef, p.prorettype::regtype::text,
       CASE WHEN p.prokind = 'a' THEN
         (SELECT concat_ws(' ', a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggmfinalfn)
            FROM pg_aggregate a WHERE a.aggfnoid = p.oid)
         ELSE p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), '') END,
       ARRAY(SELECT r.rolname::text FROM pg_roles r
             WHERE r.rolname = ANY (%s) AND has_schema_privilege(r.oid, n.oid, 'USAGE')
               AND has_function_privilege(r.oid, p.oid, 'EXECUTE'))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT LIKE 'pg\_%%'
  AND n.nspname NOT IN ('information_schema', 'auth', 'extensions', 'proof_watch', 'storage', 'realtime',
                        'vault', 'cron', 'net')
UNION ALL
SELECT 'view', n.nspname, c.relname, NOT coalesce((SELECT bool_or(o.option_value::boolean) FROM pg_options_to_table(c.reloptions) o
                     WHERE o.option_name = 'security_invoker'), false),
       '', pg_get_viewdef(c.oid), '{}'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND n.nspname NOT LIKE 'pg\_%%' AND n.nspname <> 'information_schema'
ORDER BY 1, 2, 3
