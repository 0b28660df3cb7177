# Calls by short name, as in the README, after another role was allowed to create
# functions in the extension's schema: for literals and texts, no function with as many
# arguments fits better than chpg's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', 'max_locks_per_transaction = 256');  # of thousands of functions, which are dropped at once

# Installed as the README says, chpg is found by short names, also by other roles.
my ($install) = slurp_file("$FindBin::RealBin/../../README.md") =~ /^(CREATE SCHEMA chpg;\n.*?)```/ms;
sql($install);
sql('CREATE ROLE mallory LOGIN; CREATE ROLE reader LOGIN');
sql("SELECT * FROM chpg_connect('$KEY_ID', '$KEY_SECRET', api_url => '$url'); GRANT USAGE ON FOREIGN SERVER chpg TO reader");
is(sql("SELECT server FROM chpg_connect('$KEY_ID', '$KEY_SECRET'); SELECT count(*) > 0 FROM chpg_services", extra_params => [ '-U', 'reader' ]),
	"chpg\nt", 'another role finds the installed extension');

# A function that sets its own search_path names the schema, as that of docs/security.md does.
my ($lends) = slurp_file("$FindBin::RealBin/../../docs/security.md") =~ /^ *(CREATE FUNCTION restart_prod.*?)```/ms;
$node->safe_psql('postgres', $lends);
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_proc WHERE proname = 'restart_prod'}), '1', 'so does a function that lends its key');

is(sql(q{
		SELECT string_agg(DISTINCT format_type(t, NULL), ', ' ORDER BY format_type(t, NULL))
		FROM pg_proc p, unnest(p.proargtypes) t
		WHERE p.pronamespace = 'chpg'::regnamespace AND p.proname LIKE 'chpg\_%' AND p.proname NOT IN ('chpg_validator', 'chpg_handler', 'chpg_webhook_validator')}),
	'bigint, boolean, double precision, integer, interval, jsonb, text, text[], timestamp with time zone, tstzrange',
	'no function for users takes a name, or a type that only stands for a text');

# The extension's own functions, before anything is planted
sql(q{
	CREATE TABLE public.original AS
	SELECT p.oid, p.proname, p.prokind, p.pronargs, p.pronargdefaults, p.proargtypes::oid[] AS types, p.proargnames AS names
	FROM pg_proc p
	WHERE p.pronamespace = 'chpg'::regnamespace AND p.proname LIKE 'chpg\_%' AND p.pronargs > 0
		AND p.proname NOT IN ('chpg_validator', 'chpg_handler', 'chpg_webhook_validator');
	GRANT USAGE, CREATE ON SCHEMA chpg TO mallory;
	GRANT SELECT ON public.original TO mallory});

# Another type for one argument or for all, with and without defaults of the last ones
sub plant
{
	return sql(q{
		SET check_function_bodies = off;
		DO $$
		DECLARE
			f record;
			new_type text;
			place integer;
			arguments text;
		BEGIN
			FOR f IN SELECT * FROM public.original LOOP
				FOREACH new_type IN ARRAY '{text,varchar,bpchar,name,"\"char\"",integer,bigint,numeric,float8,boolean,date,timestamp,timestamptz,interval,json,jsonb,tstzrange,oid,regclass,regnamespace,regrole,text[],anyelement,anycompatible,record}'::text[] LOOP
					FOR place IN 0 .. f.pronargs LOOP
						arguments := (SELECT string_agg(format('"%s" %s', f.names[i], CASE WHEN place IN (0, i) THEN new_type ELSE format_type(f.types[i - 1], NULL) END)
								|| CASE WHEN i > f.pronargs - f.pronargdefaults THEN ' DEFAULT NULL' ELSE '' END, ', ' ORDER BY i)
							FROM generate_series(1, f.pronargs) i);
						BEGIN
							EXECUTE format('CREATE %s chpg.%I(%s) %s LANGUAGE plpgsql AS %L', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
								f.proname, arguments, CASE f.prokind WHEN 'p' THEN '' ELSE 'RETURNS text' END,
								'BEGIN RAISE WARNING ''PLANTED'';' || CASE f.prokind WHEN 'p' THEN '' ELSE ' RETURN NULL;' END || ' END');
						EXCEPTION WHEN duplicate_function OR invalid_function_definition THEN
							NULL;
						END;
					END LOOP;
				END LOOP;
			END LOOP;
		END
		$$;
		SELECT count(*) FROM pg_proc WHERE proowner = 'mallory'::regrole}, extra_params => [ '-U', 'mallory' ]);
}
cmp_ok(plant(), '>', 3000, 'functions are planted beside each');

# The functions that a query which calls one this way resolves to, as a view's rule
# stores them: text arguments are literals or casts, by position or by name; others are
# values of their types, as now() is. An omitted argument has its default, or makes the
# call ambiguous between chpg's function and another one with defaults. So does naming all
# arguments of a form, where the form by texts has one more, and giving all of the forms of a
# time and a text, where others have more.
my $chosen = q{
	DO $$
	DECLARE
		f record;
		style text;
		call text;
		others text;
	BEGIN
		FOR f IN SELECT * FROM public.original WHERE prokind = 'f' LOOP
			FOREACH style IN ARRAY '{literal,text,named,shortest}'::text[] LOOP
				call := format('SELECT %I(%s)', f.proname, (SELECT string_agg(
						CASE style WHEN 'named' THEN format('%I => ', f.names[i]) ELSE '' END
						|| CASE WHEN f.types[i - 1] <> ALL ('{text,name,regclass,regnamespace}'::regtype[]) THEN format('NULL::%s', format_type(f.types[i - 1], NULL))
							WHEN style = 'text' THEN $l$'public'::text$l$ ELSE $l$'public'$l$ END, ', ' ORDER BY i)
					FROM generate_series(1, f.pronargs - CASE style WHEN 'shortest' THEN f.pronargdefaults ELSE 0 END) i));
				BEGIN
					EXECUTE 'CREATE VIEW public.meant AS ' || replace(call, 'SELECT ', 'SELECT 1 FROM ');
				EXCEPTION WHEN ambiguous_function THEN
					CONTINUE WHEN f.types[0] = 'timestamptz'::regtype AND f.types[1] = 'text'::regtype;
					CONTINUE WHEN style = 'shortest' OR style = 'named' AND f.proname IN ('chpg_findings', 'chpg_report', 'chpg_report_text');
					RAISE;
				END;
				others := (SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class = 'public.meant'::regclass
					JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
					WHERE p.oid <> f.oid);
				IF others IS NOT NULL THEN
					RAISE WARNING '% means %', call, others;
				END IF;
				DROP VIEW public.meant;
			END LOOP;
		END LOOP;
	END
	$$};
is(notices($node, $chosen), '', 'no call resolves to a planted function');

# Procedures cannot be in a view.
for my $call ("chpg_capture('hour', 'orders', 1, 'chpg')", "chpg_capture(service => 'orders')", 'chpg_deliver()',
	"chpg_wait_until('orders', 'running', interval '1 second', interval '1 second', NULL::jsonb, 'chpg')", "chpg_wait_until('orders')")
{
	unlike(notices($node, "BEGIN; CALL $call; ROLLBACK"), qr/PLANTED/, "not run: CALL $call");
}

# What remains, as docs/security.md says: fewer arguments make a call ambiguous, and a literal for
# what is no text is another's.
sql('DROP OWNED BY mallory; GRANT USAGE, CREATE ON SCHEMA chpg TO mallory');
sql(q{
	CREATE FUNCTION chpg.chpg_history_enable(text) RETURNS text LANGUAGE sql RETURN 'planted';
	CREATE FUNCTION chpg.chpg_slow_patterns(text, text) RETURNS text LANGUAGE sql RETURN 'planted';
	CREATE FUNCTION chpg.chpg_period_patterns(text) RETURNS text LANGUAGE sql RETURN 'planted'}, extra_params => [ '-U', 'mallory' ]);
fails_with($node, q{SELECT chpg_history_enable('kept')}, '42725', qr/function chpg_history_enable\(unknown\) is not unique/, 'a function with fewer arguments');
fails_with($node, q{SELECT * FROM chpg_slow_patterns('2026-05-01', '2026-05-02')}, '42725', qr/function chpg_slow_patterns\(unknown, unknown\) is not unique/, 'also where chpg has a form by texts');
is(sql(q{SELECT * FROM chpg_period_patterns('[2026-05-01,2026-05-02)')}), 'planted', 'a function with a text for a literal that is a range');
sql('DROP OWNED BY mallory');
is(sql(q{SELECT chpg_history_enable('kept'); SELECT count(*) > 10 FROM kept.setting}), "\nt", 'unless the planted function is dropped');

# Names that are given as texts
fails_with($node, q{SELECT chpg_comment_tables('nowhere')}, '3F000', qr/schema "nowhere" does not exist/, 'a schema that does not exist');
fails_with($node, q{SELECT chpg_table_columns('public.at_all')}, '42P01', qr/relation "public.at_all" does not exist/, 'a table that does not exist');
sql(q{CREATE SCHEMA "My ""Cloud"; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO "My ""Cloud"});
is(sql(q{SELECT chpg_comment_tables('"My ""Cloud"'); SELECT count(*) > 0 FROM chpg_table_columns('"My ""Cloud".logs')}), "10\nt", 'names are written as in SQL');
sql('SELECT chpg_history_disable()');
fails_with($node, "SELECT chpg_history_enable(repeat('x', 64))", '42622', qr/invalid name for the schema of the history: "x{64}"/, 'a name that would be cut');
fails_with($node, "SELECT chpg_history_enable('another', owner => repeat('x', 64))", '42704', qr/role "x{64}" does not exist/, 'an owner whose name would be');

done_testing();
