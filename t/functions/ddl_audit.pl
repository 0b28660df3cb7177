# chpg_connect() and chpg_disconnect() change servers and user mappings as DDL does:
# event triggers fire, and see no secret.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $NEW_SECRET = q(new'Key"Secret);
my @forbidden = map { ($_, encode_base64("$KEY_ID:$_", '')) } ($KEY_SECRET, $NEW_SECRET, q(new''Key));

# A log of all that an event trigger sees, and of what other sessions see meanwhile
my $TRIGGERS = <<'SQL';
CREATE TABLE ddl_log (event text, tag text, object text, query text, activity text);

CREATE FUNCTION log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE LOG 'log_ddl: % %: %', tg_event, tg_tag, current_query();
	INSERT INTO ddl_log
	SELECT tg_event, tg_tag, object, current_query(), a.query
	FROM pg_stat_activity a,
		 LATERAL (SELECT object_identity FROM pg_event_trigger_ddl_commands() WHERE tg_event = 'ddl_command_end'
				  UNION ALL
				  SELECT object_identity FROM pg_event_trigger_dropped_objects() WHERE tg_event = 'sql_drop') o (object)
	WHERE a.pid = pg_backend_pid();
END $$;

CREATE EVENT TRIGGER log_ddl ON ddl_command_end EXECUTE FUNCTION log_ddl();
CREATE EVENT TRIGGER log_drop ON sql_drop EXECUTE FUNCTION log_ddl();

CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'no DDL today: %', current_query();
END $$;

CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse();
ALTER EVENT TRIGGER refuse DISABLE;
SQL

my $url = start_emulator();
my $node = PostgreSQL::Test::Cluster->new('main');
my $printed = '';

$node->init;
my $libraries = join ', ', 'pg_stat_statements', ('chpg') x ($node->pg_version < 17);
$node->append_conf('postgresql.conf', <<"CONFIGURATION");
shared_preload_libraries = '$libraries'
pg_stat_statements.track = all
log_error_verbosity = verbose
log_min_messages = debug1
log_statement = none
CONFIGURATION
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION chpg; CREATE EXTENSION pg_stat_statements');
$node->safe_psql('postgres', $TRIGGERS);

# Calls that create, change and drop servers and mappings, in every form of a call
changes("SELECT * FROM chpg_connect('$KEY_ID', '$KEY_SECRET', api_url => '$url')",
	'a new connection', 'ddl_command_end|CREATE SERVER|chpg', 'ddl_command_end|CREATE USER MAPPING|postgres on server chpg');
reset_emulator($url, key_secret => $NEW_SECRET);
changes("SELECT * FROM chpg_connect('$KEY_ID', :'secret')",
	'a new key', 'ddl_command_end|ALTER USER MAPPING|postgres on server chpg');
changes("SELECT * FROM chpg_connect('$KEY_ID', :'secret', api_url => '$url/v1')",
	'a new address', 'ddl_command_end|ALTER SERVER|chpg', 'ddl_command_end|ALTER USER MAPPING|postgres on server chpg');
changes('SELECT chpg_disconnect()', 'a disconnection', 'sql_drop|DROP USER MAPPING|postgres on server chpg');
$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION connect_by(id text, secret text) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM chpg_connect(id, secret, 'it''s "mine"', api_url => '$url');
END \$\$;
SQL
changes("SELECT connect_by('$KEY_ID', :'secret')", 'a call within a function',
	q(ddl_command_end|CREATE SERVER|"it's ""mine"""), q(ddl_command_end|CREATE USER MAPPING|postgres on server it's "mine"));

# An event trigger that fails: its error, and nothing has changed.
$node->safe_psql('postgres', 'ALTER EVENT TRIGGER refuse ENABLE');
$printed .= fails_with(
	$node, "SELECT * FROM chpg_connect('$KEY_ID', :'secret')", 'P0001',
	qr/no DDL today: SELECT \* FROM chpg_connect\(\.\.\.\)\nCONTEXT:  PL\/pgSQL function refuse\(\) line 3 at RAISE\n/,
	'an event trigger that fails', extra_params => [ '-v', "secret=$NEW_SECRET" ]);
$printed .= fails_with(
	$node, "SELECT connect_by('$KEY_ID', :'secret')", 'P0001',
	qr/no DDL today: SELECT \* FROM chpg_connect\(\.\.\.\)\nCONTEXT:  .*SQL statement "SELECT chpg_connect\(id, secret,/s,
	'an event trigger that fails in a call within a function', extra_params => [ '-v', "secret=$NEW_SECRET" ]);
$node->safe_psql('postgres', 'ALTER EVENT TRIGGER refuse DISABLE');

# Places where the secret could be
my $logged = $node->safe_psql('postgres', 'SELECT * FROM ddl_log');
is($node->safe_psql('postgres', q{SELECT DISTINCT query, activity FROM ddl_log WHERE tag ~ '^(CREATE|ALTER) (SERVER|USER MAPPING)'}),
	'SELECT * FROM chpg_connect(...)|SELECT * FROM chpg_connect(...)',
	'current_query() and pg_stat_activity have the text without the secret');
keeps_secrets($logged, 'the log of an event trigger', @forbidden);
keeps_secrets($printed, 'the output of clients', @forbidden);
keeps_secrets($node->safe_psql('postgres', 'SELECT query FROM pg_stat_statements'), 'pg_stat_statements', @forbidden);
$node->stop;
my $log = slurp_file($node->logfile);
like($log, qr/log_ddl: ddl_command_end CREATE USER MAPPING: SELECT \* FROM chpg_connect\(\.\.\.\)/,
	'the server log has the messages of the event trigger');
keeps_secrets($log, 'the server log', @forbidden);

# The statement succeeds, and event triggers log this.
sub changes
{
	my ($sql, $name, @expected) = @_;
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM ddl_log');
	my ($status, $out, $err) =
	  $node->psql('postgres', $sql, on_error_stop => 1, extra_params => [ '-v', "secret=$NEW_SECRET" ]);

	is($status, 0, "$name: succeeds") or diag($err);
	$printed .= "$out\n$err\n";
	is($node->safe_psql('postgres', "SELECT event, tag, object FROM ddl_log OFFSET $before"),
		join("\n", @expected), "$name: event triggers fire");
	return;
}

done_testing();
