# A role that may create objects in the extension's schema plants functions, aggregates
# and operators there that fit better than those that chpg means. None of them is ever
# run, neither by CREATE EXTENSION nor by later calls of superusers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main');

# ---- The guard: it rejects a schema in which roles other than superusers have anything

sql('CREATE ROLE tenant LOGIN; CREATE ROLE team; CREATE ROLE deputy; CREATE ROLE boss SUPERUSER; GRANT boss TO deputy');
sql('CREATE DATABASE tenants OWNER tenant');

# CREATE EXTENSION into a schema of the tenant's database is rejected, with the reason.
sub refused
{
	my ($schema, $detail, $name, $setup) = @_;
	my $error;

	$node->safe_psql('tenants', $setup) if defined $setup;
	$error = fails_with($node, "\\c tenants\nCREATE EXTENSION chpg SCHEMA $schema", '55000',
		qr/schema "$schema" is not safe for extension chpg\nDETAIL:  \Q$detail\E/, $name);
	like($error, qr/^HINT:  Give it a schema of its own: CREATE SCHEMA chpg; CREATE EXTENSION chpg SCHEMA chpg;$/m, "$name: hint");
	return;
}

# ... and is accepted.
sub accepted
{
	my ($database, $schema, $name, $setup) = @_;

	$node->safe_psql($database, ($setup // '') . "; CREATE EXTENSION chpg SCHEMA $schema; DROP EXTENSION chpg");
	pass("$name is accepted");
	return;
}

refused('public', 'It belongs to role "tenant".', 'public of a database\'s owner');
refused('theirs', 'It belongs to role "tenant".', 'a schema of another role', 'CREATE SCHEMA theirs AUTHORIZATION tenant; REVOKE CREATE ON SCHEMA theirs FROM tenant');
refused('monitored', 'It belongs to role "pg_monitor".', 'a schema of a predefined role', 'CREATE SCHEMA monitored AUTHORIZATION pg_monitor');
for my $grant (
	[ 'PUBLIC', 'Every role may create objects in it.' ],
	map { [ $_, "Role \"$_\" may create objects in it." ] } qw(tenant team pg_database_owner pg_monitor))
{
	my ($grantee, $detail) = @$grant;
	refused('granted', $detail eq 'Role "pg_database_owner" may create objects in it.' ? 'Role "' : $detail, "CREATE for $grantee",
		"DROP SCHEMA IF EXISTS granted; CREATE SCHEMA granted; GRANT CREATE ON SCHEMA granted TO $grantee");
}

# Objects of every kind that they created while they could
my %KIND = (
	'table t' => 'CREATE TABLE s.t (a int)',
	'view v' => 'CREATE VIEW s.v AS SELECT 1 AS a',
	'sequence q' => 'CREATE SEQUENCE s.q',
	'function f()' => 'CREATE FUNCTION s.f() RETURNS int LANGUAGE sql RETURN 1',
	'function p()' => 'CREATE PROCEDURE s.p() LANGUAGE sql BEGIN ATOMIC END',
	'function a(integer)' => 'CREATE AGGREGATE s.a(int) (SFUNC = int4pl, STYPE = int)',
	'operator <<<>>>(integer,integer)' => 'CREATE OPERATOR s.<<<>>> (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)',
	'type d' => 'CREATE DOMAIN s.d AS text',
	'type e' => "CREATE TYPE s.e AS ENUM ('x')",
	'collation l' => 'CREATE COLLATION s.l FROM "C"',
	'conversion c' => "CREATE CONVERSION s.c FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
	'text search configuration g' => 'CREATE TEXT SEARCH CONFIGURATION s.g (COPY = simple)',
	'text search dictionary y' => 'CREATE TEXT SEARCH DICTIONARY s.y (TEMPLATE = simple)',
	'extension hstore' => 'CREATE EXTENSION hstore SCHEMA s',
);
# A trusted extension, which not every build has
delete $KIND{'extension hstore'} if sql(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'hstore'}) == 0;
for my $object (sort keys %KIND)
{
	my $schema = 'planted';
	my $statement = $KIND{$object} =~ s/\bs\./$schema./r =~ s/SCHEMA s$/SCHEMA $schema/r;

	refused($schema, "Role \"tenant\" has objects in it, such as " . ($object =~ /^extension/ ? $object : $object =~ s/ (?=\S+$)/ $schema./r) . '.', "$object of another role",
		"DROP SCHEMA IF EXISTS $schema CASCADE; CREATE SCHEMA $schema; GRANT ALL ON SCHEMA $schema TO tenant;"
		  . "SET ROLE tenant; $statement; RESET ROLE; REVOKE ALL ON SCHEMA $schema FROM tenant");
}
refused('planted', 'Role "tenant" has objects in it, such as ', "statistics, an operator class and family of another role",
	'DROP SCHEMA planted CASCADE; CREATE SCHEMA planted; CREATE TABLE public.t (a int, b int); CREATE STATISTICS planted.st ON a, b FROM public.t; ALTER STATISTICS planted.st OWNER TO tenant');
refused('planted', 'Role "tenant" has objects in it, such as operator', 'an operator family of another role',
	'DROP SCHEMA planted CASCADE; CREATE SCHEMA planted; CREATE OPERATOR FAMILY planted.of USING btree; ALTER OPERATOR FAMILY planted.of USING btree OWNER TO tenant');
refused('planted', 'Role "tenant" has objects in it, such as operator class', 'an operator class of another role',
	'DROP SCHEMA planted CASCADE; CREATE SCHEMA planted; CREATE OPERATOR CLASS planted.oc FOR TYPE int4 USING btree FAMILY integer_ops AS STORAGE int4; ALTER OPERATOR CLASS planted.oc USING btree OWNER TO tenant');

# A predefined role's objects are in no pg_shdepend: the database's owner may hide theirs behind it.
refused('planted', 'Role "pg_database_owner" has objects in it, such as function', 'objects in the name of pg_database_owner',
	'DROP SCHEMA planted CASCADE; CREATE SCHEMA planted; GRANT ALL ON SCHEMA planted TO tenant, pg_database_owner;'
	  . 'SET ROLE tenant; CREATE FUNCTION planted.f() RETURNS int LANGUAGE sql RETURN 1; ALTER FUNCTION planted.f OWNER TO pg_database_owner;'
	  . 'RESET ROLE; REVOKE ALL ON SCHEMA planted FROM tenant, pg_database_owner');

accepted('postgres', 'public', 'public of a superuser\'s database');
accepted('postgres', 'chpg', 'a new schema', 'CREATE SCHEMA chpg');
accepted('tenants', 'chpg', 'a superuser\'s schema in a database of others', 'CREATE SCHEMA chpg; CREATE FUNCTION chpg.f() RETURNS int LANGUAGE sql RETURN 1; GRANT USAGE ON SCHEMA chpg TO PUBLIC');
accepted('postgres', 'deputies', 'a schema of a role with a superuser\'s privileges', 'CREATE SCHEMA deputies AUTHORIZATION deputy');

# ---- The search path, for objects that were planted after the guard's check

# A database with the extension, from which the generator reads what can be planted
sql('CREATE DATABASE model; CREATE ROLE mallory LOGIN');
$node->safe_psql('model', 'CREATE SCHEMA chpg; CREATE EXTENSION chpg SCHEMA chpg');

# The types of arguments of planted functions, each in the place of each other one
my @TYPES = ('text', 'character varying', 'character', 'name', '"char"', 'integer', 'bigint', 'numeric', 'real', 'double precision',
	'boolean', 'date', 'timestamp without time zone', 'timestamp with time zone', 'interval', 'json', 'jsonb', 'tstzrange',
	'oid', 'regclass', 'regnamespace', 'regrole', 'text[]', 'name[]', 'jsonb[]', 'record');
my @ROWS = map { ("chpg.$_", "chpg.${_}[]") } qw(chpg_period_pattern_row chpg_finding_row chpg_slow_pattern_row chpg_service_row);

my $script = slurp_file(glob "$FindBin::RealBin/../../chpg--*.sql");
my %called = map { $_ => 1 } 'timezone', 'extract',
  $script =~ s/^(?:CREATE|COMMENT ON|REVOKE EXECUTE ON) (?:FUNCTION|PROCEDURE) \S+?\(//mgr =~ /\b(\w+)\(/g;
my %operator = map { $_ => 1 } $script =~ m{(?<![-+*/<>=~!@#%^&|`?])([-+*/<>=~!@#%^&|`?]{1,4})(?![-+*/<>=~!@#%^&|`?])}g;
$operator{$_} = 1 for qw(= <> < <= > >= ~~ !~~ ~~* !~~*);
my %known = map { $_ => 1 } split /\n/, $node->safe_psql('model', 'SELECT DISTINCT oprname FROM pg_operator');
delete @operator{ grep { !$known{$_} } keys %operator };

# Functions whose names occur in the script: the arguments and results of their calls
sub functions_of
{
	my @rows = split /\n/, $node->safe_psql('model', q{
		SET search_path = pg_catalog;
		SELECT n.nspname, p.proname, p.prokind, p.proretset, p.pronargdefaults, nullif(p.provariadic, 0)::regtype,
			(SELECT string_agg(format_type(t, NULL), ';' ORDER BY i) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a(t, i)),
			(SELECT string_agg(p.proargnames[i], ';' ORDER BY i) FROM generate_series(1, p.pronargs) i),
			CASE WHEN p.proargmodes && '{t,o}' AND p.prokind = 'f'
				THEN 'TABLE (' || (SELECT string_agg(format('%I %s', p.proargnames[i], format_type(p.proallargtypes[i], NULL)), ', ' ORDER BY i)
					FROM generate_subscripts(p.proallargtypes, 1) i WHERE p.proargmodes[i] IN ('t', 'o')) || ')'
				ELSE format_type(p.prorettype, NULL) END
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname IN ('pg_catalog', 'chpg')});
	my @functions;

	for my $row (@rows)
	{
		my %f;
		@f{qw(schema name kind set defaults variadic types names returns)} = split /\|/, $row, -1;
		next if !$called{ $f{name} } || $row =~ /\b(?:internal|cstring|fdw_handler)\b/;
		$f{types} = [ split /;/, $f{types} ];
		$f{names} = [ split /;/, $f{names} ];
		push @functions, \%f;
	}
	return @functions;
}

# Statements that plant a function, or an aggregate, which reports when it is run
sub plant
{
	my ($f, $types, $names) = @_;
	my $signature = "$f->{name}(" . join(', ', @$types) . ')';
	my $returns = $f->{returns};
	my $generic = grep { /^any/ } @$types;
	my $tell = "RAISE WARNING 'PLANTED: % run by %', '$signature', current_user;";
	my @arguments = map { ($names->[$_] // '') ne '' ? "\"$names->[$_]\" $types->[$_]" : $types->[$_] } 0 .. $#$types;

	$returns = $types->[0] // 'text' if $returns =~ /^any/ && !$generic;
	$returns .= '[]' if $f->{returns} eq 'anyarray' && $returns !~ /\[\]$|^any/;
	$returns = 'jsonb' if $returns =~ /^any/ && !grep { $_ eq $returns } @$types;
	if ($f->{kind} eq 'p')
	{
		return "CREATE PROCEDURE chpg.\"$f->{name}\"(" . join(', ', @arguments) . ") LANGUAGE plpgsql AS \$\$BEGIN $tell END\$\$";
	}
	elsif ($f->{kind} eq 'f')
	{
		my $end = $f->{set} eq 't' || $returns =~ /^(?:void$|TABLE)/ ? '' : 'RETURN NULL;';
		$returns = "SETOF $returns" if $f->{set} eq 't' && $returns !~ /^TABLE/;
		return "CREATE FUNCTION chpg.\"$f->{name}\"(" . join(', ', @arguments) . ") RETURNS $returns LANGUAGE plpgsql AS \$\$BEGIN $tell $end END\$\$";
	}
	# instead of a window function an aggregate is planted: only C can make window
	# functions
	return () if !@$types || $returns =~ /^any|record/ || $generic;
	my $step = 'step_' . join('_', map { s/\W+/_/gr } $f->{name}, @$types);
	return (
		"CREATE FUNCTION chpg.\"$step\"($returns, " . join(', ', @$types) . ") RETURNS $returns LANGUAGE plpgsql AS \$\$BEGIN $tell RETURN \$1; END\$\$",
		"CREATE AGGREGATE chpg.\"$f->{name}\"(" . join(', ', @$types) . ") (SFUNC = chpg.\"$step\", STYPE = $returns)");
}

# Variants that fit some call better: another type for one argument or for all; the type
# that a polymorphic argument stands for; for the extension's own functions, also
# without the arguments that have defaults
sub better_fits
{
	my ($f, @alternatives) = @_;
	my @types = @{ $f->{types} };
	my @fits;

	if (grep { $_ eq '"any"' } @types)
	{
		for my $count (1 .. 3)
		{
			push @fits, map { my $type = $_; [ (map { $_ eq '"any"' ? () : $_ } @types), map { ('text', $type) } 1 .. $count ],
				[ (map { $_ eq '"any"' ? () : $_ } @types), ($type) x $count ] } @alternatives;
		}
		push @fits, [ 'text', 'double precision', 'text', 'bigint' ];
	}
	else
	{
		for my $type (@alternatives, 'anyelement')
		{
			push @fits, [ map { /^any\w*array$/ ? ($type =~ /\[\]$/ ? $type : "${type}[]") : /^any/ ? $type : $_ } @types ] if grep { /^any/ } @types;
			for my $i (0 .. $#types)
			{
				push @fits, [ @types[ 0 .. $i - 1 ], $type, @types[ $i + 1 .. $#types ] ];
			}
			push @fits, [ ($type) x @types ];
		}
	}
	push @fits, map { [ @types[ 0 .. $#types - 1 ], ($f->{variadic}) x $_ ] } 1 .. 8 if $f->{variadic} !~ /^(?:|"any")$/;
	return map { [ $_, $f->{schema} eq 'chpg' ? $f->{names} : [] ] } @fits if !$f->{defaults};

	# named notation may omit any of the arguments with defaults
	my $required = @types - $f->{defaults};
	my @sets = map { [ 0 .. $_ - 1 ] } $required .. $#types;
	push @sets, map { [ 0 .. $required - 1, $_ ] } $required .. $#types;
	push @sets, map { [ 0 .. $required, $_ ] } $required + 1 .. $#types;
	return ((map { [ [ @types[@$_] ], [ @{ $f->{names} }[@$_] ] ] } @sets), map { [ $_, $f->{names} ] } @fits);
}

sub planting
{
	my @own = @_;
	my (%seen, @statements);
	my $unknown = @own ? qr/^$/ : qr/chpg\./;

	for my $f (functions_of())
	{
		$seen{"$f->{name}(@{ $f->{types} })"} = 1 if $f->{schema} eq 'chpg';
	}
	for my $f (functions_of())
	{
		next if $f->{schema} eq 'pg_catalog' && @own;
		for my $fit (better_fits($f, @TYPES, @own))
		{
			next if grep { /$unknown/ } @{ $fit->[0] };
			$f->{returns} =~ s/^.*$unknown.*$/record/;
			push @statements, plant($f, @$fit) if !$seen{"$f->{name}(@{ $fit->[0] })"}++;
		}
	}
	return @statements if @own;

	my @sides = grep { !/record|character$|real|date$|jsonb\[\]/ } @TYPES;
	for my $left (@sides)
	{
		for my $right (@sides)
		{
			my $name = join '_', map { s/\W+/_/gr } 'between', $left, 'and', $right;
			for my $returns ('boolean', 'text', $left)
			{
				my $function = "chpg.\"${name}_" . ($returns =~ s/\W+/_/gr) . '"';
				push @statements, "CREATE FUNCTION $function($left, $right) RETURNS $returns LANGUAGE plpgsql AS \$\$BEGIN RAISE WARNING 'PLANTED: $name run by %', current_user; RETURN NULL; END\$\$"
				  if !$seen{$function}++;
				for my $operator (sort keys %operator)
				{
					my $is = $operator =~ /[<>=~?]|&&/ && $operator !~ /^-|^#>/ ? 'boolean' : $operator =~ />|\|\|/ ? 'text' : $left;
					push @statements, "CREATE OPERATOR chpg.$operator (LEFTARG = $left, RIGHTARG = $right, FUNCTION = $function)"
					  if $is eq $returns && !$seen{"$left $operator $right"}++;
				}
			}
		}
	}
	push @statements, map { "CREATE DOMAIN chpg.$_ AS pg_catalog.int4 CHECK (VALUE > 0)" } qw(text jsonb float8 timestamptz name oid regclass regnamespace record);
	return @statements;
}

# Plant as mallory, who was given CREATE; what there is already, or cannot be, is left out.
# A statement of its own for each would take ten times as long.
sub plant_all
{
	my (@statements) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/plant.sql';

	while (my @batch = splice @statements, 0, 500)
	{
		append_to_file($file, join("\n",
			'DO $plant$ DECLARE statement text; BEGIN FOREACH statement IN ARRAY ARRAY[',
			join(",\n", map { "\$s\$$_\$s\$" } @batch),
			']::text[] LOOP BEGIN EXECUTE statement; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $plant$;', ''));
	}
	$node->safe_psql('postgres', 'GRANT USAGE, CREATE ON SCHEMA chpg TO mallory');
	command_ok([ 'psql', '-X', '-q', '-U', 'mallory', '-d', $node->connstr('postgres'), '-v', 'ON_ERROR_STOP=1',
			'-c', 'SET check_function_bodies = off', '-f', $file ], 'mallory plants');
	unlink $file;
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_proc WHERE proowner = 'mallory'::regrole});
}

# The planted objects that were run, each once, with the role that ran them
sub fired
{
	my ($log, %fired) = slurp_file($node->logfile);
	$fired{$1} = 1 while $log =~ /WARNING:  PLANTED: (.+)/g;
	return sort keys %fired;
}

# After the guard the script waits, as it might on a busy machine; meanwhile mallory is
# granted CREATE, and plants.
sql('DROP SCHEMA chpg; CREATE SCHEMA chpg');
sql(q{
	CREATE FUNCTION public.pause() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
		IF session_user <> 'mallory' THEN
			PERFORM pg_catalog.pg_advisory_lock_shared(15);
			PERFORM pg_catalog.pg_advisory_unlock_shared(15);
		END IF;
	END $$;
	CREATE EVENT TRIGGER pause ON ddl_command_start WHEN TAG IN ('CREATE FOREIGN DATA WRAPPER') EXECUTE FUNCTION public.pause()});
my $barrier = open_session($node);
my $installing = open_session($node);
in_session($barrier, 'SELECT pg_advisory_lock(15)');
begin_in_session($installing, 'CREATE EXTENSION chpg SCHEMA chpg');
wait_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'}) eq '1' }, 'the script waits');
my $within = plant_all(planting());
cmp_ok($within, '>', 16_000, 'thousands of functions are planted');
cmp_ok(sql(q{SELECT count(*) FROM pg_operator WHERE oprowner = 'mallory'::regrole}), '>', 10_000, 'and operators');
in_session($barrier, 'SELECT pg_advisory_unlock(15)');
is(in_session($installing, q{SELECT extname FROM pg_extension WHERE extname = 'chpg'}), 'chpg', 'the extension is created among the planted objects');
is($installing->{stderr}, '', 'without an error');
sql('DROP EVENT TRIGGER pause');
$_->quit for $barrier, $installing;
is(join("\n", fired()), '', 'the script runs none of them');

# Types of the extension's own are there now.
cmp_ok(plant_all(planting(@ROWS)), '>', $within + 2_000, 'functions with these types are planted');

# Then superusers call everything with all arguments and their types, since variants
# with fewer can be planted; even with the schema before pg_catalog in their
# search_path.
my $NULL = 'NULL::pg_catalog.text';
my ($from, $to) = map { "'$_'::pg_catalog.timestamptz" } split /\|/, sql(q{SELECT date_trunc('hour', now()) - interval '3 hours', date_trunc('hour', now())});
my ($before, $period) = map { "'$_'::pg_catalog.tstzrange" } split /\|/, sql(q{SELECT tstzrange(h - interval '5 hours', h - interval '3 hours'), tstzrange(h - interval '3 hours', h) FROM date_trunc('hour', now()) h});
my @statements = (
	"SELECT * FROM chpg.chpg_connect('$KEY_ID'::pg_catalog.text, '$KEY_SECRET'::pg_catalog.text, 'chpg'::pg_catalog.text, $NULL, '$url'::pg_catalog.text)",
	"ALTER SERVER chpg OPTIONS (ADD rate_limit 'unlimited')",
	(map { "SELECT * FROM chpg.$_($NULL)" } qw(chpg_organizations chpg_whoami chpg_quotas chpg_notification_types chpg_services chpg_health)),
	(map { "SELECT * FROM chpg.$_" } qw(chpg_services chpg_health chpg_fleet chpg_top chpg_help chpg_budget chpg_stats chpg_activity chpg_activity())),
	(map { "SELECT * FROM chpg.$_('orders'::pg_catalog.text, $NULL)" } qw(chpg_service chpg_connection_info chpg_config chpg_prometheus chpg_backups chpg_ip_access_list)),
	"SELECT * FROM chpg.chpg_slow_patterns($from, $to, $NULL, $NULL, $NULL, $NULL, $NULL, $NULL, $NULL, NULL::pg_catalog.int8, $NULL)",
	"SELECT * FROM chpg.chpg_metrics($from, $to, $NULL, NULL::pg_catalog.interval, $NULL)",
	"SELECT chpg.chpg_query_hex('-17'::pg_catalog.int8), chpg.chpg_query_id('ffffffffffffffef'::pg_catalog.text)",
	"SELECT chpg.chpg_history_enable('kept'::pg_catalog.text, NULL::pg_catalog.text)",
	"SET search_path = pg_catalog; UPDATE kept.setting SET value = '7 hours' WHERE name = 'backfill'",
	(map { "CALL chpg.chpg_capture($_, $NULL, NULL::pg_catalog.int4, $NULL)" } "'hour'::pg_catalog.text", $NULL),
	"SELECT * FROM chpg.chpg_history_due($NULL, 'orders'::pg_catalog.text, $NULL)",
	'SELECT * FROM chpg.chpg_history_cost()',
	'CALL chpg.chpg_history_seal()',
	"SELECT chpg.chpg_history_archived('0'::pg_catalog.int8)",
	'SELECT * FROM chpg.chpg_history_purge()',
	'CALL chpg.chpg_history_upgrade()',
	(map { "SELECT * FROM chpg.chpg_history_export(NULL::pg_catalog.tstzrange, $NULL, '$_'::pg_catalog.bool, $NULL)" } qw(f t)),
	qq{SELECT * FROM chpg.chpg_history_import('SELECT * FROM chpg.chpg_history_export(NULL::pg_catalog.tstzrange, $NULL, ''f''::pg_catalog.bool, $NULL)'::pg_catalog.text, $NULL)},
	"SELECT * FROM chpg.chpg_pattern_course('orders'::pg_catalog.text, '0'::pg_catalog.int8, $period, $NULL)",
	(map { "SELECT * FROM kept.$_" } qw(pattern_hour pattern_day pattern_daily service_hour service_day error_hour error_daily metric coverage archive_state archive_service)),
	(map { ("SELECT * FROM chpg.chpg_period_patterns($period, $_, $NULL)", "SELECT * FROM chpg.chpg_history_top($period, $_, '5'::pg_catalog.int4, 'error_count'::pg_catalog.text, NULL::pg_catalog._text, $NULL)", "SELECT * FROM chpg.chpg_compare($before, $period, $_, $NULL)",
		"SELECT * FROM chpg.chpg_findings($period, $_, $NULL, 'f'::pg_catalog.bool)",
		"SELECT * FROM chpg.chpg_findings($period, $_, $NULL, 't'::pg_catalog.bool)",
		"SELECT chpg.chpg_report($period, $_, $before, $NULL, 'f'::pg_catalog.bool, 't'::pg_catalog.bool)",
		"SELECT chpg.chpg_report(NULL::pg_catalog.tstzrange, $_, NULL::pg_catalog.tstzrange, $NULL, 't'::pg_catalog.bool, 'f'::pg_catalog.bool)") } $NULL, "'orders'::pg_catalog.text"),
	"SELECT chpg.chpg_mute('CHPG101:x'::pg_catalog.text, 'wont_fix'::pg_catalog.text, $NULL, 'infinity'::pg_catalog.timestamptz, '1.5'::pg_catalog.float8)",
	"SELECT chpg.chpg_unmute('CHPG101:x'::pg_catalog.text)",
	(map { "SELECT chpg.chpg_maintenance('orders'::pg_catalog.text, $_, $NULL)" } $period, "'1 hour'::pg_catalog.interval", "'1 hour'::pg_catalog.text", "'2026-06-29'::pg_catalog.timestamptz, '2026-06-30'::pg_catalog.timestamptz"),
	"SELECT chpg.chpg_maintenance('orders'::pg_catalog.text, '2026-06-29'::pg_catalog.timestamptz, '2026-06-30'::pg_catalog.timestamptz)",
	"SELECT chpg.chpg_create_webhook('ops'::pg_catalog.text, 'json'::pg_catalog.text, 'https://127.0.0.1/'::pg_catalog.text, $NULL, 'WARN'::pg_catalog.text, $NULL, $NULL, '{\"a\": \"b\"}'::pg_catalog.jsonb, '22:00-07:00 UTC'::pg_catalog.text, $NULL)",
	"CALL chpg.chpg_watch($NULL, $NULL)",
	"CALL chpg.chpg_deliver('1'::pg_catalog.int4)",
	"SELECT chpg.chpg_redeliver($NULL)",
	"SELECT chpg.chpg_drop_webhook('ops'::pg_catalog.text)",
	(map { "SELECT * FROM kept.$_" } qw(finding finding_history incident dead_letter)),
	(map { "SELECT * FROM chpg.chpg_bi_create('bi'::pg_catalog.text, '1 day'::pg_catalog.interval, '{$_}'::pg_catalog._text, '{}'::pg_catalog._text, 'chpg'::pg_catalog.text)" } 'orders', 'orders,billing'),
	(map { "SELECT * FROM bi.$_" } qw(services health logs top_patterns patterns_by_hour patterns_by_day metrics findings incidents)),
	'SELECT chpg.chpg_history_disable()',
	# without a history, the API is asked
	"SELECT * FROM chpg.chpg_findings($period, $NULL, $NULL, 'f'::pg_catalog.bool)",
	"SELECT * FROM chpg.chpg_compare($before, $period, 'orders'::pg_catalog.text, $NULL)",
	'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud',
	"SELECT chpg.chpg_comment_tables('cloud'::pg_catalog.text)",
	'SELECT * FROM cloud.services',
);
for my $statement (@statements)
{
	my ($first) = $statement =~ /(.{1,70})/;
	my ($code, $out, $err) = $node->psql('postgres', "SET search_path = chpg, pg_catalog; SET chpg.on_service_error = 'warning'; $statement");
	is($code, 0, "succeeds: $first") or diag($err);
	isnt($out, '', "has rows: $first") if $statement =~ /services|slow_patterns|findings|compare|period_patterns|kept\.(?:pattern_hour|service_hour|metric|coverage)/ && $statement =~ /^SELECT/;
}
is(join("\n", fired()), '', 'no planted object is run');

done_testing();
