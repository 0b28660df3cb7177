# Arguments, options and names that try to be more than values: further headers or
# requests, other paths of the API, other statements.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $HOSTILE_NAME = q{a"; DROP TABLE precious; --'};

my @HOSTILE = (
	"x\r\nX-Injected: yes", "x\r\n\r\nGET /v1/evil HTTP/1.1", "x\nX-Injected: yes", 'x%0d%0aX-Injected: yes',
	'../../../evil', '..%2f..%2fevil', '%2e%2e/evil', '/v1/evil', '//127.0.0.2/evil', 'http://127.0.0.2/evil',
	'x&limit=1&service_id=y', 'x?limit=1', 'x#y', "x;y", '{organization_id}',
	q{x'; DROP TABLE precious; --}, $HOSTILE_NAME, '$1', '%s%n', "x\x{7f}");

my $url = start_emulator();
my $node = start_node('main');

$node->safe_psql('postgres', connect_sql($url));
$node->safe_psql('postgres', 'CREATE TABLE precious ()');

# Each text argument of each reading function, with each of these values: requests have
# known paths and known headers, and the value is that of one parameter.
my %VALUES = (
	from_date => "now() - interval '1 hour'", to_date => 'now()', start_time => "now() - interval '1 hour'",
	end_time => 'now()', service => "'$ORDERS'", query_id => '1', db_name => "'sales'", db_user => "'u'",
	db_operation => "'SELECT'", sort_by => "'call_count'", sort_order => "'desc'", executed_at => 'now()',
	period => "tstzrange(now() - interval '1 hour', now())", baseline => 'NULL', bucket => "interval '5 minutes'");
my @calls = split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT p.proname, array_to_string(p.proargnames[:p.pronargs], ','), n.name
FROM pg_proc p
CROSS JOIN LATERAL unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) n (name, type)
WHERE p.proname LIKE 'chpg\_%' AND p.provolatile = 's' AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
	AND n.type = 'text'::regtype AND n.name <> 'server'
	AND NOT (p.proname = ANY ('{chpg_validator,chpg_table_columns}'))
ORDER BY 1, 3
SQL
cmp_ok(scalar @calls, '>=', 15, 'there are texts to try');

clear_journal($url);
my $sent = 0;
my %expected;
for my $call (@calls)
{
	my ($function, $names, $hostile) = split /\|/, $call;
	my @names = grep { $_ eq $hostile || ($VALUES{$_} // 'NULL') ne 'NULL' } split /,/, $names;

	for my $value (@HOSTILE)
	{
		my $arguments = join ', ', map { "$_ => " . ($_ eq $hostile ? quoted($value) : $VALUES{$_}) } @names;
		my ($status, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM $function($arguments)");

		like($err, qr/^$|(?:ERROR|WARNING|NOTICE|HINT|DETAIL)/, "$function($hostile)");
		$expected{$value} = 1;
	}
}
my @requests = @{ journal($url)->{requests} };
cmp_ok(scalar @requests, '>', 50, 'some of these are values as good as any, and are sent');
my @strange = grep { $_->{path} !~ m{^/v1/organizations(?:/[0-9a-f-]{36}/(?:notifications|postgres(?:/pg[a-z0-9]{24}(?:/[A-Za-z]+(?:/-?\d+)?)?|/prometheus)?))?$}
	  || $_->{method} ne 'GET' } @requests;
is_deeply([ map { "$_->{method} $_->{path}" } @strange ], [], 'no other path of the API');
my %headers = map { $_ => 1 } map { keys %{ $_->{headers} } } @requests;
is_deeply([ grep { !/^(?:accept|accept-encoding|authorization|host|user-agent|x-request-id)$/ } sort keys %headers ], [], 'no further header');
my %values = map { $_ => 1 } map { ref $_ ? @$_ : $_ } map { values %{ $_->{query} } } @requests;
is(scalar(grep { $values{$_} && /evil|Injected|DROP|&/ } keys %expected), scalar(grep { /evil|Injected|DROP|&/ && $values{$_} } @HOSTILE),
	'the value that is sent is that of one parameter');
ok($values{'x&limit=1&service_id=y'}, 'such as a value that looks like several parameters');
is_deeply([ grep { /^y$/ } map { $_->{query}{service_id} // () } @requests ], [], 'which is still one');

# chpg_request: any request, but below /v1 and in one piece
for my $path ('/v1/..', '/v1/../_emulator/info', '/v1/./x', '/v1//x', '//127.0.0.2/v1/', 'v1/organizations', '/v1/x?limit=1',
	'/v1/x#y', '/v1/%2e%2e/x', "/v1/x\r\nX-Injected: yes", '/v1/x y', '/v1/x\\y', '/v1/{other}', 'http://127.0.0.2/v1/x', '@127.0.0.2/v1/x', '')
{
	refuses("SELECT * FROM chpg_request('GET', " . quoted($path) . ')', '22023', "path $path");
}
refuses("SELECT * FROM chpg_request(" . quoted($_) . ", '/v1/organizations')", '22023', "method $_")
  for 'get', 'CONNECT', 'TRACE', 'OPTIONS', "GET /v1/x HTTP/1.1\r\nX: ", 'GET ', '';
clear_journal($url);
fails_with($node, q{SELECT FROM chpg_request('GET', '/v1/organizations', '{"a&b=c": "d\r\nX: y&z"}')}, '22023', qr/./, 'a query of odd names');
is_deeply(journal($url)->{requests}[0]{query}, { 'a&b=c' => "d\r\nX: y&z" }, 'stays one parameter');

# Keys and options that would end a header, a line or a user name
for my $bad ("x\r\ny", "x\ny", "x\0y" =~ s/\0/\t/r, 'x:y', "x\x{7f}", '')
{
	my $value = quoted($bad);
	refuses("SELECT chpg_connect($value, 's', 'other', api_url => '$url')", 'HV024|22023', "key_id $bad");
	refuses("CREATE SERVER other FOREIGN DATA WRAPPER chpg OPTIONS (organization_id $value)", 'HV024', "organization_id $bad");
	refuses("ALTER SERVER chpg OPTIONS (ADD proxy $value)", 'HV024', "proxy $bad");
}
refuses("CREATE SERVER other FOREIGN DATA WRAPPER chpg OPTIONS (organization_id " . quoted($_) . ')', 'HV024', "organization_id $_")
  for '../x', 'x/y', 'x?y', '%2e%2e';

# Names stay names in every statement that is made of them.
refuses('SELECT chpg_history_enable(' . quoted($HOSTILE_NAME) . ')', '22023', 'a history in a schema with such a name');
$node->safe_psql('postgres', "SELECT * FROM chpg_connect('$KEY_ID', '$KEY_SECRET', " . quoted($HOSTILE_NAME) . ", api_url => '$url')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM chpg_services(' . quoted($HOSTILE_NAME) . ')'), 6, 'a server with such a name');
is($node->safe_psql('postgres', 'SET chpg.server = ' . quoted($HOSTILE_NAME) . '; SELECT count(*) FROM chpg_services'), 6, 'in the setting');
$node->safe_psql('postgres', 'CREATE SCHEMA "x""y"; IMPORT FOREIGN SCHEMA chpg FROM SERVER ' . quoted_name($HOSTILE_NAME) . ' INTO "x""y"');
is($node->safe_psql('postgres', q{SELECT chpg_comment_tables('"x""y"') > 5}), 't', 'foreign tables of it');
$node->safe_psql('postgres', 'SELECT chpg_disconnect(' . quoted($HOSTILE_NAME) . ')');
is($node->safe_psql('postgres', 'SELECT count(*) FROM precious'), 0, 'nothing was dropped');

# Texts that functions of the history take, whose statements are made of names and grains
sql(q{SELECT chpg_history_enable('kept'); CALL chpg_capture(max_windows => 2, server => 'chpg')});
my $errors = sql(q{
	CREATE TABLE public.refused (function name, argument name, state text);
	DO $$
	DECLARE
		f record;
	BEGIN
		FOR f IN
			SELECT p.oid::regprocedure AS function, p.proname, n.name, v.value, (SELECT string_agg(format('%I => %s', i.name, CASE i.type WHEN 'tstzrange'::regtype THEN 'tstzrange(now() - interval ''1 day'', now())' ELSE 'NULL' END), ', ')
				FROM unnest(p.proargnames, p.proargtypes::oid[]) WITH ORDINALITY i(name, type, place) WHERE i.place <= p.pronargs - p.pronargdefaults AND i.name <> n.name) AS others
			FROM pg_proc p
			CROSS JOIN LATERAL unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) n(name, type)
			CROSS JOIN unnest(ARRAY[} . join(', ', map { quoted($_) } @HOSTILE) . q{]) v(value)
			WHERE p.proname ~ '^chpg_(history|compare|findings|pattern|period|top|fleet|bi)' AND p.prokind = 'f' AND n.type = 'text'::regtype AND n.name <> 'query'
		LOOP
			BEGIN
				EXECUTE format('SELECT count(*) FROM %I(%s)', f.proname, concat_ws(', ', f.others, format('%I => %L', f.name, f.value)));
			EXCEPTION WHEN OTHERS THEN
				INSERT INTO refused VALUES (f.function::text, f.name, SQLSTATE);
			END;
		END LOOP;
	END $$;
	SELECT string_agg(DISTINCT function || ' ' || argument || ' ' || state, E'\n') FROM refused WHERE state ~ '^(42601|XX|22P02)'});
is($errors, '', 'no value ends a statement of the history');
is($node->safe_psql('postgres', 'SELECT count(*) FROM precious'), 0, 'nor drops anything');

# Lists of values with too many combinations: they are not pushed down, or the query is
# rejected.
my $list = "ANY (ARRAY(SELECT 'x' || i FROM generate_series(1, 5000) i))";
$node->safe_psql('postgres', 'CREATE SCHEMA cloud; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');
costs($node, $url, "SELECT FROM cloud.slow_patterns WHERE from_date = now() - interval '1 hour' AND to_date = now()"
	  . " AND service_id = '$ORDERS' AND db_name = $list AND db_user = $list AND db_operation = $list", 1, '5,000 x 5,000 x 5,000');
refuses("SELECT FROM cloud.slow_pattern_executions WHERE service_id = '$ORDERS' AND query_id = 1"
	  . " AND db_name = $list AND db_user = $list AND db_operation = $list", '54000', '5,000 x 5,000 x 5,000 executions');

# chpg's own routines, called by hand with nulls, and with texts that they do not expect: errors, and no crash
sql(q{SELECT chpg_history_disable(); DROP SCHEMA kept CASCADE; CREATE ROLE stranger LOGIN; CREATE ROLE keeper LOGIN; SELECT chpg_history_enable('of_keeper', owner => 'keeper')});
my @internal = split /\n/, sql(q{
	SELECT format('%s %I.%I(%s)', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, n.nspname, p.proname,
		(SELECT string_agg(CASE WHEN v.value IS NULL OR t.type <> 'text'::regtype THEN format('NULL::%s', CASE WHEN t.type::regtype::text ~ '^any' THEN 'text' ELSE t.type::regtype::text END) ELSE quote_literal(v.value) || '::text' END, ', ' ORDER BY t.place)
			FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY t(type, place)))
	FROM pg_proc p
	JOIN pg_namespace n ON n.oid = p.pronamespace
	CROSS JOIN (VALUES (NULL), ('x'), (repeat('[', 10000))) v(value)
	-- _chpg_raise raises what it is given
	WHERE p.proname ^@ '_chpg_' AND p.proname <> '_chpg_raise' AND p.prokind IN ('f', 'p') AND p.prorettype <> ALL ('{trigger,event_trigger,internal}'::regtype[])
		AND 'internal'::regtype <> ALL (p.proargtypes::oid[])
	ORDER BY 1});
cmp_ok(scalar @internal, '>', 700, 'there are internal routines to call');
for my $role ('stranger', 'keeper')
{
	my (undef, undef, $err) = $node->psql('postgres', join('', map { "$_;\n" } q{SET statement_timeout = '20s'; SET client_min_messages = error}, @internal), on_error_stop => 0, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);
	is(join("\n", map { substr $_, 0, 200 } grep { /server closed|PANIC|FATAL|ERROR:  XX/ } split /\n/, $err), '', "internal routines as $role");
}

# Each routine with one argument NULL, and values for the others; with all of them NULL, and with none.  The role with
# a server calls those in C, which read arguments by themselves.
my %OF_NAME = (server => "'chpg'", service => "'$ORDERS'", api_url => "'$url'", period => "'1 hour'", from_date => "'yesterday'", to_date => "'today'", state => "'running'");
my %OF_TYPE = (text => "'x'", name => "'x'", '"char"' => "'x'", cstring => "'x'", boolean => 'false', interval => "'1 hour'", 'timestamp with time zone' => 'now()',
	tstzrange => "'[yesterday,today]'", jsonb => "'{}'", json => "'{}'", record => 'ROW(1)', uuid => 'gen_random_uuid()',
	(map { $_ => 1 } 'smallint', 'integer', 'bigint', 'oid', 'real', 'double precision', 'numeric', 'regrole', 'regnamespace', 'regtype'), regclass => "'pg_class'");
my @routines = map { [ split /\|/ ] } split /\n/, sql(q{
	SELECT CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, format('%I.%I', n.nspname, p.proname), l.lanname,
		(SELECT string_agg(coalesce(a.name, '') || ':' || CASE WHEN p.provariadic <> 0 AND a.place = p.pronargs THEN 'VARIADIC ' ELSE '' END || ':' || CASE WHEN t.name = 'anyarray' THEN 'text[]' WHEN t.name ~ '^any' THEN 'text' ELSE t.name END, ';' ORDER BY a.place)
			FROM unnest(p.proargtypes::oid[], p.proargnames[:p.pronargs]) WITH ORDINALITY a(type, name, place) CROSS JOIN LATERAL format_type(a.type, NULL) t(name))
	FROM pg_proc p
	JOIN pg_namespace n ON n.oid = p.pronamespace
	JOIN pg_language l ON l.oid = p.prolang
	WHERE p.proname ~ '^_?chpg_' AND p.proname <> '_chpg_raise' AND p.pronargs > 0 AND p.prokind IN ('f', 'p')
		AND p.prorettype <> ALL ('{trigger,event_trigger,internal}'::regtype[]) AND 'internal'::regtype <> ALL (p.proargtypes::oid[])
	ORDER BY 2, 4});

sub calls
{
	my ($command, $routine, $language, $arguments) = @{ $_[0] };
	my @arguments = map { [ split /:/ ] } split /;/, $arguments;
	my @calls;

	for my $null (-1 .. @arguments)
	{
		push @calls, "$command $routine(" . join(', ', map {
			my ($name, $variadic, $type) = @{ $arguments[$_] };
			my $value = $type =~ /\[\]$/ ? "'{}'" : $type eq 'text' && $OF_NAME{$name} || $OF_TYPE{$type} || 'NULL';
			$variadic . ($_ == $null || $null == @arguments ? 'NULL' : $value) . "::$type" } 0 .. $#arguments) . ')';
	}
	return map { $command eq 'CALL' ? "$_;\n" : "BEGIN; $_; ROLLBACK;\n" } @calls;
}

for my $case ([ stranger => @routines ], [ sql('SELECT current_user'), grep { $_->[2] eq 'c' } @routines ])
{
	my ($role, @called) = @$case;
	cmp_ok(scalar @called, '>', 50, "there are routines with arguments to call as $role");
	my (undef, undef, $err) = $node->psql('postgres', join('', "SET statement_timeout = '2s'; SET client_min_messages = error; SET chpg.dry_run = on;\n", map { calls($_) } @called),
		on_error_stop => 0, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);
	is(join("\n", map { substr $_, 0, 200 } grep { /server closed|(?:PANIC|FATAL):  |ERROR:  (?:XX|42883)/ } split /\n/, $err), '', "routines with one NULL as $role");
}
unlike(slurp_file($node->logfile), qr/was terminated by signal|TRAP:/, 'no session crashed');

# The statement fails with one of these SQLSTATEs, without a request.
sub refuses
{
	my ($sql, $states, $name) = @_;
	my ($status, $out, $err);

	$name =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	clear_journal($url);
	($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
	like($err, qr/ERROR:  (?:$states):/, "$name: rejected");
	is(request_count($url), 0, "$name: nothing is sent");
	return;
}

# A literal in which psql substitutes nothing
sub quoted
{
	my ($value) = @_;
	$value =~ s/([^A-Za-z0-9 ])/sprintf '\\u%04x', ord $1/ge;
	return "E'$value'";
}

sub quoted_name
{
	my ($name) = @_;
	return '"' . $name =~ s/"/""/gr . '"';
}

done_testing();
