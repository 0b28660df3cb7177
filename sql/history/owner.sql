/*
 * History: acting as the role that owns it.
 *
 * The API is read by the caller, with the caller's key; the history's tables are changed
 * by their owner.
 */

/*
 * What the API answers is asked for by the caller, with the caller's key; what is done
 * with the tables of the history is done by their owner.
 */
CREATE FUNCTION @extschema@._chpg_run_as(role oid, statement text, arguments record)
RETURNS jsonb
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'chpg_run_as';

COMMENT ON FUNCTION @extschema@._chpg_run_as(oid, text, record) IS
'Runs a statement, in which $1, $2, ... are the fields of the row, as a role that the caller could become by SET ROLE, in a security-restricted operation with search_path pg_catalog; returns the one value of the one row that it returns. Error 42501 for other roles.';

CREATE FUNCTION @extschema@._chpg_run_as(role oid, statement text)
RETURNS jsonb
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'chpg_run_as';

COMMENT ON FUNCTION @extschema@._chpg_run_as(oid, text) IS 'As _chpg_run_as with arguments, for a statement without.';

CREATE FUNCTION @extschema@._chpg_history_owner()
RETURNS oid
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name := @extschema@._chpg_history_enter();
	owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = format('%I.pattern', place)::regclass);
BEGIN
	IF NOT pg_has_role(owner, 'USAGE'::text) THEN
		RAISE EXCEPTION 'permission denied for the history'
			USING ERRCODE = 'insufficient_privilege',
				DETAIL = format('Captures and purges are run by role "%s", who owns the history.', pg_get_userbyid(owner));
	END IF;
	RETURN owner;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_owner() IS
'The owner of the tables of the history, for _chpg_run_as. Errors: 42501 unless the caller may do what the owner may, 55000 there is no history, or it cannot be used.';

/* A role with EXECUTE on the user's function alone would be told of an internal one. */
CREATE FUNCTION @extschema@._chpg_history_check_entrusted()
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name := (SELECT h.schema_name FROM @extschema@.chpg_history_place h);
BEGIN
	IF has_function_privilege('@extschema@._chpg_history_owner()', 'EXECUTE') THEN
		RETURN;
	ELSIF place IS NULL THEN
		PERFORM @extschema@._chpg_history_check_place();
	ELSE
		RAISE EXCEPTION 'permission denied for the history'
			USING ERRCODE = 'insufficient_privilege',
				DETAIL = format('Captures and purges are run by the role that the history was begun for, or by superusers, not by role "%s".', current_user),
				HINT = format('Connect as that role. If schema "%s" is a history of yours, a superuser names you: SELECT chpg_history_enable(%L, owner => %L).',
					place, place, current_user);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_entrusted() IS
'Errors: 42501 unless the caller may execute what captures and purges call, 55000 there is no history. For chpg_capture and chpg_history_purge.';

CREATE FUNCTION @extschema@._chpg_history_check_primary(command text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pg_is_in_recovery() THEN
		RAISE EXCEPTION '% needs a primary', command
			USING ERRCODE = 'read_only_sql_transaction', DETAIL = 'This server is a standby.',
				HINT = 'Run it on the primary; the standby gets what it does there.';
	ELSIF current_setting('transaction_read_only')::boolean THEN
		RAISE EXCEPTION '% cannot run in a read-only transaction', command USING ERRCODE = 'read_only_sql_transaction';
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_primary(text) IS 'Error 25006 on a standby, and in a read-only transaction. For chpg_capture and chpg_history_purge.';

CREATE FUNCTION @extschema@._chpg_history_lock()
RETURNS name
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	place pg_catalog.name := @extschema@._chpg_history_enter();
BEGIN
	PERFORM @extschema@._chpg_history_settings();
	LOCK TABLE setting IN SHARE UPDATE EXCLUSIVE MODE;
	-- from here on nobody makes a trigger or a foreign key of these: what has been made until now is seen
	LOCK TABLE setting, service, query_text, pattern_key, capture, pattern, metric_point IN ROW EXCLUSIVE MODE;
	PERFORM @extschema@._chpg_history_enter();
	PERFORM @extschema@._chpg_refuse_code(t::regclass)
	FROM unnest('{setting,service,query_text,pattern_key,capture,pattern,metric_point}'::text[]) t;
	RETURN place;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_lock() IS
'As _chpg_history_enter, for the owner, who changes the history: waits until nobody else does. Errors: 22023 a setting cannot be used.';
