-- Notes, in a proof's database, what a migration really drops or rewrites, however it is written.
CREATE SCHEMA proof_watch;
GRANT USAGE ON SCHEMA proof_watch TO supabase_owner;

CREATE TABLE proof_watch.seen (harm text NOT NULL, object text NOT NULL);
GRANT SELECT ON proof_watch.seen TO supabase_owner;

CREATE FUNCTION proof_watch.note_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO proof_watch.seen
  SELECT 'DROP', object_type || ' ' || object_identity FROM pg_event_trigger_dropped_objects()
  WHERE original AND NOT is_temporary;
END
$$;

CREATE FUNCTION proof_watch.note_rewrite() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  INSERT INTO proof_watch.seen
  VALUES ('REWRITE', 'table ' || pg_event_trigger_table_rewrite_oid()::regclass::text);
END
$$;

CREATE EVENT TRIGGER proof_watch_drop ON sql_drop EXECUTE FUNCTION proof_watch.note_drop();
CREATE EVENT TRIGGER proof_watch_rewrite ON table_rewrite
  EXECUTE FUNCTION proof_watch.note_rewrite();
