/*
 * History: acting as the role that owns it.
 *
 * The API is read by the caller, with the caller's key; the history's tables are changed
 * by their owner.
 */

CREATE FUNCTION @extschema@._chpg_run_as(role oid, statement text, arguments record)
RETURNS jsonb
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'chpg_run_as';

COMMENT ON FUNCTION @extschema@._chpg_run_as(oid, text, record) IS
'Run a statement as another role, and return the one value of the one row that it returns.
$1, $2, ... stand for the fields of the row, which may have none.
Runs in a security-restricted operation with search_path pg_catalog.
Errors: 42501 the caller could not become the role by SET ROLE.';

CREATE FUNCTION @extschema@._chpg_history_owner_in(place name)
RETURNS oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owner oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = format('%I.pattern_key', place)::regclass);
BEGIN
	IF NOT pg_has_role(owner, 'USAGE'::text) THEN
		RAISE EXCEPTION 'permission denied for the history'
			USING ERRCODE = 'insufficient_privilege',
				DETAIL = format('Captures and purges are run by role "%s", which owns the history.',
					pg_get_userbyid(owner));
	END IF;
	RETURN owner;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_owner_in(name) IS
'The owner of the tables of the history in a schema, which was examined before.
Errors: 42501 the caller has not the owner''s privileges.';

CREATE FUNCTION @extschema@._chpg_history_owner()
RETURNS oid
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN @extschema@._chpg_history_owner_in(@extschema@._chpg_history_enter());
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_owner() IS
'The owner of the history''s tables, for _chpg_run_as.
Errors: 42501 the caller has not the owner''s privileges; 55000 there is no history, or it
  cannot be used.';

/*
 * Without this check, a caller that may execute chpg_capture or chpg_history_purge alone
 * would get a permission error that names an internal function.
 */
CREATE FUNCTION @extschema@._chpg_history_check_caller(command text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	place name := (SELECT h.schema_name FROM @extschema@.chpg_history_schema h);
BEGIN
	IF has_function_privilege('@extschema@._chpg_history_owner()', 'EXECUTE') THEN
		IF pg_is_in_recovery() THEN
			RAISE EXCEPTION '% needs a primary', command
				USING ERRCODE = 'read_only_sql_transaction', DETAIL = 'This server is a standby.',
					HINT = 'Run it on the primary; the standby gets what it does there.';
		ELSIF current_setting('transaction_read_only')::boolean THEN
			RAISE EXCEPTION '% cannot run in a read-only transaction', command
				USING ERRCODE = 'read_only_sql_transaction';
		END IF;
	ELSIF place IS NULL THEN
		PERFORM @extschema@._chpg_history_enter();
	ELSE
		RAISE EXCEPTION 'permission denied for the history'
			USING ERRCODE = 'insufficient_privilege',
				DETAIL = format('Captures and purges are run by the role that the history was begun for, or by '
					'superusers, not by role "%s".', current_user),
				HINT = format('Connect as that role. If schema "%s" is a history of yours, a superuser names you: '
					'SELECT chpg_history_enable(%L, owner => %L);', place, place, current_user);
	END IF;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_check_caller(text) IS
'Check that the caller may execute what captures and purges call, and that they can write.
Errors: 25006 this server is a standby, or the transaction is read-only; 42501 it may not;
  55000 there is no history.';

/*
 * Two locks.  The first one makes captures and purges take turns.  The second one keeps
 * other roles from creating triggers and foreign keys, so that the checks after it see all
 * that were created before.
 */
CREATE FUNCTION @extschema@._chpg_history_lock()
RETURNS name
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	place pg_catalog.name := @extschema@._chpg_history_enter();
	tables pg_catalog.text[];
BEGIN
	PERFORM @extschema@._chpg_history_settings();
	LOCK TABLE setting IN SHARE UPDATE EXCLUSIVE MODE;
	tables := ARRAY(SELECT t.name::text FROM @extschema@._chpg_history_tables() t);
	EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', array_to_string(tables, ', '));
	PERFORM @extschema@._chpg_history_enter();
	PERFORM @extschema@._chpg_refuse_code(t::regclass) FROM unnest(tables) t;
	RETURN place;
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_lock() IS
'Enter the history as its owner, once no other session changes it.
Errors: 22023 a setting cannot be used; 55000 there is no history, or it cannot be used.';

CREATE FUNCTION @extschema@._chpg_history_lock_table(of_table text, mode text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM @extschema@._chpg_history_enter();
	EXECUTE format('LOCK TABLE %I IN %s MODE', of_table, mode);
	PERFORM @extschema@._chpg_history_enter();
	PERFORM @extschema@._chpg_refuse_code(of_table::regclass);
END
$$;

COMMENT ON FUNCTION @extschema@._chpg_history_lock_table(text, text) IS
'As _chpg_history_lock, one table, for what takes no turn with captures and purges.
mode: ROW EXCLUSIVE; SHARE UPDATE EXCLUSIVE makes sessions take turns on the table.
Errors: 55000 there is no history, or it cannot be used.';
