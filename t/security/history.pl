# History: nothing that another role has planted runs when a history is captured, purged
# or read, or blocks these; and no privilege to plant it goes unnoticed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::History;
use JSON::PP;
use Test::More;

my $url = start_emulator();
# Autovacuum would run what is planted into statistics, as each ANALYZE does.
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0', 'autovacuum = off');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 2, patterns => 5);

# Mallory's planted functions record the role that runs them, in sequences, which no
# rollback resets.
sql(q{CREATE ROLE mallory LOGIN; CREATE SCHEMA attic AUTHORIZATION mallory; GRANT USAGE ON SCHEMA attic TO PUBLIC;
	SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '6 hours' WHERE name = 'backfill';
	GRANT USAGE ON SCHEMA kept TO mallory; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO mallory});
as_role('mallory', q{
	CREATE SEQUENCE attic.as_superuser; CREATE SEQUENCE attic.as_other; GRANT ALL ON ALL SEQUENCES IN SCHEMA attic TO PUBLIC;
	CREATE FUNCTION attic.taken() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN RETURN nextval(CASE WHEN (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN 'attic.as_superuser' ELSE 'attic.as_other' END) > 0; END $$;
	CREATE FUNCTION attic.fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM attic.taken(); RETURN coalesce(NEW, OLD); END $$;
	CREATE FUNCTION attic.times(int4, interval) RETURNS interval LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM attic.taken(); RETURN $1::float8 * $2; END $$;
	CREATE DOMAIN attic.checked AS text CHECK (attic.taken())});

my $TABLES = sql(q{SELECT string_agg(name, ' ' ORDER BY name) FROM _chpg_history_tables()});

sub taken { return sql('SELECT (SELECT is_called FROM attic.as_superuser), (SELECT is_called FROM attic.as_other)') }
sub forget { return sql(q{SELECT setval('attic.as_superuser', 1, false), setval('attic.as_other', 1, false); TRUNCATE kept.capture, kept.open_hour, kept.open_day}) }
sub state { return sql('SELECT state FROM _chpg_history_state()') }

my $CAPTURE = q{CALL chpg_capture('hour', max_windows => 1)};
sql($CAPTURE);
is(state(), '', 'an unchanged history can be used');
is(sql(q{SET quote_all_identifiers = on; SELECT state FROM _chpg_history_state(); SELECT chpg_history_enable('kept')}), "\n", 'however names are shown');

# The statement is rejected, no planted function has run, and the statement in the hint
# solves it.
sub is_refused
{
	my ($name, $what, $statement) = @_;
	my $error = fails_with($node, $statement // $CAPTURE, '55000', qr/the history cannot be used: schema "kept" $what/, $name);

	is(taken(), 'f|f', "$name: no planted function runs");
	my ($hint) = $error =~ /^HINT:  Run: (.*;)$/m;
	sql($hint) if defined $hint;
	return $hint // '';
}

# Privileges that let others plant something, or change what is there

sql('GRANT ALL ON ALL TABLES IN SCHEMA kept TO mallory');
as_role('mallory', 'CREATE TRIGGER planted BEFORE INSERT ON kept.capture FOR EACH ROW EXECUTE FUNCTION attic.fires()');
forget();
is_refused('a trigger', qr/has a trigger "planted" on table "capture"/);
{
	my $period = q{tstzrange(now() - interval '1 hour', now())};
	my $before = q{tstzrange(now() - interval '2 hours', now() - interval '1 hour')};
	for my $call ("chpg_findings($period, history_only => true)", "chpg_findings($period)", "chpg_compare($before, $period)")
	{
		my ($status, undef, $said) = $node->psql('postgres', "SELECT count(*) FROM $call");
		my @warnings = $said =~ /WARNING:  the history cannot be used: schema "kept" grants \S.* to mallory\nHINT:  Run: REVOKE /g;
		is($status . @warnings, '01', "$call does without the history, and says why, once") or diag($said);
	}
}
my $REVOKE = is_refused('what let them make it', qr/grants DELETE, INSERT, REFERENCES, TRIGGER, TRUNCATE, UPDATE on "alert" and others to mallory/);
like($REVOKE, qr/^REVOKE .* ON ALL TABLES IN SCHEMA kept FROM mallory;$/, 'is revoked by one statement');
is(state(), '', 'which is all');
as_role('mallory', 'SELECT count(*) FROM kept.pattern_hour');

# That nothing was found is remembered within a transaction, until there is something.

{
	my $session = open_session($node);
	in_session($session, q{BEGIN; SET LOCAL track_functions = 'all'});
	my $look = q{SELECT state FROM _chpg_history_state()};
	my $looks = q{SELECT pg_stat_get_xact_function_calls('_chpg_history_examine()'::regprocedure)};
	my $period = q{tstzrange(now() - interval '6 hours', now())};
	in_session($session, "SELECT count(*) FROM chpg_findings($period, history_only => true); SELECT count(*) FROM chpg_period_patterns($period); $look");
	is(in_session($session, $looks), 1, 'one search for findings and patterns');
	in_session($session, 'ROLLBACK; BEGIN');
	for my $case (
		[ 'GRANT INSERT ON kept.capture TO mallory', 'REVOKE INSERT ON kept.capture FROM mallory', 'grants INSERT' ],
		[ 'GRANT UPDATE (text_id) ON kept.query_text TO mallory', 'REVOKE UPDATE (text_id) ON kept.query_text FROM mallory', 'grants UPDATE' ],
		[ 'GRANT CREATE ON SCHEMA kept TO mallory', 'REVOKE CREATE ON SCHEMA kept FROM mallory', 'may be written to' ],
		[ 'CREATE FUNCTION kept.f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$', 'DROP FUNCTION kept.f()', 'has the function' ],
		[ 'CREATE OPERATOR kept.### (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int)', 'DROP OPERATOR kept.### (int, int)', 'has the operator' ],
		[ 'CREATE TYPE kept.t AS ENUM (); ALTER TYPE kept.t OWNER TO mallory', 'DROP TYPE kept.t', 'has objects of other roles' ],
		[ 'CREATE TRIGGER planted BEFORE INSERT ON kept.capture FOR EACH ROW EXECUTE FUNCTION attic.fires()', 'DROP TRIGGER planted ON kept.capture', 'has a trigger' ],
		[ 'CREATE RULE planted AS ON INSERT TO kept.metric_day DO ALSO NOTHING', 'DROP RULE planted ON kept.metric_day', 'has a rule' ],
		[ 'ALTER TABLE kept.service ENABLE ROW LEVEL SECURITY', 'ALTER TABLE kept.service DISABLE ROW LEVEL SECURITY', 'has row security' ],
		[ 'CREATE POLICY planted ON kept.service', 'DROP POLICY planted ON kept.service', 'has a policy' ],
		[ 'ALTER TABLE kept.service ADD CONSTRAINT planted CHECK (size IS NULL OR true)', 'ALTER TABLE kept.service DROP CONSTRAINT planted', 'has a constraint' ],
		[ 'ALTER TABLE kept.service ALTER size SET DEFAULT 1', 'ALTER TABLE kept.service ALTER size DROP DEFAULT', 'has a default' ],
		[ 'CREATE INDEX planted ON kept.service (lower(size))', 'DROP INDEX kept.planted', 'has an index' ],
		[ 'CREATE STATISTICS attic.planted ON (lower(size)) FROM kept.service', 'DROP STATISTICS attic.planted', 'has statistics' ],
		[ 'CREATE TABLE attic.child () INHERITS (kept.service)', 'DROP TABLE attic.child', 'has attic.child' ],
		[ 'ALTER TABLE kept.capture RENAME TO kapture', 'ALTER TABLE kept.kapture RENAME TO capture', 'lacks tables' ],
		[ q{UPDATE chpg_history_schema SET schema_name = 'keep'}, q{UPDATE chpg_history_schema SET schema_name = 'kept'}, 'does not exist' ],
		[ 'ALTER SCHEMA kept OWNER TO mallory', 'ALTER SCHEMA kept OWNER TO CURRENT_USER; GRANT USAGE ON SCHEMA kept TO mallory', 'belongs to "mallory"' ])
	{
		my ($plant, $remove, $what) = @$case;
		my @states = in_session($session, $look);
		sql($plant);
		push @states, in_session($session, $look);
		sql($remove);
		push @states, in_session($session, $look);
		like(join('|', @states), qr/^\|$what[^|]*\|$/, "$plant: is noticed in the same transaction");
	}
	is(in_session($session, "SAVEPOINT s; $look; CREATE FUNCTION kept.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; $look; ROLLBACK TO s; $look"), "\nhas the function kept.f()\n",
		'so are own changes, and that they are rolled back');
	sql('CREATE ROLE stranger');
	is(in_session($session, "$look; SET LOCAL ROLE stranger; $look"), "\nis not open to you", 'another role is checked itself');
	in_session($session, 'ROLLBACK');
	$session->quit;
}

foreach my $right ('TRIGGER', 'REFERENCES', 'TRUNCATE', 'INSERT', 'UPDATE', 'DELETE', 'UPDATE (text_id)', 'REFERENCES (text_id)', 'INSERT (text_id)')
{
	my $word = $right =~ s/ .*//r;
	sql("GRANT $right ON kept.query_text TO mallory");
	is_refused($right, qr/grants $word on "query_text" to mallory/);
	sql("GRANT $right ON kept.query_text TO PUBLIC");
	is_refused("$right of PUBLIC", qr/grants $word on "query_text" to PUBLIC/);
	is(state(), '', "no $right is left");
}
my $month = sql(q{SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'kept.sealed_hour'::regclass});
sql("GRANT TRIGGER ON $month TO mallory");
is_refused('a right on a month', qr/grants TRIGGER on "sealed_hour_\d+" to mallory/);
sql(q{DO $$ BEGIN EXECUTE 'GRANT UPDATE ON SEQUENCE ' || pg_get_serial_sequence('kept.pattern_key', 'pattern_key') || ' TO mallory'; END $$});
is_refused('a right on the sequence', qr/grants UPDATE on "pattern_key_pattern_key_seq" to mallory/);
sql('CREATE ROLE middle; GRANT USAGE ON SCHEMA kept TO middle; GRANT INSERT ON kept.capture TO middle WITH GRANT OPTION; SET ROLE middle; GRANT INSERT ON kept.capture TO mallory');
is_refused('a right that was handed on', qr/grants INSERT on "capture" to middle/);
is(state(), '', 'is revoked with the grants that depend on it');

my $owner = sql('SELECT current_user');
sql(qq{CREATE ROLE deputy; GRANT "$owner" TO deputy; GRANT INSERT ON kept.capture TO deputy});
is(state(), '', 'members of the owner have its rights anyway');
sql('DROP OWNED BY deputy; DROP ROLE deputy; GRANT SELECT ON ALL TABLES IN SCHEMA kept TO PUBLIC');
is(state(), '', 'SELECT may be granted to any role');
fails_with($node, "SELECT chpg_history_enable('another')", '55000', qr/the history is in schema "kept" already/, 'an unsafe history is not replaced by a new one')
  if sql('GRANT INSERT ON kept.capture TO mallory; SELECT 1');
is_refused('a purge', qr/grants INSERT/, 'SELECT chpg_history_purge()');

# A foreign key

sql('GRANT REFERENCES ON kept.query_text TO mallory; GRANT ALL ON SCHEMA attic TO mallory');
as_role('mallory', q{CREATE TABLE attic.holds (text_id bigint REFERENCES kept.query_text)});
sql('REVOKE REFERENCES ON kept.query_text FROM mallory; INSERT INTO kept.query_text OVERRIDING SYSTEM VALUE VALUES (1000001, $$$$, $$old$$, $$old$$); INSERT INTO attic.holds VALUES (1000001)');
like(is_refused('a foreign key', qr/has a constraint "holds_text_id_fkey" of table attic\.holds on table "query_text"/, 'SELECT chpg_history_purge()'), qr/^ALTER TABLE attic\.holds DROP CONSTRAINT/, 'goes by its own table');
sql('SELECT chpg_history_purge()');
is(sql('SELECT count(*) FROM kept.query_text WHERE text_id = 1000001'), 0, 'and the purge goes on');
sql('CREATE TABLE public.target (a text PRIMARY KEY); ALTER TABLE kept.metric_day ADD CONSTRAINT outward FOREIGN KEY (metric) REFERENCES public.target NOT VALID');
is_refused('a foreign key to another table', qr/has a constraint "outward"/);
is(state(), '', 'goes, too');

# Default privileges, those of schemas, sequences and tables

sql('SELECT chpg_history_disable(); DROP SCHEMA kept CASCADE');
sql("ALTER DEFAULT PRIVILEGES GRANT ALL ON $_ TO mallory") foreach 'TABLES', 'SEQUENCES', 'SCHEMAS';
sql(q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '6 hours' WHERE name = 'backfill'; CALL chpg_capture(max_windows => 1)});
is(sql(q{SELECT string_agg(DISTINCT a.privilege_type, ' ') FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'kept'::regnamespace AND c.relkind IN ('r', 'p', 'S') AND a.grantee = 'mallory'::regrole}),
	'SELECT', 'default privileges give only reading of new tables and months');
is(sql(q{SELECT count(*) > 4 FROM pg_class WHERE relnamespace = 'kept'::regnamespace AND relispartition}), 't', 'of which there are some');
is(sql(q{SELECT has_schema_privilege('mallory', 'kept', 'CREATE'), has_schema_privilege('mallory', 'kept', 'USAGE')}), 'f|t', 'and use of the schema');
is(state(), '', 'so that the history can be used');
sql('ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM mallory; ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM mallory; ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM mallory');

# The views are for people.  An owner may have put others in their place, which the checks do not
# look at: chpg reads none of them.

sql(q{DO $$ DECLARE v record; BEGIN
	FOR v IN SELECT c.oid::regclass AS name, rtrim(pg_get_viewdef(c.oid), ';') AS query FROM pg_class c WHERE c.relnamespace = 'kept'::regnamespace AND c.relkind = 'v' LOOP
		EXECUTE format('CREATE OR REPLACE VIEW %s AS SELECT v.* FROM (%s) v WHERE attic.taken()', v.name, v.query);
	END LOOP; END $$});
{
	my $period = q{tstzrange(now() - interval '3 hours', now())};
	my $before = q{tstzrange(now() - interval '6 hours', now() - interval '3 hours')};
	is(sql('SELECT state FROM _chpg_history_state()'), '', 'views are not checked');
	forget();
	sql($_) foreach q{CALL chpg_capture('hour')}, q{UPDATE kept.open_hour SET window_start = window_start - interval '10 days'; UPDATE kept.capture SET window_start = window_start - interval '10 days', window_end = window_end - interval '10 days'; CALL chpg_history_seal()}, q{CALL chpg_capture()}, q{UPDATE kept.setting SET value = 'on' WHERE name = 'archive'}, 'SELECT chpg_history_archived(1)', 'SELECT chpg_history_purge()',
	  "SELECT count(*) FROM chpg_history_top($period)", "SELECT count(*) FROM chpg_compare($before, $period)", "SELECT count(*) FROM chpg_findings($period, history_only => true)",
	  "SELECT chpg_report($period)", "SELECT count(*) FROM chpg_period_patterns($period)", 'SELECT * FROM chpg_history_cost()', 'SELECT count(*) FROM chpg_history_due()',
	  'SELECT count(*) FROM chpg_history_export()', q{SELECT * FROM chpg_history_import('SELECT * FROM chpg_history_export()')}, "SELECT count(*) FROM kept.service s, chpg_pattern_course(s.service_id, 0, $period)";
	is(taken(), 'f|f', 'and nothing runs what they have');
	sql(q{UPDATE kept.setting SET value = 'off' WHERE name = 'archive'});
	is(sql('SELECT count(*) > 0 FROM kept.sealed_hour'), 't', 'though windows were sealed');
	sql('SELECT count(*) FROM kept.service_hour');
	is(taken(), 't|f', 'only a reader of the view');
	forget();
	sql(q{SELECT chpg_history_enable('kept'); SELECT count(*) FROM kept.pattern_hour, kept.service_hour});
	is(taken(), 'f|f', 'which chpg_history_enable puts back');
}

# Something else has the name of a partition: a window that belongs there is not lost without notice.
{
	my $parted = sql(q{SELECT 'kept.sealed_hour_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')});
	my $name = $parted =~ s/^kept\.//r;
	sql("DROP TABLE $parted");
	foreach my $squat (
		[ 'a table', "CREATE TABLE $parted (LIKE kept.sealed_hour INCLUDING ALL)", "DROP TABLE $parted" ],
		[ 'a view', "CREATE VIEW $parted AS SELECT attic.taken()", "DROP VIEW $parted" ],
		[ 'a partition of the other table', "CREATE TABLE $parted PARTITION OF kept.sealed_day FOR VALUES FROM ('2001-01-01') TO ('2001-02-01')", "DROP TABLE $parted", qr/has kept\.$name, which is a child of table "sealed_day"/ ],
		[ 'a partition of another month', "CREATE TABLE $parted PARTITION OF kept.sealed_hour FOR VALUES FROM ('2001-01-01') TO ('2001-02-01')", "DROP TABLE $parted" ])
	{
		my ($what, $plant, $remove, $state) = @$squat;
		sql($plant);
		fails_with($node, $CAPTURE, '55000', $state // qr/windows of \d{4}-\d\d cannot be sealed: "$name" is not their partition\nDETAIL:  It should be the partition of kept\.sealed_hour FOR VALUES FROM /, "$what with the name of a partition");
		sql($remove);
	}
	is(taken(), 'f|f', 'none of which runs');
	sql($CAPTURE);
	is(sql("SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = '$parted'::regclass"), 'kept.sealed_hour', 'it is made when that is gone');
}

# Whatever is planted on a table, or on a month: it is found, and the statement in the hint removes it.
# All is rolled back, but for the sequences.

sql(q{CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
	CREATE FUNCTION public.states_with(plant text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE found record; after text;
	BEGIN
		EXECUTE plant;
		SELECT * INTO found FROM _chpg_history_state();
		after := found.state;
		IF found.remedy ^@ 'Run: ' THEN
			EXECUTE substr(found.remedy, 6);
			after := coalesce((SELECT state FROM _chpg_history_state()), '');
		END IF;
		RAISE EXCEPTION '%', concat_ws(', then ', coalesce(found.state, 'nothing'), after) USING ERRCODE = 'ROLLB';
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLERRM;
	END $$;
	CREATE FUNCTION public.fill(template text, relation name, column_name text, type text, key text) RETURNS text LANGUAGE sql AS $$
		SELECT replace(replace(replace(replace(replace(replace(template, '%N', trim('"' FROM column_name)), '%T', 'kept.' || relation), '%R', relation), '%C', column_name), '%Y', type), '%K', coalesce(key, ''))
	$$});

# Of a table %T, which is %R: its last column %C (%N without quotes), of type %Y, and the columns of its key %K.  Only some tables can
# have it: p are those with partitions, m the months, r all others; k those with a key, u those without.  From PostgreSQL 17 on, none
# with an identity column can be attached as a partition.
my %PLANT = (
	'r p m, a trigger' => [ 'CREATE TRIGGER planted BEFORE INSERT ON %T FOR EACH ROW EXECUTE FUNCTION attic.fires()', 'has a trigger "planted" on table "%R"' ],
	'r p m, a rule' => [ 'CREATE RULE planted AS ON INSERT TO %T DO ALSO SELECT attic.taken()', 'has a rule "planted" on table "%R"' ],
	'r p m, row security' => [ 'ALTER TABLE %T ENABLE ROW LEVEL SECURITY', 'has row security on table "%R"' ],
	'r p m, forced row security' => [ 'ALTER TABLE %T FORCE ROW LEVEL SECURITY', 'has row security on table "%R"' ],
	'r p m, a policy' => [ 'CREATE POLICY planted ON %T USING (attic.taken())', 'has a policy "planted" on table "%R"' ],
	'r p m, a check' => [ 'TRUNCATE %T; ALTER TABLE %T ADD CONSTRAINT planted CHECK (attic.taken())', 'has a constraint "planted" on table "%R"' ],
	'r p m, a default' => [ 'ALTER TABLE %T ALTER %C SET DEFAULT CASE WHEN attic.taken() THEN NULL::%Y END', 'has a default of column "%N" of table "%R"' ],
	'r p, a formula' => [ 'TRUNCATE %T; ALTER TABLE %T ADD planted boolean GENERATED ALWAYS AS (attic.taken()) STORED', 'has a formula of column "planted" of table "%R"' ],
	'r p m, an index' => [ 'TRUNCATE %T; CREATE INDEX planted ON %T ((attic.taken()))', 'has an index kept.planted with an expression or a predicate' ],
	'r p m, a partial index' => [ 'TRUNCATE %T; CREATE INDEX planted ON %T (%C) WHERE attic.taken()', 'has an index kept.planted with an expression or a predicate' ],
	'r p m, statistics' => [ q{CREATE STATISTICS attic.planted ON (%C::text || attic.taken()), (%C::text || '') FROM %T}, 'has statistics "planted" over an expression of table "%R"' ],
	'r p, a domain' => [ 'TRUNCATE %T; ALTER TABLE %T ADD planted attic.checked', 'has a column "planted" of table "%R" of the type attic.checked', 'same' ],
	'r p, an array of a domain' => [ 'TRUNCATE %T; ALTER TABLE %T ADD planted attic.checked[]', 'has a column "planted" of table "%R" of the type attic.checked[]', 'same' ],
	'r, a parent' => [ 'CREATE TABLE attic.parent (LIKE %T); ALTER TABLE %T INHERIT attic.parent', 'has table "%R", which is a child of attic.parent' ],
	'r p, a partitioned parent' => [ 'TRUNCATE %T; CREATE TABLE attic.parent (LIKE %T) PARTITION BY LIST ((CASE WHEN attic.taken() THEN %C END)); ALTER TABLE attic.parent ATTACH PARTITION %T DEFAULT', 'has table "%R", which is a child of attic.parent' ],
	'r, a child' => [ 'CREATE TABLE attic.child () INHERITS (%T)', 'has attic.child, which is a child of table "%R"' ],
	'r, a foreign child' => [ 'CREATE FOREIGN TABLE attic.child () INHERITS (%T) SERVER elsewhere', 'has attic.child, which is a child of table "%R"' ],
	'p, a partition elsewhere' => [ q{CREATE TABLE attic.part PARTITION OF %T FOR VALUES FROM ('2001-01-01') TO ('2001-02-01')}, 'has attic.part, which is a child of table "%R"' ],
	'p, a default partition' => [ q{CREATE TABLE kept.%R_default PARTITION OF %T DEFAULT}, 'has kept.%R_default, which is a child of table "%R"' ],
	'p, a partition with the name of another' => [ q{CREATE TABLE kept.sealed_200101 PARTITION OF %T FOR VALUES FROM ('2001-01-01') TO ('2001-02-01')}, 'has kept.sealed_200101, which is a child of table "%R"' ],
	'p, a partitioned partition' => [ q{CREATE TABLE kept.%R_200101 PARTITION OF %T FOR VALUES FROM ('2001-01-01') TO ('2001-02-01') PARTITION BY LIST (service_key)}, 'has kept.%R_200101, which is a child of table "%R"' ],
	'p, a foreign partition' => [ q{ALTER TABLE %T DROP CONSTRAINT %R_pkey; CREATE FOREIGN TABLE kept.%R_200101 PARTITION OF %T FOR VALUES FROM ('2001-01-01') TO ('2001-02-01') SERVER elsewhere}, 'has kept.%R_200101, which is a child of table "%R"' ],
	'r p, a sequence' => [ 'CREATE SEQUENCE kept.planted OWNED BY %T.%C', 'has sequence kept.planted for column "%N" of table "%R"' ],
	'k p, a foreign key' => [ 'CREATE TABLE attic.refers (LIKE %T); ALTER TABLE attic.refers ADD CONSTRAINT planted FOREIGN KEY (%K) REFERENCES %T (%K)', 'has a constraint "planted" of table attic.refers on table "%R"' ],
	'u, a foreign key to another table' => [ 'TRUNCATE %T; CREATE TABLE attic.target (LIKE %T, UNIQUE (%C)); ALTER TABLE %T ADD CONSTRAINT planted FOREIGN KEY (%C) REFERENCES attic.target (%C)', 'has a constraint "planted" of table %T on table "%R"' ],
	'r p, a view' => [ 'ALTER TABLE %T RENAME TO planted; CREATE VIEW %T AS SELECT * FROM kept.planted WHERE attic.taken()', 'has "%R", which is no table that chpg made', 'same' ],
	'r p m, a privilege' => [ 'GRANT INSERT ON %T TO mallory', 'grants INSERT on "%R" to mallory' ],
	'r p m, a privilege of a column' => [ 'GRANT UPDATE (%C) ON %T TO PUBLIC', 'grants UPDATE on "%R" to PUBLIC' ]);
{
	my $plants = join ', ', map { my ($kinds, $name) = /^(.*?), (.*)$/; sprintf '($q$%s$q$, $q$%s$q$, $q$%s$q$, $q$%s$q$, %s)', $kinds, $name, @{ $PLANT{$_} }[ 0, 1 ], $PLANT{$_}[2] ? 'true' : 'false' } sort keys %PLANT;
	my $found = sql(qq{
		CREATE TEMPORARY TABLE planted_on AS
		WITH plant(kinds, name, statement, state, stays) AS (VALUES $plants), place AS (
			SELECT c.relname, a.attname, format_type(a.atttypid, NULL) AS type, x.columns,
				CASE WHEN c.relispartition THEN '{m}' WHEN c.relkind = 'p' THEN '{p}' WHEN x.columns IS NULL THEN '{r,u}' ELSE '{r,k}' END::text[] AS kinds
			FROM pg_class c
			JOIN LATERAL (SELECT quote_ident(a.attname) AS attname, a.atttypid FROM pg_attribute a WHERE a.attrelid = c.oid ORDER BY attnum DESC LIMIT 1) a ON true
			LEFT JOIN LATERAL (SELECT (SELECT string_agg(quote_ident(k.attname), ', ') FROM pg_attribute k WHERE k.attrelid = c.oid AND k.attnum = ANY (i.indkey)) AS columns
				FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) x ON true
			WHERE c.relnamespace = 'kept'::regnamespace AND c.relkind IN ('r', 'p')
				AND (NOT c.relispartition OR c.oid = (SELECT max(inhrelid) FROM pg_inherits WHERE inhparent = 'kept.sealed_hour'::regclass))
		), filled AS (
			SELECT format('%s on %s', t.name, p.relname) AS name, f.statement, concat_ws(', then ', f.state, CASE WHEN t.stays THEN f.state ELSE '' END) AS expected
			FROM plant t
			JOIN place p ON p.kinds && string_to_array(t.kinds, ' ')
			CROSS JOIN LATERAL (SELECT fill(t.statement, p.relname, p.attname, p.type, p.columns), fill(t.state, p.relname, p.attname, p.type, p.columns)) f(statement, state)
		)
		SELECT f.name, f.expected, states_with(f.statement) AS states FROM filled f;
		SELECT count(*) > 250 FROM planted_on;
		SELECT name || ': ' || states FROM planted_on WHERE states <> expected AND states !~ 'being attached contains an identity column' ORDER BY 1});
	is($found, 't', 'all are found, and can be removed');
}

# Objects that an owner may have left in tables with another owner now

my @PLANTED = (
	[ 'a rule', 'CREATE RULE planted AS ON INSERT TO kept.metric_day DO ALSO SELECT attic.taken()', qr/has a rule "planted" on table "metric_day"/ ],
	[ 'row security', 'ALTER TABLE kept.service ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', qr/has row security on table "service"/ ],
	[ 'a policy', 'CREATE POLICY planted ON kept.service USING (attic.taken())', qr/has a policy "planted" on table "service"/ ],
	[ 'a default', 'ALTER TABLE kept.metric_day ADD extra boolean; ALTER TABLE kept.metric_day ALTER extra SET DEFAULT attic.taken()', qr/has a default of column "extra" of table "metric_day"/ ],
	[ 'another default', q{ALTER TABLE kept.capture ALTER truncated SET DEFAULT attic.taken()}, qr/has a default of column "truncated" of table "capture"/ ],
	[ 'a default of a month', 'ALTER TABLE kept.%MONTH% ALTER patterns SET DEFAULT attic.taken()::int', qr/has a default of column "patterns" of table "sealed_hour_\d+"/ ],
	[ 'a check', 'ALTER TABLE kept.metric_day ADD CONSTRAINT planted CHECK (attic.taken()) NOT VALID', qr/has a constraint "planted" on table "metric_day"/ ],
	[ 'a check of a month', 'ALTER TABLE kept.%MONTH% ADD CONSTRAINT planted CHECK (attic.taken()) NOT VALID', qr/has a constraint "planted" on table "sealed_hour_\d+"/ ],
	[ 'a formula', 'TRUNCATE kept.metric_day; ALTER TABLE kept.metric_day ADD computed boolean GENERATED ALWAYS AS (attic.taken()) STORED', qr/has a formula of column "computed" of table "metric_day"/ ],
	[ 'an index', 'TRUNCATE kept.metric_day; CREATE INDEX planted ON kept.metric_day ((attic.taken()))', qr/has an index kept\.planted with an expression/ ],
	[ 'a partial index', 'TRUNCATE kept.metric_day; CREATE INDEX planted ON kept.metric_day (metric) WHERE attic.taken()', qr/has an index kept\.planted with an expression/ ],
	[ 'statistics', q{CREATE STATISTICS kept.planted ON (metric || attic.taken()), (series || '') FROM kept.metric_day}, qr/has statistics "planted" over an expression of table "metric_day"/ ],
	[ 'a parent', q{TRUNCATE kept.metric_day; CREATE TABLE attic.parent (LIKE kept.metric_day) PARTITION BY LIST ((metric || attic.taken())); ALTER TABLE attic.parent ATTACH PARTITION kept.metric_day DEFAULT; CREATE TABLE attic.part PARTITION OF attic.parent FOR VALUES IN ('x')},
		qr/has table "metric_day", which is a child of attic\.parent/ ],
	[ 'a domain of a parent', q{TRUNCATE kept.metric_day; ALTER TABLE kept.metric_day ADD remark attic.checked; CREATE TABLE attic.parent (LIKE kept.metric_day) PARTITION BY LIST (metric); ALTER TABLE attic.parent ATTACH PARTITION kept.metric_day DEFAULT},
		qr/has table "metric_day", which is a child of attic\.parent/, 'ALTER TABLE kept.metric_day DROP remark' ],
	[ 'an inherited parent', 'CREATE TABLE attic.parent (LIKE kept.service); ALTER TABLE kept.service INHERIT attic.parent', qr/has table "service", which is a child of attic\.parent/ ],
	[ 'a partition key', q{ALTER TABLE kept.sealed_hour RENAME TO sealed_kept; CREATE TABLE kept.sealed_hour (LIKE kept.sealed_kept) PARTITION BY LIST ((service_key::text || attic.taken()))},
		qr/has table "sealed_hour", which is partitioned by LIST/, 'DROP TABLE kept.sealed_hour; ALTER TABLE kept.sealed_kept RENAME TO sealed_hour' ],
	[ 'a domain', 'TRUNCATE kept.metric_day; ALTER TABLE kept.metric_day ADD remark attic.checked', qr/has a column "remark" of table "metric_day" of the type attic\.checked/, 'ALTER TABLE kept.metric_day DROP remark' ],
	[ 'a child', 'CREATE TABLE attic.child () INHERITS (kept.service); INSERT INTO attic.child SELECT * FROM kept.service LIMIT 1; UPDATE attic.child SET server = $$x$$; CREATE TRIGGER fires BEFORE UPDATE ON attic.child FOR EACH ROW EXECUTE FUNCTION attic.fires(); ALTER TABLE attic.child OWNER TO mallory',
		qr/has attic\.child, which is a child of table "service"/ ],
	[ 'a partition', q{CREATE TABLE attic.part (LIKE kept.sealed_hour INCLUDING ALL); CREATE TRIGGER fires BEFORE DELETE ON attic.part FOR EACH ROW EXECUTE FUNCTION attic.fires(); ALTER TABLE kept.sealed_hour ATTACH PARTITION attic.part FOR VALUES FROM ('2001-01-01') TO ('2002-01-01'); ALTER TABLE attic.part OWNER TO mallory},
		qr/has attic\.part, which is a child of table "sealed_hour"/ ],
	[ 'a function', 'CREATE FUNCTION kept.taken() RETURNS boolean LANGUAGE sql AS $$ SELECT attic.taken() $$', qr/has the function kept\.taken\(\)/, 'DROP FUNCTION kept.taken()' ],
	[ 'an operator', 'CREATE OPERATOR kept.* (LEFTARG = int4, RIGHTARG = interval, FUNCTION = attic.times)', qr/has the operator kept\.\*\(integer,interval\)/, 'DROP OPERATOR kept.* (int4, interval)' ],
	[ 'a view', 'ALTER TABLE kept.service RENAME TO service_kept; CREATE VIEW kept.service AS SELECT * FROM kept.service_kept WHERE attic.taken()', qr/has "service", which is no table that chpg made/, 'DROP VIEW kept.service; ALTER TABLE kept.service_kept RENAME TO service' ],
	[ 'a view for a setting', 'ALTER TABLE kept.setting RENAME TO setting_kept; CREATE VIEW kept.setting AS SELECT * FROM kept.setting_kept WHERE attic.taken()', qr/has "setting", which is no table that chpg made/, 'DROP VIEW kept.setting; ALTER TABLE kept.setting_kept RENAME TO setting' ]);
($month) = sql(q{SELECT max(relname) FROM pg_class WHERE relnamespace = 'kept'::regnamespace AND relname ~ '^sealed_hour_' AND relkind = 'r'});
foreach my $attack (@PLANTED)
{
	my ($name, $plant, $what, $remedy) = @$attack;

	sql($plant =~ s/%MONTH%/$month/gr);
	forget();
	is_refused($name, $what);
	sql($remedy) if defined $remedy;
	sql('ALTER TABLE kept.capture ALTER truncated SET DEFAULT false') if $name eq 'another default';
	is(state(), '', "$name: the history can be used when that is done");
	sql('DROP TABLE IF EXISTS attic.child, attic.part, attic.parent');
}
sql($CAPTURE);
is(taken(), 'f|f', 'and no planted function has run');

# A schema with such an object is not accepted for a new history, and comparisons do not
# use it.
sql(q{SELECT chpg_history_disable(); CREATE POLICY planted ON kept.service USING (attic.taken())});
fails_with($node, q{SELECT chpg_history_enable('kept')}, '55000', qr/schema "kept" cannot have the history\nDETAIL:  It has a policy "planted" on table "service"\.\nHINT:  Run: DROP POLICY planted ON kept\.service;$/m, 'a schema with a policy');
sql(q{DROP POLICY planted ON kept.service; SELECT chpg_history_enable('kept')});
my $SOURCE = q{SELECT string_agg(DISTINCT source, ' ') FROM chpg_period_patterns(tstzrange(now() - interval '8 hours', now()))};
is(sql("TRUNCATE kept.capture, kept.open_hour, kept.open_day; CALL chpg_capture('hour'); $SOURCE"), 'history', 'a comparison uses the history');
sql('CREATE OPERATOR kept.* (LEFTARG = int4, RIGHTARG = interval, FUNCTION = attic.times)');
is(sql($SOURCE), 'api', 'but not with an operator that fits better');
sql('DROP OPERATOR kept.* (int4, interval)');

# A role that may read a partition can make a view of it, or a column of its row type:
# the purge empties that partition, and drops the others.

sub plant_old
{
	my ($days) = @_;
	return sql("INSERT INTO planted.pattern (service_id, grain, window_start, pattern_key) VALUES ('old', 'hour', now() - interval '$days days', $days)");
}
make_plantable($node);
plant_old($_) foreach 100, 200, 300;
sql(q{SELECT planted.seal(now() - interval '50 days')});
my @old = map { sql("SELECT tableoid::regclass FROM kept.sealed_hour WHERE pattern_key = '{$_}'") } 100, 200, 300;
sql("GRANT SELECT ON $old[0], $old[1] TO mallory");
as_role('mallory', "CREATE VIEW attic.holds_month AS SELECT * FROM $old[0]; CREATE TABLE attic.has_type (a $old[1])");
my ($status, $out, $err) = $node->psql('postgres', 'SELECT chpg_history_purge()');
is($status, 0, 'a purge goes on');
is("kept.$out", $old[2], 'with the month that nothing depends on');
my $emptied = join ', ', map { s/^kept\.//r } sort @old[ 0, 1 ];
like($err, qr/NOTICE:  partitions in use were emptied, not dropped: \Q$emptied\E/, 'and reports those in use');
is(sql(q{SELECT count(*) FROM planted.pattern WHERE service_id = 'old'}), 0, 'which are empty');
as_role('mallory', 'DROP VIEW attic.holds_month; DROP TABLE attic.has_type');
is(sql('SELECT count(*) FROM chpg_history_purge()'), 2, 'and are dropped when nothing depends on them');

# During the capture of a window no trigger can be created: the check before it is
# enough.

forget();
fault($url, path => 'slowQueryPatterns', hang => JSON::PP::true, times => 1);
clear_journal($url);
my $capture = open_session($node);
my $capture_pid = in_session($capture, 'SELECT pg_backend_pid()');
begin_in_session($capture, "SET chpg.request_timeout = '5min'; $CAPTURE");
wait_until(sub { grep { $_->{path} =~ /slowQueryPatterns/ } @{ journal($url)->{requests} } }, 'a window is requested');
sql('GRANT TRIGGER, REFERENCES ON ALL TABLES IN SCHEMA kept TO mallory');
{
	my @tables = (split(/ /, $TABLES), $month);
	my (undef, undef, $said) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET lock_timeout = '50ms';\n"
		  . join("\n", map { "CREATE TRIGGER planted BEFORE INSERT ON kept.$_ FOR EACH ROW EXECUTE FUNCTION attic.fires();" } @tables), on_error_stop => 0, extra_params => [ '-U', 'mallory' ]);
	my @timeouts = $said =~ /ERROR:  55P03: /g;
	is(scalar(@timeouts), scalar(@tables), 'no trigger, meanwhile, on any table') or diag($said);
}
fails_with($node, q{SET lock_timeout = '100ms'; CREATE TABLE attic.again (text_id bigint REFERENCES kept.query_text)}, '55P03', qr/lock timeout/,
	'a foreign key, meanwhile', extra_params => [ '-U', 'mallory' ]);
sql("SELECT pg_cancel_backend($capture_pid)");
await_in_session($capture, qr/ERROR:  55000: the history cannot be used: schema "kept" grants REFERENCES, TRIGGER/);
$capture->quit;
is(taken(), 'f|f', 'nothing has run');
sql('REVOKE TRIGGER, REFERENCES ON ALL TABLES IN SCHEMA kept FROM mallory');

# The owner of the schema changes while a window is requested: the tables that the capture holds keep
# theirs, and nothing is written.
{
	fault($url, path => 'slowQueryPatterns', hang => JSON::PP::true, times => 1);
	clear_journal($url);
	forget();
	my $capturing = open_session($node);
	my $pid = in_session($capturing, 'SELECT pg_backend_pid()');
	begin_in_session($capturing, "SET chpg.request_timeout = '5min'; $CAPTURE");
	wait_until(sub { grep { $_->{path} =~ /slowQueryPatterns/ } @{ journal($url)->{requests} } }, 'a window is requested');
	fails_with($node, q{SET lock_timeout = '50ms'; ALTER TABLE kept.pattern_key OWNER TO mallory}, '55P03', qr/lock timeout/, 'a new owner of a table, meanwhile');
	sql("ALTER SCHEMA kept OWNER TO mallory; SELECT pg_cancel_backend($pid)");
	await_in_session($capturing, qr/ERROR:  55000: the history cannot be used: schema "kept" belongs to "mallory"/);
	$capturing->quit;
	sql('ALTER SCHEMA kept OWNER TO CURRENT_USER; GRANT USAGE ON SCHEMA kept TO mallory');
	is(sql(q{SELECT count(*) FROM kept.capture WHERE status <> 'lost'}), 0, 'nothing is written for the new owner');
}

# A transaction with an old snapshot of the catalogs does not miss one, either.
my $snapshot = open_session($node);
in_session($snapshot, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_trigger');
sql("GRANT TRIGGER ON kept.capture, kept.$month TO mallory");
foreach my $table ('capture', $month)
{
	as_role('mallory', "CREATE TRIGGER planted BEFORE INSERT OR DELETE ON kept.$table FOR EACH ROW EXECUTE FUNCTION attic.fires()");
	in_session($snapshot, 'SAVEPOINT s; SELECT chpg_history_purge()');
	like($snapshot->{stderr}, qr/ERROR:  55000: table "$table" has a trigger "planted", which chpg did not create/, "a trigger of $table that was made after the snapshot");
	in_session($snapshot, 'ROLLBACK TO s');
	sql("DROP TRIGGER planted ON kept.$table");
}
sql('GRANT TRIGGER ON kept.setting TO mallory');
as_role('mallory', 'CREATE TRIGGER planted BEFORE INSERT ON kept.setting FOR EACH ROW EXECUTE FUNCTION attic.fires()');
in_session($snapshot, q{SAVEPOINT s; SELECT chpg_history_enable('kept')});
like($snapshot->{stderr}, qr/ERROR:  55000: table "setting" has a trigger "planted", which chpg did not create/, 'nor when settings are put back');
in_session($snapshot, 'ROLLBACK TO s');
sql('DROP TRIGGER planted ON kept.setting; REVOKE TRIGGER ON kept.setting FROM mallory');
$snapshot->quit;
sql("REVOKE TRIGGER ON kept.capture, kept.$month FROM mallory");
is(taken(), 'f|f', 'nor does the function run');

# If an object escaped all checks, it would run as the owner; from there it cannot
# return to the caller's rights.

sql(q{CREATE ROLE collector LOGIN; SELECT chpg_history_disable(); SELECT chpg_history_enable('theirs', owner => 'collector'); GRANT USAGE ON SCHEMA attic TO collector});
as_role('collector', q{CREATE TABLE theirs.seen (who name, tried text);
	CREATE FUNCTION theirs.escapes() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE statement text;
	BEGIN
		PERFORM attic.taken();
		FOREACH statement IN ARRAY ARRAY['RESET ROLE', 'SET ROLE NONE', 'RESET SESSION AUTHORIZATION', 'ALTER ROLE collector SUPERUSER', 'SET chpg.dry_run = on'] LOOP
			BEGIN
				EXECUTE statement;
				INSERT INTO theirs.seen VALUES (current_user, statement);
			EXCEPTION WHEN insufficient_privilege THEN
				INSERT INTO theirs.seen VALUES (current_user, NULL);
			END;
		END LOOP;
		RETURN NEW;
	END $$;
	CREATE TRIGGER escapes BEFORE INSERT ON theirs.capture FOR EACH ROW EXECUTE FUNCTION theirs.escapes()});
my $INNER = q{_chpg_run_as('collector'::regrole, 'WITH i AS (INSERT INTO theirs.capture (service_id, grain, window_start, window_end, status) VALUES ($1, ''hour'', now(), now(), ''ok'') RETURNING 1) SELECT to_jsonb(count(*)) FROM i', ROW('a'::text))};
is(sql("SELECT $INNER, current_user = session_user; SHOW chpg.dry_run"), "1|t\noff", 'a write by a superuser, and the caller is the superuser again');
is(sql('SELECT string_agg(DISTINCT who, $$ $$), string_agg(tried, $$ $$) FROM theirs.seen'), 'collector|SET chpg.dry_run = on', 'ran a trigger as the owner of the table, which did not get back to the superuser');
is(taken(), 'f|t', 'nor called anything with its rights');
sql('TRUNCATE theirs.capture, theirs.seen');
is(sql(qq{DO \$\$ BEGIN PERFORM _chpg_run_as('collector'::regrole, 'SELECT to_jsonb(1 / 0)', ROW()); EXCEPTION WHEN division_by_zero THEN NULL; END \$\$; SELECT current_user = session_user}), 't', 'an error, too, restores the caller');
fails_with($node, "SELECT _chpg_run_as('$owner'::regrole, 'SELECT to_jsonb(1)', ROW())", '42501', qr/permission denied to run as role "\Q$owner\E"/, 'the owner runs nothing as another role', extra_params => [ '-U', 'collector' ]);
fails_with($node, "SELECT $_", '42501', qr/permission denied for function/, "other roles may not call $_", extra_params => [ '-U', 'mallory' ]) foreach $INNER,
	q{_chpg_history_lock()}, q{_chpg_capture_services(NULL)}, q{_chpg_history_expire()}, q{_chpg_history_partition('hour', now())}, q{_chpg_history_fill('x')},
	q{_chpg_note_window('a', 'hour', now(), now(), NULL, NULL, NULL, 'x')}, q{_chpg_history_entrust('mallory', true)}, q{_chpg_seal_some(1)}, q{_chpg_seal_window('hour', 1, now(), '{}')}, q{_chpg_write_window('hour', 1, now(), '{}')},
	q{_chpg_sum_day(1, now())}, q{_chpg_note_points(1, now(), now(), '1 minute', '{}')}, q{_chpg_service_key('x')}, q{_chpg_window_rows('{}', now())}, q{_chpg_window_settings('x', 'hour', now(), true)};

# Its own captures and purges report the object, and go on when it is dropped.
fails_with($node, 'SELECT chpg_history_purge()', '42501', qr/permission denied for function chpg_history_purge/, 'purging is granted', extra_params => [ '-U', 'collector' ]);
sql(qq{GRANT EXECUTE ON ROUTINE chpg_capture, chpg_history_purge TO collector; GRANT USAGE ON FOREIGN SERVER chpg TO collector;
	CREATE USER MAPPING FOR collector SERVER chpg OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')});
fails_with($node, $CAPTURE, '55000', qr/schema "theirs" has a trigger "escapes" on table "capture"\nHINT:  Run: DROP TRIGGER escapes ON theirs\.capture;$/m, 'its own capture', extra_params => [ '-U', 'collector' ]);
as_role('collector', 'DROP TRIGGER escapes ON theirs.capture; DROP FUNCTION theirs.escapes()');
as_role('collector', "$CAPTURE; SELECT chpg_history_purge()");
is(sql(q{SELECT count(*) FROM theirs.coverage WHERE status = 'ok'}), 1, 'captures and purges');
sql('SELECT chpg_history_disable()');
is(sql(q{SELECT count(*) FROM pg_proc WHERE proname ^@ '_chpg' AND has_function_privilege('collector', oid, 'EXECUTE') AND NOT has_function_privilege('public', oid, 'EXECUTE')}), 0,
	'after its history ends, the role keeps no right');

# A schema that was open to another role may have a table of that role, which no check has seen.
sql('CREATE SCHEMA fresh; GRANT ALL ON SCHEMA fresh TO mallory');
as_role('mallory', 'CREATE TABLE fresh.setting (name text PRIMARY KEY, value text NOT NULL, description text NOT NULL, planted boolean DEFAULT attic.taken()); GRANT ALL ON fresh.setting TO PUBLIC');
fails_with($node, q{SELECT _chpg_history_fill('fresh')}, '55000', qr/schema "fresh" cannot have the history.*such as table fresh\.setting of "mallory"/s, 'a table that another role left');
is(sql('SELECT is_called FROM attic.as_superuser'), 'f', 'which is not written');

done_testing();
