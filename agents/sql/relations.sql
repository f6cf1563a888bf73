-- The tables and views of users with what a probe has to know of them, as one JSON document.
SELECT coalesce(json_agg(json_build_object(
  'schema', s.nspname, 'name', c.relname, 'kind', c.relkind,
  'unlogged', c.relpersistence <> 'p', 'rls', c.relrowsecurity, 'forced', c.relforcerowsecurity,
  'columns', (
    SELECT coalesce(json_agg(json_build_object(
      'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
      'base', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, -1)
                   ELSE format_type(t.oid, -1) END,
      'category', t.typcategory, 'not_null', a.attnotnull,
      'default', pg_get_expr(d.adbin, d.adrelid),
      'made', a.attgenerated <> '' OR a.attidentity = 'a',
      'identity', a.attidentity <> '',
      'labels', (SELECT coalesce(json_agg(e.enumlabel ORDER BY e.enumsortorder), '[]')
                 FROM pg_enum e WHERE e.enumtypid = t.oid)
    ) ORDER BY a.attnum), '[]')
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'constraints', (
    SELECT coalesce(json_agg(json_build_object(
      'name', k.conname, 'type', k.contype, 'definition', pg_get_constraintdef(k.oid),
      'expression', pg_get_expr(k.conbin, k.conrelid),
      'columns', (SELECT coalesce(json_agg(a.attname ORDER BY u.place), '[]')
                  FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
                  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum),
      'target', k.confrelid::regclass::text,
      'target_columns', (SELECT coalesce(json_agg(a.attname ORDER BY u.place), '[]')
                  FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, place)
                  JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum)
    )), '[]')
    FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype <> 'n'),
  'indexes', (
    SELECT coalesce(json_agg(json_build_object(
      'name', i.relname, 'unique', x.indisunique, 'primary', x.indisprimary,
      'valid', x.indisvalid, 'partial', x.indpred IS NOT NULL,
      'whole', x.indpred IS NULL OR pg_get_expr(x.indpred, x.indrelid) = (
        SELECT format('(%I IS NOT NULL)', a.attname) FROM pg_attribute a
        WHERE a.attrelid = x.indrelid AND a.attnum = x.indkey[0]),
      'nulls_not_distinct', x.indnullsnotdistinct, 'immediate', x.indimmediate,
      'method', m.amname,
      'columns', (SELECT json_agg(a.attname ORDER BY u.place)
                  FROM unnest(x.indkey::smallint[]) WITH ORDINALITY AS u (attnum, place)
                  LEFT JOIN pg_attribute a
                    ON a.attrelid = c.oid AND a.attnum = u.attnum AND u.attnum > 0
                    -- under another collation it leads to no value of the column
                    AND x.indcollation[u.place - 1] IN (0, a.attcollation)
                  WHERE u.place <= x.indnkeyatts)
    ) ORDER BY i.relname), '[]')
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_am m ON m.oid = i.relam
    WHERE x.indrelid = c.oid),
  'policies', (
    SELECT coalesce(json_agg(json_build_object(
      'name', p.policyname, 'permissive', p.permissive = 'PERMISSIVE', 'verb', p.cmd,
      'roles', to_json(p.roles), 'using', p.qual, 'check', p.with_check
    ) ORDER BY p.policyname), '[]')
    FROM pg_policies p WHERE p.schemaname = s.nspname AND p.tablename = c.relname)
) ORDER BY s.nspname, c.relname), '[]')
FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm')
  AND s.nspname NOT LIKE 'pg\_%'
  AND s.nspname NOT IN ('information_schema', 'auth', 'extensions', 'proof_watch', 'vault', 'cron', 'net')
