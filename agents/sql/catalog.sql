-- Everything that a migration can leave behind in the schemas of users: one row per object,
-- as (kind, name, definition), so that two snapshots can be compared line by line.
WITH spaces AS (
  SELECT oid, nspname FROM pg_namespace
  WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('information_schema', 'proof_watch')
), relations AS (
  SELECT c.*, s.nspname || '.' || c.relname AS full_name
  FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace
)
SELECT 'schema' AS kind, nspname::text AS name, '' AS definition FROM spaces
UNION ALL
SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'
         WHEN 'm' THEN 'view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'table' ELSE 'type' END,
       full_name,
       concat_ws(' ', relkind::text, 'persistence ' || relpersistence::text,
                 'owner ' || pg_get_userbyid(relowner), array_to_string(reloptions, ','))
FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
UNION ALL
SELECT 'view definition', full_name, pg_get_viewdef(oid) FROM relations WHERE relkind IN ('v', 'm')
UNION ALL
SELECT 'column', r.full_name || '.' || a.attname,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod),
                 CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid),
                 nullif('identity ' || a.attidentity::text, 'identity '),
                 nullif('generated ' || a.attgenerated::text, 'generated '))
FROM relations r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL
SELECT 'constraint', r.full_name || '.' || c.conname, pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN relations r ON r.oid = c.conrelid
UNION ALL
SELECT 'index', s.nspname || '.' || i.relname,
       pg_get_indexdef(x.indexrelid) || CASE WHEN x.indisvalid THEN '' ELSE ' INVALID' END
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN spaces s ON s.oid = i.relnamespace
UNION ALL
SELECT 'row level security', full_name, concat_ws(' ',
       CASE WHEN relrowsecurity THEN 'enabled' END, CASE WHEN relforcerowsecurity THEN 'forced' END)
FROM relations WHERE relkind IN ('r', 'p')
UNION ALL
SELECT 'policy', schemaname || '.' || tablename || '.' || policyname,
       concat_ws(' ', permissive, 'FOR ' || cmd, 'TO ' || array_to_string(roles, ','),
                 'USING ' || qual, 'CHECK ' || with_check)
FROM pg_policies
UNION ALL
SELECT 'grant', full_name, array_to_string(relacl, ' ') FROM relations WHERE relacl IS NOT NULL
UNION ALL
SELECT 'column grant', r.full_name || '.' || a.attname, array_to_string(a.attacl, ' ')
FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid WHERE a.attacl IS NOT NULL
UNION ALL
SELECT 'trigger', r.full_name || '.' || t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'rule', r.full_name || '.' || w.rulename, pg_get_ruledef(w.oid)
FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
UNION ALL
SELECT 'function', s.nspname || '.' || p.oid::regprocedure::text,
       concat_ws(' ', md5(p.prosrc), coalesce(p.prosqlbody::text, ''), p.provolatile::text,
                 CASE WHEN p.prosecdef THEN 'security definer' END,
                 array_to_string(p.proconfig, ','), array_to_string(p.proacl, ' '))
FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace
UNION ALL
SELECT 'enumeration', s.nspname || '.' || t.typname,
       string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN spaces s ON s.oid = t.typnamespace
GROUP BY 1, 2
UNION ALL
SELECT 'domain', s.nspname || '.' || t.typname, format_type(t.typbasetype, t.typtypmod)
FROM pg_type t JOIN spaces s ON s.oid = t.typnamespace WHERE t.typtype = 'd'
UNION ALL
SELECT 'comment', d.objoid::regclass::text || '.' || d.objsubid, d.description
FROM pg_description d JOIN relations r ON r.oid = d.objoid AND d.classoid = 'pg_class'::regclass
UNION ALL
SELECT 'extension', extname::text, extversion FROM pg_extension
ORDER BY 1, 2, 3
