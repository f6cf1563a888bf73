-- Notes, in a proof's database, what a migration really drops or rewrites, however it is written.
CREATE SCHEMA proof_watch;
GRANT USAGE ON SCHEMA proof_watch TO postgres;

CREATE TABLE proof_watch.seen (harm text NOT NULL, object text NOT NULL);
GRANT SELECT ON proof_watch.seen TO postgres;

CREATE FUNCTION proof_watch.note_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO proof_watch.seen
  SELECT 'DROP', object_type || ' ' || object_identity FROM pg_event_trigger_dropped_objects()
  WHERE original AND NOT is_temporary;
  IF session_user = 'postgres' AND EXISTS (
    SELECT FROM pg_event_trigger_dropped_objects()
    WHERE original AND schema_name IN ('auth', 'storage', 'realtime')
      AND object_type NOT IN ('policy', 'trigger')
  ) THEN
    RAISE insufficient_privilege USING MESSAGE = 'Supabase''s own tables are not the owner''s';
  END IF;
END
$$;

CREATE FUNCTION proof_watch.note_rewrite() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO proof_watch.seen
  VALUES ('REWRITE', 'table ' || pg_event_trigger_table_rewrite_oid()::regclass::text);
END
$$;

-- The owner may make policies and triggers on Supabase's own tables, and change nothing else there.
CREATE FUNCTION proof_watch.guard() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  changed text;
BEGIN
  SELECT object_identity INTO changed FROM pg_event_trigger_ddl_commands()
  WHERE schema_name IN ('auth', 'storage', 'realtime')
    AND command_tag NOT IN ('CREATE POLICY', 'ALTER POLICY', 'CREATE TRIGGER', 'COMMENT');
  IF changed IS NOT NULL AND session_user = 'postgres' THEN
    RAISE insufficient_privilege USING MESSAGE = 'must be owner of ' || changed;
  END IF;
END
$$;

-- The project's database, by the name that it has everywhere else.
SET allow_system_table_mods = on;
ALTER FUNCTION pg_catalog.current_database() RENAME TO proof_database;
CREATE FUNCTION pg_catalog.current_database() RETURNS name LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT 'postgres'::name $$;
RESET allow_system_table_mods;

CREATE EVENT TRIGGER proof_watch_guard ON ddl_command_end EXECUTE FUNCTION proof_watch.guard();
CREATE EVENT TRIGGER proof_watch_drop ON sql_drop EXECUTE FUNCTION proof_watch.note_drop();
CREATE EVENT TRIGGER proof_watch_rewrite ON table_rewrite
  EXECUTE FUNCTION proof_watch.note_rewrite();
